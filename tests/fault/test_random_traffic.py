"""Clients and upstreams that do anything, and an answer that is always right.

Clients send random requests through the gateway to upstreams that reset, cut short,
delay, talk nonsense and sometimes answer; they go away in the middle, read slowly,
pipeline; configurations are loaded meanwhile. What must hold, whatever happens:

- an answer that is complete is the answer to its request, to the last byte;
- an upload that was broken off never reaches an upstream as a complete one;
- a POST without Idempotency-Key reaches upstreams once at most;
- at the end nothing is left: no connection, no slot, no growing memory.

The seed is printed. SOAK_SEED takes a certain one, SOAK_SECONDS makes it last.
"""
import hashlib
import os
import random
import re
import socket
import threading
import time
import urllib.parse

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import configuration
from kit.http import Client, Closed, Wire, answer, chunks
from kit.mock import Mock
from kit.upstream import listening
from kit.waiting import DEADLINE, eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CLIENTS = 8
SIZES = [0, 1, 100, 1500, 70000, 300000]


def content(number, size):
    """The bytes that belong to a request, in either direction."""
    return random.Random(number).randbytes(size)


class Misbehaving:
    """An upstream for which anything can happen to a request. What it sees is kept."""

    def __init__(self, seed, kinds):
        self.random = random.Random(seed)
        self.kinds = kinds
        self.sock = listening()
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        self.lock = threading.Lock()
        self.heads = {}  # how often a request's head came, by its number
        self.whole = {}  # how often its whole body came
        self.wrong = []
        self.links = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock = self.sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Wire(sock),), daemon=True).start()

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def _draw(self):
        with self.lock:
            return random.Random(self.random.random())

    def _serve(self, link):
        try:
            while self._one(link, self._draw()):
                pass
        except (Closed, OSError, ValueError):
            pass
        finally:
            link.close()

    def _one(self, link, dice):
        """False: the connection is over."""
        head = link.head()
        number = int(head.headers["X-Number"])
        with self.lock:
            self.heads[number] = self.heads.get(number, 0) + 1
        kind = dice.choices(list(self.kinds), list(self.kinds.values()))[0]
        if kind in ("reset", "close", "early"):
            if kind == "early":
                link.send(answer(b"too early", "500 Internal Server Error", "Connection: close"))
            return self._end(link, kind)
        body = link.body(head)
        self._check(head, number, body)
        if kind == "late reset":
            return self._end(link, "reset")
        return self._answer(link, head, number, kind, dice)

    @staticmethod
    def _end(link, kind):
        if kind == "reset":
            link.reset()
        return False

    def _check(self, head, number, body):
        """A complete upload must be the one that was sent."""
        wanted = head.headers.get("X-Digest")
        with self.lock:
            self.whole[number] = self.whole.get(number, 0) + 1
            if wanted and wanted != hashlib.sha256(body).hexdigest():
                self.wrong.append(f"upload {number}: {len(body)} bytes are not those sent")

    def _answer(self, link, head, number, kind, dice):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(head.target).query))
        size = 10 if kind == "more" else int(query.get("size", "0"))
        body = content(int(query.get("content", number)), size)
        fields = [f"X-Number: {number}"]
        if "cached" in head.target:
            fields.append("Cache-Control: max-age=1, stale-if-error=60")
        if kind == "garbage":
            link.send(dice.choice([b"hello\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n", b"\0" * 50,
                                   b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                                   b"HTTP/1.1 200 OK\r\nBad Field: 1\r\n\r\n"]))
            return False
        if kind == "error":
            link.send(answer(b"upstream failed", dice.choice(["500 No", "502 No", "503 No"])))
            return True
        if head.method == "HEAD":
            link.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n" + fields[0] + "\r\n\r\n")
            return True
        if kind == "interim":
            link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        data = self._framed(body, fields, dice)
        if kind == "more":  # than was asked for: at once, so that it can be seen
            data += b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Number: 0\r\n\r\nextra"
        if kind == "cut":
            data = data[: dice.randrange(len(data))]
        if kind == "slow":
            for i in range(0, len(data), max(1, len(data) // 5)):
                link.send(data[i:i + max(1, len(data) // 5)])
                time.sleep(dice.random() * 0.01)  # what makes it slow, not a wait
        else:
            link.send(data)
        return kind not in ("cut", "more") and b"Connection: close" not in data[:500]

    @staticmethod
    def _framed(body, fields, dice):
        if dice.random() < 0.4:
            head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + "\r\n".join(fields)
            return head.encode() + b"\r\n\r\n" + chunks(body, dice.choice([1000, 50000]))
        if dice.random() < 0.1:
            fields = fields + ["Connection: close"]
        return answer(body, "200 OK", *fields)


# "more": bytes behind the answer. They can be told from the next answer only if they
# are there when the answer ends, so not where every read is cut short.
KINDS = {"good": 50, "slow": 8, "interim": 4, "error": 10, "reset": 6, "close": 4,
         "late reset": 4, "early": 3, "cut": 6, "garbage": 3, "more": 2}


class Visitor(threading.Thread):
    """A client that does anything, and checks what it gets."""

    def __init__(self, gw, index, end, counts, largest):
        super().__init__(daemon=True)
        self.gw, self.end, self.counts = gw, end, counts
        self.sizes = [n for n in SIZES if n <= largest]
        self.dice = random.Random(f"{SEED}-{index}")
        self.number = (index + 1) * 10_000_000
        self.client = None
        self.posts = []  # numbers of POSTs without a key
        self.broken = []  # uploads that were broken off
        self.failure = None
        self.visits = 0

    def run(self):
        try:
            while time.monotonic() < self.end and not self.failure:
                self._visit()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}"
        if self.client:
            self.client.close()

    def _connect(self):
        """Now and then with a small window, which makes a slow reader."""
        return self.gw.connect(receive_buffer=self.dice.choice([None] * 9 + [32768]))

    def _visit(self):
        self.visits += 1
        kind = self.dice.choices(["one", "pipeline", "leave", "broken upload"], [20, 3, 3, 3])[0]
        try:
            self.client = self.client or self._connect()
            getattr(self, "_" + kind.replace(" ", "_"))()
        except (Closed, BrokenPipeError, ConnectionResetError):
            self.counts["cut off"] += 1
            self._drop()

    def _drop(self):
        if self.client:
            self.client.close()
        self.client = None

    def _next(self):
        self.number += 1
        return self.number

    def _pick(self, number):
        """(target, number whose content comes, size)"""
        size = self.dice.choice(self.sizes)
        if self.dice.random() < 0.3:
            key = self.dice.randrange(20)
            return f"/cached/{key}?content={key}&size={key * 100}", key, key * 100
        return f"/x?n={number}&size={size}", number, size  # its own, also when it is kept

    def _one(self):
        number = self._next()
        method = self.dice.choice(["GET", "GET", "HEAD", "POST", "PUT", "DELETE"])
        target, whose, size = self._pick(number)
        headers, body = [f"X-Number: {number}"], None
        if method in ("POST", "PUT"):
            body = content(-number, self.dice.choice(self.sizes))
            headers.append("X-Digest: " + hashlib.sha256(body).hexdigest())
            if self.dice.random() < 0.5:
                headers.append(f"Idempotency-Key: {number}")
            elif method == "POST":
                self.posts.append(number)
        self.client.ask(method, target, body=body, headers=headers,
                        chunked=self.dice.random() < 0.5)
        reply = self.client.answer(head_only=method == "HEAD")
        self._check(reply, method, number, whose, size)
        if reply.headers.get("Connection") == "close":
            self._drop()

    def _check(self, reply, method, number, whose, size):
        """Whatever is complete is right."""
        source = reply.story[0]
        self.counts[f"{reply.status} {source}"] = self.counts.get(f"{reply.status} {source}", 0) + 1
        if source == "static":
            assert reply.body == (b"" if method == "HEAD" else b"sorry"), reply
        elif reply.status == 200:
            cached = source in ("cache", "stale") or whose != number
            assert cached or reply.headers["X-Number"] == str(number), (number, reply)
            wanted = b"" if method == "HEAD" else content(whose, size)
            assert reply.body == wanted or reply.body == content(whose, 10), f"{number}: {len(reply.body)} bytes are not the right ones"
        else:
            assert reply.status in (408, 429, 500, 502, 503, 504), reply

    def _pipeline(self):
        asked = []
        for _ in range(self.dice.randint(2, 6)):
            number = self._next()
            target, whose, size = self._pick(number)
            self.client.ask("GET", target, headers=[f"X-Number: {number}"])
            asked.append((number, whose, size))
        for number, whose, size in asked:
            reply = self.client.answer()
            self._check(reply, "GET", number, whose, size)
            if reply.headers.get("Connection") == "close":
                self._drop()
                return

    def _leave(self):
        number = self._next()
        self.client.ask("GET", self._pick(number)[0], headers=[f"X-Number: {number}"])
        if self.dice.random() < 0.5:
            self.client.exactly(self.dice.randint(1, 100))
        if self.dice.random() < 0.5:
            self.client.reset()
            self.client = None
        else:
            self._drop()

    def _broken_upload(self):
        number = self._next()
        self.broken.append(number)
        body = content(-number, 5000)
        head = f"POST /x HTTP/1.1\r\nHost: x\r\nX-Number: {number}\r\nX-Digest: none\r\n"
        if self.dice.random() < 0.5:
            data = (head + "Content-Length: 5000\r\n\r\n").encode() + body[:-1]
        else:
            data = (head + "Transfer-Encoding: chunked\r\n\r\n").encode() + chunks(body, 700)[:-2]
        self.client.send(data[: self.dice.randint(len(head), len(data))])
        self._drop()


def config_of(upstreams, turn):
    return configuration(
        upstreams, admin=ADMIN, workers=2, cache_memory="1MiB",
        retry={"max": 2 + turn % 2, "budget": {"ratio": "100%"}, "body": "64KiB"},
        breaker={"failure_rate": "90%", "min_calls": 50, "window": "1s", "open": "20ms",
                 "open_max": "50ms"},
        bulkhead={"concurrent": 100, "queue": 50, "wait": "1s"},
        cache={"stale": "1m"},
        timeout={"attempt": "5s", "total": "10s"},
        fallback=[{"stale": {}}, {"static": {"status": 200, "text": "sorry"}}])


def reload_until(gw, upstreams, end, visitors, failures):
    """A reload after every thirty requests or so."""
    turn = 0
    while time.monotonic() < end:
        turn += 1
        goal = sum(v.visits for v in visitors) + 30
        eventually(lambda: sum(v.visits for v in visitors) > goal or time.monotonic() > end,
                   "requests go on")
        try:
            gw.reload(config_of(upstreams, turn))
        except AssertionError as error:
            failures.append(str(error))
            return


def metric(text, name):
    """The sum over all labels."""
    return sum(float(value) for value in re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M))


def check_nothing_is_left(gw):
    with Admin(gw) as admin:
        def idle():
            text = admin.get("/metrics").text
            return all(metric(text, name) == 0 for name in
                       ("gateway_client_connections", "gateway_requests_in_flight",
                        "bulkhead_in_use", "bulkhead_waiting"))
        eventually(idle, "nothing is under way any more")


@pytest.mark.parametrize("short", ["", "7"], ids=["whole", "short"])
def test_random_traffic(gateway, short):
    print(f"seed: {SEED}")
    kinds = {k: v for k, v in KINDS.items() if k != "more" or not short}
    upstreams = [Misbehaving(SEED, kinds), Misbehaving(SEED + 1, kinds)]
    gw = gateway(config=config_of(upstreams, 0),
                 env={"SWITCHGEAR_TEST_SHORT_IO": short} if short else None)
    end = time.monotonic() + SECONDS / 2
    counts, failures = {"cut off": 0}, []
    largest = 1500 if short else 300000
    visitors = [Visitor(gw, i, end, counts, largest) for i in range(CLIENTS)]
    reloads = threading.Thread(target=reload_until, args=(gw, upstreams, end, visitors, failures))
    for thread in [*visitors, reloads]:
        thread.start()
    for thread in [*visitors, reloads]:
        thread.join(SECONDS + 3 * DEADLINE)
        assert not thread.is_alive(), "something hangs"
    print(dict(sorted(counts.items())), "reloads:", len(gw.messages("configuration reloaded")))
    failures += [v.failure for v in visitors if v.failure]
    for up in upstreams:
        failures += up.wrong
    assert not failures, (SEED, failures[:5])
    check_uploads(visitors, upstreams)
    assert counts.get("200 upstream", 0) > 20
    check_nothing_is_left(gw)
    for up in upstreams:
        up.close()


def check_uploads(visitors, upstreams):
    for number in (n for v in visitors for n in v.posts):
        times = sum(up.heads.get(number, 0) for up in upstreams)
        assert times <= 1, f"seed {SEED}: POST {number} without a key was sent {times} times"
    for number in (n for v in visitors for n in v.broken):
        times = sum(up.whole.get(number, 0) for up in upstreams)
        assert times == 0, f"seed {SEED}: upload {number} was broken off, and came as a whole"


def test_upstreams_that_are_killed(gateway):
    """Two processes, each killed and started again by turns: while one stands, every
    GET is answered well."""
    print(f"seed: {SEED}")
    dice = random.Random(SEED)
    mocks = [Mock("--listen", "127.0.0.1:0") for _ in range(2)]
    ports = [mock.url.rsplit(":", 1)[1] for mock in mocks]
    gw = gateway([mock.url for mock in mocks], admin=ADMIN, workers=2,
                 retry={"max": 3, "budget": {"ratio": "100%"}},
                 breaker={"consecutive": 3, "open": "20ms", "open_max": "50ms"})
    end = time.monotonic() + SECONDS / 2
    stop, failures, good = threading.Event(), [], [0]

    def ask():
        with gw.connect() as client:
            while not stop.is_set():
                reply = client.get("/x")
                good[0] += reply.status == 200
                if reply.status != 200:
                    failures.append(repr(reply))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    kills = 0
    with Admin(gw) as admin:
        while time.monotonic() < end:
            which = dice.randrange(2)
            mocks[which].process.kill()
            mocks[which].process.communicate()
            kills += 1
            seen = good[0]
            eventually(lambda seen=seen: good[0] > seen + 50 or failures, "answers go on")
            mocks[which] = Mock("--listen", f"127.0.0.1:{ports[which]}")
            eventually(lambda: all(e["state"] == "closed"
                                   for e in admin.breaker()["endpoints"]) or failures,
                       "both endpoints are in use again")
    stop.set()
    for thread in threads:
        thread.join(DEADLINE)
    print(f"{kills} kills, {good[0]} good answers")
    assert not failures, (SEED, len(failures), failures[:3])
    for mock in mocks:
        mock.stop()
