"""The examples of the library, against the real things."""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile

import pytest

from kit.gateway import BROKEN, SANITIZERS
from kit.http import answer
from kit.upstream import Server, dead_port
from kit.waiting import DEADLINE, eventually

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("SWITCHGEAR_BUILD", ROOT / "build"))


class Program:
    """An example that answers each line with a line."""

    def __init__(self, name, *arguments):
        path = BUILD / "examples" / f"example_{name}"
        if not path.exists():
            pytest.skip(f"{path.name} was not built: its library is not installed")
        self.process = subprocess.Popen([str(path), *map(str, arguments)], text=True, bufsize=1,
                                        env={**os.environ, **SANITIZERS}, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def ask_until(self, line, wanted):
        """Again and again, as a breaker that is open may be tried again later."""
        return eventually(lambda: (found := self.ask(line)) and wanted in found and found, wanted)

    def end(self):
        out, err = self.process.communicate(timeout=DEADLINE)
        assert not BROKEN.search(err), err
        assert self.process.returncode == 0, err
        return out


@pytest.fixture
def program():
    running = []

    def start(name, *arguments):
        running.append(Program(name, *arguments))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.end()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_curl(program, server):
    up = server(lambda r, l: up.answer)
    up.answer = answer(b"hello")
    curl = program("curl", up.url)
    assert curl.ask("/x") == "SWG_OK status=200 attempts=1 reason=none"
    up.answer = answer(b"no", "503 Service Unavailable")
    assert curl.ask("/x") == "SWG_ERR_FAILED status=503 attempts=3 reason=none"
    curl.ask_until("/x", "SWG_ERR_REFUSED")  # the three failures have opened the breaker
    up.answer = answer(b"back")
    curl.ask_until("/x", "SWG_OK status=200")
    curl.end()


def test_curl_takes_the_wish_of_the_service(program, server):
    """It asks for more than the policy would ever wait: no retry."""
    up = server(lambda r, l: answer(b"", "429 Too Many", "Retry-After: 3600"))
    curl = program("curl", up.url)
    assert "status=429 attempts=1" in curl.ask("/x")
    curl.end()


def test_event_loop(program, server):
    up = server(lambda r, l: answer(b"x") if up.count % 3 else answer(b"", "503 No"))
    out = program("event_loop", "127.0.0.1", up.port, 20).end()
    lines = out.splitlines()
    assert len(lines) == 20 and all("status=" in line for line in lines)
    assert sum("status=200" in line for line in lines) >= 10, out


def test_event_loop_when_nobody_is_there(program):
    kept, port = dead_port()
    out = program("event_loop", "127.0.0.1", port, 20).end()
    assert len(out.splitlines()) == 20
    assert "reason=open" in out and "status=0" in out
    kept.close()


def test_thread_pool(program, server):
    up = server()
    out = program("thread_pool", "127.0.0.1", up.port, 16, 200).end()
    found = dict(word.split("=") for word in out.split())
    assert int(found["most"]) <= 4
    assert sum(int(n) for name, n in found.items() if name != "most") == 200
    assert int(found["answered"]) > 100, out


def test_rate_limit(program):
    out = program("rate_limit").end()
    made = [int(t) for t in re.findall(r"at (\d+) ms: made", out)]
    assert made[:3] == [1000, 1000, 1000]  # three that were saved up
    assert all(b - a == 100 for a, b in zip(made[2:], made[3:])) and len(made) == 5


def test_fallback(program):
    price = program("fallback")
    assert price.ask("fails") == "list price attempts=1 reason=none"
    assert price.ask("12") == "12 attempts=1 reason=none"
    assert price.ask("fails") == "12 attempts=1 reason=none"
    assert price.ask("fails") == "12 attempts=1 reason=none"
    assert price.ask("13") == "12 attempts=0 reason=open"  # it is not asked any more
    price.end()


def test_registry(program):
    registry = program("registry")
    assert registry.ask("a bad") == "a: bad"
    assert registry.ask("b good") == "b: good"
    assert registry.ask("a bad") == "a: bad"
    assert registry.ask("a good") == "a: open"
    assert registry.ask("b good") == "b: good"
    registry.end()


# ---- servers from Debian -------------------------------------------------------


class Redis:
    def __init__(self, directory, port):
        if not shutil.which("redis-server"):
            pytest.skip("no redis-server here")
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(directory)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.port = port
        eventually(self._is_there, "redis listens")

    def _is_there(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def set(self, key, value):
        with socket.create_connection(("127.0.0.1", self.port), DEADLINE) as sock:
            sock.sendall(f"SET {key} {value}\r\n".encode())
            assert sock.recv(100) == b"+OK\r\n"

    def kill(self):
        self.process.kill()
        self.process.wait()


def test_redis(program, tmp_path):
    port = free_port()
    redis = Redis(tmp_path, port)
    redis.set("name", "ada")
    cache = program("redis", "127.0.0.1", port)
    assert cache.ask("name") == "value=ada from=redis"
    redis.kill()
    for _ in range(3):
        assert cache.ask("name") == "value=ada from=failed"
    cache.ask_until("name", "from=open")  # not even asked, and still an answer
    redis = Redis(tmp_path, port)
    redis.set("name", "grace")
    cache.ask_until("name", "value=grace from=redis")
    cache.end()
    redis.kill()


class Postgres:
    """A cluster of its own, reached by a socket in its directory."""

    def __init__(self, directory):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            pytest.skip("no PostgreSQL here")
        self.bin, self.directory = found[-1], directory
        self.user = [] if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres",
                                            "--clear-groups"]
        if not os.getuid():
            shutil.chown(directory, "postgres", "postgres")
        self._run("initdb", "-D", directory / "data", "-A", "trust", "-U", "test", "--no-sync")
        self.conninfo = f"host={directory} user=test dbname=postgres connect_timeout=5"
        self.start()

    def _run(self, name, *arguments):
        subprocess.run([*self.user, str(self.bin / name), *map(str, arguments)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def start(self):
        self._run("pg_ctl", "-D", self.directory / "data", "-w", "-l", self.directory / "log",
                  "-o", f"-c listen_addresses='' -k {self.directory} -c fsync=off", "start")

    def stop(self):
        self._run("pg_ctl", "-D", self.directory / "data", "-m", "immediate", "-w", "stop")


def test_postgres(program):
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        server = Postgres(pathlib.Path(directory))
        query = program("postgres", server.conninfo)
        assert query.ask("21") == "SWG_OK result=42 attempts=1 reason=none"
        assert query.ask("no number").startswith("SWG_OK result=none attempts=1")  # our mistake
        server.stop()
        assert query.ask("21").startswith("SWG_ERR_FAILED")
        query.ask_until("21", "SWG_ERR_REFUSED")
        server.start()
        query.ask_until("21", "SWG_OK result=42")
        query.end()
        server.stop()
