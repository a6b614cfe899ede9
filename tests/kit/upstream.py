"""Upstreams: one that the test plays itself, and one that answers by a function."""
import socket
import threading

from kit.http import Closed, Wire, answer
from kit.waiting import DEADLINE


def listening(address=("127.0.0.1", 0), backlog=1024):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(address)
    sock.listen(backlog)
    return sock


class Link(Wire):
    """A connection that the gateway has opened to us."""

    def request(self, body=True):
        message = self.head()
        if body:
            message.body = self.body(message)
        return message

    def reply(self, *args, **kwargs):
        self.send(answer(*args, **kwargs))


class Upstream:
    """The test accepts and plays each connection itself, step by step."""

    def __init__(self):
        self.sock = listening()
        self.sock.settimeout(DEADLINE)
        self.port = self.sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.links = []

    def accept(self):
        link = Link(self.sock.accept()[0])
        self.links.append(link)
        return link

    def serve(self, *args, **kwargs):
        """Accepts, reads one request, answers it: (link, request)."""
        link = self.accept()
        request = link.request()
        link.reply(*args, **kwargs)
        return link, request

    def has_caller(self, seconds=0.2):
        """Whether somebody connects within a short time."""
        self.sock.settimeout(seconds)
        try:
            self.links.append(Link(self.sock.accept()[0]))
        except socket.timeout:
            return False
        finally:
            self.sock.settimeout(DEADLINE)
        return True

    def close(self):
        self.sock.close()
        for link in self.links:
            link.close()


class Server:
    """Answers each request by respond(request, link), in a thread a connection.

    respond returns the bytes to send, or None when it has sent them itself and the
    connection shall end. Requests are counted and kept, in the order in which they
    came. respond may be exchanged at any time."""

    def __init__(self, respond=None, port=0):
        self.respond = respond or (lambda request, link: answer(request.target.encode()))
        self.sock = listening(("127.0.0.1", port))
        self.port = self.sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.lock = threading.Condition()
        self.requests = []
        self.connections = 0
        self.links = set()
        self.closed = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while not self.closed:
            try:
                sock = self.sock.accept()[0]
            except OSError:
                return
            link = Link(sock)
            with self.lock:
                self.links.add(link)
                self.connections += 1
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link):
        try:
            while True:
                request = link.request()
                with self.lock:
                    self.requests.append(request)
                    self.lock.notify_all()
                data = self.respond(request, link)
                if data is None:
                    return
                link.send(data)
        except (Closed, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.links.discard(link)
            link.close()

    @property
    def count(self):
        with self.lock:
            return len(self.requests)

    def wait_count(self, count):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.requests) >= count, DEADLINE), \
                f"{len(self.requests)} requests came, not {count}"

    def close(self):
        self.closed = True
        # shutdown wakes the thread in accept(), which close alone does not
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(DEADLINE)
        with self.lock:
            links = list(self.links)
        for link in links:
            try:
                link.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def black_hole():
    """An address where connecting never ends: (sockets to keep, port). The backlog of a
    listener is filled, and Linux drops what comes after."""
    sock = listening(backlog=0)
    port = sock.getsockname()[1]
    kept = [sock]
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        kept.append(filler)
    return kept, port


def dead_port():
    """A port where nobody listens (bound, so that nobody else takes it): (socket, port)."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]
