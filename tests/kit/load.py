"""Clients that ask without pause and check every answer."""
import itertools
import threading

from kit.http import answer
from kit.waiting import DEADLINE


def echo(request, _link):
    """For a Server: what each request of a Load wants to hear."""
    return answer(request.body or request.target.encode())


class Load:
    """Threads of keep-alive clients: each request has a number of its own, which the
    upstream is expected to send back (see echo). A connection that the gateway
    announced to close is opened anew; whatever else goes wrong is a failure."""

    def __init__(self, gw, clients=4, post_every=5, headers=()):
        self.gw, self.post_every, self.headers = gw, post_every, list(headers)
        self.numbers = itertools.count()
        self.changed = threading.Condition()
        self.answered = 0
        self.closes = 0  # answers that told to close
        self.failures = []
        self.stopping = False
        self.refused = 0  # clients that could not connect any more, and ended
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self):
        client = None
        while not self.stopping:
            try:
                client = client or self.gw.connect()
            except OSError:
                with self.changed:
                    self.refused += 1
                    self.changed.notify_all()
                return
            try:
                client = self._one(client)
            except Exception as error:  # the thread must not end unnoticed
                with self.changed:
                    self.failures.append(repr(error))
                    self.changed.notify_all()
                client.close()
                client = None
        if client:
            client.close()

    def _one(self, client):
        number = next(self.numbers)
        body = b"body %d" % number if (number + 1) % self.post_every == 0 else None
        client.ask("POST" if body else "GET", f"/{number}", body=body, headers=self.headers)
        reply = client.answer()
        wanted = body or b"/%d" % number
        assert reply.status == 200 and reply.body == wanted, (number, reply)
        with self.changed:
            self.answered += 1
            self.closes += reply.headers.get("Connection") == "close"
            self.changed.notify_all()
        if reply.headers.get("Connection") == "close":
            client.close()
            return None
        return client

    def wait_answers(self, more):
        """Until so many more have been answered."""
        with self.changed:
            goal = self.answered + more
            done = self.changed.wait_for(lambda: self.answered >= goal or self.failures, DEADLINE)
        assert done and not self.failures, self.failures[:3]

    def wait_close_told(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.closes or self.failures, DEADLINE)
        assert not self.failures, self.failures[:3]

    def stop(self):
        """Lets every client finish its request; all must have gone well."""
        self.stopping = True
        self.join()

    def join(self):
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert not self.failures, self.failures[:3]
