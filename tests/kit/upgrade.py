"""Upgrades of a running gateway: another process takes its place."""
import ctypes
import os
import signal
import subprocess

from kit.waiting import DEADLINE, eventually

PR_SET_CHILD_SUBREAPER = 36
TAKEN = "upgrade: the new process has taken over"
FAILED = "upgrade failed: this process goes on"


class Child:
    """A process that a child of ours has started, with what a Popen can do that is
    needed here. It is our own once its parent has ended: see adopt_orphans()."""

    def __init__(self, pid):
        self.pid = pid
        self.returncode = None

    def poll(self):
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # its parent has not ended yet
                return None
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=DEADLINE):
        try:
            eventually(lambda: self.poll() is not None, "it ends", timeout)
        except AssertionError:
            raise subprocess.TimeoutExpired("switchgear", timeout) from None
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


def adopt_orphans():
    """Processes whose parent ends become children of this one."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def upgrade(gw, ask=None, wait=True):
    """Has a new process take over; `gw` is that from now on. Returns the old one, which
    has ended well unless `wait` is False."""
    adopt_orphans()
    before = len(gw.messages(TAKEN))
    if ask:
        ask()
    else:
        gw.signal(signal.SIGUSR2)
    line = gw.wait_message(TAKEN, before + 1)
    old, gw.process = gw.process, Child(line["process"])
    if wait:
        old.wait(timeout=DEADLINE)
        assert old.returncode == 0, gw.log()
    return old
