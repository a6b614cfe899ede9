"""A real Redis, on a port of its own, ended by its pid."""
import os
import signal
import socket
import subprocess

from kit.waiting import eventually


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Redis:
    def __init__(self, directory, *options):
        self.directory, self.options = directory, options
        self.port = free_port()
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", str(self.directory), *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(self.answers, "the Redis answers")

    def answers(self):
        try:
            return self.say("PING").startswith((b"+PONG", b"-NOAUTH", b"-LOADING"))
        except OSError:
            return False

    def say(self, *words):
        """One command as bytes in, the raw reply out."""
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        text = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
        with socket.create_connection(("127.0.0.1", self.port), 10) as sock:
            sock.sendall(text)
            sock.shutdown(socket.SHUT_WR)
            reply = b""
            while piece := sock.recv(65536):
                reply += piece
            return reply

    def keys(self):
        lines = self.say("KEYS", "*").split(b"\r\n")[1:]
        return sorted(line.decode() for line in lines if line and not line.startswith(b"$"))

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGCONT)
            self.process.kill()
            self.process.wait()
