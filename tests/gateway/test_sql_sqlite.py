"""The sql tier on SQLite files, and what all sql tiers have in common."""
import json
import os
import sqlite3
import subprocess
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY
from kit.upstream import dead_port
from kit.waiting import eventually

ONCE = {"max": 0}
ELSE = {"static": {"status": 503, "json": {"else": True}}}
ENDLESS = ("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")


def make(path, count=3, writing=False):
    connection = sqlite3.connect(path, isolation_level=None)
    if writing:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, sold BOOLEAN, more JSON)")
    connection.executemany("INSERT INTO item VALUES (?, ?, ?, ?)",
                           [(i, f"item {i}", i % 2, json.dumps({"n": i}))
                            for i in range(1, count + 1)])
    connection.execute("CREATE VIRTUAL TABLE faq USING fts5(question, answer)")
    connection.execute("INSERT INTO faq VALUES ('where is my order', 'on its way')")
    return connection


@pytest.fixture
def shop(tmp_path):
    make(tmp_path / "shop.db").close()
    return tmp_path / "shop.db"


@pytest.fixture
def dead():
    kept, port = dead_port()
    yield f"http://127.0.0.1:{port}"
    kept.close()


@pytest.fixture
def ask(gateway, dead):
    """ask(tier, …) starts a gateway whose service is down, and its breaker opens."""
    def start(*tiers, **more):
        return gateway([dead], retry=ONCE, breaker={"consecutive": 1, "open": "1h"},
                       fallback=[*tiers, ELSE],
                       routes=[{"path": "/{a}", "service": "web"},
                               {"path": "/{a}/{b}", "service": "web"},
                               {"prefix": "/", "service": "web"}], **more)
    return start


def sql(path, query, **more):
    return {"sql": {"database": f"sqlite:{path}", "query": query, "public": True, **more}}


# ---- answers -------------------------------------------------------------------------------


def test_rows_while_the_breaker_is_open(shop, ask):
    gw = ask(sql(shop, "SELECT * FROM item WHERE id <= :n ORDER BY id", params={"n": "path.a"}))
    for _ in range(3):
        reply = gw.get("/2")
        assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
        assert reply.json() == [{"id": 1, "name": "item 1", "sold": True, "more": {"n": 1}},
                                {"id": 2, "name": "item 2", "sold": False, "more": {"n": 2}}]
    source, story = reply.story
    assert source == "sql" and story["reason"] == "open" and story["attempts"] == "0"


def test_a_value_under_a_key(shop, ask):
    gw = ask(sql(shop, "SELECT count(*) FROM item", wrap='how "many"', **{"as": "value"}))
    assert gw.get().json() == {'how "many"': 3}


def test_head_has_the_length_only(shop, ask):
    gw = ask(sql(shop, "SELECT 1 AS a"))
    with gw.connect() as client:
        reply = client.get(method="HEAD")
        assert reply.headers["Content-Length"] == str(len('[{"a":1}]'))
        assert client.get().json() == [{"a": 1}]


def test_where_values_come_from(shop, ask):
    gw = ask(sql(shop, "SELECT :path AS p, :query AS q, :header AS h, :body AS b, :method AS m, "
                       ":again AS again, :path AS twice, typeof(:body) AS t",
                 params={"path": "path.b", "query": "query.q", "header": "header.X-Who",
                         "body": "body.a.1", "method": "method",
                         "again": {"from": "query.q", "type": "text"}}, **{"as": "row"}))
    reply = gw.post("/x/a%2Fb%20c?q=1%202&q=3", b'{"a": [0, 4.5]}', "X-Who: me")
    assert reply.json() == {"p": "a/b c", "q": "1 2", "h": "me", "b": 4.5, "m": "POST",
                            "again": "1 2", "twice": "a/b c", "t": "real"}


@pytest.mark.parametrize("given, type, value", [
    ("5", "integer", 5), ("-5", "integer", -5), ("5x", "integer", None), ("", "integer", None),
    ("99999999999999999999", "integer", None), ("5.0", "integer", None), ("0x10", "integer", None),
    ("1.5e3", "real", 1500), ("nan", "real", None), ("inf", "real", None), ("1e999", "real", None),
    ("true", "boolean", 1), ("1", "boolean", None), ("5", "text", "5"), ("5", "any", "5")])
def test_types(shop, ask, given, type, value):
    gw = ask(sql(shop, "SELECT :v", params={"v": {"from": "query.v", "type": type}},
                 **{"as": "value"}))
    reply = gw.get(f"/?v={given}")
    assert reply.json() == ({"else": True} if value is None else value)


def test_missing_values(shop, ask):
    gw = ask(sql(shop, "SELECT :v", params={"v": "query.v"}, **{"as": "value"}))
    assert gw.get("/?w=1").status == 503
    gw = ask(sql(shop, "SELECT :v + 1", params={"v": {"from": "query.v", "default": 41}},
                 **{"as": "value"}))
    assert gw.get("/").json() == 42
    gw = ask(sql(shop, "SELECT :v", params={"v": {"from": "query.v", "default": None}},
                 **{"as": "value"}))
    assert gw.get("/").json() is None


def test_full_text_search(shop, ask):
    gw = ask(sql(shop, "SELECT answer FROM faq WHERE faq MATCH :q", params={"q": "query.q"}))
    assert gw.get("/?q=order").json() == [{"answer": "on its way"}]
    assert gw.get("/?q=%22secret").status == 503  # no query of FTS5
    assert "secret" not in gw.log() and gw.wait_message("query refused")


def test_a_large_body_is_waited_for(shop, ask):
    gw = ask(sql(shop, "SELECT length(:t)", params={"t": "body.t"}, **{"as": "value"}))
    body = json.dumps({"t": "x" * 50000}).encode()
    with gw.connect() as client:
        client.send(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n")
        client.send(body[:20000])
        client.send(body[20000:])
        reply = client.head()
        assert client.body(reply) == b"50000"


# ---- what it must not do ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["x' OR '1'='1", "1; DROP TABLE item", "?1", ":a", "%' --",
                                  "\") UNION SELECT sql FROM sqlite_master --"])
def test_what_a_caller_says_stays_a_value(shop, ask, text):
    gw = ask(sql(shop, "SELECT :q AS said, (SELECT count(*) FROM item WHERE name = :q OR id = :q) "
                       "AS found", params={"q": "body.q"}, **{"as": "row"}))
    assert gw.post("/", json.dumps({"q": text}).encode()).json() == {"said": text, "found": 0}
    with sqlite3.connect(shop) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchall() == [(3,)]


@pytest.mark.parametrize("query", [
    "WITH a AS (SELECT 1) INSERT INTO item(name) SELECT * FROM a RETURNING id",
    "WITH a AS (SELECT 1) DELETE FROM item RETURNING id",
    "SELECT load_extension('x')", "SELECT writefile('/tmp/x', 'y')",
    "SELECT * FROM pragma_journal_mode('delete')", "SELECT * FROM nothing"])
def test_statements_that_are_refused(shop, ask, query):
    gw = ask(sql(shop, query))
    assert gw.get().status == 503
    assert gw.wait_message("query refused")["why"]
    with sqlite3.connect(shop) as connection:
        assert connection.execute("SELECT count(*) FROM item").fetchall() == [(3,)]


def test_writable_when_it_is_said(shop, ask):
    gw = ask({"sql": {"database": "w", "query": "UPDATE item SET name = :n WHERE id = 1 RETURNING "
                                                "name", "params": {"n": "path.a"}, "public": True}},
             databases={"w": {"url": f"sqlite:{shop}", "writable": True}})
    assert gw.get("/new").json() == [{"name": "new"}]
    with sqlite3.connect(shop) as connection:
        assert connection.execute("SELECT name FROM item WHERE id = 1").fetchall() == [("new",)]


# ---- time -----------------------------------------------------------------------------------------


def test_an_endless_query_ends_at_the_deadline(shop, ask):
    gw = ask({**sql(shop, ENDLESS), "time": "100ms", "share": "1%"},
             sql(shop, "SELECT 1 AS a"), timeout={"total": "1s"})
    for _ in range(6):  # more than there are threads
        assert gw.get().json() == [{"a": 1}]


def test_clients_that_leave_free_their_threads(shop, ask):
    gw = ask({**sql(shop, ENDLESS + " WHERE :a <> 'ok'", params={"a": "path.a"}), "time": "1h"},
             admin=ADMIN)
    admin = Admin(gw)
    state = f'sql_connections{{database="sqlite:{shop}",state="busy"}}'
    clients = [gw.connect() for _ in range(8)]
    for client in clients:
        client.send("GET /no HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: f"{state} 4" in admin.get("/metrics").text, "all threads work")
    for client in clients:
        client.close()
    eventually(lambda: f"{state} 0" in admin.get("/metrics").text, "all threads are free")


def test_too_large(shop, ask):
    gw = ask(sql(shop, "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) "
                       "SELECT i FROM n", max="10KiB"))
    assert gw.get().status == 503
    assert "larger" in gw.wait_message("query refused")["why"]


# ---- the file ---------------------------------------------------------------------------------------


def test_a_file_that_comes_goes_and_is_replaced(tmp_path, ask):
    path = tmp_path / "late.db"
    gw = ask({"sql": {"database": "late", "query": "SELECT count(*) FROM item", "as": "value"}},
             databases={"late": {"url": f"sqlite:{path}", "retry": ONCE,
                                 "breaker": {"consecutive": 2, "open": "20ms", "open_max": "20ms"}}})
    for _ in range(4):
        assert gw.get().status == 503
    assert "No such file" in gw.wait_message("database away")["why"]
    make(path, 2).close()
    eventually(lambda: gw.get().status == 200, "it is there")
    assert gw.wait_message("database back")
    make(tmp_path / "next.db", 7).close()
    os.rename(tmp_path / "next.db", path)
    assert gw.get().json() == 7
    (tmp_path / "junk").write_bytes(b"junk" * 1000)
    os.rename(tmp_path / "junk", path)
    assert gw.get().status == 503
    os.unlink(path)
    assert gw.get().status == 503
    make(path, 4).close()
    eventually(lambda: gw.get().status == 200, "it is there again")
    assert gw.get().json() == 4


def test_beside_a_writer(tmp_path, ask):
    """Readers of a write-ahead log see whole transactions, and are not held up."""
    writer = make(tmp_path / "live.db", 1, writing=True)
    gw = ask({**sql(tmp_path / "live.db", "SELECT count(*) FROM item", **{"as": "value"}),
              "time": "15s"})
    seen = [gw.get().json()]
    for i in range(30):
        writer.execute("BEGIN")
        writer.execute("INSERT INTO item(name) VALUES ('a')")
        seen.append(gw.get().json())
        writer.execute("INSERT INTO item(name) VALUES ('b')")
        writer.execute("COMMIT")
        seen.append(gw.get().json())
    assert seen == [1] + [n for i in range(30) for n in (1 + 2 * i, 3 + 2 * i)]
    writer.close()


def test_a_file_that_is_locked(shop, ask):
    gw = ask({**sql(shop, "SELECT count(*) FROM item", **{"as": "value"}), "time": "100ms",
              "share": "1%"}, timeout={"total": "1s"})
    locker = sqlite3.connect(shop, isolation_level=None)
    locker.execute("BEGIN EXCLUSIVE")
    assert gw.get().status == 503
    locker.execute("COMMIT")
    locker.close()
    eventually(lambda: gw.get().status == 200, "the lock is gone")


# ---- together ---------------------------------------------------------------------------------------------


def test_many_at_once(shop, ask):
    gw = ask({**sql(shop, "SELECT name FROM item WHERE id = :id", params={"id": "path.a"},
                    **{"as": "value"}), "time": "15s"}, workers=2)
    wrong = []

    def client(which):
        with gw.connect() as connection:
            for _ in range(40):
                reply = connection.get(f"/{which}")
                if reply.json() != f"item {which}":
                    wrong.append(reply)
    threads = [threading.Thread(target=client, args=(1 + i % 3,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_two_databases_and_their_figures(tmp_path, shop, ask):
    make(tmp_path / "other.db", 9).close()
    count = {"query": "SELECT count(*) FROM item WHERE :a = 'x'", "params": {"a": "path.a"},
             "as": "value", "public": True}
    gw = ask({"sql": {"database": "none", "query": "SELECT 1"}},
             {"sql": {"database": "other", **count}},
             databases={"none": {"url": f"sqlite:{tmp_path}/none.db", "retry": ONCE,
                                 "breaker": {"consecutive": 2, "open": "1h"}},
                        "other": {"url": f"sqlite:{tmp_path}/other.db"}}, admin=ADMIN)
    for _ in range(3):
        assert gw.get("/x").json() == 9
    text = Admin(gw).get("/metrics").text
    for line in ('sql_queries_total{database="none",result="unavailable"} 3',
                 'sql_queries_total{database="other",result="ok"} 3',
                 'sql_query_duration_seconds_count{database="other"} 3',
                 'circuit_breaker_state{service="sql:none"} 1',
                 'circuit_breaker_state{service="sql:other"} 0',
                 'circuit_breaker_rejections_total{service="sql:none",reason="open"} 1',
                 'fallback_answered_total{service="web",tier="2-sql"} 3'):
        assert line in text, line
    change = gw.wait_message("breaker changed", 2)
    assert change["service"] == "sql:none" and change["to"] == "open"


# ---- life ---------------------------------------------------------------------------------------------------


def test_reload(shop, ask):
    gw = ask({"sql": {"database": "shop", "query": "SELECT 1", "as": "value"}},
             databases={"shop": {"url": f"sqlite:{shop}"}})
    config = json.loads(gw.path.read_text())
    assert gw.get().json() == 1
    for size, query in ((4, "SELECT 2"), (2, "SELECT 3")):
        config["databases"]["shop"]["size"] = size
        config["services"]["web"]["fallback"][0]["sql"]["query"] = query
        gw.reload(config)
        assert gw.get().json() == int(query[-1])
    config["services"]["web"]["fallback"][0]["sql"]["query"] = "DROP TABLE item"
    gw.reload(config, ok=False)
    assert gw.get().json() == 3


def test_reload_while_queries_run(shop, ask):
    gw = ask({"sql": {"database": "shop", "query": ENDLESS}, "time": "1h"},
             databases={"shop": {"url": f"sqlite:{shop}", "timeout": {"attempt": "1h"}}})
    clients = [gw.connect() for _ in range(6)]
    for client in clients:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    config = json.loads(gw.path.read_text())
    config["databases"]["shop"]["size"] = 2
    config["services"]["web"]["fallback"][0] = {"sql": {"database": "shop", "query": "SELECT 5",
                                                        "as": "value"}}
    gw.reload(config)
    assert gw.get().json() == 5
    for client in clients:
        client.close()


def test_stopping_while_queries_run(shop, ask):
    gw = ask({**sql(shop, ENDLESS), "time": "1h"}, drain={"delay": "0s", "timeout": "50ms"})
    clients = [gw.connect() for _ in range(6)]
    for client in clients:
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: gw.rss(), "it runs")
    gw.stop()
    for client in clients:
        client.close()


# ---- check ----------------------------------------------------------------------------------------------------


def check(tmp_path, tier, *args, **top):
    config = {"services": {"web": {"endpoints": ["http://127.0.0.1:1"], "fallback": [tier]}}, **top}
    path = tmp_path / "check.yaml"
    path.write_text(json.dumps(config))
    return subprocess.run([BINARY, "check", str(path), *args], capture_output=True, text=True,
                          timeout=60)


def test_check_tries_the_statement(tmp_path, shop):
    good = check(tmp_path, sql(shop, "SELECT name FROM item"))
    assert good.returncode == 0, good.stderr
    bad = check(tmp_path, sql(shop, "SELECT nme FROM item"))
    assert bad.returncode == 2 and "no such column: nme" in bad.stderr
    assert "check.yaml:1:" in bad.stderr
    assert check(tmp_path, sql(tmp_path / "none.db", "SELECT nme FROM item")).returncode == 0


def test_no_password_is_shown(tmp_path):
    tier = {"sql": {"database": "postgresql://me:topsecret@db/x?password=topsecret",
                    "query": "SELECT 1"}}
    top = {"databases": {"y": {"url": "postgresql://me:topsecret@db/y"}}}
    for args in ((), ("--print",), ("--json",)):
        run = check(tmp_path, tier, *args, **top)
        assert run.returncode == 0 and "topsecret" not in run.stdout + run.stderr
    tier["sql"]["database"] = "mysql://me:topsecret@db/x"
    run = check(tmp_path, tier, **top)
    assert run.returncode == 2 and "topsecret" not in run.stdout + run.stderr
