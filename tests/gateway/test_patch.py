"""PATCH of a service's policy: another policy at once, the same state, and nothing lost."""
import json

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.load import Load, echo
from kit.mock import command
from kit.upgrade import upgrade

FAIL = answer(b"no", "500 Internal Server Error")
PATH = "/api/v1/services/web"


def patch(admin, body, status=200, query="", **headers):
    data = body if isinstance(body, (bytes, str)) else json.dumps(body)
    got = admin.patch(PATH + query, content=data, headers={
        "Content-Type": "application/merge-patch+json", **headers})
    assert got.status_code == status, got.text
    kind = "application/json" if status == 200 else "application/problem+json"
    assert got.headers["content-type"] == kind
    return got.json()


@pytest.fixture
def one(gateway, server):
    """A gateway with one service, and its admin API."""
    def start(respond=echo, token=None, **keys):
        up = server(respond)
        keys.setdefault("breaker", {"failures": 5, "window": 100, "open": "1h", "jitter": "0%"})
        gw = gateway([up], admin={**ADMIN, **({"token": token} if token else {})},
                     retry={"max": 0}, **keys)
        admin = Admin(gw, token)
        admin.gw, admin.up = gw, up
        return admin
    return start


# ---- what changes, and what stays ---------------------------------------------------


def test_a_policy_changes_and_says_so(one):
    admin = one()
    with admin.follow() as events:
        got = patch(admin, {"breaker": {"failures": 8}, "timeout": {"attempt": "2s"},
                            "message": {"open": "${HOME} file:/etc/passwd"},
                            "author": "ada", "reason": "slow today"})
        told = events.until("policy", service="web")
    assert {c["key"]: (c["from"], c["to"]) for c in got["changed"]} == {
        "breaker.failures": (5, 8), "timeout.attempt": ("30s", "2s"),
        "message.open": ("web is taking a short break. Please try again in a few moments.",
                         "${HOME} file:/etc/passwd")}
    assert told["author"] == "ada" and told["to"] == "changed"
    assert told["text"].startswith("slow today: ") and "breaker.failures 5 -> 8" in told["text"]
    line = admin.gw.wait_message("policy changed at run time")
    assert line["author"] == "ada" and "timeout.attempt 30s -> 2s" in line["changes"]
    assert any(e["kind"] == "policy" for e in admin.json(
        "/api/v1/circuit-breakers/web/history")["events"])

    seen = admin.service()
    assert seen["policy"] == got["policy"] and got["generation"] == 2
    assert seen["policy"]["breaker"]["failures"] == 8
    assert seen["policy"]["message"]["open"] == "${HOME} file:/etc/passwd"
    patched = {p["key"]: p for p in seen["patched"]}
    assert patched["breaker.failures"]["value"] == 8
    assert patched["timeout.attempt"]["author"] == "ada"
    assert patched["timeout.attempt"]["reason"] == "slow today" and patched["timeout.attempt"]["since"]

    # a second change of one key, by somebody else; the other keeps its author
    got = patch(admin, {"breaker": {"failures": 9}})
    assert {p["key"]: p["author"] for p in got["patched"]} == {
        "breaker.failures": "admin API", "timeout.attempt": "ada", "message.open": "ada"}
    # null: as if the file did not say it
    got = patch(admin, {"breaker": {"failures": None, "consecutive": 7}})
    assert got["policy"]["breaker"]["consecutive"] == 7
    assert "failures" not in got["policy"]["breaker"]

    # back to the file
    got = admin.delete(PATH + "/patch").json()
    assert got["patched"] == [] and got["policy"]["breaker"]["failures"] == 5
    assert got["policy"]["timeout"]["attempt"] == "30s"


def test_what_is_open_stays_open_and_windows_keep_their_counts(one):
    admin = one(lambda request, link: FAIL)
    for _ in range(3):
        admin.gw.get("/")
    assert admin.breaker()["failure_count"] == 3
    patch(admin, {"breaker": {"failures": 4}})
    assert (admin.breaker()["failure_count"], admin.breaker()["state"]) == (3, "closed")
    admin.gw.get("/")
    before = admin.breaker()
    assert before["state"] == "open"
    # its remaining time is that which it was given, not that of the new policy
    patch(admin, {"breaker": {"failures": 50, "open": "5s", "open_max": "10s"},
                  "timeout": {"attempt": "1s"}})
    after = admin.breaker()
    for key in ("state", "since", "opened_at", "next_probe_at", "calls", "failure_count"):
        assert after[key] == before[key], key
    assert admin.gw.get("/").status == 503 and admin.up.count == 4


def test_manual_control_and_limits_outlast_it(one):
    admin = one(rate_limit={"rate": "1/h", "burst": 2})
    assert [admin.gw.get("/").status for _ in range(3)] == [200, 200, 429]
    patch(admin, {"rate_limit": {"rate": "2/h"}, "bulkhead": {"concurrent": 5}})
    assert admin.gw.get("/").status == 429  # the bucket is still empty
    admin.command("force-open", reason="r", author="bob")
    patch(admin, {"breaker": {"failures": 6}})
    assert admin.breaker()["state"] == "forced_open"


def test_parts_are_switched_on_and_off(one):
    admin = one()
    patch(admin, {"cache": {"fresh": "1h"}})
    admin.gw.get("/a"), admin.gw.get("/a")
    assert admin.up.count == 1
    assert patch(admin, {"cache": "off"})["policy"]["cache"] == "off"
    admin.gw.get("/a")
    assert admin.up.count == 2
    assert patch(admin, {"read_only": {"when": "always"}})["policy"]["read_only"]["when"] == "always"
    assert admin.gw.post("/a", b"x").status == 503 and admin.up.count == 2


# ---- until the next reload --------------------------------------------------------------


def test_a_reload_ends_it_and_says_what(one):
    admin = one()
    patch(admin, {"breaker": {"failures": 8}, "author": "ada"})
    # a file that is wrong changes nothing, not this either
    good = admin.gw.path.read_text()
    admin.gw.path.write_text("services: 5\n")
    assert admin.post("/api/v1/config/reload", json={}).status_code == 422
    assert admin.service()["policy"]["breaker"]["failures"] == 8
    # what the file says meanwhile is nobody's before the reload
    other = json.loads(good)
    other["services"]["web"]["timeout"] = {"total": "7s"}
    admin.gw.path.write_text(json.dumps(other))
    assert patch(admin, {"timeout": {"attempt": "2s"}})["policy"]["timeout"]["total"] == "1m"
    with admin.follow() as events:
        got = admin.post("/api/v1/config/reload", json={"author": "bob"}).json()
        told = events.until("policy", service="web", to="ended")
    assert [(p["service"], p["key"], p["value"], p["author"]) for p in got["replaced"]] == [
        ("web", "breaker.failures", 8, "ada"), ("web", "timeout.attempt", "2s", "admin API")]
    assert told["author"] == "bob" and "breaker.failures (8 by ada)" in told["text"]
    assert admin.gw.wait_message("changes at run time have ended")["cause"] == "reload"
    seen = admin.service()
    assert seen["patched"] == [] and seen["policy"]["breaker"]["failures"] == 5
    assert seen["policy"]["timeout"]["total"] == "7s"


def test_an_upgrade_ends_it_too(one):
    admin = one()
    patch(admin, {"breaker": {"failures": 8}, "author": "ada"})
    upgrade(admin.gw)
    line = admin.gw.wait_message("changes at run time have ended")
    assert line["cause"] == "upgrade" and line["changes"] == "breaker.failures (8 by ada)"
    with Admin(admin.gw) as after:
        assert after.service()["policy"]["breaker"]["failures"] == 5


# ---- what is refused --------------------------------------------------------------------


WRONG = [
    ({"breaker": {"failures": 0, "opn": "1s"}, "timeout": {"attempt": "soon"}},
     ["breaker.failures is \"0\"", "unknown key \"opn\"", "did you mean \"open\"",
      "timeout.attempt is \"soon\"; expected a duration"]),
    ({"brekaer": {"failures": 5}}, ["unknown key \"brekaer\"", "did you mean \"breaker\""]),
    ({"brekaer": None}, ["unknown key \"brekaer\"", "did you mean \"breaker\""]),
    ({"breaker": {"open": "10m", "open_max": "1m"}}, ["open_max is less than breaker.open"]),
    ({"endpoints": ["http://127.0.0.1:1"]}, ["endpoints cannot be changed at run time"]),
    ({"endpoints": None}, ["endpoints cannot be changed at run time"]),
    ({"fallback": [{"static": {"file": "/etc/passwd"}}]}, ["fallback cannot be changed"]),
    ({"critical": {"very": True}}, ["critical is a mapping"]),
    ({"critical": [1]}, ["critical is a list"]),
    ({"breaker": 5}, ["breaker is \"5\""]),
    ({"retry": {"on": [None]}}, ["retry.on"]),
    ({"depends_on": ["nobody"]}, ["there is no service \"nobody\""]),
    ({"message": {"open": "x" * 5000}}, ["message.open"]),
]


def test_a_policy_that_is_wrong_is_told_all(one):
    admin = one()
    for body, wrong in WRONG:
        got = patch(admin, {**body, "bulkhead": {"concurrent": 7}}, 422)
        assert got["reason"] == "bad_policy" and got["service"] == "web"
        for piece in wrong:
            assert any(piece in error for error in got["errors"]), (piece, got["errors"])
        assert not any("switchgear.yaml" in error for error in got["errors"])
        seen = admin.service()
        assert seen["patched"] == [] and seen["policy"]["bulkhead"]["concurrent"] == 1024
        assert "passwd" not in json.dumps(seen)


HOSTILE = [
    b"", b"[]", b"5", b"null", b"{", b'{"a": 1, "a": 2}', b'{"breaker": {"open": 1, "open": 2}}',
    b'{"author": 5}', b'{"reason": "' + b"x" * 200 + b'"}', b'{"breaker.failures": 8}',
    b'{"": 1}', b'{"Breaker": 1}', b'{"a\\u0000b": 1}', b'{"breaker": "\\u0000"}',
    b"[" * 3000, b'{"a":' * 3000, b'{"a":' * 9 + b"1" + b"}" * 9, b"\xff\xfe",
    b'{"retry": {"on": ' + b"[" * 40 + b"]" * 40 + b"}}",
    json.dumps({f"k{i}": i for i in range(300)}).encode(), b'{"breaker": {"open": "\xc0\x80"}}',
]


def test_hostile_bodies(one):
    admin = one()
    for body in HOSTILE:
        assert patch(admin, body, 400)["reason"] == "bad_body"
    assert patch(admin, {"breaker": {"failures": 8}})["generation"] == 2


def test_a_body_that_is_too_large(one):
    admin = one()
    got = admin.patch(PATH, content=b'{"breaker": "' + b"x" * 40000 + b'"}')
    assert got.status_code == 413
    assert admin.service()["patched"] == []


def test_there_is_a_most_that_can_be_changed(gateway, server):
    up = server(echo)
    names = [f"s{i}" for i in range(30)]
    gw = gateway([up], admin=ADMIN, services={n: {"endpoints": [up.url]} for n in names},
                 routes=[{"path": f"/{n}", "service": n} for n in ["web", *names]])
    admin = Admin(gw)
    keys = json.loads(json.dumps(admin.service()["policy"]))
    body = {group: {k: v for k, v in keys[group].items()} for group in
            ("timeout", "retry", "breaker", "bulkhead", "enabled", "message")}
    results = [admin.patch(f"/api/v1/services/{n}", json={**body, "timeout": {
        **body["timeout"], "attempt": "29s"}}).status_code for n in names]
    assert results[0] == 200 and results[-1] == 409 and set(results) == {200, 409}


def test_if_match_and_dry_run(one):
    admin = one()
    tag = admin.get(PATH).headers["etag"]
    assert admin.get(PATH).headers["accept-patch"] == "application/merge-patch+json"
    got = patch(admin, {"breaker": {"failures": 8}}, query="?dry_run=1", **{"If-Match": tag})
    assert got["dry_run"] and got["policy"]["breaker"]["failures"] == 8
    assert [c["key"] for c in got["changed"]] == ["breaker.failures"]
    assert admin.service()["policy"]["breaker"]["failures"] == 5
    patch(admin, {"breaker": {"failures": 0}}, 422, query="?dry_run=1")
    got = admin.patch(PATH, json={"breaker": {"failures": 8}}, headers={"If-Match": tag})
    assert got.status_code == 200 and got.headers["etag"] != tag
    assert patch(admin, {"breaker": {"failures": 9}}, 412, **{"If-Match": tag})[
        "reason"] == "changed_meanwhile"
    assert admin.service()["policy"]["breaker"]["failures"] == 8
    patch(admin, {"breaker": {"failures": 8}}, **{"If-Match": "*"})
    assert admin.get(PATH).headers["etag"] == got.headers["etag"]  # the same: nothing happened
    assert admin.patch("/api/v1/services/nobody", json={}).status_code == 404


def test_who_may(one):
    admin = one(token="0123456789abcdef")
    admin.headers.pop("Authorization")
    assert admin.patch(PATH, json={"breaker": {"failures": 8}}).status_code == 401
    assert admin.delete(PATH + "/patch").status_code == 401
    admin.headers["Authorization"] = "Bearer 0123456789abcdef"
    assert admin.patch(PATH, json={"breaker": {"failures": 8}},
                       headers={"Origin": "http://evil.example"}).status_code == 403
    assert admin.service()["patched"] == []


# ---- under load ---------------------------------------------------------------------------


@pytest.mark.threads
def test_no_request_fails_in_hundreds_of_changes(gateway, server):
    gw = gateway([server(echo)], admin=ADMIN, workers=2)
    admin = Admin(gw)
    load = Load(gw, clients=3)
    for i in range(240):
        body = [{"breaker": {"failures": 50 + i, "window": "10s"}}, {"timeout": {"attempt": f"{20 + i % 9}s"}},
                {"bulkhead": {"concurrent": 500 + i}}, {"cache": {"fresh": "0", "stale": "1m"}},
                {"cache": "off"}, {"breaker": {"window": 10 + i % 50, "failures": None}}][i % 6]
        patch(admin, body)
        if i % 50 == 0:
            load.wait_answers(5)
    load.stop()
    assert len(admin.service()["patched"]) < 8


# ---- the command ----------------------------------------------------------------------------


def run(admin, *args, code=0):
    address = str(admin.base_url).removeprefix("http://").rstrip("/")
    return command("set", *args, "--admin", address, code=code)


def test_the_command(one):
    admin = one()
    out, _ = run(admin, "web", "breaker.failures=8", "timeout.attempt=2s", "retry.on=[503]",
                 "--reason", "slow today", "--author", "ada")
    assert "breaker.failures 5 -> 8\n" in out and "timeout.attempt 30s -> 2s\n" in out
    patched = {p["key"]: p for p in admin.service()["patched"]}
    assert patched["breaker.failures"]["value"] == 8
    assert patched["retry.on"]["value"] == [503] and patched["retry.on"]["author"] == "ada"
    out, _ = run(admin, "web")  # what is changed
    assert "breaker.failures = 8, by ada since " in out and ": slow today" in out
    _, err = run(admin, "web", "breaker.failures=0", "breaker.opn=5s", code=2)
    assert "breaker.failures is \"0\"" in err and "did you mean \"open\"" in err
    out, _ = run(admin, "web", "breaker.failures=9", "--dry-run")
    assert out == "would change: breaker.failures 8 -> 9\n"
    assert admin.service()["policy"]["breaker"]["failures"] == 8
    out, _ = run(admin, "web", "breaker.failures=9", "--json")
    assert json.loads(out)["changed"] == [{"key": "breaker.failures", "from": 8, "to": 9}]
    run(admin, "web", "breaker.failures=null")
    out, _ = command("reload", "--admin", str(admin.base_url).removeprefix("http://").rstrip("/"))
    assert "ended: web retry.on, changed at run time by ada" in out
    run(admin, "web", "breaker.failures=9")
    run(admin, "web", "--undo")
    assert admin.service()["patched"] == []
    run(admin, "nobody", "breaker.failures=9", code=1)
    _, err = run(admin, "web", "breaker", code=2)
    assert "is not key=value" in err
