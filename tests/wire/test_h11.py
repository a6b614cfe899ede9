"""Compares the HTTP/1 parsers with h11, which other people wrote.

Whatever ours accept, h11 must accept too, with the same request or response,
fields, body, trailers and end: a message that two parsers end at different
bytes is a smuggled one. Deliberate differences:

- A later 1.x is 1.1 to us (RFC 9110 section 2.5), and itself to h11.
- h11 turns repeated equal lengths into one field; we show them as they came.
- Ours refuse much that h11 takes: bare LF as a line's end, folded fields, control
  characters in values and reasons, white space after a chunk size, lengths that
  are repeated in a request, Content-Length beside Transfer-Encoding, several
  empty lines before a request, malformed Host, targets of no valid form.

Messages are made from parts, good and odd ones, then mutated byte by byte. The
seed is always the same, so that a change of something else never fails here;
HTTP1_SEED takes another, HTTP1_MESSAGES makes it longer: `make soak` does both.
HTTP1_DUMP names the program (tests/wire/http1_dump.c).
"""

import os
import random
import re
import subprocess

import h11
import pytest

MESSAGES = int(os.environ.get("HTTP1_MESSAGES", "6000"))
SEED = int(os.environ.get("HTTP1_SEED", "1"))


class Parsers:
    """Ours, in one process: asked with bytes, answers with a log."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [path, "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def log(self, side, method, data, piece):
        header = f"{side} {method} {len(data)} {piece}\n".encode()
        self.process.stdin.write(header + data)
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline().decode("ascii").rstrip("\n")) != ".":
            assert line or self.process.poll() is None, "http1_dump is gone"
            lines.append(line)
        return lines

    def close(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


@pytest.fixture(scope="module")
def parsers():
    path = os.environ.get("HTTP1_DUMP")
    if not path:
        pytest.skip("HTTP1_DUMP does not name the program to ask")
    parsers = Parsers(path)
    yield parsers
    parsers.close()


# ---- what ours say ----------------------------------------------------------

ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def unescape(text):
    parts = re.findall(r"\\x[0-9a-f]{2}|\\.|[^\\]+", text)
    return b"".join(
        bytes([int(p[2:], 16)]) if p[:2] == "\\x" else ESCAPES[p[1]] if p[0] == "\\" else p.encode()
        for p in parts
    )


class Message:
    """One whole message of a log."""

    def __init__(self, head, start):
        self.words = dict(w.split("=", 1) for w in head.split(" reason=")[0].split() if "=" in w)
        self.reason = unescape(head.partition(" reason=")[2])
        self.start, self.end = start, None
        self.fields, self.trailers, self.body = [], [], b""


def whole_messages(log):
    """The messages our parser saw to their end, and where each one ended."""
    messages, message, start = [], None, 0
    for line in log:
        word, _, rest = line.partition(" ")
        if word in ("request", "response"):
            message = Message(rest, start)
        elif word in ("field", "trailer"):
            name, _, value = rest.partition("=")
            pair = (unescape(name).lower(), unescape(value))
            (message.fields if word == "field" else message.trailers).append(pair)
        elif word == "body":
            message.body = unescape(rest.partition(" ")[2])
        elif word in ("done", "closed"):
            message.end = int(rest) if rest else None
            messages.append(message)
            start = message.end
    return messages


# ---- what h11 says ----------------------------------------------------------


def h11_reads(side, method, data, closed):
    """Head event, body, trailers and what is left over; raises as h11 does."""
    if side == "request":
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    else:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        target = "a:1" if method == "CONNECT" else "/"
        connection.send(h11.Request(method=method, target=target, headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    if closed:
        connection.receive_data(b"")
    head, body = None, b""
    while True:
        event = connection.next_event()
        if isinstance(event, (h11.Request, h11.Response)):
            head = event
        elif isinstance(event, h11.InformationalResponse):
            return event, b"", [], connection.trailing_data[0]
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            return head, body, list(event.headers), connection.trailing_data[0]
        else:
            raise h11.RemoteProtocolError(f"h11 wants more: {event}")


# ---- the comparison ---------------------------------------------------------

# Framing is compared by the body.
NORMALIZED = {b"content-length", b"transfer-encoding"}


def compare(side, method, data, message):
    closed = message.end is None
    part = data[message.start : message.end]
    if part.startswith(b"\r\n"):
        part = part[2:]  # ours skip one empty line; h11 any number, but not after a body
    try:
        head, body, trailers, rest = h11_reads(side, method, part, closed)
    except h11.ProtocolError as error:
        raise AssertionError(f"ours accept, h11 says {error}: {part!r}") from error
    context = f"{part!r}"
    assert rest == b"", f"h11 ends the message earlier: {context}"
    assert body == message.body, context
    assert min(head.http_version, b"1.1").decode() == message.words["version"], context
    if side == "request":
        assert head.method.decode() == message.words["method"], context
        assert head.target == unescape(message.words["target"]), context
    else:
        assert str(head.status_code) == message.words["status"], context
        assert head.reason == message.reason, context
    ours = [pair for pair in message.fields if pair[0] not in NORMALIZED]
    theirs = [(n, v) for n, v in head.headers if n not in NORMALIZED]
    assert ours == theirs, context
    assert message.trailers == trailers, context


# ---- messages ---------------------------------------------------------------

METHODS = [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"M-SEARCH", b"get", b"P@ST", b""]
TARGETS = [b"/", b"/a?b=c", b"http://a/b", b"*", b"a:80", b"/\xc3", b"/a b", b"/#", b"", b"/%zz"]
VERSIONS = [b"HTTP/1.1"] * 12 + [b"HTTP/1.0"] * 4 + [b"HTTP/2.0", b"HTTP/1.10", b"HTTP/0.9", b""]
STATUSES = [b"200", b"404", b"503", b"204", b"304", b"100", b"103", b"999", b"99", b"2000", b"abc"]
REASONS = [b" OK", b" ", b"", b" Not so good", b" \xe9\t", b" \x01", b"\tOK"]
ENDS = [b"\r\n"] * 60 + [b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\r\n ", b"\r\n\t"]
COLONS = [b": "] * 30 + [b":", b" : ", b":\t", b"", b":\x0b", b":  ", b"\t:", b":\xa0"]
NAMES = [b"X", b"Accept", b"Cookie", b"User-Agent", b"a_b", b"X\x80", b"x y", b"", b"Host"]
VALUES = [b"b", b"", b"a, b", b'"q"', b"\xe9\xff", b"a\0b", b"a\x7f", b"a\tb", b"  a  ", b"a\x85b"]
LENGTHS = [b"+5", b"-5", b"5, 5", b"5,6", b"0x5", b"5 5", b"", b"5_0", b"\x0b5", b"05", b"5;"]
CODINGS = [b"chunked"] * 12 + [b"Chunked", b"chunked, chunked", b"gzip, chunked", b"identity"]
CODINGS += [b"xchunked", b"chunked;a=b", b"", b"\x0bchunked", b"chunked,", b'"chunked"', b"gzip"]
SIZES = [b"%x", b"%X", b"0%x", b"0000%x", b" %x", b"%x ", b"0x%x", b"+%x", b"-%x", b"%xg", b"%x\t"]
EXTENSIONS = [b";a", b";a=b", b';a="b;c"', b"; a", b" ;a", b";\n", b";\r", b";a\x01", b";" + b"x" * 300]
CONNECTIONS = [b"close", b"keep-alive", b"Upgrade", b"keep-alive, Upgrade", b"", b"x"]


class Maker:
    """Messages: mostly good, now and then with something odd."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def odd(self, one_in=20):
        return self.random.randrange(one_in) == 0

    def pick(self, choices, good=1):
        """One of the first `good` choices, or seldom any of them."""
        return self.random.choice(choices if self.odd() else choices[:good])

    def line(self, name, value):
        return name + self.random.choice(COLONS if self.odd(20) else COLONS[:1]) + value + self.end()

    def end(self):
        return self.random.choice(ENDS) if self.odd(15) else b"\r\n"

    def payload(self):
        length = self.random.choice([0, 1, 2, 5, 17, 40])
        return bytes(self.random.choice(b"ab\r\n0;G /") for _ in range(length))

    def chunked(self, payload):
        out = b""
        while payload:
            length = self.random.randint(1, len(payload))
            out += self.pick(SIZES, 4) % length
            out += self.random.choice(EXTENSIONS) if self.odd(5) else b""
            out += self.end() + payload[:length] + self.end()
            payload = payload[length:]
        out += self.random.choice([b"0", b"00", b"0;x"]) + self.end()
        for _ in range(self.random.choice([0, 0, 0, 1, 2])):
            out += self.line(self.pick([b"X-T", b"Digest", b"etag", b"Host"], 3), self.pick(VALUES, 4))
        return out + self.end()

    def framed(self):
        """Fields that say how long the body is, and the body."""
        payload = self.payload()
        kind = self.random.choice(["none", "length", "length", "chunked", "chunked", "chunked", "both", "twice"])
        length = self.line(b"Content-Length", b"%d" % len(payload))
        if self.odd(8):
            length = self.line(b"content-length", self.random.choice(LENGTHS))
        coding = self.line(b"Transfer-Encoding", self.pick(CODINGS, 13))
        if kind == "none":
            return b"", b""
        if kind == "length":
            return length, payload
        if kind == "twice":
            return length + length, payload
        if kind == "both":
            return length + coding, self.chunked(payload)
        return coding, self.chunked(payload)

    def fields(self, framing, host):
        lines = [framing]
        if host:
            lines.append(self.line(b"Host", self.pick([b"a", b"a:80", b"", b"a,b", b"a b", b"[::1]"], 2)))
        for _ in range(self.random.choice([0, 1, 2, 4])):
            lines.append(self.line(self.pick(NAMES, 4), self.pick(VALUES, 5)))
        if self.odd(4):
            lines.append(self.line(b"Connection", self.random.choice(CONNECTIONS)))
        self.random.shuffle(lines)
        return b"".join(lines) + self.end()

    def request(self):
        framing, body = self.framed()
        line = self.pick(METHODS, 6) + b" " + self.pick(TARGETS, 3) + b" "
        line += self.random.choice(VERSIONS) + self.end()
        return line + self.fields(framing, not self.odd(10)) + body

    def response(self):
        framing, body = self.framed()
        line = self.random.choice(VERSIONS[:16] if not self.odd() else VERSIONS) + b" "
        line += self.pick(STATUSES, 7) + self.pick(REASONS, 5) + self.end()
        return line + self.fields(framing, False) + body

    def mutated(self, data):
        """The same with a few bytes changed, doubled or taken out."""
        out = bytearray(data)
        for _ in range(self.random.choice([0, 0, 0, 1, 1, 2])):
            at = self.random.randrange(len(out) + 1)
            byte = self.random.choice(b"\r\n\t\0 :;,0159aAfF\x0b\x0c\x7f\x80\xff/#\"")
            self.random.choice(
                [
                    lambda: out.insert(at, byte),
                    lambda: out.__setitem__(slice(at, at + 1), bytes([byte])),
                    lambda: out.__delitem__(slice(at, at + 1)),
                    lambda: out.__setitem__(slice(at, at), out[at : at + 4]),
                ]
            )()
        return bytes(out)


@pytest.mark.parametrize("side", ["request", "response"])
def test_whatever_ours_accept_h11_accepts_alike(parsers, side):
    print(f"HTTP1_SEED={SEED}")
    maker = Maker(SEED)
    accepted = 0
    for _ in range(MESSAGES):
        method = maker.random.choice(["GET", "HEAD"]) if side == "response" else "GET"
        data = b"".join(
            maker.mutated(getattr(maker, side)()) for _ in range(maker.random.choice([1, 1, 2]))
        )
        log = parsers.log(side, method, data, maker.random.choice([1, 3, len(data) or 1]))
        for message in whole_messages(log):
            accepted += 1
            compare(side, method, data, message)
    # A comparison of refusals compares nothing.
    assert accepted > MESSAGES // 5, accepted


def test_plain_messages_are_accepted(parsers):
    """Not everything may be refused: what h11 itself writes is taken."""
    connection = h11.Connection(h11.CLIENT)
    data = connection.send(
        h11.Request(method="PUT", target="/x", headers=[("Host", "a"), ("Transfer-Encoding", "chunked")])
    )
    data += connection.send(h11.Data(data=b"hello"))
    data += connection.send(h11.EndOfMessage(headers=[("Digest", "x")]))
    [message] = whole_messages(parsers.log("request", "GET", data, 1))
    assert message.body == b"hello"
    assert message.trailers == [(b"digest", b"x")]
    assert message.end == len(data)
