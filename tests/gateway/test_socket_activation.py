"""Sockets that somebody else has opened, and keeps: LISTEN_FDS."""
import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY, SANITIZERS, configuration
from kit.http import Client
from kit.load import Load, echo
from kit.upgrade import upgrade
from kit.waiting import DEADLINE, eventually

START = """#!{python}
import os, sys
count = {count}
for i, fd in enumerate({fds}):
    os.dup2(fd, 100 + i)
for i in range(count):
    os.dup2(100 + i, 3 + i)
    os.close(100 + i)
os.environ.update(LISTEN_FDS=str(count), LISTEN_PID=str({pid}), LISTEN_FDNAMES="web")
os.execv({binary!r}, [{binary!r}, *sys.argv[1:]])
"""


@pytest.fixture
def listening():
    made = []

    def make(address="127.0.0.1", kind=socket.SOCK_STREAM):
        unix = address.startswith("/")
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET, kind)
        sock.bind(address if unix else (address, 0))
        if kind == socket.SOCK_STREAM:
            sock.listen(100)
        made.append(sock)
        return sock

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def starter(tmp_path):
    """Programs that start the gateway with these sockets, as systemd would."""
    def make(sockets, pid="os.getpid()"):
        path = tmp_path / f"start{len(list(tmp_path.iterdir()))}"
        fds = [s.fileno() for s in sockets]
        path.write_text(START.format(python=sys.executable, count=len(fds), fds=fds, pid=pid,
                                     binary=BINARY))
        path.chmod(0o755)
        return path
    return make


@pytest.fixture
def activated(gateway, starter):
    def start(sockets, pid="os.getpid()", **keys):
        fds = [s.fileno() for s in sockets]
        return gateway(binary=starter(sockets, pid), descriptors=fds, **keys)
    return start


def at(sock):
    return {"address": "{}:{}".format(*sock.getsockname())}


def test_a_restart_under_load_loses_nothing(activated, listening, server):
    """Who connects while there is no gateway waits for the next one."""
    sock = listening()
    config = configuration([server(echo)], workers=2, listen=[at(sock)],
                           drain={"delay": "100ms", "timeout": "1h"})
    gw = activated([sock], config=config)
    assert gw.port == sock.getsockname()[1]
    load = Load(gw, clients=6)
    for _ in range(2):
        load.wait_answers(30)
        gw.signal(signal.SIGTERM)
        assert gw.wait() == 0
        gw = activated([sock], config=config)
    load.wait_answers(30)
    load.stop()
    assert load.refused == 0


def test_all_kinds_of_listeners_find_their_sockets(activated, listening, server, tmp_path):
    path = str(tmp_path / "web.sock")
    sockets = web, unix, control = listening(), listening(path), listening()
    gw = activated(sockets, config=configuration(
        [server(echo)], workers=3, admin=at(control),
        listen=[{"address": f"unix:{path}"}, at(web), {"address": "127.0.0.1:0"}]))
    for address in (path, web.getsockname()):
        for _ in range(6):
            with socket.socket(socket.AF_UNIX if address == path else socket.AF_INET) as client:
                client.settimeout(DEADLINE)
                client.connect(address)
                assert Client(client).get("/x").body == b"/x"
    with Admin(gw) as admin:
        assert admin.base_url.port == control.getsockname()[1]
        assert admin.get("/readyz").status_code == 200
    gw.stop()
    assert os.path.exists(path)  # it is not ours to remove


def test_an_upgrade_of_an_activated_gateway(activated, listening, server):
    sock = listening()
    gw = activated([sock], config=configuration([server(echo)], workers=2, listen=[at(sock)]))
    load = Load(gw, clients=4)
    load.wait_answers(20)
    upgrade(gw)
    load.wait_answers(20)
    load.stop()
    assert load.closes == 0
    gw.stop()
    with socket.create_connection(sock.getsockname(), DEADLINE):
        pass  # systemd's socket, which takes connections still


@pytest.mark.parametrize("kind, words", [
    (socket.SOCK_STREAM, "nothing in the configuration listens there"),
    (socket.SOCK_DGRAM, "descriptor 3, web, passed by the service manager"),
])
def test_a_socket_that_nobody_would_serve_is_an_error(starter, listening, server, tmp_path, kind,
                                                      words):
    file = tmp_path / "switchgear.yaml"
    file.write_text(str(configuration([server(echo)])))
    sock = listening(kind=kind)
    done = subprocess.run([starter([sock]), "run", "-c", file], capture_output=True, text=True,
                          pass_fds=[sock.fileno()], env={**os.environ, **SANITIZERS},
                          timeout=DEADLINE, check=False)
    assert done.returncode == 1 and words in done.stderr


def test_sockets_for_another_process_are_left_alone(activated, listening, server):
    gw = activated([listening()], pid=1, config=configuration([server(echo)]))
    assert gw.get("/x").body == b"/x"


def test_systemd_itself(listening, server, tmp_path):
    program = shutil.which("systemd-socket-activate")
    if not program:
        pytest.skip("systemd-socket-activate is not installed")
    sock = listening()
    address, port = at(sock)["address"], sock.getsockname()[1]
    sock.close()
    file = tmp_path / "switchgear.yaml"
    file.write_text(str(configuration([server(echo)], listen=[{"address": address}])))
    environment = {**os.environ, **SANITIZERS}
    passed = [f"--setenv={name}" for name in SANITIZERS]
    with subprocess.Popen([program, "-l", address, *passed, BINARY, "run", "-c", str(file)],
                          env=environment, stderr=subprocess.PIPE, text=True) as process:
        def answers():
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                return Client(client).get("/x").body

        def asked():
            try:
                return answers()
            except ConnectionRefusedError:
                return None
        assert eventually(asked, "it listens") == b"/x"
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE) == 0, process.stderr.read()
