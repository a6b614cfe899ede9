"""The running process has given up what it does not need, and works all the same.

Under a sanitizer seccomp and Landlock would be in its way, so these tests take a plain
build, in build/, where the one under test carries one."""
import json
import os
import pathlib
import pwd
import re
import sqlite3
import stat
import subprocess

import pytest

from kit.admin import ADMIN, Admin
from kit.gateway import BINARY, ROOT, SANITIZERS, configuration
from kit.ledger import ONCE, QUICK, Ledger
from kit.load import Load, echo
from kit.mock import command
from kit.upgrade import upgrade
from kit.waiting import DEADLINE, eventually


def plain():
    for path in (BINARY, os.environ.get("SWITCHGEAR_PLAIN"), str(ROOT / "build" / "switchgear")):
        if path and os.path.exists(path):
            if not re.search(rb"__(asan|tsan)_init", pathlib.Path(path).read_bytes()):
                return path
    return None


PLAIN = plain()
WHOLE = {"seccomp": "on", "landlock": "on"}
NOBODY = pwd.getpwnam("nobody")

pytestmark = pytest.mark.skipif(not PLAIN, reason="no plain build")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")


def status(pid):
    return dict(line.split(":\t", 1)
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
                if ":\t" in line)


@pytest.fixture
def confined(gateway):
    def start(*args, confine=None, **keys):
        return gateway(*args, binary=PLAIN, confine=confine or WHOLE, **keys)
    return start


def test_it_works_and_can_do_nothing_else(confined, server, tmp_path):
    """Every thread: no new privileges, a filter for its calls; and the helper that starts
    an upgrade is the only other process."""
    ledger, files = Ledger(server), tmp_path / "files"
    files.mkdir()
    (files / "page.txt").write_text("a page")
    secrets = tmp_path.parent / f"{tmp_path.name}.secrets"
    secrets.mkdir()
    (secrets / "token").write_text("c2VjcmV0")
    database = sqlite3.connect(tmp_path / "shop.db")
    database.execute("CREATE TABLE item(name TEXT)")
    database.execute("INSERT INTO item VALUES('tea')")
    database.execute("CREATE TABLE much(n INTEGER, text TEXT)")
    database.executemany("INSERT INTO much VALUES(?, ?)", [(n, "x" * 2000) for n in range(8000)])
    database.commit()
    database.close()
    config = configuration(
        [ledger], admin=ADMIN, workers=2, confine=WHOLE, retry=ONCE, breaker=QUICK,
        fallback=[{"queue": {}}], cache_disk={"path": str(tmp_path / "cache")},
        log={"level": "debug"},
        services={"page": {"endpoints": ["http://localhost:1"], "retry": ONCE,
                           "cache": {"store": "disk"},
                           "fallback": [{"static": {"file": str(files / "page.txt")}}]},
                  "shop": {"endpoints": ["http://127.0.0.1:1"], "retry": ONCE, "fallback": [
                      {"sql": {"database": f"sqlite:{tmp_path}/shop.db", "public": True,
                               "query": "SELECT name FROM item ORDER BY random()"}}]},
                  "much": {"endpoints": ["http://127.0.0.1:1"], "retry": ONCE, "fallback": [
                      {"sql": {"database": f"sqlite:{tmp_path}/shop.db", "public": True,
                               "query": "SELECT n FROM much ORDER BY text, n "
                                        "LIMIT 1 OFFSET 7999"}}]},
                  "secret": {"endpoints": ["http://127.0.0.1:1"], "fallback": [
                      {"service": {"name": "page", "set_headers": {
                          "Authorization": f"file:{secrets}/token"}}}]}},
        routes=[{"path": "/page", "service": "page"}, {"path": "/shop", "service": "shop"},
                {"path": "/much", "service": "much"}, {"path": "/secret", "service": "secret"},
                {"prefix": "/", "service": "web"}])
    gw = confined(config=config)
    line = gw.wait_message("confined")
    assert line["seccomp"] and line["landlock"] > 0
    tasks = os.listdir(f"/proc/{gw.pid}/task")
    assert len(tasks) > 2
    for task in tasks:
        told = status(f"{gw.pid}/task/{task}")
        assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2"
    assert gw.get("/page").body == b"a page"
    assert json.loads(gw.get("/shop").body) and gw.post("/", b"1").status == 202
    ledger.well = True
    eventually(lambda: ledger.done == [b"1"], "it is sent")
    assert json.loads(gw.get("/much").body) == [{"n": 7999}]  # more than is sorted in one go
    # files of the directories that it knows are read by a reload, others are not
    (files / "new.txt").write_text("new")
    config["services"]["page"]["fallback"] = [{"static": {"file": str(files / "new.txt")}}]
    gw.reload(config)
    assert gw.get("/page").body == b"new"
    outside = tmp_path.parent / f"{tmp_path.name}.outside"
    outside.write_text("outside")
    config["services"]["page"]["fallback"] = [{"static": {"file": str(outside)}}]
    assert "Permission denied" in gw.reload(config, ok=False)["cause"]
    with Admin(gw) as admin:
        assert admin.json("/health", status=503 if admin.get("/health").status_code == 503 else 200)
        metrics = admin.get("/metrics").text
        assert float(re.search(r"^process_open_fds (\d+)", metrics, re.M)[1]) > 5


def test_an_upgrade_goes_on(confined, server):
    """Though the gateway itself can start nothing; also twice, as nothing is inherited."""
    gw = confined([server(echo)], admin=ADMIN, workers=2)
    load = Load(gw, clients=3)
    for n in range(2):
        load.wait_answers(10)
        upgrade(gw)
        assert gw.wait_message("confined", n + 2)["seccomp"]
        assert status(gw.pid)["Seccomp_filters"].strip() == "1"
    load.stop()
    assert load.closes == 0
    gw.write("listen: [")
    _, why = command("upgrade", "--admin", gw.wait_message("admin listening", 3)["address"], code=1)
    assert "status 2" in why
    assert gw.get("/still").body == b"/still"


@as_root
def test_from_root_to_somebody_else(confined, server, tmp_path):
    """With a port that only root can open, and what root alone could read."""
    tmp_path.chmod(0o755)
    home = tmp_path / "state"
    home.mkdir()
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    for parent in tmp_path.parents:  # pytest keeps them for itself
        if parent.stat().st_mode & stat.S_IXOTH == 0:
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    ledger = Ledger(server)
    gw = confined([ledger], admin=ADMIN, workers=2, retry=ONCE, breaker=QUICK,
                  store=f"sqlite:{home}/switchgear.db", fallback=[{"queue": {}}],
                  confine={**WHOLE, "user": "nobody"})
    assert gw.wait_message("confined")["uid"] == NOBODY.pw_uid
    for _ in range(2):
        told = status(gw.pid)
        assert told["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert told["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert {int(told[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
                } == {0}
        assert gw.post("/", b"1").status == 202
        assert (home / "switchgear.db").stat().st_uid == NOBODY.pw_uid
        upgrade(gw)  # by a helper that is root still
    ledger.well = True
    eventually(lambda: ledger.done == [b"1", b"1"], "they are sent")


@as_root
def test_a_pid_file_that_could_not_be_written_is_an_error_at_the_start(server, tmp_path):
    file, owned = tmp_path / "switchgear.yaml", tmp_path / "owned"
    owned.mkdir(0o755)
    file.write_text(json.dumps(configuration([server(echo)], confine={"user": "nobody"})))
    done = subprocess.run([BINARY, "run", "-c", file, "--pid-file", owned / "pid"],
                          capture_output=True, text=True, env={**os.environ, **SANITIZERS},
                          timeout=DEADLINE, check=False)
    assert done.returncode == 1 and "pid file" in done.stderr and "nobody" in done.stderr


@pytest.mark.parametrize("confine, words", [
    ({"user": "there-is-no-such-user"}, "there is no user there-is-no-such-user"),
    ({"user": "nobody", "group": "there-is-no-such-group"}, "there is no group"),
    ({"user": "root"}, "root"),
])
@as_root
def test_who_cannot_be_is_an_error_at_the_start(server, tmp_path, confine, words):
    file = tmp_path / "switchgear.yaml"
    file.write_text(json.dumps(configuration([server(echo)], confine=confine)))
    done = subprocess.run([BINARY, "run", "-c", file], capture_output=True, text=True,
                          env={**os.environ, **SANITIZERS}, timeout=DEADLINE, check=False)
    assert done.returncode == 1 and words in done.stderr
