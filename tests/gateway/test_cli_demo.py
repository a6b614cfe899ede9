"""`switchgear demo`: the whole tour, as a newcomer takes it."""
import os
import pathlib
import re
import signal
import socket
import subprocess

import pytest

from kit.gateway import BINARY
from kit.http import Client
from kit.mock import Mock, command, environment
from kit.waiting import DEADLINE, eventually


pytestmark = pytest.mark.xdist_group("demo")  # all want the same ports


class Demo:
    def __init__(self, tmp_path):
        self.process = subprocess.Popen(
            [BINARY, "demo"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
            env=environment({"TMPDIR": str(tmp_path), "LC_ALL": "C"}))
        self.text = ""
        while "Ctrl-C ends all of it" not in self.text:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.text += line
        self.ports = {name: int(port) for name, port in
                      re.findall(r"^  ([\w-]+(?: page)?) +http://127.0.0.1:(\d+)", self.text, re.M)}
        self.pids = {name: int(pid) for name, pid in
                     re.findall(r"^  ([\w-]+) +http\S+ +\(pid (\d+)\)", self.text, re.M)}

    def get(self, target):
        sock = socket.create_connection(("127.0.0.1", self.ports["gateway"]), DEADLINE)
        with Client(sock) as client:
            return client.get(target, "Connection: close")

    def run(self, *arguments):
        return command(*arguments, "--admin", f"127.0.0.1:{self.ports['panel']}")[0]

    def children(self):
        path = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        return [int(pid) for pid in pathlib.Path(path).read_text().split()]

    def end(self, number=signal.SIGINT):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, out, err


@pytest.fixture
def demo(tmp_path):
    made = []

    def start():
        made.append(Demo(tmp_path))
        return made[-1]

    yield start
    for d in made:
        if d.process.poll() is None:
            d.process.kill()
            d.process.communicate()


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_tour(demo, tmp_path):
    d = demo()
    assert set(d.pids) == {"catalog-1", "catalog-2", "recommendations", "payments"}
    reply = d.get("/recommendations/7")
    assert reply.story[0] == "upstream" and b"lamp" in reply.body

    os.kill(d.pids["recommendations"], signal.SIGTERM)
    eventually(lambda: not is_alive(d.pids["recommendations"]), "it is dead")
    # somebody else's page is not in the cache: the catalog stands in
    eventually(lambda: d.get("/recommendations/8").story[1].get("reason") == "open", "it opens")
    reply = d.get("/recommendations/8")
    assert reply.status == 200 and reply.story[0] == "service"
    assert reply.story[1]["attempts"] == "0"
    reply = d.get("/recommendations/7")  # this one is: the last good answer
    assert reply.story[0] in ("stale", "cache") and b"lamp" in reply.body
    assert re.search(r"^recommendations +open", d.run("status"), re.M)

    back = Mock("--listen", f"127.0.0.1:{d.ports['recommendations']}", "--name", "back")
    try:
        eventually(lambda: d.get("/recommendations/9").story[0] == "upstream", "it recovers")
        eventually(lambda: d.get("/recommendations/10").story[1]["breaker"] == "closed", "closed")
        assert re.search(r"^recommendations +closed", d.run("status"), re.M)
        assert "half_open -> closed" in d.run("history", "recommendations")
    finally:
        back.stop()

    children = d.children()
    assert len(children) == 4
    code, out, _ = d.end()
    assert code == 0 and "recommendations" in out and "is gone" in out
    assert not any(is_alive(pid) for pid in children)
    assert not list(tmp_path.glob("switchgear-demo-*"))


def test_taken_ports_are_told(demo):
    taken = []
    for port in (8080, 8003):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            continue  # by another program: all the same
        s.listen()
        taken.append(s)
    d = demo()
    assert re.search(r"^Port 8080 is taken; the gateway has \d+ instead", d.text, re.M)
    assert re.search(r"^Port 8003 is taken; recommendations has \d+ instead", d.text, re.M)
    assert d.get("/recommendations/1").status == 200
    assert d.end(signal.SIGTERM)[0] == 0
    for s in taken:
        s.close()


def test_nobody_is_left_when_it_is_killed(demo):
    d = demo()
    children = d.children()
    assert len(children) == 5
    d.process.kill()
    d.process.communicate()
    eventually(lambda: not any(is_alive(pid) for pid in children), "its children end too")


def test_it_ends_when_the_gateway_does(demo):
    d = demo()
    gateway, = set(d.children()) - set(d.pids.values())
    os.kill(gateway, signal.SIGKILL)
    _, err = d.process.communicate(timeout=DEADLINE)
    assert d.process.returncode == 1 and "the gateway has ended" in err
