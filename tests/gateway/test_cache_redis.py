"""The cache in a Redis: shared, and no trouble when it is in trouble."""
import time

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import FAIL, OLD, metric, start, state
from kit.proxy import Proxy
from kit.redis import Redis
from kit.waiting import eventually

DAY = "Cache-Control: max-age=86400"
USES, WITHOUT = "the cache uses its Redis", "the cache goes on without its Redis"


@pytest.fixture
def redis(tmp_path):
    running = []

    def make(*options):
        running.append(Redis(tmp_path, *options))
        return running[-1]

    yield make
    for one in running:
        one.stop()


@pytest.fixture
def sharing(gateway):
    """Starts a gateway on a Redis: with all the time, so that a busy machine is no timeout."""
    def make(up, redis, *, wait=USES, cache=None, keys=None, **rest):
        gw = start(gateway, up, cache={"store": "redis", **(cache or {})}, admin=ADMIN,
                   cache_redis={"url": redis.url, "timeout": "5s", **(keys or {})}, **rest)
        gw.admin = Admin(gw)
        if wait:
            gw.wait_message(wait)
        return gw
    return make


def asked(gw, result):
    return metric(gw.admin, f'cache_store_requests_total{{store="redis",result="{result}"}}')


def written(redis, count=1):
    eventually(lambda: len(redis.keys()) == count, f"{count} are in the Redis")


def test_two_gateways_share_what_one_has_fetched(sharing, redis, origin):
    up, one = origin(DAY, 'ETag: "a"', "X-Own: 1"), redis()
    first, second = sharing(up, one), sharing(up, one)
    assert first.get("/x").body == b"1"
    written(one)
    reply = second.get("/x")
    assert reply.body == b"1" and up.count == 1 and reply.story[0] == "cache"
    assert reply.headers["ETag"] == '"a"' and reply.headers["X-Own"] == "1"
    assert asked(second, "hit") == 1 and asked(first, "miss") == 1
    key, = one.keys()
    assert key.startswith("switchgear:1:") and len(key) == len("switchgear:1:") + 64
    life = int(one.say("PTTL", key)[1:])
    assert 0 < life <= (86400 + 86400) * 1000  # max-age and `stale`


def test_service_and_gateway_go_down_together(sharing, redis, origin):
    up, one = origin("Cache-Control: max-age=60", OLD), redis()
    sharing(up, one, cache={"stale": "1h"}).get("/x")
    written(one)
    up.answer = FAIL
    reply = sharing(up, one, cache={"stale": "1h"}).get("/x")
    assert reply.body == b"1" and reply.story[0] == "stale"
    assert int(reply.headers["Age"]) >= 1000 and "Stale" in reply.headers["Warning"]


def test_what_was_written_to_is_forgotten_there_too(sharing, redis, origin):
    up, one = origin(DAY), redis()
    gw = sharing(up, one)
    gw.get("/x")
    written(one)
    gw.post("/x", b"new")
    written(one, 0)


def test_what_was_written_to_while_it_was_away(sharing, redis, origin):
    """It comes back with what it had; the gateway remembers what it should not have."""
    up, one = origin(DAY), redis()
    gw = sharing(up, one)
    gw.get("/x")
    gw.get("/y")
    written(one, 2)
    one.pause()
    gw.post("/x", b"new")
    gw.wait_message(WITHOUT)
    one.resume()
    gw.wait_message(USES, 2)
    written(one, 1)


def test_password_and_database(sharing, redis, origin):
    up, one = origin(DAY), redis("--requirepass", "secret-word")
    gw = sharing(up, one, keys={"password": "secret-word", "url": one.url + "/3"})
    gw.get("/x")
    assert "secret-word" not in gw.log() + gw.admin.get("/api/v1/config").text

    def there():
        text = b"*2\r\n$4\r\nAUTH\r\n$11\r\nsecret-word\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\nDBSIZE\r\n"
        import socket
        with socket.create_connection(("127.0.0.1", one.port), 10) as sock:
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            reply = b""
            while piece := sock.recv(4096):
                reply += piece
        return reply.endswith(b":1\r\n")
    eventually(there, "it is in database 3")


def test_a_wrong_password_costs_nothing(sharing, redis, origin):
    up, one = origin(DAY), redis("--requirepass", "secret-word")
    gw = sharing(up, one, wait=WITHOUT, keys={"password": "other-word"})
    assert gw.messages(WITHOUT)[0]["cause"] == "refuses user, password or database"
    assert [gw.get("/x").body for _ in range(2)] == [b"1", b"1"]
    assert "-word" not in gw.log()


def test_nobody_there(sharing, redis, origin):
    up, one = origin(DAY), redis()
    one.kill()
    gw = sharing(up, one, wait=WITHOUT)
    for page in range(20):
        assert gw.get(f"/{page}").status == 200
    assert asked(gw, "skipped") == 20 and len(gw.messages(WITHOUT)) == 1
    one.start()
    gw.wait_message(USES)
    gw.get("/again")
    written(one)


def test_one_that_hangs_costs_its_timeout_and_then_nothing(sharing, redis, origin):
    up, one = origin(DAY), redis()
    gw = sharing(up, one, keys={"timeout": "20ms"})
    one.pause()
    for page in range(40):
        assert gw.get(f"/{page}").status == 200
    assert 5 <= asked(gw, "timeout") + asked(gw, "error") <= 8
    assert asked(gw, "skipped") >= 30
    gw.wait_message("a store of the cache does not answer")
    one.resume()

    def works():
        gw.get(f"/new-{time.monotonic_ns()}")
        return asked(gw, "miss") >= 2
    eventually(works, "it is asked again")


def test_killed_and_restarted_under_load(sharing, redis, origin):
    up, one = origin(DAY), redis()
    gw = sharing(up, one)
    for turn in range(3):
        clients = [gw.connect() for _ in range(10)]
        for number, client in enumerate(clients):
            client.ask("GET", f"/{turn}/{number}")
        one.kill()
        assert [client.answer().status for client in clients] == [200] * 10
        for client in clients:
            client.close()
        one.start()

        def used():
            gw.get(f"/{turn}/{time.monotonic_ns()}")
            return one.keys()
        eventually(used, "it is used again")


def test_one_that_is_full_can_still_be_read(sharing, redis, origin):
    up, one = origin(DAY), redis()
    gw = sharing(up, one)
    gw.get("/x")
    written(one)
    one.say("CONFIG", "SET", "maxmemory", "1")
    gw.get("/y")
    eventually(lambda: metric(gw.admin, 'cache_store_unsaved_total{store="redis"}') == 1, "refused")
    assert sharing(up, one).get("/x").body == b"1"


def test_cut_at_every_byte(sharing, redis, origin):
    """The connection breaks after so many bytes of the Redis's answers: in the greeting, in
    the middle of a record, between two. Clients see none of it."""
    up, one = origin(DAY, body=b"good" * 10), redis()
    sharing(up, one).get("/0")
    written(one)
    proxy = Proxy(one.port)
    proxy.url = f"redis://127.0.0.1:{proxy.port}"
    try:
        proxy.budget = 3  # in the middle of the greeting
        gw = sharing(up, proxy, wait=WITHOUT)
        assert gw.get("/0").body == b"good" * 10
        for budget in range(8, 420, 11):
            before = len(gw.messages(USES))
            proxy.budget = budget
            proxy.cut()
            gw.wait_message(USES, before + 1)
            assert gw.get("/0").body == b"good" * 10
            assert gw.get(f"/{budget}").body == b"good" * 10
            assert gw.post("/0", b"new").status == 200
        proxy.budget = None

        def used():
            before = len(one.keys())
            gw.get(f"/whole-{time.monotonic_ns()}")
            return len(one.keys()) > before
        eventually(used, "it is used when it is whole")
    finally:
        proxy.close()


def test_the_deadline_goes_before_the_store(sharing, redis, origin):
    up, one = origin(DAY), redis()
    gw = sharing(up, one, timeout={"total": "150ms"}, keys={"timeout": "10s"}, fallback=())
    one.pause()
    reply = gw.get("/x")
    assert reply.status == 504, reply
    one.resume()
    eventually(lambda: gw.get("/x").status == 200, "it goes on")


@pytest.mark.parametrize("end", ["client", "gateway"])
def test_who_asks_goes_away_meanwhile(sharing, redis, origin, end):
    up, one = origin(DAY), redis()
    gw = sharing(up, one, drain={"delay": "0s", "timeout": "100ms"})
    one.pause()
    clients = [gw.connect() for _ in range(5)]
    for number, client in enumerate(clients):
        client.ask("GET", f"/{number % 3}")
    eventually(lambda: metric(gw.admin, "gateway_requests_in_flight") == 5, "they have asked")
    if end == "client":
        for client in clients:
            client.close()
        eventually(lambda: metric(gw.admin, "gateway_requests_in_flight") == 0, "they are gone")
        one.resume()
        eventually(lambda: gw.get("/x").status == 200, "it goes on")
    else:
        gw.stop()
        for client in clients:
            client.close()


@pytest.mark.threads
def test_several_workers(sharing, redis, origin):
    up, one = origin(DAY), redis()
    gw = sharing(up, one, workers=2)
    for turn in range(3):
        for page in range(20):
            assert gw.get(f"/{page}").status == 200
        gw.post("/3", b"new")
        if turn == 1:
            one.kill()
            one.start()
    assert len(gw.messages(USES)) <= 1 + len(gw.messages(WITHOUT))


def garbage(record):
    flipped = bytearray(record)
    flipped[len(flipped) // 2] ^= 1
    return {"none": b"", "text": b"hello", "cut": record[:-1], "longer": record + b"x",
            "flipped": bytes(flipped), "twice": record + record, "large": b"x" * 3_000_000,
            "zeros": bytes(len(record))}


@pytest.mark.parametrize("kind", list(garbage(b"12")))
def test_garbage_is_never_served(sharing, redis, origin, kind):
    up, one = origin(DAY, body=b"good" * 50), redis()
    sharing(up, one).get("/x")
    written(one)
    key, = one.keys()
    reply = one.say("GET", key)
    record = reply[reply.index(b"\r\n") + 2:-2]
    one.say("SET", key, garbage(record)[kind])
    gw = sharing(up, one)
    assert gw.get("/x").body == b"good" * 50 and up.count == 2
    eventually(lambda: one.say("GET", key)[-2 - len(record):-2] == record or
               one.say("EXISTS", key) == b":1\r\n", "it was stored anew")


def test_another_key_is_another_answer(sharing, redis, origin):
    """A record under a name that is not its own."""
    up, one = origin(DAY), redis()
    gw = sharing(up, one)
    gw.get("/x")
    written(one)
    x, = one.keys()
    gw.get("/y")
    written(one, 2)
    y, = set(one.keys()) - {x}
    one.say("COPY", x, y, "REPLACE")
    assert sharing(up, one).get("/y").body == b"3"


def test_a_list_where_a_string_should_be(sharing, redis, origin):
    up, one = origin(DAY), redis()
    sharing(up, one).get("/x")
    written(one)
    key, = one.keys()
    one.say("DEL", key)
    one.say("RPUSH", key, "a")
    gw = sharing(up, one)
    assert gw.get("/x").body == b"2" and asked(gw, "error") == 1


def forge(lines, status=200, body=b"forged", etag=b""):
    """A record with a good checksum, as only who may write to the Redis can make it."""
    import hashlib
    import struct

    def make(key):
        head = b"SWGr" + bytes([1, 1]) + struct.pack("<H", status) + key + struct.pack("<Qqq", 0, 0, int(time.time() * 1000))
        head += struct.pack("<5Q", 0, 10 ** 9, 0, 0, 0) + struct.pack("<4Q", 0, len(etag), len(lines), len(body)) + bytes(16)
        head += hashlib.sha256(head).digest()[:8]
        whole = head + etag + lines + body
        return whole + hashlib.sha256(whole).digest()[:16]
    return make


@pytest.mark.parametrize("make,taken", [
    (forge(b"X-Own: 1\r\n"), True),
    (forge(b"X-Own: 1\r\nContent-Length: 3\r\n"), False),
    (forge(b"Transfer-Encoding: chunked\r\n"), False),
    (forge(b"Set-Cookie: a=b\r\n"), False),
    (forge(b"X-Own: 1\r\n\r\nHTTP/1.1 200 OK\r\n"), False),
    (forge(b"X-Own: 1"), False),
    (forge(b"no field\r\n"), False),
    (forge(b"X-Own: 1\r\n", status=100), False),
    (forge(b"X-Own: 1\r\n", status=304), False),
    (forge(b"X-Own: 1\r\n", status=999), False),
    (forge(b"X-Own: 1\r\n", etag=b'"a"\r\nX: y'), False),
])
def test_what_no_gateway_stores_is_not_served(sharing, redis, origin, make, taken):
    up, one = origin(DAY), redis()
    sharing(up, one).get("/x")
    written(one)
    key, = one.keys()
    one.say("SET", key, make(bytes.fromhex(key.rsplit(":", 1)[1])))
    reply = sharing(up, one).get("/x")
    assert reply.status == 200 and reply.body == (b"forged" if taken else b"2")
    assert ("X-Own" in reply.headers) == taken


def test_an_answer_from_the_future(sharing, redis, origin):
    """The other gateway's clock is a day ahead: fresh, of no age, and not for long."""
    up, one = origin(DAY), redis()
    sharing(up, one).get("/x")
    written(one)
    key, = one.keys()
    import hashlib
    import struct
    record = bytearray(forge(b"X-Own: 1\r\n")(bytes.fromhex(key.rsplit(":", 1)[1])))
    record[56:64] = struct.pack("<q", int((time.time() + 86400) * 1000))
    record[152:160] = hashlib.sha256(record[:152]).digest()[:8]
    record[-16:] = hashlib.sha256(record[:-16]).digest()[:16]
    one.say("SET", key, bytes(record))
    reply = sharing(up, one).get("/x")
    assert reply.body == b"forged" and int(reply.headers["Age"]) == 0
    ttl = int(state(reply).split("ttl=")[1].split(";")[0])
    assert 0 < ttl <= 60


def test_a_long_answer_stays_in_memory_only(sharing, redis, origin):
    up, one = origin(DAY, body=b"x" * 2_000_000), redis()
    gw = sharing(up, one)
    assert len(gw.get("/x").body) == 2_000_000
    assert gw.get("/x").story[0] == "cache" and one.keys() == []
