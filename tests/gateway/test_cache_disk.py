"""The cache on a disk: what outlasts a restart, and what must not come back."""
import os
import shutil
import signal

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import FAIL, OLD, metric, start, state
from kit.http import answer
from kit.waiting import eventually

DAY = "Cache-Control: max-age=86400"
OPENED = "the cache uses its disk"


class Place:
    """A directory, and gateways that keep their answers there."""

    def __init__(self, path, gateway):
        self.path, self.gateway = path, gateway

    def start(self, up, *, wait=True, cache=None, disk=None, **keys):
        gw = start(self.gateway, up, cache={"store": "disk", **(cache or {})}, admin=ADMIN,
                   cache_disk={"path": str(self.path), "timeout": "5s", **(disk or {})}, **keys)
        gw.admin = Admin(gw)
        if wait:
            gw.opened = gw.wait_message(OPENED)
        return gw

    def segments(self):
        return sorted(self.path.glob("*.swg"))

    def written(self, gw, count):
        eventually(lambda: store(gw, "cache_store_entries") == count, f"{count} are on the disk")


@pytest.fixture
def place(tmp_path, gateway):
    return Place(tmp_path / "cache", gateway)


def store(gw, name, **labels):
    text = "".join(f',{k}="{v}"' for k, v in labels.items())
    return metric(gw.admin, f'{name}{{store="disk"{text}}}')


def again(place, gw, up, **keys):
    gw.stop()
    return place.start(up, **keys)


def test_an_answer_outlasts_a_restart(place, origin):
    up = origin(DAY, 'ETag: "a"', "X-Own: 1", "Content-Type: text/plain")
    gw = place.start(up)
    first = gw.get("/x")
    place.written(gw, 1)
    gw = again(place, gw, up)
    assert gw.opened["entries"] == 1
    reply = gw.get("/x")
    assert up.count == 1 and reply.body == first.body and reply.story[0] == "cache"
    assert reply.headers["ETag"] == '"a"' and reply.headers["X-Own"] == "1"
    assert state(reply).startswith("hit; ttl=") and int(reply.headers["Age"]) >= 0
    assert gw.get("/x", 'If-None-Match: "a"').status == 304
    assert store(gw, "cache_store_requests_total", result="hit") == 1


def test_service_and_gateway_go_down_together(place, origin):
    """What the store is for: the page is there although nobody has it in memory."""
    up = origin("Cache-Control: max-age=60", OLD)
    gw = place.start(up, cache={"stale": "1h"})
    gw.get("/x")
    place.written(gw, 1)
    up.answer = FAIL
    gw = again(place, gw, up, cache={"stale": "1h"})
    reply = gw.get("/x")
    assert reply.status == 200 and reply.body == b"1" and reply.story[0] == "stale"
    assert int(reply.headers["Age"]) >= 1000 and "Stale" in reply.headers["Warning"]
    assert gw.get("/y").status == 500


def test_an_unusable_entry_is_asked_about(place, server):
    def respond(request, link):
        if request.headers.get("If-None-Match") == '"a"':
            return answer(b"", "304 Not Modified", DAY, 'ETag: "a"')
        return answer(b"whole", "200 OK", "Cache-Control: max-age=60", OLD, 'ETag: "a"')
    up = server(respond)
    gw = place.start(up, cache={"stale": "1h"})
    gw.get("/x")
    place.written(gw, 1)
    gw = again(place, gw, up, cache={"stale": "1h"})
    reply = gw.get("/x")
    assert reply.body == b"whole" and "fwd=stale; fwd-status=304; stored" in state(reply)
    assert gw.get("/x").story[0] == "cache"


def test_refreshed_behind_after_a_restart(place, origin):
    up = origin("Cache-Control: max-age=60, stale-while-revalidate=86400", OLD)
    gw = place.start(up)
    gw.get("/x")
    place.written(gw, 1)
    gw = again(place, gw, up)
    assert gw.get("/x").body == b"1"
    eventually(lambda: up.count == 2, "it was refreshed")


def test_what_was_written_to_is_forgotten_there_too(place, origin):
    up = origin(DAY)
    gw = place.start(up)
    gw.get("/x")
    gw.get("/y")
    place.written(gw, 2)
    assert gw.post("/x", b"new").status == 200
    place.written(gw, 1)
    gw = again(place, gw, up)
    assert gw.get("/x").body == b"4" and gw.get("/y").body == b"2"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_any_time(place, origin, gateway, number):
    up = origin(DAY, body=b"x" * 5000)
    for turn in range(3):
        gw = place.start(up, drain={"delay": "0s"})
        for page in range(20):
            assert gw.get(f"/{page}").body == b"x" * 5000
        if number == signal.SIGKILL:
            gw.signal(number)
            gw.process.wait()
            gw.process.returncode = 0
        else:
            gw.signal(number)
            assert gw.wait() == 0
    # a stop in order has written all; nothing came twice but what a kill has lost
    assert up.count == 20 if number == signal.SIGTERM else 20 <= up.count <= 60


def test_a_damaged_answer_is_never_served(place, origin):
    up = origin(DAY, body=b"good" * 100)
    gw = place.start(up)
    for page in range(4):
        gw.get(f"/{page}")
    place.written(gw, 4)
    gw.stop()
    segment, = place.segments()
    data = bytearray(segment.read_bytes())
    at = data.index(b"good" * 100, len(data) // 2)
    data[at + 7] ^= 1
    segment.write_bytes(data)
    gw = place.start(up)
    for page in range(4):
        assert gw.get(f"/{page}").body == b"good" * 100
    assert up.count == 5
    assert store(gw, "cache_store_damaged_total") == 1
    place.written(gw, 4)


def test_a_cut_off_segment(place, origin):
    up = origin(DAY, body=b"good" * 100)
    gw = place.start(up)
    for page in range(4):
        gw.get(f"/{page}")
    place.written(gw, 4)
    gw.stop()
    segment, = place.segments()
    with open(segment, "r+b") as f:
        f.truncate(segment.stat().st_size - 100)
    gw = place.start(up)
    assert gw.opened["entries"] == 3
    for page in range(4):
        assert gw.get(f"/{page}").body == b"good" * 100
    assert up.count == 5


def test_another_process_has_the_directory(place, origin):
    up = origin(DAY)
    first = place.start(up)
    second = place.start(up, wait=False)
    line = second.wait_message("the cache goes on without its disk")
    assert line["cause"] == "another process uses the directory"
    assert second.get("/x").status == 200 and second.get("/x").story[0] == "cache"
    assert first.get("/x").status == 200 and up.count == 2


def test_a_directory_that_cannot_be_used(place, origin, tmp_path):
    place.path = tmp_path / "file"
    place.path.write_text("")
    up = origin(DAY)
    gw = place.start(up, wait=False)
    assert gw.wait_message("the cache goes on without its disk")["cause"] == "Not a directory"
    assert gw.get("/x").body == gw.get("/x").body == b"1"
    assert len(gw.messages("the cache goes on without its disk")) == 1


def test_a_directory_that_vanishes(place, origin):
    up = origin(DAY, body=b"x" * 30000)
    gw = place.start(up, disk={"bytes": "4MiB"})
    gw.get("/0")
    shutil.rmtree(place.path)
    for page in range(1, 9):
        assert gw.get(f"/{page}").status == 200
    line = gw.wait_message("the cache goes on without its disk")
    assert line["cause"] == "No such file or directory"
    assert gw.get("/0").story[0] == "cache"
    gw.wait_message(OPENED, 2)
    gw.get("/again")
    place.written(gw, 1)


def test_a_disk_that_is_full(place, origin):
    """Files may grow to 64 KiB only: as a full disk, every write beyond fails."""
    up = origin(DAY, body=b"x" * 20000)
    gw = place.start(up)
    import resource
    resource.prlimit(gw.pid, resource.RLIMIT_FSIZE, (65536, 65536))
    for page in range(10):
        assert gw.get(f"/{page}").status == 200
    gw.wait_message("the cache goes on without its disk")
    assert store(gw, "cache_store_unsaved_total") >= 1
    resource.prlimit(gw.pid, resource.RLIMIT_FSIZE, (65536, 65536))
    gw = again(place, gw, up)
    for page in range(10):
        assert gw.get(f"/{page}").body == b"x" * 20000


@pytest.mark.threads
def test_several_workers(place, origin):
    up = origin(DAY, body=b"x" * 3000)
    for turn in range(2):
        gw = place.start(up, workers=2, cache_memory="1MiB", disk={"bytes": "4MiB"})
        for page in range(200):
            assert gw.get(f"/{page % 70}").body == b"x" * 3000
            if page % 50 == 0:
                gw.post(f"/{page % 70}", b"new")
        assert store(gw, "cache_store_damaged_total") == 0
        gw.stop()


def test_more_than_memory_holds(place, origin):
    """Memory is too small for all of them: the disk has the rest."""
    up = origin(DAY, body=b"x" * 50_000)
    gw = place.start(up, cache_memory="1MiB")
    for page in range(60):
        gw.get(f"/{page}")
    place.written(gw, 60)
    for page in range(60):
        assert gw.get(f"/{page}").body == b"x" * 50_000
    assert up.count == 60 and store(gw, "cache_store_requests_total", result="hit") >= 30


def test_what_varies(place, server):
    up = server(lambda r, l: answer(r.headers.get("Accept-Language", "none").encode(), "200 OK",
                                    DAY, "Vary: Accept-Language"))
    gw = place.start(up)
    gw.get("/x", "Accept-Language: de")
    place.written(gw, 1)
    gw = again(place, gw, up)
    assert gw.get("/x", "Accept-Language: fr").body == b"fr"
    assert gw.get("/x", "Accept-Language: de").body == b"de"


def test_a_store_that_is_not_configured_is_an_error(gateway, origin, tmp_path):
    import subprocess
    from kit.gateway import BINARY, configuration
    import json
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(configuration(["http://127.0.0.1:1"], cache={"store": "disk"})))
    run = subprocess.run([BINARY, "check", str(path)], capture_output=True, text=True)
    assert run.returncode == 2 and "no disk is configured" in run.stderr


def test_many_at_once_after_a_restart_are_one_question(place, origin):
    up = origin(DAY)
    gw = place.start(up)
    gw.get("/x")
    place.written(gw, 1)
    gw = again(place, gw, up)
    clients = [gw.connect() for _ in range(20)]
    for client in clients:
        client.ask("GET", "/x")
    assert {client.answer().body for client in clients} == {b"1"}
    for client in clients:
        client.close()
    assert up.count == 1 and store(gw, "cache_store_requests_total", result="hit") == 1
