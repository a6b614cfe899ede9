"""The program under test, as a process."""
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading

from kit.http import Client
from kit.waiting import DEADLINE

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BINARY = os.environ.get("SWITCHGEAR", str(ROOT / "build" / "switchgear"))
BROKEN = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|LeakSanitizer")

# What the sanitizers are told; scripts may say more.
SANITIZERS = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


def is_sanitized():
    """Whether the program carries a sanitizer, which makes it slow and large."""
    with open(BINARY, "rb") as f:
        return re.search(rb"__(asan|tsan)_init", f.read()) is not None


def configuration(endpoints, *, routes=None, services=None, listen=None, workers=1, **rest):
    """A whole configuration around one service `web`; what is given replaces defaults
    that make tests quick. Keys of the service: as keywords."""
    top = {}
    for key in ("limits", "drain", "log", "confine", "cache_memory", "cache_entries", "cache_disk",
                "cache_redis", "admin", "defaults", "store",
                "store_key", "store_lease", "databases", "resilience", "trace", "watchdog"):
        if key in rest:
            top[key] = rest.pop(key)
    web = {
        "endpoints": [e if isinstance(e, (str, dict)) else e.url for e in endpoints],
        "retry": {"base": "1ms", "cap": "5ms", "max": 3},
        "breaker": {"consecutive": 1000000},
    }
    for key, value in rest.items():
        web[key] = {**web[key], **value} if key == "retry" and isinstance(value, dict) else value
    return {
        "listen": listen or [{"address": "127.0.0.1:0"}],
        "admin": "off",
        "workers": workers,
        "services": {"web": web, **(services or {})},
        "routes": routes or [{"prefix": "/", "service": "web"}],
        **top,
    }


class Gateway:
    def __init__(self, directory, config, env=None, files=None, listens=True, binary=BINARY,
                 arguments=(), descriptors=()):
        self.path = pathlib.Path(directory) / "switchgear.yaml"
        self.write(config)
        self.lines = []  # of the log, parsed where they are JSON
        self.raw = []
        self.changed = threading.Condition()
        environment = {**SANITIZERS, **os.environ, **(env or {})}
        # so that resident memory says something there too
        environment["ASAN_OPTIONS"] += ":quarantine_size_mb=8"

        def limit():
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        self.process = subprocess.Popen(
            [str(binary), "run", "-c", str(self.path), *arguments], env=environment,
            stdin=subprocess.DEVNULL, pass_fds=descriptors,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
            cwd=directory, preexec_fn=limit if files else None)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.started = False
        self.listens = len(config["listen"])
        if listens:
            self.wait_listening()

    def wait_listening(self):
        try:
            self.addresses = [self.wait_message("listening", n)["address"]
                              for n in range(1, 1 + self.listens)]
        except AssertionError:
            self.process.kill()
            raise
        self.started = True

    @property
    def port(self):
        return int(self.addresses[0].rsplit(":", 1)[1])

    @property
    def pid(self):
        return self.process.pid

    def write(self, config):
        """The file only; reload() makes it count. JSON is YAML."""
        text = config if isinstance(config, str) else json.dumps(config, indent=1)
        self.path.write_text(text + "\n")

    def _read(self):
        for line in self.process.stderr:
            try:
                parsed = json.loads(line)
            except ValueError:
                parsed = {}
            with self.changed:
                self.raw.append(line)
                self.lines.append(parsed if isinstance(parsed, dict) else {})
                self.changed.notify_all()
        with self.changed:
            self.raw.append("")
            self.lines.append({"ended": True})
            self.changed.notify_all()

    def log(self):
        return "".join(self.raw)

    def messages(self, message):
        with self.changed:
            return [line for line in self.lines if line.get("message") == message]

    def wait_message(self, message, count=1):
        """The count-th log line with this message, as soon as it is there."""
        def found():
            matching = [line for line in self.lines if line.get("message") == message]
            if len(matching) >= count:
                return matching[count - 1]
            return any("ended" in line for line in self.lines) and "ended"
        with self.changed:
            line = self.changed.wait_for(found, DEADLINE)
        assert isinstance(line, dict), f"no line \"{message}\" in the log:\n{self.log()}"
        return line

    def reload(self, config=None, ok=True):
        message = ("configuration reloaded" if ok else
                   "configuration not reloaded: the old one stays in force")
        before = len(self.messages(message))
        if config is not None:
            self.write(config)
        self.signal(signal.SIGHUP)
        return self.wait_message(message, before + 1)

    def signal(self, number):
        self.process.send_signal(number)

    def connect(self, family=socket.AF_INET, receive_buffer=None):
        sock = socket.socket(family)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(DEADLINE)
        sock.connect(("127.0.0.1", self.port))
        return Client(sock)

    def get(self, target="/", *headers, method="GET"):
        with self.connect() as client:
            return client.get(target, "Connection: close", *headers, method=method)

    def post(self, target="/", body=b"", *headers):
        with self.connect() as client:
            return client.post(target, body, "Connection: close", *headers)

    def raw_request(self, data):
        """Everything that comes back for these bytes, and how it ended."""
        with self.connect() as client:
            client.send(data)
            return client.whole_ending()

    def rss(self):
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def wait(self):
        """Its exit code; it must end by itself."""
        code = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        assert not BROKEN.search(self.log()), self.log()
        return code

    def stop(self):
        """Ends it, and fails on anything that a sanitizer or an assertion said."""
        if self.process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"it does not end:\n{self.log()}") from None
        self.reader.join(DEADLINE)
        log = self.log()
        assert not BROKEN.search(log), log
        assert self.process.returncode == 0, f"exit code {self.process.returncode}:\n{log}"
