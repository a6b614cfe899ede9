"""Chromium without a window, driven over its debugging protocol."""
import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import urllib.request

import websockets

from kit.waiting import DEADLINE

CHROMIUM = shutil.which("chromium")


class Browser:
    """One page. What it complained about is in `complaints`."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
             f"--user-data-dir={self.home.name}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            self._open()
        except BaseException:
            self._end()
            raise

    def _open(self):
        port = next(m[1] for line in self.process.stderr
                    if (m := re.search(r"ws://127\.0\.0\.1:(\d+)/", line)))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(t for t in json.load(answer) if t["type"] == "page")
        self.loop = asyncio.new_event_loop()
        self.socket = self._run(self._connect(page["webSocketDebuggerUrl"]))
        self.count = 0
        self.complaints = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _run(self, awaitable):
        return self.loop.run_until_complete(asyncio.wait_for(awaitable, DEADLINE))

    @staticmethod
    async def _connect(url):
        return await websockets.connect(url, max_size=None)

    async def _call(self, method, params):
        self.count += 1
        await self.socket.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = json.loads(await self.socket.recv())
            if message.get("id") == self.count:
                assert "error" not in message, message
                return message["result"]
            self._hear(message.get("method"), message.get("params"))

    def _hear(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(params["exceptionDetails"]))
        if method == "Log.entryAdded" and params["entry"]["source"] in ("security", "javascript"):
            self.complaints.append(params["entry"]["text"])

    def call(self, method, **params):
        return self._run(self._call(method, params))

    def go(self, url):
        self.call("Page.navigate", url=url)

    def run(self, script):
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True,
                           returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def text(self, selector):
        """What can be read there; "" where it is not there, or not shown."""
        return self.run(f"""(() => {{
            const found = document.querySelector({json.dumps(selector)});
            return found && found.getClientRects().length ? found.innerText : "";
        }})()""")

    def close(self):
        self._run(self.socket.close())
        self.loop.close()
        self._end()

    def _end(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()
        self.home.cleanup()
