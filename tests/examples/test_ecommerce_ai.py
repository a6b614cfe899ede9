"""examples/ecommerce-ai, started by its own command and then broken. What its fallbacks
should say is worked out here, from the plain rows of the same database."""
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import sqlite3
import subprocess

import httpx
import psycopg2
import pytest

from kit.gateway import BINARY, BROKEN, SANITIZERS
from kit.upstream import listening
from kit.waiting import DEADLINE, eventually

HOME = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "ecommerce-ai"
SERVICES = ("recommendations", "search", "pricing", "fraud", "forecast", "chatbot", "vision")
RED_KETTLE = 143  # has tags; is no partner's; is not watched by the sales table

# Quick to give up and quick to come back.
QUICK = {"CB_FAILURE_THRESHOLD": "2", "CB_TIMEOUT": "0.2", "CB_SUCCESS_THRESHOLD": "1",
         "RETRY_MAX_RETRIES": "1", "RETRY_BASE_DELAY": "1ms", "TIMEOUT_READ": "2s",
         "TIMEOUT_TOTAL": "6s"}
PATIENCE = 3 * DEADLINE  # for what takes several questions, each with its own timeouts


def start(*arguments, **environment):
    env = {**os.environ, **SANITIZERS, "SWITCHGEAR": str(pathlib.Path(BINARY).resolve()),
           **environment}
    return subprocess.Popen([HOME / "run", *arguments], env=env, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Shop:
    def __init__(self, kind="sqlite", **environment):
        options = ["--postgres"] if kind == "postgres" else []
        self.process = start("--json", "--free-ports", *options, **{**QUICK, **environment})
        line = self.process.stdout.readline()
        assert line, "".join(self.process.communicate())
        self.__dict__.update(json.loads(line))
        self.kind = kind
        self.http = httpx.Client(timeout=PATIENCE, trust_env=False)

    # -- what anybody asks

    def get(self, path, **query):
        return self.http.get(f"{self.gateway}/api/v1/{path}", params=query)

    def post(self, path, body):
        return self.http.post(f"{self.gateway}/api/v1/{path}", json=body)

    def recommend(self, user, **query):
        return self.get(f"recommendations/{user}", **query)

    def search(self, q, **query):
        return self.get("search", q=q, **query)

    def price(self, product):
        return self.get(f"pricing/{product}")

    def check(self, **body):
        return self.post("fraud/check", body)

    def forecast(self, product, **query):
        return self.get(f"forecast/{product}", **query)

    def chat(self, message):
        return self.post("chat", {"message": message})

    def see(self, image):
        return self.get(f"vision/{image}")

    def ask(self, name):
        """One plain question to each."""
        return {"recommendations": lambda: self.recommend(7),
                "search": lambda: self.search("kettle"),
                "pricing": lambda: self.price(RED_KETTLE),
                "fraud": lambda: self.check(user_id=491, amount=10),
                "forecast": lambda: self.forecast(10),
                "chatbot": lambda: self.chat("How do I return a product?"),
                "vision": lambda: self.see(f"electric-kettle-{RED_KETTLE}.jpg")}[name]()

    def sources(self):
        """Of all seven, asked at once."""
        with concurrent.futures.ThreadPoolExecutor(len(SERVICES)) as pool:
            answers = dict(zip(SERVICES, pool.map(self.ask, SERVICES)))
        return {name: answer.json().get("source") for name, answer in answers.items()}

    # -- what goes wrong

    def behave(self, *names, **behaviour):
        for name in names:
            self.http.post(f"{self.services[name]}/__mock/behaviour",
                           json=behaviour).raise_for_status()

    def heal(self):
        """Also what the breakers remember."""
        for name in SERVICES:
            self.http.post(f"{self.services[name]}/__mock/reset").raise_for_status()
            self.http.post(f"{self.admin}/api/v1/circuit-breakers/{name}/reset",
                           json={}).raise_for_status()

    def requests(self, name):
        return self.http.get(f"{self.services[name]}/__mock/state").json()["requests"]

    # -- its database

    @contextlib.contextmanager
    def connected(self):
        if self.kind == "sqlite":
            db = sqlite3.connect(self.database.removeprefix("sqlite:"), isolation_level=None,
                                 timeout=DEADLINE)
        else:
            db = psycopg2.connect(self.database.replace("reader@", "shop@"))
            db.autocommit = True
        try:
            yield db.cursor()
        finally:
            db.close()

    def sql(self, text):
        with self.connected() as cursor:
            cursor.execute(text)
            return [tuple(row) for row in cursor.fetchall()] if cursor.description else None

    def row(self, text):
        return self.sql(text)[0]

    @contextlib.contextmanager
    def changed(self, there, back):
        self.sql(there)
        try:
            yield
        finally:
            self.sql(back)

    @contextlib.contextmanager
    def locked(self):
        """Somebody keeps all of it for himself."""
        tables = "products, kinds, customers, orders, sales, faqs, faq_search, image_tags"
        with self.connected() as cursor:
            cursor.execute("BEGIN EXCLUSIVE" if self.kind == "sqlite" else "BEGIN")
            if self.kind == "postgres":
                cursor.execute(f"LOCK TABLE {tables}, competitor_prices, product_search")
            try:
                yield
            finally:
                cursor.execute("ROLLBACK")

    def stop(self):
        log = pathlib.Path(self.log)
        self.process.terminate()
        logged = ""
        with contextlib.suppress(OSError):  # it may be quicker than we are
            logged = log.read_text()
        _, err = self.process.communicate(timeout=PATIENCE)
        assert not BROKEN.search(logged + err), logged + err
        assert self.process.returncode == 0, err
        assert not pathlib.Path(self.directory).exists()


@pytest.fixture(scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name))
                                        for name in ("sqlite", "postgres")])
def running(request):
    if request.param == "postgres" and not list(pathlib.Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("no PostgreSQL here")
    shop = Shop(request.param)
    yield shop
    shop.stop()


@pytest.fixture
def shop(running):
    running.heal()
    return running


@pytest.fixture
def browser():
    browser_of = pytest.importorskip("kit.browser", reason="no websockets here")
    if not browser_of.CHROMIUM:
        pytest.skip("no chromium here")
    page = browser_of.Browser()
    yield page
    page.close()


def source(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["source"]


FIRST = {"recommendations": "popular_last_30_days", "search": "full_text",
         "pricing": "markup_30_percent", "fraud": "rules", "forecast": "moving_average_30_days",
         "chatbot": "faq", "vision": "manual_tags"}


# ---- whole services ----------------------------------------------------------------------


def test_all_are_well(shop):
    assert shop.sources() == {name: "model" for name in SERVICES}
    assert shop.ask("search").headers["Switchgear"].startswith("upstream;service=search")


@pytest.mark.parametrize("how", [{"errors": "100%"}, {"hang": "100%"}, {"reset": "100%"},
                                 {"down_for": "3s"}], ids=lambda how: next(iter(how)))
def test_each_has_a_stand_in_and_comes_back(shop, how):
    # customer 7 may have been asked for before, and then the cache stands in
    expected = ({"stale", "popular_last_30_days"}, *({FIRST[name]} for name in SERVICES[1:]))
    shop.behave(*SERVICES, **how)
    answers = {name: shop.ask(name) for name in SERVICES} if "hang" not in how else {}
    found = {name: source(answer) for name, answer in answers.items()} or shop.sources()
    for name, wanted in zip(SERVICES[1:], expected[1:]):
        assert {found[name]} == wanted
    for name, answer in answers.items():
        assert answer.headers["Switchgear"].split(";")[0] in ("sql", "stale"), name
    if "down_for" not in how:
        shop.behave(*SERVICES, errors="0%", hang="0%", reset="0%")
    eventually(lambda: set(shop.sources().values()) == {"model"}, "all are back",
               PATIENCE)


def test_an_open_breaker_spares_the_service(shop):
    shop.behave("search", errors="100%", status=503)
    eventually(lambda: "breaker=open" in shop.ask("search").headers["Switchgear"], "it opens")
    answer = shop.search("kettle")
    assert source(answer) == "full_text"
    state = shop.http.get(f"{shop.admin}/api/v1/circuit-breakers/search").json()
    assert state["state"] in ("open", "half_open")


# ---- recommendations ------------------------------------------------------------------------


def popular(shop, user, limit=10):
    today = shop.row("SELECT today FROM clock")[0]
    orders = shop.sql("SELECT product_id, customer_id, quantity, placed_at FROM orders")
    own = {product for product, customer, _, _ in orders if customer == user}
    sold = collections.Counter()
    for product, _, quantity, at in orders:
        if at >= (today - 30) * 86400 and product not in own:
            sold[product] += quantity
    return sorted(sold.items(), key=lambda item: (-item[1], item[0]))[:limit]


def same_category(shop, user, limit):
    category = dict(shop.sql("SELECT id, category_id FROM products"))
    orders = shop.sql("SELECT product_id, customer_id FROM orders")
    own = [product for product, customer in orders if customer == user]
    counts = collections.Counter(category[product] for product in own)
    best = min(counts, key=lambda c: (-counts[c], c))
    sold = collections.Counter(product for product, _ in orders)
    there = [p for p in category if category[p] == best and p not in own]
    return sorted(there, key=lambda p: (-sold[p], p))[:limit]


def test_recommendations_from_the_cache_first(shop):
    assert source(shop.recommend(21)) == "model"
    shop.behave("recommendations", errors="100%")
    answer = shop.recommend(21)
    assert answer.headers["Switchgear"].startswith("stale;")
    assert source(answer) == "model" and "Age" in answer.headers


def test_recommendations_popular(shop):
    shop.behave("recommendations", errors="100%")
    body = shop.recommend(22).json()
    assert body["source"] == "popular_last_30_days"
    assert [(item["id"], item["sold"]) for item in body["items"]] == popular(shop, 22)
    item = body["items"][0]
    name, cents = shop.row(f"SELECT name, price_cents FROM products WHERE id = {item['id']}")
    assert (item["name"], round(item["price"] * 100)) == (name, cents)
    assert len(shop.recommend(22, limit=3).json()["items"]) == 3
    for limit in (0, -1, 51, 10**15):
        assert len(shop.recommend(22, limit=limit).json()["items"]) == 10


def test_recommendations_of_the_same_category(shop):
    """Nobody has bought anything for a month."""
    shop.behave("recommendations", errors="100%")
    with shop.changed("UPDATE orders SET placed_at = placed_at - 40000000",
                      "UPDATE orders SET placed_at = placed_at + 40000000"):
        body = shop.recommend(23, limit=5).json()
        assert body["source"] == "same_category"
        assert [item["id"] for item in body["items"]] == same_category(shop, 23, 5)
        # who never bought has no category either
        assert shop.recommend(499).json() == {"source": "none", "items": []}
    assert source(shop.recommend(23, limit=6)) == "popular_last_30_days"


# ---- search ------------------------------------------------------------------------------------


def test_search_by_words(shop):
    shop.behave("search", errors="100%")
    body = shop.search("kettles red", limit=50).json()
    assert body["source"] == "full_text"
    wanted = {row[0] for row in shop.sql("SELECT id, name, description FROM products")
              if re.search(r"\bred\b", f"{row[1]} {row[2]}", re.I)
              and re.search(r"\bkettles?\b", f"{row[1]} {row[2]}", re.I)}
    assert wanted and {item["id"] for item in body["items"]} == wanted


def test_search_by_parts_of_words(shop):
    shop.behave("search", errors="100%")
    body = shop.search("Espres", limit=50).json()
    assert body["source"] == "like"
    wanted = [row[0] for row in shop.sql("SELECT id, name, description FROM products ORDER BY id")
              if "espres" in f"{row[1]} {row[2]}".lower()]
    assert [item["id"] for item in body["items"]] == wanted[:50]


TYPED = ['"', '""', 'a" OR "b', "NEAR(a b)", "name:*", "-", "^", "\\", "%", "_", "100%",
         "'; DROP TABLE products; --", ":q", "$1", "?1", "sm\u00f8rrebr\u00f8d", "\U0001F600",
         "AND", "x" * 4000, "a " * 2000]


def test_search_whatever_is_typed(shop):
    shop.behave("search", errors="100%")
    texts = [f"{name} {text}" for name, text in shop.sql("SELECT name, description FROM products")]
    for q in TYPED:
        body = shop.search(q).json()
        assert body["source"] in ("full_text", "like", "none"), (q, body)
        if q in ("%", "_", "\\", "100%"):  # characters, not patterns
            assert bool(body["items"]) == any(q in text for text in texts), q
        if body["source"] == "none":
            assert body["q"] == q
    assert shop.row("SELECT COUNT(*) FROM products")[0] == 3000


# ---- pricing -----------------------------------------------------------------------------------


def test_pricing(shop):
    shop.behave("pricing", errors="100%")
    found = collections.Counter()
    for product in range(1, 3000, 149):
        cost, listed = shop.row("SELECT cost_cents, price_cents FROM products "
                                f"WHERE id = {product}")
        others = shop.sql("SELECT price_cents, competitor FROM competitor_prices "
                          f"WHERE product_id = {product}")
        body = shop.price(product).json()
        found[body["source"]] += 1
        cents = round(body["price"] * 100)
        if cost is not None:
            assert (body["source"], cents) == ("markup_30_percent", (cost * 130 + 50) // 100)
        elif others:
            assert (cents, body["competitor"]) == min(others)
            assert body["source"] == "competitor_price"
        else:
            assert (body["source"], cents) == ("list_price", listed)
    assert found["markup_30_percent"] and found["competitor_price"], found
    assert source(shop.price(21)) == "list_price"


def test_pricing_does_not_guess(shop):
    shop.behave("pricing", errors="100%", status=503)
    assert shop.price(99999).status_code == 503
    assert shop.price("1%20OR%201=1").status_code == 503


# ---- fraud -------------------------------------------------------------------------------------


def test_fraud_rules(shop):
    shop.behave("fraud", errors="100%")
    country = shop.row("SELECT country FROM customers WHERE id = 30")[0]
    other = "JP"
    assert shop.check(user_id=30, amount=1000.01, country=country).json() == {
        "source": "rules", "user_id": 30, "score": 0.4, "decision": "review",
        "reasons": "amount over 1000"}
    assert shop.check(user_id=30, amount=20, country=other).json() == {
        "source": "rules", "user_id": 30, "score": 0.25, "decision": "review",
        "reasons": "other country than the customer"}
    assert shop.check(user_id=30, amount=5000, country=other).json()["decision"] == "decline"
    assert shop.check(user_id=491, amount=20).json()["reasons"] == "more than 5 orders in an hour"
    # a long time ago it is no haste any more
    with shop.changed("UPDATE orders SET placed_at = placed_at - 4000 WHERE customer_id = 491",
                      "UPDATE orders SET placed_at = placed_at + 4000 WHERE customer_id = 491"):
        assert source(shop.check(user_id=491, amount=20)) == "history"


def test_fraud_history(shop):
    shop.behave("fraud", errors="100%")
    seen = set()
    for user in range(40, 80):
        orders, paid_back, mean = shop.row(
            "SELECT COUNT(*), SUM(charged_back), CAST(SUM(amount_cents) AS DOUBLE PRECISION) "
            f"/ COUNT(*) FROM orders WHERE customer_id = {user}")
        for amount in (10, 900):
            points = 5 + (30 if paid_back else 0) + (20 if amount * 100 > 3 * mean else 0)
            seen.add(points)
            assert shop.check(user_id=user, amount=amount).json() == {
                "source": "history", "user_id": user, "score": points / 100,
                "decision": "review" if points > 5 else "accept", "orders": orders}
    assert {5, 25, 35} <= seen, seen


@pytest.mark.parametrize("body", [{"user_id": 495, "amount": 10}, {"user_id": 99999, "amount": 10},
                                  {"user_id": 7}, {"amount": 10}, [], "x",
                                  {"user_id": "7 OR 1=1", "amount": 1},
                                  {"user_id": 7, "amount": "much"}])
def test_fraud_who_is_not_known_is_looked_at(shop, body):
    shop.behave("fraud", errors="100%")
    assert shop.post("fraud/check", body).json() == {"source": "conservative", "score": 0.5,
                                                     "decision": "review"}


# ---- forecast ----------------------------------------------------------------------------------


def units(shop, products, first, last):
    """Sold from the day `first` to before `last`, counted from today; and how many of them."""
    today = shop.row("SELECT today FROM clock")[0]
    rows = [row for row in shop.sql("SELECT product_id, day, units FROM sales")
            if row[0] in products and today + first <= row[1] < today + last]
    return sum(row[2] for row in rows), len({row[0] for row in rows})


def test_forecast(shop):
    shop.behave("forecast", errors="100%")
    sold, _ = units(shop, {40}, -30, 0)
    body = shop.forecast(40, days=90).json()
    assert body["source"] == "moving_average_30_days"
    assert body["units_a_day"] == pytest.approx(sold / 30, abs=0.006)
    assert body["units"] == pytest.approx(sold * 3, abs=0.51)

    sold, _ = units(shop, {150}, -365, -335)
    body = shop.forecast(150).json()
    assert (body["source"], body["units"]) == ("same_period_last_year", sold)

    category = shop.row("SELECT category_id FROM products WHERE id = 1234")[0]
    others = {row[0] for row in shop.sql(f"SELECT id FROM products WHERE category_id = {category}")}
    sold, of = units(shop, others, -30, 0)
    body = shop.forecast(1234).json()
    assert of > 1 and body["source"] == "category_average" and body["product_id"] == 1234
    assert body["units"] == pytest.approx(sold / of, abs=0.51)

    assert source(shop.forecast(99999)) == "none"
    for days in (0, -7, 366, 10**15, "many"):
        assert source(shop.forecast(40, days=days)) == "none"


# ---- chatbot and vision ------------------------------------------------------------------------


def test_chatbot(shop):
    shop.behave("chatbot", errors="100%")
    for question, answer in shop.sql("SELECT question, answer FROM faqs WHERE id % 7 = 1"):
        body = shop.chat(question).json()
        assert body["source"] == "faq"
        assert (body["question"], body["answer"]) == (question, answer)
    body = shop.chat("my money back, NOW!").json()
    assert (body["source"], body["question"]) == ("keywords", "When do I get my refund?")
    body = shop.chat('what is "the meaning" of life').json()
    assert body["source"] == "person" and body["question"] == 'what is "the meaning" of life'


def test_vision(shop):
    shop.behave("vision", errors="100%")
    image = shop.row(f"SELECT image FROM products WHERE id = {RED_KETTLE}")[0]
    assert shop.see(image).json() == {"source": "manual_tags",
                                      "tags": [{"tag": "electric-kettle"}, {"tag": "red"}]}
    with shop.changed(f"UPDATE image_tags SET image = 'away' WHERE image = '{image}'",
                      f"UPDATE image_tags SET image = '{image}' WHERE image = 'away'"):
        assert shop.see(image).json() == {
            "source": "file_name",
            "tags": [{"tag": "electric-kettle", "category": "Coffee and tea"}]}
    assert shop.see("IMG_0001.jpg").json()["source"] == "none"


# ---- the database too --------------------------------------------------------------------------

LAST = {"recommendations": "none", "search": "none", "pricing": None, "fraud": "conservative",
        "forecast": "none", "chatbot": "person", "vision": "none"}


def test_nothing_left_but_what_is_fixed(shop):
    shop.behave(*SERVICES, errors="100%")
    user = 300 if shop.kind == "sqlite" else 301

    def asked():
        found = shop.sources()
        found["recommendations"] = shop.recommend(user).json()["source"]
        return found

    with shop.locked():
        eventually(lambda: asked() == LAST, "the last tiers", PATIENCE)
    eventually(lambda: asked() == FIRST, "the database answers again", PATIENCE)
    shop.heal()
    eventually(lambda: set(shop.sources().values()) == {"model"}, "all are back")


# ---- the page, the variables, the command ------------------------------------------------------


def test_the_page_asks_all_seven(shop):
    answer = shop.http.get(shop.gateway + "/")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/html"
    for name in SERVICES:
        assert f"  {name}: () =>" in answer.text and shop.services[name] in answer.text


def test_the_page_in_a_browser(shop, browser):
    """Broken from the page, answered by the shop, healed from the page."""
    def shows(name, wanted):
        eventually(lambda: browser.text(f"#{name} .source") == wanted, f"{name}: {wanted}")

    def click(name, label):
        browser.run(f"[...document.querySelectorAll('#{name} button')]"
                    f".find(b => b.innerText === '{label}').click()")

    browser.go(shop.gateway + "/")
    for name in SERVICES:
        shows(name, "model")
    for name in SERVICES:
        click(name, "errors")
    shows("recommendations", "model, from the cache")
    for name in SERVICES[1:]:
        if name not in ("fraud", "forecast"):
            shows(name, FIRST[name])
    shows("fraud", "history")
    shows("forecast", "category_average")
    click("vision", "heal")

    def healed():
        browser.run("document.getElementById('ask').click()")
        shows("search", "full_text")
        return browser.text("#vision .source") == "model"
    eventually(healed, "vision is back")
    assert not browser.complaints


def test_variables():
    shop = Shop(CB_FAILURE_THRESHOLD="4", CB_TIMEOUT="900", CB_WINDOW_SIZE="7",
                CB_SUCCESS_THRESHOLD="3", RETRY_MAX_RETRIES="0", RETRY_BASE_DELAY="0.25",
                RETRY_MAX_DELAY="2s", TIMEOUT_CONNECT="1.5", TIMEOUT_READ="4")
    try:
        before = shop.requests("search")
        shop.behave("search", errors="100%")
        for _ in range(10):
            assert source(shop.ask("search")) == "full_text"
        assert shop.requests("search") == before + 4  # no retry, and open after four
        config = shop.http.get(f"{shop.admin}/api/v1/config").json()["config"]
        search = config["services"]["search"]
        assert search["breaker"]["window"] in (7, "7")
        assert search["breaker"]["open"] in ("15m", "900s")
        assert search["breaker"]["close_after"] == 3
        assert search["retry"]["base"] == "250ms" and search["retry"]["cap"] == "2s"
        assert search["timeout"]["connect"] in ("1.5s", "1500ms")
        assert search["timeout"]["attempt"] == "4s"
    finally:
        shop.stop()


def test_a_port_that_is_taken():
    with listening() as taken:
        process = start(SHOP_RECOMMENDATIONS=str(taken.getsockname()[1]))
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1 and "recommendations did not start" in err
