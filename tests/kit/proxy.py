"""A TCP proxy that can cut, hang, and reset after so many bytes."""
import socket
import struct
import threading

from kit.upstream import listening


def _reset(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    sock.close()


class _Pair:
    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection(("127.0.0.1", proxy.to))
        self.left = proxy.budget
        for source, sink, counted in ((self.client, self.server, False),
                                      (self.server, self.client, True)):
            threading.Thread(target=self._pump, args=(source, sink, counted), daemon=True).start()

    def _pump(self, source, sink, counted):
        try:
            while data := source.recv(65536):
                self.proxy.flowing.wait()
                if counted and self.left is not None:
                    data, over = data[:self.left], len(data) >= self.left
                    self.left -= len(data)
                    sink.sendall(data)
                    if over:
                        self.cut()
                        return
                else:
                    sink.sendall(data)
                if counted:
                    self.proxy.passed += len(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()

    def cut(self):
        _reset(self.client)
        _reset(self.server)


class Proxy:
    """In front of 127.0.0.1:to. `budget`: bytes of the server that a new connection lets
    through before it is reset; None: all."""

    def __init__(self, to):
        self.to = to
        self.budget = None
        self.passed = 0
        self.pairs = []
        self.flowing = threading.Event()
        self.flowing.set()
        self.sock = listening()
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.sock,), daemon=True).start()

    def _accept(self, sock):
        while True:
            try:
                client = sock.accept()[0]
            except OSError:
                return
            try:
                self.pairs.append(_Pair(self, client))
            except OSError:
                _reset(client)

    def cut(self):
        """All connections, at once."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            pair.cut()

    def hang(self):
        """Nothing goes through, and nobody is told."""
        self.flowing.clear()

    def flow(self):
        self.flowing.set()

    def refuse(self):
        """Nobody gets in any more; who is in stays."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def accept(self):
        self.sock = listening(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self.sock,), daemon=True).start()

    def close(self):
        self.flow()
        try:
            self.refuse()
        except OSError:
            pass
        self.cut()
