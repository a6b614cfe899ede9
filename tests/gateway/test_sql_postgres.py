"""The sql tier on a real PostgreSQL server, also while that is cut at every step."""
import json
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.postgres import Postgres
from kit.proxy import Proxy
from kit.upstream import dead_port
from kit.waiting import eventually

ONCE = {"max": 0}
ELSE = {"static": {"status": 503, "json": {"else": True}}}
SETUP = """
CREATE TABLE item(id int PRIMARY KEY, name text, price numeric(10,2), weight float8, sold boolean,
                  more jsonb, made date, raw bytea);
INSERT INTO item VALUES (1, 'Lamp', 12.50, 1.5, true, '{"w": [1, 2]}', '2024-02-29', '\\x00ff10'),
                        (2, 'O''Neil "x"', NULL, 'NaN', false, NULL, NULL, NULL);
CREATE FUNCTION sell() RETURNS int LANGUAGE sql AS
    'UPDATE item SET sold = true WHERE id = 2 RETURNING id';
CREATE SEQUENCE ticket;
"""


@pytest.fixture(scope="module")
def shared_server():
    server = Postgres()
    server.run(SETUP)
    yield server
    server.close()


@pytest.fixture
def own_server():
    """For tests that stop it."""
    server = Postgres()
    server.run(SETUP)
    yield server
    server.close()


@pytest.fixture
def proxy(shared_server):
    proxy = Proxy(shared_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def dead():
    kept, port = dead_port()
    yield f"http://127.0.0.1:{port}"
    kept.close()


def sql(query, **more):
    return {"sql": {"database": "shop", "query": query, "public": True, **more}}


@pytest.fixture
def ask(gateway, dead):
    """ask(url, tier, …) starts a gateway whose service is down."""
    def start(url, *tiers, more=None, **database):
        return gateway([dead], retry=ONCE, breaker={"consecutive": 1, "open": "1h"},
                       fallback=[*tiers, ELSE], routes=[{"path": "/{a}", "service": "web"},
                                                        {"prefix": "/", "service": "web"}],
                       databases={"shop": {"url": url, "retry": ONCE, **database}},
                       **(more or {}))
    return start


# ---- answers -----------------------------------------------------------------------------


def test_rows_with_their_types(shared_server, ask):
    gw = ask(shared_server.url(), sql("SELECT * FROM item ORDER BY id"))
    reply = gw.get()
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    assert reply.story[0] == "sql"
    assert reply.json() == [
        {"id": 1, "name": "Lamp", "price": 12.5, "weight": 1.5, "sold": True,
         "more": {"w": [1, 2]}, "made": "2024-02-29", "raw": "AP8Q"},
        {"id": 2, "name": 'O\'Neil "x"', "price": None, "weight": None, "sold": False,
         "more": None, "made": None, "raw": None}]


@pytest.mark.parametrize("shape, query, body", [
    ("row", "SELECT id, name FROM item WHERE id = :id", {"id": 1, "name": "Lamp"}),
    ("value", "SELECT price FROM item WHERE id = :id", 12.5),
    ("json", "SELECT more FROM item WHERE id = :id", {"w": [1, 2]}),
    ("json", "SELECT json_agg(name)::text FROM item WHERE id = :id", ["Lamp"]),
    ("rows", "SELECT id FROM item WHERE id = :id::int AND ':no' = $$:no$$", [{"id": 1}]),
])
def test_shapes(shared_server, ask, shape, query, body):
    gw = ask(shared_server.url(), sql(query, **{"as": shape}, params={"id": "path.a"}))
    assert gw.get("/1").json() == body


@pytest.mark.parametrize("shape", ["row", "value", "rows", "json"])
def test_nothing_found_is_for_the_next_tier(shared_server, ask, shape):
    query = "SELECT more FROM item WHERE id = :id"
    gw = ask(shared_server.url(), sql(query, **{"as": shape}, params={"id": "path.a"}))
    assert gw.get("/99").status == 503
    gw = ask(shared_server.url(), sql(query, **{"as": shape}, params={"id": "path.a"}, empty="ok"))
    assert gw.get("/99").json() == ([] if shape == "rows" else None)


def test_values_of_a_body(shared_server, ask):
    gw = ask(shared_server.url(), sql(
        "SELECT id, :n::int + 1 AS n, :t AS t, :b::bool AS b, :x::text AS x FROM item "
        "WHERE id = :id", **{"as": "row"},
        params={"id": "body.item.id", "n": "body.n", "t": "body.t", "b": "body.b",
                "x": "body.none"}))
    body = {"item": {"id": 1}, "n": 41, "t": "'; DROP TABLE item; --", "b": True, "none": None}
    assert gw.post("/", json.dumps(body).encode()).json() == {
        "id": 1, "n": 42, "t": body["t"], "b": True, "x": None}


INJECTIONS = ["' OR '1'='1", "1; DROP TABLE item", "\\'; DROP TABLE item; --", "$$", ":id", "$1",
              "Lamp'/**/UNION/**/SELECT/**/1--", "%s%n", "\u2019 OR 1=1"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_a_caller_says_stays_a_value(shared_server, ask, text):
    gw = ask(shared_server.url(), sql("SELECT :q::text AS said, "
                                      "(SELECT count(*) FROM item WHERE name = :q) AS found",
                                      **{"as": "row"}, params={"q": "body.q"}))
    reply = gw.post("/", json.dumps({"q": text}).encode())
    assert reply.json() == {"said": text, "found": 0}
    assert shared_server.run("SELECT count(*) FROM item") == [(2,)]


def test_a_nul_and_what_is_no_number_are_refused(shared_server, ask):
    gw = ask(shared_server.url(), sql("SELECT name FROM item WHERE id = :id",
                                      params={"id": "body.id"}))
    for text in ("a\0b", "x", "1 OR 1=1", "9" * 40):
        assert gw.post("/", json.dumps({"id": text}).encode()).status == 503
    assert gw.post("/", b'{"id": "1"}').json() == [{"name": "Lamp"}]
    assert not gw.messages("database away")  # nobody's outage
    line = gw.wait_message("query refused")
    assert "OR 1=1" not in gw.log() and line["database"] == "shop"


# ---- reading only ------------------------------------------------------------------------


@pytest.mark.parametrize("query", [
    "SELECT sell()", "SELECT nextval('ticket')", "SELECT * INTO copy FROM item",
    "WITH gone AS (DELETE FROM item RETURNING id) SELECT * FROM gone",
    "SELECT * FROM item FOR UPDATE",
    "SELECT set_config('transaction_read_only', 'off', false), sell()",
])
def test_nothing_is_changed(shared_server, ask, query):
    gw = ask(shared_server.url(), sql(query))
    assert gw.get().status == 503
    assert gw.wait_message("query refused")["database"] == "shop"
    assert shared_server.run("SELECT count(*), bool_or(sold) FROM item WHERE id = 2") == \
        [(1, False)]


def test_a_session_cannot_be_made_writable_for_the_next(shared_server, ask):
    gw = ask(shared_server.url(), sql("SELECT set_config('default_transaction_read_only', 'off', "
                                      "false) AS a, :x::text AS x", params={"x": "path.a"}),
             sql("SELECT sell()"), size=1, overflow=0)
    assert gw.get("/1").status == 200
    assert gw.post("/", b"").status == 503


def test_writable_when_it_is_said(shared_server, ask):
    shared_server.run("CREATE TABLE IF NOT EXISTS visit(who text)")
    gw = ask(shared_server.url(), sql("INSERT INTO visit VALUES (:who) RETURNING who",
                                      **{"as": "row"}, params={"who": "path.a"}), writable=True)
    assert gw.get("/me").json() == {"who": "me"}
    assert shared_server.run("SELECT who FROM visit") == [("me",)]


# ---- time ----------------------------------------------------------------------------------


def running(server):
    return [b for b in server.backends() if b[1] == "active"]


def test_a_slow_query_is_cancelled_at_the_deadline(shared_server, ask):
    slow = {**sql("SELECT pg_sleep(3600)"), "time": "100ms", "share": "1%"}
    gw = ask(shared_server.url(), slow, more={"timeout": {"total": "1s"}})
    assert gw.get().status == 503
    eventually(lambda: not running(shared_server), "the server has ended the query")
    assert gw.get().status == 503


def test_a_client_that_leaves_ends_its_query(shared_server, ask):
    slow = {**sql("SELECT pg_sleep(3600)"), "time": "1h"}
    gw = ask(shared_server.url(), slow)
    client = gw.connect()
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: running(shared_server), "the query runs")
    client.close()
    eventually(lambda: not running(shared_server), "the server has ended the query")


def test_a_client_that_leaves_while_waiting_for_a_connection(shared_server, ask):
    slow = {**sql("SELECT pg_sleep(3600) FROM item"), "time": "1h"}
    gw = ask(shared_server.url(), slow, size=1, overflow=0, more={"admin": ADMIN})
    clients = [gw.connect() for _ in range(5)]
    for client in clients:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    admin = Admin(gw)
    eventually(lambda: 'sql_waiting{database="shop"} 4' in admin.get("/metrics").text, "they wait")
    for client in reversed(clients):
        client.close()
    eventually(lambda: 'sql_waiting{database="shop"} 0' in admin.get("/metrics").text, "nobody waits")
    eventually(lambda: not running(shared_server), "the server has ended the query")


def test_too_large(shared_server, ask):
    gw = ask(shared_server.url(), sql("SELECT repeat('x', 100) AS x FROM generate_series(1, "
                                      "10000000)", max="10KiB"))
    assert gw.get().status == 503
    assert "larger" in gw.wait_message("query refused")["why"]
    eventually(lambda: not running(shared_server), "the server has ended the query")


# ---- the pool --------------------------------------------------------------------------------


def together(gw, count, target="/"):
    replies = [None] * count

    def one(i):
        replies[i] = gw.get(target)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def test_no_more_connections_than_allowed(shared_server, ask):
    gw = ask(shared_server.url(more="?application_name=pool"), {**sql(
        "SELECT pg_sleep(0.1), (SELECT count(*) FROM pg_stat_activity WHERE application_name = "
        "'pool') AS n", **{"as": "row"}), "time": "20s"}, size=2, overflow=1)
    replies = together(gw, 12)
    assert {reply.status for reply in replies} == {200}
    assert max(reply.json()["n"] for reply in replies) == 3
    eventually(lambda: len(shared_server.backends("pool")) == 2, "the surplus is closed")


def test_connections_are_used_again(shared_server, ask):
    gw = ask(shared_server.url(), sql("SELECT pg_backend_pid()", **{"as": "value"}))
    assert len({gw.get().json() for _ in range(5)}) == 1


def test_an_old_connection_is_replaced(shared_server, ask):
    gw = ask(shared_server.url(), sql("SELECT pg_backend_pid()", **{"as": "value"}), recycle="1ms")
    assert len({gw.get().json() for _ in range(3)}) > 1


def test_many_statements_on_one_connection(shared_server, ask):
    tiers = [sql(f"SELECT 1 AS a{i} WHERE :p = 'b{i}'", params={"p": "path.a"}) for i in range(6)]
    gw = ask(shared_server.url(), *tiers, size=1, overflow=0)
    for _ in range(3):
        for i in range(6):
            assert gw.get(f"/b{i}").json() == [{f"a{i}": 1}]


def test_a_table_that_changes_under_a_prepared_statement(shared_server, ask):
    shared_server.run("DROP TABLE IF EXISTS moving; CREATE TABLE moving(a int); "
                      "INSERT INTO moving VALUES (1)")
    gw = ask(shared_server.url(), sql("SELECT * FROM moving"), retry={"max": 2, "base": "1ms"})
    assert gw.get().json() == [{"a": 1}]
    shared_server.run("ALTER TABLE moving ADD b text DEFAULT 'x'")
    assert gw.get().json() == [{"a": 1, "b": "x"}]


# ---- cut at every step -----------------------------------------------------------------------


QUERY = sql("SELECT id, name FROM item ORDER BY id")
ROWS = [{"id": 1, "name": "Lamp"}, {"id": 2, "name": 'O\'Neil "x"'}]


def test_cut_after_every_byte_of_the_server(shared_server, proxy, ask):
    """Connecting, then a query: whatever byte is the last one, the next tier answers, and
    the query after it is answered again."""
    gw = ask(proxy_url(shared_server, proxy), QUERY, breaker={"consecutive": 10000})
    assert gw.get().json() == ROWS
    whole = proxy.passed
    assert whole > 300
    for count in sorted({*range(1, 24), *range(24, whole, 13), *range(whole - 30, whole)}):
        proxy.cut()
        proxy.budget = count
        reply = gw.get()
        assert reply.status == 503 or reply.json() == ROWS, count
        proxy.budget = None
    proxy.cut()
    eventually(lambda: gw.get().status == 200, "it is back")
    assert gw.wait_message("database away")["database"] == "shop"
    assert gw.wait_message("database back")


def proxy_url(server, proxy):
    return server.url(port=proxy.port)


def test_cut_while_a_query_runs(shared_server, proxy, ask):
    gw = ask(proxy_url(shared_server, proxy), {**sql("SELECT pg_sleep(3600)"), "time": "1h"}, QUERY)
    client = gw.connect()
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: running(shared_server), "the query runs")
    proxy.cut()
    reply = client.head()
    reply.body = client.body(reply)
    assert reply.json() == ROWS
    shared_server.kill_backends()


def test_idle_connections_that_were_cut_are_not_noticed_by_callers(shared_server, proxy, ask):
    gw = ask(proxy_url(shared_server, proxy), QUERY, more={"admin": ADMIN})
    assert gw.get().status == 200
    admin = Admin(gw)
    proxy.cut()
    eventually(lambda: 'sql_connections{database="shop",state="idle"} 0' in admin.get("/metrics").text,
               "its end was seen")
    assert gw.get().status == 200
    assert not gw.messages("database away")


def test_killed_backends(shared_server, ask):
    gw = ask(shared_server.url(), QUERY, retry={"max": 2, "base": "1ms"})
    for _ in range(5):
        assert gw.get().json() == ROWS
        shared_server.kill_backends()


def test_a_connection_that_hangs_is_found_by_the_ping(shared_server, proxy, ask):
    gw = ask(proxy_url(shared_server, proxy), {**QUERY, "time": "15s"}, pre_ping="1ms",
             more={"admin": ADMIN})
    assert gw.get().status == 200
    admin = Admin(gw)
    for _ in range(2):  # idle, and by the second answer for longer than pre_ping
        eventually(lambda: 'sql_connections{database="shop",state="idle"} 1' in admin.get("/metrics").text,
                   "it is idle")
    pairs, proxy.pairs = proxy.pairs, []
    for pair in pairs:  # these never move again, new ones do
        pair.proxy = Proxy(shared_server.port)
        pair.proxy.hang()
    assert gw.get().json() == ROWS
    for pair in pairs:
        pair.proxy.close()
        pair.cut()


def test_a_network_that_hangs(shared_server, proxy, ask):
    gw = ask(proxy_url(shared_server, proxy), {**QUERY, "time": "200ms", "share": "1%"},
             breaker={"consecutive": 10000}, timeout={"connect": "100ms", "attempt": "150ms"},
             more={"timeout": {"total": "1s"}})
    assert gw.get().status == 200
    proxy.hang()
    for _ in range(6):
        assert gw.get().status == 503
    proxy.flow()
    eventually(lambda: gw.get().status == 200, "it is back")


def test_a_server_that_stands_still(own_server, ask):
    gw = ask(own_server.url(), {**QUERY, "time": "200ms", "share": "1%"},
             breaker={"consecutive": 3, "open": "50ms", "open_max": "50ms"},
             timeout={"connect": "100ms", "attempt": "150ms"},
             more={"timeout": {"total": "1s"}, "admin": ADMIN})
    assert gw.get().status == 200
    own_server.freeze()
    for _ in range(4):
        assert gw.get().status == 503
    assert 'state_changes_total{service="sql:shop",state="open"} 0' not in Admin(gw).get("/metrics").text
    own_server.thaw()
    eventually(lambda: gw.get().status == 200, "it is back")


def test_a_server_that_stops_and_comes_back(own_server, ask):
    gw = ask(own_server.url(), QUERY, breaker={"consecutive": 2, "open": "50ms", "open_max": "50ms"})
    assert gw.get().status == 200
    own_server.stop()
    for _ in range(4):
        assert gw.get().status == 503
    assert gw.wait_message("database away")["why"]
    own_server.start()
    eventually(lambda: gw.get().status == 200, "it is back")
    assert gw.wait_message("database back")


def test_a_database_that_was_never_there(ask):
    kept, port = dead_port()
    gw = ask(f"postgresql://me:secret@127.0.0.1:{port}/x", QUERY)
    assert gw.get().status == 503
    assert "refused" in gw.wait_message("database away")["why"]
    assert "secret" not in gw.log()
    kept.close()


def test_a_name_that_nobody_knows(ask):
    gw = ask("postgresql://me@nowhere.invalid/x", {**QUERY, "time": "10s"})
    assert gw.get().status == 503
    assert gw.wait_message("database away")["why"]


def test_a_name_that_is_looked_up(shared_server, ask):
    gw = ask(shared_server.url().replace("127.0.0.1", "localhost"), {**QUERY, "time": "15s"})
    assert gw.get().json() == ROWS


# ---- life --------------------------------------------------------------------------------------


def test_reload_keeps_connections_and_changes_queries(shared_server, ask):
    def config(gw, query, **database):
        text = json.loads(gw.path.read_text())
        text["services"]["web"]["fallback"][0]["sql"]["query"] = query
        text["databases"]["shop"].update(database)
        return text
    gw = ask(shared_server.url(), sql("SELECT pg_backend_pid()", **{"as": "value"}))
    first = gw.get().json()
    gw.reload(config(gw, "SELECT pg_backend_pid() + 0"))
    assert gw.get().json() == first
    gw.reload(config(gw, "SELECT pg_backend_pid()", size=2))  # another pool
    assert gw.get().json() != first
    eventually(lambda: len(shared_server.backends()) == 1, "the old pool is closed")


def test_stopping_while_queries_run(shared_server, ask):
    gw = ask(shared_server.url(), {**sql("SELECT pg_sleep(3600)"), "time": "1h"},
             more={"drain": {"delay": "0s", "timeout": "100ms"}}, size=2, overflow=0)
    clients = [gw.connect() for _ in range(4)]
    for client in clients:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: len(running(shared_server)) == 2, "two run, two wait")
    gw.stop()
    for client in clients:
        client.close()
    eventually(lambda: not running(shared_server), "the server has ended them")


def test_draining_lets_a_query_end(shared_server, ask):
    gw = ask(shared_server.url(), {**sql("SELECT pg_sleep(0.3), 1 AS a"), "time": "20s"},
             more={"drain": {"delay": "0s", "timeout": "20s"}})
    with gw.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: running(shared_server), "the query runs")
        gw.signal(15)
        reply = client.head()
        reply.body = client.body(reply)
        assert reply.json() == [{"pg_sleep": "", "a": 1}]
    assert gw.wait() == 0
