"""`switchgear mock`: every illness, every page, and the control over HTTP."""
import base64
import hashlib
import json
import os
import signal
import struct
import time

import pytest

from kit.http import Closed
from kit.mock import Mock, command
from kit.waiting import eventually

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def mock(cut):
    running = []

    def start(*arguments):
        env = {"SWITCHGEAR_TEST_SHORT_IO": cut} if cut else None
        running.append(Mock(*arguments, env=env))
        return running[-1]

    yield start
    for m in running:
        m.stop()


def took(function):
    start = time.monotonic()
    function()
    return time.monotonic() - start


# ---- the default answer ------------------------------------------------------------------


@pytest.mark.short_io
def test_default_answer_and_keep_alive(mock):
    m = mock("--name", "shop")
    with m.connect() as client:
        for number in (1, 2, 3):
            reply = client.get("/x?y=1")
            assert reply.status == 200
            assert json.loads(reply.body) == {"ok": True, "name": "shop"}
            assert reply.headers["X-Mock-Name"] == "shop"
            assert reply.headers["X-Mock-Request"] == str(number)
            assert reply.headers["Content-Type"] == "application/json"
            assert "Date" in reply.headers
    state = m.state()
    assert state["requests"] == 3 and state["by_path"] == {"GET /x": 3}
    assert state["by_status"] == {"200": 3} and state["in_flight"] == 0
    assert len({r["connection"] for r in m.requests()}) == 1


@pytest.mark.short_io
def test_pipelined_requests_are_answered_in_order(mock):
    m = mock()
    with m.connect() as client:
        client.send(b"".join(b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % n
                             for n in (3, 0, 70000, 5)))
        assert [len(client.answer().body) for _ in range(4)] == [3, 0, 70000, 5]


def test_body_type_and_headers_are_the_users(mock, tmp_path):
    file = tmp_path / "body"
    file.write_bytes(b"from a file\0")
    m = mock("--body", f"@{file}", "--type", "text/x-y", "-H", "X-A: 1", "--header", "X-A: 2")
    reply = m.get()
    assert reply.body == b"from a file\0"
    assert reply.headers["Content-Type"] == "text/x-y"
    assert reply.headers.all("X-A") == ["1", "2"]
    assert len(mock("--body-size", "10KiB").get().body) == 10240
    assert mock("--body", "hi").get().body == b"hi"


@pytest.mark.short_io
def test_chunked(mock):
    m = mock("--chunked", "--body", "hello")
    reply = m.get()
    assert reply.headers["Transfer-Encoding"] == "chunked" and reply.body == b"hello"
    with m.connect() as client:  # HTTP/1.0 knows no chunks
        client.ask("GET", "/", version="HTTP/1.0")
        reply = client.answer()
        assert "Transfer-Encoding" not in reply.headers and reply.body == b"hello"


def test_head_has_no_body(mock):
    m = mock("--body", "hello")
    with m.connect() as client:
        reply = client.get("/", method="HEAD")
        assert reply.headers["Content-Length"] == "5"
        assert client.get("/bytes/1000000", method="HEAD").headers["Content-Length"] == "1000000"
        assert client.get("/").body == b"hello"


def test_http10(mock):
    m = mock("--body", "x")
    with m.connect() as client:
        client.ask("GET", "/", version="HTTP/1.0")
        assert client.answer().headers["Connection"] == "close"
        assert client.ending() == "ended"
    with m.connect() as client:
        for _ in range(2):
            client.ask("GET", "/", version="HTTP/1.0", headers=["Connection: keep-alive"])
            assert client.answer().headers["Connection"] == "keep-alive"


def test_what_is_no_http_is_refused(mock):
    m = mock()
    with m.connect() as client:
        client.send(b"hello there\r\n\r\n")
        assert client.answer().status == 400
        assert client.ending() == "ended"
    assert m.state()["by_end"]["refused"] == 1


def test_listens_on_a_unix_socket(mock, tmp_path):
    path = tmp_path / "mock.sock"
    m = mock("--listen", f"unix:{path}")
    assert m.url == f"unix:{path}"
    assert m.get().status == 200
    m.stop()
    assert not path.exists()


def test_listens_on_ipv6(mock):
    m = mock("--listen", "[::1]:0")
    assert m.url.startswith("http://[::1]:")
    assert m.get().status == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_with_requests_under_way(mock, number):
    m = mock("--hang", "100%")
    with m.connect() as client, m.connect() as stream:
        client.ask()
        stream.ask("GET", "/sse?events=0")
        m.wait("held=2")
        m.stop(number)


# ---- illnesses ---------------------------------------------------------------------------------


def test_errors_have_the_status_and_retry_after(mock):
    m = mock("--errors", "100%", "--status", "503", "--retry-after", "7")
    reply = m.get()
    assert reply.status == 503 and reply.headers["Retry-After"] == "7"
    assert json.loads(reply.body)["status"] == 503


def test_a_status_alone_is_for_all(mock):
    assert mock("--status", "429").get().status == 429
    m = mock()
    m.set(status=404)
    assert m.get().status == 404


def test_the_same_seed_draws_the_same(mock):
    def sequence(m):
        with m.connect() as client:
            return [client.get().status for _ in range(60)]

    first = sequence(mock("--errors", "50%", "--seed", "1"))
    assert set(first) == {200, 500}
    assert sequence(mock("--errors", "50%", "--seed", "1")) == first
    assert sequence(mock("--errors", "50%", "--seed", "2")) != first


def test_latency(mock):
    m = mock("--latency", "300ms")
    assert took(m.get) >= 0.3
    m.set(latency="uniform 200ms 300ms")
    assert took(m.get) >= 0.2
    m.set()
    assert m.state()["behaviour"]["latency"] == "0"


def test_hang_holds_until_released(mock):
    m = mock("--hang", "100%", "--body", "late")
    with m.connect() as client, m.connect() as other:
        client.ask("POST", "/a", body=b"12345")
        other.ask("GET", "/b")
        state = m.wait("held=2")
        assert state["in_flight"] == 2 and state["held"] == 2
        assert client.is_silent()
        m.tell("release")
        assert client.answer().body == other.answer().body == b"late"
        client.ask("GET", "/c")  # and still hangs
        m.wait("held=1")
    m.wait("gone=1")
    requests = m.requests()
    assert [r["end"] for r in requests] == ["answered", "answered", "client_gone"]
    assert [r["fate"] for r in requests] == ["hang"] * 3
    assert requests[0]["body_bytes"] == 5 and m.state()["held"] == 0


def test_a_client_that_gives_up_is_counted(mock):
    m = mock("--latency", "1h")
    for end in ("close", "reset"):
        client = m.connect()
        client.ask()
        m.wait("in_flight=1")
        getattr(client, end)()
        m.wait("idle")
    assert m.state()["by_end"]["client_gone"] == 2


def test_reset(mock):
    m = mock("--reset", "100%")
    with m.connect() as client:
        client.ask("POST", "/", body=b"x" * 100)
        with pytest.raises(Closed) as closed:
            client.answer()
        assert closed.value.how == "reset" and closed.value.rest == b""
    assert m.requests()[0]["end"] == "broken_off"


@pytest.mark.short_io
@pytest.mark.parametrize("chunked", [True, False])
def test_truncate(mock, chunked):
    m = mock("--truncate", "100%", "--body", "0123456789", *["--chunked"] * chunked)
    with m.connect() as client:
        client.ask()
        with pytest.raises(Closed) as closed:
            client.answer()
        assert closed.value.how == "ended"
    with m.connect() as client:
        client.ask()
        head = client.head()
        data, how = client.whole_ending()
        assert how == "ended" and b"01234" in data and b"56789" not in data
        assert ("Content-Length" in head.headers) != chunked


def test_slow_body(mock):
    m = mock("--slow-body", "1000/s", "--body-size", "500")
    assert took(lambda: m.get()) >= 0.4
    m.set(slow_body="0")
    assert m.state()["behaviour"]["slow_body"] == "0"


def test_close_after_is_unannounced(mock):
    m = mock("--close-after", "2")
    with m.connect() as client:
        assert "Connection" not in client.get().headers
        assert "Connection" not in client.get().headers
        assert client.ending() == "ended"


def test_down_refuses_and_resets_and_comes_back(mock):
    m = mock("--hang", "100%")
    with m.connect() as held, m.connect() as idle:
        held.ask()
        idle.get("/__mock/state")
        m.wait("held=1")
        answer = m.set("POST", down_for="300ms")
        assert answer["behaviour"]["hang"] == "100%"
        for client in (held, idle):
            with pytest.raises(Closed) as closed:
                client.fill()
            assert closed.value.how == "reset"
    with pytest.raises(ConnectionRefusedError):
        m.get()

    def back():
        try:
            return m.state()
        except ConnectionRefusedError:
            return None

    state = eventually(back, "up again")
    assert not state["down"] and state["in_flight"] == 0


def test_schedule(mock):
    m = mock("--schedule", "errors 100% 503 1h, ok")
    state = m.state()
    assert state["step"] == "errors 100% 503" and state["now"]["errors"] == "100%"
    assert state["behaviour"]["errors"] == "0%" and state["step_ends_in_ms"] > 3000000
    assert m.get().status == 503
    m.set("POST", schedule="ok 100ms, status 418")
    assert m.get().status in (200, 418)
    eventually(lambda: m.get().status == 418, "the next step")
    m.set()  # exactly this: no schedule any more
    assert "step" not in m.state() and m.get().status == 200


def test_whoever_orders_down_gets_an_answer(mock):
    m = mock()
    with m.connect() as client, m.connect() as idle:
        idle.get()
        client.ask("POST", "/__mock/behaviour", body=b'{"schedule": "down 300ms, ok"}')
        assert json.loads(client.answer().body)["down"] and client.ending() == "ended"
        with pytest.raises(Closed):
            idle.fill()
    eventually(lambda: not _is_down(m), "up again")


def _is_down(m):
    try:
        return m.state()["down"]
    except ConnectionRefusedError:
        return True


def test_schedule_with_down(mock):
    m = mock("--schedule", "down 200ms, ok 200ms")
    seen = set()

    def both():
        try:
            seen.add(m.get().status)
        except (ConnectionRefusedError, ConnectionResetError, Closed):
            seen.add("down")
        return seen == {200, "down"}

    eventually(both, "it flaps")


# ---- the control ---------------------------------------------------------------------------------


def test_put_is_exactly_this_and_post_is_besides(mock):
    m = mock("--errors", "10%", "--close-after", "7")
    m.set("POST", hang="5%", latency="normal 20ms 5ms")
    b = m.state()["behaviour"]
    assert (b["errors"], b["hang"], b["latency"]) == ("10%", "5%", "normal 20ms 5ms")
    m.set("PUT", truncate="1.5%")
    b = m.state()["behaviour"]
    assert (b["errors"], b["hang"], b["latency"]) == ("0%", "0%", "0")
    assert b["truncate"] == "1.5%" and b["close_after"] == 7
    m.tell("reset")
    assert m.state()["behaviour"]["errors"] == "10%"


@pytest.mark.parametrize("value, shown", [(True, "100%"), (False, "0%"), (30, "30%"), ("7%", "7%"),
                                          (0, "0%"), (100, "100%")])
def test_shares_in_json(mock, value, shown):
    m = mock()
    m.set(errors=value)
    assert m.state()["behaviour"]["errors"] == shown


@pytest.mark.parametrize("wrong", [
    {"errors": 0.5}, {"errors": 101}, {"errors": "half"}, {"brekaer": 1}, {"latency": "soon"},
    {"status": 1000}, {"down_for": "0"}, {"down_for": "25h"}, {"headers": {"Content-Length": "5"}},
    {"headers": {"X": "a\r\nb"}}, {"headers": [1]}, {"schedule": "sleep 5s"}, {"hang": [1]},
    {"body_size": "1GiB"}, {"seed": -1}])
def test_what_is_wrong_changes_nothing(mock, wrong):
    m = mock("--hang", "3%", "--body", "kept")
    key = next(iter(wrong))
    problem = m.set("PUT", 400, **{"truncate": "9%", "body": "lost", **wrong})
    assert problem["status"] == 400 and problem["detail"].startswith(key)
    state = m.state()["behaviour"]
    assert state["hang"] == "3%" and state["truncate"] == "0%"
    m.set()
    assert m.get().body == b"kept"


def test_what_is_no_json_is_refused(mock):
    m = mock()
    for body in (b"{", b"[1]", b"\xff", b"errors", b'{"errors": "1%", "errors": "2%"}'):
        assert m.post("/__mock/behaviour", body).status == 400, body
    assert m.post("/__mock/behaviour", b"").status == 200


def test_body_and_headers_can_be_set(mock):
    m = mock("--body", "one", "-H", "X-A: 1")
    m.set("POST", body="two", headers={"X-B": "2", "Content-Type": "text/x-z"})
    reply = m.get()
    assert reply.body == b"two" and reply.headers["X-B"] == "2" and "X-A" not in reply.headers
    assert reply.headers["Content-Type"] == "text/x-z"
    m.tell("reset")
    reply = m.get()
    assert reply.body == b"one" and reply.headers["X-A"] == "1"


def test_control_is_never_ill(mock):
    m = mock("--errors", "100%", "--latency", "1h", "--hang", "50%", "--reset", "50%")
    for _ in range(5):
        assert m.state()["requests"] == 0
    assert m.requests() == []


def test_requests_tell_what_reached_it(mock):
    m = mock()
    m.post("/orders?x=1", b"hello", "Idempotency-Key: k1", "X-A: 1", "x-a: 2")
    m.get("/other")
    first, second = m.requests()
    assert first["method"] == "POST" and first["target"] == "/orders?x=1"
    assert first["headers"]["idempotency-key"] == "k1" and first["headers"]["x-a"] == "1, 2"
    assert ["x-a", "2"] in first["raw_headers"]
    assert first["body_bytes"] == 5 and first["body_complete"] and first["status"] == 200
    assert [r["target"] for r in m.requests(f"?since={first['number']}")] == ["/other"]
    assert [r["target"] for r in m.requests("?limit=1")] == ["/other"]
    assert [r["number"] for r in m.requests("?path=/orders")] == [first["number"]]
    with m.connect() as client:
        client.ask("DELETE", "/__mock/requests")
        client.answer()
    assert m.requests() == []
    m.get("/third")
    assert m.requests()[0]["number"] == second["number"] + 1


def test_only_the_last_thousand_are_kept(mock):
    m = mock()
    with m.connect() as client:
        for _ in range(51):
            client.send(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
            for _ in range(20):
                client.answer()
    requests = m.requests()
    assert len(requests) == 1000
    assert [r["number"] for r in requests] == list(range(21, 1021))


def test_many_paths_are_counted_together(mock):
    m = mock()
    with m.connect() as client:
        for number in range(300):
            client.get(f"/path/{number}/" + "x" * number)
    paths = m.state()["by_path"]
    assert len(paths) == 257 and sum(paths.values()) == 300 and paths["other"] == 44


def test_a_broken_upload_is_not_complete(mock):
    m = mock()
    with m.connect() as client:
        client.send(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        m.wait("in_flight=1")
        eventually(lambda: m.state()["body_bytes"] == 5, "five bytes have come")
    m.wait("gone=1")
    request, = m.requests()
    assert not request["body_complete"] and request["body_bytes"] == 5
    assert request["end"] == "client_gone" and "status" not in request


def test_wait_times_out(mock):
    m = mock()
    reply = m.get("/__mock/wait?requests=1&timeout=50ms")
    assert reply.status == 504
    assert m.get("/__mock/wait?requests=x").status == 400
    assert m.get("/__mock/wait?idle").status == 200


def test_unknown_control_paths(mock):
    m = mock()
    assert m.get("/__mock/nothing").status == 404
    assert m.post("/__mock/state").status == 404
    assert b"/__mock/behaviour" in m.get("/__mock/").body


# ---- pages -----------------------------------------------------------------------------------------


@pytest.mark.short_io
def test_echo(mock):
    m = mock()
    with m.connect() as client:
        client.ask("PATCH", "/echo?a=b", body=b"h\xc3\xa9llo", headers=["X-A: 1"], chunked=True)
        told = json.loads(client.answer().body)
    assert told["method"] == "PATCH" and told["target"] == "/echo?a=b"
    assert told["headers"]["x-a"] == "1" and told["body"] == "h\u00e9llo"
    assert told["body_bytes"] == 6
    assert told["sha256"] == hashlib.sha256(b"h\xc3\xa9llo").hexdigest()


@pytest.mark.short_io
@pytest.mark.parametrize("chunked", [True, False])
def test_upload_is_hashed(mock, chunked):
    m = mock()
    body = os.urandom(100000)
    with m.connect() as client:
        client.ask("PUT", "/upload", body=body, chunked=chunked)
        told = json.loads(client.answer().body)
    assert told == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def test_expect_continue(mock):
    m = mock()
    with m.connect() as client:
        client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                    b"Expect: 100-continue\r\n\r\n")
        assert client.head().status == 100
        client.send(b"ok")
        assert json.loads(client.answer().body)["body"] == "ok"


def test_status(mock):
    m = mock()
    assert m.get("/status/418").status == 418
    assert m.get("/status/302?location=%2Fother%20place").headers["Location"] == "/other place"
    assert m.get("/status/204").body == b""
    assert m.get("/status/99").status == m.get("/status/x").status == 400
    assert "Location" not in m.get("/status/302?location=a%0d%0ab").headers


def test_bytes(mock):
    m = mock()
    assert m.get("/bytes/0").body == b""
    body = m.get("/bytes/200000").body
    assert body == (ALPHABET * 8000)[:200000]
    assert m.get("/bytes/1MiB?chunked").body == (ALPHABET * 41000)[:1 << 20]
    assert m.get("/bytes/9GiB").status == m.get("/bytes/").status == 400
    assert m.get("/bytes/10?rate=fast").status == 400
    with m.connect() as client:
        client.ask("GET", "/bytes/1000?cut=100")
        assert client.head().headers["Content-Length"] == "1000"
        assert client.whole_ending() == ((ALPHABET * 4)[:100], "ended")
    with m.connect() as client:
        client.ask("GET", "/bytes/1000?cut=100&reset")
        client.head()
        assert client.whole_ending()[1] == "reset"


def test_a_large_body_takes_no_memory(mock):
    m = mock()
    size = 1 << 30
    with m.connect() as client:
        client.ask("GET", f"/bytes/{size}")
        assert client.head().headers["Content-Length"] == str(size)
        client.exactly(1 << 20)
        eventually(lambda: m.state()["in_flight"] == 1, "it waits for us")
        with open(f"/proc/{m.process.pid}/status") as f:
            rss = int(next(line for line in f if line.startswith("VmRSS")).split()[1])
    assert rss < 200000


def test_delay(mock):
    m = mock("--body", "x")
    assert took(lambda: m.get("/delay/250ms")) >= 0.25
    assert m.get("/delay/1ms").body == b"x"
    assert m.get("/delay/soon").status == 400


@pytest.mark.short_io
def test_events_come_one_by_one(mock):
    m = mock()
    with m.connect() as client:
        client.ask("GET", "/sse?events=3&interval=100ms")
        head = client.head()
        assert head.headers["Content-Type"] == "text/event-stream"
        for number in (1, 2, 3):
            event = client.chunk()
            assert event == (b'id: %d\nevent: tick\ndata: {"event":%d}\n\n' % (number, number))
        assert client.chunk() == b"" and client.trailers().pairs == []
        assert client.get("/x").status == 200
    assert m.get("/sse?events=x").status == 400


def test_cache_page_revalidates(mock):
    m = mock()
    reply = m.get("/cache?max-age=5&body=hi&vary=Accept")
    assert reply.headers["Cache-Control"] == "max-age=5" and reply.body == b"hi"
    assert reply.headers["Vary"] == "Accept"
    etag, modified = reply.headers["ETag"], reply.headers["Last-Modified"]
    assert m.get("/cache?body=hi", f"If-None-Match: {etag}").status == 304
    assert m.get("/cache?body=ho", f"If-None-Match: {etag}").status == 200
    assert m.get("/cache?body=hi", f"If-Modified-Since: {modified}").status == 304
    assert m.get("/cache?control=no-store,%20private").headers["Cache-Control"] == \
        "no-store, private"


def test_counter(mock):
    m = mock()
    assert [json.loads(m.get("/counter").body)["counter"] for _ in range(3)] == [1, 2, 3]


def test_interim(mock):
    m = mock()
    with m.connect() as client:
        client.ask("GET", "/interim?status=103&count=2")
        assert [client.head().status for _ in range(2)] == [103, 103]
        assert client.answer().status == 200
    assert m.get("/interim?status=101").status == 400


def test_trailers(mock):
    m = mock("--body", "x")
    reply = m.get("/trailers")
    assert reply.body == b"x" and reply.trailers["X-Checksum"] == "abc123"
    assert reply.headers["Trailer"] == "X-Checksum"


def test_fields(mock):
    m = mock()
    reply = m.get("/fields/50?size=100")
    assert sum(name.startswith("X-Field-") for name, _ in reply.headers.pairs) == 50
    assert reply.headers["X-Field-50"] == "x" * 100
    assert m.get("/fields/1000?size=64KiB").status == 400


def test_early_answers_before_the_body(mock):
    m = mock()
    with m.connect() as client:
        client.send(b"POST /early/413 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        reply = client.answer()
        assert reply.status == 413 and reply.headers["Connection"] == "close"
        assert client.ending() == "ended"


def test_endings(mock):
    m = mock()
    for path, how, rest in [("/reset", "reset", b""), ("/close", "ended", b""),
                            ("/garbled", "ended", b"this is no HTTP\r\n\r\n")]:
        with m.connect() as client:
            client.ask("GET", path)
            assert client.whole_ending() == (rest, how), path
    with m.connect() as client:
        client.ask("GET", "/hang")
        m.wait("held=1")
        m.tell("release")
        assert client.answer().status == 200


# ---- WebSocket -----------------------------------------------------------------------------------------


def upgrade(client, key="dGhlIHNhbXBsZSBub25jZQ==", version="13"):
    client.ask("GET", "/ws", headers=["Upgrade: websocket", "Connection: Upgrade",
                                      f"Sec-WebSocket-Key: {key}",
                                      f"Sec-WebSocket-Version: {version}"])
    return client.answer()


def frame(opcode, data, fin=True, mask=b"\x01\x02\x03\x04"):
    length = len(data)
    size = (bytes([0x80 | length]) if length < 126 else
            b"\xfe" + struct.pack(">H", length) if length < 65536 else
            b"\xff" + struct.pack(">Q", length))
    return (bytes([(0x80 if fin else 0) | opcode]) + size + mask +
            bytes(c ^ mask[i % 4] for i, c in enumerate(data)))


def read_frame(client):
    first, length = client.exactly(2)
    if length == 126:
        length, = struct.unpack(">H", client.exactly(2))
    elif length == 127:
        length, = struct.unpack(">Q", client.exactly(8))
    return first >> 7, first & 15, client.exactly(length)


@pytest.mark.short_io
def test_websocket_echoes(mock):
    m = mock()
    with m.connect() as client:
        reply = upgrade(client)
        assert reply.status == 101  # the accept key is the example of RFC 6455
        assert reply.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        for size in (0, 5, 125, 126, 65535, 65536):
            data = os.urandom(size)
            client.send(frame(2, data))
            assert read_frame(client) == (1, 2, data)
        client.send(frame(1, b"he", fin=False) + frame(9, b"ping") + frame(0, b"y") +
                    frame(10, b"unasked"))
        assert read_frame(client) == (0, 1, b"he")
        assert read_frame(client) == (1, 10, b"ping")
        assert read_frame(client) == (1, 0, b"y")
        client.send(frame(8, struct.pack(">H", 1000)))
        assert read_frame(client) == (1, 8, struct.pack(">H", 1000))
        assert client.ending() == "ended"


@pytest.mark.parametrize("wrong", [
    b"\x81\x05hello",                      # no mask
    b"\xc1\x80\0\0\0\0",                   # a reserved bit
    b"\x83\x80\0\0\0\0",                   # an unknown opcode
    b"\x09\x80\0\0\0\0",                   # a control frame in pieces
    b"\x89\xfe\x00\x7e\0\0\0\0",           # a long control frame
    b"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0"  # a length beyond 2^63
])
def test_websocket_refuses_what_is_not_allowed(mock, wrong):
    m = mock()
    with m.connect() as client:
        assert upgrade(client).status == 101
        client.send(wrong)
        assert read_frame(client) == (1, 8, struct.pack(">H", 1002))
        assert client.ending() == "ended"


def test_websocket_needs_a_handshake(mock):
    m = mock()
    with m.connect() as client:
        assert client.get("/ws").status == 426
        assert upgrade(client, version="12").headers["Sec-WebSocket-Version"] == "13"
        assert upgrade(client, key="short").status == 400
        assert upgrade(client, key=base64.b64encode(b"0" * 16).decode()).status == 101


# ---- a language model ----------------------------------------------------------------------


def chat(m, **wish):
    body = json.dumps({"model": "m", "messages": [{"content": "two words"}], **wish}).encode()
    return m.post("/v1/chat/completions", body)


def said(reply):
    """What the events of a stream say: (text, other events)."""
    text, others = "", []
    for line in reply.body.decode().split("\n\n")[:-1]:
        data = line.removeprefix("data: ")
        choices = [] if data == "[DONE]" else json.loads(data).get("choices")
        content = choices[0]["delta"].get("content") if choices else None
        text += content or ""
        others += [] if content is not None else [data]
    return text, others


@pytest.mark.short_io
def test_a_model_streams(mock):
    m = mock("--reply", "one two three", "--tokens", "5", "--first-token", "5ms")
    reply = chat(m, stream=True, stream_options={"include_usage": True})
    text, (finish, usage, done) = said(reply)
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert text == "one two three one two" and done == "[DONE]"
    assert json.loads(finish)["choices"][0]["finish_reason"] == "stop"
    assert json.loads(usage)["usage"] == {"prompt_tokens": 2, "completion_tokens": 5,
                                          "total_tokens": 7}


def test_a_model_answers_whole(mock):
    m = mock("--reply", "one two three", "--first-token", "20ms", "--token-interval", "10ms")
    whole = []
    assert took(lambda: whole.append(chat(m).json())) >= 0.04
    assert whole[0]["choices"][0]["message"]["content"] == "one two three"
    assert m.post("/v1/chat/completions", b"no json").json()["error"]["type"] == \
        "invalid_request_error"


def test_a_model_falls_ill(mock):
    m = mock("--reply", "one two three")
    m.set(error_after="2")
    text, (error,) = said(chat(m, stream=True))
    assert text == "one two" and json.loads(error)["error"]["code"] == "overloaded"
    m.set(break_after="1")
    with pytest.raises(Closed) as broken:
        chat(m, stream=True)
    assert broken.value.how == "reset"
    m.set(silence_after="0")
    with m.connect() as client:
        client.ask("POST", "/v1/chat/completions", body=b'{"stream": true}')
        client.head()
        assert b'"role":"assistant"' in client.chunk() and client.is_silent()
    m.set()
    assert said(chat(m, stream=True))[0] == "one two three"


def test_a_model_speaks_as_ollama_does(mock):
    m = mock("--name", "tiny", "--reply", "one two three")

    def ask(path, status=200, **body):
        answer = m.post(path, json.dumps(body).encode())
        assert answer.status == status, answer
        return [json.loads(line) for line in answer.body.splitlines()]

    *lines, last = ask("/api/generate", prompt="say it")
    assert [line["response"] for line in lines] == ["one", " two", " three"]
    assert not any(line["done"] for line in lines) and {x["model"] for x in lines} == {"tiny"}
    assert (last["done"], last["eval_count"], last["prompt_eval_count"]) == (True, 3, 2)
    whole, = ask("/api/chat", model="m", stream=False, messages=[{"role": "user", "content": "a"}])
    assert whole["message"] == {"role": "assistant", "content": "one two three"}
    assert whole["model"] == "m" and whole["done"]
    m.set(error_after=2)
    assert ask("/api/generate", prompt="")[2:] == [{"error": "the model is overloaded"}]
    m.set(break_after=1)
    with m.connect() as client, pytest.raises(Closed) as closed:
        client.post("/api/generate", b'{"prompt": ""}')
    assert closed.value.how == "reset"
    assert m.get("/api/generate").status == 405 and ask("/api/tags")[0]["models"]
    assert m.post("/api/chat", b"[]").status == 400


def test_who_waits_for_a_held_request_is_told(mock):
    m = mock("--hang", "100%")
    with m.connect() as waiter, m.connect() as client:
        waiter.ask("GET", "/__mock/wait?held=1&timeout=1h")
        m.state()  # it is waiting by now
        client.ask("GET", "/x")
        assert waiter.answer().status == 200


def test_embeddings_follow_from_the_text(mock):
    reply = mock().post("/v1/embeddings", b'{"input": ["a", "b", "a"]}').json()["data"]
    assert reply[0]["embedding"] == reply[2]["embedding"] != reply[1]["embedding"]


# ---- options ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, message", [
    (["--errors", "150%"], "--errors"), (["--latency", "quick"], "--latency"),
    (["--listen", "nowhere:x"], "--listen"), (["--schedule", "sleep 5s"], "--schedule"),
    (["--header", "no colon"], "--header"), (["--header", "Content-Length: 5"], "--header"),
    (["--body", "@/nonexistent"], "--body"), (["--body-size", "1TB"], "--body-size"),
    (["--latencey", "5ms"], "did you mean --latency"), (["extra"], "unexpected argument"),
    (["--seed", "x"], "--seed"), (["--name", "a\nb"], "--name")])
def test_wrong_usage(arguments, message):
    _, err = command("mock", *arguments, code=2)
    assert message in err


def test_a_taken_port_is_a_failure(mock):
    m = mock()
    _, err = command("mock", "--listen", m.url.removeprefix("http://"), code=1)
    assert "Address already in use" in err
