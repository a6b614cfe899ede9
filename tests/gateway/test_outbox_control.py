"""The outbox from outside: the admin API, and the commands that ask it."""
import base64
import json
import socket
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.mock import command
from kit.waiting import eventually

TOKEN = "a-token-of-some-length"
QUICK = {"consecutive": 1, "open": "20ms", "open_max": "50ms", "close_after": 1}
GONE = answer(b"no", "503 Service Unavailable")
BAD = answer(b"no such account", "422 Unprocessable Content")


class Bank:
    """Answers as it is told to; keeps what it was asked."""

    def __init__(self, server):
        self.says = GONE
        self.done, self.hold, self.held = [], None, False
        self.url = server(self.respond).url

    def respond(self, request, _link):
        if self.hold:
            self.held = True
            self.hold.wait(20)
        if self.says is None:
            self.done.append(request.body)
        return self.says or answer(b"done")


@pytest.fixture
def bank(server):
    return Bank(server)


@pytest.fixture
def start(gateway):
    """A gateway with queues before `bank`, and its admin side."""
    clients = []

    def make(bank, token=None, queue=None, **keys):
        gw = gateway([bank], admin={**ADMIN, **({"token": token} if token else {})},
                     retry={"max": 0}, breaker=QUICK,
                     fallback=[{"queue": {"base": "5ms", "cap": "20ms", **(queue or {})}}], **keys)
        clients.append(Admin(gw, token))
        return gw, clients[-1]

    yield make
    for client in clients:
        client.close()


def write(gw, body=b"42", *fields):
    reply = gw.post("/pay?x=1", body, *fields)
    assert reply.status == 202, reply
    return reply.json()["id"]


def entry(admin, number):
    return admin.json(f"/api/v1/outbox/{number}")


def wait_state(admin, number, state):
    return eventually(lambda: (e := entry(admin, number))["state"] == state and e, state)


def make_dead(gw, admin, bank, body=b"bad"):
    number = write(gw, body)
    bank.says = BAD
    wait_state(admin, number, "dead")
    return number


# ---- reading --------------------------------------------------------------------------


def test_the_list_has_what_waits_in_its_order(start, bank):
    gw, admin = start(bank, queue={"order_by": "header.X-Account"})
    numbers = [write(gw, b"%d" % n, "X-Account: a") for n in range(5)]
    told = admin.json("/api/v1/outbox")
    assert [e["id"] for e in told["entries"]] == numbers and told["next"] is None
    one = told["entries"][0]
    assert (one["service"], one["state"], one["order_key"]) == ("web", "queued", "a")
    assert one["content_bytes"] > 0 and one["accepted_at"].endswith("Z")
    assert "body" not in one and "target" not in one and "headers" not in one


def test_the_list_goes_page_by_page(start, bank):
    gw, admin = start(bank)
    numbers = [write(gw, b"%d" % n) for n in range(5)]
    seen, after = [], 0
    while after is not None:
        told = admin.json(f"/api/v1/outbox?limit=2&after={after}")
        assert len(told["entries"]) <= 2
        seen += [e["id"] for e in told["entries"]]
        after = told["next"]
    assert seen == numbers


def test_the_list_by_state_and_service(start, bank):
    gw, admin = start(bank)
    dead = make_dead(gw, admin, bank)
    bank.says = GONE
    queued = write(gw)

    def ids(query):
        return [e["id"] for e in admin.json("/api/v1/outbox?" + query)["entries"]]

    assert ids("state=dead") == [dead] and ids("state=queued") == [queued]
    assert ids("state=sent") == [] and ids("service=other") == []
    assert ids("service=web") == [dead, queued] and ids("service=web&state=dead") == [dead]


@pytest.mark.parametrize("query", ["state=done", "limit=0", "limit=1001", "limit=x", "after=-1",
                                   "after=99999999999999999999"])
def test_a_wrong_question_is_told_so(start, bank, query):
    _, admin = start(bank)
    told = admin.get("/api/v1/outbox?" + query)
    assert told.status_code == 400 and told.json()["detail"]


def test_one_entry_shows_names_but_no_values(start, bank):
    gw, admin = start(bank)
    number = write(gw, b"card 4111", "X-Own: private", "Authorization: Bearer topsecret")
    told = admin.get(f"/api/v1/outbox/{number}")
    assert told.json()["target"] == "/pay?x=1" and told.json()["method"] == "POST"
    assert {"X-Own", "Authorization", "Idempotency-Key"} <= set(told.json()["headers"])
    for secret in ("4111", "private", "topsecret"):
        assert secret not in told.text


def test_the_content_needs_the_token_everywhere(start, bank):
    gw, admin = start(bank, TOKEN)
    number = write(gw, b"card 4111", "X-Own: mine", "Authorization: Bearer topsecret",
                   "Cookie: a=topsecret", "X-Api-Key: topsecret")
    with Admin(gw) as anybody:
        assert anybody.get(f"/api/v1/outbox/{number}").status_code == 200
        assert anybody.get(f"/api/v1/outbox/{number}?content=1").status_code == 401
    told = admin.get(f"/api/v1/outbox/{number}?content=1")
    assert told.json()["body"] == "card 4111" and "topsecret" not in told.text
    fields = {f["name"]: f["value"] for f in told.json()["headers"]}
    assert fields["X-Own"] == "mine" and fields["Authorization"] == "***"
    assert fields["Cookie"] == "***" and fields["X-Api-Key"] == "***"


def test_without_a_token_configured_nobody_sees_contents(start, bank):
    gw, admin = start(bank)
    number = write(gw)
    assert admin.get(f"/api/v1/outbox/{number}?content=1").status_code == 401


@pytest.mark.parametrize("size", range(7))
def test_a_body_that_is_no_text(start, bank, size):
    gw, admin = start(bank, TOKEN)
    body = b"\xff\x00\xfe\x80\x81\x82\x83"[:size] + b"\xff"
    number = write(gw, body)
    told = admin.json(f"/api/v1/outbox/{number}?content=1")
    assert base64.b64decode(told["body_base64"], validate=True) == body


def test_what_is_settled_has_no_content_any_more(start, bank):
    gw, admin = start(bank)
    number = write(gw)
    bank.says = None
    told = wait_state(admin, number, "sent")
    assert told["content"] == "no longer kept" and told["settled_at"] and "headers" not in told


def test_the_summary(start, bank):
    gw, admin = start(bank, queue={"order_by": "header.X-Account"})
    make_dead(gw, admin, bank)
    bank.says = GONE
    for n in range(3):
        write(gw, b"%d" % n, "X-Account: a")
    [told] = admin.json("/api/v1/outbox/summary")["queues"]
    assert (told["service"], told["entries"], told["order_keys"]) == ("web", 3, 1)
    assert told["dead_letters"] == 1 and told["oldest_at"]
    assert told["since_start"]["accepted"] == 4 and told["since_start"]["dead"] == 1


def test_a_gateway_without_queues(gateway, bank):
    gw = gateway([bank], admin=ADMIN)
    with Admin(gw) as admin:
        assert admin.json("/api/v1/outbox") == {"entries": [], "next": None}
        assert admin.json("/api/v1/outbox/summary") == {"queues": []}
        assert admin.get("/api/v1/outbox/" + "0" * 32).status_code == 404
        assert admin.post("/api/v1/outbox/" + "0" * 32 + "/drop").status_code == 404


# ---- retry and drop -----------------------------------------------------------------------


@pytest.mark.threads
def test_a_dead_letter_is_retried(start, bank):
    gw, admin = start(bank)
    number = make_dead(gw, admin, bank)
    bank.says = None
    told = admin.post(f"/api/v1/outbox/{number}/retry",
                      json={"reason": "the account is there now", "author": "ada"})
    assert told.status_code == 200 and told.json()["state"] in ("queued", "sent")
    wait_state(admin, number, "sent")
    assert bank.done == [b"bad"]
    events = admin.json("/api/v1/circuit-breakers/web/history")["events"]
    [event] = [e for e in events if e["kind"] == "outbox"]
    assert (event["to"], event["author"]) == ("retry", "ada")
    assert event["text"] == f"{number}: the account is there now"


@pytest.mark.threads
def test_a_dropped_write_is_never_sent(start, bank):
    gw, admin = start(bank)
    number = write(gw, b"unwanted")

    def drop():  # 409 while an attempt is under way
        told = admin.post(f"/api/v1/outbox/{number}/drop", json={"reason": "sent by hand"})
        assert told.status_code in (200, 409), told.text
        return told.status_code == 200 and told

    assert eventually(drop, "it is dropped").json()["state"] == "dropped"
    bank.says = None
    eventually(lambda: gw.post("/", b"next").status == 200, "the service is back")
    assert set(bank.done) == {b"next"}
    again = admin.post(f"/api/v1/outbox/{number}/drop")
    assert again.status_code == 409 and again.json()["reason"] == "settled"


def test_a_dead_letter_is_dropped(start, bank):
    gw, admin = start(bank)
    number = make_dead(gw, admin, bank)
    assert admin.post(f"/api/v1/outbox/{number}/drop").json()["state"] == "dropped"
    assert admin.post(f"/api/v1/outbox/{number}/retry").status_code == 409


def test_what_is_being_sent_is_not_dropped(start, bank):
    gw, admin = start(bank)
    number = write(gw)
    bank.hold, bank.says = threading.Event(), None  # the next attempt hangs, then succeeds
    eventually(lambda: admin.json("/api/v1/outbox/summary")["queues"][0]["in_flight"] and bank.held,
               "it is being sent")
    told = admin.post(f"/api/v1/outbox/{number}/drop")
    assert told.status_code == 409 and told.json()["reason"] == "being_sent"
    assert told.headers["Retry-After"] == "1"
    bank.hold.set()
    wait_state(admin, number, "sent")
    assert bank.done == [b"42"]


def test_what_cannot_be_retried(start, bank):
    gw, admin = start(bank)
    number = write(gw)
    told = admin.post(f"/api/v1/outbox/{number}/retry")
    assert told.status_code == 409 and told.json()["reason"] == "not_dead"
    for unknown in ("0" * 32, "x", "%00", "f" * 33):
        assert admin.post(f"/api/v1/outbox/{unknown}/retry").status_code in (400, 404)
    for body in ({"for": "1h"}, {"raeson": "x"}, {"reason": 1}, []):
        assert admin.post(f"/api/v1/outbox/{number}/drop", json=body).status_code == 400


def test_changing_needs_the_token(start, bank):
    gw, admin = start(bank, TOKEN)
    number = write(gw)
    with Admin(gw) as anybody:
        assert anybody.post(f"/api/v1/outbox/{number}/drop").status_code == 401


@pytest.mark.threads
def test_clients_that_go_away_and_pipeline(start, bank):
    """Whoever asks and leaves hurts nobody; answers come in the order of the questions."""
    gw, admin = start(bank)
    number = write(gw)
    host = gw.wait_message("admin listening")["address"]
    ask = f"GET /api/v1/outbox/{number} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    live = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for _ in range(50):
        with socket.create_connection(host.rsplit(":", 1)) as sock:
            sock.sendall(ask)
    with socket.create_connection(host.rsplit(":", 1)) as sock:
        sock.sendall(ask + live + ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        sock.shutdown(socket.SHUT_WR)
        whole = b"".join(iter(lambda: sock.recv(65536), b""))
    assert whole.count(b"HTTP/1.1 200") == 3 and whole.count(number.encode()) == 2
    assert whole.index(number.encode()) < whole.index(b"alive\"") < whole.rindex(number.encode())


# ---- the commands ---------------------------------------------------------------------------


@pytest.fixture
def run(start, bank):
    gw, admin = start(bank)
    address = gw.wait_message("admin listening")["address"]

    def run(*arguments, **how):
        return command("outbox", "--admin", address, *arguments, **how)

    run.gw, run.admin, run.address = gw, admin, address
    return run


def test_the_commands(run, bank):
    assert run()[0] == "no such writes\n"
    number = make_dead(run.gw, run.admin, bank)
    out, _ = run("list", "--state", "dead")
    assert number in out and "dead" in out and "no such account" in out
    assert json.loads(run("list", "--json")[0])["entries"][0]["id"] == number
    out, _ = run("show", number)
    assert "/pay?x=1" in out and "Idempotency-Key" in out and "422" in out
    status, _ = command("status", "--admin", run.address)
    assert "outbox: web: 0 queued; 1 dead" in status
    bank.says = None
    assert run("retry", number, "--reason", "why not")[0].startswith(f"{number}: ")
    wait_state(run.admin, number, "sent")
    assert "nothing to drop" in run("drop", number, code=1)[1]
    assert "outbox" not in command("status", "--admin", run.address)[0]


def test_all_dead_letters_at_once(run, bank):
    numbers = []
    for n in range(4):
        bank.says = GONE
        numbers.append(make_dead(run.gw, run.admin, bank, b"%d" % n))
    bank.says = None
    out, _ = run("retry", "--all-dead", "--service", "web", "--reason", "fixed")
    assert "4 dead letters" in out
    for number in numbers:
        wait_state(run.admin, number, "sent")
    assert sorted(bank.done) == [b"0", b"1", b"2", b"3"]
    assert "0 dead letters" in run("drop", "--all-dead", "--service", "web")[0]


@pytest.mark.parametrize("arguments", [["show"], ["retry"], ["drop", "x", "--all-dead"], ["lsit"],
                                       ["retry", "--all-dead"], ["list", "x"],
                                       ["list", "--all-dead"], ["list", "--limit", "0"]])
def test_wrong_usage(arguments):
    assert command("outbox", *arguments, code=2)[1]
