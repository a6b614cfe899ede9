"""Several endpoints of one service: who is asked, and who is spared."""
import collections
import select
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.load import Load, echo
from kit.upstream import dead_port
from kit.waiting import DEADLINE, eventually

FAIL = answer(b"no", "500 Internal Server Error")


def shares(gw, count):
    """How often each answer came."""
    with gw.connect() as client:
        return collections.Counter(client.get().body for _ in range(count))


def readable(client):
    return bool(select.select([client.sock], [], [], 0)[0])


def named(server, *names):
    return [server(lambda r, l, name=name: answer(name)) for name in names]


def test_all_endpoints_are_used(gateway, server):
    gw = gateway(named(server, b"a", b"b", b"c"))
    assert set(shares(gw, 60)) == {b"a", b"b", b"c"}


def test_round_robin_is_even(gateway, server):
    gw = gateway(named(server, b"a", b"b", b"c"), balance="round_robin")
    assert shares(gw, 30) == {b"a": 10, b"b": 10, b"c": 10}


def test_random_is_roughly_even(gateway, server):
    gw = gateway(named(server, b"a", b"b"), balance="random")
    assert min(shares(gw, 300).values()) > 75


@pytest.mark.parametrize("balance", ["round_robin", "random", "least_request"])
def test_weights(gateway, server, balance):
    a, b = named(server, b"a", b"b")
    gw = gateway([{"url": a.url, "weight": 9}, {"url": b.url, "weight": 1}], balance=balance)
    seen = shares(gw, 300)
    assert seen[b"a"] > 4 * seen[b"b"] > 0, seen


def test_least_request_spares_the_slow_one(gateway, server):
    gate = threading.Event()

    def slow(request, link):
        gate.wait(DEADLINE)
        return answer(b"slow")

    up = server(slow)
    gw = gateway([up, *named(server, b"quick")])
    waiting = []
    while not up.count:  # until it has one; each further one goes past it
        client = gw.connect()
        client.ask()
        eventually(lambda: up.count or readable(client), "it was asked, or the other")
        waiting.append(client)
    seen = shares(gw, 50)
    assert seen == {b"quick": 50}
    gate.set()
    for client in waiting:
        client.answer()
        client.close()


@pytest.mark.threads
def test_a_sick_endpoint_is_not_noticed(gateway, server):
    """Its failures are retried elsewhere, and soon it is not asked at all."""
    sick = server(lambda r, l: FAIL)
    gw = gateway([sick, server(echo)], workers=2, retry={"budget": {"ratio": "100%"}},
                 breaker={"consecutive": 3, "open": "1h"})
    load = Load(gw, clients=4, post_every=10**9)
    load.wait_answers(300)
    load.stop()
    assert sick.count <= 3 + 4  # its breaker opens at the third; some may be under way then


def test_a_dead_endpoint_is_not_noticed_even_by_writes(gateway, server):
    """Nothing was sent to it, so that any request may go elsewhere."""
    kept, port = dead_port()
    gw = gateway([f"http://127.0.0.1:{port}", server(echo)],
                 retry={"budget": {"ratio": "100%"}}, breaker={"consecutive": 3, "open": "1h"})
    load = Load(gw, clients=2, post_every=1)
    load.wait_answers(100)
    load.stop()
    kept.close()


def test_when_all_are_sick_the_service_is_open(gateway, server):
    ups = [server(lambda r, l: FAIL) for _ in range(2)]
    gw = gateway(ups, admin=ADMIN, retry={"max": 0}, breaker={"consecutive": 2, "open": "1h"})
    for _ in range(20):
        gw.get()
    with Admin(gw) as admin:
        breaker = admin.breaker()
        assert breaker["state"] == "open"
        assert [e["state"] for e in breaker["endpoints"]] == ["open", "open"]
    assert gw.get().status == 503 and sum(up.count for up in ups) == 4


def test_a_recovered_endpoint_is_used_again(gateway, server):
    up = server(lambda r, l: up.answer)
    up.answer = FAIL
    gw = gateway([up, *named(server, b"b")], admin=ADMIN, retry={"budget": {"ratio": "100%"}},
                 breaker={"consecutive": 2, "open": "20ms", "open_max": "20ms"})
    with Admin(gw) as admin:
        def state(wanted):
            gw.get()
            return admin.breaker()["endpoints"][0]["state"] == wanted

        eventually(lambda: state("open"), "it is taken out")
        assert gw.get().body == b"b"
        up.answer = answer(b"a")
        eventually(lambda: state("closed"), "it is back")
    assert set(shares(gw, 50)) == {b"a", b"b"}


def test_requests_that_hang_on_one_move_to_the_other(gateway, upstream, server):
    """Stranded attempts: when the breaker opens they do not wait for their timeout."""
    hung = upstream()
    gw = gateway([hung.url, server(echo).url], admin=ADMIN, balance="round_robin",
                 timeout={"attempt": "1h", "total": "1h"},
                 retry={"budget": {"ratio": "100%", "floor": "100/s"}},
                 breaker={"consecutive": 3, "slow_call": "50ms", "open": "1h"})
    clients = [gw.connect() for _ in range(12)]
    for i, client in enumerate(clients):
        client.ask("GET", f"/{i}")
    for i, client in enumerate(clients):
        assert client.answer().body == b"/%d" % i
        client.close()
    with Admin(gw) as admin:
        assert admin.breaker()["endpoints"][0]["state"] == "open"


def test_a_write_that_hangs_is_not_moved(gateway, upstream, server):
    hung, other = upstream(), server(echo)
    gw = gateway([hung.url, other.url], balance="round_robin", retry={"max": 3},
                 timeout={"attempt": "150ms", "total": "1h"},
                 breaker={"consecutive": 1, "slow_call": "10ms", "open": "1h"})
    statuses = collections.Counter()
    for _ in range(2):
        with gw.connect() as client:
            statuses[client.post("/", b"x").status] += 1
    assert statuses == {504: 1, 200: 1} and other.count == 1


def test_at_most_half_of_them_are_taken_out(gateway, server):
    """ejection.max: the rest must not drown in what the others were spared."""
    ups = [server(lambda r, l: FAIL) for _ in range(3)] + [server(echo)]
    gw = gateway(ups, admin=ADMIN, retry={"max": 0}, balance="round_robin",
                 breaker={"consecutive": 1, "open": "1h"}, ejection={"max": "50%"})
    for _ in range(8):
        gw.get()
    asked = [up.count for up in ups]
    for _ in range(20):
        gw.get()
    still = [up.count - before for up, before in zip(ups, asked)]
    assert sorted(n > 0 for n in still) == [False, False, True, True], still
