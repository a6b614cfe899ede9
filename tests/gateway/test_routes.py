"""From path, host and method to a service."""
import pytest

from kit.gateway import configuration
from kit.http import answer


@pytest.fixture
def ask(gateway, server):
    """ask(routes, target, …) -> answer; services a, b echo their name and the path."""
    def make(name):
        return server(lambda r, l: answer(f"{name} {r.target}"))

    def start(routes):
        services = {name: {"endpoints": [make(name).url]} for name in "ab"}
        config = configuration([make("web")], services=services, routes=routes)
        return gateway(config=config)
    return start


ROUTES = [
    {"path": "/exact", "service": "a"},
    {"path": "/users/{id}", "service": "b"},
    {"path": "/users/{id}/posts/{post}", "service": "a"},
    {"prefix": "/api/v1", "service": "a", "strip_prefix": "/api/v1"},
    {"prefix": "/api", "service": "b"},
    {"prefix": "/hosted", "service": "a", "match": {"host": "one.example"}},
    {"prefix": "/hosted", "service": "b", "match": {"host": "*.example"}},
    {"path": "/methods", "service": "a", "match": {"method": ["GET", "HEAD"]}},
    {"path": "/methods", "service": "b", "match": {"method": "POST"}},
]

TABLE = [
    ("/exact", "a /exact"),
    ("/exact?x=/y", "a /exact?x=/y"),
    ("/exact/", 404),
    ("/exactly", 404),
    ("/Exact", 404),
    ("/", 404),
    ("/users/7", "b /users/7"),
    ("/users/a%20b", "b /users/a%20b"),
    ("/users/", 404),
    ("/users", 404),
    ("/users/7/posts/8", "a /users/7/posts/8"),
    ("/users/7/posts", 404),
    ("/api", "b /api"),
    ("/api/", "b /api/"),
    ("/apis", 404),
    ("/api/v1", "a /"),
    ("/api/v1/", "a /"),
    ("/api/v1/x?q=1", "a /x?q=1"),
    ("/api/v10", "b /api/v10"),
    # what the path means counts, not how it is spelt
    ("/%65xact", "a /exact"),
    ("/./exact", "a /exact"),
    ("/x/../exact", "a /exact"),
    ("/x/%2e%2E/exact", "a /exact"),
    ("/api/v1/../secret", "b /api/secret"),
    ("/api/v1/%2e%2e/secret", "b /api/secret"),
    ("/api/v1/..%2fsecret", "a /..%2Fsecret"),
    ("/../../exact", "a /exact"),
    ("/api/v1/a/./b/../c", "a /a/c"),
    ("/api/v1/a%2Fb", "a /a%2Fb"),
    ("/api/v1/a%2fb", "a /a%2Fb"),
    ("http://h/exact", "a /exact"),
    ("http://one.example/hosted", "a /hosted"),
]


def test_table_of_paths(ask):
    gw = ask(ROUTES)
    wrong = []
    with gw.connect() as client:
        for target, expected in TABLE:
            reply = client.get(target)
            got = reply.body.decode() if reply.status == 200 else reply.status
            if got != expected:
                wrong.append((target, got, expected))
    assert not wrong


@pytest.mark.parametrize("host, expected", [
    ("one.example", b"a /hosted"), ("ONE.Example:8080", b"a /hosted"),
    ("two.example", b"b /hosted"), ("a.b.example", b"b /hosted"), ("example", None),
    ("notexample", None)])
def test_hosts(ask, host, expected):
    gw = ask(ROUTES)
    reply = gw.get("/hosted", f"Host: {host}")
    assert reply.body == expected if expected else reply.status == 404


def test_methods(ask):
    gw = ask(ROUTES)
    with gw.connect() as client:
        assert client.get("/methods").body == b"a /methods"
        assert client.post("/methods").body == b"b /methods"
        client.ask("DELETE", "/methods")
        reply = client.answer()
        assert reply.status == 405
        assert {m.strip() for m in reply.headers["Allow"].split(",")} == {"GET", "HEAD", "POST"}
        client.ask("PURGE", "/methods")
        assert client.answer().status == 405
        assert client.get("/methods", method="HEAD").status == 200


def test_no_route_says_so(ask):
    reply = ask(ROUTES).get("/nowhere")
    assert reply.status == 404
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert b'"reason":"no_route"' in reply.body
    assert "destination_not_found" in reply.headers["Proxy-Status"]


def test_first_match_wins(ask):
    gw = ask([{"prefix": "/", "service": "a"}, {"path": "/exact", "service": "b"}])
    assert gw.get("/exact").body == b"a /exact"


def test_base_path_of_an_endpoint(gateway, server):
    up = server()
    gw = gateway([up.url + "/base"])
    assert gw.get("/x?y").body == b"/base/x?y"
    assert gw.get("/").body == b"/base/"
