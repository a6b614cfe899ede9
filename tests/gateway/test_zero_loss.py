"""Whatever is done to the gateway, nobody who asks notices.

A request is lost that gets a reset, a refusal, or another answer than its own; a kept
connection may be closed only after an answer that said so. tests/kit/load.py looks at
each of them. scripts/soak runs the same for longer (SOAK_SECONDS)."""
import itertools
import json
import os
import signal
import threading
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import configuration
from kit.ledger import GONE, ONCE, QUICK, Ledger
from kit.load import Load, echo
from kit.upgrade import upgrade
from kit.waiting import DEADLINE, eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "0")) / 4


def rounds(least):
    """Numbers, at least so many, and on for as long as a long run may take."""
    end = time.monotonic() + SECONDS
    return itertools.takewhile(lambda i: i < least or time.monotonic() < end, itertools.count())


@pytest.mark.threads
def test_reloads_and_upgrades_lose_nothing(gateway, server):
    """Also where the configuration changes with each. test_reload.py has a hundred
    reloads without upgrades."""
    up = server(echo)
    config = configuration([up], workers=2)
    gw = gateway(config=config)
    load = Load(gw, clients=6)
    for i in rounds(5):
        for k in range(4):
            gw.reload({**config, "limits": {"headers": 50 + k}})
        gw.write({**config, "workers": 1 + i % 3})
        load.wait_answers(20)
        upgrade(gw)
    load.wait_answers(50)
    load.stop()
    assert load.closes == 0  # kept connections went along


class Writers:
    """Each sends its own numbers, in order, to its own lane."""

    def __init__(self, gw, count):
        self.gw, self.stopping = gw, False
        self.accepted = [[] for _ in range(count)]
        self.failures = []
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True)
                        for i in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, writer):
        try:
            with self.gw.connect() as client:
                for number in itertools.count():
                    if self.stopping:
                        return
                    body = b"%d %d" % (writer, number)
                    reply = client.post("/", body, f"X-Lane: {writer}")
                    assert reply.status in (200, 202), reply
                    self.accepted[writer].append(body)
        except Exception as error:
            self.failures.append(repr(error))

    def wait_more(self, more):
        goal = sum(map(len, self.accepted)) + more
        eventually(lambda: sum(map(len, self.accepted)) >= goal or self.failures, "they write")
        assert not self.failures, self.failures

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(DEADLINE)
        assert not self.failures, self.failures


@pytest.mark.threads
def test_no_write_is_lost_or_overtaken_by_an_upgrade(gateway, server):
    """While the service is down, while it comes back, and while it is well: what was
    answered with 202 arrives, in order, once."""
    ledger = Ledger(server)
    gw = gateway([ledger], workers=2, retry=ONCE, breaker=QUICK,
                 fallback=[{"queue": {"order_by": "header.X-Lane"}}])
    writers = Writers(gw, 3)
    for i in rounds(4):
        ledger.well = i % 2 == 1
        writers.wait_more(20)
        upgrade(gw)
    writers.wait_more(10)
    ledger.well = True
    writers.stop()
    wanted = sum(map(len, writers.accepted))
    eventually(lambda: len(ledger.done) >= wanted, "all arrive")
    for writer, accepted in enumerate(writers.accepted):
        mine = b"%d " % writer
        assert [body for body in ledger.done if body.startswith(mine)] == accepted


def test_what_the_old_process_has_to_queue_the_new_one_sends(gateway, server):
    """Its outbox is the other's by then."""
    ledger = Ledger(server)
    arrived, gate = threading.Event(), threading.Event()

    def held(request, link):
        if not gate.is_set():
            arrived.set()
            assert gate.wait(DEADLINE)
            return GONE
        return ledger.respond(request, link)

    gw = gateway([server(held)], retry=ONCE, breaker=QUICK, fallback=[{"queue": {}}],
                 drain={"delay": "0s", "timeout": "1h"})
    with gw.connect() as client:
        client.ask("POST", "/", body=b"1")
        assert arrived.wait(DEADLINE)
        old = upgrade(gw, wait=False)
        gate.set()
        told = client.answer()
        assert told.status == 202
        ledger.well = True
        eventually(lambda: ledger.done == [b"1"], "it arrives")
        assert old.wait(DEADLINE) == 0
        eventually(lambda: json.loads(client.get(json.loads(told.body)["status_url"]).body)
                   ["status"] == "sent", "and is known to")


# ---- Kubernetes ------------------------------------------------------------------------------


class Pods:
    """A load balancer's view: it looks at readiness now and then, and what it does about
    it takes effect a while later."""

    def __init__(self, *pods):
        self.ready = list(pods)
        self.turn = itertools.count()

    def connect(self):
        ready = self.ready
        return ready[next(self.turn) % len(ready)].connect()

    def watch(self, pod, admin, lag):
        """Until the pod is not ready; returns when nobody is sent there any more."""
        eventually(lambda: admin.get("/readyz").status_code == 503, "not ready")
        time.sleep(lag)  # the endpoints' way to every node
        self.ready = [p for p in self.ready if p is not pod]


@pytest.mark.threads
def test_a_rolling_update_as_in_kubernetes(gateway, server):
    """SIGTERM, readiness off, endpoints removed late, drain, and the next pod: each in
    turn. The load never stops."""
    up = server(echo)
    config = configuration([up], workers=2, admin=ADMIN, drain={"delay": "400ms", "timeout": "1h"})
    pods = [gateway(config=config), gateway(config=config)]
    balancer = Pods(*pods)
    load = Load(balancer, clients=6)
    for old in pods:
        load.wait_answers(30)
        balancer.ready = [*balancer.ready, gateway(config=config)]
        with Admin(old) as admin:
            old.signal(signal.SIGTERM)
            balancer.watch(old, admin, 0.1)
        assert old.wait() == 0
    load.wait_answers(30)
    load.stop()
    assert load.refused == 0 and load.closes > 0
