"""The admin API of a gateway under test."""
import json

import httpx

from kit.waiting import DEADLINE, eventually

# What `gateway(…, admin=ADMIN)` needs so that admin_of() finds it.
ADMIN = {"address": "127.0.0.1:0"}


class Admin(httpx.Client):
    def __init__(self, gw, token=None):
        address = gw.wait_message("admin listening")["address"]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        super().__init__(base_url=f"http://{address.replace('0.0.0.0', '127.0.0.1')}",
                         headers=headers, timeout=DEADLINE, trust_env=False)

    def json(self, path, status=200):
        answer = self.get(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def breaker(self, name="web"):
        return self.json(f"/api/v1/circuit-breakers/{name}")

    def service(self, name="web"):
        return self.json(f"/api/v1/services/{name}")

    def command(self, verb, name="web", **body):
        return self.post(f"/api/v1/circuit-breakers/{name}/{verb}", json=body)

    def wait_state(self, state, name="web"):
        return eventually(lambda: (b := self.breaker(name))["state"] == state and b,
                          f"{name} is {state}")

    def follow(self, path="/api/v1/events", **headers):
        """Yields (id, kind, data) of each event; a `with` around it ends it."""
        return Followed(self, path, headers)


class Followed:
    def __init__(self, admin, path, headers):
        self.stream = admin.stream("GET", path, headers=headers)

    def __enter__(self):
        self.answer = self.stream.__enter__()
        assert self.answer.status_code == 200
        assert self.answer.headers["content-type"] == "text/event-stream"
        self.lines = self.answer.iter_lines()
        # its first line: from now on nothing is missed
        assert next(self.lines).strip() == "retry: 2000"
        return self

    def __exit__(self, *args):
        return self.stream.__exit__(*args)

    def __iter__(self):
        event = {}
        for line in self.lines:
            line = line.rstrip("\n")
            if line:
                key, _, value = line.partition(": ")
                event[key] = value
            elif "data" in event:
                yield event.get("id"), event["event"], json.loads(event["data"])
                event = {}

    def until(self, kind, **members):
        """The first event of this kind with these members."""
        for _, name, data in self:
            if name == kind and all(data.get(k) == v for k, v in members.items()):
                return data
        raise AssertionError(f"the stream ended without {kind} {members}")
