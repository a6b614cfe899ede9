"""One upstream request for many equal ones: who asks, who waits, and who goes on when the
one who asked brings nothing for the others."""
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import FAIL, answers, ask_many, metric, start, wait_asked
from kit.http import answer
from kit.waiting import DEADLINE, eventually

KEPT = "Cache-Control: max-age=60"


# ---- one for many -----------------------------------------------------------------------


@pytest.mark.threads
@pytest.mark.parametrize("workers", [1, 4])
def test_many_equal_requests_are_one(gateway, held, workers):
    up = held(KEPT)
    gw = start(gateway, up, workers=workers, admin=ADMIN)
    clients = ask_many(gw, 20)
    with Admin(gw) as admin:
        wait_asked(admin, 20)
        up.gate.set()
        assert {reply.body for reply in answers(clients)} == {b"1"}
        assert up.count == 1
        assert metric(admin, "cache_entries") == 1


@pytest.mark.threads
def test_many_of_many(gateway, held):
    """Several things at once, on several workers."""
    up = held(KEPT)
    gw = start(gateway, up, workers=4, admin=ADMIN)
    clients = [ask_many(gw, 8, f"/{i}") for i in range(6)]
    with Admin(gw) as admin:
        wait_asked(admin, 48)
    up.gate.set()
    for group in clients:
        assert len({reply.body for reply in answers(group)}) == 1
    assert up.count == 6


def test_who_comes_while_the_body_streams_waits_for_it(gateway, upstream):
    up = upstream()
    gw = start(gateway, up, admin=ADMIN)
    first, second = gw.connect(), gw.connect()
    first.ask("GET", "/x")
    link = up.accept()
    link.request()
    link.send(answer(b"0123456789", "200 OK", KEPT)[:-5])
    first.head()
    assert first.exactly(5) == b"01234"
    second.ask("GET", "/x")
    with Admin(gw) as admin:
        wait_asked(admin, 2)
    link.send(b"56789")
    assert second.answer().body == b"0123456789"
    assert not up.has_caller()
    first.close()
    second.close()


def test_a_head_does_not_hold_up_a_get(gateway, held):
    """Its answer has no body to be stored."""
    up = held(KEPT)
    gw = start(gateway, up)
    with gw.connect() as head, gw.connect() as get:
        head.ask("HEAD", "/x")
        up.wait_count(1)
        get.ask("GET", "/x")
        up.wait_count(2)
        up.gate.set()
        assert head.answer(head_only=True).status == 200 and get.answer().status == 200


@pytest.mark.parametrize("line", ["Range: bytes=0-1", "Cache-Control: no-store",
                                  "Cache-Control: no-cache", "Authorization: x"])
def test_who_cannot_share_does_not_wait(gateway, held, line):
    up = held(KEPT)
    gw = start(gateway, up)
    with gw.connect() as first, gw.connect() as second:
        first.ask("GET", "/x")
        up.wait_count(1)
        second.ask("GET", "/x", headers=[line])
        up.wait_count(2)
        up.gate.set()
        assert first.answer().status == second.answer().status == 200


def test_only_if_cached_does_not_wait(gateway, held):
    up = held(KEPT)
    gw = start(gateway, up)
    with gw.connect() as first:
        first.ask("GET", "/x")
        up.wait_count(1)
        assert gw.get("/x", "Cache-Control: only-if-cached").status == 504
        up.gate.set()
        assert first.answer().status == 200


# ---- when the first brings nothing ------------------------------------------------------


@pytest.mark.threads
def test_when_the_first_goes_away_another_fetches(gateway, held):
    up = held(KEPT)
    gw = start(gateway, up, admin=ADMIN)
    leader = gw.connect()
    leader.ask("GET", "/x")
    up.wait_count(1)
    clients = ask_many(gw, 10)
    with Admin(gw) as admin:
        wait_asked(admin, 11)
        leader.reset()
        wait_asked(admin, 10)
        up.wait_count(2)
    up.gate.set()
    assert len({reply.body for reply in answers(clients)}) == 1 and up.count == 2


@pytest.mark.threads
def test_when_all_go_away_nothing_is_left_behind(gateway, held):
    up = held(KEPT)
    gw = start(gateway, up, workers=2, admin=ADMIN)
    leader = gw.connect()
    leader.ask("GET", "/x")
    up.wait_count(1)
    clients = ask_many(gw, 10)
    with Admin(gw) as admin:
        wait_asked(admin, 11)
        for client in [*clients, leader]:
            client.reset()
        wait_asked(admin, 0)
    up.gate.set()
    assert gw.get("/x").status == 200  # nobody waits for who is gone
    assert gw.get("/x").status == 200


@pytest.mark.threads
def test_when_the_first_fails_the_others_are_told(gateway, held):
    up = held()
    up.answer = FAIL
    gw = gateway([up], cache={}, retry={"max": 0}, admin=ADMIN, workers=2,
                 fallback=[{"static": {"status": 200, "text": "sorry"}}])
    clients = ask_many(gw, 10)
    with Admin(gw) as admin:
        wait_asked(admin, 10)
    up.gate.set()
    assert {reply.body for reply in answers(clients)} == {b"sorry"}


def test_a_leader_that_fails_does_not_fail_the_others(gateway, held):
    """One bad answer is one client's: the next one asks again, for the rest too."""
    up = held()
    up.answer = lambda r: FAIL if up.count == 1 else answer(b"good", "200 OK", KEPT)
    gw = start(gateway, up, admin=ADMIN)
    leader = gw.connect()
    leader.ask("GET", "/x")
    up.wait_count(1)
    clients = ask_many(gw, 10)
    with Admin(gw) as admin:
        wait_asked(admin, 11)
    up.gate.set()
    assert leader.answer().status == 500
    assert {reply.body for reply in answers(clients)} == {b"good"} and up.count == 2
    leader.close()


@pytest.mark.parametrize("ending", ["cut", "reset"])
def test_an_answer_that_breaks_off_is_one_clients(gateway, upstream, ending):
    up = upstream()
    gw = start(gateway, up, admin=ADMIN)
    leader = gw.connect()
    leader.ask("GET", "/x")
    link = up.accept()
    link.request()
    clients = ask_many(gw, 5)
    with Admin(gw) as admin:
        wait_asked(admin, 6)
    link.send(answer(b"0123456789", "200 OK", KEPT)[:-5])
    leader.head()
    link.reset() if ending == "reset" else link.close()
    up.serve(b"whole", "200 OK", KEPT)
    assert {reply.body for reply in answers(clients)} == {b"whole"}
    leader.close()


@pytest.mark.parametrize("line", ["Cache-Control: private", "Cache-Control: no-store",
                                  "Set-Cookie: a=b", "Vary: *", "Cache-Control: max-age=0"])
def test_what_may_not_be_shared_lets_the_others_go_side_by_side(gateway, server, line):
    """Not one after the other: the answers come only when all have asked."""
    first, together = threading.Event(), threading.Barrier(6)

    def respond(request, link):
        if up.count == 1:
            assert first.wait(DEADLINE)
        else:
            together.wait(DEADLINE)
        return answer(b"%d" % up.count, "200 OK", line)

    up = server(respond)
    gw = start(gateway, up, admin=ADMIN, fallback=(), cache={"stale": "0s"})
    leader = gw.connect()
    leader.ask("GET", "/x")
    up.wait_count(1)
    clients = ask_many(gw, 6)
    with Admin(gw) as admin:
        wait_asked(admin, 7)
    first.set()
    assert leader.answer().status == 200
    assert [reply.status for reply in answers(clients)] == [200] * 6
    assert up.count == 7
    # and it is known from now on: nobody waits for the first any more
    clients = ask_many(gw, 6)
    assert [reply.status for reply in answers(clients)] == [200] * 6
    leader.close()


def test_what_is_too_large_lets_the_others_go_when_that_shows(gateway, server):
    body, together = b"x" * 400_000, threading.Barrier(5)

    def respond(request, link):
        if up.count > 1:
            together.wait(DEADLINE)
        link.send("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
                  "Transfer-Encoding: chunked\r\n\r\n")
        if up.count == 1:  # the length shows only by and by
            eventually(lambda: metric(admin, "gateway_requests_in_flight") == 6, "all have asked")
        link.send(b"61a80\r\n" + body + b"\r\n0\r\n\r\n")
        return b""

    up = server(respond)
    gw = start(gateway, up, cache_memory="1MiB", admin=ADMIN)
    with Admin(gw) as admin:
        clients = ask_many(gw, 6)
        assert {reply.body for reply in answers(clients)} == {body}
    assert up.count == 6


# ---- variants ---------------------------------------------------------------------------


def by_language(up):
    return lambda r: answer(r.headers.get("Accept-Language", "-"), "200 OK", KEPT,
                            "Vary: Accept-Language")


def test_who_wants_another_variant_gets_it(gateway, held):
    up = held()
    up.answer = by_language(up)
    gw = start(gateway, up, admin=ADMIN)
    groups = {language: ask_many(gw, 6, "/x", f"Accept-Language: {language}")
              for language in ("de", "fr", "it")}
    with Admin(gw) as admin:
        wait_asked(admin, 18)
    up.gate.set()
    for language, clients in groups.items():
        assert {reply.body for reply in answers(clients)} == {language.encode()}
    assert up.count == 3  # each of them is asked for once, too


def test_variants_that_are_known_are_fetched_side_by_side(gateway, held):
    up = held()
    up.answer = by_language(up)
    up.gate.set()
    gw = start(gateway, up)
    gw.get("/x", "Accept-Language: de")
    up.gate.clear()
    with gw.connect() as fr, gw.connect() as it:
        fr.ask("GET", "/x", headers=["Accept-Language: fr"])
        it.ask("GET", "/x", headers=["Accept-Language: it"])
        up.wait_count(3)
        up.gate.set()
        assert (fr.answer().body, it.answer().body) == (b"fr", b"it")
