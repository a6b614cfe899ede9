"""What the tests of the cache share: origins that say how long, and what came of it."""
import re
import threading

from kit.http import answer
from kit.upstream import Server
from kit.waiting import DEADLINE, eventually

FAIL = answer(b"no", "500 Internal Server Error")
OLD = "Age: 1000"  # an answer that comes with it is as old as it says: nobody has to wait


class Origin(Server):
    """Counts what it is asked. Its answer is chosen by the test: header lines with the
    count as the body (says), or bytes (answer)."""

    def __init__(self, *lines, body=b"", status="200 OK"):
        super().__init__(lambda request, link: self.answer(request)
                         if callable(self.answer) else self.answer)
        self.body, self.status = body, status
        self.says(*lines)

    def says(self, *lines, body=None, status=None):
        body, status = body or self.body, status or self.status
        self.answer = lambda request: answer(body or b"%d" % self.count, status, *lines)


class Held(Origin):
    """One that answers when the test says so."""

    def __init__(self, *lines, **keys):
        super().__init__(*lines, **keys)
        self.gate = threading.Event()
        respond = self.respond

        def held(request, link):
            assert self.gate.wait(DEADLINE)
            return respond(request, link)

        self.respond = held


def start(gateway, up, *, fallback=({"stale": {}},), cache=None, **keys):
    return gateway([up], cache=cache or {}, retry={"max": 0}, fallback=list(fallback), **keys)


def state(reply):
    """What Cache-Status says, without the name."""
    name, _, rest = reply.headers["Cache-Status"].partition(";")
    assert name == "switchgear"
    return rest.strip()


def metric(admin, name):
    """The value of one series, named as it stands in the text; 0 where it is not there."""
    found = re.search(rf"^{re.escape(name)} (\d+)", admin.get("/metrics").text, re.M)
    return int(found[1]) if found else 0


def ask_many(gw, count, target="/x", *headers):
    clients = [gw.connect() for _ in range(count)]
    for client in clients:
        client.ask("GET", target, headers=list(headers))
    return clients


def wait_asked(admin, count):
    eventually(lambda: metric(admin, "gateway_requests_in_flight") == count, f"{count} have asked")


def answers(clients):
    replies = [client.answer() for client in clients]
    for client in clients:
        client.close()
    return replies
