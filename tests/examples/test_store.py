"""examples/store, the whole of it, broken as its README says."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import threading

import psycopg2
import pytest

from kit.gateway import BINARY, BROKEN, SANITIZERS
from kit.http import Client, Closed
from kit.mock import command
from kit.waiting import DEADLINE, eventually

HERE = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "store"
PORTS = ["STORE_PORT", "STORE_ADMIN", "STORE_PAYMENTS", "STORE_EMAIL", "STORE_RATES", "STORE_APP",
         "STORE_POSTGRES"]
QUICK = {"PAYMENT_OPEN": "100ms", "EMAIL_OPEN": "100ms", "RATES_FRESH": "0"}


def free_ports(count):
    """Below those that outgoing connections take, as there are many of these here."""
    found = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                found.add(port)
    return dict(zip(PORTS, found))


class Store:
    """The system, by its one command. What it prints is in `lines`."""

    def __init__(self, directory, **environment):
        self.directory = pathlib.Path(directory)
        self.ports = free_ports(len(PORTS))
        self.changed, self.lines = threading.Condition(), []
        self.process = subprocess.Popen(
            [str(HERE / "run")], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**SANITIZERS, **os.environ, **{k: str(v) for k, v in self.ports.items()},
                 "SWITCHGEAR": BINARY, "STORE_DIR": str(directory), **environment})
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.wait_line("The store is open")

    def _read(self):
        for line in self.process.stdout:
            self._add(line)
        self._add("<end>")

    def _add(self, line):
        with self.changed:
            self.lines.append(line)
            self.changed.notify_all()

    def wait_line(self, text, since=0):
        def found():
            return (any(text in line for line in self.lines[since:]) or
                    "<end>" in self.lines and "ended")
        with self.changed:
            assert self.changed.wait_for(found, 4 * DEADLINE) is True, "".join(self.lines)

    def do(self, verb, name):
        """Types a command, and waits until it is done."""
        since = len(self.lines)
        self.process.stdin.write(f"{verb} {name}\n")
        self.process.stdin.flush()
        state = {"kill": "gone", "freeze": "frozen"}.get(verb, "up")
        self.wait_line(f"{name} is {state}", since)

    def kill_gateway(self):
        since = len(self.lines)
        self.do("kill", "gateway")
        self.wait_line("gateway has been started again", since)

    def log(self, name):
        return (self.directory / f"{name}.log").read_text(errors="replace")

    # -- talking

    def connect(self, where="STORE_PORT"):
        return Client(socket.create_connection(("127.0.0.1", self.ports[where]), DEADLINE))

    def ask(self, target, body=None, *headers, method=None, where="STORE_PORT"):
        with self.connect(where) as client:
            content = None if body is None else json.dumps(body).encode()
            client.ask(method or ("GET" if body is None else "POST"), target, body=content,
                       headers=["Host: localhost", "Connection: close", *headers])
            return client.answer()

    def pay(self, account, cents, *headers):
        return self.ask("/payments", {"account": account, "cents": cents}, *headers)

    def control(self, name, **failures):
        """How a receiver fails from now on."""
        reply = self.ask("/control", failures, method="PUT", where=f"STORE_{name.upper()}")
        assert reply.status == 200, reply

    def ledger(self, name="payments"):
        return self.ask("/ledger", where=f"STORE_{name.upper()}").json()["effects"]

    def paid(self, account):
        return [e["cents"] for e in self.ledger() if e["account"] == account]

    def state(self, service):
        return self.ask(f"/api/v1/circuit-breakers/{service}", where="STORE_ADMIN").json()["state"]

    def parts(self):
        """The dashboard's parts: (status, source)."""
        reply = self.ask("/dashboard/alice")
        assert reply.status == 200, reply
        return {name: (part["status"], part.get("source")) for name, part in reply.json().items()}

    def wait_part(self, name, status, source=None):
        eventually(lambda: self.parts()[name] == (status, source), f"{name} is {status} {source}")

    def wait_sent(self, told):
        eventually(lambda: self.ask(told["status_url"]).json()["status"] == "sent",
                   f"{told['id']} is sent")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(3 * DEADLINE) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self.reader.join(DEADLINE)
        for name in ("gateway", "rates"):
            assert not BROKEN.search(self.log(name)), self.log(name)


@pytest.fixture
def store():
    if not list(pathlib.Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("no PostgreSQL here")
    with tempfile.TemporaryDirectory(prefix="store-", dir="/tmp") as directory:
        running = []

        def start(**environment):
            running.append(Store(directory, **{**QUICK, **environment}))
            return running[-1]

        yield start
        for one in running:
            one.stop()


def accepted(reply):
    assert reply.status == 202 and reply.story[0] == "queue", reply
    return reply.json()


# ---- well ---------------------------------------------------------------------------


def test_all_is_well(store):
    shop = store(RATES_FRESH="60s")
    assert shop.pay("alice", 4200).status == 201
    assert shop.paid("alice") == [4200]
    assert shop.ask("/emails", {"account": "alice", "text": "Thanks!"}).status == 201
    assert shop.ledger("email")[0]["text"] == "Thanks!"
    assert shop.ask("/rates").json()["rates"]["USD"] == 1.08
    cached = shop.ask("/rates")
    assert cached.story[0] == "cache" and "hit" in cached.headers["Cache-Status"]
    products = shop.ask("/products?category=lamps&limit=3").json()["products"]
    assert [p["category"] for p in products] == ["lamps"] * 3
    assert {i["account"] for i in shop.ask("/invoices?account=bob").json()["invoices"]} == {"bob"}
    assert {name: status for name, (status, _) in shop.parts().items()} == {
        "products": 200, "invoices": 200, "rates": 200, "queue": 200}


def test_what_is_shipped():
    """30% and 120 s, 50% and 60 s, without anything in the environment."""
    out, _ = command("check", "--print", HERE / "switchgear.yaml")
    services = json.loads(out)["services"]
    assert services["payments"]["breaker"]["failure_rate"] == "30%"
    assert services["payments"]["breaker"]["open"] in ("120s", "2m")
    assert services["email"]["breaker"]["failure_rate"] == "50%"
    assert services["email"]["breaker"]["open"] in ("60s", "1m")
    assert services["exchange-rates"]["cache"]["fresh"] in ("60s", "1m")
    assert services["exchange-rates"]["cache"]["stale"] in ("24h", "1d")


# ---- payments and e-mails: later, once each, in order -----------------------------------


def test_payments_wait_and_are_made_once(store):
    shop = store()
    shop.do("kill", "payments")
    told = [accepted(shop.pay(account, n)) for n in range(8) for account in ("alice", "bob")]
    assert shop.state("payments") in ("open", "half_open")
    assert shop.ask(told[0]["status_url"]).json()["status"] == "queued"
    shop.do("start", "payments")
    for one in told:
        shop.wait_sent(one)
    assert shop.paid("alice") == shop.paid("bob") == list(range(8))
    eventually(lambda: shop.pay("alice", 100).status == 201, "payments are made at once again")


def test_the_work_was_done_and_the_answer_lost(store):
    """The one case in which nobody but the receiver knows."""
    shop = store()
    shop.control("payments", break_off="100%")
    told = [accepted(shop.pay("alice", n)) for n in range(3)]
    assert 0 in shop.paid("alice")
    shop.control("payments")
    for one in told:
        shop.wait_sent(one)
    assert shop.paid("alice") == [0, 1, 2]


def test_a_receiver_that_hangs(store):
    shop = store()
    shop.control("payments", hang="100%")
    told = accepted(shop.pay("alice", 1))  # after 5 seconds
    shop.control("payments")
    shop.wait_sent(told)
    assert shop.paid("alice") == [1]


def test_the_gateway_is_killed_with_payments_waiting(store):
    shop = store()
    shop.do("kill", "payments")
    told = [accepted(shop.pay("alice", n)) for n in range(5)]
    shop.kill_gateway()
    told += [accepted(shop.pay("alice", n)) for n in range(5, 8)]
    shop.do("start", "payments")
    for one in told:
        shop.wait_sent(one)
    assert shop.paid("alice") == list(range(8))


def test_all_of_it_at_once(store):
    """Customers pay while the receiver fails in every way, and it and the gateway are killed.
    A customer whose gateway was killed sends the same payment, with the same key, again."""
    shop = store()
    refused = []

    def pay_surely(account, cents):
        while True:
            try:
                reply = shop.pay(account, cents, f"Idempotency-Key: {account}-{cents}")
            except (OSError, Closed, ValueError):
                continue
            if reply.status in (201, 202):
                return
            refused.append((reply.status, reply.body))
            assert len(refused) < 1000, refused[-3:]

    def customer(account):
        for cents in range(15):
            pay_surely(account, cents)

    threads = [threading.Thread(target=customer, args=[f"customer{i}"]) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        shop.do("restart", "payments")  # which forgets how to fail, not its ledger
        shop.control("payments", errors="20%", break_off="20%")
        paid = len(shop.ledger())
        eventually(lambda: len(shop.ledger()) > paid or not any(t.is_alive() for t in threads),
                   "some are paid")
        shop.kill_gateway()
    shop.control("payments")
    for thread in threads:
        thread.join(4 * DEADLINE)
        assert not thread.is_alive()
    eventually(lambda: len(shop.ledger()) >= 60, "all are paid")
    for i in range(4):
        assert shop.paid(f"customer{i}") == list(range(15))


def test_emails_are_sent_once(store):
    shop = store()
    shop.control("email", errors="50%", break_off="50%")  # some are sent, but nobody is told
    told = [accepted(shop.ask("/emails", {"account": "bob", "text": f"{n}"})) for n in range(10)]
    shop.control("email")
    for one in told:
        shop.wait_sent(one)
    assert sorted(int(e["text"]) for e in shop.ledger("email")) == list(range(10))
    assert shop.ledger() == []


# ---- reads --------------------------------------------------------------------------------


def test_exchange_rates_are_stale_then_estimated(store):
    shop = store()
    assert shop.ask("/rates").story[0] == "upstream"
    shop.do("kill", "rates")
    stale = shop.ask("/rates")
    assert stale.status == 200 and stale.json()["rates"]["USD"] == 1.08
    assert stale.story[0] == "stale" and int(stale.headers["Age"]) >= 0
    shop.do("restart", "gateway")  # its cache is memory
    estimated = shop.ask("/rates")
    assert estimated.story[0] == "static" and estimated.json()["estimated"] is True
    shop.do("start", "rates")
    eventually(lambda: shop.ask("/rates").story[0] == "upstream", "the API is asked again")


def test_the_app_is_gone_and_its_database_answers(store):
    shop = store()
    path = "/products?category=lamps&limit=2"
    by_app = shop.ask(path)
    assert by_app.story[0] == "upstream"
    shop.do("kill", "app")
    by_gateway = shop.ask(path)
    assert by_gateway.story[0] == "sql" and by_gateway.json() == by_app.json()
    shop.do("start", "app")
    eventually(lambda: shop.ask(path).story[0] == "upstream", "the app is asked again")


def test_the_app_and_its_database_hang(store):
    shop = store()
    path = "/products?limit=3"
    by_app = shop.ask(path).json()
    shop.do("freeze", "app")
    slow = shop.ask(path)  # after as many attempts as open the breaker
    assert slow.story[0] == "sql" and slow.json() == by_app
    shop.do("freeze", "postgres")
    stale = shop.ask(path)
    assert stale.story[0] == "stale" and stale.json() == by_app
    shop.do("thaw", "postgres")
    eventually(lambda: shop.ask(path).story[0] == "sql", "the database answers again")
    shop.do("thaw", "app")
    eventually(lambda: shop.ask(path).story[0] == "upstream", "the app too")


def test_the_database_loses_its_connections(store):
    """The pool's connections are dead and it does not know; no reader sees it."""
    shop = store()
    shop.do("kill", "app")
    path = "/invoices?account=alice"
    expected = shop.ask(path).json()
    with owner(shop) as connection, connection.cursor() as cursor:
        for _ in range(5):
            cursor.execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                           "WHERE usename = 'gateway'")
            assert cursor.fetchone()[0] > 0
            reply = shop.ask(path)
            assert reply.story[0] == "sql" and reply.json() == expected


def owner(shop):
    connection = psycopg2.connect(host=str(shop.directory / "postgres"), user="owner",
                                  port=shop.ports["STORE_POSTGRES"], dbname="store")
    connection.autocommit = True
    return connection


def test_the_database_is_restarted(store):
    shop = store()
    shop.ask("/products?limit=3")  # kept for when nothing else is left
    shop.do("kill", "app")
    assert shop.ask("/products?limit=3").story[0] == "sql"
    shop.do("kill", "postgres")
    stale = shop.ask("/products?limit=3")
    assert stale.story[0] == "stale" and len(stale.json()["products"]) == 3
    assert shop.ask("/invoices?account=bob").status in (502, 503)
    shop.kill_gateway()  # products are kept on disk
    assert shop.ask("/products?limit=3").story[0] == "stale"
    shop.do("start", "postgres")
    eventually(lambda: shop.ask("/products?limit=3").story[0] == "sql", "reads come back")
    eventually(lambda: shop.ask("/invoices?account=bob").status == 200, "invoices too")


def test_the_gateway_may_only_read(store):
    shop = store()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        with owner(shop) as connection, connection.cursor() as cursor:
            cursor.execute("SET ROLE gateway")
            cursor.execute("DELETE FROM product")


# ---- the dashboard ------------------------------------------------------------------------------


def test_the_dashboard_degrades_part_by_part(store):
    shop = store()
    well = {"products": (200, "upstream"), "invoices": (200, "upstream"),
            "rates": (200, "upstream"), "queue": (200, "upstream")}
    assert shop.parts() == well
    shop.do("kill", "rates")
    assert shop.parts() == {**well, "rates": (200, "stale")}
    shop.do("kill", "app")
    assert shop.parts() == {"products": (200, "sql"), "invoices": (200, "sql"),
                            "rates": (200, "stale"), "queue": (200, "upstream")}
    shop.do("kill", "postgres")
    assert shop.parts()["products"] == (200, "stale")
    invoices = shop.ask("/dashboard/alice").json()["invoices"]
    assert invoices["status"] in (502, 503) and "data" not in invoices and invoices["error"]
    shop.do("kill", "payments")
    accepted(shop.pay("alice", 1))
    queues = shop.ask("/dashboard/alice").json()["queue"]["data"]["queues"]
    assert {q["service"]: q["entries"] for q in queues} == {"payments": 1, "email": 0}
    for name in ("postgres", "app", "rates", "payments"):
        shop.do("start", name)
    for name in well:
        shop.wait_part(name, 200, "upstream")
    eventually(lambda: shop.paid("alice") == [1], "the payment is made")


# ---- the receiver by itself ---------------------------------------------------------------------


def test_the_receiver_keeps_its_word(store):
    shop = store()

    def send(body, *headers):
        return shop.ask("/", body, *headers, where="STORE_PAYMENTS")

    assert send({"account": "a"}).status == 400
    for wrong in ({}, {"account": {}}, {"account": 1}, [], "a"):
        assert send(wrong, "Idempotency-Key: w").status == 400, wrong
    first = send({"account": "a"}, "Idempotency-Key: k")
    again = send({"account": "a"}, "Idempotency-Key: k")
    assert first.status == again.status == 201 and first.json() == again.json()
    assert send({"account": "b"}, "Idempotency-Key: k").status == 422
    assert len(shop.ledger()) == 1
    shop.do("restart", "payments")
    assert send({"account": "a"}, "Idempotency-Key: k").json() == first.json()
    assert len(shop.ledger()) == 1
