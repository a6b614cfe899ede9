"""The status page: its document, and what a browser makes of it."""
import base64
import hashlib
import re

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.waiting import eventually

try:
    from kit.browser import CHROMIUM, Browser
except ImportError:  # python3-websockets
    CHROMIUM = None

TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def browser():
    if not CHROMIUM:
        pytest.skip("chromium or python3-websockets is missing")
    browser = Browser()
    yield browser
    browser.close()


def shows(browser, selector, text):
    eventually(lambda: text in browser.text(selector), f"{selector} shows {text!r}")


# ---- the document ------------------------------------------------------------------


def test_the_policy_allows_exactly_what_is_there(gateway, server):
    page = Admin(gateway([server()], admin=ADMIN)).get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    policy = dict(part.strip().split(" ", 1)
                  for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        inside, = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[directive] == f"'sha256-{digest}'"


def test_nothing_comes_from_elsewhere(gateway, server):
    page = Admin(gateway([server()], admin=ADMIN)).get("/").text
    loaded = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)["']""", page)
    assert all(value.startswith("data:") for value in loaded), loaded
    assert "innerHTML" not in page and "document.write" not in page


# ---- in a browser ----------------------------------------------------------------------


def test_an_outage_seen_from_beginning_to_end(gateway, server, browser):
    good = lambda r, l: answer(b"well")
    up = server(good)
    gw = gateway([up], breaker={"consecutive": 3, "open": "60s"}, retry={"max": 0}, admin=ADMIN,
                 fallback=[{"static": {"status": 200}}])
    browser.go(str(Admin(gw).base_url))
    shows(browser, "#overall-word", "Healthy")
    shows(browser, ".card .badge", "Closed")
    up.respond = lambda r, l: answer(b"", "500 No")
    for _ in range(6):
        gw.get("/")
    shows(browser, "#overall-word", "Critical")
    shows(browser, "#summary", "0 of 1 service works; open: web")
    shows(browser, ".card .badge", "Open")
    shows(browser, ".card .facts", "fallback 1-static")
    shows(browser, "#events", "closed → open, failures in a row")
    assert browser.run("document.title").startswith("Critical")
    up.respond = good
    Admin(gw).post("/api/v1/resilience/force-recovery")
    for _ in range(3):
        gw.get("/")
    shows(browser, "#overall-word", "Healthy")
    shows(browser, ".card .badge", "Closed")
    assert not browser.complaints


def test_a_command_from_the_page(gateway, server, browser):
    gw = gateway([server()], admin=ADMIN)
    admin = Admin(gw)
    browser.go(str(admin.base_url))
    shows(browser, ".card h3", "web")
    browser.run("document.querySelector('[aria-label=\"Disable web\"]').click()")
    shows(browser, "#command-title", "Disable web")
    browser.run("byId('duration').value = ''; byId('command-form').requestSubmit()")
    shows(browser, "#command-error", "needs a duration")
    browser.run("""byId('duration').value = '10m'; byId('reason').value = '<b>load</b> test';
                   byId('author').value = 'ada'; byId('command-form').requestSubmit()""")
    shows(browser, ".card .badge", "Disabled")
    shows(browser, ".card .facts", "<b>load</b> test — ada")
    assert browser.run("document.querySelectorAll('.card b, .events b').length") == 0
    assert admin.breaker()["manual"]["reason"] == "<b>load</b> test"
    assert not browser.complaints


def test_the_token_is_asked_for(gateway, server, browser):
    gw = gateway([server()], admin={"address": "0.0.0.0:0", "token": TOKEN})
    browser.go(str(Admin(gw).base_url))
    shows(browser, "#token-title", "Token needed")
    browser.run("byId('token').value = 'not it'; byId('token-form').requestSubmit()")
    shows(browser, "#token-why", "not the token")
    browser.run(f"byId('token').value = '{TOKEN}'; byId('token-form').requestSubmit()")
    shows(browser, "#overall-word", "Healthy")
    shows(browser, "#link", "live")
    Admin(gw, TOKEN).command("force-open", reason="seen by followers")
    shows(browser, "#events", "seen by followers")
    assert not browser.complaints


def test_a_gateway_that_has_gone(gateway, server, browser):
    gw = gateway([server()], admin=ADMIN)
    browser.go(str(Admin(gw).base_url))
    shows(browser, "#overall-word", "Healthy")
    gw.stop()
    shows(browser, "#overall-word", "Unknown")
    shows(browser, "#link", "no contact")
