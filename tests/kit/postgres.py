"""A real PostgreSQL server in a directory of its own, on a port of its own."""
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import psycopg2
import pytest

from kit.waiting import DEADLINE, eventually


def _free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Postgres:
    """Started by the constructor; start() starts it again after stop()."""

    def __init__(self):
        found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            pytest.skip("no PostgreSQL here")
        self.bin = found[-1]
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="swg-pg-"))
        self.process = None
        self.port = _free_port()
        # it refuses to run as root
        self.user = [] if os.getuid() else ["setpriv", "--reuid=postgres", "--regid=postgres",
                                            "--clear-groups"]
        if self.user:
            shutil.chown(self.directory, "postgres", "postgres")
        subprocess.run(self.user + [str(self.bin / "initdb"), "-D", str(self.directory / "data"),
                                    "-A", "trust", "-U", "test", "--no-sync", "-E", "UTF8"],
                       check=True, stdout=subprocess.DEVNULL, cwd=self.directory)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self, *options, wait=True):
        self.process = subprocess.Popen(
            self.user + [str(self.bin / "postgres"), "-D", str(self.directory / "data"),
                         "-p", str(self.port), "-k", str(self.directory),
                         "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
                         "-c", "max_connections=40", *options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=open(self.directory / "log", "a"), cwd=self.directory, start_new_session=True)
        if wait:
            eventually(self._answers, "PostgreSQL answers", 3 * DEADLINE)

    def _answers(self):
        assert self.process.poll() is None, (self.directory / "log").read_text()
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def url(self, port=None, user="test", more=""):
        return f"postgresql://{user}@127.0.0.1:{port or self.port}/postgres{more}"

    def connect(self, database="postgres"):
        connection = psycopg2.connect(self.url(), dbname=database, connect_timeout=10)
        connection.autocommit = True
        return connection

    def run(self, text, *values, database="postgres"):
        """Rows, or nothing where there are none."""
        connection = self.connect(database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(text, values or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def backends(self, name="switchgear"):
        """(pid, state, query) of the connections of that application."""
        return self.run("SELECT pid, state, query FROM pg_stat_activity "
                        "WHERE application_name = %s", name)

    def kill_backends(self):
        return self.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE application_name = 'switchgear'")

    def freeze(self):
        """It, and all that it has started, stand still."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self):
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number):
        pids = [self.process.pid]
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids += [int(pid) for pid in children.read_text().split()]
        for pid in pids:
            os.kill(pid, number)

    def stop(self):
        """At once, as when its machine goes."""
        if self.process and self.process.poll() is None:
            self.thaw()
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(DEADLINE)

    def close(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Database:
    """One of its own, of the server; with what an outbox has in it."""

    numbers = itertools.count(1)

    def __init__(self, pg):
        self.pg, self.name = pg, f"own{next(Database.numbers)}"
        pg.run(f"CREATE DATABASE {self.name}")

    def url(self, port=None):
        return self.pg.url(port).replace("/postgres", f"/{self.name}")

    def run(self, text, *values):
        return self.pg.run(text, *values, database=self.name)

    def waiting(self):
        return self.run("SELECT count(*) FROM switchgear_outbox WHERE state <= 2")[0][0]

    def holder(self):
        rows = self.run("SELECT split_part(owner, ':', 2)::int FROM switchgear_outbox_lease "
                        "WHERE until > clock_timestamp()")
        return rows[0][0] if rows else None
