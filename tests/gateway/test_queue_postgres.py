"""The outbox on PostgreSQL, shared by several processes: each write once, in order."""
import json
import signal
import threading
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.ledger import ONCE, QUICK, Ledger
from kit.postgres import Database, Postgres
from kit.proxy import Proxy
from kit.waiting import eventually
from gateway.test_queue import (  # these hold for either store  # noqa: F401  pylint: disable=unused-import
    accepted, batches, ledger, status_of, wait_status,
    test_a_body_too_large_to_keep_is_not_promised, test_a_clients_own_key_is_kept,
    test_a_full_queue_says_so, test_a_key_has_its_order, test_a_large_body,
    test_a_refused_write_is_a_dead_letter_and_the_next_goes_on, test_a_reload_keeps_the_queue,
    test_a_write_is_promised_and_kept, test_an_outage_makes_no_dead_letters,
    test_another_write_with_the_same_key_is_refused, test_asking_for_what_is_not_there,
    test_bytes_are_limited_too, test_firestore_tells_the_fate_of_each, test_keys_differ,
    test_many_at_once_each_once_and_in_order, test_nobody_overtakes_a_backlog,
    test_the_key_can_come_from_anywhere, test_the_key_is_on_the_first_try_already,
    test_the_same_write_again_is_the_same_promise, test_what_is_too_old_is_given_up,
    test_what_the_service_takes_is_not_queued, test_writes_go_in_batches)

LEASE = 2.0
ORDERED = {"order_by": "header.X-Account", "base": "5ms", "cap": "50ms"}


@pytest.fixture(scope="module")
def server_of_databases():
    pg = Postgres()
    yield pg
    pg.close()


@pytest.fixture
def database(server_of_databases):
    yield Database(server_of_databases)


@pytest.fixture
def start(gateway, database):
    """A gateway with a queue before `up`, on the database of the test."""
    def make(up, queue=None, port=None, **keys):
        keys = {"retry": ONCE, "breaker": QUICK, "store": database.url(port),
                "store_lease": f"{LEASE:g}s", **keys}
        return gateway([up], fallback=[{"queue": queue or {}}], **keys)
    return make


class Watch(Ledger):
    """Takes down who has one key under way twice at once, and who sends again what was done."""

    def __init__(self, server):
        self.under_way, self.twice_at_once, self.repeated, self.slow = set(), [], [], 0
        self.held_body, self.held, self.gate = None, threading.Event(), threading.Event()
        super().__init__(server)

    def respond(self, request, link):
        key = request.headers["Idempotency-Key"]
        with self.lock:
            if key in self.under_way:
                self.twice_at_once.append(request.body)
            self.under_way.add(key)
            if key in self.keys:
                self.repeated.append(request.body)
        if self.slow:
            threading.Event().wait(self.slow)
        if self.well and request.body == self.held_body:
            self.held.set()
            self.gate.wait(20)
        reply = super().respond(request, link)
        with self.lock:
            self.under_way.discard(key)
        return reply


@pytest.fixture
def watch(server):
    return Watch(server)


def end(gw):
    """At once, as when its machine goes."""
    gw.process.kill()
    gw.process.wait()
    gw.process.returncode = 0  # as it was meant


def in_order(done, accounts="abc"):
    for account in accounts.encode():
        mine = [int(d[1:]) for d in done if d[0] == account]
        assert mine == sorted(mine), mine


# ---- several processes --------------------------------------------------------------


def test_whoever_accepts_one_sends(start, watch, database):
    gws = [start(watch, ORDERED) for _ in range(3)]
    told = []
    for n in range(10):
        for account in "abc":
            body = f"{account}{n}".encode()
            told.append(accepted(gws[(n + ord(account)) % 3].post("/", body,
                                                                  f"X-Account: {account}")))
    assert eventually(database.holder, "one has the lease") in [gw.pid for gw in gws]
    watch.well = True
    for one in told:
        wait_status(gws[0], one, "sent")
    assert len(watch.done) == 30 and not watch.twice_at_once and not watch.repeated
    in_order(watch.done)


def test_nobody_overtakes_what_another_process_has(start, watch, database):
    """The service is back for whoever tries it; what waits elsewhere goes first."""
    gws = [start(watch, ORDERED) for _ in range(2)]
    holder = eventually(database.holder, "one has the lease")
    other = next(gw for gw in gws if gw.pid != holder)
    mine = next(gw for gw in gws if gw.pid == holder)
    accepted(mine.post("/", b"a1", "X-Account: a"))
    watch.held_body, watch.well = b"a1", True
    assert watch.held.wait(20), "a1 is being sent"
    assert other.post("/", b"b1", "X-Account: b").status == 200  # another key
    reply = other.post("/", b"a2", "X-Account: a")
    assert reply.status == 202 and reply.story[1]["reason"] == "backlog"
    watch.gate.set()
    eventually(lambda: b"a2" in watch.done, "a2 follows")
    assert watch.done == [b"b1", b"a1", b"a2"]
    eventually(lambda: not database.waiting(), "all is written down")
    assert other.post("/", b"a3", "X-Account: a").status == 200


def test_the_same_key_at_two_processes_is_one_write(start, watch):
    gws = [start(watch) for _ in range(2)]
    told = [accepted(gw.post("/", b"1", "Idempotency-Key: k")) for gw in gws]
    assert told[0]["id"] == told[1]["id"]
    assert gws[1].post("/", b"2", "Idempotency-Key: k").status == 422
    watch.well = True
    wait_status(gws[1], told[0], "sent")
    assert watch.done == [b"1"]


def test_limits_hold_for_all_together(start, watch):
    gws = [start(watch, {"max": 5}) for _ in range(2)]
    for n in range(5):
        accepted(gws[0].post("/", b"%d" % n))
    eventually(lambda: gws[1].post("/", b"x").status == 503, "the other has heard of it")


def test_any_replica_drops_and_retries(start, watch, database):
    gws = [start(watch, {"base": "1s", "cap": "1s"}, admin=ADMIN) for _ in range(2)]
    holder = eventually(database.holder, "one has the lease")
    other = next(gw for gw in gws if gw.pid != holder)
    with Admin(other) as admin:
        number = accepted(other.post("/", b"unwanted"))["id"]
        told = admin.post(f"/api/v1/outbox/{number}/drop", json={"reason": "no"})
        assert told.json()["state"] == "dropped", told.text
        bad = accepted(other.post("/", b"bad"))
        watch.say = lambda r: (answer(b"no", "422 Unprocessable Content")
                               if r.body == b"bad" else None)
        watch.well = True
        wait_status(other, bad, "dead")
        watch.say = None
        assert admin.post(f"/api/v1/outbox/{bad['id']}/retry").status_code == 200
        wait_status(other, bad, "sent")
        assert admin.get("/api/v1/outbox/summary").json()["queues"][0]["sends"] is False
    assert set(watch.done) == {b"bad"}


def test_the_holder_is_killed(start, watch, database):
    gws = {gw.pid: gw for gw in (start(watch, ORDERED) for _ in range(3))}
    holder = eventually(database.holder, "one has the lease")
    told = [accepted(list(gws.values())[n % 3].post("/", b"a%d" % n, "X-Account: a"))
            for n in range(60)]
    watch.slow, watch.well = 0.02, True
    eventually(lambda: len(watch.done) > 5, "some are sent")
    end(gws.pop(holder))
    other = next(iter(gws.values()))
    for one in told:
        wait_status(other, one, "sent")
    assert watch.done == [b"a%d" % n for n in range(60)]
    assert not watch.twice_at_once and len(watch.repeated) <= 1  # the one it was about to note


def test_who_ends_gives_the_lease_back(start, watch, database):
    gws = {gw.pid: gw for gw in (start(watch, store_lease="600s") for _ in range(2))}
    holder = eventually(database.holder, "one has the lease")
    gws.pop(holder).stop()
    assert not database.holder()
    (other,) = gws.values()
    del other


def test_a_holder_that_was_stopped_sends_nothing_more(start, watch, database):
    """It goes on when its lease has ended, and another has sent everything."""
    gws = {gw.pid: gw for gw in (start(watch, ORDERED, workers=2) for _ in range(2))}
    holder = eventually(database.holder, "one has the lease")
    other = next(gw for pid, gw in gws.items() if pid != holder)
    told = [accepted(other.post("/", b"%s%d" % (a, n), b"X-Account: ".decode() + a.decode()))
            for n in range(30) for a in (b"a", b"b", b"c")]
    watch.slow, watch.well = 0.05, True
    eventually(lambda: len(watch.done) > 3, "some are sent")
    gws[holder].signal(signal.SIGSTOP)
    try:
        for one in told:
            wait_status(other, one, "sent")
        seen = len(watch.seen)
    finally:
        gws[holder].signal(signal.SIGCONT)
    lost = "this process sends what is queued no more"
    gws[holder].wait_message(lost)
    assert len(watch.seen) == seen
    assert len(watch.done) == 90 and not watch.twice_at_once
    assert len(watch.repeated) <= 3  # what was answered while it stood still
    in_order(watch.done)


# ---- without the server ---------------------------------------------------------------


def test_without_the_server_nothing_is_promised_and_nothing_lost(start, watch, database):
    gw = start(watch, ORDERED)
    told = [accepted(gw.post("/", b"a%d" % n, "X-Account: a")) for n in range(5)]
    database.pg.stop()
    try:
        reply = gw.post("/", b"no", "X-Account: a")
        assert reply.status == 503 and json.loads(reply.body)["reason"] == "queue_store_failed"
    finally:
        database.pg.start()
    eventually(lambda: gw.post("/", b"a5", "X-Account: a").status == 202, "it is back")
    watch.well = True
    for one in told:
        wait_status(gw, one, "sent")
    eventually(lambda: len(watch.done) == 6, "all are sent")
    assert watch.done == [b"a%d" % n for n in range(6)]
    assert gw.messages("the outbox's server is back")


def test_it_starts_without_the_server(start, watch, database):
    database.pg.stop()
    try:
        gw = start(watch)
        assert gw.post("/", b"1").status == 503
        watch.well = True
        eventually(lambda: gw.post("/", b"2").status == 200, "no order, no question")
        watch.well = False
    finally:
        database.pg.start()
    told = eventually(lambda: (lambda r: r.status == 202 and r)(gw.post("/", b"3")), "it is back")
    watch.well = True
    wait_status(gw, accepted(told), "sent")
    assert watch.done == [b"2", b"3"]


def test_killed_connections_are_not_noticed(start, watch, database):
    gw = start(watch, ORDERED)
    for n in range(20):
        if n % 3 == 0:
            database.pg.kill_backends()
        accepted(gw.post("/", b"a%d" % n, "X-Account: a"))
    watch.well = True
    eventually(lambda: len(watch.done) == 20, "all are sent")
    assert watch.done == [b"a%d" % n for n in range(20)] and not watch.repeated


def test_the_network_is_cut_after_any_number_of_bytes(start, watch, database):
    """Whoever repeats a write that was not promised finds it, or makes it: once."""
    proxy = Proxy(database.pg.port)
    try:
        gw = start(watch, ORDERED, port=proxy.port)
        accepted(gw.post("/", b"a0", "X-Account: a", "Idempotency-Key: a0"))
        step, told = proxy.passed // 30, []
        for n in range(1, 46):
            fields = ("X-Account: a", f"Idempotency-Key: a{n}")
            proxy.budget = n * step
            proxy.cut()
            reply = gw.post("/", b"a%d" % n, *fields)
            told.append(reply.status)
            proxy.budget = None
            if reply.status != 202:
                proxy.cut()
                eventually(lambda n=n, f=fields: gw.post("/", b"a%d" % n, *f).status == 202,
                           "it is promised")
        watch.well = True
        eventually(lambda: not database.waiting(), "all are sent")
        assert watch.done == [b"a%d" % n for n in range(46)]
        assert 503 in told and 202 in told, told
    finally:
        proxy.close()


def test_a_holder_without_network_stops_in_time(start, watch, database):
    """It cannot tell whether it still has the lease, so it does not have it."""
    proxy = Proxy(database.pg.port)
    try:
        cut_off = start(watch, ORDERED, port=proxy.port)
        assert eventually(database.holder, "it has the lease") == cut_off.pid
        other = start(watch, ORDERED)
        told = [accepted(other.post("/", b"a%d" % n, "X-Account: a")) for n in range(30)]
        watch.slow, watch.well = 0.1, True
        eventually(lambda: len(watch.done) > 2, "some are sent")
        proxy.hang()
        for one in told:
            wait_status(other, one, "sent")
        cut_off.wait_message("this process sends what is queued no more")
        assert watch.done == [b"a%d" % n for n in range(30)] and not watch.twice_at_once
    finally:
        proxy.close()


def test_who_is_stuck_with_the_lock_of_appends_loses_it(start, watch, database):
    gw = start(watch)
    accepted(gw.post("/", b"1"))
    key = database.run("SELECT ((classid::bigint << 32) | objid::bigint) FROM pg_locks LIMIT 0")
    assert key == []
    stuck = database.pg.connect(database=database.name)
    stuck.autocommit = False
    with stuck.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(6014398294074064897)")
    began = time.monotonic()
    eventually(lambda: gw.post("/", b"2").status == 202, "the lock is free again")
    print(f"after {time.monotonic() - began:.1f} s")
    stuck.close()


# ---- the rest -------------------------------------------------------------------------


def test_contents_are_sealed_in_the_table(start, watch, database):
    gw = start(watch, store_key="7f" * 32)
    accepted(gw.post("/", b"card 4111111111111111", "Authorization: Bearer topsecret"))
    rows = database.run("SELECT content FROM switchgear_outbox")
    assert b"4111" not in bytes(rows[0][0]) and b"topsecret" not in bytes(rows[0][0])
    watch.well = True
    eventually(lambda: watch.done == [b"card 4111111111111111"], "delivered")


def test_tables_of_a_newer_version_are_refused(start, watch, database):
    start(watch)
    database.run("UPDATE switchgear_outbox_version SET version = 2")
    with pytest.raises(AssertionError, match="version 2 of the outbox"):
        start(watch)


def test_the_password_is_nowhere(gateway, watch, database):
    url = database.url().replace("test@", "test:topsecret@")
    gw = gateway([watch], retry=ONCE, breaker=QUICK, fallback=[{"queue": {}}], store=url,
                 admin={"address": "127.0.0.1:0"})
    address = gw.wait_message("admin listening")["address"]
    import urllib.request  # pylint: disable=import-outside-toplevel
    with urllib.request.urlopen(f"http://{address}/api/v1/config") as reply:
        text = reply.read().decode()
    assert "topsecret" not in text + gw.log() and "test:***@" in text


def test_a_url_that_is_wrong_does_not_tell_its_password(start, watch, database):
    url = database.url().replace("test@", "test:top%zzsecret@")
    with pytest.raises(AssertionError, match="not one that libpq takes") as error:
        start(watch, store=url)
    assert "secret" not in str(error.value)
