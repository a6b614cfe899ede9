"""`switchgear top`, in a terminal that is typed into and looked at."""
import json
import re
import signal

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY
from kit.http import answer
from kit.mock import command
from kit.tmux import Terminal
from kit.upstream import dead_port

TOKEN = "on-call-at-three"
ONCE = {"max": 0}


@pytest.fixture
def start(gateway, server):
    """A gateway with services `web` and `other`, and its operator."""
    def make(config=None, address="127.0.0.1:0", **keys):
        gw = gateway([server()], config=config,
                     admin={"address": address, "token": TOKEN}, retry=ONCE,
                     services={"other": {"endpoints": [server().url]},
                               "mail": {"endpoints": [server().url], "critical": True}},
                     **{"breaker": {"consecutive": 2, "open": "1h"}, **keys})
        return gw, Admin(gw, TOKEN)
    return make


def address_of(gw):
    return gw.wait_message("admin listening")["address"]


def top(gw, *arguments, token=TOKEN, env=None, **how):
    env = {**(env or {}), **({"SWITCHGEAR_ADMIN_TOKEN": token} if token else {})}
    return Terminal(" ".join([BINARY, "top", "--admin", address_of(gw), *arguments]), env=env, **how)


def line_of(screen, name):
    return next(line for line in screen.splitlines() if re.match(rf"[> ] {name} ", line))


# ---- what is shown ---------------------------------------------------------------------------


def test_it_shows_what_happens_as_it_happens(start):
    gw, admin = start(fallback=[{"static": {"status": 200, "text": "hi"}}],
                      resilience={"emergency": {"criticals": 1, "read_only": True, "hold": "1s"}})
    gw.get()
    with top(gw) as terminal:
        shown = terminal.wait("3 of 3 services work", "HEALTHY", address_of(gw), "q quit")
        assert re.match(r"> mail +closed +working +0\.0", line_of(shown, "mail"))
        assert re.match(r"  web +closed +working", line_of(shown, "web"))
        assert "  mail: 0 of 0 calls failed, none has succeeded yet" in shown
        assert admin.command("force-open", reason="being moved", author="ada", **{"for": "1h"}) \
            .status_code == 200
        shown = terminal.wait("> web ", "manual web force-open", "2 of 3 services work",
                              "  web: by ada until ", "being moved; 0 of 1 calls failed, the last")
        assert re.match(r"> web +forced_open +down", line_of(shown, "web"))
        assert gw.get().body == b"hi"
        assert re.match(r"> web .* 1-static", line_of(terminal.wait("> web", " 1-static  "), "web"))
        admin.post("/api/v1/drills", json={"service": "other", "kind": "abort", "for": "1h",
                                           "percent": 12.5, "reason": "game day"})
        terminal.wait("drill: other: abort for 12.5%", "game day")
        admin.command("reset")
        terminal.wait("3 of 3 services work", "> mail", gone=["  web: by"])
        admin.command("force-open", "mail")  # which is critical
        terminal.wait("EMERGENCY", "emergency since ", ": read_only")
        admin.command("reset", "mail")
        terminal.wait("HEALTHY", gone=["emergency since "])
        terminal.keys("q")
        terminal.wait("exit code 0.")
        assert terminal.is_restored()


def test_once_and_as_json(start):
    gw, admin = start()
    gw.get()
    admin.command("force-open", "other", reason="\033[31mred\a \u202eturned", author="a\rb")
    out, _ = command("top", "--once", "--admin", address_of(gw))
    assert re.search(r"^  web +closed +working", out, re.M)
    assert re.search(r"^  other +forced_open +down", out, re.M)
    assert "?[31mred? turned" in out and "by a?b" in out
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", out)
    assert all(line == line.rstrip() for line in out.splitlines())
    told = json.loads(command("top", "--json", "--admin", address_of(gw))[0])
    assert [s["name"] for s in told["services"]] == ["web", "other", "mail"]
    assert told["health"]["details"]["circuit_breakers"]["open_breakers"] == ["other"]
    assert any(e.get("to") == "forced_open" and e["service"] == "other" for e in told["events"])


def test_where_it_cannot_work(start, tmp_path):
    gw, _ = start()
    kept, port = dead_port()
    for option in ("--once", "--json"):
        out, err = command("top", option, "--admin", f"127.0.0.1:{port}", code=1)
        assert not out and f"127.0.0.1:{port}" in err and "refused" in err
    kept.close()
    assert "--once" in command("top", "--admin", address_of(gw), code=1)[1]
    with Terminal(f"TERM=dumb {BINARY} top --admin {address_of(gw)}") as terminal:
        terminal.wait("TERM is not set, or dumb", "exit code 1.")
        assert terminal.is_restored()


def test_colours_only_where_they_are_wanted(start):
    gw, admin = start()
    admin.command("force-open", reason="x")
    with top(gw, env={"NO_COLOR": "1"}) as terminal:
        terminal.wait("forced_open")
        assert "\033" not in terminal.screen(raw=True)
    with top(gw) as terminal:
        terminal.wait("forced_open")
        assert re.search(r"\033\[31mforced_open", terminal.screen(raw=True))


def test_hundreds_of_services_on_a_screen_that_changes(gateway):
    services = {f"s{i:03}": {"endpoints": ["http://127.0.0.1:9"]} for i in range(300)}
    gw = gateway([], config={"listen": [{"address": "127.0.0.1:0"}], "admin": ADMIN, "workers": 1,
                             "services": services, "routes": [{"prefix": "/", "service": "s000"}]})
    with top(gw, columns=120, lines=30) as terminal:
        assert "> s000" in terminal.wait("300 of 300 services work", "CONDITION", "P50", "QUEUE")
        terminal.keys("End")
        assert "s280" not in terminal.wait("> s299").splitlines()[2]
        terminal.keys("PageUp", "Up")
        terminal.wait("> s2", gone=["> s299"])
        terminal.resize(44, 10)
        shown = terminal.wait("STATE", "CALLS/S", "> s2", gone=["P50", "CONDITION"])
        assert len(shown.rstrip("\n").splitlines()) <= 10
        terminal.resize(20, 4)  # too small for anything, and no harm done
        terminal.resize(120, 30)
        terminal.wait("CONDITION", "> s2", "q quit")
        terminal.keys("Home")
        terminal.wait("> s000")
        terminal.keys("/")
        terminal.type("s12")
        shown = terminal.wait("> s12", "s129", gone=["s130", "s000"])
        terminal.keys("Enter")
        terminal.wait("filter: s12")
        terminal.keys("Escape")
        terminal.wait("s000", gone=["filter:"])
        terminal.keys("s")
        terminal.wait("sort: name")
        terminal.keys("?")
        terminal.wait("refuse all calls, for some time or until reset")
        terminal.keys("?")
        terminal.wait("sort: name", gone=["refuse all calls,"])


# ---- commands ------------------------------------------------------------------------------------


def test_an_operator_opens_closes_disables_and_resets(start):
    gw, admin = start()
    with top(gw) as terminal:
        terminal.wait("> mail")
        terminal.keys("Down", "Down")
        terminal.wait("> web")
        terminal.keys("o")
        terminal.wait("refuse all calls to web")
        terminal.type("index is being rebuiltt")
        terminal.keys("BSpace", "Enter")
        terminal.wait("for how long", "until it is reset")
        terminal.type("soon")
        terminal.keys("Enter")
        terminal.wait('"soon" is no duration')
        terminal.type("30m")
        terminal.keys("Enter")
        shown = terminal.wait("web: forced_open", "index is being rebuilt")
        assert line_of(shown, "web").startswith("> web")  # sorted first, and still selected
        manual = admin.breaker()["manual"]
        assert manual["reason"] == "index is being rebuilt" and manual["until"]

        terminal.keys("c")
        terminal.wait("let all calls through to web")
        terminal.keys("Enter")
        terminal.wait("at most 7d")
        terminal.keys("Enter")
        terminal.wait("is no duration")  # it takes protection away: an end is needed
        terminal.type("10m")
        terminal.keys("Enter")
        terminal.wait("web: forced_closed")

        terminal.keys("d")
        terminal.wait("disable the breaker of web")
        terminal.keys("Escape")
        terminal.wait("q quit")
        assert admin.breaker()["state"] == "forced_closed"
        terminal.keys("d", "Enter")
        terminal.wait("for how long")
        terminal.type("99d")
        terminal.keys("Enter")
        terminal.wait("web: for is a duration")  # says the gateway
        terminal.keys("r")
        terminal.wait("reset web")
        terminal.keys("Enter")
        shown = terminal.wait("web: closed")
        assert "> web " in terminal.wait("to closed, reset", gone=["until"])
        assert admin.breaker()["state"] == "closed"


def test_without_the_token_it_only_looks(start):
    gw, admin = start()
    with top(gw, token=None) as terminal:
        terminal.wait("> mail", "closed")
        terminal.keys("r", "Enter")
        terminal.wait("mail: this needs the token (admin.token)")


# ---- what goes wrong -------------------------------------------------------------------------------


def test_a_connection_that_is_lost_and_comes_back(start):
    gw, admin = start()
    address = address_of(gw)
    admin.command("force-open", "mail", reason="before")
    with top(gw) as terminal:
        terminal.wait("manual mail force-open", "forced_open")
        gw.stop()
        terminal.wait(f"no answer from {address}", "trying again", "ago", "forced_open")
        gw, admin = start(address=address)
        terminal.wait("3 of 3 services work", gone=["no answer", "forced_open", "before"])
        admin.command("force-open", "other", reason="after")
        terminal.wait("manual other force-open", "after")
        terminal.keys("C-c")
        terminal.wait("exit code 0.")
        assert terminal.is_restored()


def test_a_gateway_that_is_not_there_yet(start):
    kept, port = dead_port()
    with Terminal(f"{BINARY} top --admin 127.0.0.1:{port}") as terminal:
        terminal.wait("asking 127.0.0.1", "no answer", "refused")
        kept.close()
        start(address=f"127.0.0.1:{port}")
        terminal.wait("3 of 3 services work", gone=["no answer"])


def test_who_answers_is_no_gateway(server):
    up = server(lambda request, link: answer(b"{}" if "health" in request.target else b"hello"))
    with Terminal(f"{BINARY} top --admin 127.0.0.1:{up.port}") as terminal:
        terminal.wait("no answer from", "200, OK")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGABRT])
def test_every_end_gives_the_terminal_back(start, number):
    gw, _ = start()
    with top(gw) as terminal:
        terminal.wait("q quit")
        assert terminal.is_about("alternate_on") == "1" and terminal.is_about("cursor_flag") == "0"
        terminal.kill(number)
        terminal.wait(f"exit code {128 + number}.")
        assert terminal.is_restored()


def test_it_can_be_stopped_and_goes_on(start):
    gw, _ = start()
    with Terminal(f"bash -i -c '{BINARY} top --admin {address_of(gw)}; echo stopped; read; "
                  f"fg; echo ended'") as terminal:
        terminal.wait("q quit")
        terminal.keys("C-z")
        terminal.wait("stopped")
        assert terminal.is_about("alternate_on") == "0" and terminal.is_about("cursor_flag") == "1"
        terminal.keys("Enter")
        terminal.wait("q quit", "3 of 3 services work")
        terminal.keys("q")
        terminal.wait("ended")
    with top(gw) as terminal:
        terminal.wait("q quit")
        terminal.kill(signal.SIGSTOP)
        terminal.kill(signal.SIGCONT)
        terminal.keys("?")
        terminal.wait("refuse all calls, for some time or until reset")
        terminal.keys("?", "q")
        terminal.wait("exit code 0.")
        assert terminal.is_restored()
