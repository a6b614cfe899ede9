"""Secrets are nowhere but where they belong: not in logs, traces, events, answers of the
admin side, metrics, nor in what the commands print."""
import subprocess

from kit.admin import ADMIN, Admin
from kit.collector import Collector
from kit.gateway import BINARY
from kit.http import answer
from kit.waiting import eventually

# Each comes in another way, so that what is found tells how it got there.
PLANTED = {
    "admin.token": "s3cret-admin-token", "trace.headers": "s3cret-trace-header",
    "databases.url": "s3cret-database", "cache_redis.password": "s3cret-redis",
    "fallback.headers": "s3cret-fallback-header", "file:": "s3cret-from-a-file",
    "store_key": "5ec2e7" + "ab" * 29, "Authorization": "s3cret-authorization",
    "Cookie": "s3cret-cookie", "query": "s3cret-query", "body": "s3cret-body",
    "userinfo": "s3cret-userinfo", "Set-Cookie": "s3cret-set-cookie", "answer": "s3cret-answer",
    "tracestate of a service": "s3cret-upstream", "Proxy-Authorization": "s3cret-proxy",
}
READABLE = ("/health", "/health/resilience", "/metrics", "/api/v1/config", "/api/v1/services",
            "/api/v1/services/web", "/api/v1/circuit-breakers", "/api/v1/circuit-breakers/web",
            "/api/v1/circuit-breakers/web/history", "/api/v1/fallbacks", "/api/v1/outbox",
            "/api/v1/drills", "/api/v1/services/web/shadow", "/")


def configuration(up, at, directory):
    (directory / "secret").write_text(PLANTED["file:"] + "\n")
    return {
        "listen": [{"address": "127.0.0.1:0"}], "workers": 1,
        "log": {"level": "debug", "requests": "all"},
        "admin": {**ADMIN, "token": PLANTED["admin.token"]},
        "store": f"sqlite:{directory}/outbox.db", "store_key": PLANTED["store_key"],
        "trace": {"otlp": at.url, "sample": "100%",
                  "headers": {"X-Tenant": PLANTED["trace.headers"]}},
        "cache_redis": {"url": "redis://127.0.0.1:1",
                        "password": PLANTED["cache_redis.password"]},
        "databases": {"shop": {
            "url": f"postgresql://reader:{PLANTED['databases.url']}@127.0.0.1:1/shop"}},
        "services": {
            "web": {"endpoints": [up.url], "cache": {"store": "redis"},
                    "retry": {"max": 1, "base": "1ms", "cap": "1ms"},
                    "breaker": {"consecutive": 3, "open": "1h"}, "timeout": {"total": "5s"},
                    "fallback": [
                        {"sql": {"database": "shop", "query": "SELECT :q::text", "as": "value",
                                 "params": {"q": "query.q"}, "public": True}},
                        {"service": {"name": "second", "set_headers": {
                            "X-Key": f"file:{directory}/secret",
                            "Authorization": "Bearer " + PLANTED["fallback.headers"]}}},
                        {"queue": {}}]},
            "second": {"endpoints": [up.url], "retry": {"max": 0}}},
        "routes": [{"prefix": "/", "service": "web"}]}


def use(gw):
    """Everything that the secrets of a request can go through."""
    fields = (f"Authorization: Bearer {PLANTED['Authorization']}",
              f"Cookie: s={PLANTED['Cookie']}", f"Proxy-Authorization: {PLANTED['Proxy-Authorization']}")
    target = f"/x?q={PLANTED['query']}"
    for _ in range(3):
        gw.get(target, *fields)
        gw.post(target, PLANTED["body"].encode(), *fields)
    gw.get(f"http://u:{PLANTED['userinfo']}@test{target}", *fields)
    gw.raw_request(f"GET {target} HTTP/1.1\r\n{fields[0]}\r\nbad field\r\n\r\n")


def printed(gw, *words):
    done = subprocess.run([BINARY, *words, "-c", gw.path] if words[0] == "explain" else
                          [BINARY, *words, gw.path], capture_output=True, text=True, timeout=60,
                          cwd=gw.path.parent, env={"PATH": "/usr/bin:/bin"})
    return done.stdout + done.stderr


def test_secrets_are_nowhere(gateway, server, tmp_path):
    up = server(lambda request, link: answer(
        PLANTED["answer"], "500 Internal Server Error", f"Set-Cookie: s={PLANTED['Set-Cookie']}",
        f"tracestate: k={PLANTED['tracestate of a service']}"))
    at = Collector()
    gw = gateway(config=configuration(up, at, tmp_path))
    admin = Admin(gw, PLANTED["admin.token"])
    use(gw)
    assert any(PLANTED["Authorization"].encode() in r.raw for r in up.requests)
    assert any(PLANTED["file:"].encode() in r.raw for r in up.requests)
    at.wait(6, lambda span: span.kind == "server")
    assert at.heads[0]["X-Tenant"] == PLANTED["trace.headers"]
    admin.post("/api/v1/fallbacks/web/test", json={})
    pages = {path: admin.get(path) for path in READABLE}
    assert {page.status_code for page in pages.values()} <= {200, 503}
    told = {path: page.text for path, page in pages.items()}
    told.update({"check": printed(gw, "check"), "check --print": printed(gw, "check", "--print")})
    told.update({f"spans {i}": text.decode() for i, text in enumerate(at.texts)})
    with admin.follow(**{"Last-Event-ID": "0"}) as events:
        admin.command("force-open", reason="test", author="me", **{"for": "1h"})
        told["events"] = str(events.until("manual"))
    eventually(lambda: len(gw.messages("request")) >= 7, "requests are in the log")
    told["log"] = gw.log()
    admin.patch("/api/v1/services/web", json={"timeout": {"total": "6s"}}).raise_for_status()
    told["patched"] = admin.get("/api/v1/services/web").text
    assert "127.0.0.1" in told["/api/v1/config"] and '"trace_id"' in told["log"]
    found = [(where, what) for where, text in told.items()
             for what, secret in PLANTED.items() if secret in text]
    assert not found
    at.close()
    assert not at.bad
