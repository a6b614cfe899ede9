"""Connections that are passed on: a configuration, a client, a service played by the test."""
import socket
import threading

from kit.http import Wire
from kit.upstream import listening
from kit.waiting import DEADLINE


def endpoint(to):
    """A port, or a URL as it is."""
    return to if isinstance(to, str) else f"tcp://127.0.0.1:{to}"


def passing(*endpoints, listen=None, workers=1, services=None, top=None, **keys):
    """A tcp listener and one service `db` behind it; tests wait for nothing long."""
    service = {
        "endpoints": [endpoint(e) for e in endpoints],
        "retry": {"base": "1ms", "cap": "5ms", "max": 3},
        "breaker": {"consecutive": 1000000},
        **keys,
    }
    return {
        "listen": listen or [{"address": "127.0.0.1:0", "protocol": "tcp", "service": "db"}],
        "admin": {"address": "127.0.0.1:0"},
        "workers": workers,
        "log": {"requests": "all"},
        "services": {"db": service, **(services or {})},
        **(top or {}),
    }


def port_of(gw, listener=0):
    return int(gw.addresses[listener].rsplit(":", 1)[1])


def dial(gw, listener=0, receive_buffer=None):
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.settimeout(DEADLINE)
    sock.connect(("127.0.0.1", port_of(gw, listener)))
    return Wire(sock)


class Played:
    """A service whose connections the test accepts and plays itself."""

    def __init__(self, backlog=1024, receive_buffer=None):
        self.sock = listening(backlog=backlog)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(DEADLINE)
        self.port = self.sock.getsockname()[1]
        self.links = []

    def accept(self):
        link = Wire(self.sock.accept()[0])
        self.links.append(link)
        return link

    def close(self):
        self.sock.close()
        for link in self.links:
            link.close()


class Echo:
    """Sends back what comes, and ends when the client has."""

    def __init__(self, serve=None):
        self.serve = serve or self.echo
        self.sock = listening()
        self.port = self.sock.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def echo(sock):
        while data := sock.recv(65536):
            sock.sendall(data)

    def _accept(self):
        while True:
            try:
                sock = self.sock.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        with sock:
            try:
                self.serve(sock)
            except OSError:
                pass

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
