"""Active checks by protocol, of real servers and of hostile ones."""
import os
import re
import socket
import sqlite3
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.postgres import Postgres
from kit.redis import Redis
from kit.upstream import dead_port
from kit.waiting import eventually

ONCE = {"max": 0}
OFTEN = {"interval": "100ms", "timeout": "10s"}  # none of these is to time out
SOON = {"interval": "100ms", "timeout": "500ms"}


@pytest.fixture(scope="module")
def postgres():
    server = Postgres()
    server.run("CREATE TABLE item(id int); INSERT INTO item VALUES (1)")
    yield server
    server.close()


@pytest.fixture
def redis(tmp_path):
    """redis(option, …) starts one."""
    made = []

    def make(*options):
        directory = tmp_path / f"redis{len(made)}"
        directory.mkdir()
        made.append(Redis(directory, *options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def checked(gateway, server):
    """checked(name=(endpoint, health), …): a gateway whose services are checked so."""
    def start(databases=None, **services):
        named = {name: {"endpoints": [at if isinstance(at, str) else f"http://127.0.0.1:{at}"],
                        "health": {**OFTEN, **health}} for name, (at, health) in services.items()}
        gw = gateway([server()], admin=ADMIN, services=named,
                     **({"databases": databases} if databases else {}))
        return gw, Admin(gw)
    return start


def reading(admin, name):
    return admin.breaker(name)["endpoints"][0]["health"]


def becomes(admin, name, state, cause=None):
    def seen():
        health = reading(admin, name)
        return (health["state"], health["cause"]) == (state, cause) and health
    try:
        return eventually(seen, "")
    except AssertionError:
        raise AssertionError(f"{name} is not {state} ({cause}): {reading(admin, name)}") from None


def count(admin, service, result):
    text = admin.get("/metrics").text
    found = re.search(rf'^health_checks_total{{service="{service}",.*result="{result}"}} (\d+)$',
                      text, re.M)
    return int(found[1])


# ---- redis -----------------------------------------------------------------------------


def test_a_redis_is_pinged(checked, redis):
    plain, locked = redis(), redis("--requirepass", "sesame")
    gw, admin = checked(plain=(plain.port, {"check": "redis"}),
                        unasked=(plain.port, {"check": "redis", "password": "sesame"}),
                        without=(locked.port, {"check": "redis"}),
                        wrong=(locked.port, {"check": "redis", "password": "open"}),
                        right=(locked.port, {"check": "redis", "password": "sesame"}),
                        acl=(locked.port, {"check": "redis", "user": "default",
                                           "password": "sesame"}),
                        other=(locked.port, {"check": "http"}))
    assert becomes(admin, "plain", "good")["check"] == "redis"
    becomes(admin, "unasked", "bad", "no_password_set")
    becomes(admin, "without", "bad", "noauth")
    becomes(admin, "wrong", "bad", "wrongpass")
    becomes(admin, "right", "good")
    becomes(admin, "acl", "good")
    other = reading(admin, "other")
    assert other["check"] == "http" and other["state"] != "good"
    for text in (admin.get("/api/v1/config").text, gw.log()):
        assert "sesame" not in text
    plain.stop()
    becomes(admin, "plain", "bad", "refused")
    plain.start()
    becomes(admin, "plain", "good")
    assert count(admin, "plain", "failed") > 0 and count(admin, "right", "failed") == 0


def test_a_redis_that_loads_its_data_is_not_well(checked, redis):
    one = redis()
    for i in range(50):
        one.say("MSET", *(word for k in range(10) for word in (f"k{i}.{k}", os.urandom(1200))))
    one.say("SAVE")
    one.stop()
    # a tenth of a second a key, and a look at its connections after each: it loads for
    # longer than this test takes
    one.options = ("--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")
    one.start()
    _, admin = checked(cache=(one.port, {"check": "redis"}))
    becomes(admin, "cache", "bad", "loading")
    one.stop()
    one.options = ()
    one.start()
    becomes(admin, "cache", "good")


# ---- postgres and sql ------------------------------------------------------------------


def test_a_postgres_is_asked_without_an_account(checked, postgres):
    access = postgres.directory / "data" / "pg_hba.conf"
    access.write_text("host all locked all scram-sha-256\nhost all barred all reject\n"
                      + access.read_text())
    postgres.run("SELECT pg_reload_conf()")
    one = {"check": "postgres"}
    _, admin = checked(trusted=(postgres.port, {**one, "user": "test"}),
                       locked=(postgres.port, {**one, "user": "locked"}),
                       barred=(postgres.port, {**one, "user": "barred"}),
                       unknown=(postgres.port, one))
    for name in ("trusted", "locked", "barred", "unknown"):
        assert becomes(admin, name, "good")["check"] == "postgres"
    # the session that began was left as one should, so nothing is said of a lost client
    eventually(lambda: count(admin, "trusted", "good") > 2, "some checks")
    assert "could not" not in (postgres.directory / "log").read_text()


def test_a_postgres_that_starts_is_not_ready(checked):
    pg = Postgres()
    try:
        _, admin = checked(db=(pg.port, {"check": "postgres"}))
        becomes(admin, "db", "good")
        pg.stop()
        becomes(admin, "db", "bad", "refused")
        (pg.directory / "data" / "standby.signal").touch()  # it recovers for ever
        pg.start("-c", "hot_standby=off", wait=False)
        becomes(admin, "db", "bad", "not_ready")
        pg.stop()
        (pg.directory / "data" / "standby.signal").unlink()
        pg.start()
        becomes(admin, "db", "good")
    finally:
        pg.close()


def test_a_query_is_a_check(checked, postgres, tmp_path):
    shop = tmp_path / "shop.db"
    with sqlite3.connect(shop) as db:
        db.execute("CREATE TABLE item(id INTEGER)")
    ask = {"check": "sql", "database": "shop"}
    kept, dead = dead_port()  # the address is of no matter to it
    _, admin = checked(
        {"shop": {"url": f"sqlite:{shop}"}, "pg": {"url": postgres.url()}},
        plain=(dead, ask), rows=(dead, {**ask, "query": "SELECT id FROM item", "row": True}),
        table=(dead, {**ask, "query": "SELECT id FROM missing"}),
        item=(dead, {**ask, "database": "pg", "query": "SELECT id FROM item", "row": True}),
        slow=(dead, {**ask, "database": "pg", "query": "SELECT pg_sleep(100)",
                     "timeout": "300ms"}),
        large=(dead, {**ask, "database": "pg", "query": "SELECT repeat('x', 100000)"}))
    becomes(admin, "plain", "good")
    becomes(admin, "rows", "bad", "no_row")
    becomes(admin, "table", "bad", "query")
    assert becomes(admin, "item", "good")["check"] == "sql"
    becomes(admin, "slow", "bad", "timeout")
    becomes(admin, "large", "bad", "too_large")
    with sqlite3.connect(shop) as db:
        db.execute("INSERT INTO item VALUES (1)")
    becomes(admin, "rows", "good")
    kept.close()


def test_a_database_is_back_without_a_request(gateway):
    """Its own check closes its breaker."""
    pg = Postgres()
    kept, dead = dead_port()
    try:
        gw = gateway([f"http://127.0.0.1:{dead}"], admin=ADMIN, retry=ONCE,
                     fallback=[{"sql": {"database": "pg", "query": "SELECT 1 AS one"}},
                               {"static": {"status": 503}}],
                     databases={"pg": {"url": pg.url(), "retry": ONCE,
                                       "breaker": {"consecutive": 1, "open": "100ms"},
                                       "health": OFTEN}})
        admin = Admin(gw)

        def state():
            return re.search(r'^circuit_breaker_state{service="sql:pg"} (\d)', admin.get(
                "/metrics").text, re.M)[1]

        assert gw.get().status == 200
        pg.stop()
        assert gw.get().status == 503
        eventually(lambda: state() == "1", "its breaker is open")
        eventually(lambda: count(admin, "sql:pg", "failed") > 1, "checks fail")
        pg.start()
        eventually(lambda: state() == "0", "its breaker is closed")
        assert gw.get().json() == [{"one": 1}]
    finally:
        pg.close()
        kept.close()


# ---- http and tcp ------------------------------------------------------------------------


def test_statuses_that_are_good(checked, server):
    up = server(lambda request, link: answer(b"", f"{request.target.strip('/')} What"))
    _, admin = checked(
        usual=(up.port, {"path": "/302"}), fussy=(up.port, {"path": "/302", "expect": "200-299"}),
        guarded=(up.port, {"path": "/401", "expect": [200, "400-401"]}),
        broken=(up.port, {"path": "/500"}))
    assert becomes(admin, "usual", "good")["status"] == 302
    assert becomes(admin, "fussy", "bad", "status")["status"] == 302
    becomes(admin, "guarded", "good")
    becomes(admin, "broken", "bad", "status")
    services = admin.json("/api/v1/config")["config"]["services"]
    assert services["guarded"]["health"]["expect"] == ["200", "400-401"]
    assert services["usual"]["health"]["expect"] == ["200-399"]


class Hostile:
    """Says to whoever connects what `say` yields, piece by piece, until he is gone."""

    def __init__(self, say):
        self.say = say
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen()
        self.port = self.sock.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while not self.ended.is_set():
            try:
                link = self.sock.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(link,), daemon=True).start()

    def serve(self, link):
        with link:
            try:
                for piece in self.say():
                    link.sendall(piece)
            except OSError:
                pass

    def dribble(self):
        self.ended.wait(0.02)

    def close(self):
        self.ended.set()
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def test_whatever_a_server_says_a_check_ends(checked):
    def silence():
        hostile["silent"].ended.wait()
        yield b""

    def drops(text):
        def say():
            for byte in text * 1000:
                hostile["silent"].dribble()
                yield bytes([byte])
        return say

    def floods(text):
        def say():
            while True:
                yield text * 1000
        return say

    hostile = {"silent": Hostile(silence)}
    expected = {}
    for kind, starts, endless in (
            ("http", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9000 + b"\r\n"),
            ("redis", b"+", b"+OK and much more"),
            ("postgres", b"S\0\0\0\x10aaaaaaaaaaaa", b"S\0\0\0\x10abcdefghijkl")):
        for name, say, cause in (("drops", drops(starts), "timeout"),
                                 ("floods", floods(endless), "garbled"),
                                 ("garbage", floods(b"\xff\0\xff\0"), "garbled"),
                                 ("nothing", lambda: iter(()), "reset")):
            hostile[f"{kind}-{name}"] = Hostile(say)
            expected[f"{kind}-{name}"] = (kind, cause)
        hostile[f"{kind}-silent"] = hostile["silent"]
        expected[f"{kind}-silent"] = (kind, "timeout")
    odd = {"pg-huge": b"R\x7f\xff\xff\xff\0\0\0\0", "pg-short": b"R\0\0\0\5\0",
           "pg-error": b"E\0\0\0\x09CXXXX"}
    for name, text in odd.items():
        hostile[name] = Hostile(lambda text=text: iter([text]))
        expected[name] = ("postgres", "garbled")
    services = {name: (hostile[name].port, {**SOON, "check": kind})
                for name, (kind, _) in expected.items()}
    _, admin = checked(tcp=(hostile["silent"].port, {"check": "tcp"}), **services)
    try:
        for name, (_, cause) in expected.items():
            health = becomes(admin, name, "bad", cause)
            assert health["took_ms"] < 20000
        becomes(admin, "tcp", "good")
    finally:
        for one in set(hostile.values()):
            one.close()


def test_a_reload_ends_no_check(gateway, server):
    """Nor does it begin one before its time: what was asked before is answered after."""
    asked, go_on = [], threading.Event()

    def slow(request, link):
        asked.append(request)
        go_on.wait(60)
        return answer()

    gw = gateway([server(slow)], admin=ADMIN, health={"interval": "1h", "timeout": "60s"})
    admin = Admin(gw)
    try:
        eventually(lambda: asked, "the check")
        for _ in range(2):
            gw.reload(gw.path.read_text() + " ")
    finally:
        go_on.set()
    becomes(admin, "web", "good")
    gw.reload(gw.path.read_text() + " ")
    assert reading(admin, "web")["state"] == "good" and len(asked) == 1


def test_a_reload_changes_the_check_and_keeps_what_is_known(gateway, server):
    up = server()
    gw = gateway([up], admin=ADMIN, health={"interval": "1h", "timeout": "5s"})
    admin = Admin(gw)
    before = becomes(admin, "web", "good")
    config = gw.path.read_text().replace('"interval"', '"check": "tcp", "interval"')
    gw.reload(config)
    eventually(lambda: reading(admin, "web")["check"] == "tcp", "another check")
    assert reading(admin, "web")["state"] == before["state"]
