"""A new process takes over from the running one, with all that it knows; or does not,
and nothing has happened."""
import json
import os
import signal
import socket
import sys
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY, configuration
from kit.http import Client, answer
from kit.ledger import FINE, GONE, ONCE, QUICK, Ledger
from kit.load import echo
from kit.mock import command
from kit.upgrade import FAILED, upgrade
from kit.waiting import DEADLINE, eventually

FOREVER = {"delay": "0s", "timeout": "1h"}
TOOK = "upgrade: this process has taken over"


def failing(request, link):
    return answer(b"no", "500 Internal Server Error")


def admin_address(gw):
    return gw.wait_message("admin listening")["address"]


def test_a_request_under_way_is_finished_by_the_process_that_has_it(gateway, server):
    arrived, gate = threading.Event(), threading.Event()

    def respond(request, link):
        if request.target == "/slow":
            arrived.set()
            assert gate.wait(DEADLINE)
        return echo(request, link)

    gw = gateway([server(respond)], drain=FOREVER)
    with gw.connect() as busy, gw.connect() as idle, gw.connect() as fresh:
        assert idle.get("/first").body == b"/first"
        busy.ask("GET", "/slow")
        assert arrived.wait(DEADLINE)
        old = upgrade(gw, wait=False)
        # on connections that the old process accepted
        assert idle.get("/second").body == b"/second"
        assert fresh.get("/third").body == b"/third"
        assert old.poll() is None
        gate.set()
        reply = busy.answer()
        assert reply.body == b"/slow" and "Connection" not in reply.headers
        assert old.wait(DEADLINE) == 0
        assert busy.get("/fourth").body == b"/fourth"  # and it has gone the same way


def test_who_operates_it_comes_to_the_new_process(gateway, server):
    """Commands to a process that serves nobody would be answered, and do nothing."""
    arrived, gate = threading.Event(), threading.Event()

    def respond(request, link):
        arrived.set()
        assert gate.wait(DEADLINE)
        return echo(request, link)

    gw = gateway([server(respond)], admin=ADMIN, drain=FOREVER)
    host, port = admin_address(gw).rsplit(":", 1)

    def operator():
        return Client(socket.create_connection((host, int(port)), DEADLINE))

    with gw.connect() as busy, operator() as idle, operator() as follower:
        busy.ask("GET", "/slow")
        assert arrived.wait(DEADLINE)
        assert idle.get("/livez").status == 200
        follower.ask("GET", "/api/v1/events", headers=["Host: localhost"])
        assert follower.head().status == 200
        old = upgrade(gw, wait=False)
        assert idle.ending() == "ended"
        follower.rest()
        with operator() as again:
            assert again.post("/api/v1/circuit-breakers/web/force-open", b"{}",
                              "Host: localhost").status == 200
        assert old.poll() is None
        assert gw.get("/x").status == 503  # it was the one that serves who heard it
        gate.set()
        assert busy.answer().body == b"/slow"
        assert old.wait(DEADLINE) == 0


def test_breakers_and_manual_control_go_along(gateway, server):
    up, other = server(failing), server(echo)
    gw = gateway([up], admin=ADMIN, retry={"max": 0},
                 breaker={"consecutive": 3, "open": "1h"},
                 services={"other": {"endpoints": [other.url]},
                           "third": {"endpoints": [other.url],
                                     "breaker": {"failures": 4, "window": 100, "open": "1h"}}},
                 routes=[{"path": "/other", "service": "other"},
                         {"path": "/third", "service": "third"},
                         {"prefix": "/", "service": "web"}])
    for _ in range(3):
        assert gw.get().status == 500
    with Admin(gw) as admin:
        assert admin.command("force-open", "other", author="me", **{"for": "1h"}).status_code == 200
        before = admin.breaker()
    upgrade(gw)
    with Admin(gw) as admin:
        after, forced = admin.breaker(), admin.breaker("other")
        assert after["state"] == "open" and after["failure_count"] == before["failure_count"]
        assert forced["state"] == "forced_open"
        assert any(e["kind"] == "upgrade" and "took over" in e["text"] for e in
                   admin.get("/api/v1/events", headers={"Accept": "application/json"})
                   .json()["events"])
    assert gw.get().status == 503 and gw.get("/other").status == 503
    assert gw.get("/third").status == 200
    assert up.count == 3
    assert gw.wait_message(TOOK)["breakers"] == 3


def test_the_command_upgrades_and_the_pid_file_follows(gateway, server, tmp_path):
    """The program at the path it was started by: a link that leads to another file now."""
    link, pid_file = tmp_path / "switchgear", tmp_path / "pid"
    link.symlink_to(BINARY)
    gw = gateway([server(echo)], admin=ADMIN, binary=link,
                 arguments=["--pid-file", str(pid_file)])
    old_pid = gw.pid
    assert int(eventually(lambda: pid_file.exists() and pid_file.read_text(), "it is written")) == \
        old_pid
    copy = tmp_path / "another"
    copy.symlink_to(BINARY)
    (tmp_path / "beside").symlink_to(copy)
    os.rename(tmp_path / "beside", link)
    told = []
    upgrade(gw, lambda: told.append(command("upgrade", "--json", "--admin", admin_address(gw))))
    assert json.loads(told[0][0])["process"] == gw.pid != old_pid
    eventually(lambda: int(pid_file.read_text()) == gw.pid, "it is the new one's")
    assert gw.get("/x").body == b"/x"
    gw.stop()
    assert not pid_file.exists()


def script(path, text):
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)


@pytest.mark.parametrize("text, cause", [
    ("echo 'libcares.so.9: no such file' >&2; exit 127", "status 127): libcares.so.9: no such"),
    ("kill -SEGV $$", "signal 11 ended it"),
    ("exec sleep 1000 3>&-", "did not become ready"),
    (None, "cannot be started"),
])
def test_what_does_not_start_changes_nothing(gateway, server, tmp_path, text, cause):
    link = tmp_path / "switchgear"
    link.symlink_to(BINARY)
    gw = gateway([server(echo)], admin=ADMIN, binary=link)
    address = admin_address(gw)
    link.unlink()
    if text:
        script(link, text)
    with gw.connect() as client:
        assert client.get("/1").body == b"/1"
        if text and "sleep" in text:
            gw.signal(signal.SIGUSR2)
            why = gw.wait_message(FAILED)["cause"]
        else:
            _, why = command("upgrade", "--admin", address, code=1)
        assert cause in why
        assert client.get("/2").body == b"/2"
    assert gw.get("/3").body == b"/3"
    with Admin(gw) as admin:
        assert "gateway_upgrade_failures_total" in admin.get("/metrics").text
        assert admin.get("/readyz").status_code == 200


DIES = """#!{python}
import array, os, socket, struct, sys
channel = socket.socket(fileno=int(os.environ["SWITCHGEAR_HANDOVER"]))
def receive():
    message, ancillary, _, _ = channel.recvmsg(4096, 4096)
    return struct.unpack_from("=I", message)[0]
while receive() != 3:  # END
    pass
channel.send(struct.pack("=II64I256s", 4, 2, *[0] * 64, b""))  # READY
assert receive() == 5  # TAKE_OVER
sys.exit("no")
"""


def test_a_new_process_that_dies_as_it_takes_over_changes_nothing(gateway, server, tmp_path):
    """What is queued had been given away already: it is this process's again."""
    link, ledger = tmp_path / "switchgear", Ledger(server)
    link.symlink_to(BINARY)
    gw = gateway([ledger], admin=ADMIN, binary=link, retry=ONCE, breaker=QUICK,
                 fallback=[{"queue": {}}])
    assert gw.post("/", b"1").status == 202
    link.unlink()
    link.write_text(DIES.format(python=sys.executable))
    link.chmod(0o755)
    for i in range(2):
        _, why = command("upgrade", "--admin", admin_address(gw), code=1)
        assert "failed as it took over" in why and "status 1): no" in why
        assert gw.post("/", b"more %d" % i).status == 202
    ledger.well = True
    eventually(lambda: sorted(ledger.done) == [b"1", b"more 0", b"more 1"], "they arrive")
    link.unlink()
    link.symlink_to(BINARY)
    ledger.well = False
    assert gw.post("/", b"last").status == 202
    upgrade(gw)
    ledger.well = True
    eventually(lambda: b"last" in ledger.done, "the next one sends")
    assert len(ledger.done) == 4


def test_a_take_over_that_fails_leaves_a_delivery_under_way_alone(gateway, server, tmp_path):
    """It ends before the queue has stopped: what was to stop it is called off."""
    link, done = tmp_path / "switchgear", []
    well, arrived, gate = threading.Event(), threading.Event(), threading.Event()

    def respond(request, _):
        if not well.is_set():
            return GONE
        arrived.set()
        assert gate.wait(DEADLINE)
        done.append(request.body)
        return FINE

    link.symlink_to(BINARY)
    gw = gateway([server(respond)], admin=ADMIN, binary=link, retry=ONCE, breaker=QUICK,
                 fallback=[{"queue": {}}])
    assert gw.post("/", b"1").status == 202
    well.set()
    assert arrived.wait(DEADLINE)
    link.unlink()
    link.write_text(DIES.format(python=sys.executable))
    link.chmod(0o755)
    command("upgrade", "--admin", admin_address(gw), code=1)
    gate.set()
    eventually(lambda: b"1" in done, "it arrives")
    well.clear()
    assert gw.post("/", b"2").status == 202
    well.set()
    eventually(lambda: b"2" in done, "the queue goes on")


def test_an_upgrade_ends_with_the_process_that_began_it(gateway, server, tmp_path):
    """A drain comes first: the one who asked is told so."""
    link = tmp_path / "switchgear"
    link.symlink_to(BINARY)
    gw = gateway([server(echo)], admin=ADMIN, binary=link, drain=FOREVER)
    address = admin_address(gw)
    link.unlink()
    script(link, "exec sleep 1000")
    told = []
    asking = threading.Thread(
        target=lambda: told.append(command("upgrade", "--admin", address, code=1)))
    with gw.connect() as busy:
        busy.ask("GET", "/")  # and its answer is not read
        asking.start()
        gw.wait_message("upgrade: starting the new process")
        gw.signal(signal.SIGTERM)
        asking.join(DEADLINE)
    assert any("draining" in text or "stops" in text for text in told[0])
    gw.process.wait(DEADLINE)


def test_a_new_process_whose_configuration_is_wrong_changes_nothing(gateway, server):
    ledger = Ledger(server)
    config = configuration([server(echo)], admin=ADMIN, services={
        "ledger": {"endpoints": [ledger.url], "retry": ONCE, "breaker": QUICK,
                   "fallback": [{"queue": {}}]}},
        routes=[{"path": "/ledger", "service": "ledger"}, {"prefix": "/", "service": "web"}])
    gw = gateway(config=config)
    assert gw.post("/ledger", b"1").status == 202
    gw.write({**config, "retri": {}})
    _, why = command("upgrade", "--admin", admin_address(gw), code=1)
    assert "retri" in why and "status 2" in why
    assert gw.get("/still").body == b"/still"
    assert gw.post("/ledger", b"2").status == 202
    ledger.well = True
    eventually(lambda: sorted(ledger.done) == [b"1", b"2"], "they arrive")
    assert not gw.messages("this process sends what is queued from now on")
    gw.write(config)
    upgrade(gw)  # and then it goes
    assert gw.get("/new").body == b"/new"


def test_listeners_and_workers_may_change(gateway, server, tmp_path):
    """What needs a restart needs no more than an upgrade. Clients of a listener that
    goes are told to close; more sockets than workers, or fewer, are all served."""
    path = str(tmp_path / "x.sock")
    config = configuration([server(echo)], workers=3, drain={"delay": "0s", "timeout": "1h"},
                           listen=[{"address": "127.0.0.1:0"}, {"address": "127.0.0.1:0"},
                                   {"address": f"unix:{path}"}])
    gw = gateway(config=config)
    ports = [int(a.rsplit(":", 1)[1]) for a in gw.addresses[:2]]

    def connect(port):
        return Client(socket.create_connection(("127.0.0.1", port), DEADLINE))

    with connect(ports[0]) as stays, connect(ports[1]) as goes:
        assert stays.get("/s").body == b"/s" and goes.get("/g").body == b"/g"
        for workers in (1, 4):
            gw.write({**config, "workers": workers, "listen": [config["listen"][0],
                                                               config["listen"][2]]})
            upgrade(gw, wait=workers == 4)
            for _ in range(12):
                with connect(ports[0]) as client:
                    assert client.get("/n").body == b"/n"
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.settimeout(DEADLINE)
                    sock.connect(path)
                    assert Client(sock).get("/u").body == b"/u"
            assert stays.get("/again").body == b"/again"
            if workers == 1:
                assert goes.ending() == "ended"
    gw.stop()
    assert not os.path.exists(path)


def test_a_listener_of_another_protocol_goes_on_with_its_socket(gateway, server, tmp_path):
    """The two share it: what the old process does to it as it goes, it does to both."""
    path, service = str(tmp_path / "x.sock"), server(echo)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = configuration([service], listen=[{"address": f"127.0.0.1:{port}"},
                                              {"address": f"unix:{path}"}])
    gw = gateway(config=config)
    config["services"]["raw"] = {"endpoints": [f"tcp://127.0.0.1:{service.port}"]}
    config["listen"] = [{**listen, "protocol": "tcp", "service": "raw"}
                        for listen in config["listen"]]
    gw.write(config)
    upgrade(gw)  # and the old one has ended
    for _ in range(4):
        with Client(socket.create_connection(("127.0.0.1", port), DEADLINE)) as client:
            assert client.get("/n").body == b"/n"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(path)
            assert Client(sock).get("/u").body == b"/u"


def test_it_is_refused_while_draining_and_while_one_is_under_way(gateway, server, tmp_path):
    link = tmp_path / "switchgear"
    link.symlink_to(BINARY)
    gw = gateway([server(echo)], admin=ADMIN, binary=link, drain={"delay": "1h", "timeout": "1h"})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    link.unlink()
    script(link, f"read x < {fifo}; exit 1")
    with Admin(gw) as admin:
        gw.signal(signal.SIGUSR2)
        gw.wait_message("upgrade: starting the new process")
        assert admin.post("/api/v1/upgrade").status_code == 409
        with open(fifo, "w", encoding="utf8") as f:
            f.write("\n")
        gw.wait_message(FAILED)
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")
        refused = admin.post("/api/v1/upgrade")
        assert refused.status_code == 409 and "draining" in refused.text
    gw.signal(signal.SIGTERM)


def test_a_token_is_needed_where_there_is_one(gateway, server):
    gw = gateway([server(echo)], admin={**ADMIN, "token": "a-long-enough-token"})
    with Admin(gw) as admin:
        assert admin.post("/api/v1/upgrade").status_code == 401
