"""HTTP/1.1 as bytes: a buffered socket and messages on it, with nothing hidden.

Deliberately no library: the tests want to see exactly what came, to send what no
library would send, and to stop in the middle.
"""
import json
import socket
import struct

from kit.waiting import DEADLINE


class Closed(Exception):
    """The other side ended the connection where more was expected."""

    def __init__(self, rest, how):
        super().__init__(f"connection {how}; unread: {rest!r}")
        self.rest, self.how = rest, how


class Headers:
    def __init__(self, lines):
        self.pairs = []
        for line in lines:
            name, _, value = line.partition(":")
            self.pairs.append((name, value.strip()))

    def all(self, name):
        return [v for n, v in self.pairs if n.lower() == name.lower()]

    def get(self, name, default=None):
        found = self.all(name)
        return ", ".join(found) if found else default

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(f"{name} is not among {self.pairs}")
        return value

    def __contains__(self, name):
        return bool(self.all(name))


class Message:
    """A head, and its body once that was read."""

    def __init__(self, raw):
        text = raw.decode("latin-1")
        self.start, *lines = text[: text.index("\r\n\r\n")].split("\r\n")
        self.raw = raw
        self.headers = Headers(lines)
        self.body = b""
        self.trailers = Headers([])

    def __repr__(self):
        return f"<{self.start} {self.headers.pairs} {self.body[:200]!r}>"

    @property
    def method(self):
        return self.start.split(" ")[0]

    @property
    def target(self):
        return self.start.split(" ")[1]

    @property
    def version(self):
        first, *_, last = self.start.split(" ")
        return first if first.startswith("HTTP/") else last

    @property
    def status(self):
        return int(self.start.split(" ")[1])

    def json(self):
        return json.loads(self.body)

    @property
    def story(self):
        """The Switchgear field: (source, {parameter: value})."""
        source, *rest = self.headers["Switchgear"].split(";")
        return source, dict(item.split("=", 1) for item in rest)


class Wire:
    """One TCP connection. Every read has a deadline."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(DEADLINE)
        if sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()

    # -- out

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def shut(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # -- in

    def fill(self):
        try:
            data = self.sock.recv(1 << 16)
        except ConnectionResetError:
            raise Closed(bytes(self.buffer), "reset") from None
        if not data:
            raise Closed(bytes(self.buffer), "ended")
        self.buffer += data

    def exactly(self, count):
        while len(self.buffer) < count:
            self.fill()
        return self.take(count)

    def take(self, count):
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def until(self, mark):
        while mark not in self.buffer:
            self.fill()
        end = self.buffer.index(mark) + len(mark)
        return self.exactly(end)

    def line(self):
        return self.until(b"\r\n")[:-2]

    def rest(self):
        """Everything up to a clean end."""
        while True:
            try:
                self.fill()
            except Closed as closed:
                if closed.how == "reset":
                    raise
                return self.take(len(self.buffer))

    def ending(self):
        """How the connection ends if nothing more comes: "ended" or "reset"."""
        try:
            self.fill()
        except Closed as closed:
            assert not closed.rest, closed
            return closed.how
        raise AssertionError(f"more came: {self.buffer!r}")

    def whole_ending(self):
        """The same, whatever still comes: (bytes, how)."""
        while True:
            try:
                self.fill()
            except Closed as closed:
                return self.take(len(self.buffer)), closed.how

    def is_silent(self, seconds=0.15):
        """Nothing comes for a while (a weak claim: use only beside a strong one)."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self.fill()
        except socket.timeout:
            return True
        except Closed:
            return False
        finally:
            self.sock.settimeout(DEADLINE)
        return False

    # -- messages

    def head(self):
        return Message(self.until(b"\r\n\r\n"))

    def chunk(self):
        size = int(self.line().split(b";")[0], 16)
        data = self.exactly(size)
        if size:
            assert self.exactly(2) == b"\r\n"
        return data

    def chunked(self, count):
        """At least that much of a chunked body, however it is cut."""
        data = b""
        while len(data) < count:
            piece = self.chunk()
            assert piece, f"the body ended after {data!r}"
            data += piece
        return data

    def trailers(self):
        lines = []
        while line := self.line():
            lines.append(line.decode("latin-1"))
        return Headers(lines)

    def body(self, message, bodyless=False):
        is_answer = message.start.startswith("HTTP/")
        if bodyless or (is_answer and (message.status < 200 or message.status in (204, 304))):
            return b""
        if message.headers.get("Transfer-Encoding") == "chunked":
            pieces = []
            while piece := self.chunk():
                pieces.append(piece)
            message.trailers = self.trailers()
            return b"".join(pieces)
        if "Content-Length" in message.headers:
            return self.exactly(int(message.headers["Content-Length"]))
        return self.rest() if is_answer else b""


class Client(Wire):
    """A client of the gateway."""

    def answer(self, head_only=False, interim=False):
        message = self.head()
        while message.status < 200 and message.status != 101 and not interim:
            message = self.head()
        message.body = self.body(message, bodyless=head_only)
        return message

    def ask(self, method="GET", target="/", body=None, version="HTTP/1.1", headers=(),
            chunked=False):
        """Sends a well-formed request; does not wait."""
        lines = [f"{method} {target} {version}"]
        names = {line.split(":")[0].lower() for line in headers}
        if "host" not in names:
            lines.append("Host: test")
        lines += headers
        data = b""
        if body is not None and chunked:
            lines.append("Transfer-Encoding: chunked")
            data = chunks(body)
        elif body is not None:
            lines.append(f"Content-Length: {len(body)}")
            data = body
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + data)

    def get(self, target="/", *headers, method="GET"):
        self.ask(method, target, headers=headers)
        return self.answer(head_only=method == "HEAD")

    def post(self, target="/", body=b"", *headers):
        self.ask("POST", target, body=body, headers=headers)
        return self.answer()


def chunks(body, size=None):
    size = size or len(body) or 1
    out = b""
    for i in range(0, len(body), size):
        piece = body[i:i + size]
        out += b"%x\r\n%s\r\n" % (len(piece), piece)
    return out + b"0\r\n\r\n"


def answer(body=b"", status="200 OK", *headers, chunked=False):
    """Bytes of an answer."""
    if isinstance(body, str):
        body = body.encode()
    lines = [f"HTTP/1.1 {status}", *headers]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = chunks(body)
    else:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
