"""A terminal that a test can type into and look at: tmux, with a server of its own."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from kit.mock import environment
from kit.waiting import eventually


class Terminal:
    """Runs a shell command; afterwards the terminal stays, and shows its exit code."""

    def __init__(self, command, columns=100, lines=30, env=None):
        self.folder = tempfile.mkdtemp(prefix="tmux")  # short, as the path of a socket must be
        self.socket = os.path.join(self.folder, "s")
        extra = environment(env)
        for name in ("TMUX", "TMUX_PANE"):
            extra.pop(name, None)
        if not (env or {}).get("NO_COLOR"):
            extra.pop("NO_COLOR", None)
        # what `stty` says before and after is compared
        script = f"stty -a > {self.folder}/before; {command}; code=$?; " \
                 f"stty -a > {self.folder}/after; echo \"exit code $code.\"; exec cat"
        subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", "new-session", "-d",
                        "-x", str(columns), "-y", str(lines), "sh", "-c", script],
                       env=extra, check=True, timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tmux("kill-server", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tmux(self, *arguments, check=True):
        done = subprocess.run(["tmux", "-S", self.socket, *arguments], capture_output=True,
                              text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def screen(self, raw=False):
        """What stands there; `raw`: with the sequences that colour it."""
        return self.tmux("capture-pane", "-p", *(["-e"] if raw else []))

    def is_about(self, format):
        return self.tmux("display-message", "-p", "#{" + format + "}").strip()

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def wait(self, *texts, gone=()):
        """Until all of these stand there, and none of those that should be gone."""
        def found():
            shown = self.screen()
            return all(t in shown for t in texts) and not any(t in shown for t in gone) and shown
        try:
            return eventually(found, f"{texts} without {gone}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.screen()}") from None

    def resize(self, columns, lines):
        self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def child(self):
        """The process that the shell runs."""
        shell = self.is_about("pane_pid")
        return int(pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text().split()[0])

    def kill(self, number=signal.SIGTERM):
        os.kill(self.child(), number)

    def is_restored(self):
        """The screen of before, its cursor, and all that stty knows."""
        before, after = (pathlib.Path(self.folder, name).read_text()
                         for name in ("before", "after"))
        return before == after and self.is_about("alternate_on") == "0" \
            and self.is_about("cursor_flag") == "1" and self.is_about("wrap_flag") == "1"
