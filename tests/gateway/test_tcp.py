"""Connections that are passed on as they are: `protocol: tcp`."""
import random
import re
import signal
import socket
import threading

import psycopg2
import pytest
import redis

from kit.admin import Admin
from kit.http import Wire
from kit.postgres import Postgres
from kit.redis import Redis
from kit.tcp import Echo, Played, dial, passing, port_of
from kit.upstream import black_hole, dead_port
from kit.waiting import DEADLINE, eventually

FOREVER = {"delay": "0s", "timeout": "1h"}


def made_by(kind):
    @pytest.fixture
    def fixture():
        made = []

        def make(*args, **keys):
            made.append(kind(*args, **keys))
            return made[-1]

        yield make
        for one in made:
            one.close()

    return fixture


played = made_by(Played)
echo = made_by(Echo)


@pytest.fixture
def dead():
    kept, port = dead_port()
    yield port
    kept.close()


def connections(gw):
    return gw.messages("connection")


def metric(admin, name, **labels):
    """0 where it is not there."""
    pairs = [f'{k}="{v}"' for k, v in labels.items()]
    for line in admin.get("/metrics").text.splitlines():
        found = re.match(rf"{name}(\{{.*\}})? (\S+)$", line)
        if found and all(pair in (found[1] or "") for pair in pairs):
            return float(found[2])
    return 0


def refused(gw, listener=0):
    """Whether a new connection is reset at once: perhaps before connect() has returned."""
    try:
        with dial(gw, listener) as client:
            return client.ending() == "reset"
    except ConnectionResetError:
        return True


# ---- real servers -----------------------------------------------------------------------


def test_redis_and_postgresql(gateway, tmp_path):
    store, pg = Redis(tmp_path), Postgres()
    try:
        listen = [{"address": "127.0.0.1:0", "protocol": "tcp", "service": name}
                  for name in ("db", "sql")]
        gw = gateway(config=passing(
            store.port, listen=listen, workers=2, breaker={"consecutive": 2, "open": "1h"},
            retry={"max": 0}, services={"sql": {"endpoints": [f"tcp://127.0.0.1:{pg.port}"]}}))
        admin = Admin(gw)
        client = redis.Redis(port=port_of(gw), socket_timeout=DEADLINE)
        with client.pipeline(transaction=True) as pipe:
            for i in range(100):
                pipe.set(f"k{i}", b"v" * i).get(f"k{i}")
            assert pipe.execute()[-1] == b"v" * 99
        with psycopg2.connect(pg.url(port_of(gw, 1)), connect_timeout=10) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT sum(n), repeat('x', 300000) FROM generate_series(1, 1000) n")
                assert cursor.fetchone() == (500500, "x" * 300000)
        connection.close()
        client.connection_pool.disconnect()
        by_name = {line["service"]: line for line in
                   (gw.wait_message("connection", n) for n in (1, 2))}
        assert by_name["db"]["result"] == by_name["sql"]["result"] == "done"
        assert by_name["sql"]["bytes_out"] > 300000 > by_name["sql"]["bytes_in"] > 0
        assert by_name["sql"]["endpoint"] == f"tcp://127.0.0.1:{pg.port}"
        assert by_name["sql"]["listener"] == "127.0.0.1:0"
        assert metric(admin, "gateway_tcp_bytes_total", service="sql", direction="out") == \
            by_name["sql"]["bytes_out"]
        service = admin.service("db")
        assert service["requests"]["total"] == 1 and service["breaker"]["state"] == "closed"
        assert service["latency"]["count"] == 1 and service["recent"]["success_rate"] == 1

        # it dies: who is connected is told, who comes is refused and then not even tried for
        client = redis.Redis(port=port_of(gw), socket_timeout=DEADLINE, retry=None)
        assert client.ping()
        store.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        for _ in range(2):
            assert refused(gw)
        assert admin.breaker("db")["state"] == "open" and refused(gw)
        assert admin.breaker("sql")["state"] == "closed"
        eventually(lambda: any(line.get("reason") == "open" for line in connections(gw)),
                   "a refusal is told with its reason")
        assert metric(admin, "circuit_breaker_rejections_total", service="db", reason="open") >= 1
        assert metric(admin, "gateway_tcp_connections_total", service="db", result="refused") >= 1
        assert metric(admin, "gateway_tcp_connections_total", service="db", result="failed") == 2
        store.start()
        assert admin.command("reset", "db", reason="it is back").status_code == 200
        assert client.ping()
        client.connection_pool.disconnect()
    finally:
        store.stop()
        pg.close()


# ---- bytes ------------------------------------------------------------------------------


@pytest.mark.short_io
def test_every_byte_both_ways(gateway, played, cut):
    size = (256 << 10) if cut else (16 << 20)
    gw = gateway(config=passing((up := played()).port))
    ours, theirs = (random.Random(seed).randbytes(size) for seed in (1, 2))
    with dial(gw) as client:
        link = up.accept()
        sending = [threading.Thread(target=wire.send, args=(data,))
                   for wire, data in ((client, ours), (link, theirs))]
        received = {}

        def receive(name, wire):
            received[name] = wire.exactly(size)

        receiving = [threading.Thread(target=receive, args=pair)
                     for pair in (("link", link), ("client", client))]
        for thread in sending + receiving:
            thread.start()
        for thread in sending + receiving:
            thread.join(3 * DEADLINE)
        assert received["link"] == ours and received["client"] == theirs
    link.close()
    line = gw.wait_message("connection")
    assert line["bytes_in"] == line["bytes_out"] == size and line["result"] == "done"


@pytest.mark.short_io
def test_an_end_is_passed_on_behind_its_bytes(gateway, played):
    gw = gateway(config=passing((up := played()).port))
    with dial(gw) as client:  # the client has said all before anybody listens
        client.send(b"a question")
        client.shut()
        link = up.accept()
        assert link.rest() == b"a question"
        link.send(b"an answer")
        link.send(b", and more")
        link.shut()
        assert client.rest() == b"an answer, and more"
    assert gw.wait_message("connection")["result"] == "done"
    with dial(gw) as client:  # the service ends first, and goes on to listen
        link = up.accept()
        link.send(b"greeting")
        link.shut()
        assert client.rest() == b"greeting"
        client.send(b"log line")
        client.shut()
        assert link.rest() == b"log line"
    assert gw.wait_message("connection", 2)["result"] == "done"


def test_a_reset_is_passed_on_behind_its_bytes(gateway, played):
    gw = gateway(config=passing((up := played()).port))
    with dial(gw) as client:
        link = up.accept()
        link.send(b"half of a")
        assert client.exactly(9) == b"half of a"
        link.reset()
        assert client.ending() == "reset"
    with dial(gw) as client:
        link = up.accept()
        client.send(b"half a question")
        assert link.exactly(15) == b"half a question"
        client.reset()
        assert link.ending() == "reset"
    assert [gw.wait_message("connection", n)["result"] for n in (1, 2)] == \
        ["service_reset", "client_reset"]


def test_who_does_not_read_slows_the_writer(gateway, played):
    gw = gateway(config=passing((up := played()).port, timeout={"idle": "1h"}))
    with dial(gw, receive_buffer=4096) as client:
        link = up.accept()
        client.send(b"?")
        link.exactly(1)
        before = gw.rss()
        link.sock.setblocking(False)
        data, sent = random.Random(3).randbytes(1 << 20), 0
        stalled = threading.Event()

        def fill():
            nonlocal sent
            while not stalled.is_set():
                try:
                    sent += link.sock.send(data[sent % len(data):])
                except BlockingIOError:
                    stalled.wait(0.02)

        thread = threading.Thread(target=fill)
        thread.start()
        # what buffers hold is soon full, and from then on nothing moves
        seen = []
        eventually(lambda: seen.append(sent) or (len(seen) > 40 and seen[-1] == seen[-40] > 0),
                   "the writer is stopped")
        stalled.set()
        thread.join()
        assert gw.rss() - before < 8 << 20
        total, link_end = sent, threading.Thread(target=link.shut)
        link_end.start()
        whole = data * (total // len(data) + 1)
        assert client.rest() == whole[:total]
        link_end.join()


# ---- connecting --------------------------------------------------------------------------


def test_another_endpoint_where_one_refuses_or_hangs(gateway, echo, dead):
    """One dead, one whose queue is full, one that serves: every client is served."""
    kept, hole = black_hole()
    up = echo()
    gw = gateway(config=passing(dead, hole, up.port, balance="round_robin",
                                timeout={"connect": "50ms"}, ejection={"max": "100%"},
                                breaker={"consecutive": 2, "open": "1h"}))
    for i in range(9):
        with dial(gw) as client:
            client.send(b"%d" % i)
            assert client.exactly(1) == b"%d" % i
    lines = [gw.wait_message("connection", n + 1) for n in range(9)]
    assert all(line["result"] == "done" for line in lines)
    assert {line["endpoint"] for line in lines} == {f"tcp://127.0.0.1:{up.port}"}
    states = {e["name"]: e["state"] for e in Admin(gw).breaker("db")["endpoints"]}
    assert states == {f"tcp://127.0.0.1:{dead}": "open", f"tcp://127.0.0.1:{hole}": "open",
                      f"tcp://127.0.0.1:{up.port}": "closed"}
    assert lines[-1]["attempts"] == 1 and up.connections == 9
    for sock in kept:
        sock.close()


def test_nobody_in_time(gateway):
    kept, hole = black_hole()
    gw = gateway(config=passing(hole, timeout={"connect": "20ms", "total": "200ms"},
                                retry={"max": 1, "base": "1ms"}))
    assert refused(gw)
    line = gw.wait_message("connection")
    assert line["result"] == "timed_out" and line["attempts"] == 2
    assert line["no_retry"] == "max_retries" and "connect_ms" not in line
    for sock in kept:
        sock.close()


def test_a_forwarder_with_nobody_behind_it(gateway, played):
    """It accepts and closes: that counts, until it speaks again. What only takes does not."""
    gw = gateway(config=passing((up := played()).port,
                                breaker={"consecutive": 2, "open": "1h", "close_after": 1}))
    with dial(gw) as client:  # a sink, which never says anything
        client.send(b"a line")
        link = up.accept()
        link.shut()
        assert link.exactly(6) == b"a line"
        assert client.ending() == "ended"
    assert gw.wait_message("connection")["result"] == "done"
    for n in (2, 3):
        with dial(gw) as client:
            up.accept().close()
            assert client.ending() == "ended"
        assert gw.wait_message("connection", n)["result"] == "closed_early"
    assert Admin(gw).breaker("db")["state"] == "open" and refused(gw)


def test_a_service_that_hangs(gateway, played):
    """Its kernel accepts for it; only that it never says a word shows it."""
    gw = gateway(config=passing((up := played()).port, timeout={"first_byte": "80ms"},
                                breaker={"consecutive": 2, "open": "1h"}))
    with dial(gw) as client:  # nobody has been asked anything yet, however long that is
        link = up.accept()
        assert client.is_silent(1.2)
        client.send(b"?")
        assert link.exactly(1) == b"?" and client.is_silent(0.2)
        link.send(b"!")
        assert client.exactly(1) == b"!"
    link.close()
    assert gw.wait_message("connection")["result"] == "done"
    with dial(gw) as client:  # it speaks first, and then is not hurried
        link = up.accept()
        link.send(b"hello")
        assert client.exactly(5) == b"hello"
        client.send(b"?")
        assert link.exactly(1) == b"?" and client.is_silent(0.2)
    link.close()
    assert gw.wait_message("connection", 2)["result"] == "done"
    with dial(gw) as client:  # who leaves early has not been failed
        client.send(b"?")
        up.accept().exactly(1)
        client.reset()
    assert gw.wait_message("connection", 3)["result"] == "client_reset"
    for n in (4, 5):
        with dial(gw) as client:
            client.send(b"?")
            assert client.ending() == "reset"
        line = gw.wait_message("connection", n)
        assert line["result"] == "timed_out" and line["attempts"] == 1
    assert Admin(gw).breaker("db")["state"] == "open" and refused(gw)


def test_a_client_that_leaves_while_it_is_connected(gateway):
    kept, hole = black_hole()
    gw = gateway(config=passing(hole, timeout={"connect": "1h", "attempt": "off", "total": "off"}))
    with dial(gw) as client:
        client.reset()
    assert gw.wait_message("connection")["result"] == "left"
    for sock in kept:
        sock.close()


# ---- limits ------------------------------------------------------------------------------


def test_a_bulkhead_of_connections(gateway, echo):
    gw = gateway(config=passing(echo().port, bulkhead={"concurrent": 1, "queue": 1, "wait": "1h"}))
    admin = Admin(gw)
    with dial(gw) as first, dial(gw) as waiting:
        first.send(b"1")
        assert first.exactly(1) == b"1"
        waiting.send(b"2")
        eventually(lambda: metric(admin, "bulkhead_waiting", service="db") == 1, "one waits")
        assert refused(gw)  # the queue is full
        assert gw.wait_message("connection")["reason"] == "bulkhead_full"
        assert metric(admin, "gateway_tcp_connections", service="db") == 2
        first.close()
        assert waiting.exactly(1) == b"2"
    eventually(lambda: metric(admin, "bulkhead_in_use", service="db") == 0, "no slot is lost")


def test_who_gives_up_in_the_queue(gateway, echo):
    gw = gateway(config=passing(echo().port, workers=2,
                                bulkhead={"concurrent": 1, "queue": 9, "wait": "1h"}))
    admin = Admin(gw)
    for _ in range(3):
        with dial(gw) as first:
            first.send(b"1")
            assert first.exactly(1) == b"1"
            crowd = [dial(gw) for _ in range(4)]
            eventually(lambda: metric(admin, "bulkhead_waiting", service="db") == 4, "all wait")
            for client in crowd[1:]:
                client.reset()
        crowd[0].send(b"x")
        assert crowd[0].exactly(1) == b"x"
        crowd[0].close()
        eventually(lambda: metric(admin, "bulkhead_in_use", service="db") == 0, "no slot is lost")


def test_limits_of_connections(gateway, echo):
    up = echo()
    gw = gateway(config=passing(up.port, rate_limit={"rate": "2/h", "burst": 2}))
    for _ in range(2):
        with dial(gw) as client:
            client.send(b"x")
            assert client.exactly(1) == b"x"
    assert refused(gw)
    gw.wait_message("connection", 3)
    assert [line.get("reason") for line in connections(gw)].count("rate_limited") == 1
    gw = gateway(config=passing(up.port, top={"limits": {"connections_per_client": 1}}))
    with dial(gw) as client:
        client.send(b"x")
        assert client.exactly(1) == b"x"
        assert refused(gw)
        assert metric(Admin(gw), "gateway_tcp_connections_total", result="limited") == 1


def test_idle(gateway, played):
    gw = gateway(config=passing((up := played()).port, timeout={"idle": "150ms"}))
    with dial(gw) as client:
        link = up.accept()
        for _ in range(4):  # whoever talks, in whichever direction, is not idle
            assert client.is_silent(0.1)
            link.send(b".")
            assert client.exactly(1) == b"."
        assert client.ending() == "reset" and link.ending() == "reset"
    assert gw.wait_message("connection")["result"] == "idle"


# ---- operating ----------------------------------------------------------------------------


def test_manual_control_leaves_what_stands(gateway, echo):
    gw = gateway(config=passing(echo().port))
    admin = Admin(gw)
    with dial(gw) as client:
        client.send(b"1")
        assert client.exactly(1) == b"1"
        assert admin.command("force-open", "db", reason="x").status_code == 200
        assert refused(gw)
        assert gw.wait_message("connection")["reason"] == "forced_open"
        client.send(b"2")
        assert client.exactly(1) == b"2"
        admin.command("reset", "db", reason="x")
        with dial(gw) as other:
            other.send(b"3")
            assert other.exactly(1) == b"3"
    assert admin.json("/health")["details"]["circuit_breakers"]["all_closed"] is True


def test_a_drain_lets_connections_finish(gateway, echo, played):
    gw = gateway(config=passing(echo().port, top={"drain": FOREVER}))
    with dial(gw) as client:
        client.send(b"1")
        assert client.exactly(1) == b"1"
        gw.signal(signal.SIGTERM)
        gw.wait_message("draining")

        def closed():
            try:
                dial(gw).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually(closed, "the listener is closed")
        client.send(b"2" * 100000)
        assert client.exactly(100000) == b"2" * 100000
    assert gw.wait() == 0
    # and who does not finish is cut
    gw = gateway(config=passing((up := played()).port,
                                top={"drain": {"delay": "0s", "timeout": "50ms"}}))
    with dial(gw) as client:
        link = up.accept()
        gw.signal(signal.SIGTERM)
        assert client.ending() == "reset" and link.ending() == "reset"
        assert gw.wait() == 0
        assert gw.wait_message("connection")["result"] == "cut"


@pytest.mark.threads
def test_reloads_under_load(gateway, echo):
    ups = [echo(), echo()]
    config = passing(ups[0].port, workers=2)
    gw = gateway(config=config)
    stop, failures, done = threading.Event(), [], [0]

    def talk(seed):
        chance = random.Random(seed)
        try:
            while not stop.is_set():
                with dial(gw) as client:
                    for _ in range(chance.randrange(1, 20)):
                        data = chance.randbytes(chance.randrange(1, 20000))
                        client.send(data)
                        assert client.exactly(len(data)) == data
                    done[0] += 1
        except Exception as error:  # noqa: any failure is one
            failures.append(repr(error))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(4)]
    with dial(gw) as old:
        old.send(b"before")
        assert old.exactly(6) == b"before"
        for thread in threads:
            thread.start()
        for n in range(20):
            config["services"]["db"]["endpoints"] = [f"tcp://127.0.0.1:{ups[n % 2].port}"]
            gw.reload(config)
            before = done[0]
            eventually(lambda: failures or done[0] > before, "the load goes on")
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert not failures and ups[1].connections > 0
        old.send(b"after")  # it goes on where it began
        assert old.exactly(5) == b"after"
        # what listens needs a restart; when its service is gone, there is nobody to ask
        config["services"] = {"web": {"endpoints": ["http://127.0.0.1:1"]}}
        config["listen"] = [{"address": "127.0.0.1:0"}]
        assert "listen" in gw.reload(config)["needs_restart"]
        assert refused(gw)
        gw.wait_message("connections are refused: their service is gone")
        old.send(b"still")
        assert old.exactly(5) == b"still"


def test_unix_sockets(gateway, tmp_path, echo):
    """Both sides; a service that is nothing but paths is what its listener says."""
    inner = socket.socket(socket.AF_UNIX)
    inner.bind(str(tmp_path / "in"))
    inner.listen()
    gw = gateway(config=passing(
        f"unix:{tmp_path}/in", top={"log": {"requests": "errors"}},
        listen=[{"address": f"unix:{tmp_path}/out", "protocol": "tcp", "service": "db"}]))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(tmp_path / "out"))
    with Wire(sock) as client:
        link = Wire(inner.accept()[0])
        client.send(b"over")
        client.shut()
        assert link.rest() == b"over"
        link.send(b"and out")
        link.close()
        assert client.rest() == b"and out"
    assert metric(Admin(gw), "gateway_tcp_connections_total", result="done") == 1
    assert not connections(gw)
    inner.close()
