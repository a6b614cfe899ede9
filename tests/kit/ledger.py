"""A service that takes writes, and what it is told to do instead."""
import threading

from kit.http import answer

ONCE = {"max": 0}
QUICK = {"consecutive": 1, "open": "50ms", "open_max": "100ms", "close_after": 1}
GONE = answer(b"no", "503 Service Unavailable")
FINE = answer(b"done")
CUT = object()  # the connection ends without an answer


class Ledger:
    """A receiver that heeds the Idempotency-Key; what it does is in `done`, in order."""

    def __init__(self, server):
        self.well = False
        self.lock = threading.Lock()
        self.done, self.keys, self.seen = [], {}, []
        self.say = None  # another answer, by a function of the request
        self.up = server(self.respond)
        self.url = self.up.url

    def respond(self, request, link):
        with self.lock:
            self.seen.append(request)
            if not self.well:
                return GONE
            said = self.say and self.say(request)
            if said:
                return None if said is CUT else said
            key = request.headers["Idempotency-Key"]
            if key not in self.keys:
                self.keys[key] = request.body
                self.done.append(request.body)
            return FINE
