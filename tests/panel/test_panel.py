"""The panel: its document, and what a real browser makes of it while things break."""
import base64
import hashlib
import re
import socket

import pytest

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.mock import Mock
from kit.panel import Panel
from kit.waiting import eventually

TOKEN = "correct-horse-battery-staple"
GOOD = lambda request, link: answer(b"well")
BAD = lambda request, link: answer(b"no", "503 Service Unavailable")
ROW = "tr[data-name='web']"
PHONE = {"viewport": {"width": 360, "height": 760}}
LIGHT, DARK = {"colorScheme": "light"}, {"colorScheme": "dark"}
DARK_PHONE = {**DARK, **PHONE}


@pytest.fixture(scope="module")
def browser():
    panel = Panel()
    yield panel
    panel.close()


@pytest.fixture
def page(browser):
    """The browser; at the end the page must have had nothing to complain about."""
    yield browser
    assert browser.complaints() == []


def show(page, gw, address="", **options):
    page.open(str(Admin(gw).base_url) + "/" + address, **options)
    page.shows("#link", "live")


def cell(page, column, text, row=ROW):
    page.shows(f"{row} .c-{column}", text)


# ---- the document ------------------------------------------------------------------


def test_the_policy_allows_exactly_what_is_there(gateway, server):
    page = Admin(gateway([server()], admin=ADMIN)).get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    policy = dict(part.strip().split(" ", 1)
                  for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", page.text, re.S)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
                   for text in inside]
        assert policy[directive].split() == [f"'sha256-{digest}'" for digest in digests]
        assert not re.search(rf"<{tag} ", page.text)


def test_nothing_comes_from_elsewhere(gateway, server):
    page = Admin(gateway([server()], admin=ADMIN)).get("/").text
    loaded = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)["']""", page)
    assert all(value.startswith("data:") for value in loaded), loaded
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", page)


# ---- things that break ----------------------------------------------------------------


def test_an_outage_seen_from_beginning_to_end(gateway, page):
    up = Mock()
    base = {"consecutive": 3, "open": "60s"}
    gw = gateway([up.url], breaker=base, retry={"max": 0}, admin=ADMIN,
                 fallback=[{"static": {"status": 200}}], depends_on=["other"],
                 services={"other": {"endpoints": [up.url], "breaker": base,
                                     "retry": {"max": 0}}},
                 routes=[{"prefix": "/other", "service": "other"},
                         {"prefix": "/", "service": "web"}])
    gw.get("/")
    show(page, gw)
    page.shows("#overall-word", "Healthy")
    cell(page, "state", "Closed")
    cell(page, "answers", "itself")
    cell(page, "success", "ago")
    assert page.run("document.title") == "Switchgear"
    up.stop()
    for _ in range(6):
        gw.get("/")
    page.shows("#overall-word", "Degraded")
    page.shows("#summary", "open: web")
    cell(page, "state", "Open")
    cell(page, "state", "next try in")
    cell(page, "answers", "1-static")
    page.shows("#event-list", "closed → open, failures in a row")
    assert page.run("document.title") == "Degraded – Switchgear"
    # it is told to those who do not see it
    page.until("announcer.textContent.includes('web: Open')")
    page.until("document.querySelector('.lane[aria-label^=\"web:\"]').getAttribute('aria-label')"
               ".includes('1 change')")
    page.run("document.querySelector('#dependencies summary').click()")
    page.shows("#dependency-text", "web needs other, which is working")
    # problems first
    assert page.run("document.querySelector('#service-rows tr').dataset.name") == "web"
    again = Mock("--listen", up.url.removeprefix("http://"))
    page.click("#recover")
    for _ in range(3):
        gw.get("/")
    cell(page, "state", "Closed")
    page.shows("#overall-word", "Healthy")
    page.shows("#event-list", "half-open → closed, the tries succeeded")
    again.stop()


def test_points_of_the_past_are_drawn(gateway, server, page):
    gw = gateway([server(GOOD)], admin=ADMIN)
    for _ in range(20):
        gw.get("/")
    admin = Admin(gw)
    eventually(lambda: sum(admin.json("/api/v1/series")["services"]["web"]["requests"]) == 20,
               "20 requests are in the series")
    show(page, gw, "#service/web")
    page.shows("#detail-title", "web")
    page.until("document.querySelector('#detail .traffic .upstream').getAttribute('d').includes('h3')")
    page.until("document.querySelector('#detail .latency .p50').getAttribute('d').includes('M')")
    page.shows("#detail-body", "p50")


# ---- by hand -----------------------------------------------------------------------------


def test_a_breaker_is_opened_and_reset_from_the_page(gateway, server, page):
    gw = gateway([server(GOOD)], admin=ADMIN)
    show(page, gw)
    page.click(f"{ROW} .c-control button")
    page.shows("#command-title", "Open web")
    page.do("check", "#verbs input[value=disable]")
    page.fill("#duration", "")
    page.click("#command-go")
    page.shows("#command-error", "needs a duration")
    page.do("check", "#verbs input[value=force-open]")
    page.fill("#duration", "10m")
    page.fill("#reason", "<b>load</b> test")
    page.fill("#author", "ada")
    page.press("Enter")
    cell(page, "state", "Forced open")
    cell(page, "name", "<b>load</b> test — ada, until")
    page.shows("#event-list", "force open by ada: <b>load</b> test")
    assert page.run("document.querySelectorAll('#service-rows b, #event-list b').length") == 0
    assert gw.get("/").status == 503
    assert Admin(gw).breaker()["manual"]["author"] == "ada"
    # the name is known the second time, and the verb is the one that is likely
    page.click(f"{ROW} .c-control button")
    page.shows("#command-title", "Reset web")
    assert page.run("byId('author').value") == "ada"
    page.click("#command-go")
    cell(page, "state", "Closed")
    assert gw.get("/").status == 200


def test_one_endpoint_of_two(gateway, server, page):
    one, two = server(GOOD), server(GOOD)
    gw = gateway([one, two], admin=ADMIN)
    show(page, gw, "#service/web")
    page.click(f"#detail button[aria-label='Control {one.url}']")
    page.click("#command-go")
    page.shows("#detail .endpoints", "forced open")
    assert [e["state"] for e in Admin(gw).breaker()["endpoints"]] == ["forced_open", "closed"]
    page.press("Escape")
    cell(page, "state", "1 of 2 endpoints out")


def test_the_token_is_asked_for(gateway, server, page):
    gw = gateway([server()], admin={"address": "0.0.0.0:0", "token": TOKEN})
    page.open(str(Admin(gw).base_url))
    page.shows("#token-title", "Token needed")
    page.fill("#token", "not it")
    page.press("Enter")
    page.shows("#token-why", "not the token")
    page.fill("#token", TOKEN)
    page.press("Enter")
    page.shows("#overall-word", "Healthy")
    page.shows("#link", "live")
    Admin(gw, TOKEN).command("force-open", reason="seen by followers")
    page.shows("#event-list", "seen by followers")
    assert page.run("JSON.stringify(localStorage)") == "{}"
    assert TOKEN not in page.run("document.documentElement.outerHTML")


def test_a_change_asks_for_the_token_and_goes_on(gateway, server, page):
    gw = gateway([server()], admin={**ADMIN, "token": TOKEN})
    show(page, gw)
    page.click(f"{ROW} .c-control button")
    page.click("#command-go")
    page.shows("#token-title", "Token needed")
    page.press("Escape")
    page.shows("#command-error", "this needs the token")
    page.click("#command-go")
    page.fill("#token", TOKEN)
    page.press("Enter")
    cell(page, "state", "Forced open")


# ---- the outbox -----------------------------------------------------------------------------


def test_queued_writes_and_dead_letters(gateway, server, page):
    up = server(BAD)
    quick = {"consecutive": 1, "open": "20ms", "open_max": "50ms", "close_after": 1}
    gw = gateway([up], admin={**ADMIN, "token": TOKEN}, breaker=quick, retry={"max": 0},
                 fallback=[{"queue": {"base": "5ms", "cap": "20ms"}}])
    admin = Admin(gw, TOKEN)
    first = gw.post("/pay?x=1", b"<i>42</i>", "X-Api-Key: secret").json()["id"]
    show(page, gw)
    page.shows("#queues", "1 write waits")
    cell(page, "queue", "1")
    page.shows("#writes", "POST to web")
    up.respond = lambda request, link: answer(b"no such account", "422 Unprocessable Content")
    page.shows("#outbox-states", "Dead letters 1")
    page.click("#outbox-states button:nth-child(2)")
    page.shows("#writes", "last answer 422")
    page.click("#writes button")
    page.shows("#write-facts", first)
    page.shows("#write-facts", "/pay?x=1")
    page.click("#write-content")
    page.fill("#token", TOKEN)
    page.press("Enter")
    page.shows("#write-body", "<i>42</i>")
    assert "secret" not in page.text("#write-body")[0]
    # retried, and dead again
    page.fill("#write-reason", "the account is there now")
    up.respond = GOOD
    page.click("#write-retry")
    page.shows("#no-writes", "No dead letters.")
    eventually(lambda: admin.json(f"/api/v1/outbox/{first}")["state"] == "sent", "it is sent")
    page.click("#outbox-states button:nth-child(3)")
    page.shows("#writes", "sent")
    # another one is given up
    up.respond = BAD
    second = gw.post("/pay", b"2").json()["id"]
    page.click("#outbox-states button:nth-child(1)")
    page.shows("#writes", "POST to web")
    page.click("#writes button")
    page.shows("#write-facts", second)
    page.hides("#write-retry")

    def dropped():
        # while it is just being sent it cannot be
        if admin.json(f"/api/v1/outbox/{second}")["state"] == "queued":
            page.click("#write-drop")
        return admin.json(f"/api/v1/outbox/{second}")["state"] == "dropped"
    eventually(dropped, "it is dropped")
    page.shows("#no-writes", "Nothing waits.")
    page.shows("#event-list", "queued write dropped")


# ---- changing what it does ------------------------------------------------------------------


def test_a_drill_from_beginning_to_end(gateway, server, page):
    gw = gateway([server(GOOD)], admin={**ADMIN, "token": TOKEN}, retry={"max": 0})
    show(page, gw)
    page.hides("#drill-banner")
    page.click("#drill-start")
    page.do("check", "#drill-kinds input[value=error]")
    page.fill("#drill-percent", "200")
    page.fill("#drill-reason", "game <i>day</i>")
    page.click("#drill-go")
    page.fill("#token", TOKEN)
    page.press("Enter")
    page.shows("#drill-error", "percent")
    page.fill("#drill-percent", "100")
    page.click("#drill-go")
    page.shows("#drill-banner", "all requests are answered with 503")
    page.shows("#drill-banner", "game <i>day</i>")
    cell(page, "name", "drill")
    assert gw.get("/").status == 503
    page.shows("#drill-list", "1 attempt hit")
    page.click("#drill-list button")
    page.hides("#drill-banner")
    page.shows("#no-drills", "None is under way")
    assert gw.get("/").status == 200


def test_a_policy_is_changed(gateway, server, page):
    gw = gateway([server(GOOD)], admin=ADMIN)
    show(page, gw, "#service/web")
    page.click("#policy > summary")
    attempt = "#policy input[aria-label='timeout.attempt']"
    before = Admin(gw).service()["policy"]["timeout"]["attempt"]
    page.fill(attempt, "soon")
    page.click("#policy form .go")
    page.shows("#policy form .error", "timeout.attempt")
    page.fill(attempt, "7s")
    page.click("#policy form button[type=button]")
    page.shows("#policy form .error", f"timeout.attempt from {before} to 7s")
    page.click("#policy form .go")
    page.shows("#policy .patched", "timeout.attempt: 7s")
    assert Admin(gw).service()["policy"]["timeout"]["attempt"] == "7s"
    page.click("#policy > div button")
    page.hides("#policy .patched")
    assert Admin(gw).service()["policy"]["timeout"]["attempt"] == before


def test_two_breakers_are_compared(gateway, server, page):
    gw = gateway([server(BAD)], admin=ADMIN, retry={"max": 0})
    comparison = "#detail section[aria-label='Comparison']"
    show(page, gw, "#service/web")
    page.shows("#detail summary", "Compare with other settings")
    page.hides(comparison)
    page.click("#detail summary:text('Compare with other settings')")
    page.fill("#detail input[aria-label='consecutive']", "2")
    page.click("#detail button:text('Compare')")
    page.shows(comparison, "Both decide the same now.")
    page.shows(comparison + " th", "consecutive")
    for _ in range(3):
        gw.get("/")
    page.shows(comparison, "would have opened 1 time, refused 1 call that went through")
    page.shows("#event-list", "the shadow breaker: closed → open")
    cell(page, "name", "shadow differs")
    page.click(comparison + " button")
    page.hides(comparison)
    assert Admin(gw).json("/api/v1/services/web/shadow")["enabled"] is False


# ---- the connection ---------------------------------------------------------------------------


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_contact_lost_and_found_again(gateway, server, page):
    up = server(GOOD)
    gw = gateway([up], admin=ADMIN)
    admin = Admin(gw)
    show(page, gw)
    admin.command("force-open", reason="before")
    page.shows("#event-list", "before")
    page.do("offline", True)
    page.shows("#link", "no contact since")
    page.shows("#overall-word", "Unknown")
    page.shows("#summary", "what is shown below is old")
    admin.command("reset", reason="meanwhile")
    page.do("offline", False)
    page.shows("#link", "live")
    page.shows("#event-list", "meanwhile")
    cell(page, "state", "Closed")
    # each once, in their order
    said = page.run("[...document.querySelectorAll('#event-list .said')].map((n) => n.innerText)")
    assert [sum(word in one for one in said) for word in ("before", "meanwhile")] == [1, 1]


def test_another_process_answers(gateway, server, page):
    up, port = server(GOOD), free_port()
    address = {"address": f"127.0.0.1:{port}"}
    gw = gateway([up], admin=address)
    show(page, gw)
    for _ in range(3):
        Admin(gw).command("force-open", reason="in the first life")
    page.shows("#event-list", "in the first life")
    gw.stop()
    page.shows("#link", "no contact since")
    gw = gateway([up], admin=address)
    page.run("byId('try-now').click()")  # it may be in contact again by itself
    page.shows("#link", "live")
    page.hides("#event-list li")
    Admin(gw).command("force-open", reason="in the second life")
    page.shows("#event-list", "in the second life")
    assert "first" not in page.text("#event-list")[0]


def test_without_the_stream_it_asks(gateway, server, page):
    """A proxy in between may keep the events back: what changes is seen all the same."""
    gw = gateway([server(GOOD)], admin=ADMIN)
    page.do("withhold", "**/api/v1/events")
    page.open(str(Admin(gw).base_url))
    page.shows("#link", "by asking")
    Admin(gw).command("force-open", reason="asked for")
    cell(page, "state", "Forced open")
    page.shows("#event-list", "asked for")


def test_a_computer_whose_clock_is_wrong(gateway, server, page):
    gw = gateway([server(GOOD)], admin=ADMIN)
    gw.get("/")
    Admin(gw).command("force-open", reason="just so")
    page.do("skew", -3 * 3600 * 1000)
    show(page, gw)
    cell(page, "success", " s ago")
    page.shows("#event-list", "just so")
    page.until("[...document.querySelectorAll('#event-list time')].every((one) => /^now$| s ago$/.test(one.innerText))")
    page.until("document.querySelectorAll('.lane .mark-at').length === 1"
               " && document.querySelectorAll('.lane .bar[data-bar=hand]').length === 1")


# ---- many services -------------------------------------------------------------------------------


def test_hundreds_of_services(gateway, server, page):
    up = server(GOOD)
    names = [f"service-{i:03}" for i in range(300)]
    gw = gateway([up], admin=ADMIN, services={name: {"endpoints": [up.url]} for name in names})
    show(page, gw)
    page.shows("#chips", "All 301")
    Admin(gw).command("force-open", "service-217", reason="one of many")
    page.until("document.querySelector('#service-rows tr').dataset.name === 'service-217'")
    page.press("/")
    assert page.run("document.activeElement.id") == "filter"
    page.fill("#filter", "service-29")
    page.until("document.querySelectorAll('#service-rows tr').length === 10")
    page.press("Escape")
    page.until("document.querySelectorAll('#service-rows tr').length === 301")
    page.click("#chips button:nth-child(5)")
    page.until("document.querySelectorAll('#service-rows tr').length === 1")
    page.click("#chips button:nth-child(4)")
    page.shows("#none-found", "No service is like that")
    page.click("#show-all")
    page.until("document.querySelectorAll('#service-rows tr').length === 301")
    page.click("th.c-name button")
    page.until("document.querySelector('#service-rows tr').dataset.name === 'service-000'")
    # pictures are drawn of those that are seen only
    page.until("table.visible.size > 0 && table.visible.size < 60")
    page.shows("#lanes", "277 more services")


# ---- hands and eyes -------------------------------------------------------------------------------


def test_by_keys_alone(gateway, server, page):
    gw = gateway([server(GOOD)], admin=ADMIN,
                 services={"other": {"endpoints": ["http://127.0.0.1:9"]}})
    show(page, gw)
    cell(page, "state", "Closed")
    page.press("j", "j")
    page.until("document.activeElement.textContent === 'other'")
    page.press("k", "Enter")
    page.shows("#detail-title", "web")
    assert page.run("location.hash") == "#service/web"
    page.press("o")
    page.shows("#command-title", "Open web")
    page.press("Enter")
    page.shows("#detail .badge", "Forced open")
    page.press("r", "Enter")
    page.shows("#detail .badge", "Closed")
    page.press("Escape")
    page.hides("#detail")
    # back where it began
    page.until("document.activeElement.textContent === 'web' && location.hash === ''")
    page.press("?")
    page.shows("#help-title", "Keys")
    page.run("byId('keys-on').click()")
    page.press("Escape")
    page.press("o")
    page.hides("#command")
    # nothing is out of reach of Tab
    reached = page.run("""(() => {
        const all = [...document.querySelectorAll('button, a[href], input, select, summary')]
            .filter((node) => node.checkVisibility({visibilityProperty: true}));
        return all.filter((node) => node.tabIndex < 0).map((node) => node.outerHTML);
    })()""")
    assert reached == []


def test_colours_are_chosen_and_kept(gateway, server, page):
    gw = gateway([server(GOOD)], admin=ADMIN)
    colour = "getComputedStyle(document.body).backgroundColor"
    show(page, gw, colorScheme="light")
    light = page.run(colour)
    page.do("media", {"colorScheme": "dark"})
    dark = page.run(colour)
    assert dark != light
    page.click("#theme")
    assert page.run(colour) == light
    page.do("reload")
    page.shows("#link", "live")
    assert page.run(colour) == light
    page.press("t")
    assert page.run(colour) == dark


def test_nothing_moves_by_itself(gateway, server, page):
    up = server(GOOD)
    gw = gateway([up], admin=ADMIN, breaker={"consecutive": 1000, "failure_rate": "100%"})
    for _ in range(5):
        gw.get("/")
    show(page, gw, reducedMotion="reduce")
    assert page.run("getComputedStyle(document.querySelector('.badge')).transitionDuration") == "0s"
    cell(page, "failures", "/5")
    page.run("""globalThis.shifts = [];
        new PerformanceObserver((list) => shifts.push(...list.getEntries().map((e) => e.value)))
            .observe({type: 'layout-shift'}); 1""")
    up.respond = BAD
    for _ in range(30):
        gw.get("/")
    page.until("document.querySelector('td.c-failures').innerText.includes('/')"
               " && parseInt(document.querySelector('td.c-failures').innerText) > 9")
    page.until("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    # a line that is added to the events moves those below it (0.002); a row of the table that
    # grew by a line would be 0.01, one more row 0.03
    assert page.run("Math.max(0, ...shifts)") < 0.005


@pytest.mark.parametrize("look", [LIGHT, DARK, {**LIGHT, **PHONE}, DARK_PHONE],
                         ids=["light", "dark", "phone", "dark phone"])
def test_everybody_can_use_it(gateway, server, page, look):
    """axe-core finds nothing, wherever one is on the page."""
    up = server(BAD)
    gw = gateway([up, server(GOOD)], admin=ADMIN, critical=True, depends_on=["soft"],
                 cache={"stale": "1h"},
                 breaker={"consecutive": 2, "open": "60s"}, retry={"max": 0},
                 fallback=[{"stale": {"max": "1h"}}, {"static": {"status": 200}}],
                 services={"soft": {"endpoints": [up.url], "breaker": {"consecutive": 1},
                                    "retry": {"max": 0}, "fallback": [{"queue": {"max": 10}}]}},
                 routes=[{"prefix": "/soft", "service": "soft"}, {"prefix": "/", "service": "web"}])
    for _ in range(8):
        gw.get("/")
    gw.post("/soft", b"waits")
    show(page, gw, **look)
    page.shows("#writes", "POST to soft")
    assert page.inspect() == ""
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    page.run("openDetail('web')")
    page.shows("#detail-body", "Policy")
    page.run("for (const one of document.querySelectorAll('#detail details')) one.open = true")
    assert page.inspect() == ""
    if look not in (LIGHT, DARK_PHONE):
        return  # the dialogs have nothing of their own that these would show
    page.press("Escape")
    page.click("#writes button")
    page.shows("#write-facts", "Idempotency-Key")
    assert page.inspect() == ""
    page.press("Escape", "?")
    page.shows("#help-title", "Keys")
    assert page.inspect() == ""
    page.press("Escape")
    page.run("openDetail('web')")
    page.shows("#detail-body", "Policy")
    page.press("d")
    page.shows("#command-title", "Disable web")
    assert page.inspect() == ""
    page.fill("#duration", "")
    page.press("Enter")
    page.shows("#command-error", "needs a duration")
    assert page.inspect() == ""
    page.run("void askToken('for a test')")
    page.shows("#token-title", "Token")
    assert page.inspect() == ""
