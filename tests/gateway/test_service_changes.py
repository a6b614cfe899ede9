"""A service tier that sends the request otherwise: path, method, fields, JSON."""
import json

import pytest

from kit.http import answer
from kit.upstream import dead_port

ONCE = {"max": 0}
STATIC = {"static": {"text": "static"}}


def echo(request, link):
    """What came, as JSON."""
    return answer(json.dumps({
        "method": request.method, "target": request.target,
        "fields": {n.lower(): v for n, v in request.headers.pairs},
        "body": request.body.decode("latin-1")}))


@pytest.fixture
def dead():
    kept, port = dead_port()
    yield f"http://127.0.0.1:{port}"
    kept.close()


@pytest.fixture
def small(gateway, server, dead):
    """A gateway whose service is gone, and whose second one tells what came."""
    def start(first=None, **changes):
        up = server(echo)
        gw = gateway([first or dead], retry={"max": 0, "methods": "any"},
                     routes=[{"path": "/u/{id}", "service": "web"},
                             {"prefix": "/", "service": "web"}],
                     fallback=[{"service": {"name": "small", **changes}}, STATIC],
                     services={"small": {"endpoints": [up.url], "retry": {"max": 0}}})
        gw.small = up
        return gw
    return start


def post(gw, body, target="/", *headers, **how):
    with gw.connect() as client:
        client.ask("POST", target, body=body, headers=headers, **how)
        return client.answer()


# ---- the body ---------------------------------------------------------------------


@pytest.mark.short_io
@pytest.mark.parametrize("chunked", [False, True])
def test_another_model(small, chunked):
    gw = small(set_json={"model": "small", "stream": None})
    body = {"model": "large", "stream": True, "messages": [{"role": "user", "content": "é\0"}],
            "n": 1.5, "big": 9007199254740993}
    got = post(gw, json.dumps(body).encode(), chunked=chunked).json()
    del body["stream"]
    assert json.loads(got["body"].encode("latin-1")) == {**body, "model": "small"}
    assert int(got["fields"]["content-length"]) == len(got["body"])
    assert "transfer-encoding" not in got["fields"]


def test_a_mapping_goes_into_what_is_there(small):
    gw = small(set_json={"options": {"depth": 1, "old": None}, "list": [1], "new": {"a": None}})
    body = {"options": {"depth": 9, "old": 1, "kept": 2}, "list": {"x": 1}}
    got = post(gw, json.dumps(body).encode()).json()
    assert json.loads(got["body"]) == {"options": {"depth": 1, "kept": 2}, "list": [1], "new": {}}


def test_values_of_the_request_in_the_new_body(small):
    gw = small(set_json={"user": "{{path.id}}", "prompt": "say: {{body.messages.0.content}}",
                         "limit": "{{body.limit}}", "messages": None})
    body = {"messages": [{"content": "\",\"x\":\""}], "limit": 5}
    got = post(gw, json.dumps(body).encode(), "/u/7").json()
    assert json.loads(got["body"]) == {"user": "7", "prompt": "say: \",\"x\":\"", "limit": 5}


@pytest.mark.parametrize("body,headers", [
    (b"no json", []), (b"[1,2]", []), (b"", []), (b"{\"a\":", []),
    (b"{\"n\":123456789012345678901}", []), (b"{}", ["Content-Encoding: gzip"])],
    ids=["text", "list", "none", "cut", "huge number", "coded"])
def test_what_cannot_be_changed_is_the_next_tiers(small, body, headers):
    gw = small(set_json={"model": "small"})
    assert post(gw, body, "/", *headers).body == b"static"
    assert gw.small.count == 0


def test_what_is_not_kept_is_the_next_tiers(small):
    gw = small(set_json={"model": "small"})
    with gw.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b" " * 100000)
        assert client.answer().body == b"static"
    assert gw.small.count == 0


def test_the_first_service_got_the_body_as_it_was(small, server):
    first = server(lambda r, l: answer(r.body, "500 No"))
    gw = small(first=first.url, set_json={"model": "small"})
    got = post(gw, b'{"model": "large"}').json()
    assert json.loads(got["body"]) == {"model": "small"}
    assert first.requests[0].body == b'{"model": "large"}'


def test_each_attempt_gets_the_whole_new_body(gateway, server, dead):
    bodies = []

    def respond(request, link):
        bodies.append(request.body)
        return answer(b"no", "503 No") if len(bodies) < 3 else echo(request, link)

    up = server(respond)
    gw = gateway([dead], retry={"max": 0, "methods": "any"},
                 fallback=[{"service": {"name": "small", "set_json": {"model": "s"}}}],
                 services={"small": {"endpoints": [up.url], "retry": {
                     "max": 3, "base": "1ms", "cap": "2ms", "methods": "any"}}})
    got = post(gw, b'{"a":1}').json()
    assert bodies == [b'{"a":1,"model":"s"}'] * 3 and got["body"] == '{"a":1,"model":"s"}'


# ---- path, method, fields ------------------------------------------------------------


def test_path_with_values(small):
    gw = small(path="/v1/items/{{path.id}}")
    assert gw.get("/u/a%2Fb%20c?x=1").json()["target"] == "/v1/items/a%2Fb%20c?x=1"


def test_a_path_with_a_query_replaces_both(small):
    gw = small(path="/items?user={{path.id}}&n={{query.n|3}}")
    assert gw.get("/u/a%26b?x=1").json()["target"] == "/items?user=a%26b&n=3"


@pytest.mark.parametrize("target", ["/?id=..", "/?id=.", "/?id=", "/", "/?id=%00"])
def test_a_path_does_not_leave_its_place(small, target):
    gw = small(path="/items/{{query.id}}/x")
    assert gw.get(target).body == b"static" and gw.small.count == 0


def test_method(small):
    got = post(small(method="PUT"), b"x").json()
    assert got["method"] == "PUT" and got["body"] == "x"


def test_a_get_has_no_body(small):
    got = post(small(method="GET", path="/list"), b'{"a":1}', "/").json()
    assert (got["method"], got["target"], got["body"]) == ("GET", "/list", "")
    assert "content-length" not in got["fields"]


def test_head_becomes_get_and_stays_head_for_the_client(small):
    gw = small(method="GET")
    with gw.connect() as client:
        for _ in range(2):
            reply = client.get("/", method="HEAD")
            assert reply.status == 200
    assert [r.method for r in gw.small.requests] == ["GET", "GET"]


def test_fields(small, tmp_path):
    secret = tmp_path / "key"
    secret.write_text("Bearer s3cret\n")
    gw = small(set_headers={"X-Model": "small", "Cookie": None, "X-User": "{{path.id}}",
                            "Authorization": f"file:{secret}", "X-None": "{{query.none}}"})
    got = gw.get("/u/7", "Cookie: a=b", "x-model: large", "X-Model: huge", "X-Kept: 1",
                 "Authorization: Basic abc", "X-None: theirs").json()["fields"]
    assert got["x-model"] == "small" and got["x-user"] == "7" and got["x-kept"] == "1"
    assert got["authorization"] == "Bearer s3cret"
    assert "cookie" not in got and "x-none" not in got
    raw = gw.small.requests[0].raw.lower()
    assert raw.count(b"x-model:") == 1 and raw.count(b"authorization:") == 1


def test_a_field_is_not_split(small):
    gw = small(set_headers={"X-User": "{{query.u}}"})
    got = gw.get("/?u=a%0d%0aX-Admin:%201").json()["fields"]
    assert "x-user" not in got and "x-admin" not in got
