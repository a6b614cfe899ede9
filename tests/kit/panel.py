"""The panel in a real Chromium, driven by Playwright: tests/panel/driver.js does it."""
import json
import pathlib
import shutil
import subprocess

import pytest

from kit.npm import modules
from kit.waiting import DEADLINE

CHROMIUM = shutil.which("chromium")
HERE = pathlib.Path(__file__).resolve().parent.parent / "panel"


class Panel:
    """One page at a time. What it complained about is in complaints()."""

    def __init__(self):
        if not CHROMIUM:
            pytest.skip("chromium is not installed")
        found = modules(HERE, "panel-modules")
        self.process = subprocess.Popen(
            ["node", str(HERE / "driver.js"), CHROMIUM, str(int(DEADLINE * 1000))],
            env={"NODE_PATH": str(found), "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, "the browser does not start"

    def do(self, what, *arguments):
        self.process.stdin.write(json.dumps([what, *arguments]) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, "the driver has ended"
        said = json.loads(line)
        assert "error" not in said, f"{said['error']}\nThe page says:\n{said['shown']}"
        return said.get("value")

    def open(self, url, **options):
        self.do("open", str(url), options)

    def text(self, selector):
        """What can be read there: one string an element; nothing of what is hidden."""
        return self.do("text", selector)

    def shows(self, selector, text):
        """Waits until it can be read there."""
        self.do("shows", selector, text)

    def hides(self, selector):
        self.until(f"![...document.querySelectorAll({json.dumps(selector)})]"
                   ".some((node) => node.checkVisibility({visibilityProperty: true}))")

    def until(self, script):
        self.do("until", script)

    def run(self, script):
        return self.do("run", script)

    def click(self, selector):
        self.do("click", selector)

    def fill(self, selector, text):
        self.do("fill", selector, text)

    def press(self, *keys):
        for key in keys:
            self.do("press", key)

    def inspect(self):
        """What axe-core finds wrong."""
        return "\n".join(self.do("inspect"))

    def complaints(self):
        return self.do("complaints")

    def close(self):
        self.process.stdin.close()
        self.process.wait(DEADLINE)
        self.process.stdout.close()
