"""deploy/prometheus and deploy/grafana: their words exist, and a real Prometheus agrees.

That each alert fires when it should is deploy/prometheus/alerts_test.yaml's to say, in
promtool's own time; here two are seen to fire over a running gateway."""
import itertools
import json
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
import yaml

from kit.admin import ADMIN, Admin
from kit.http import answer
from kit.prometheus import Prometheus
from kit.upstream import dead_port
from kit.waiting import eventually

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy" / "prometheus"
ALERTS = yaml.safe_load((DEPLOY / "alerts.yaml").read_text())
TESTS = yaml.safe_load((DEPLOY / "alerts_test.yaml").read_text())
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "switchgear.json").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ANNOTATIONS = DASHBOARD["annotations"]["list"]
VARIABLES = DASHBOARD["templating"]["list"]
QUERIES = [(f"{panel['title']} {target['refId']}", target["expr"], target["legendFormat"])
           for panel in PANELS for target in panel["targets"]]
QUERIES += [(note["name"], note["expr"], note["titleFormat"]) for note in ANNOTATIONS]
QUERIES += [(rule["alert"], rule["expr"], " ".join(
    re.sub(r"\$labels\.(\w+)", r"\1", text).replace("{{ ", "{{").replace(" }}", "}}")
    for text in rule["annotations"].values())) for rule in RULES]

# What Prometheus, and not the gateway, puts there.
FOUND = {"up": set()}
TARGET = {"job", "instance", "pod"}
WORDS = {"sum", "max", "count", "rate", "increase", "delta", "changes", "max_over_time",
         "histogram_quantile", "vector", "Inf", "and", "or", "unless", "bool"}
GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left)\b\s*(?:\(([^)]*)\))?")

needs_promtool = pytest.mark.skipif(not shutil.which("promtool"),
                                    reason="promtool (package prometheus) is missing")
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"),
                                      reason="prometheus is missing")


def known_metrics():
    """Each metric's labels, from the page that is made from the program's own table."""
    known = dict(FOUND)
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for name, kind, labels in re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|", page, re.M):
        own = set(re.findall(r"`(\w+)`:", labels))
        if kind == "histogram":
            known |= {name + "_bucket": own | {"le"}, name + "_sum": own, name + "_count": own}
        else:
            known[name] = own
    return known


# ---- the words ----------------------------------------------------------------------


@pytest.mark.parametrize("where, expression, text", QUERIES, ids=[q[0] for q in QUERIES])
def test_every_metric_and_label_exists(where, expression, text):
    known = known_metrics()
    bare = re.sub(r'"[^"]*"', '""', expression)
    grouped = {label.strip() for _, labels in GROUPING.findall(bare)
               for label in labels.split(",") if label.strip()}
    left = re.sub(r"\[[^\]]*\]", "", GROUPING.sub("", bare))
    names = set()
    for name, matchers in re.findall(r"\b([a-z_]\w*)\b(?:\{([^}]*)\})?", re.sub(
            r"\b\d[\d.]*\b", "", left)):
        if name in WORDS or re.search(rf"[{{,]\s*{name}\s*=", left) and name not in known:
            continue
        assert name in known, f"no such metric: {name}"
        names.add(name)
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            assert label in known[name] | TARGET, f"{name} has no label {label}"
    assert names
    has = set().union(TARGET, *(known[name] for name in names))
    assert grouped <= has, f"none of {names} has {grouped - has}"
    shown = set(re.findall(r"\{\{(\w+)\}\}", text))
    assert shown <= has, f"none of {names} has {shown - has}"


def test_the_check_above_can_fail():
    for wrong in ("rate(gateway_requests_total[5m])", 'circuit_breaker_state{user="x"}',
                  "sum by (tier) (circuit_breaker_state)"):
        with pytest.raises(AssertionError):
            test_every_metric_and_label_exists("", wrong, "")
    with pytest.raises(AssertionError):
        test_every_metric_and_label_exists("", "circuit_breaker_state", "{{tier}}")


# ---- the alerts ---------------------------------------------------------------------


@needs_promtool
@pytest.mark.parametrize("what", [["check", "config", "prometheus.yaml"],
                                  ["check", "rules", "alerts.yaml"],
                                  ["test", "rules", "alerts_test.yaml"]], ids=" ".join)
def test_promtool_agrees(what):
    done = subprocess.run(["promtool", *what], cwd=DEPLOY, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_to_do_and_is_tested(rule):
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(), re.M)
    assert anchor == rule["alert"].lower() and rule["alert"] in headings
    cases = [case for test in TESTS["tests"] for case in test["alert_rule_test"]
             if case["alertname"] == rule["alert"]]
    assert any(case.get("exp_alerts") for case in cases), "never seen to fire"


def test_each_alert_has_one_name():
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))


# ---- the dashboard --------------------------------------------------------------------


def test_panels_have_places_of_their_own():
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = set(itertools.product(range(at["x"], at["x"] + at["w"]),
                                      range(at["y"], at["y"] + at["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_it_asks_the_data_source_that_was_chosen():
    names = {variable["name"] for variable in VARIABLES}
    for thing in PANELS + [t for p in PANELS for t in p["targets"]] + ANNOTATIONS:
        assert thing["datasource"]["uid"] == "${datasource}"
    for _, expression, _ in QUERIES:
        assert set(re.findall(r"\$(\w+)", expression)) <= names | {"__rate_interval"}


def filled_in(expression):
    """As Grafana does when everything is selected."""
    for name, value in (("__rate_interval", "1m"), ("job", ".*"), ("instance", ".*"),
                        ("service", ".*")):
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression
    return expression


# ---- a real one -------------------------------------------------------------------------


@pytest.fixture
def prometheus(tmp_path):
    """Makes one over running gateways."""
    made = []

    def make(*gateways):
        directory = tmp_path / f"prometheus{len(made)}"
        directory.mkdir()
        targets = [gw.wait_message("admin listening")["address"] for gw in gateways]
        made.append(Prometheus(directory, DEPLOY / "prometheus.yaml", targets))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def outage(gateway, server, tmp_path):
    """A gateway whose service `web` fails and is replaced, and whose `orders` is gone."""
    kept, port = dead_port()
    gone = f"http://127.0.0.1:{port}"
    bad = server(lambda request, link: answer(b"no", "500 Internal Server Error"))
    gw = gateway(
        [bad], admin=ADMIN, store=f"sqlite:{tmp_path}/outbox.db", retry={"max": 1},
        breaker={"consecutive": 4, "open": "1h", "open_max": "1h"},
        health={"path": "/health", "interval": "1s"}, cache={"fresh": "1s"},
        fallback=[{"stale": {"max": "1h"}}, {"static": {"status": 200, "json": {}}}],
        services={"good": {"endpoints": [server().url]},
                  "orders": {"endpoints": [gone], "fallback": [{"queue": {}}]}},
        routes=[{"prefix": "/good", "service": "good"}, {"prefix": "/orders", "service": "orders"},
                {"prefix": "/", "service": "web"}])
    yield gw
    kept.close()


def some_of_everything(gw):
    for _ in range(6):
        gw.get("/good/x")
        gw.get("/")
    assert gw.post("/orders", b"{}").status == 202


@needs_prometheus
def test_an_open_breaker_is_told_at_once(outage, prometheus):
    watch = prometheus(outage)
    assert {labels["service"]: value
            for labels, value in watch.wait_query("circuit_breaker_state")}["web"] == 0
    assert not watch.firing("SwitchgearBreakerOpen")
    some_of_everything(outage)
    told = watch.wait_firing("SwitchgearBreakerOpen")
    assert [a["labels"]["service"] for a in told] == ["web"]
    assert told[0]["labels"]["severity"] == "critical"
    assert told[0]["annotations"]["summary"] == "web is open"
    Admin(outage).command("force-open", reason="mine", author="ada")
    eventually(lambda: not watch.firing("SwitchgearBreakerOpen"), "who forced it is not called")


# Silent where nothing was lost, drained, limited or expired meanwhile.
SILENT = {"Retries not made, and why A", "Attempts under way and waiting C",
          "Accepted, refused and settled B", "Accepted, refused and settled C",
          "Draining: time left A", "Breakers open"}


@needs_prometheus
def test_the_dashboard_shows_something_everywhere(outage, prometheus):
    watch = prometheus(outage)
    watch.wait_query("circuit_breaker_state")
    # in two portions: a rate needs a series that was there before
    for _ in range(2):
        some_of_everything(outage)
        watch.wait_query('outbox_entries{service="orders"} > 0')
    watch.wait_query('fallback_answered_total{tier="2-static"} > 0')
    for where, expression, _ in QUERIES:
        if where in SILENT or where.startswith("Switchgear"):
            watch.query(filled_in(expression))
        else:
            watch.wait_query(filled_in(expression))
    assert SILENT <= {where for where, _, _ in QUERIES}
    for variable in VARIABLES:
        if variable["type"] == "query":
            inner, label = re.fullmatch(r"label_values\((.+), (\w+)\)",
                                        variable["definition"]).groups()
            assert all(labels.get(label) for labels, _ in watch.wait_query(filled_in(inner)))


def test_health_checks_are_counted(outage):
    admin = Admin(outage)

    def counts():
        return {line.split('result="')[1].split('"')[0]: int(line.rsplit(" ", 1)[1])
                for line in admin.get("/metrics").text.splitlines()
                if line.startswith('health_checks_total{service="web"')}

    counted = eventually(lambda: (c := counts())["failed"] > 1 and c, "checks fail")
    assert counted["good"] == 0
    assert 'health_checks_total{service="good"' not in admin.get("/metrics").text


@needs_prometheus
def test_a_drain_that_will_not_end(gateway, upstream, prometheus):
    up = upstream()
    gw = gateway([up], admin=ADMIN, drain={"delay": "0s", "timeout": "9s"},
                 timeout={"attempt": "1h", "total": "1h"})
    watch = prometheus(gw)
    with gw.connect() as client:
        client.ask("GET", "/")
        link = up.accept()
        link.request()
        watch.wait_query("gateway_requests_in_flight == 1")
        assert not watch.firing("SwitchgearDrainLate")
        assert watch.query("gateway_drain_remaining_seconds == Inf")
        gw.signal(signal.SIGTERM)
        told = watch.wait_firing("SwitchgearDrainLate")
        assert told[0]["annotations"]["description"].startswith("1 request(s)")
        link.reply(b"late")
    # it has remembered what it saw, although who told it is gone
    assert gw.wait() == 0
    watch.wait_query("up == 0")
    assert watch.firing("SwitchgearDrainLate")


# ---- how much of it -----------------------------------------------------------------------


def series(admin):
    return {line.rsplit(" ", 1)[0] for line in admin.get("/metrics").text.splitlines()
            if not line.startswith("#")}


def test_clients_cannot_make_series(outage):
    """What a client may choose freely is no label: after one of each method, never another."""
    admin = Admin(outage)

    def ask(round_):
        with outage.connect() as client:
            for method in ("GET", "PUT", f"MADE-UP-{round_}", f"X{round_}"):
                client.get(f"/good/{round_}?q={round_}", f"Host: h{round_}.example",
                           f"X-Tenant: {round_}", method=method)
                client.get(f"/good/{round_}", f"User-Agent: {round_}", method=method)

    ask(0)
    before = series(admin)
    for round_ in range(1, 40):
        ask(round_)
    assert series(admin) == before
    assert not any("MADE-UP" in one or "overflow" in one for one in before)
