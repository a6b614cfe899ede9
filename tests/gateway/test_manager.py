"""The resilience manager: how services are and why, what an emergency does, and how
services come back when what they need does."""
import subprocess
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY
from kit.http import answer
from kit.tcp import Echo, dial
from kit.waiting import eventually

ONCE = {"max": 0}
BREAKER = {"consecutive": 1, "open": "1h", "close_after": 1}
FAIL = answer(b"no", "500 Internal Server Error")
CHECK = {"path": "/health", "interval": "100ms", "timeout": "2s"}


class Town:
    """Services behind one gateway, each with an upstream that can be made ill: `ill` is
    asked for everything, `sick` for health checks only."""

    def __init__(self, gateway, server, services, **top):
        self.ill, self.sick, self.up = set(), set(), {}
        config = {"listen": [{"address": "127.0.0.1:0"}], "admin": ADMIN, "workers": 1,
                  "defaults": {"retry": ONCE, "breaker": BREAKER}, "services": {},
                  "routes": [{"prefix": f"/{name}", "service": name}
                             for name, keys in services.items() if "endpoints" not in keys], **top}
        for name, keys in services.items():
            self.up[name] = server(self.player(name))
            config["services"][name] = {"endpoints": [self.up[name].url], **keys}
        self.config = config
        self.gw = gateway(config=config)
        self.admin = Admin(self.gw)

    def player(self, name):
        def respond(request, link):
            check = request.target == "/health"
            return FAIL if name in self.ill or (check and name in self.sick) else answer(b"fine")
        return respond

    def ask(self, name, method="GET", body=None, *headers):
        with self.gw.connect() as client:
            client.ask(method, f"/{name}", body=body, headers=headers)
            return client.answer(head_only=method == "HEAD")

    def fail(self, *names):
        for name in names:
            self.ill.add(name)
            assert self.ask(name).status == 500

    def heal(self, *names, reset=True):
        for name in names:
            self.ill.discard(name)
            if reset:
                assert self.admin.command("reset", name).status_code == 200

    def health(self):
        return self.admin.get("/health").json()

    def service(self, name):
        return self.health()["details"]["services"][name]

    def word(self, name):
        found = self.service(name)
        return found["condition"], found["because"]

    def wait(self, name, *word):
        eventually(lambda: self.word(name) == word, f"{name} is {word}")

    def metric(self, line):
        return line in self.admin.get("/metrics").text.splitlines()

    def events(self, kind):
        told = self.admin.get("/api/v1/events?limit=500", headers={"Accept": "application/json"})
        return [e for e in told.json()["events"] if e["kind"] == kind]


@pytest.fixture
def town(gateway, server):
    return lambda services, **top: Town(gateway, server, services, **top)


# ---- conditions ------------------------------------------------------------------------


def test_conditions_and_what_made_them(town):
    t = town({"shop": {"depends_on": ["stock", {"service": "search", "soft": True}]},
              "stock": {"critical": True}, "search": {"essential": False}, "cart": {}})
    assert t.health()["status"] == "HEALTHY" and t.word("shop") == ("working", None)
    t.fail("search")
    assert t.word("search") == ("down", "open")
    assert t.word("shop") == ("impaired", "dependency search")
    assert t.health()["details"]["dependencies"] == {"shop": {"stock": "working", "search": "down"}}
    t.fail("stock")
    told = t.admin.get("/health")
    assert (told.status_code, told.json()["status"]) == (503, "CRITICAL")
    assert t.word("shop") == ("down", "dependency stock")
    # what real requests show weighs more
    assert t.ask("shop").status == 200
    t.wait("shop", "impaired", "dependency stock")
    assert t.service("shop")["working"] and not t.service("search")["essential"]
    assert t.metric('service_condition{service="stock"} 2') and t.metric("resilience_state 2")
    assert t.metric('service_condition{service="shop"} 1')
    assert t.admin.get("/readyz").status_code == 200  # whatever becomes of the services
    service = t.admin.service("shop")
    assert service["depends_on"] == ["stock", "search"]
    assert service["dependencies"][1] == {"service": "search", "soft": True, "condition": "down"}
    t.heal("stock", "search")
    assert t.health()["status"] == "HEALTHY"
    overall = [(e["from"], e["to"]) for e in t.events("overall")]
    assert overall[-1][1] == "HEALTHY" and ("CRITICAL" in [to for _, to in overall])
    conditions = [(e["service"], e["to"], e.get("cause")) for e in t.events("condition")]
    assert ("stock", "down", "open") in conditions and ("stock", "working", None) in conditions
    t.gw.wait_message("overall state changed")
    assert t.gw.wait_message("service condition changed")["because"] == "open"


def test_a_check_and_real_requests(town):
    t = town({"shop": {"health": CHECK}, "cart": {}})
    t.sick.add("shop")
    t.wait("shop", "down", "check")
    assert t.health()["status"] == "DEGRADED"  # 1 of 2
    assert t.ask("shop").status == 200
    t.wait("shop", "impaired", "check")
    # and a check that succeeds does not make it work while the breaker is open
    t.fail("shop")
    t.sick.discard("shop")
    t.ill.discard("shop")
    before = t.up["shop"].count
    t.up["shop"].wait_count(before + 2)
    assert t.word("shop") == ("down", "open")


def test_thresholds_can_be_set(town):
    t = town({name: {} for name in "abcde"}, resilience={"healthy": "100%", "degraded": "90%"})
    t.fail("a")
    assert t.health()["status"] == "CRITICAL"
    t.config["resilience"] = {"healthy": "80%"}
    t.gw.reload(t.config)
    assert t.health()["status"] == "HEALTHY"


def test_what_flaps_is_held_at_its_worst(town):
    t = town({"shop": {}, "cart": {}},
             resilience={"flap": {"changes": 4, "within": "1h", "hold": "1h"}})
    for _ in range(2):
        t.fail("shop")
        t.health()
        t.heal("shop")
        t.health()
    assert t.word("shop") == ("down", "flapping") and t.service("shop")["flapping"]
    assert t.health()["status"] == "DEGRADED" and t.ask("shop").status == 200
    assert "held" in t.events("condition")[-1]["text"]
    t.config["resilience"] = {"flap": "off"}
    t.gw.reload(t.config)
    assert t.word("shop") == ("working", None)


# ---- emergency ---------------------------------------------------------------------------


CRITICALS = {"pay": {"critical": True}, "ledger": {"critical": True}}


def test_nothing_is_switched_off_unless_it_is_said(town):
    t = town({**CRITICALS, "shop": {"essential": False}})
    t.fail("pay", "ledger")
    health = t.health()
    assert health["status"] == "EMERGENCY"
    assert health["details"]["emergency"]["active"] and not health["details"]["emergency"]["actions"]
    assert t.ask("shop", "POST", b"x").status == 200
    assert t.metric('resilience_emergency_actions{action="read_only"} 0')


def test_an_emergency_takes_no_writes(town, tmp_path):
    t = town({**CRITICALS, "shop": {"read_only": {"when": "off", "allow": ["PATCH"]}},
              "log": {"fallback": [{"queue": {}}]}},
             resilience={"emergency": {"read_only": True, "hold": "1ms"}},
             store=f"sqlite:{tmp_path}/outbox.db")
    assert t.ask("shop", "POST", b"x").status == 200
    t.fail("pay", "ledger")
    eventually(lambda: t.metric('resilience_emergency_actions{action="read_only"} 1'), "measures")
    reply = t.ask("shop", "POST", b"x")
    told = reply.json()
    assert (reply.status, told["reason"]) == (503, "read_only") and "emergency" in told["error"]
    assert t.ask("shop").status == 200
    assert t.ask("shop", "PATCH", b"x").status == 200  # which only reads here
    reply = t.ask("log", "POST", b"x")
    assert reply.status == 202 and reply.story[1]["reason"] == "read_only"
    emergency = t.health()["details"]["emergency"]
    assert emergency["actions"] == ["read_only"] and emergency["since"] and not emergency["ends_at"]
    assert "measures: read_only" in t.events("emergency")[0]["text"]
    t.heal("pay")
    eventually(lambda: t.ask("shop", "POST", b"x").status == 200, "writes are taken again")
    assert [e["to"] for e in t.events("emergency")] == ["on", "off"]
    assert t.gw.wait_message("the emergency is over")


def test_an_emergency_sheds_what_is_not_essential(town):
    lines = Echo()
    t = town({**CRITICALS, "chat": {"essential": False, "endpoints": [f"tcp://127.0.0.1:{lines.port}"]},
              "news": {"essential": False, "fallback": [{"static": {"text": "none today"}}]},
              "ads": {"essential": False, "message": {"emergency": "{service} are off."}},
              "shop": {"fallback": [{"service": "ads"}]}},
             resilience={"emergency": {"shed": True, "hold": "1h", "criticals": 2}},
             listen=[{"address": "127.0.0.1:0"},
                     {"address": "127.0.0.1:0", "protocol": "tcp", "service": "chat"}])
    t.config["routes"].append({"path": "/page", "aggregate": {
        "ads": {"service": "ads"}, "shop": {"service": "shop"}}})
    t.gw.reload(t.config)
    assert t.ask("ads").status == 200
    before = dial(t.gw, 1)
    before.send(b"hello")
    assert before.sock.recv(5) == b"hello"
    t.fail("pay", "ledger")
    eventually(lambda: t.ask("ads").status == 503, "ads are off")
    asked = t.up["ads"].count, t.up["news"].count
    reply = t.ask("ads")
    assert reply.json()["reason"] == "emergency" and reply.json()["error"] == "ads are off."
    assert reply.headers["Retry-After"] == "3600"
    page = t.ask("page").json()
    assert page["ads"]["reason"] == "emergency" and page["shop"]["status"] == 200
    reply = t.ask("news", "POST", b"x")
    assert reply.body == b"none today" and reply.story[1]["reason"] == "emergency"
    with pytest.raises(ConnectionResetError):  # by connect() or by recv()
        with dial(t.gw, 1) as late:
            late.sock.recv(1)
    before.send(b"still")  # who was connected stays so
    assert before.sock.recv(5) == b"still" and lines.connections == 1
    before.close()
    lines.close()
    t.fail("shop")  # whose fallback is off too
    assert (t.up["ads"].count, t.up["news"].count) == asked
    rejected = [line for line in t.admin.get("/metrics").text.splitlines()
                if 'rejections_total{service="ads",reason="emergency"}' in line]
    assert int(rejected[0].split()[1]) >= 2
    t.heal("pay", "ledger")
    assert t.health()["status"] == "HEALTHY"
    emergency = t.health()["details"]["emergency"]  # held, for an hour from now
    assert emergency["active"] and emergency["ends_at"] and emergency["actions"] == ["shed"]
    status = subprocess.run([BINARY, "status", "--admin", str(t.admin.base_url)],
                            capture_output=True, text=True, check=True).stdout
    assert "emergency for" in status and "shed" in status
    t.config["resilience"] = {"emergency": {"hold": "0"}}
    t.gw.reload(t.config)
    eventually(lambda: t.ask("ads").status == 200, "ads are on again")


# ---- recovery ------------------------------------------------------------------------------


def test_dependents_are_tried_when_it_is_back(town):
    """Long before their open times end: by the next call, or by a health check."""
    t = town({"db": {}, "shop": {"depends_on": ["db"]},
              "cart": {"depends_on": [{"service": "db", "soft": True}], "health": CHECK},
              "other": {}})
    t.fail("db", "shop", "cart", "other")
    t.heal("shop", "cart", "other", reset=False)
    assert t.ask("shop").status == 503
    t.heal("db")
    t.admin.wait_state("closed", "cart")  # nobody has asked for it
    assert t.ask("shop").status == 200
    t.admin.wait_state("closed", "shop")
    assert t.ask("other").status == 503  # which depends on nobody
    assert {e["service"] for e in t.events("recovery")} == {"shop", "cart"}


def test_recovery_by_hand(town):
    quick = {**BREAKER, "open": "1ms", "open_max": "1ms"}
    t = town({"db": {}, "shop": {"breaker": quick, "depends_on": ["db"], "health": CHECK}},
             resilience={"recovery": "manual"})
    t.fail("db", "shop")
    t.heal("shop", reset=False)
    before = t.up["shop"].count
    t.heal("db")
    t.up["shop"].wait_count(before + 2)  # checks go on, and try nothing
    assert t.ask("shop").status == 503
    shop = t.admin.breaker("shop")
    assert shop["state"] == "open" and shop["next_probe_at"] is None
    assert "stays open until" in subprocess.run(
        [BINARY, "status", "--admin", str(t.admin.base_url)], capture_output=True, text=True,
        check=True).stdout
    told = t.admin.post("/api/v1/resilience/force-recovery", json={"reason": "mended"})
    assert told.json() == {"probed": ["shop"]}
    t.admin.wait_state("closed", "shop")
    assert t.ask("shop").status == 200


def test_status_says_why(town):
    t = town({"shop": {"depends_on": ["stock"]}, "stock": {}})
    t.fail("stock")

    def status():
        return subprocess.run([BINARY, "status", "--admin", str(t.admin.base_url)],
                              capture_output=True, text=True, check=True).stdout
    assert "down: dependency stock" in status() and status().startswith("CRITICAL")
    t.heal("stock")
    assert status().startswith("HEALTHY") and "dependency" not in status()


# ---- all at once -----------------------------------------------------------------------------


def test_changes_from_many_threads_under_reloads(town):
    """Breakers that change on several workers, readers and reloads: nothing breaks (the
    sanitizers watch), and the last word is right."""
    services = {f"s{i}": {"critical": i < 2, "depends_on": [f"s{i - 1}"] if i else [],
                          "breaker": {"consecutive": 2, "open": "1ms", "open_max": "2ms",
                                      "close_after": 1}} for i in range(6)}
    t = town(services, workers=3, resilience={"flap": "off", "emergency": {
        "read_only": True, "shed": True, "hold": "1ms"}})
    stop = threading.Event()

    def storm(name, n):
        with t.gw.connect() as client:
            for i in range(n):
                (t.ill.add if i // 10 % 2 else t.ill.discard)(name)
                client.get(f"/{name}")
            t.ill.discard(name)

    def watch():
        while not stop.is_set():
            assert t.admin.get("/health").status_code in (200, 503)
            assert t.admin.get("/metrics").status_code == 200

    threads = [threading.Thread(target=storm, args=(name, 150)) for name in services]
    watcher = threading.Thread(target=watch)
    for thread in [*threads, watcher]:
        thread.start()
    for _ in range(5):
        t.gw.reload(t.config)
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    eventually(lambda: all(t.ask(name).status == 200 for name in services)
               and t.health()["status"] == "HEALTHY", "all is well")
