"""Queued writes: promised only when they are on stable storage, delivered in order, once each."""
import json
import sqlite3
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import metric
from kit.http import answer
from kit.ledger import CUT, FINE, ONCE, QUICK, Ledger
from kit.upstream import dead_port
from kit.waiting import eventually

@pytest.fixture
def ledger(server):
    return Ledger(server)


@pytest.fixture
def start(gateway):
    """A gateway with a queue before `up`; the outbox is in its own directory."""
    def make(up, queue=None, **keys):
        keys = {"retry": ONCE, "breaker": QUICK, **keys}
        return gateway([up], fallback=[{"queue": queue or {}}], **keys)
    return make


def accepted(reply):
    assert reply.status == 202, (reply.status, reply.body)
    return json.loads(reply.body)


def status_of(gw, told):
    return json.loads(gw.get(told["status_url"]).body)


def wait_status(gw, told, status):
    return eventually(lambda: (lambda s: s["status"] == status and s)(status_of(gw, told)),
                      f"the write is {status}")


# ---- promising ----------------------------------------------------------------------


@pytest.mark.short_io
def test_a_write_is_promised_and_kept(start, ledger):
    gw = start(ledger)
    reply = gw.post("/pay?x=1", b"42", "X-Own: 7", "Content-Type: text/a")
    told = accepted(reply)
    assert told["status"] == "queued" and told["service"] == "web"
    assert reply.headers["Location"] == told["status_url"]
    assert reply.story[0] == "queue"
    ledger.well = True
    status = wait_status(gw, told, "sent")
    assert status["last_status"] == 200 and status["attempts"] >= 1
    assert ledger.done == [b"42"]
    first, last = ledger.seen[0], ledger.seen[-1]
    assert (last.method, last.target, last.body) == ("POST", "/pay?x=1", b"42")
    assert last.headers.all("X-Own") == ["7"] and last.headers["Content-Type"] == "text/a"
    for name in ("Host", "Idempotency-Key", "X-Request-Id", "X-Forwarded-For", "Via"):
        assert last.headers.all(name) == first.headers.all(name) and first.headers[name]


def test_what_the_service_takes_is_not_queued(start, ledger):
    ledger.well = True
    reply = start(ledger).post("/", b"1")
    assert (reply.status, reply.body) == (200, b"done") and reply.story[0] == "upstream"
    assert ledger.done == [b"1"]


def test_the_key_is_on_the_first_try_already(start, ledger):
    """So the service can tell that what it has seen, and what comes again, are the same."""
    gw = start(ledger)
    ledger.well = True
    lost = []

    def does_it_and_breaks(request):
        if lost:
            return None
        lost.append(request)
        ledger.keys[request.headers["Idempotency-Key"]] = request.body
        ledger.done.append(request.body)
        return CUT

    ledger.say = does_it_and_breaks
    told = accepted(gw.post("/", b"pay once"))
    wait_status(gw, told, "sent")
    assert len(ledger.seen) >= 2 and ledger.done == [b"pay once"]


def test_a_clients_own_key_is_kept(start, ledger):
    gw = start(ledger)
    accepted(gw.post("/", b"1", "Idempotency-Key: mine"))
    ledger.well = True
    eventually(lambda: ledger.done, "delivered")
    assert {r.headers["Idempotency-Key"] for r in ledger.seen} == {"mine"}


def test_keys_differ(start, ledger):
    gw = start(ledger, workers=2)
    for _ in range(40):
        accepted(gw.post("/", b"1"))
    ledger.well = True
    eventually(lambda: len(ledger.done) == 40, "delivered")
    assert len(ledger.keys) == 40
    assert len({r.headers["X-Request-Id"] for r in ledger.seen if r.headers["X-Request-Id"]}) == 40


def test_the_same_write_again_is_the_same_promise(start, ledger):
    gw = start(ledger)
    first = accepted(gw.post("/", b"1", "Idempotency-Key: a"))
    second = accepted(gw.post("/", b"1", "Idempotency-Key: a"))
    assert first["id"] == second["id"]
    ledger.well = True
    wait_status(gw, first, "sent")
    assert ledger.done == [b"1"]


def test_another_write_with_the_same_key_is_refused(start, ledger):
    gw = start(ledger)
    accepted(gw.post("/", b"1", "Idempotency-Key: a"))
    reply = gw.post("/", b"2", "Idempotency-Key: a")
    assert reply.status == 422 and json.loads(reply.body)["reason"] == "idempotency_key_reused"


def test_reads_are_not_queued(start, ledger):
    gw = start(ledger)
    for method in ("GET", "HEAD", "OPTIONS"):
        assert gw.get("/", method=method).status == 503


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_every_method_that_writes(start, ledger, method):
    gw = start(ledger)
    with gw.connect() as client:
        client.ask(method, "/thing", body=b"1")
        accepted(client.answer())
    ledger.well = True
    eventually(lambda: ledger.done == [b"1"], "delivered")
    assert ledger.seen[-1].method == method


@pytest.mark.short_io
def test_a_chunked_body_and_an_empty_one(start, ledger):
    gw = start(ledger)
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        accepted(client.answer())
        client.send(b"POST /empty HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        accepted(client.answer())
    ledger.well = True
    eventually(lambda: len(ledger.done) == 2, "delivered")
    assert sorted(ledger.done) == [b"", b"abcde"]


def test_who_waits_for_100_continue_gets_it(start, ledger):
    gw = start(ledger)
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                    b"Expect: 100-continue\r\n\r\n")
        assert client.head().status == 100
        client.send(b"ok")
        accepted(client.answer())
    ledger.well = True
    eventually(lambda: ledger.done == [b"ok"], "delivered")
    assert ledger.seen[-1].headers.all("Expect") == []


def test_a_large_body(start, ledger):
    gw = start(ledger)
    body = bytes(range(256)) * 4000  # just under max_body
    accepted(gw.post("/", body))
    ledger.well = True
    eventually(lambda: ledger.done == [body], "delivered")


def test_a_body_too_large_to_keep_is_not_promised(start, ledger):
    gw = start(ledger, {"max_body": "100KiB"})
    reply = gw.post("/", b"x" * 300_000)
    assert reply.status in (502, 503)
    gw = start(ledger, {"max_body": "1KiB"}, retry={"max": 0, "body": "0"})
    reply = gw.post("/", b"x" * 300_000)
    assert reply.status in (502, 503)


@pytest.mark.parametrize("command", ["force-recovery", "reset"])
def test_who_has_the_breaker_tried_need_not_wait(start, server, command):
    """A replay's failure opens the breaker for long; what that says is not the service's wish."""
    kept, port = dead_port()
    breaker = {"failures": 3, "open": "10m", "open_max": "10m"}
    gw = start(f"http://127.0.0.1:{port}", breaker=breaker, admin=ADMIN)
    admin = Admin(gw)
    told = accepted(gw.post("/", b"1"))
    admin.wait_state("open")  # replays have been tried, too
    eventually(lambda: metric(admin, 'outbox_in_flight{service="web"}') == 0, "none is out")
    kept.close()
    up = server(port=port)
    if command == "reset":
        admin.command("reset")
    else:
        admin.post("/api/v1/resilience/force-recovery", json={})
    wait_status(gw, told, "sent")
    assert up.count == 1


# ---- limits ------------------------------------------------------------------------


def test_a_full_queue_says_so(start, ledger):
    gw = start(ledger, {"max": 2})
    accepted(gw.post("/", b"1"))
    accepted(gw.post("/", b"2"))
    reply = gw.post("/", b"3")
    said = json.loads(reply.body)
    assert reply.status == 503 and said["reason"] == "queue_full"
    assert int(reply.headers["Retry-After"]) >= 1
    ledger.well = True
    eventually(lambda: len(ledger.done) == 2, "delivered")
    ledger.well = False
    eventually(lambda: gw.post("/", b"4").status == 202, "there is room again")


def test_bytes_are_limited_too(start, ledger):
    gw = start(ledger, {"max_bytes": "20KiB"})
    accepted(gw.post("/", b"x" * 15_000))
    assert gw.post("/", b"x" * 15_000).status == 503


def test_a_full_queue_is_followed_by_the_next_tier(gateway, ledger):
    gw = gateway([ledger], retry=ONCE, breaker=QUICK,
                 fallback=[{"queue": {"max": 1}}, {"static": {"status": 507, "text": "full"}}])
    accepted(gw.post("/", b"1"))
    assert gw.post("/", b"2").status == 507


# ---- order ----------------------------------------------------------------------------


def test_a_key_has_its_order(start, ledger):
    gw = start(ledger, {"order_by": "header.X-Account"}, workers=2)
    for n in range(12):
        for account in "abc":
            accepted(gw.post("/", f"{account}{n}".encode(), f"X-Account: {account}"))
    ledger.well = True
    eventually(lambda: len(ledger.done) == 36, "all delivered")
    for account in b"abc":
        assert [d for d in ledger.done if d[0] == account] == [
            bytes([account]) + str(n).encode() for n in range(12)]


@pytest.mark.parametrize("order_by", ["body.account.id", "query.account", "path.account"])
def test_the_key_can_come_from_anywhere(gateway, ledger, order_by):
    gw = gateway([ledger], retry=ONCE, breaker=QUICK,
                 fallback=[{"queue": {"order_by": order_by}}],
                 routes=[{"path": "/{account}", "service": "web"}])
    for n in range(5):
        body = json.dumps({"n": n, "account": {"id": 1}}).encode()
        accepted(gw.post("/1?account=1", body))
    ledger.well = True
    eventually(lambda: len(ledger.done) == 5, "all delivered")
    assert [json.loads(d)["n"] for d in ledger.done] == list(range(5))


def test_nobody_overtakes_a_backlog(start, ledger):
    """The service is back, but writes of this key wait: the new one goes behind them."""
    gw = start(ledger, {"order_by": "header.X-Account"})
    accepted(gw.post("/", b"1", "X-Account: a"))
    held = threading.Event()
    ledger.say = lambda request: held.wait(20) and None if request.body == b"1" else None
    ledger.well = True
    eventually(lambda: ledger.seen[-1].body == b"1" and len(ledger.seen) > 1, "1 is being sent")
    reply = gw.post("/", b"2", "X-Account: a")
    assert reply.story[1]["reason"] == "backlog" and reply.status == 202
    held.set()
    eventually(lambda: len(ledger.done) == 2, "both are delivered")
    assert ledger.done == [b"1", b"2"]
    reply = gw.post("/", b"3", "X-Account: a")
    assert reply.status == 200


# ---- what cannot be delivered -------------------------------------------------------------


def test_a_refused_write_is_a_dead_letter_and_the_next_goes_on(start, ledger):
    gw = start(ledger, {"order_by": "header.X-Account"})
    bad = accepted(gw.post("/", b"bad", "X-Account: a"))
    good = accepted(gw.post("/", b"good", "X-Account: a"))
    ledger.say = lambda r: (answer(b"no such product", "422 Unprocessable Content")
                            if r.body == b"bad" else None)
    ledger.well = True
    assert wait_status(gw, bad, "dead")["last_status"] == 422
    wait_status(gw, good, "sent")
    assert ledger.done == [b"good"]


def test_an_outage_makes_no_dead_letters(start, ledger):
    gw = start(ledger, {"base": "5ms", "cap": "10ms"})
    told = accepted(gw.post("/", b"1"))
    eventually(lambda: len(ledger.seen) >= 20, "it was tried often")
    assert status_of(gw, told)["status"] == "queued"
    ledger.well = True
    wait_status(gw, told, "sent")


def test_what_is_too_old_is_given_up(start, ledger):
    gw = start(ledger, {"expire": "1s"})
    told = accepted(gw.post("/", b"1"))
    wait_status(gw, told, "expired")
    ledger.well = True
    eventually(lambda: gw.post("/", b"2").status == 200, "the service is back")
    assert set(ledger.done) == {b"2"}  # some waited while the breaker was open


# ---- lasting -----------------------------------------------------------------------------------


def test_it_outlives_the_process(gateway, start, ledger, tmp_path):
    store = f"sqlite:{tmp_path}/outbox.db"
    gw = start(ledger, {"order_by": "header.X-Account"}, store=store)
    told = [accepted(gw.post("/", b"%d" % n, "X-Account: a")) for n in range(5)]
    gw.process.kill()
    gw.process.wait()
    gw.process.returncode = 0  # as it was meant
    ledger.well = True
    gw = start(ledger, {"order_by": "header.X-Account"}, store=store)
    for one in told:
        wait_status(gw, one, "sent")
    assert ledger.done == [b"%d" % n for n in range(5)]


def test_two_processes_cannot_own_one_outbox(start, ledger, tmp_path):
    store = f"sqlite:{tmp_path}/outbox.db"
    start(ledger, store=store)
    with pytest.raises(AssertionError, match="another process owns it"):
        start(ledger, store=store, drain={"delay": "0", "timeout": "1ms"})


def test_the_next_process_waits_until_the_one_before_has_drained(start, ledger, tmp_path):
    """An upgrade: nothing that was promised is lost, and nobody sends it twice."""
    store = f"sqlite:{tmp_path}/outbox.db"
    old = start(ledger, store=store)
    told = accepted(old.post("/", b"1"))
    new = start(ledger, store=store, listens=False)
    eventually(lambda: "waiting until it ends" in new.log(), "the new one waits")
    old.stop()
    new.wait_listening()
    ledger.well = True
    wait_status(new, told, "sent")
    assert ledger.done == [b"1"]


def test_contents_are_sealed_where_there_is_a_key(start, ledger, tmp_path):
    store = tmp_path / "outbox.db"
    gw = start(ledger, store=f"sqlite:{store}", store_key="7f" * 32)
    accepted(gw.post("/", b"card 4111111111111111", "Authorization: Bearer topsecret"))
    there = b"".join(p.read_bytes() for p in tmp_path.glob("outbox.db*"))
    assert b"4111111111111111" not in there and b"topsecret" not in there
    ledger.well = True
    eventually(lambda: ledger.done == [b"card 4111111111111111"], "delivered")


def test_a_drain_leaves_what_waits_for_the_next_process(start, ledger, tmp_path):
    store = f"sqlite:{tmp_path}/outbox.db"
    gw = start(ledger, store=store)
    told = accepted(gw.post("/", b"1"))
    gw.stop()
    gw = start(ledger, store=store)
    assert status_of(gw, told)["status"] == "queued"
    ledger.well = True
    wait_status(gw, told, "sent")
    assert ledger.done == [b"1"]


def test_a_reload_keeps_the_queue(start, ledger, gateway):
    gw = start(ledger)
    told = accepted(gw.post("/", b"1"))
    config = json.loads(gw.path.read_text())
    config["services"]["web"]["fallback"] = []
    gw.reload(config)
    assert gw.post("/", b"2").status == 503  # nothing is promised any more
    ledger.well = True
    wait_status(gw, told, "sent")  # but what was is kept
    assert ledger.done == [b"1"]


# ---- asking ---------------------------------------------------------------------------------------


def test_asking_for_what_is_not_there(start, ledger):
    gw = start(ledger)
    for target in ("0" * 32, "x", "", "0" * 31 + "G", "../../etc"):
        assert gw.get(f"/.well-known/switchgear/writes/{target}").status in (404, 503)
    reply = gw.get("/.well-known/switchgear/writes/" + "0" * 32, method="DELETE")
    assert reply.status == 405


def test_without_a_queue_the_path_is_the_services_own(gateway, server):
    up = server(lambda request, link: answer(request.target.encode()))
    target = "/.well-known/switchgear/writes/" + "0" * 32
    assert gateway([up]).get(target).body == target.encode()


# ---- many ------------------------------------------------------------------------------------------


@pytest.mark.threads
def test_many_at_once_each_once_and_in_order(start, ledger):
    """Clients write while the service comes and goes."""
    gw = start(ledger, {"order_by": "header.X-Account"}, workers=2)
    sent, errors = {}, []

    def write(account):
        with gw.connect() as client:
            for n in range(40):
                body = b"%s %d" % (account, n)
                reply = client.post("/", body, "X-Account: " + account.decode())
                if reply.status not in (200, 202):
                    errors.append((reply.status, reply.body))
                sent.setdefault(account, []).append(body)
                if n % 10 == 5:
                    ledger.well = not ledger.well

    threads = [threading.Thread(target=write, args=(b"a%d" % i,)) for i in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ledger.well = True
    assert not errors
    eventually(lambda: len(ledger.done) == 240, "all are delivered")
    for account, bodies in sent.items():
        assert [d for d in ledger.done if d.split()[0] == account] == bodies


# ---- batches -----------------------------------------------------------------------------------------


class Batches(Ledger):
    """A receiver that takes several writes in one request, and knows each by its key."""

    def __init__(self, server):
        super().__init__(server)
        self.items, self.bodies = {}, []
        self.say = self.take

    def take(self, request):
        self.bodies.append(request.body)
        ndjson = request.headers.all("Content-Type") == ["application/x-ndjson"]
        items = ([json.loads(line) for line in request.body.splitlines()] if ndjson
                 else json.loads(request.body))
        items = items if isinstance(items, list) else [items]
        if any(item["n"] == "bad" for item in items):
            return answer(b"bad", "400 Bad Request")
        for item in items:
            self.items.setdefault(item.get("key", item["n"]), item["n"])
        return FINE


@pytest.fixture
def batches(server):
    return Batches(server)


def write_many(gw, count, *headers):
    return [accepted(gw.post("/", json.dumps({"n": n}).encode(), *headers)) for n in range(count)]


@pytest.mark.parametrize("form", ["json_array", "ndjson"])
def test_writes_go_in_batches(start, batches, form):
    gw = start(batches, {"batch": {"max": 10, "as": form, "key": "key", "path": "/batch"},
                         "order_by": "header.X-Account"})
    told = write_many(gw, 25, "X-Account: a")
    batches.well = True
    for one in told:
        wait_status(gw, one, "sent")
    assert list(batches.items.values()) == list(range(25))
    assert len(batches.bodies) <= 6
    last = batches.seen[-1]
    assert last.target == "/batch" and len(last.headers.all("Idempotency-Key")) == 1
    assert len(last.headers.all("Content-Type")) == 1


def test_numbers_keep_their_digits_in_a_batch(start, batches):
    gw = start(batches, {"batch": {"max": 10}})
    for n in range(3):
        accepted(gw.post("/", b'{"n": %d, "price": 0.10, "big": 12345678901234567890123}' % n))
    batches.well = True
    eventually(lambda: len(batches.items) == 3, "delivered")
    assert all(b"0.10" in body for body in batches.bodies)
    assert all(b"12345678901234567890123" in body for body in batches.bodies)


def test_a_batch_that_is_refused_goes_one_by_one(start, batches):
    gw = start(batches, {"batch": {"max": 10}, "base": "10ms"})
    good = write_many(gw, 4)
    bad = accepted(gw.post("/", b'{"n": "bad"}'))
    batches.well = True
    for one in good:
        wait_status(gw, one, "sent")
    wait_status(gw, bad, "dead")


def test_what_is_no_json_goes_by_itself(start, batches):
    gw = start(batches, {"batch": {"max": 10}, "base": "10ms"})
    batches.say = lambda r: (batches.bodies.append(r.body), FINE)[1]
    told = [accepted(gw.post("/", body)) for body in (b"plain", b'{"n": 1}', b"text", b'{"n": 2}')]
    batches.well = True
    for one in told:
        wait_status(gw, one, "sent")
    assert b"plain" in batches.bodies and b"text" in batches.bodies


def test_nobody_writes_under_anothers_name(start, batches):
    gw = start(batches, {"batch": {"max": 10}, "base": "10ms"})
    for n in range(6):
        accepted(gw.post("/", b'{"n": %d}' % n, f"Authorization: Bearer {n % 2}"))
    batches.well = True
    eventually(lambda: len(batches.items) == 6, "delivered")
    for request in batches.seen:
        if request.body.startswith(b"["):
            name = int(request.headers["Authorization"][-1])
            assert {item["n"] % 2 for item in json.loads(request.body)} == {name}


def test_what_goes_along_overtakes_nothing(start, batches):
    """The second write of b goes to where the first of a goes, but not before b's first."""
    gw = start(batches, {"batch": {"max": 10}, "base": "10ms", "order_by": "header.X-Account"})
    for n, (target, account) in enumerate([("/x", "a"), ("/y", "b"), ("/x", "b"), ("/x", "a")]):
        accepted(gw.post(target, json.dumps({"n": n}).encode(), f"X-Account: {account}"))
    batches.well = True
    eventually(lambda: len(batches.items) == 4, "delivered")
    order = list(batches.items.values())
    assert order.index(0) < order.index(3) and order.index(1) < order.index(2)


@pytest.mark.parametrize("batch", [1, 10])
def test_one_that_cannot_be_read_holds_up_only_its_own(start, batches, tmp_path, batch):
    store = tmp_path / "outbox.db"
    queue = {"batch": {"max": batch, "key": "key"}, "base": "10ms", "cap": "20ms",
             "order_by": "header.X-Account"}
    gw = start(batches, queue, store=f"sqlite:{store}")
    told = [accepted(gw.post("/", json.dumps({"n": n}).encode(), f"X-Account: {n % 3}"))
            for n in range(9)]
    gw.stop()
    with sqlite3.connect(store) as db:
        db.execute("UPDATE entry SET content = x'00' WHERE sequence = 1")
    db.close()
    batches.well = True
    gw = start(batches, queue, store=f"sqlite:{store}")
    for n in (1, 2, 4, 5, 7, 8):
        wait_status(gw, told[n], "sent")
    assert {n % 3 for n in batches.items.values()} == {1, 2}
    assert gw.messages("the outbox cannot give back what it keeps")
    eventually(lambda: status_of(gw, told[0]).get("attempts", 0) > 2, "it is looked at again")
    assert status_of(gw, told[0])["status"] == "queued"


def test_firestore_tells_the_fate_of_each(start, batches):
    gw = start(batches, {"batch": {"max": 10, "as": "firestore"}, "base": "10ms"})
    written, failed_once = [], set()

    def batch_write(request):
        status = []
        for write in json.loads(request.body)["writes"]:
            name = write["update"]["name"]
            if name == "docs/bad":
                status.append({"code": 3, "message": "no"})
            elif name == "docs/busy" and name not in failed_once:
                failed_once.add(name)
                status.append({"code": 10})
            else:
                written.append(name)
                status.append({})
        return answer(json.dumps({"writeResults": [], "status": status}).encode())

    batches.say = batch_write
    told = {name: accepted(gw.post("/v1/docs:batchWrite", json.dumps(
        {"writes": [{"update": {"name": f"docs/{name}"}}]}).encode()))
        for name in ("a", "bad", "busy", "b")}
    batches.well = True
    for name, one in told.items():
        wait_status(gw, one, "dead" if name == "bad" else "sent")
    assert sorted(written) == ["docs/a", "docs/b", "docs/busy"]
