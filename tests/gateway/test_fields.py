"""What of a head goes on to the other side, and what is written anew."""
import re

import pytest

from kit.http import answer

pytestmark = pytest.mark.short_io


@pytest.fixture
def passed(gateway, upstream):
    """passed(lines) -> the request as the upstream sees it; passed.reply likewise."""
    def run(lines, config=None, reply=(), version="HTTP/1.1"):
        up = upstream()
        gw = gateway([up], **(config or {}))
        with gw.connect() as client:
            client.ask("GET", "/", headers=list(lines), version=version)
            _, request = up.serve(b"x", "200 OK", *reply)
            return request.headers, client.answer().headers
    return run


def test_end_to_end_fields_pass_untouched_and_in_order(passed):
    lines = ["X-B: 1", "X-A:   spaces inside  kept\t", "X-B: 2", "Cookie: a=b; c=d",
             "X-Empty:", "x-oDD-case: \xe9\xff"]
    up, down = passed(lines, reply=["Set-Cookie: a=1", "Set-Cookie: b=2", "X-B: 1", "X-B: 2"])
    assert up.all("X-B") == ["1", "2"] and up["X-A"] == "spaces inside  kept"
    assert up["Cookie"] == "a=b; c=d" and up["X-Empty"] == "" and up["X-Odd-Case"] == "\xe9\xff"
    names = [n for n, _ in up.pairs]
    assert names.index("X-B") < names.index("X-A") < names.index("x-oDD-case")
    assert down.all("Set-Cookie") == ["a=1", "b=2"] and down.all("X-B") == ["1", "2"]


def test_hop_by_hop_fields_end_here(passed):
    hop = ["Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "TE: gzip",
           "Connection: keep-alive, X-Private, x-other", "X-Private: 1", "X-Other: 2", "X-Kept: 3",
           "Proxy-Authorization: Basic eA=="]
    up, _ = passed(hop)
    assert up["X-Kept"] == "3"
    for name in ("Keep-Alive", "Proxy-Connection", "TE", "X-Private", "X-Other", "Connection",
                 "Proxy-Authorization", "Upgrade"):
        assert name not in up, name


def test_hop_by_hop_fields_of_answers_end_here(passed):
    _, down = passed([], reply=["Connection: X-Private", "X-Private: 1", "Keep-Alive: timeout=9",
                                "Proxy-Connection: close", "X-Kept: 3", "Proxy-Authenticate: Basic"])
    assert down["X-Kept"] == "3"
    for name in ("X-Private", "Keep-Alive", "Proxy-Connection", "Connection",
                 "Proxy-Authenticate"):
        assert name not in down, name


@pytest.mark.parametrize("name", ["Host", "Content-Length", "X-Forwarded-For", "X-Request-Id",
                                  "Authorization"])
def test_nominating_a_field_takes_away_nothing_that_protects(gateway, upstream, name):
    """Connection: X-Forwarded-For must not remove what the gateway itself says."""
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("POST", "/", body=b"abc", headers=[f"Connection: {name}"])
        _, request = up.serve(b"ok")
        assert request.headers["Host"] == "test" and request.body == b"abc"
        assert request.headers["X-Forwarded-For"] == "127.0.0.1"
        assert "X-Request-Id" in request.headers
        assert client.answer().status == 200


def test_upgrade_needs_connection_to_name_it(passed):
    up, _ = passed(["Upgrade: websocket"])
    assert "Upgrade" not in up and "Connection" not in up


def test_via(passed):
    up, down = passed(["Via: 1.0 before"], reply=["Via: 1.1 behind"])
    assert up.all("Via") == ["1.0 before", "1.1 switchgear"]
    assert down.all("Via") == ["1.1 behind", "1.1 switchgear"]
    up, _ = passed([], version="HTTP/1.0")
    assert up.all("Via") == ["1.0 switchgear"]


FORGED = ["X-Forwarded-For: 9.9.9.9", "X-Forwarded-For: 8.8.8.8", "X-Forwarded-Proto: https",
          "X-Forwarded-Host: bank", "Forwarded: for=9.9.9.9;proto=https", "X-Real-IP: 9.9.9.9",
          "X-Forwarded-Port: 443"]


def test_forwarded_of_strangers_is_replaced(passed):
    up, _ = passed(FORGED)
    assert up.all("X-Forwarded-For") == ["127.0.0.1"]
    assert up.all("X-Forwarded-Proto") == ["http"]
    assert up.all("X-Forwarded-Host") == ["test"]
    assert up.all("Forwarded") == ['for=127.0.0.1;host="test";proto=http']
    assert "9.9.9.9" not in str(up.pairs) and "443" not in str(up.all("X-Forwarded-Port"))


def test_forwarded_of_trusted_clients_is_continued(passed):
    trusting = {"listen": [{"address": "127.0.0.1:0", "trust": ["127.0.0.0/8"]}]}
    up, _ = passed(FORGED, trusting)
    assert up["X-Forwarded-For"] == "9.9.9.9, 8.8.8.8, 127.0.0.1"
    assert up["X-Forwarded-Proto"] == "https" and up["X-Forwarded-Host"] == "bank"
    assert up["Forwarded"].startswith("for=9.9.9.9;proto=https, for=127.0.0.1")


def test_trust_is_for_the_named_ranges_only(passed):
    other = {"listen": [{"address": "127.0.0.1:0", "trust": ["127.0.0.2/32", "10.0.0.0/8"]}]}
    up, _ = passed(FORGED, other)
    assert up["X-Forwarded-For"] == "127.0.0.1"


def test_request_id_is_made_or_passed(passed):
    up, down = passed([])
    assert re.fullmatch("[0-9a-f]{24}", up["X-Request-Id"])
    assert up["X-Request-Id"] == down["X-Request-Id"] == up["X-Correlation-Id"]
    up, down = passed(["X-Request-Id: abc-1", "X-Correlation-Id: c-2"])
    assert up.all("X-Request-Id") == down.all("X-Request-Id") == ["abc-1"]
    assert up.all("X-Correlation-Id") == down.all("X-Correlation-Id") == ["c-2"]


@pytest.mark.parametrize("bad", ["x" * 129, 'a"b', "a b", "\xe9"])
def test_harmful_request_ids_are_replaced(passed, bad):
    up, down = passed([f"X-Request-Id: {bad}"])
    assert re.fullmatch("[0-9a-f]{24}", up["X-Request-Id"])
    assert up["X-Request-Id"] == down["X-Request-Id"]


def test_ids_are_unique(gateway, server):
    gw = gateway([server()])
    with gw.connect() as client:
        ids = {client.get().headers["X-Request-Id"] for _ in range(50)}
    assert len(ids) == 50


def test_nobody_else_can_tell_the_story(passed):
    up, down = passed(["Switchgear: forged"], reply=["Switchgear: forged"])
    assert "Switchgear" not in up
    assert len(down.all("Switchgear")) == 1 and down["Switchgear"].startswith("upstream;")


def test_the_story_can_be_hidden(passed):
    _, down = passed([], {"listen": [{"address": "127.0.0.1:0", "expose": "off"}]})
    assert "Switchgear" not in down


def test_host_goes_on_or_not(passed):
    up, _ = passed(["Host: shop.example:81"])
    assert up.all("Host") == ["shop.example:81"]
    up, _ = passed(["Host: shop.example"], {"preserve_host": False})
    assert re.fullmatch(r"127\.0\.0\.1:\d+", up["Host"])


def test_absolute_form_decides_the_host(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask("GET", "http://real.example/p?q", headers=["Host: other"])
        _, request = up.serve(b"x")
        assert request.target == "/p?q" and request.headers.all("Host") == ["real.example"]
        assert client.answer().status == 200


def test_date_is_added_only_where_there_is_none(gateway, server):
    dated = "Date: Tue, 15 Nov 1994 08:12:31 GMT"
    gw = gateway([server(lambda r, l: answer(b"", "200 OK", *([dated] if "d" in r.target else [])))])
    assert gw.get("/d").headers.all("Date") == [dated[6:]]
    assert len(gw.get("/x").headers.all("Date")) == 1


def test_reason_phrase_passes(gateway, upstream):
    up = upstream()
    gw = gateway([up])
    with gw.connect() as client:
        client.ask()
        up.serve(b"", "299 My Own Words")
        assert client.answer().start == "HTTP/1.1 299 My Own Words"
        client.ask()
        link = up.links[-1]
        link.request()
        link.send("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
        assert client.answer().status in (200, 502)
