#!/usr/bin/python3
"""mongod.py PORT - stands in for MongoDB, which Debian does not have.

It speaks the wire protocol as far as a driver needs it to connect and to read and
write a few posts: OP_QUERY for the first hello, then OP_MSG with hello, ping,
buildInfo, find and insert. It is no database: everything is in memory, `find` knows
{} and {_id: value} and {_id: {$in: [...]}}, and there are no users, indexes or cursors.
"""
import datetime
import signal
import socketserver
import struct
import sys
import threading

import bson

OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
LONGEST = 48 << 20

POSTS = {n: {"_id": n, "title": title, "text": text} for n, title, text in [
    (1, "Why breakers open", "A breaker opens when a service keeps failing, so that nobody waits "
                             "for what will not come."),
    (2, "Sourdough in winter", "Dough rises slowly in a cold kitchen; give it a night."),
    (3, "Half-open, explained", "After a while a breaker lets a few calls try the service, and "
                                "closes when they succeed."),
    (4, "A walk along the canal", "Seven kilometres, two locks, and a heron."),
]}
lock = threading.Lock()


def matches(post, condition):
    if not condition:
        return True
    wanted = condition.get("_id")
    if set(condition) != {"_id"}:
        raise ValueError("this stand-in finds by _id only")
    return post["_id"] in wanted["$in"] if isinstance(wanted, dict) else post["_id"] == wanted


def hello(_):
    return {"ismaster": True, "helloOk": True, "maxBsonObjectSize": 16 << 20,
            "maxMessageSizeBytes": LONGEST, "maxWriteBatchSize": 1000, "minWireVersion": 0,
            "maxWireVersion": 6, "readOnly": False,
            "localTime": datetime.datetime.now(datetime.timezone.utc)}


def find(command):
    with lock:
        found = [p for p in POSTS.values() if matches(p, command.get("filter"))]
    found = found[:command.get("limit") or None]
    return {"cursor": {"id": bson.Int64(0), "ns": f"{command['$db']}.{command['find']}",
                       "firstBatch": found}}


def insert(command):
    with lock:
        for post in command["documents"]:
            POSTS[post["_id"]] = post
    return {"n": len(command["documents"])}


COMMANDS = {"ismaster": hello, "hello": hello, "ping": lambda _: {}, "find": find,
            "insert": insert, "endsessions": lambda _: {},
            "buildinfo": lambda _: {"version": "3.6.0", "versionArray": [3, 6, 0, 0],
                                    "gitVersion": "stand-in"}}


def run(command):
    name = next(iter(command))
    try:
        return {**COMMANDS[name.lower()](command), "ok": 1.0}
    except KeyError:
        return {"ok": 0.0, "errmsg": f"no such command: '{name}'", "code": 59}
    except (ValueError, TypeError) as error:
        return {"ok": 0.0, "errmsg": str(error), "code": 2}


def read_msg(body):
    """The command of an OP_MSG, with the documents of its sequences."""
    command, at = {}, 4
    end = len(body) - (4 if body[0] & 1 else 0)  # a checksum
    while at < end:
        kind, at = body[at], at + 1
        size = struct.unpack_from("<i", body, at)[0]
        section = body[at:at + size]
        if kind == 0:
            command = {**bson.decode(section), **command}
        else:
            name, _, documents = section[4:].partition(b"\0")
            command[name.decode()] = bson.decode_all(documents)
        at += size
    return command


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while head := self.rfile.read(16):
            size, number, _, operation = struct.unpack("<iiii", head)
            if not 16 < size <= LONGEST:
                return
            body = self.rfile.read(size - 16)
            if operation == OP_MSG:
                answer = b"\0\0\0\0\0" + bson.encode(run(self.sorted(read_msg(body))))
                self.send(number, OP_MSG, answer)
            elif operation == OP_QUERY:  # flags, "db.$cmd\0", skip, count, the command
                command = bson.decode(body[body.index(b"\0", 4) + 9:])
                answer = bson.encode(run(command))
                self.send(number, OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + answer)
            else:
                return

    @staticmethod
    def sorted(command):
        """Its name comes first, whatever the sequences did to the order."""
        names = [n for n in command if n.lower() in COMMANDS]
        return {**{n: command[n] for n in names[:1]}, **command}

    def send(self, answers, operation, body):
        self.wfile.write(struct.pack("<iiii", 16 + len(body), 0, answers, operation) + body)
        self.wfile.flush()


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Who goes away has no more to say."""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("127.0.0.1", int(sys.argv[1])), Connection).serve_forever()
