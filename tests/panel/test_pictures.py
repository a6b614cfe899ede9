"""A whole system during an outage, on one page. The pictures in the docs are taken here:

    PANEL_PICTURES=docs/img /usr/bin/python3 -m pytest tests/panel/test_pictures.py

which lets it run for five minutes first, so that the charts are full."""
import http.client
import os
import pathlib
import random
import threading
import time

import pytest

from kit.admin import Admin
from kit.mock import Mock
from kit.panel import Panel
from kit.waiting import eventually

PICTURES = os.environ.get("PANEL_PICTURES")
TOKEN = "a-token-of-some-length"
# name: endpoints, latency in ms, requests a second
SERVICES = {"catalog": (2, 12, 20), "recommendations": (1, 30, 14), "payments": (1, 20, 6),
            "search": (2, 15, 16), "inventory": (1, 8, 9), "accounts": (1, 10, 4), "mail": (1, 25, 2)}


class Shop:
    """Seven services, and customers of each."""

    def __init__(self, gateway):
        self.mocks = {name: [Mock("--latency", f"lognormal {ms}ms {4 * ms}ms") for _ in range(count)]
                      for name, (count, ms, _) in SERVICES.items()}
        services = {name: {"endpoints": [mock.url for mock in mocks]} for name, mocks in self.mocks.items()}
        services["catalog"] |= {"critical": True, "depends_on": ["inventory", {"service": "search", "soft": True}],
                                "health": {"path": "/", "interval": "2s"},
                                "fallback": [{"static": {"status": 200, "json": {"items": []}}}]}
        services["recommendations"] |= {"depends_on": ["catalog", "accounts"], "essential": False,
                                        "cache": {"fresh": "1ms", "stale": "1h"},
                                        "fallback": [{"stale": {"max": "10m"}}, {"static": {"status": 200, "json": {}}}]}
        services["payments"] |= {"critical": True, "depends_on": ["accounts", {"service": "mail", "soft": True}]}
        services["mail"] |= {"fallback": [{"queue": {"max": 10000}}]}
        self.gw = gateway(config={
            "listen": [{"address": "127.0.0.1:0"}], "workers": 1, "store": "sqlite:shop.db",
            "admin": {"address": "127.0.0.1:0", "token": TOKEN}, "log": {"requests": "off"},
            "defaults": {"timeout": {"attempt": "1s", "total": "2s"}, "retry": {"max": 1},
                         "breaker": {"consecutive": 5, "open": "8s", "open_max": "20s"}},
            "services": services, "routes": [{"prefix": f"/{name}", "service": name} for name in SERVICES]})
        self.admin = Admin(self.gw, TOKEN)
        self.over = threading.Event()
        self.customers = [threading.Thread(target=self.ask, args=(name,), daemon=True) for name in SERVICES]
        for one in self.customers:
            one.start()

    def ask(self, name):
        method, body = ("POST", b"hello") if name == "mail" else ("GET", None)
        number = 0
        connection = http.client.HTTPConnection("127.0.0.1", self.gw.port)
        while not self.over.wait(random.expovariate(SERVICES[name][2])):
            number += 1
            try:
                connection.request(method, f"/{name}/{number % 10}", body)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()

    def kill(self, name):
        self.mocks[name][0].stop()

    def close(self):
        self.over.set()
        for one in self.customers:
            one.join()
        self.admin.close()
        for mock in (mock for mocks in self.mocks.values() for mock in mocks):
            mock.stop()


@pytest.fixture
def shop(gateway):
    made = Shop(gateway)
    yield made
    made.close()


@pytest.fixture
def page():
    panel = Panel()
    yield panel
    assert panel.complaints() == []
    panel.close()


def settle(seconds):
    """For pictures of some past; the test has none to wait for."""
    if PICTURES:
        time.sleep(seconds)


def test_the_whole_of_it(shop, page, tmp_path):
    into = pathlib.Path(PICTURES or tmp_path).resolve()
    size = {"viewport": {"width": 1360, "height": 1010}}
    eventually(lambda: all(sum(points["requests"]) for points in shop.admin.json("/api/v1/series")["services"].values()),
               "all are asked")
    settle(100)
    shop.admin.post("/api/v1/drills", json={"service": "inventory", "kind": "delay", "delay_ms": 250, "percent": 20,
                                            "for": "30m", "reason": "game day", "author": "ada"}).raise_for_status()
    settle(60)
    for name in ("recommendations", "mail", "catalog"):
        shop.kill(name)
    for name in ("recommendations", "mail"):
        shop.admin.wait_state("open", name)
    settle(60)
    shop.admin.command("disable", "search", reason="index is being rebuilt", author="grace", **{"for": "20m"})
    settle(80)
    page.open(str(shop.admin.base_url), colorScheme="light", **size)
    page.shows("#overall-word", "Degraded")
    page.shows("tr[data-name='recommendations'] .c-answers", "1-stale")
    page.shows("tr[data-name='catalog'] .c-state", "1 of 2 endpoints out")
    page.shows("tr[data-name='search'] .c-name", "index is being rebuilt — grace")
    page.shows("tr[data-name='mail'] .c-queue", "for")
    page.shows("#queues", "wait")
    page.shows("#drill-banner", "20% of the requests are delayed by 250 ms")
    page.until("document.querySelectorAll('#dependency-picture .node').length === 7")
    page.until("document.querySelectorAll('#dependency-picture [data-soft=true]').length === 2")
    page.until("document.querySelector('.lane .bar[data-bar=open]') !== null")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    page.do("shot", str(into / "panel.png"))
    page.do("media", {"colorScheme": "dark"})
    page.run("openDetail('recommendations')")
    page.shows("#detail-title", "recommendations")
    page.shows("#detail-body", "1-stale")
    page.do("shot", str(into / "panel-dark.png"))
    page.open(str(shop.admin.base_url), colorScheme="light", deviceScaleFactor=2,
              viewport={"width": 360, "height": 780})
    page.shows("#overall-word", "Degraded")
    page.shows("tr[data-name='recommendations'] .c-answers", "1-stale")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    page.do("shot", str(into / "panel-phone.png"))
    assert all((into / f"panel{name}.png").stat().st_size > 10000 for name in ("", "-dark", "-phone"))
