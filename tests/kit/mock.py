"""`switchgear mock` as a process, and other commands of the program."""
import json
import os
import signal
import socket
import subprocess

from kit.gateway import BINARY, BROKEN, SANITIZERS
from kit.http import Client
from kit.waiting import DEADLINE


def environment(extra=None):
    env = {**SANITIZERS, **os.environ, "NO_COLOR": "1", **(extra or {})}
    for name in ("SWITCHGEAR_ADMIN", "SWITCHGEAR_ADMIN_TOKEN"):
        if name not in (extra or {}):
            env.pop(name, None)
    return env


def command(*arguments, code=0, env=None, cwd=None, input=None):
    """Runs one command to its end and checks its exit code: (stdout, stderr)."""
    done = subprocess.run([BINARY, *map(str, arguments)], env=environment(env), cwd=cwd,
                          input=input, stdin=None if input else subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=2 * DEADLINE)
    assert not BROKEN.search(done.stderr), done.stderr
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


class Mock:
    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen(
            [BINARY, "mock", "--json", *arguments], env=environment(env),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.hello = json.loads(line)
        self.url = self.hello["url"]

    def connect(self):
        if self.url.startswith("unix:"):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.url[5:])
        else:
            host, port = self.url.removeprefix("http://").rsplit(":", 1)
            sock = socket.create_connection((host.strip("[]"), int(port)), DEADLINE)
        return Client(sock)

    def get(self, target="/", *headers, method="GET"):
        with self.connect() as client:
            return client.get(target, "Connection: close", *headers, method=method)

    def post(self, target="/", body=b"", *headers, method="POST"):
        with self.connect() as client:
            client.ask(method, target, body=body, headers=["Connection: close", *headers])
            return client.answer()

    # -- the control, on a connection of its own each time

    def _json(self, message, status=200):
        assert message.status == status, message
        return json.loads(message.body)

    def state(self):
        return self._json(self.get("/__mock/state"))

    def requests(self, query=""):
        return self._json(self.get("/__mock/requests" + query))["requests"]

    def set(self, method="PUT", expect=200, **behaviour):
        body = json.dumps(behaviour).encode()
        return self._json(self.post("/__mock/behaviour", body, method=method), expect)

    def wait(self, query):
        """Until so many have been seen: wait("held=2"). No sleeping."""
        return self._json(self.get(f"/__mock/wait?{query}&timeout={DEADLINE:g}s"))

    def tell(self, what):
        return self._json(self.post(f"/__mock/{what}"))

    def stop(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, err = self.process.communicate(timeout=DEADLINE)
        assert not BROKEN.search(err), err
        assert self.process.returncode == 0, (self.process.returncode, err)
