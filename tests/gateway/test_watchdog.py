"""The watchdog: event loops that hang, and what systemd is told."""
import queue
import re
import signal
import socket
import struct
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.upgrade import upgrade
from kit.waiting import DEADLINE, eventually

QUICK = {"loop": "500ms"}


class Listener:
    """What systemd is to a service: a socket for its messages, read as they come."""

    def __init__(self, name):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.sock.bind(name)
        self.name = name.replace("\0", "@")
        self.messages = queue.Queue()  # (sender, {key: value})
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            data, more, _, _ = self.sock.recvmsg(4096, socket.CMSG_SPACE(12))
            if data == b"end":
                return
            lines = dict(line.split("=", 1) for line in data.decode().splitlines())
            self.messages.put((struct.unpack("iII", more[0][2])[0], lines))

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", self.name.replace("@", "\0"))
        self.reader.join(DEADLINE)
        self.sock.close()

    def next(self):
        return self.messages.get(timeout=DEADLINE)[1]

    def until(self, key, sender=None):
        """The next message about that, and from that process: systemd looks at it too."""
        for _ in range(1000):
            pid, message = self.messages.get(timeout=DEADLINE)
            if key in message and sender in (None, pid):
                return message
        raise AssertionError(f"nothing is said about {key}")

    def is_silent(self, seconds):
        try:
            return not self.messages.get(timeout=seconds)
        except queue.Empty:
            return True

    def drain(self):
        while not self.messages.empty():
            self.messages.get()


@pytest.fixture
def listener(request, tmp_path):
    kind = getattr(request, "param", "path")
    name = str(tmp_path / "notify") if kind == "path" else f"\0swg{tmp_path}"
    one = Listener(name)
    yield one
    one.close()


def line_about(gw, message, loop):
    """The first one; a busy machine may make other loops slow too."""
    return eventually(lambda: next((m for m in gw.messages(message) if m["loop"] == loop), None),
                      f"{loop}: {message}")


@pytest.fixture
def stalled(gateway, server, tmp_path):
    """A gateway, and the file whose being there makes one of its loops hang."""
    def start(loop, env=None, **keys):
        file = tmp_path / "stall"
        gw = gateway([server()], watchdog=QUICK, workers=2,
                     env={"SWITCHGEAR_TEST_STALL": f"{loop}:{file}", **(env or {})}, **keys)
        return gw, file
    return start


@pytest.mark.parametrize("listener", ["path", "abstract"], indirect=True)
def test_what_systemd_is_told(gateway, server, listener):
    up = server()
    gw = gateway([up], drain={"delay": "1h", "timeout": "1s"},
                 env={"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "300000"})
    assert listener.until("READY") == {"READY": "1", "STATUS": "Serving"}
    assert listener.next() == {"WATCHDOG": "1"} and listener.next() == {"WATCHDOG": "1"}
    good = gw.path.read_text()
    gw.reload()
    assert int(listener.until("RELOADING")["MONOTONIC_USEC"]) > 0
    assert listener.until("READY")["STATUS"] == "Serving"
    gw.reload("nonsense: [", ok=False)
    assert listener.until("READY")["STATUS"] == "Serving; the last reload failed"
    gw.reload(good)
    gw.signal(signal.SIGTERM)
    assert listener.until("STOPPING") == {"STOPPING": "1", "STATUS": "Draining"}
    assert listener.next() == {"WATCHDOG": "1"}  # it serves on, while it drains


def test_the_next_process_is_the_one_to_watch(gateway, server, listener):
    gw = gateway([server()], env={"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "300000"})
    listener.until("WATCHDOG")
    upgrade(gw)
    assert listener.until("MAINPID") == {"MAINPID": str(gw.pid)}
    for key in ("READY", "WATCHDOG"):
        listener.until(key, gw.pid)


@pytest.mark.parametrize("env", [
    {"NOTIFY_SOCKET": "/nobody/is/there"}, {"NOTIFY_SOCKET": "relative"},
    {"NOTIFY_SOCKET": "/" + "x" * 200}, {"NOTIFY_SOCKET": "", "WATCHDOG_USEC": "1"},
    {"WATCHDOG_USEC": "1"}], ids=["missing", "relative", "long", "empty", "none"])
def test_nobody_to_tell_is_no_error(gateway, server, env):
    assert gateway([server()], env=env).get().status == 200


def test_the_watchdog_of_another_process_is_not_ours(gateway, server, listener):
    gateway([server()], env={"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "3000",
                             "WATCHDOG_PID": "1"})
    listener.until("READY")
    assert listener.is_silent(0.3)


def test_a_worker_that_hangs(stalled, listener):
    gw, file = stalled("worker-0", admin=ADMIN, env={"NOTIFY_SOCKET": listener.name,
                                                     "WATCHDOG_USEC": "200000"})
    admin = Admin(gw)
    assert admin.json("/livez") == {"status": "alive"}
    file.touch()
    clients = [gw.connect() for _ in range(16)]  # some come to either worker, and wake it
    for client in clients:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: admin.get("/livez").status_code == 503, "it is seen to hang")
    assert admin.json("/livez", 503) == {"status": "an event loop hangs"}
    assert admin.json("/readyz") == {"status": "ready"}
    assert line_about(gw, "event loop hangs", "worker-0")["level"] == "error"
    listener.drain()
    assert listener.is_silent(0.5)
    lag = float(re.search(r"^gateway_event_loop_lag_seconds (\S+)$", admin.get("/metrics").text,
                          re.M)[1])
    assert lag >= 0.5
    file.unlink()
    eventually(lambda: admin.get("/livez").status_code == 200, "it turns again")
    assert line_about(gw, "event loop turns again", "worker-0")["turn_ms"] >= 500
    assert listener.next() == {"WATCHDOG": "1"}
    for client in clients:
        assert client.answer().status == 200
        client.close()


def test_the_control_loop_that_hangs(stalled, listener):
    gw, file = stalled("control", env={"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": "200000"})
    listener.until("WATCHDOG")
    file.touch()
    assert line_about(gw, "event loop hangs", "control")["turn_ms"] >= 500
    listener.drain()
    assert listener.is_silent(0.5)
    assert gw.get().status == 200  # workers do not need it
    file.unlink()
    listener.until("WATCHDOG")


def test_a_slow_turn_is_logged_and_the_limit_can_be_off(stalled):
    gw, file = stalled("worker-0", admin=ADMIN)
    admin = Admin(gw)
    config = gw.path.read_text()
    gw.reload(config.replace('"500ms"', '"off"'))
    file.touch()
    clients = [gw.connect() for _ in range(16)]
    line = line_about(gw, "event loop slow", "worker-0")
    assert line["level"] == "warn" and line["turn_ms"] >= 1000
    assert admin.get("/livez").status_code == 200
    gw.reload(config)
    eventually(lambda: admin.get("/livez").status_code == 503, "it has hung for longer than that")
    file.unlink()
    for client in clients:
        client.close()


def test_too_much_memory(gateway, server):
    gw = gateway([server()], admin=ADMIN, watchdog={"memory": "16MiB"})
    admin = Admin(gw)
    assert gw.rss() > 16 << 20 or pytest.skip("it takes less than the least limit")
    assert admin.get("/livez").status_code == 200  # a peak is no illness
    eventually(lambda: admin.get("/livez").status_code == 503, "it is not alive", 2 * DEADLINE)
    assert admin.json("/livez", 503) == {"status": "memory is over its limit"}
    assert gw.messages("memory is over watchdog.memory")[0]["limit_bytes"] == 16 << 20
    gw.reload(gw.path.read_text().replace("16MiB", "1GiB"))
    eventually(lambda: admin.get("/livez").status_code == 200, "it is alive")
