"""Streams of language models: nothing is shown before the first token, and whatever
breaks later ends as a stream ends. The upstream is played byte by byte."""
import json

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer

ASK = json.dumps({"model": "large", "stream": True, "messages": []}).encode()
ASK_WHOLE = json.dumps({"model": "large", "messages": []}).encode()
CANNED = {"static": {"status": 200, "json": {"canned": True}}}
ANY = {"max": 0, "methods": "any"}
LONG = {"attempt": "1h", "total": "1h", "idle": "1h"}
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHAT = "/v1/chat/completions"


def event(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: %s\n\n" % json.dumps({"choices": [choice]}).encode()


ROLE = event({"role": "assistant", "content": ""})
HELLO = event({"content": "Hello"})
WORLD = event({"content": " world"})
FINISH = event({}, "stop")
DONE = b"data: [DONE]\n\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def begin(gw, up, *pieces, body=ASK, head=STREAM, headers=()):
    """Asks, and the upstream begins to answer: (client, link)."""
    client = gw.connect()
    client.ask("POST", CHAT, body=body, headers=["Content-Type: application/json", *headers])
    link = up.accept()
    link.request()
    link.send(head)
    for piece in pieces:
        link.send(chunk(piece) if "chunked" in head else piece)
    return client, link


def rest(client):
    """The rest of the chunked body, to its proper end."""
    pieces = []
    while piece := client.chunk():
        pieces.append(piece)
    client.trailers()
    return b"".join(pieces)


def errors(body):
    """The error events of a stream, each of which is well-formed."""
    found = []
    for text in body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith(":"))
        data = lines.get("data", "")
        if data and data != "[DONE]" and "error" in json.loads(data):
            found.append(json.loads(data)["error"])
    return found


def is_answered(gw, up, client, link):
    """The same connection of the client carries another request."""
    client.ask("GET", "/next")
    new = up.accept()
    new.request()
    new.reply(b"fine")
    assert client.answer().body == b"fine"


# ---- as it should be -------------------------------------------------------------------


@pytest.mark.short_io
@pytest.mark.parametrize("framing", ["chunked", "until close", "length"])
def test_each_token_goes_on_at_once(gateway, upstream, framing):
    up = upstream()
    gw = gateway([up], first_token="1h", token_idle="1h", timeout=LONG, fallback=[CANNED])
    events = [ROLE, HELLO, WORLD, FINISH, DONE]
    head = STREAM.replace("Transfer-Encoding: chunked\r\n", {
        "chunked": "Transfer-Encoding: chunked\r\n", "until close": "",
        "length": f"Content-Length: {sum(map(len, events))}\r\n"}[framing])
    client, link = begin(gw, up, ROLE, HELLO, head=head)
    message = client.head()
    assert message.status == 200 and message.headers["Content-Type"] == "text/event-stream"
    assert message.story[0] == "upstream"
    got = client.chunked(len(ROLE + HELLO))
    for piece in events[2:]:
        link.send(chunk(piece) if framing == "chunked" else piece)
        got += client.chunked(len(piece))
    assert got == b"".join(events)
    if framing == "chunked":
        link.send(b"0\r\n\r\n")
    elif framing == "until close":
        link.close()
    assert rest(client) == b""
    client.close()


@pytest.mark.parametrize("quiet", [
    ROLE, b": keep-alive\n\n", b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
    b"data: {\"type\": \"message_start\", \"message\": {\"content\": []}}\n\n", HELLO[:-1]])
def test_what_is_no_content_is_held_back(gateway, upstream, quiet):
    """Proven by what follows: the upstream breaks, and the client never knows."""
    up = upstream()
    gw = gateway([up], first_token="1h", timeout=LONG, retry=ANY, fallback=[CANNED])
    client, link = begin(gw, up, quiet)
    assert client.is_silent()
    link.close()
    reply = client.answer()
    assert reply.json() == {"canned": True} and reply.story[0] == "static"


def test_an_answer_that_is_no_stream_is_not_held(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", fallback=[CANNED])
    client, link = begin(gw, up, head="HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert client.head().status == 200
    link.send(b"whole")
    assert client.exactly(5) == b"whole"


def test_any_event_is_content_in_a_stream_of_another_kind(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", fallback=[CANNED])
    client, _ = begin(gw, up, b"data: {\"tick\": 1}\n\n")
    assert client.head().status == 200 and client.chunk() == b"data: {\"tick\": 1}\n\n"


def test_an_empty_answer_is_an_answer(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", fallback=[CANNED])
    client, link = begin(gw, up, ROLE, FINISH, DONE)
    link.send(b"0\r\n\r\n")
    assert client.answer().body == ROLE + FINISH + DONE


def test_an_event_source_is_not_held(gateway, upstream):
    """Its first event may be hours away: only limits of tokens make it wait."""
    up = upstream()
    gw = gateway([up], fallback=[CANNED])
    with gw.connect() as client:
        client.ask("GET", "/events", headers=["Accept: text/event-stream"])
        link = up.accept()
        link.request()
        link.send(STREAM)
        assert client.head().status == 200


def test_what_never_shows_a_token_is_let_go(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", fallback=[CANNED])
    comments = b": %s\n\n" % (b"x" * 1000) * 80
    client, _ = begin(gw, up, comments)
    assert client.head().status == 200
    assert client.chunked(len(comments)) == comments


# ---- before the first token ---------------------------------------------------------------


def breaks(link):
    link.reset()


def ends(link):
    link.send(b"0\r\n\r\n")


def ends_with_done(link):
    link.send(chunk(DONE) + b"0\r\n\r\n")


def tells_an_error(link):
    link.send(chunk(b"data: {\"error\": {\"message\": \"overloaded\"}}\n\n"))


def tells_a_named_error(link):
    link.send(chunk(b"event: error\r\ndata: {\"type\": \"error\"}\r\n\r\n"))


def is_garbled(link):
    link.send(b"this is no chunk\r\n")


@pytest.mark.short_io
@pytest.mark.parametrize("fail", [breaks, ends, ends_with_done, tells_an_error,
                                  tells_a_named_error, is_garbled])
def test_a_failure_before_the_first_token_moves_on(gateway, upstream, fail):
    up, small = upstream(), upstream()
    gw = gateway([up], first_token="1h", timeout=LONG, retry=ANY, fallback=[{"service": "small"}],
                 services={"small": {"endpoints": [small.url]}})
    client, link = begin(gw, up, ROLE)
    fail(link)
    other = small.accept()
    assert other.request().body == ASK
    other.send(STREAM.encode() + chunk(ROLE + HELLO) + chunk(FINISH + DONE) + b"0\r\n\r\n")
    reply = client.answer()
    assert reply.status == 200 and reply.body == ROLE + HELLO + FINISH + DONE
    assert reply.story[0] == "service"


def test_a_failure_before_the_first_token_is_retried(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", retry={"max": 2, "methods": "any", "on": ["reset"]})
    client, link = begin(gw, up, ROLE)
    link.reset()
    second = up.accept()
    second.request()
    second.send(STREAM.encode() + chunk(HELLO + DONE) + b"0\r\n\r\n")
    reply = client.answer()
    assert reply.body == HELLO + DONE and reply.story[1]["attempts"] == "2"


def test_without_another_way_it_is_an_error_not_a_broken_200(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", retry=ANY)
    client, link = begin(gw, up, ROLE)
    link.reset()
    assert client.answer().status == 502


@pytest.mark.parametrize("head", [True, False])
def test_the_first_token_takes_too_long(gateway, upstream, head):
    up = upstream()
    gw = gateway([up], first_token="80ms", timeout=LONG, retry=ANY, fallback=[CANNED])
    client, _ = begin(gw, up, *[ROLE] * head, head=STREAM if head else "")
    reply = client.answer()
    assert reply.story[0] == "static"


def test_first_token_does_not_rule_whole_answers(gateway, upstream):
    """The time of a whole answer is all of it: only `attempt` ends that."""
    up = upstream()
    gw = gateway([up], first_token="50ms", timeout={"attempt": "400ms"}, retry=ANY)
    client, link = begin(gw, up, head="", body=ASK_WHOLE)
    assert client.is_silent(0.2)
    link.reply(b"whole")
    assert client.answer().body == b"whole"


def test_a_stream_that_was_not_asked_for_is_ruled_from_its_head(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="50ms", timeout=LONG, retry=ANY, fallback=[CANNED])
    client, _ = begin(gw, up, ROLE, body=ASK_WHOLE)
    assert client.answer().story[0] == "static"


def test_failures_before_the_first_token_open_the_breaker(gateway, upstream):
    up = upstream()
    gw = gateway([up], first_token="1h", retry=ANY, fallback=[CANNED],
                 breaker={"consecutive": 2, "open": "1h"})
    for _ in range(2):
        client, link = begin(gw, up, ROLE)
        link.reset()
        assert client.answer().story[1]["breaker"] == "closed"
        client.close()
    reply = gw.post(CHAT, ASK)
    assert reply.story[0] == "static" and reply.story[1]["reason"] == "open"


# ---- after the first token -------------------------------------------------------------------


def resets(link):
    link.reset()


def breaks_in_an_event(link):
    link.send(chunk(b"data: {\"choices\": [{\"del"))
    link.reset()


@pytest.mark.short_io
@pytest.mark.parametrize("fail", [resets, breaks_in_an_event, is_garbled])
def test_a_break_ends_with_an_error_event(gateway, upstream, fail):
    up = upstream()
    gw = gateway([up], admin=ADMIN, first_token="1h", token_idle="1h", timeout=LONG, retry=ANY,
                 fallback=[CANNED], message={"open": "The model is \"away\"."})
    client, link = begin(gw, up, ROLE, HELLO)
    assert client.head().status == 200
    got = client.chunked(len(ROLE + HELLO))
    fail(link)
    tail = rest(client)
    assert got == ROLE + HELLO
    assert errors(tail) == [{"message": "The model is \"away\".", "type": "upstream_error",
                             "code": "stream_broken"}]
    is_answered(gw, up, client, link)
    with Admin(gw) as admin:
        text = admin.get("/metrics").text
        assert 'gateway_proxy_broken_answers_total{service="web"} 1' in text
        assert 'circuit_breaker_failures_total{service="web"} 1' in text, text


@pytest.mark.parametrize("limit", ["token_idle", "idle"])
def test_silence_ends_with_an_error_event(gateway, upstream, limit):
    up = upstream()
    keys = {"token_idle": "80ms", "timeout": LONG} if limit == "token_idle" else \
        {"first_token": "1h", "timeout": {**LONG, "idle": "80ms"}}
    gw = gateway([up], retry=ANY, message={"timeout": "Too slow."}, **keys)
    client, link = begin(gw, up, ROLE, HELLO)
    client.head()
    body = rest(client)
    assert body.startswith(ROLE + HELLO)
    assert errors(body) == [{"message": "Too slow.", "type": "timeout", "code": "stream_idle"}]
    is_answered(gw, up, client, link)


def test_comments_are_silence(gateway, upstream):
    up = upstream()
    gw = gateway([up], token_idle="100ms", timeout=LONG)
    client, link = begin(gw, up, HELLO)
    client.head()
    body = b""
    while not errors(body):
        try:
            link.send(chunk(b": still here\n\n"))
        except OSError:
            pass
        body += client.chunk()
    assert errors(body)[0]["type"] == "timeout"


def test_silence_after_the_finish_is_no_error(gateway, upstream):
    up = upstream()
    gw = gateway([up], token_idle="80ms", timeout=LONG)
    client, _ = begin(gw, up, HELLO, FINISH, DONE)
    client.head()
    assert rest(client) == HELLO + FINISH + DONE


def test_a_close_in_the_middle_of_an_answer_without_length(gateway, upstream):
    """A service that crashes closes its connection: that looks like an end."""
    up = upstream()
    gw = gateway([up], first_token="1h")
    client, link = begin(gw, up, HELLO, head=STREAM.replace("Transfer-Encoding: chunked\r\n", ""))
    link.close()
    body = client.answer().body
    assert body.startswith(HELLO) and errors(body)[0]["type"] == "upstream_error"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
def test_old_clients_get_the_error_event_too(gateway, upstream, version):
    up = upstream()
    gw = gateway([up], first_token="1h")
    with gw.connect() as client:
        client.ask("POST", CHAT, body=ASK, version=version, headers=["Connection: close"])
        link = up.accept()
        link.request()
        link.send(STREAM.encode() + chunk(HELLO))
        message = client.head()
        link.reset()
        body = client.rest() if version == "HTTP/1.0" else client.body(message)
        assert errors(body)[0]["code"] == "stream_broken"


@pytest.mark.parametrize("content,first,last", [
    ("text/event-stream", b"data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"a\"}}\n\n",
     b"event: error\ndata: {\"type\":\"error\",\"error\":{"),
    ("text/event-stream", b"data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n",
     b"event: error\ndata: {\"type\":\"error\",\"code\":\"stream_broken\",\"message\":"),
    ("text/event-stream", b"data: plain\n\n", b"event: error\ndata: {\"error\":{\"message\":"),
    ("application/x-ndjson", b"{\"message\":{\"content\":\"a\"},\"done\":false}\n", b"{\"error\":\""),
    ("application/x-ndjson", b"{\"n\":1}\n", b"{\"error\":{\"message\":"),
])
def test_the_error_is_in_the_words_of_the_stream(gateway, upstream, content, first, last):
    up = upstream()
    gw = gateway([up], first_token="1h")
    client, link = begin(gw, up, first, head=STREAM.replace("text/event-stream", content))
    client.head()
    assert client.chunked(len(first)) == first
    link.reset()
    tail = rest(client)
    assert tail.startswith(last)
    json.loads(tail.decode().split("data: ")[-1])


def test_long_events_pass(gateway, upstream):
    """Longer than what is kept of one: its bytes go as they come, and the error
    event begins with an empty line."""
    up = upstream()
    gw = gateway([up], first_token="1h")
    client, link = begin(gw, up, HELLO, b"data: " + b"x" * 300000)
    client.head()
    got = client.chunked(len(HELLO) + 200000)
    link.reset()
    got += rest(client)
    half, end = got[len(HELLO):].split(b"\n\n", 1)
    assert half.startswith(b"data: xxx")
    assert errors(end)[0]["code"] == "stream_broken"


def test_a_break_of_the_other_service(gateway, upstream):
    """The tier that answers has begun: its words end the stream."""
    up, small = upstream(), upstream()
    gw = gateway([up], first_token="1h", retry=ANY, fallback=[{"service": "small"}, CANNED],
                 services={"small": {"endpoints": [small.url], "message": {"open": "Small is gone."}}})
    client, link = begin(gw, up, ROLE)
    link.reset()
    other = small.accept()
    other.request()
    other.send(STREAM.encode() + chunk(HELLO))
    assert client.head().status == 200
    assert client.chunked(len(HELLO)) == HELLO
    other.reset()
    assert errors(rest(client))[0]["message"] == "Small is gone."
    is_answered(gw, up, client, link)


def test_a_slow_reader_is_not_silence(gateway, upstream):
    """While the client does not read, the model is not read either."""
    up = upstream()
    gw = gateway([up], token_idle="300ms", timeout=LONG)
    with gw.connect(receive_buffer=4096) as client:
        client.ask("POST", CHAT, body=ASK)
        link = up.accept()
        link.request()
        link.send(STREAM)
        long = event({"content": "x" * 1000})
        sent = 0
        link.sock.settimeout(0.5)
        try:
            while True:
                sent += link.sock.send(chunk(long))
        except TimeoutError:
            pass
        client.head()
        got = b""
        while len(got) < 1000000:
            got += client.chunk()
        assert not got.count(b"error") and sent > len(got)


# ---- overload -----------------------------------------------------------------------------------


def test_429_waits_as_long_as_it_is_told(gateway, server):
    answers = [answer(b"busy", "429 Too Many Requests", "Retry-After: 1"), answer(b"fine")]
    up = server(lambda r, l: answers[up.count - 1])
    gw = gateway([up], retry={"max": 1, "methods": "any", "retry_after_max": "5s"},
                 fallback=[CANNED])
    reply = gw.post(CHAT, ASK)
    assert reply.body == b"fine" and float(reply.story[1]["took"]) >= 1000


@pytest.mark.parametrize("status,lines", [
    ("429 Too Many Requests", ["Retry-After: 120"]), ("429 Too Many Requests", []),
    ("529 Overloaded", []), ("529 Overloaded", ["Retry-After: 120"])])
def test_overload_moves_on(gateway, server, status, lines):
    up = server(lambda r, l: answer(b"busy", status, *lines))
    small = server(lambda r, l: answer(b"small"))
    gw = gateway([up], retry={"max": 3, "methods": "any", "retry_after_max": "5s"},
                 fallback=[{"service": "small"}], services={"small": {"endpoints": [small.url]}})
    reply = gw.post(CHAT, ASK)
    assert reply.body == b"small" and up.count == 1
