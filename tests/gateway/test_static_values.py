"""Static answers with holes: what a request said comes back, and stays a value."""
import json
import urllib.parse

import pytest

from kit.upstream import dead_port

ONCE = {"max": 0}


@pytest.fixture
def dead():
    """The address of a service that is not there."""
    kept, port = dead_port()
    yield f"http://127.0.0.1:{port}"
    kept.close()


@pytest.fixture
def static(gateway, dead):
    """A gateway whose service is gone and has one static tier, behind /u/{id}."""
    def start(**tier):
        return gateway([dead], retry=ONCE, fallback=[{"static": tier}], routes=[
            {"path": "/u/{id}", "service": "web"}, {"prefix": "/", "service": "web"}])
    return start


def test_values_of_path_query_header_and_gateway(static):
    gw = static(json={"id": "{{path.id}}", "limit": "{{query.limit|10}}",
                      "who": "user {{header.X-User}} by {{method}} at {{service}}",
                      "none": "{{query.none}}", "plain": [1, True, None]})
    reply = gw.get("/u/7%2F8?limit=3&x=1", "X-User: ann")
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json() == {"id": "7/8", "limit": "3", "who": "user ann by GET at web",
                            "none": None, "plain": [1, True, None]}
    assert gw.get("/u/7").json()["limit"] == "10"


def test_answers_with_words_of_the_caller_are_nobody_elses(static):
    reply = static(text="hello {{query.name}}").get("/?name=ann")
    assert reply.body == b"hello ann"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    chosen = static(text="{{query.name}}", headers={"Cache-Control": "private"})
    assert chosen.get("/?name=ann").headers["Cache-Control"] == "private"
    own = static(text="{{service}} is resting")
    assert "Cache-Control" not in own.get("/").headers


@pytest.mark.short_io
@pytest.mark.parametrize("chunked", [False, True])
def test_values_of_a_json_body_keep_their_type(static, chunked):
    gw = static(json={"n": "{{body.a.n}}", "list": "{{body.list}}", "first": "{{body.list.0}}",
                      "text": "{{body.text}}", "all": "n is {{body.a.n}}"})
    body = json.dumps({"a": {"n": 5}, "list": [1, {"b": 2}], "text": "é\n\"x\""}).encode()
    with gw.connect() as client:
        for _ in range(2):
            client.ask("POST", "/", body=body, chunked=chunked)
            assert client.answer().json() == {
                "n": 5, "list": [1, {"b": 2}], "first": 1, "text": "é\n\"x\"",
                "all": "n is 5"}


def test_the_body_is_waited_for(static):
    gw = static(json={"n": "{{body.n}}"})
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"n\"")
        assert client.is_silent()
        client.send(":5}")
        assert client.answer().json() == {"n": 5}


def test_who_asks_before_sending_is_told_to(static):
    gw = static(json={"n": "{{body.n}}"})
    with gw.connect() as client:
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n"
                    "Expect: 100-continue\r\n\r\n")
        assert client.answer(interim=True).status == 100
        client.send('{"n":5}')
        assert client.answer().json() == {"n": 5}


@pytest.mark.parametrize("body", [b"no json", b"[1,", b"", b"\xff", b"x" * 200000],
                         ids=["text", "cut", "none", "bytes", "long"])
def test_a_body_that_has_no_values(static, body):
    gw = static(json={"n": "{{body.n}}"})
    with gw.connect() as client:
        client.ask("POST", "/", body=body)
        assert client.answer().json() == {"n": None}


@pytest.mark.parametrize("value", ['","admin":true,"x":"', "\\", "\u2028\"", "a\x00b", "{{body.x}}"])
def test_json_cannot_be_broken(static, value):
    gw = static(json={"a": "{{query.v}}", "b": "<{{query.v}}>"})
    got = gw.get("/?v=" + urllib.parse.quote(value)).json()
    wanted = value if "\x00" not in value else None  # a NUL is no value
    assert got == {"a": wanted, "b": f"<{wanted or ''}>"}


def test_html_cannot_be_broken(static):
    gw = static(body="<p title=\"{{query.v}}\">{{query.v}}</p>", content_type="text/html")
    reply = gw.get("/?v=" + urllib.parse.quote("\"><script>alert('1')</script>&"))
    assert b"<script" not in reply.body and b"'" not in reply.body
    assert b'title="&quot;&gt;&lt;script&gt;' in reply.body


@pytest.mark.parametrize("value,expected", [
    ("7", "n7"), ("7\r\nSet-Cookie: a=b", None), ("7\n", None), ("a\x7f", None), ("", "n")])
def test_fields_cannot_be_split(static, value, expected):
    gw = static(text="x", headers={"X-Id": "n{{query.v}}", "X-Only": "{{query.none}}"})
    reply = gw.get("/?v=" + urllib.parse.quote(value))
    assert reply.headers.get("X-Id") == expected
    assert "Set-Cookie" not in reply.headers and "X-Only" not in reply.headers
    assert reply.body == b"x"


def test_a_file(static, tmp_path):
    page = tmp_path / "sorry.html"
    page.write_text("<p>{{query.name|you}} }} {{{{raw}}</p>")
    gw = static(file=str(page))
    reply = gw.get("/?name=%3Cb%3E")
    assert reply.headers["Content-Type"].startswith("text/html")
    assert reply.body == b"<p>&lt;b&gt; }} {{raw}}</p>"
    page.write_text("<p>new</p>")
    assert gw.get("/").body == b"<p>you }} {{raw}}</p>"  # read with the configuration
    gw.reload()
    assert gw.get("/").body == b"<p>new</p>"


def test_a_file_that_is_no_text_is_sent_as_it_is(static, tmp_path):
    image = tmp_path / "x.png"
    image.write_bytes(b"\x89PNG\0{{query.name}}\xff")
    reply = static(file=str(image)).get("/?name=a")
    assert reply.body == b"\x89PNG\0{{query.name}}\xff"
    assert reply.headers["Content-Type"] == "image/png"


def test_values_as_long_as_a_request_may_be(static):
    gw = static(json={"a": "{{body.a}}", "b": "{{body.a}}"})
    text = "\"" * 20000
    with gw.connect() as client:
        client.ask("POST", "/", body=json.dumps({"a": text}).encode())
        assert client.answer().json() == {"a": text, "b": text}


def test_what_would_grow_too_long_is_the_next_tiers(gateway, dead):
    big = {f"k{i}": "{{body.a}}" for i in range(120)}
    gw = gateway([dead], retry=ONCE, fallback=[{"static": {"json": big}},
                                               {"static": {"text": "short"}}])
    with gw.connect() as client:
        client.ask("POST", "/", body=json.dumps({"a": "x" * 60000}).encode())
        reply = client.answer()
    assert reply.body == b"short" and reply.story[0] == "static"
