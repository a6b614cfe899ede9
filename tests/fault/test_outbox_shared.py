"""Writes through several gateways that share an outbox in PostgreSQL, while everything fails.

As test_outbox.py, whose clients and receiver these are; but each write goes to any of the
replicas. They are killed, stopped for longer than the lease and let go on, lose their
connections to the database; the database is killed and comes back. What must hold is
the same: every promised write has its effect once, in order within its key, whoever
accepted it and whoever sent it, and at the end nothing waits.
"""
import collections
import random
import signal
import time
import threading

from fault.test_outbox import CLIENTS, PATIENCE, SECONDS, SEED, Receiver, Writer, check_effects
from kit.gateway import Gateway, configuration
from kit.postgres import Postgres
from kit.proxy import Proxy
from kit.waiting import DEADLINE, eventually

REPLICAS = 3
LEASE = 1.0
MOODS = ["well", "well", "failing", "overloaded", "breaking", "down"]


class Plant:
    """The replicas, each behind a network of its own to the database."""

    def __init__(self, directory, receiver, pg):
        self.pg, self.receiver, self.directory = pg, receiver, directory
        self.random = random.Random(SEED)
        self.proxies = [Proxy(pg.port) for _ in range(REPLICAS)]
        self.counts = collections.Counter()
        self.replicas = [self.make(i) for i in range(REPLICAS)]

    def make(self, index):
        directory = self.directory / f"replica{index}"
        directory.mkdir(exist_ok=True)
        return Gateway(directory, configuration(
            [self.receiver], workers=2, store=self.pg.url(self.proxies[index].port),
            store_lease=f"{LEASE:g}s", timeout={"attempt": "300ms", "total": "5s"},
            retry={"max": 1, "base": "1ms", "cap": "5ms"},
            breaker={"consecutive": 4, "open": "20ms", "open_max": "50ms", "close_after": 1},
            fallback=[{"queue": {"order_by": "header.X-Account", "base": "5ms", "cap": "50ms"}}]))

    @property
    def gateway(self):
        return random.choice(self.replicas)

    def kill(self, index):
        gw = self.replicas[index]
        gw.process.kill()
        gw.process.wait()
        gw.reader.join(DEADLINE)
        log = gw.log()
        assert "Sanitizer" not in log and "Assertion" not in log, log
        self.replicas[index] = self.make(index)

    def stop_for_a_while(self, index):
        gw = self.replicas[index]
        gw.signal(signal.SIGSTOP)
        time.sleep(self.random.random() * 2 * LEASE)
        gw.signal(signal.SIGCONT)

    def disturb(self):
        index = self.random.randrange(REPLICAS)
        what = self.random.choice(["kill", "stop", "stop", "cut", "cut", "backends", "server"])
        self.counts[what] += 1
        if what == "kill":
            self.kill(index)
        elif what == "stop":
            self.stop_for_a_while(index)
        elif what == "cut":
            self.proxies[index].cut()
        elif what == "backends":
            self.pg.kill_backends()
        elif what == "server":
            self.pg.stop()
            self.pg.start()


def is_delivered(plant, number):
    reply = plant.gateway.get(f"/.well-known/switchgear/writes/{number}")
    return reply.status == 200 and reply.json()["status"] == "sent"


def test_promises_are_kept_by_several_replicas(tmp_path):
    print(f"seed: {SEED}")
    dice, receiver, pg = random.Random(SEED), Receiver(SEED), Postgres()
    plant = Plant(tmp_path, receiver, pg)
    stop = threading.Event()
    writers = [Writer(i, plant, stop) for i in range(CLIENTS)]
    end = time.monotonic() + SECONDS
    try:
        for writer in writers:
            writer.start()
        while time.monotonic() < end:
            receiver.turn(dice.choice(MOODS))
            stop.wait(dice.random() * 0.5)
            plant.disturb()
        receiver.turn("well")
        stop.set()
        for writer in writers:
            writer.join(3 * DEADLINE)
            assert not writer.is_alive(), "a client hangs"
        assert not [w.wrong for w in writers if w.wrong], (SEED, [w.wrong for w in writers])
        for writer in writers:
            for number in writer.promised:
                eventually(lambda number=number: is_delivered(plant, number),
                           f"write {number} is delivered", PATIENCE)
        eventually(lambda: pg.run("SELECT count(*) FROM switchgear_outbox WHERE state = 1")[0][0]
                   == 0, "nothing waits", PATIENCE)
        told = sum((w.told for w in writers), collections.Counter())
        print(f"{dict(plant.counts)}; told {dict(told)}; receiver {dict(receiver.counts)}")
        for gw in plant.replicas:
            gw.stop()
        states = pg.run("SELECT DISTINCT state FROM switchgear_outbox")
        promised = check_effects(writers, receiver.effects)
        assert states == [(3,)] and promised > 20, (states, promised)
    finally:
        stop.set()
        for gw in plant.replicas:
            if gw.process.poll() is None:
                gw.process.kill()
                gw.process.wait()
        receiver.close()
        for proxy in plant.proxies:
            proxy.close()
        pg.close()
