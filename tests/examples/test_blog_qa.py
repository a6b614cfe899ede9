"""examples/blog-qa, the whole of it, broken as its README says."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import urllib.request

import httpx
import pytest

from kit.gateway import BINARY, BROKEN, SANITIZERS
from kit.waiting import DEADLINE, eventually

HERE = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "blog-qa"
PORTS = ["BLOG_APP", "BLOG_GATEWAY", "BLOG_MONGODB", "BLOG_ADMIN", "BLOG_LLM",
         "BLOG_MONGODB_SERVER", "BLOG_VECTORS", "BLOG_CRAWLER", "BLOG_TRANSLATOR"]
QUESTION = {"question": "Why does a breaker open?"}
ENDURES = {"llm": (5, "1m"), "mongodb": (3, "30s"), "vectors": (5, "1m"), "crawler": (5, "90s"),
           "translator": (5, "1m")}


def free_ports():
    """Below those that outgoing connections take, as there are many of these here."""
    found = set()
    while len(found) < len(PORTS):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)):
                found.add(port)
    return dict(zip(PORTS, found))


class Blog:
    """The system, by its one command. What it prints is in `lines`."""

    def __init__(self, directory, **environment):
        self.directory, self.ports = pathlib.Path(directory), free_ports()
        self.changed, self.lines = threading.Condition(), []
        self.process = subprocess.Popen(
            [str(HERE / "run")], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**SANITIZERS, **os.environ, **{k: str(v) for k, v in self.ports.items()},
                 "SWITCHGEAR": str(pathlib.Path(BINARY).resolve()), "BLOG_DIR": str(directory),
                 **environment})
        threading.Thread(target=self._read, daemon=True).start()
        self.http = httpx.Client(timeout=3 * DEADLINE, trust_env=False)
        try:
            self.wait_line("The blog is open")
        except AssertionError:
            self.process.terminate()
            raise

    def _read(self):
        for line in self.process.stdout:
            self._add(line)
        self._add("<end>")

    def _add(self, line):
        with self.changed:
            self.lines.append(line)
            self.changed.notify_all()

    def wait_line(self, text, since=0):
        def found():
            return (any(text in line for line in self.lines[since:]) or
                    "<end>" in self.lines and "ended")
        with self.changed:
            assert self.changed.wait_for(found, 3 * DEADLINE) is True, "".join(self.lines)

    def do(self, verb, name):
        since = len(self.lines)
        self.process.stdin.write(f"{verb} {name}\n")
        self.process.stdin.flush()
        self.wait_line(f"{name} is {'gone' if verb == 'kill' else 'up'}", since)

    def url(self, name):
        return f"http://127.0.0.1:{self.ports['BLOG_' + name.upper()]}"

    def get(self, path):
        return self.http.get(self.url("app") + path)

    def post(self, path, body):
        return self.http.post(self.url("app") + path, json=body)

    def ask(self):
        answer = self.post("/ask", QUESTION)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def behave(self, name, **behaviour):
        self.http.put(f"{self.url(name)}/__mock/behaviour", json=behaviour).raise_for_status()

    def requests(self, name):
        return self.http.get(f"{self.url(name)}/__mock/state").json()["requests"]

    def breaker(self, name):
        return self.http.get(f"{self.url('admin')}/api/v1/circuit-breakers/{name}").json()

    def reset(self, name):
        self.http.post(f"{self.url('admin')}/api/v1/circuit-breakers/{name}/reset",
                       json={}).raise_for_status()

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            assert self.process.wait(3 * DEADLINE) == 0
        finally:
            self.process.kill()
            self.process.wait()
        log = (self.directory / "gateway.log").read_text(errors="replace")
        assert not BROKEN.search(log), log


@pytest.fixture(scope="module")
def blog(tmp_path_factory):
    pytest.importorskip("pymongo")
    running = Blog(tmp_path_factory.mktemp("blog"), MONGODB_OPEN="300ms", LLM_TIMEOUT="700ms")
    yield running
    running.stop()


pytestmark = pytest.mark.xdist_group("blog-qa")


def test_all_is_well(blog):
    told = blog.ask()
    assert told["answer"].startswith("A breaker opens") and "message" not in told
    assert [p["_id"] for p in told["posts"]] == [1, 3] and "search" not in told
    assert len(blog.get("/posts").json()) == 4
    assert "Schutzschalter" in blog.get("/posts/1?lang=de").json()["text"]
    imported = blog.post("/import", {"url": "https://example.org/fuses"})
    assert imported.status_code == 200 and imported.json()["_id"] == 5
    assert blog.get("/posts/5").json()["title"] == "Found on the web"
    assert blog.get("/posts/77").status_code == 404
    health = blog.get("/health").json()
    assert health["status"] == "HEALTHY"
    breakers = health["details"]["circuit_breakers"]
    assert breakers["all_closed"] is True and breakers["open_breakers"] == []
    assert set(breakers["details"]) == set(ENDURES)


def test_how_much_each_endures():
    """As the file has it, without what tests make quicker."""
    ports = {name: str(20000 + i) for i, name in enumerate(PORTS)}
    run = subprocess.run([BINARY, "check", str(HERE / "switchgear.yaml"), "--print"],
                         env={**os.environ, **SANITIZERS, **ports}, capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr, run.stderr
    services = json.loads(run.stdout)["services"]
    for name, (failures, rest) in ENDURES.items():
        breaker = services[name]["breaker"]
        assert breaker["consecutive"] == failures
        assert breaker["open"] == breaker["open_max"] == rest


def test_the_model_fails_and_then_rests(blog):
    blog.behave("llm", errors="100%")
    before = blog.requests("llm")
    told = [blog.ask() for _ in range(7)]
    assert all(t["answer"] is None and [p["_id"] for p in t["posts"]] == [1, 3] for t in told)
    assert blog.requests("llm") - before == 5  # and then it was left alone
    assert told[-1]["message"].startswith("The assistant is having a rest.")
    assert blog.breaker("llm")["state"] == "open"
    health = blog.get("/health").json()
    assert health["details"]["circuit_breakers"]["open_breakers"] == ["llm"]
    assert health["details"]["circuit_breakers"]["details"]["llm"]["is_open"] is True
    blog.behave("llm")
    blog.reset("llm")
    assert blog.ask()["answer"]


def test_the_model_thinks_for_too_long(blog):
    blog.behave("llm", hang="100%")
    assert blog.ask()["message"].startswith("The assistant thought for too long.")
    blog.behave("llm")
    blog.reset("llm")


def test_the_posts_are_gone(blog):
    blog.do("kill", "mongodb")
    said = [blog.get("/posts") for _ in range(2)]
    assert all(a.status_code == 503 for a in said)
    assert said[0].json()["message"].startswith("Our library is closed for a moment.")
    eventually(lambda: blog.breaker("mongodb")["state"] == "open", "its breaker opens")
    assert blog.get("/health").json()["status"] == "CRITICAL"
    assert "connections_total" in urllib.request.urlopen(f"{blog.url('admin')}/metrics").read(
        ).decode().split("gateway_tcp_", 1)[1]
    blog.do("start", "mongodb")
    eventually(lambda: blog.get("/posts").status_code == 200, "it is tried again by itself")
    eventually(lambda: blog.breaker("mongodb")["state"] == "closed", "its breaker closes")


def test_search_crawler_and_translator(blog):
    for name in ("vectors", "crawler", "translator"):
        blog.behave(name, errors="100%")
    for _ in range(6):
        told = blog.ask()
    assert told["search"].startswith("Search by meaning is resting")
    assert {p["_id"] for p in told["posts"]} >= {1, 3} and told["answer"]
    for _ in range(6):
        refused = blog.post("/import", {"url": "https://example.org"})
    assert refused.status_code == 503
    assert refused.json()["message"].startswith("Articles cannot be fetched at the moment.")
    # said before: the same word again; never said: the original, and why
    assert "Schutzschalter" in blog.get("/posts/1?lang=de").json()["text"]
    for _ in range(6):
        post = blog.get("/posts/3?lang=fr").json()
    assert post["text"].startswith("After a while")
    assert post["message"].startswith("Translations are not available right now")
    states = {name: blog.breaker(name)["state"] for name in ENDURES}
    assert states == {"llm": "closed", "mongodb": "closed", "vectors": "open", "crawler": "open",
                      "translator": "open"}
    for name in ("vectors", "crawler", "translator"):
        blog.behave(name)
        blog.reset(name)
    assert "search" not in blog.ask()
