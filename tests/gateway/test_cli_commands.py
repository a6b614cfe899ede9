"""The commands as they are typed: what they print, and their exit codes."""
import http.server
import json
import re
import socket
import threading

import pytest

from kit.admin import ADMIN
from kit.gateway import ROOT
from kit.mock import Mock, command
from kit.upstream import dead_port

COMMANDS = ["run", "check", "explain", "demo", "mock", "status", "top", "history", "open", "close",
            "disable", "reset", "recover", "set", "outbox", "drill", "reload", "drain", "version",
            "reference", "help"]


@pytest.fixture
def mock():
    """Starts mocks, and ends them however the test goes."""
    started = []

    def start(*arguments):
        started.append(Mock(*arguments))
        return started[-1]

    yield start
    for m in started:
        m.stop()


@pytest.fixture
def running(gateway, mock):
    """A gateway before a dead endpoint and a good one, and a function that runs commands on it."""
    kept, port = dead_port()
    good = mock("--name", "good")

    def start(**keys):
        gw = gateway([f"http://127.0.0.1:{port}"], admin={**ADMIN, **keys.pop("admin", {})},
                     retry={"max": 0},
                     breaker={"consecutive": 3, "open": "60s", "jitter": "0%"},
                     services={"good": {"endpoints": [good.url, good.url + "/b"]}},
                     routes=[{"prefix": "/good", "service": "good"},
                             {"prefix": "/", "service": "web"}], **keys)
        address = gw.wait_message("admin listening")["address"]

        def run(name, *arguments, **how):
            return command(name, "--admin", address, *arguments, **how)

        run.address = address
        return gw, run

    yield start
    kept.close()


# ---- help ------------------------------------------------------------------------------------


def test_overview_lists_every_command():
    for arguments in ([], ["help"], ["--help"], ["-h"]):
        out, err = command(*arguments)
        assert not err
        for name in COMMANDS:
            assert re.search(rf"^  {name}\s+\S", out, re.M), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_page(name):
    pages = [command("help", name)[0], command(name, "--help")[0], command(name, "-h")[0]]
    assert pages[0] == pages[1] == pages[2]
    for heading in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXIT CODES", "EXAMPLE"):
        assert re.search(rf"^{heading}$", pages[0], re.M), heading
    assert f"switchgear {name}" in pages[0]
    assert "\033" not in pages[0]
    assert max(map(len, pages[0].splitlines())) <= 100


def test_the_reference_page_has_them_all():
    out, _ = command("reference", "cli")
    for name in COMMANDS:
        assert f"## switchgear {name}\n" in out


@pytest.mark.parametrize("typed, meant", [("stauts", "status"), ("rnu", "run"),
                                          ("histroy", "history"), ("explian", "explain")])
def test_misspelt_commands(typed, meant):
    for arguments in ([typed], ["help", typed]):
        out, err = command(*arguments, code=2)
        assert f"did you mean {meant}?" in err and not out


def test_unknown_command():
    _, err = command("frobnicate", code=2)
    assert "did you mean" not in err and "switchgear help" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_options(name):
    _, err = command(name, "--frobnicate", code=2)
    assert "frobnicate" in err


def test_version():
    out, _ = command("version")
    assert re.match(r"switchgear \d+\.\d+\.\d+\n", out)
    told = json.loads(command("version", "--json")[0])
    assert out.startswith(f"switchgear {told['version']}\n") and "openssl" in told["libraries"]
    assert command("--version")[0] == out


# ---- check -------------------------------------------------------------------------------------


def test_check_good(tmp_path):
    file = tmp_path / "switchgear.yaml"
    file.write_text("services: {a: {endpoints: ['http://127.0.0.1:1', 'http://127.0.0.1:2']}}\n")
    out, err = command("check", file)
    assert out == f"{file}: good; 1 service, 2 endpoints, 1 route\n" and not err
    assert command("check", cwd=tmp_path)[0] == "switchgear.yaml: good; 1 service, 2 endpoints, 1 route\n"
    assert json.loads(command("check", "--print", "-c", file)[0])["services"]["a"]["retry"]["max"] == 3
    told = json.loads(command("check", "--json", file)[0])
    assert told["valid"] and told["findings"] == []


def test_check_reports_all_errors(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("services:\n  a:\n    endpoints: [http://127.0.0.1:1]\n    brekaer: {}\n"
                    "    timeout: {total: soon}\n")
    out, err = command("check", file, code=2)
    assert not out
    assert re.search(rf"^{file}:4:5: .*brekaer.*breaker", err, re.M)
    assert re.search(rf"^{file}:5:\d+: ", err, re.M)
    told = json.loads(command("check", "--json", file, code=2)[0])
    assert not told["valid"] and told["errors"] == len(told["findings"]) == 2
    assert (told["findings"][0]["line"], told["findings"][0]["suggestion"]) == (4, "breaker")


def test_check_reads_standard_input_and_says_what_is_not_there():
    out, _ = command("check", "/dev/stdin",
                     input="services: {a: {endpoints: ['http://127.0.0.1:1']}}")
    assert "good" in out
    assert "/nonexistent" in command("check", "/nonexistent", code=2)[1]
    command("check", "a", "b", code=2)
    command("check", "-c", "a", "b", code=2)


@pytest.mark.parametrize("file", sorted(p.name for p in (ROOT / "examples").glob("*.yaml")))
def test_examples_are_good(file):
    command("check", ROOT / "examples" / file)


# ---- asking a running gateway ------------------------------------------------------------------------


def test_status(running):
    gw, run = running()
    out, _ = run("status")
    assert out.startswith("HEALTHY, up ")
    for _ in range(3):
        gw.get("/")
    gw.get("/good")
    out, _ = run("status")
    rows = {line.split()[0]: line.split() for line in out.splitlines()[3:]}
    assert rows["web"][1] == "open" and rows["web"][3:5] == ["3", "100%"]
    assert "tried again in" in out
    assert rows["good"][1] == "closed"
    assert sum(name.startswith("http://") for name in rows) == 2  # of the one that has several
    only, _ = run("status", "good")
    assert "web" not in only and "good" in only
    told = json.loads(run("status", "--json")[0])
    assert {b["name"]: b["state"] for b in told["circuit_breakers"]} == \
        {"web": "open", "good": "closed"}
    assert json.loads(run("status", "web", "--json")[0])["state"] == "open"
    assert "no service \"shop\"" in run("status", "shop", code=1)[1]
    assert "shop" in run("status", "shop", "--json", code=1)[1]


def test_manual_control_and_history(running):
    gw, run = running()
    out, _ = run("open", "good", "--reason", "moving the index", "--for", "10m", "--author", "ada")
    assert re.match(r"good: forced_open until 20\d\d-", out)
    assert gw.get("/good").status == 503
    out, _ = run("status")
    assert "forced_open" in out and "by ada until" in out and "moving the index" in out
    assert run("reset", "good")[0] == "good: closed\n"
    assert gw.get("/good").status == 200
    assert run("close", "good", "--for=5m")[0].startswith("good: forced_closed until ")
    assert run("disable", "good", "--for", "5m")[0].startswith("good: disabled until ")
    assert json.loads(run("reset", "good", "--json")[0])["state"] == "closed"
    out, _ = run("history", "good")
    for word in ("closed -> forced_open", "moving the index", "ada", "disabled"):
        assert word in out
    assert len(run("history", "good", "-n", "2")[0].splitlines()) == 3
    assert len(json.loads(run("history", "good", "--json", "--limit=2")[0])["events"]) == 2
    assert run("history", "web")[0] == "nothing has happened yet\n"


def test_control_of_one_endpoint(running):
    _, run = running()
    first, second = [e["name"] for e in json.loads(run("status", "good", "--json")[0])["endpoints"]]
    assert run("open", "good", "--endpoint", second)[0] == f"{second}: forced_open\n"
    states = {e["name"]: e["state"]
              for e in json.loads(run("status", "good", "--json")[0])["endpoints"]}
    assert states == {first: "closed", second: "forced_open"}
    assert "no endpoint" in run("open", "good", "-e", "http://nobody", code=1)[1]


def test_reset_all(running):
    _, run = running()
    run("open", "good")
    run("open", "web")
    assert run("reset", "--all", "-r", "over")[0] == "web: closed\ngood: closed\n"


def test_control_that_is_refused(running):
    _, run = running()
    assert "--for" in run("close", "good", code=2)[1]
    assert "--for" in run("disable", "good", code=2)[1]
    assert "no service" in run("open", "shop", code=1)[1]
    assert "at most 7d" in run("close", "good", "--for", "8d", code=1)[1]
    run("reset", code=2)
    run("reset", "good", "--all", code=2)
    run("open", "good", "--for", "soon", code=2)
    run("history", code=2)
    run("history", "good", "--limit", "501", code=2)
    # a name is a segment of a path, whatever it is made of
    assert "no service" in run("open", "../../config/reload?x=", code=1)[1]


def test_recover(running):
    gw, run = running()
    assert run("recover")[0] == "no breaker is open\n"
    for _ in range(3):
        gw.get("/x")
    assert gw.get("/x").story[1]["attempts"] == "0"
    assert run("recover", "--reason", "it is back")[0] == "web: tried now\n"
    assert gw.get("/x").story[1]["attempts"] == "1"  # the try: there is still nobody
    assert gw.get("/x").story[1]["attempts"] == "0"
    assert json.loads(run("recover", "--json")[0]) == {"probed": ["web"]}
    assert "it is back" in run("history", "web")[0]


def test_reload(running):
    gw, run = running()
    assert run("reload")[0] == "reloaded; generation 2\n"
    good = gw.path.read_text()
    gw.write(good.replace('"services"', '"servces"'))
    _, err = run("reload", code=2)
    assert "the old one stays in force" in err and "did you mean" in err
    assert json.loads(run("reload", "--json", code=2)[0])["generation"] == 2
    gw.write(good.replace('"workers": 1', '"workers": 2'))
    out, _ = run("reload")
    assert "generation 3" in out and "next start: workers" in out


def test_drain(running):
    gw, run = running(drain={"delay": "0", "timeout": "5s"})
    assert run("drain", "--wait")[0] == "drained\n"
    assert gw.wait() == 0


def test_token(running, tmp_path):
    _, run = running(admin={"token": "secret"})
    assert "SWITCHGEAR_ADMIN_TOKEN" in run("open", "good", code=1)[1]
    run("open", "good", env={"SWITCHGEAR_ADMIN_TOKEN": "secret"})
    run("open", "good", env={"SWITCHGEAR_ADMIN_TOKEN": "wrong"}, code=1)
    file = tmp_path / "token"
    file.write_text("secret\n")
    run("reset", "good", "--token-file", file, env={"SWITCHGEAR_ADMIN_TOKEN": "wrong"})
    assert "nothing-there" in run("reset", "good", "--token-file", "nothing-there", code=2)[1]


# ---- where the gateway is looked for ----------------------------------------------------------------------


def test_address_comes_from_flag_environment_or_configuration(running, tmp_path):
    _, run = running(admin={"token": "secret"})
    config = tmp_path / "switchgear.yaml"
    config.write_text(f"admin: {{address: '{run.address}', token: secret}}\n"
                      "services: {a: {endpoints: ['http://127.0.0.1:1']}}\n")
    assert "HEALTHY" in command("status", env={"SWITCHGEAR_ADMIN": run.address})[0]
    assert "HEALTHY" in command("status", "--admin", f"http://{run.address}/")[0]
    # the token of the configuration goes to its own address
    assert command("open", "good", cwd=tmp_path)[0] == "good: forced_open\n"
    assert command("reset", "good", "-c", config)[0] == "good: closed\n"
    command("open", "good", "--admin", run.address, cwd=tmp_path, code=1)  # and to no other
    _, err = command("status", "-c", "/nonexistent", code=2)
    assert "/nonexistent" in err


def test_nobody_there():
    kept, port = dead_port()
    _, err = command("status", "--admin", f"127.0.0.1:{port}", code=1)
    assert f"127.0.0.1:{port} (--admin): Connection refused" in err
    assert "Is `switchgear run` running?" in err
    kept.close()
    for wrong in ("nowhere:x", "a b", ""):
        command("status", "--admin", wrong, code=2)


def test_silence_times_out():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        _, err = command("status", "--admin", f"127.0.0.1:{s.getsockname()[1]}",
                         "--timeout", "100ms", code=1)
    assert "it takes too long" in err


@pytest.mark.parametrize("answer, why", [
    (b"hello\r\n\r\n", "no HTTP"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", "Connection reset"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1,", "no JSON"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", None),  # tolerated
    (b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\n\x1b[2", "answered 500"),
    (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "no HTTP")])
def test_strange_answers(answer, why):
    class Strange(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Strange) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _, err = command("status", "--admin", f"127.0.0.1:{server.server_port}",
                         code=1 if why else 0)
        server.shutdown()
    assert not why or why in err
    assert "\x1b" not in err


def test_what_an_answer_holds_cannot_command_the_terminal():
    body = json.dumps({"services": [{"name": "a\x1b[31mb\u009b", "answering": "x\ny"}]}).encode()

    class Hostile(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Hostile) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        out, _ = command("status", "--admin", f"127.0.0.1:{server.server_port}")
        server.shutdown()
    assert "a\\x1b[31mb\\x9b" in out and "x\\x0ay" in out and "\x1b" not in out


# ---- explain -------------------------------------------------------------------------------------------------


SHOP = """
services:
  shop:
    endpoints: ["http://127.0.0.1:1/base", "http://127.0.0.1:2"]
    timeout: {connect: 50ms, attempt: 100ms, total: 10s}
    retry: {max: 2, base: 20ms, jitter: none, body: 1KiB}
    cache: {fresh: 10s, stale: 1h, key: [method, path, header.Accept]}
    fallback: [{stale: {max: 5m}}, {service: spare}, {static: {json: {}}}]
  spare: {endpoints: ["http://127.0.0.1:3"], retry: {max: 1}}
routes:
  - {path: "/users/{id}/cart", service: shop, match: {method: [GET, POST]}}
  - {prefix: /api, service: shop, strip_prefix: /api}
  - {prefix: /, service: spare, match: {host: spare.example}}
"""


@pytest.fixture
def explain(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_text(SHOP)

    def run(*arguments, code=0):
        return json.loads(command("explain", "-c", file, "--json", *arguments, code=code)[0])

    run.file = file
    return run


def test_explain_route_and_target(explain):
    told = explain("/api/x%41?q=1")
    assert told["route"] == {"prefix": "/api", "number": 2, "captures": {}}
    assert told["sent_to"] == [{"endpoint": "http://127.0.0.1:1/base", "target": "/base/xA?q=1"},
                               {"endpoint": "http://127.0.0.1:2", "target": "/xA?q=1"}]
    assert explain("/users/42/cart")["route"]["captures"] == {"id": "42"}
    assert explain("http://spare.example:8080/x")["service"] == "spare"
    assert explain("/x", "-H", "Host: spare.example")["service"] == "spare"
    assert explain("/api")["sent_to"][1]["target"] == "/"


def test_explain_refusals(explain):
    assert explain("/x", code=1)["refused"]["status"] == 404
    told = explain("DELETE", "/users/1/cart", code=1)["refused"]
    assert told["status"] == 405 and told["allow"] == ["GET", "POST"]
    for wrong in ("x", "/a%zz", "ftp://a/b"):
        command("explain", "-c", explain.file, wrong, code=2)
    command("explain", "-c", explain.file, "--header", "nocolon", "/api", code=2)
    command("explain", "-c", "/nonexistent", "/api", code=2)


def test_explain_attempts_and_worst_case(explain):
    told = explain("/api")
    assert told["attempts"]["max"] == 3 and told["attempts"]["retried"]
    assert told["attempts"]["waits_max_ms"] == [20, 40]
    # three attempts of 100 ms, and the two waits between them
    assert told["worst_case"] == {"attempts": 3, "ms": 360}
    post = explain("POST", "/api")
    assert post["attempts"]["max"] == 1 and "idempotent" in post["attempts"]["why_not"]
    assert post["worst_case"] == {"attempts": 1, "ms": 100}
    assert explain("POST", "/api", "-H", "Idempotency-Key: 1")["attempts"]["max"] == 3
    assert "retry.body" in explain("PUT", "/api", "--body-size", "2KiB")["attempts"]["why_not"]


def test_explain_a_write_that_may_be_queued(tmp_path):
    """It gets a key, so that it may be sent again, also with a body that is kept for the queue."""
    file = tmp_path / "queue.yaml"
    file.write_text("""
listen: [{address: "127.0.0.1:0"}]
services:
  pay: {endpoints: [http://127.0.0.1:1], retry: {max: 2, body: 1KiB}, fallback: [{queue: {max_body: 9KiB}}]}
""")

    def told(*arguments):
        return json.loads(command("explain", "-c", file, "--json", *arguments)[0])["attempts"]

    assert told("POST", "/")["own_idempotency_key"] and told("POST", "/")["max"] == 3
    assert told("POST", "/", "--body-size", "8KiB")["max"] == 3
    assert told("POST", "/", "--body-size", "10KiB")["max"] == 1
    assert not told("POST", "/", "-H", "Idempotency-Key: a")["own_idempotency_key"]
    assert not told("GET", "/")["own_idempotency_key"]
    assert "of the gateway's" in command("explain", "-c", file, "POST", "/")[0]


def test_explain_cache_and_fallback(explain):
    told = explain("/api")
    assert told["cache"]["looked_into"] and told["cache"]["fresh_ms"] == 10000
    key = told["cache"]["key"]
    assert explain("HEAD", "/api")["cache"]["key"] == key
    assert explain("/api", "-H", "Accept: x")["cache"]["key"] != key
    assert explain("/api", "-H", "Cookie: x")["cache"]["key"] == key
    assert [(t["name"], "passed_over" in t) for t in told["fallback"]] == \
        [("1-stale", False), ("2-service", False), ("3-static", False)]
    post = explain("POST", "/api")
    assert not post["cache"]["looked_into"]
    assert "passed_over" in post["fallback"][0]


def test_explain_is_what_happens(gateway, mock):
    """The worst case of the explanation, against a service that hangs."""
    sick = mock("--hang", "100%")
    gw = gateway([sick.url], timeout={"connect": "1s", "attempt": "300ms", "total": "1200ms"},
                 retry={"max": 5, "base": "10ms", "cap": "20ms", "jitter": "none"})
    told = json.loads(command("explain", "-c", gw.path, "--json", "/x")[0])
    reply = gw.get("/x")
    assert reply.status in (503, 504)
    assert sick.state()["requests"] == told["worst_case"]["attempts"] == 4
    assert told["worst_case"]["ms"] == 1200
    assert float(reply.story[1]["took"]) >= told["worst_case"]["ms"]


def test_explain_live(running):
    gw, run = running()
    run("open", "good")
    told = json.loads(command("explain", "--live", "--json", "-c", gw.path, "/good",
                              "--admin", run.address)[0])
    assert told["now"]["state"] == "forced_open" and len(told["now"]["endpoints"]) == 2
    out, _ = command("explain", "--live", "-c", gw.path, "/good", "--admin", run.address)
    assert re.search(r"^now +good: forced_open$", out, re.M)
    kept, port = dead_port()
    command("explain", "--live", "-c", gw.path, "/good", "--admin", f"127.0.0.1:{port}", code=1)
    kept.close()
