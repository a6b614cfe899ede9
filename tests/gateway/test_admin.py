"""The admin side of a running gateway: what it says is what happens."""
import datetime
import os
import re
import shutil
import signal
import socket
import subprocess

import httpx
import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY, configuration
from kit.http import answer
from kit.upstream import dead_port
from kit.waiting import DEADLINE, eventually

TRIPS = {"consecutive": 3, "open": "60s", "jitter": "0%"}


@pytest.fixture
def outage(gateway):
    """A gateway whose one service has nobody behind it, and its admin API."""
    kept, port = dead_port()

    def start(**keys):
        config = {"breaker": TRIPS, "retry": {"max": 0}, "admin": ADMIN, **keys}
        gw = gateway([f"http://127.0.0.1:{port}"], **config)
        return gw, Admin(gw)

    yield start
    kept.close()


def broken(gw, times=3):
    for _ in range(times):
        gw.get("/")


def seconds_ago(text):
    then = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
    return (datetime.datetime.utcnow() - then).total_seconds()


# ---- probes and health ---------------------------------------------------------


def test_probes_do_not_fail_with_a_service(outage):
    gw, admin = outage(critical=True)
    broken(gw)
    assert admin.get("/health").status_code == 503
    for path in ("/livez", "/readyz", "/startupz", "/health/live", "/health/ready",
                 "/health/startup"):
        assert admin.get(path).status_code == 200, path


def test_not_ready_while_draining(gateway, server):
    gw = gateway([server()], admin=ADMIN, drain={"delay": "60s"})
    admin = Admin(gw)
    assert admin.json("/readyz") == {"status": "ready"}
    gw.signal(signal.SIGTERM)
    gw.wait_message("draining")
    assert admin.json("/readyz", 503) == {"status": "draining"}
    assert admin.get("/livez").status_code == 200
    assert admin.json("/health")["details"]["system"]["draining"] is True


def test_health_of_an_outage(outage):
    gw, admin = outage()
    health = admin.json("/health")
    assert health["status"] == "HEALTHY"
    assert health["details"]["circuit_breakers"] == {
        "all_closed": True, "open_breakers": [],
        "details": {"web": {"state": "closed", "failure_count": 0, "opened_at": None,
                            "is_closed": True, "is_open": False}}}
    broken(gw)
    health = admin.json("/health/resilience", 503)
    assert health["status"] == "CRITICAL"
    breakers = health["details"]["circuit_breakers"]
    assert (breakers["all_closed"], breakers["open_breakers"]) == (False, ["web"])
    web = breakers["details"]["web"]
    opened_at = web.pop("opened_at")
    assert -1 < seconds_ago(opened_at) < DEADLINE
    assert web == {"state": "open", "failure_count": 3, "is_closed": False, "is_open": True}
    assert health["details"]["services"]["web"]["working"] is False


def test_overall_state_over_many_services(gateway, server):
    kept, port = dead_port()
    down, up = {"endpoints": [f"http://127.0.0.1:{port}"]}, {"endpoints": [server().url]}
    names = [f"s{i}" for i in range(9)]
    services = {name: {**down, "breaker": TRIPS, "retry": {"max": 0}} for name in names}
    services["s7"]["critical"] = services["s8"]["critical"] = True
    routes = [{"prefix": f"/{n}", "service": n} for n in names] + [{"prefix": "/", "service": "web"}]
    gw = gateway([up["endpoints"][0]], services=services, routes=routes, admin=ADMIN)
    admin = Admin(gw)

    def states_after(*services):
        for name in services:
            for _ in range(3):
                gw.get(f"/{name}")
        answer = admin.get("/health")
        return answer.status_code, answer.json()["status"]

    assert states_after() == (200, "HEALTHY")
    assert states_after("s0", "s1") == (200, "HEALTHY")          # 8 of 10
    assert states_after("s2") == (200, "DEGRADED")               # 7
    assert states_after("s3", "s4") == (200, "DEGRADED")         # 5
    assert states_after("s5") == (503, "CRITICAL")               # 4
    assert states_after("s7") == (503, "CRITICAL")
    assert states_after("s8") == (503, "EMERGENCY")
    kept.close()


def test_system_figures_are_of_this_process(gateway, server):
    gw = gateway([server()], admin=ADMIN, workers=3)
    system = Admin(gw).json("/health")["details"]["system"]
    assert system["pid"] == gw.pid
    assert system["workers"] == 3
    assert 1 << 20 < system["resident_bytes"]
    assert 5 < system["open_fds"] < system["max_fds"]
    assert 0 <= system["cpu_seconds"] and 0 <= system["uptime_seconds"]
    assert system["resident_bytes"] < system["memory_limit_bytes"] and 0 < system["cpu_limit"]
    assert 0 <= system["event_loop_lag_seconds"] < 60 and system["disks"] == {}
    assert seconds_ago(system["started_at"]) == pytest.approx(system["uptime_seconds"], abs=2)


def test_room_on_disks_and_use_of_processors(gateway, server, tmp_path):
    gw = gateway([server()], admin=ADMIN, cache={"fresh": "1s", "store": "disk"},
                 fallback=[{"queue": {}}], store=f"sqlite:{tmp_path}/here.db",
                 cache_disk={"path": str(tmp_path / "cache")})
    admin = Admin(gw)

    def known():
        system = admin.json("/health")["details"]["system"]
        return system["cpu_usage"] is not None and system["disks"]["cache"]["size_bytes"] and system

    system = eventually(known, "it was looked at twice")
    disk = os.statvfs(tmp_path)
    for name, path in (("store", "here.db"), ("cache", "cache")):
        seen = system["disks"][name]
        assert seen["path"] == str(tmp_path / path)
        assert seen["size_bytes"] == disk.f_blocks * disk.f_frsize
        assert 0 < seen["free_bytes"] <= seen["size_bytes"] and 0 <= seen["seen_seconds_ago"]
    metrics = admin.get("/metrics").text
    for name in ('gateway_disk_free_bytes{directory="store"}', "process_memory_limit_bytes",
                 'gateway_disk_size_bytes{directory="cache"}', "process_cpu_limit",
                 "process_virtual_memory_bytes", "gateway_event_loop_lag_seconds"):
        assert f"\n{name} " in metrics
    status = subprocess.run([BINARY, "status", "--admin", str(admin.base_url)],
                            capture_output=True, text=True, timeout=60)
    assert re.search(r"^cpu [\d.]+ of [\d.]+, memory \d+ MiB of [\d.]+ .iB, descriptors \d+ of "
                     r"\d+, disk of the store [\d.]+ .iB free of [\d.]+ .iB, disk of the cache ",
                     status.stdout, re.M), status.stdout + status.stderr


# ---- reading breakers ---------------------------------------------------------------


def test_a_breaker(outage):
    gw, admin = outage()
    broken(gw, 5)
    web = admin.breaker()
    assert admin.json("/api/v1/circuit-breakers")["circuit_breakers"][0]["name"] == "web"
    assert admin.json("/circuit-breakers")["circuit_breakers"][0]["state"] == "open"
    assert (web["state"], web["forced"], web["idle"], web["manual"]) == ("open", False, False, None)
    assert (web["failure_count"], web["calls"], web["failure_rate"]) == (3, 3, 1.0)
    assert web["totals"] == {"calls": 3, "successes": 0, "failures": 3, "slow": 0, "overloads": 0,
                             "cancelled": 0, "ignored": 0, "late": 0}
    assert web["rejections"] == {"open": 2}
    assert web["bulkhead"] == {"in_use": 0, "waiting": 0, "limit": 1024}
    assert 0 < web["next_probe_in_ms"] <= 60000
    assert -60 < seconds_ago(web["next_probe_at"]) < 0
    assert -1 < seconds_ago(web["since"]) < DEADLINE
    assert web["last_change"]["cause"] == "consecutive"
    endpoint, = web["endpoints"]
    assert endpoint["state"] == "open" and endpoint["in_flight"] == 0 and endpoint["health"] is None


def test_health_checks_are_shown(gateway, server):
    good, bad = server(), server(lambda r, l: answer(b"", "500 No"))
    gw = gateway([good, bad], health={"path": "/h", "interval": "100ms"}, admin=ADMIN)
    admin = Admin(gw)

    def checks():
        seen = [e["health"] for e in admin.breaker()["endpoints"]]
        return all(h["checked_at"] for h in seen) and seen

    first, second = eventually(checks, "both were checked")
    assert (first["state"], first["status"], first["cause"]) == ("good", 200, None)
    assert (second["state"], second["status"], second["cause"]) == ("bad", 500, "status")


def test_open_and_idle_without_traffic(outage):
    gw, admin = outage(breaker={**TRIPS, "open": "50ms"})
    broken(gw)
    web = eventually(lambda: (b := admin.breaker())["idle"] and b, "the probe is due")
    assert web["state"] == "open" and web["next_probe_in_ms"] == 0


# ---- manual control --------------------------------------------------------------------


def test_force_open_refuses_and_reset_lets_through(gateway, server):
    up = server()
    gw = gateway([up], admin=ADMIN)
    admin = Admin(gw)
    assert gw.get("/").status == 200
    web = admin.command("force-open", reason="maintenance", author="ada", **{"for": "1h"}).json()
    assert web["state"] == "forced_open" and web["forced"] is True
    assert web["manual"]["reason"] == "maintenance" and web["manual"]["author"] == "ada"
    assert 3500 < -seconds_ago(web["manual"]["until"]) <= 3601
    refused = gw.get("/")
    assert refused.status == 503 and b'"reason":"forced_open"' in refused.body
    assert up.count == 1
    assert admin.breaker()["rejections"] == {"forced_open": 1}
    assert admin.command("reset").json()["state"] == "closed"
    assert gw.get("/").status == 200
    kinds = [e["kind"] for e in admin.json("/api/v1/circuit-breakers/web/history")["events"]]
    assert kinds.count("manual") == 2


def test_force_close_lets_a_failing_service_be_called(outage):
    gw, admin = outage()
    broken(gw)
    assert gw.get("/").story[1]["reason"] == "open"
    assert admin.command("force-close").status_code == 400
    web = admin.command("force-close", **{"for": "1h"}).json()
    assert web["state"] == "forced_closed"
    broken(gw, 10)
    assert gw.get("/").story[1]["attempts"] == "1"
    assert admin.breaker()["state"] == "forced_closed"


def test_disable_counts_nothing(outage):
    gw, admin = outage()
    assert admin.command("disable", **{"for": "1h"}).json()["state"] == "disabled"
    broken(gw, 10)
    web = admin.breaker()
    assert web["state"] == "disabled" and web["calls"] == 0


def test_a_command_ends_by_itself(gateway, server):
    gw = gateway([server()], admin=ADMIN)
    admin = Admin(gw)
    assert admin.command("disable", **{"for": "100ms"}).json()["state"] == "disabled"
    assert admin.wait_state("closed")["manual"] is None
    eventually(lambda: admin.breaker()["last_change"]["cause"] == "expired", "it is told")


def test_one_endpoint_by_name(gateway, server):
    first, second = server(), server()
    gw = gateway([first, second], admin=ADMIN)
    admin = Admin(gw)
    web = admin.command("force-open", endpoint=second.url).json()
    assert web["state"] == "closed"
    assert [e["state"] for e in web["endpoints"]] == ["closed", "forced_open"]
    for _ in range(10):
        assert gw.get("/").status == 200
    assert (first.count, second.count) == (10, 0)


def test_control_survives_a_reload(gateway, server):
    config = configuration([server()], admin=ADMIN)
    gw = gateway(config=config)
    admin = Admin(gw)
    admin.command("force-open", reason="stay", author="ada")
    config["services"]["web"]["retry"]["max"] = 1
    gw.write(config)
    assert admin.post("/api/v1/config/reload").json() == {
        "reloaded": True, "generation": 2, "needs_restart": None, "replaced": []}
    web = admin.breaker()
    assert web["state"] == "forced_open" and web["manual"]["reason"] == "stay"
    assert gw.get("/").status == 503


def test_force_recovery_tries_at_once(gateway, server):
    up = server(lambda r, l: answer(b"", "500 No"))
    gw = gateway([up], breaker=TRIPS, retry={"max": 0}, admin=ADMIN)
    admin = Admin(gw)
    assert admin.post("/api/v1/resilience/force-recovery").json() == {"probed": []}
    broken(gw)
    assert admin.breaker()["state"] == "open"
    up.respond = lambda r, l: answer(b"well")
    assert admin.post("/api/v1/resilience/force-recovery").json() == {"probed": ["web"]}
    assert admin.breaker()["idle"] is True
    assert [gw.get("/").status for _ in range(3)] == [200] * 3
    assert admin.breaker()["state"] == "closed"


def test_control_of_many_threads_at_once(gateway, server):
    gw = gateway([server()], admin=ADMIN, workers=2)
    admin = Admin(gw)
    for i in range(50):
        admin.command("force-open" if i % 2 else "reset")
        gw.get("/")
    history = admin.json("/api/v1/circuit-breakers/web/history?limit=500")["events"]
    numbers = [e["sequence"] for e in history]
    assert numbers == sorted(set(numbers)) and len(history) > 50


# ---- fallbacks and services --------------------------------------------------------------


def test_which_tier_answers(outage):
    gw, admin = outage(fallback=[{"static": {"status": 200, "json": {"a": 1}}}])
    broken(gw, 7)
    chain, = admin.json("/api/v1/fallbacks")["fallbacks"]
    assert chain["service"] == "web"
    assert chain["tiers"] == [{"name": "1-static", "kind": "static", "tried": 7, "answered": 7,
                               "success_rate": 1.0}]
    web = eventually(lambda: (s := admin.service())["answering"] == "1-static" and s,
                     "the tier is seen")
    assert web["recent"]["tiers"] == {"1-static": 7} and web["recent"]["success_rate"] == 1.0
    assert web["requests"]["total"] == web["requests"]["2xx"] == 7
    assert web["latency"]["count"] == 7
    assert 0 < web["latency"]["p50_ms"] <= web["latency"]["p95_ms"] <= web["latency"]["p99_ms"]
    assert web["policy"]["breaker"]["consecutive"] == 3
    changed = [e for e in admin.json("/api/v1/circuit-breakers/web/history")["events"]
               if e["kind"] == "tier_change"]
    assert (changed[0]["from"], changed[0]["to"]) == ("upstream", "1-static")


def test_nobody_answers(outage):
    gw, admin = outage()
    broken(gw, 9)
    eventually(lambda: admin.service()["answering"] == "nobody", "it is seen that nobody answers")


# ---- configuration ---------------------------------------------------------------------------


def test_configuration_without_secrets(gateway, server):
    token = "correct-horse-battery-staple"
    gw = gateway([server()], admin={**ADMIN, "token": token})
    config = Admin(gw).json("/api/v1/config")
    assert config["config"]["services"]["web"]["retry"]["max"] == 3
    assert config["config"]["admin"]["token"] == "***"
    assert config["generation"] == 1 and config["file"] == str(gw.path)


def test_a_bad_file_changes_nothing_and_says_why(gateway, server):
    config = configuration([server()], admin=ADMIN)
    gw = gateway(config=config)
    admin = Admin(gw)
    gw.write("services:\n  web: {endpoint: http://127.0.0.1:1}\nworkers: many\n")
    answer = admin.post("/api/v1/config/reload")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["reason"] == "bad_configuration" and problem["generation"] == 1
    assert any(re.match(rf"{re.escape(str(gw.path))}:2:\d+: .*endpoint", e)
               for e in problem["errors"])
    assert any(f"{gw.path}:3:" in e for e in problem["errors"])
    assert gw.get("/").status == 200
    assert admin.json("/api/v1/config")["generation"] == 1
    assert admin.json("/health")["details"]["system"]["reload_errors"] == 1


def test_drain(gateway, server):
    gw = gateway([server()], admin=ADMIN, drain={"delay": "0"})
    assert Admin(gw).post("/api/v1/drain", json={"author": "ada"}).json() == {"draining": True}
    assert gw.wait() == 0


# ---- events ---------------------------------------------------------------------------------


@pytest.mark.threads
def test_events_as_they_happen(outage):
    gw, admin = outage(workers=2)
    with admin.follow() as events:
        broken(gw)
        change = events.until("state_change", service="web", to="open")
        assert change["from"] == "closed" and change["cause"] == "consecutive"
        admin.command("reset", reason="again", author="bob")
        manual = events.until("manual", to="reset")
        assert (manual["author"], manual["text"]) == ("bob", "again")
        events.until("state_change", to="closed")
        admin.post("/api/v1/config/reload")
        events.until("reload")


def test_resuming_after_a_pause(outage):
    gw, admin = outage()
    broken(gw)
    admin.command("reset")
    last = admin.get("/api/v1/events", headers={"Accept": "application/json"}).json()["last"]
    with admin.follow(**{"Last-Event-ID": "1"}) as events:
        identifier, _, data = next(iter(events))
        assert identifier == "2" and data["sequence"] == 2
    with admin.follow(f"/api/v1/events?after={last}") as events:
        admin.command("force-open")
        events.until("manual", to="force-open")


def test_a_follower_who_knows_another_process(outage):
    gw, admin = outage()
    broken(gw)
    with admin.follow(**{"Last-Event-ID": "987654"}) as events:
        _, kind, data = next(iter(events))
        assert kind == "gap" and data == {"after": 987654}
        assert next(iter(events))[0] == "1"


def test_refusals_are_told(outage):
    gw, admin = outage()
    with admin.follow() as events:
        broken(gw, 10)
        told = events.until("refusals")
        assert told["cause"] == "open" and told["service"] == "web"


# ---- metrics ----------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (package prometheus) is missing")
def test_promtool_is_silent(outage):
    gw, admin = outage(fallback=[{"static": {"status": 200}}], cache={"fresh": "1s"})
    broken(gw, 5)
    answer = admin.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    done = subprocess.run(["promtool", "check", "metrics"], input=answer.text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert (done.returncode, done.stdout) == (0, "")


def test_openmetrics_for_who_asks(outage):
    gw, admin = outage()
    broken(gw, 5)
    answer = admin.get("/metrics", headers={
        "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert 'circuit_breaker_state{service="web"} 1\n' in answer.text
    assert 'circuit_breaker_rejections_total{service="web",reason="open"} 2\n' in answer.text


# ---- who may ------------------------------------------------------------------------------------

TOKEN = "correct-horse-battery-staple"


def test_an_address_that_is_not_loopback_needs_the_token(gateway, server):
    gw = gateway([server()], admin={"address": "0.0.0.0:0", "token": TOKEN})
    anyone, admin = Admin(gw), Admin(gw, TOKEN)
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        assert anyone.get(path).status_code == 200, path
    for path in ("/", "/health", "/api/v1/circuit-breakers", "/api/v1/services", "/api/v1/config",
                 "/api/v1/events", "/api/v1/fallbacks"):
        refused = anyone.get(path)
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"].startswith("Bearer")
    assert anyone.post("/api/v1/drain").status_code == 401
    assert Admin(gw, TOKEN + "x").get("/health").status_code == 401
    assert admin.get("/health").status_code == 200
    assert admin.command("reset").status_code == 200
    assert gw.messages("admin request with a wrong token")


def test_without_a_token_it_does_not_start(tmp_path, server):
    path = tmp_path / "switchgear.yaml"
    path.write_text(f"admin: {{address: '0.0.0.0:0'}}\nservices: {{web: {{endpoints: ['{server().url}']}}}}\n")
    done = subprocess.run([BINARY, "run", "-c", str(path)], stderr=subprocess.PIPE, text=True,
                          timeout=DEADLINE)
    assert done.returncode == 2 and "token" in done.stderr


def test_web_pages_of_elsewhere(gateway, server):
    admin = Admin(gateway([server()], admin=ADMIN))
    drain = "/api/v1/circuit-breakers/web/reset"
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}):
        answer = admin.post(drain, headers=headers)
        assert answer.status_code == 403, headers
        assert answer.headers["content-type"] == "application/problem+json"
    assert admin.get("/health", headers={"Host": "evil.example"}).status_code == 403
    own = str(admin.base_url).rstrip("/")
    assert admin.post(drain, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}).is_success
    preflight = admin.options(drain, headers={"Origin": "http://evil.example"})
    assert preflight.status_code == 405
    assert not any(name.startswith("access-control") for name in preflight.headers)


# ---- hard times --------------------------------------------------------------------------------


def test_many_clients_do_not_shut_others_out(gateway, server):
    gw = gateway([server()], admin=ADMIN)
    admin = Admin(gw)
    address = (admin.base_url.host, admin.base_url.port)
    idle = [socket.create_connection(address) for _ in range(200)]
    assert admin.get("/livez").status_code == 200
    for sock in idle:
        sock.close()


def test_garbage_does_not_hurt(gateway, server):
    gw = gateway([server()], admin=ADMIN)
    admin = Admin(gw)
    address = (admin.base_url.host, admin.base_url.port)
    for data in (b"\0" * 1000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10000, b"\x16\x03\x01\x02\x00",
                 b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n",
                 b"GET /" + b"%00" * 100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        with socket.create_connection(address) as sock:
            sock.settimeout(DEADLINE)
            sock.sendall(data)
            assert re.match(rb"HTTP/1.1 (4|5)\d\d ", sock.recv(4096)), data[:40]
    assert admin.get("/livez").status_code == 200


def test_a_name_from_a_path_is_only_text(gateway, server):
    admin = Admin(gateway([server()], admin=ADMIN))
    answer = admin.get("/api/v1/circuit-breakers/%3Cscript%3E%22%5C%0a")
    assert answer.status_code == 404
    assert '<script>"\\\n' in answer.json()["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_httpx_keeps_one_connection(gateway, server):
    admin = Admin(gateway([server()], admin=ADMIN))
    with httpx.Client(base_url=admin.base_url, limits=httpx.Limits(max_connections=1),
                      trust_env=False) as client:
        for _ in range(20):
            assert client.get("/health").status_code == 200
            assert client.head("/health").status_code == 200
            assert client.get("/nothing").status_code == 404
