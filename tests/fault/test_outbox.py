"""Writes through a gateway that is killed, to a receiver that fails in every way.

Clients write, each key's writes one after the other. The gateway is killed with
SIGKILL at random moments and started again; the receiver is down, slow, breaks off
after having done the work, answers 500, 503 and 429, before and after doing it. What
must hold, whatever happens:

- every write that was answered with 2xx has its effect exactly once, at a receiver
  that heeds the Idempotency-Key;
- effects come in the order of acceptance within their key;
- no write has its effect twice, whatever its client was told;
- an outage makes no dead letters; at the end nothing waits.

The seed is printed. SOAK_SEED takes a certain one, SOAK_SECONDS makes it last.
"""
import collections
import json
import os
import random
import resource
import sqlite3
import threading
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import Gateway, configuration
from kit.http import Closed, answer
from kit.upstream import Server
from kit.waiting import DEADLINE, eventually

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
SEED = int(os.environ.get("SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
CLIENTS = 6
KEYS = 3  # of each client
# Longer than the longest backlog takes; not for the gateway, but for what it runs on.
PATIENCE = DEADLINE * 6

# How often each thing happens to a request, of 100, in each of the receiver's moods.
MOODS = {
    "well": {},
    "failing": {"500": 12, "500 after": 8, "cut": 8, "503": 20, "429": 20},
    "slow": {"slow": 20},
    "overloaded": {"503": 45, "429": 45},
    "breaking": {"cut": 15, "500 after": 10},
    "down": None,
}


class Receiver:
    """Heeds the Idempotency-Key: keeps the effects of each write, in order."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self.mood = "well"
        self.effects = collections.defaultdict(list)  # by key of order
        self.seen = set()  # Idempotency-Keys
        self.counts = collections.Counter()
        self.server = Server(self.respond)
        self.port, self.url = self.server.port, self.server.url

    def turn(self, mood):
        was, self.mood = self.mood, mood
        if (was == "down") == (mood == "down"):
            return
        if mood == "down":
            self.server.close()
        else:
            self.server = Server(self.respond, self.port)

    def draw(self):
        chances = MOODS[self.mood] or {}
        with self.lock:
            at = self.random.random() * 100
        for what, percent in chances.items():
            at -= percent
            if at < 0:
                return what
        return "well"

    def do(self, write, key):
        with self.lock:
            if key in self.seen:
                self.counts["repeated"] += 1
                return
            self.seen.add(key)
            self.effects[write["key"]].append(write["number"])

    def work(self, request, whole):
        """One write, or several, each with its key; of those perhaps not all."""
        body = json.loads(request.body)
        if not isinstance(body, list):
            self.do(body, request.headers["Idempotency-Key"])
            return
        with self.lock:
            self.counts["batches"] += 1
            count = len(body) if whole else self.random.randrange(len(body) + 1)
        for write in body[:count]:
            self.do(write, write["idempotency_key"])

    def respond(self, request, _link):
        what = self.draw()
        with self.lock:
            self.counts[what] += 1
        if what == "slow":  # longer than the attempt may take; the work is done all the same
            self.stopped.wait(0.4)
        if what in ("well", "slow", "cut", "500 after"):
            self.work(request, what in ("well", "slow"))
        if what == "cut":
            return None
        if what in ("500", "500 after"):
            return answer(b"no", "500 Internal Server Error")
        if what == "503":
            return answer(b"no", "503 Service Unavailable")
        if what == "429":
            return answer(b"no", "429 Too Many Requests")
        return answer(b"done")

    def close(self):
        self.stopped.set()
        self.server.close()


class Writer(threading.Thread):
    """Writes to its keys by turns, and keeps what it was told. A write with a key of the
    client's own is repeated until somebody has taken it; the others have one try."""

    def __init__(self, index, plant, stop):
        super().__init__(daemon=True)
        self.plant, self.stop = plant, stop
        self.random = random.Random(SEED + index)
        self.keys = [f"{index}-{k}" for k in range(KEYS)]
        self.accepted = collections.defaultdict(list)  # numbers, by key
        self.promised = {}  # id of the write: (key, number)
        self.unknown = set()
        self.told = collections.Counter()
        self.wrong = []

    def run(self):
        number = 0
        while not self.stop.is_set() and not self.wrong:
            number += 1
            try:
                self.write(self.random.choice(self.keys), number, self.random.random() < 0.7)
            except Exception as error:  # pylint: disable=broad-except
                self.wrong.append(repr(error))

    def write(self, key, number, own):
        body = json.dumps({"key": key, "number": number}).encode()
        fields = [f"X-Account: {key}"] + ([f"Idempotency-Key: {key}-{number}"] if own else [])
        target = self.random.choice(["/", "/", "/", "/other"])  # another batch
        while True:
            reply = self.attempt(target, body, fields)
            if reply and reply.status < 300:
                self.accepted[key].append(number)
                if reply.status == 202:
                    self.promised[reply.json()["id"]] = (key, number)
                return
            if reply and reply.status not in (429, 500, 502, 503, 504):
                self.wrong.append((key, number, reply))
                return
            if not own or self.stop.is_set():
                self.unknown.add((key, number))
                return

    def attempt(self, target, body, fields):
        try:
            reply = self.plant.gateway.post(target, body, *fields)
        except (Closed, OSError) as error:
            self.told[type(error).__name__] += 1
            time.sleep(0.005)  # not to knock at a closed door all the time
            return None
        self.told[f"{reply.status} {reply.story[0]}"] += 1
        return reply


class Plant:
    """The gateway, which is killed and started again on the same files."""

    def __init__(self, directory, receiver, workers, batch=None):
        self.directory, self.kills = directory, 0
        queue = {"order_by": "header.X-Account", "base": "5ms", "cap": "50ms"}
        if batch:
            queue["batch"] = {"max": batch, "key": "idempotency_key"}
        self.config = configuration(
            [receiver], workers=workers, admin=ADMIN, store=f"sqlite:{directory}/outbox.db",
            timeout={"attempt": "300ms", "total": "5s"},
            retry={"max": 1, "base": "1ms", "cap": "5ms"},
            breaker={"consecutive": 4, "open": "20ms", "open_max": "50ms", "close_after": 1},
            fallback=[{"queue": queue}])
        self.gateway = Gateway(directory, self.config)

    def kill(self):
        self.gateway.process.kill()
        self.gateway.process.wait()
        self.gateway.reader.join(DEADLINE)
        self.kills += 1
        log = self.gateway.log()
        assert "Sanitizer" not in log and "Assertion" not in log, log
        self.gateway = Gateway(self.directory, self.config)


def wait_delivered(gateway, numbers):
    """Asks for the status of each write until it is sent."""
    with gateway.connect() as client:
        for number in numbers:
            path = f"/.well-known/switchgear/writes/{number}"
            eventually(lambda path=path: client.get(path).json()["status"] == "sent",
                       f"write {number} is delivered", PATIENCE)


def entries(directory):
    """How many entries are in which state, when the process has ended."""
    db = sqlite3.connect(f"{directory}/outbox.db")
    try:
        return dict(db.execute("SELECT state, count(*) FROM entry GROUP BY state"))
    finally:
        db.close()


def check_effects(writers, effects):
    promised = sum(len(w.promised) for w in writers)
    for writer in writers:
        for key in writer.keys:
            done, accepted = effects[key], writer.accepted[key]
            assert len(done) == len(set(done)), f"{key}: twice: {done}"
            known = [n for n in done if (key, n) not in writer.unknown]
            assert known == accepted, \
                f"seed {SEED}, key {key}:\naccepted {accepted}\ndone     {known}"
    return promised


@pytest.mark.parametrize("workers, batch", [(1, None), (2, None), (2, 8)],
                         ids=["one worker", "two workers", "batches"])
def test_promises_are_kept_through_kills_and_faults(tmp_path, workers, batch):
    print(f"seed: {SEED}")
    dice = random.Random(SEED)
    receiver = Receiver(SEED)
    plant = Plant(tmp_path, receiver, workers, batch)
    stop = threading.Event()
    writers = [Writer(i, plant, stop) for i in range(CLIENTS)]
    end = time.monotonic() + SECONDS / 3
    for writer in writers:
        writer.start()
    while time.monotonic() < end:
        receiver.turn(dice.choice(list(MOODS)))
        stop.wait(dice.random() * 0.5)
        if dice.random() < 0.5:
            plant.kill()
    receiver.turn("well")
    stop.set()
    for writer in writers:
        writer.join(DEADLINE)
        assert not writer.is_alive(), "a client hangs"
    assert not [w.wrong for w in writers if w.wrong], (SEED, [w.wrong for w in writers])
    wait_delivered(plant.gateway, [number for w in writers for number in w.promised])
    plant.gateway.stop()
    receiver.close()
    told = sum((w.told for w in writers), collections.Counter())
    print(f"{plant.kills} kills; told {dict(told)}; receiver {dict(receiver.counts)}")
    promised = check_effects(writers, receiver.effects)
    assert set(entries(tmp_path)) <= {3}, entries(tmp_path)  # sent, and nothing else
    assert promised > 20 and receiver.counts["well"] > 20
    assert bool(receiver.counts["batches"]) == bool(batch)


# ---- a full disk --------------------------------------------------------------------------


def limit_files(gateway, size):
    """No file of the process grows beyond `size`: to whoever appends, a full disk."""
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_refuses_and_keeps_what_is_promised(tmp_path):
    receiver = Receiver(SEED)
    receiver.turn("down")
    plant = Plant(tmp_path, receiver, 2)
    gateway = plant.gateway

    def write(number):
        body = json.dumps({"key": "a", "number": number}).encode()
        return gateway.post("/", body, "X-Account: a", f"Idempotency-Key: a-{number}")

    accepted = [n for n in range(20) if write(n).status == 202]
    assert len(accepted) == 20
    limit_files(gateway, 16 * 1024)  # less than there is: nothing can be appended
    refused = [write(n) for n in range(100, 110)]
    for reply in refused:
        assert reply.status == 503 and reply.json()["reason"] == "queue_store_failed", reply
        assert int(reply.headers["Retry-After"]) >= 1
    # what is promised is delivered although nothing can be noted
    receiver.turn("well")
    eventually(lambda: len(receiver.effects["a"]) == 20, "what is promised is delivered")
    receiver.turn("down")
    limit_files(gateway, resource.RLIM_INFINITY)
    eventually(lambda: write(200).status == 202, "there is room again")
    receiver.turn("well")
    eventually(lambda: receiver.effects["a"][-1] == 200, "and it goes on")
    eventually(lambda: gateway.post("/", json.dumps({"key": "b", "number": 1}).encode()).status
               == 200, "nothing waits")
    gateway.stop()
    receiver.close()
    assert receiver.effects["a"] == [*accepted, 200]
    assert set(entries(tmp_path)) == {3}


def test_what_is_delivered_on_a_full_disk_is_noted_at_the_end(tmp_path):
    """The disk has room again, and the process ends before it would have tried again."""
    receiver = Receiver(SEED)
    receiver.turn("down")
    plant = Plant(tmp_path, receiver, 1)
    for n in range(20):
        body = json.dumps({"key": "a", "number": n}).encode()
        assert plant.gateway.post("/", body, "X-Account: a").status == 202
    limit_files(plant.gateway, 16 * 1024)
    receiver.turn("well")
    eventually(lambda: len(receiver.effects["a"]) == 20, "what is promised is delivered")
    eventually(lambda: plant.gateway.messages("the outbox cannot note what was delivered"),
               "the operator is told")
    limit_files(plant.gateway, resource.RLIM_INFINITY)
    plant.gateway.stop()
    receiver.close()
    assert entries(tmp_path) == {3: 20}


def test_what_is_dropped_on_a_full_disk_stays_dropped(tmp_path):
    """Nothing can be noted: whoever drops is told so, but it is not sent any more, and
    is noted when there is room."""
    receiver = Receiver(SEED)
    receiver.turn("down")
    plant = Plant(tmp_path, receiver, 1)

    def post(number):
        body = json.dumps({"key": "a", "number": number}).encode()
        return plant.gateway.post("/", body, "X-Account: a")

    number = post(1).json()["id"]
    assert post(2).status == 202
    limit_files(plant.gateway, 16 * 1024)
    with Admin(plant.gateway) as admin:
        def drop():
            told = admin.post(f"/api/v1/outbox/{number}/drop")
            assert told.status_code in (503, 409), told.text  # 409: it is being sent
            return told.status_code == 503 and told
        assert eventually(drop, "it is dropped").json()["reason"] == "store_failed"
        receiver.turn("well")
        eventually(lambda: receiver.effects["a"] == [2], "the next one is sent")
        limit_files(plant.gateway, resource.RLIM_INFINITY)
        eventually(lambda: admin.json(f"/api/v1/outbox/{number}")["state"] == "dropped",
                   "it is noted")
    plant.gateway.stop()
    receiver.close()
    assert receiver.effects["a"] == [2]


def test_a_crash_on_a_full_disk_loses_nothing(tmp_path):
    """Delivered, but not noted: after the crash it is sent again, under the same key."""
    receiver = Receiver(SEED)
    receiver.turn("down")
    plant = Plant(tmp_path, receiver, 1)
    for n in range(20):
        body = json.dumps({"key": "a", "number": n}).encode()
        assert plant.gateway.post("/", body, "X-Account: a").status == 202
    limit_files(plant.gateway, 16 * 1024)
    receiver.turn("well")
    eventually(lambda: len(receiver.effects["a"]) == 20, "what is promised is delivered")
    plant.kill()
    eventually(lambda: receiver.counts["repeated"] >= 20, "it is sent again")
    plant.gateway.stop()
    receiver.close()
    assert receiver.effects["a"] == list(range(20))
    assert sum(entries(tmp_path).values()) == 20
