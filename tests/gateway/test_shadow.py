"""A shadow beside the breaker: other settings on the same calls, and no say."""
import json

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.load import Load, echo
from kit.mock import command

FAIL = answer(b"no", "500 Internal Server Error")
PATH = "/api/v1/services/web/shadow"
LIVE = {"failures": 6, "window": 100, "open": "1h", "jitter": "0%"}


@pytest.fixture
def one(gateway, server):
    def start(respond=lambda request, link: FAIL, **keys):
        up = server(respond)
        keys.setdefault("breaker", LIVE)
        gw = gateway([up], admin=ADMIN, retry={"max": 0}, **keys)
        admin = Admin(gw)
        admin.gw, admin.up = gw, up
        return admin
    return start


def metrics(admin):
    lines = admin.get("/metrics").text.splitlines()
    return {line.split("{")[0].removeprefix("circuit_breaker_shadow_"): float(line.split()[-1])
            for line in lines if line.startswith("circuit_breaker_shadow_")}


def test_what_another_breaker_would_have_done(one):
    admin = one()
    assert admin.json(PATH)["enabled"] is False and admin.service()["shadow"] is None
    assert metrics(admin) == {}
    with admin.follow() as events:
        got = admin.put(PATH, json={"breaker": {"consecutive": 2}, "author": "ada",
                                    "reason": "A/B"})
        assert got.status_code == 200, got.text
        for _ in range(5):
            assert admin.gw.get("/").status == 500
        told = events.until("shadow", service="web")
    assert (told["from"], told["to"], told["cause"]) == ("closed", "open", "consecutive")
    assert admin.gw.wait_message("shadow breaker changed")["to"] == "open"

    seen = admin.json(PATH)
    assert seen["service"] == "web" and seen["enabled"] and not seen["agrees"]
    # what is not named is as in the live one; naming a trip rule replaced the others
    assert seen["breaker"]["open"] == "1h" and seen["breaker"]["window"] == 100
    assert seen["differences"] == [{"key": "consecutive", "live": None, "shadow": 2},
                                   {"key": "failures", "live": 6, "shadow": None}]
    assert (seen["would_have_opened"], seen["would_have_refused"]) == (1, 3)
    assert (seen["live"]["state"], seen["shadow"]["state"]) == ("closed", "open")
    assert (seen["live"]["calls"], seen["shadow"]["calls"]) == (5, 2)
    assert (seen["live"]["totals"]["calls"], seen["shadow"]["totals"]["calls"]) == (5, 2)
    assert seen["disagreements"]["calls"] == 3 and seen["disagreements"]["times"] == 1
    assert seen["disagreements"]["ms"] > 0 and seen["shadow"]["not_closed_ms"] > 0
    assert len(seen["endpoints"]) == 1 and seen["endpoints"][0]["would_have_refused"] == 3
    brief = admin.service()["shadow"]
    assert (brief["state"], brief["agrees"], brief["would_have_refused"]) == ("open", False, 3)
    assert metrics(admin) == {"state": 1, "opened_total": 1, "rejections_total": 3,
                              "disagreements_total": 3}
    patched = admin.service()["patched"]
    assert [(p["key"], p["author"], p["reason"]) for p in patched] == [("shadow", "ada", "A/B")]

    # the live one opens as it would have; then they agree, and the shadow hears nothing
    assert admin.gw.get("/").status == 500 and admin.gw.get("/").status == 503
    seen = admin.json(PATH)
    assert seen["agrees"] and seen["live"]["opened"] == 1 and seen["live"]["refused"] == 1
    assert seen["would_have_admitted"] == 0 and seen["would_have_refused"] == 4

    # a change of another key leaves the comparison alone; of the shadow begins it anew
    admin.patch("/api/v1/services/web", json={"timeout": {"attempt": "2s"}})
    assert admin.json(PATH)["would_have_refused"] == 4
    admin.patch("/api/v1/services/web", json={"shadow": {"breaker": {"open": "2s"}}})
    seen = admin.json(PATH)
    assert seen["breaker"]["consecutive"] == 2 and seen["breaker"]["open"] == "2s"
    assert seen["would_have_refused"] == 0 and seen["shadow"]["state"] == "closed"
    assert admin.gw.get("/").status == 503
    assert admin.json(PATH)["would_have_admitted"] == 1
    assert metrics(admin)["rejections_total"] == 4  # a counter does not go back

    assert admin.delete(PATH).json()["enabled"] is False
    assert "state" not in metrics(admin) and metrics(admin)["opened_total"] == 1
    assert admin.delete("/api/v1/services/web/patch").status_code == 200


def test_in_the_file_and_until_a_reload(one):
    admin = one(shadow={"breaker": {"failures": 3}})
    for _ in range(4):
        admin.gw.get("/")
    before = admin.json(PATH)
    assert before["would_have_opened"] == 1 and before["would_have_refused"] == 1
    # a reload with the same shadow keeps all of it
    assert admin.post("/api/v1/config/reload").json()["replaced"] == []
    after = admin.json(PATH)
    assert after["begun_at"] == before["begun_at"] and after["would_have_refused"] == 1
    assert admin.delete(PATH).json()["enabled"] is False
    replaced = admin.post("/api/v1/config/reload").json()["replaced"]
    assert [(p["key"], p["value"]) for p in replaced] == [("shadow", "off")]
    again = admin.json(PATH)
    assert again["enabled"] and again["would_have_refused"] == 0  # it began anew


def test_what_is_wrong(one):
    admin = one()
    for body, status, wrong in [
            ({"breaker": {"failures": 200, "opn": "1s"}}, 422,
             ["shadow.breaker.failures is 200, but the window holds only 100",
              'unknown key "opn" in services.web.shadow.breaker']),
            ({"breaker": {"open": "2h", "open_max": "1h"}}, 422, ["shadow.breaker.open_max is less"]),
            ({"breaker": {}, "retry": {}}, 422, ['unknown key "retry"']),
            ({"breaker": {"slow_rate": "50%", "slow_call": "off"}}, 422, ["slow_call: off"]),
            ({}, 400, ["breaker"]), ({"breaker": 5}, 400, ["breaker"]), ([], 400, ["object"])]:
        got = admin.put(PATH, json=body)
        assert got.status_code == status, got.text
        for piece in wrong:
            assert piece in json.dumps(got.json()).replace('\\"', '"'), (piece, got.text)
    assert admin.json(PATH)["enabled"] is False
    assert admin.get("/api/v1/services/nobody/shadow").status_code == 404
    assert admin.put(PATH, json={"breaker": {"failures": 5}},
                     headers={"If-Match": '"g99"'}).status_code == 412
    got = admin.put(PATH + "?dry_run=1", json={"breaker": {"failures": 5}}).json()
    assert got["dry_run"] and admin.json(PATH)["enabled"] is False


@pytest.mark.threads
def test_it_fails_no_request(gateway, server):
    gw = gateway([server(echo), server(echo)], admin=ADMIN, workers=2)
    admin = Admin(gw)
    load = Load(gw, clients=3)
    for i in range(60):
        if i % 7 == 6:
            admin.delete(PATH)
        else:
            # so slow_call that everything is: it is open nearly always
            admin.put(PATH, json={"breaker": {"slow_rate": "1%", "slow_call": "1ms", "min_calls": 1,
                                              "window": 1 + i, "open": "1ms", "open_max": "5ms"}})
        if i % 20 == 0:
            load.wait_answers(5)
    load.wait_answers(50)
    load.stop()
    assert admin.service()["breaker"]["totals"]["failures"] == 0


def test_the_command(one):
    admin = one()
    address = str(admin.base_url).removeprefix("http://").rstrip("/")

    def run(*args, code=0):
        return command(*args, "--admin", address, code=code)

    assert "no shadow" in run("shadow", "web")[0]
    out, _ = run("shadow", "web", "breaker.consecutive=2", "--reason", "A/B")
    for _ in range(3):
        admin.gw.get("/")
    out, _ = run("shadow", "web")
    rows = {line[:20].split("  ")[0].strip(): line.split() for line in out.splitlines()}
    assert rows["consecutive"][1:] == ["-", "2"] and rows["state"][1:] == ["closed", "open"]
    assert rows["refused"][1:] == ["0", "1"] and "would have refused 1 that went through" in out
    assert json.loads(run("shadow", "web", "--json")[0])["would_have_refused"] == 1
    out, _ = run("status")
    assert "shadow: web: open, unlike the breaker; for " in out and "refused 1 calls" in out
    assert "unknown key" in run("shadow", "web", "opn=2s", code=2)[1]
    assert "no shadow" in run("shadow", "web", "--off")[0]
    run("shadow", "nobody", code=1)


def test_explain_tells_of_it(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("services: {web: {endpoints: [http://127.0.0.1:1], "
                    "shadow: {breaker: {failures: 8, window: 50}}}}\n")
    out, _ = command("explain", "-c", path, "/")
    assert "beside it a shadow, which decides nothing: opens at 8 failures of the last 50" in out
