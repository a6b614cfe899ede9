#!/usr/bin/python3
"""receiver.py NAME PORT LEDGER - does each thing it is asked for exactly once.

A payment provider or a mail service, as small as it can be. Whoever sends a write
may lose the answer, and can then only send it again; so what makes "once" true is
here, at the receiver:

  - each write carries an Idempotency-Key; without one it is refused (400);
  - the key is stored in the same transaction as the effect. Either both are there
    or none is, wherever the power goes;
  - a key that was seen before gets the stored answer again, and nothing is done;
  - a key that comes with another request is a mistake of the sender (422).

  POST /            the write, {"account": …, …}
  GET  /ledger      what was done, in the order it was done; ?account= one account's
  PUT  /control     how to fail from now on: {"errors": "30%", "hang": "10%",
                    "break_off": "5%"}; {} is well. GET shows it.
                    errors: 503, nothing done · hang: no answer, nothing done, until
                    the next PUT · break_off: done, and the connection cut before
                    the answer, which is what keys are for
"""
import hashlib
import http.server
import json
import random
import signal
import socket
import sqlite3
import sys
import threading
import urllib.parse

BODY_MAX = 1 << 20
FAILURES = ("errors", "hang", "break_off")


class Ledger:
    """What was done, and for which keys."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript("""
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;  -- what was answered is on the disk
            CREATE TABLE IF NOT EXISTS effect
                (number INTEGER PRIMARY KEY, account TEXT, request TEXT NOT NULL);
            CREATE TABLE IF NOT EXISTS seen
                (key TEXT PRIMARY KEY, digest BLOB NOT NULL, answer TEXT NOT NULL);
        """)

    def once(self, key, body):
        """(status, answer)."""
        digest = hashlib.sha256(body).digest()
        with self.lock:
            self.db.execute("BEGIN IMMEDIATE")
            try:
                result = self._once(key, digest, json.loads(body))
                self.db.execute("COMMIT")
                return result
            except BaseException:
                self.db.execute("ROLLBACK")
                raise

    def _once(self, key, digest, request):
        seen = self.db.execute("SELECT digest, answer FROM seen WHERE key = ?", [key]).fetchone()
        if seen and seen[0] != digest:
            return 422, {"error": "this Idempotency-Key came with another request before"}
        if seen:
            return 201, json.loads(seen[1])
        account = request["account"]
        number = self.db.execute("INSERT INTO effect (account, request) VALUES (?, ?)",
                                 [account, json.dumps(request)]).lastrowid
        answer = {"number": number, "account": account}
        self.db.execute("INSERT INTO seen VALUES (?, ?, ?)", [key, digest, json.dumps(answer)])
        return 201, answer

    def effects(self, account=None):
        with self.lock:
            rows = self.db.execute("SELECT number, request FROM effect "
                                   "WHERE ?1 IS NULL OR account = ?1 ORDER BY number", [account])
            return [{"number": number, **json.loads(request)} for number, request in rows]


class Behaviour:
    """How it fails, as told."""

    def __init__(self):
        self.changed = threading.Condition()
        self.shares = {}

    def set(self, wanted):
        shares = {}
        for name, share in wanted.items():
            if name not in FAILURES:
                raise ValueError(f"{name}: expected one of {', '.join(FAILURES)}")
            shares[name] = float(str(share).rstrip("%")) / 100
        with self.changed:
            self.shares = shares
            self.changed.notify_all()

    @staticmethod
    def draw(shares):
        """One of FAILURES, or None."""
        point = random.random()
        for name in FAILURES:
            point -= shares.get(name, 0)
            if point < 0:
                return name
        return None

    def wait_change(self, shares):
        with self.changed:
            self.changed.wait_for(lambda: self.shares is not shares)

    def shown(self):
        return {name: f"{share:.0%}" for name, share in self.shares.items()}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body leave together
    server_version = "receiver"

    def do_POST(self):
        body = self.body()
        shares = self.server.behaviour.shares
        failure = self.server.behaviour.draw(shares)
        if failure == "errors":
            return self.reply(503, {"error": "told to fail"})
        if failure == "hang":
            self.server.behaviour.wait_change(shares)
            return self.cut()
        status, answer = self.write(body)
        if failure == "break_off":
            return self.cut()
        self.reply(status, answer)

    def write(self, body):
        key = self.headers["Idempotency-Key"]
        if not key:
            return 400, {"error": "an Idempotency-Key is needed"}
        try:
            request = json.loads(body or b"")
            if not isinstance(request, dict) or not isinstance(request.get("account"), str):
                raise ValueError
        except (ValueError, RecursionError):
            return 400, {"error": "a JSON object with an account is expected"}
        return self.server.ledger.once(key, body)

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/ledger":
            account = dict(urllib.parse.parse_qsl(url.query)).get("account")
            self.reply(200, {"name": self.server.name,
                             "effects": self.server.ledger.effects(account)})
        elif url.path == "/control":
            self.reply(200, self.server.behaviour.shown())
        else:
            self.reply(404, {"error": "there are POST /, GET /ledger, and PUT /control"})

    def do_PUT(self):
        body = self.body()
        if self.path != "/control":
            return self.reply(404, {"error": "there is PUT /control"})
        try:
            self.server.behaviour.set(json.loads(body))
        except (ValueError, TypeError, AttributeError) as error:
            return self.reply(400, {"error": str(error)})
        self.reply(200, self.server.behaviour.shown())

    def body(self):
        """None: none that can be read, and the connection ends."""
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_MAX:
            self.close_connection = True
            return None
        return self.rfile.read(int(length))

    def reply(self, status, content):
        text = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def cut(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name, port, ledger):
        super().__init__(("127.0.0.1", port), Handler)
        self.name, self.ledger, self.behaviour = name, Ledger(ledger), Behaviour()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(sys.argv[1], int(sys.argv[2]), sys.argv[3]).serve_forever()
