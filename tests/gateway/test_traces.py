"""Traces: the context that is passed on, and the spans that a collector gets."""
import json
import re
import signal
import threading

import pytest

from kit.admin import ADMIN, Admin
from kit.caching import metric
from kit.collector import TAKEN, Collector
from kit.http import answer
from kit.upstream import dead_port
from kit.waiting import DEADLINE, eventually

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
BUSY = answer(b"no", "503 Service Unavailable")
GOOD = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])")


@pytest.fixture
def collector():
    made = []

    def make(port=0):
        made.append(Collector(port))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert not one.bad, one.bad


@pytest.fixture
def traced(gateway, collector):
    """A gateway that tells a collector of everything; both."""
    def make(endpoints=(), sample="100%", trace=None, **keys):
        at = collector()
        keys.setdefault("admin", ADMIN)
        trace = {"otlp": at.url, "sample": sample, **(trace or {})}
        if "config" in keys:
            return gateway(config={**keys.pop("config"), "trace": trace, "admin": ADMIN}), at
        return gateway(list(endpoints), trace=trace, **keys), at
    return make


def parent(request):
    """What a service was told: (trace, span, flags)."""
    text, = request.headers.all("traceparent")
    return GOOD.fullmatch(text).groups()


def settled(gw, result, count):
    admin = Admin(gw)
    eventually(lambda: metric(admin, f'trace_spans_total{{result="{result}"}}') >= count,
               f"{count} spans {result}")


# ---- a request and its attempt -----------------------------------------------------


def test_request_and_attempt_are_spans(traced, server):
    up = server(lambda r, l: answer(b"x", "201 Created"))
    gw, at = traced([up], trace={"service_name": "edge", "headers": {"X-Tenant": "blue"}},
                    routes=[{"path": "/api/{id}", "service": "web"}])
    gw.get("/api/7?token=geheim", f"traceparent: {SAMPLED}", "tracestate: a=1,b=2")
    span, (attempt,) = at.request()
    assert (span.trace, span.parent, span.state) == (TRACE, CALLER, "a=1,b=2")
    assert span.name == "GET /api/{id}" and not span.failed and span.flags == 1
    expected = {"http.request.method": "GET", "url.path": "/api/7", "url.scheme": "http",
                "http.route": "/api/{id}", "http.response.status_code": 201,
                "server.address": "test", "client.address": "127.0.0.1",
                "network.protocol.version": "1.1", "switchgear.service": "web",
                "switchgear.source": "upstream", "switchgear.breaker.state": "closed",
                "switchgear.attempts": 1}
    assert span.attributes == expected
    assert (attempt.kind, attempt.name, attempt.trace) == ("client", "GET", TRACE)
    assert attempt["url.full"] == f"{up.url}/api/7" and attempt["server.port"] == up.port
    assert attempt["http.response.status_code"] == 201 and not attempt.failed
    assert parent(up.requests[0]) == (TRACE, attempt.id, "01")
    assert up.requests[0].headers["tracestate"] == "a=1,b=2"
    assert at.resources[0]["service.name"] == "edge" and at.heads[0]["X-Tenant"] == "blue"
    assert not any(b"geheim" in text for text in at.texts)
    settled(gw, "sent", 2)


def test_a_client_that_is_not_sampled_is_heeded(traced, server):
    up = server()
    gw, at = traced([up])
    gw.get("/", f"traceparent: {UNSAMPLED}", "tracestate: a=1")
    trace, span, flags = parent(up.requests[0])
    assert (trace, flags) == (TRACE, "00") and span != CALLER
    assert up.requests[0].headers["tracestate"] == "a=1"
    gw.get("/marker")
    assert {s.trace for s in at.wait(2)} == {parent(up.requests[1])[0]} != {TRACE}


def test_nothing_is_sampled_at_zero_but_what_clients_want(traced, server):
    up = server()
    gw, at = traced([up], sample="0%")
    for _ in range(20):
        gw.get("/")
    assert {parent(r)[2] for r in up.requests} == {"00"}
    assert len({parent(r)[0] for r in up.requests}) == 20
    gw.get("/", f"traceparent: {SAMPLED}")
    assert {s.trace for s in at.wait(2)} == {TRACE} and len(at.spans) == 2


BAD = ["", "00", SAMPLED[:-1], SAMPLED + "-x", SAMPLED.upper(), SAMPLED.replace("-", "_"),
       f"00-{'0' * 32}-{CALLER}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{CALLER}-01",
       f"00-{TRACE}-{CALLER}-0g", f"0 -{TRACE}-{CALLER}-01"]


def test_malformed_contexts_are_replaced(traced, server):
    up = server()
    gw, at = traced([up])
    for text in BAD:
        gw.get("/", f"traceparent: {text}", "tracestate: a=1")
    gw.get("/", f"traceparent: {SAMPLED}", f"traceparent: {SAMPLED}")
    for request in up.requests:
        assert parent(request)[0] != TRACE and "tracestate" not in request.headers
    assert len(up.requests) == len(BAD) + 1
    # of a later version, what this one knows
    gw.get("/", f"traceparent: cc-{TRACE}-{CALLER}-01-more", "tracestate: a=1", "tracestate: b=2")
    assert parent(up.requests[-1])[0] == TRACE
    assert up.requests[-1].headers.all("tracestate") == ["a=1,b=2"]
    gw.get("/", f"traceparent: {SAMPLED}", "tracestate: a=1,a=2")
    assert parent(up.requests[-1])[0] == TRACE and "tracestate" not in up.requests[-1].headers
    at.wait(2 * len(up.requests))


def test_only_trusted_clients_are_followed_where_that_is_wanted(traced, server):
    up = server()
    listen = [{"address": "127.0.0.1:0", "trust": ["127.0.0.1"]}]
    gw, _ = traced([up], trace={"accept": "trusted"}, listen=listen)
    other, _ = traced([up], trace={"accept": "trusted"})
    gw.get("/", f"traceparent: {SAMPLED}")
    other.get("/", f"traceparent: {SAMPLED}")
    assert parent(up.requests[0])[0] == TRACE != parent(up.requests[1])[0]


def test_without_tracing_the_fields_go_through_as_they_are(gateway, server):
    up = server()
    gw = gateway([up], log={"requests": "all"})
    gw.get("/", "traceparent: whatever", "tracestate: =,=")
    assert up.requests[0].headers["traceparent"] == "whatever"
    assert up.requests[0].headers["tracestate"] == "=,="
    gw.get("/", f"traceparent: {SAMPLED}")
    gw.get("/")
    assert "traceparent" not in up.requests[2].headers
    gw.wait_message("request", 3)
    assert [m.get("trace_id") for m in gw.messages("request")] == [None, TRACE, None]


# ---- what happens inside -------------------------------------------------------------


def test_retries_are_attempts_with_reasons(traced, server):
    kept, port = dead_port()
    calls = iter([BUSY, None, answer(b"fine")])
    up = server(lambda r, l: next(calls))
    gw, at = traced([f"http://127.0.0.1:{port}", up], balance="round_robin",
                    retry={"max": 6}, breaker={"consecutive": 100})
    assert gw.get("/").body == b"fine"
    span, attempts = at.request()
    words = [a.get("error.type") for a in attempts]
    assert {"503", "connect"} <= set(words) and words[-1] is None
    assert words.count("503") == 1 and words.count("reset") + words.count("reset_idle") == 1
    retries = [e for e in span.events if e.name == "retry"]
    assert [e["switchgear.retry.reason"] for e in retries] == words[:-1]
    assert [a.get("http.request.resend_count") for a in attempts] == \
        [None, *range(1, len(attempts))]
    assert span["switchgear.attempts"] == len(attempts) and not span.failed
    assert {parent(r)[1] for r in up.requests} <= {a.id for a in attempts}
    kept.close()


def test_timeouts_and_fallbacks_are_told(traced, upstream, server):
    up, other = upstream(), server()
    gw, at = traced([up], timeout={"attempt": "50ms"}, retry={"max": 0},
                    services={"second": {"endpoints": [other.url]}},
                    fallback=[{"stale": {}}, {"service": {"name": "second", "path": "/b?k=1"}}],
                    cache={})
    assert gw.get("/a").body == b"/b?k=1"
    span, (first, second) = at.request()
    assert first["error.type"] == "timeout" and first.failed
    assert second["switchgear.service"] == "second"
    assert second["url.full"] == f"{other.url}/b" and not second.failed
    assert [(e["switchgear.tier"], e["switchgear.tier.result"]) for e in span.events
            if e.name == "fallback"] == [("1-stale", "failed"), ("2-service", "answered")]
    assert span["switchgear.source"] == "tier" and span["switchgear.tier"] == "2-service"
    assert parent(other.requests[0]) == (span.trace, second.id, "01")


def test_refusals_and_clients_that_leave(traced, server, upstream):
    up = upstream()
    gw, at = traced([up], breaker={"consecutive": 1, "open": "1h"}, retry={"max": 0})
    with gw.connect() as client:
        client.ask()
        link = up.accept()
        link.request()
    span, (attempt,) = at.request()
    assert span["error.type"] == attempt["error.type"] == "cancelled"
    assert "http.response.status_code" not in span.attributes
    assert span["switchgear.reason"] == "cancelled"
    Admin(gw).command("force-open", reason="test", author="me", **{"for": "1h"})
    assert gw.get("/").status == 503
    span, attempts = at.request(2)
    assert not attempts and span.failed and span["error.type"] == "503"
    assert span["switchgear.reason"] == "forced_open"
    assert gw.get("/", method="BREW").status == 503
    span, _ = at.request(3)
    assert span.name == "HTTP /" and span["http.request.method"] == "_OTHER"


def test_parts_of_an_aggregate_are_spans_under_it(traced, server):
    one, two = (server(lambda r, l: answer(b"1")) for _ in range(2))
    config = {"listen": [{"address": "127.0.0.1:0"}], "workers": 1,
              "services": {"one": {"endpoints": [one.url]}, "two": {"endpoints": [two.url]}},
              "routes": [{"path": "/page", "aggregate": {
                  "a": {"service": "one", "path": "/a"}, "b": {"service": "two", "path": "/b"}}}]}
    gw, at = traced(config=config)
    assert gw.get("/page", f"traceparent: {SAMPLED}", "tracestate: k=v").status == 200
    span, parts = at.request()
    assert len(at.wait(5)) == 5 and {s.trace for s in at.spans} == {TRACE}
    assert sorted(p["switchgear.service"] for p in parts) == ["one", "two"]
    assert {p.kind for p in parts} == {"internal"} and span.parent == CALLER
    for up in (one, two):
        trace, above, flags = parent(up.requests[0])
        attempt, = [s for s in at.spans if s.id == above]
        assert attempt.parent in {p.id for p in parts} and (trace, flags) == (TRACE, "01")
        assert up.requests[0].headers["tracestate"] == "k=v"


def test_a_refresh_belongs_to_the_request_that_caused_it(traced, origin):
    up = origin("Cache-Control: max-age=1, stale-while-revalidate=86400", "Age: 1000")
    gw, at = traced([up], cache={}, fallback=[{"stale": {}}])
    gw.get("/x")
    reply = gw.get("/x")
    assert reply.story[0] == "cache"
    refresh, = at.wait(1, lambda s: s.kind == "internal")
    span, under = at.request(2)
    assert refresh.parent == span.id and refresh in under
    assert span["switchgear.source"] == "cache" and not [s for s in under if s.kind == "client"]


def test_replays_are_traces_of_their_own_with_a_link(traced, server):
    state = {"answer": BUSY}
    up = server(lambda r, l: state["answer"])
    gw, at = traced([up], fallback=[{"queue": {"base": "10ms", "cap": "20ms"}}],
                    retry={"max": 0},
                    breaker={"consecutive": 1, "open": "20ms", "open_max": "40ms"})
    assert gw.post("/w", b"x", f"traceparent: {SAMPLED}").status == 202
    state["answer"] = answer(b"done")
    span, _ = at.request()
    replay = at.wait(1, lambda s: s.kind == "consumer" and not s.failed)[-1]
    assert replay.links == [(TRACE, span.id)]
    assert replay.trace != TRACE and replay.parent is None
    attempt, = at.wait(1, lambda s: s.parent == replay.id)
    last = up.requests[-1]
    assert parent(last) == (replay.trace, attempt.id, "01")


# ---- the collector ---------------------------------------------------------------------


def test_a_collector_that_is_away_costs_nothing_but_spans_wait(traced, server, collector):
    kept, port = dead_port()
    up = server()
    gw, _ = traced([up], trace={"otlp": f"http://127.0.0.1:{port}"})
    for _ in range(3):
        assert gw.get("/").status == 200
    gw.wait_message("the trace collector does not take spans")
    kept.close()
    at = collector(port)
    assert len(at.wait(6)) == 6
    gw.wait_message("spans go to the collector")
    settled(gw, "sent", 6)


def test_what_the_collector_says_is_heeded(traced, server):
    up = server()
    gw, at = traced([up])
    says = [answer(b"", "503 Service Unavailable", "Retry-After: 0"),
            answer(b'{"partialSuccess": {"rejectedSpans": "1", "errorMessage": "no"}}'),
            answer(b"never", "400 Bad Request")]
    at.say = lambda request: says.pop(0) if says else TAKEN
    gw.get("/")
    settled(gw, "sent", 1)
    settled(gw, "failed", 1)
    assert len(at.wait(2)) == 2
    gw.get("/")
    settled(gw, "failed", 3)
    gw.get("/")
    settled(gw, "sent", 3)
    assert len(at.wait(4)) == 4


def test_spans_that_are_too_many_are_dropped(traced, server, upstream):
    up, hangs = server(), upstream()
    gw, at = traced([up], trace={"otlp": hangs.url})
    count = 2500  # two spans each; 4096 wait, and a batch is under way

    def load():
        with gw.connect() as client:
            for _ in range(count // 4):
                assert client.get("/").status == 200

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE)
    settled(gw, "dropped", 1)
    # it goes to another collector after a reload, with all that waits
    config = json.loads(gw.path.read_text())
    config["trace"]["otlp"] = at.url
    gw.reload(config)
    admin = Admin(gw)

    def total():
        return sum(metric(admin, f'trace_spans_total{{result="{r}"}}')
                   for r in ("sent", "dropped", "failed"))
    eventually(lambda: total() == 2 * count, "every span is sent or counted as dropped")
    assert len(at.spans) == metric(admin, 'trace_spans_total{result="sent"}') > 3000


def test_what_waits_is_sent_before_the_end(traced, server):
    up = server()
    gw, at = traced([up], drain={"delay": "0s"})
    gw.get("/")
    gw.signal(signal.SIGTERM)
    assert gw.wait() == 0
    assert len(at.spans) == 2


def test_the_end_does_not_wait_for_a_collector_that_is_away(traced, server):
    kept, port = dead_port()
    gw, _ = traced([server()], trace={"otlp": f"http://127.0.0.1:{port}"}, drain={"delay": "0s"})
    gw.get("/")
    gw.signal(signal.SIGTERM)
    assert gw.wait() == 0
    kept.close()


# ---- the log ------------------------------------------------------------------


def test_a_request_line_tells_which_trace(traced, server):
    gw, at = traced([server()], log={"requests": "all"})
    gw.get("/", f"traceparent: {SAMPLED}", "X-Request-Id: r-1", "X-Correlation-Id: c-1")
    line = gw.wait_message("request")
    span, _ = at.request()
    assert (line["trace_id"], line["span_id"]) == (TRACE, span.id)
    assert (line["request_id"], line["correlation_id"]) == ("r-1", "c-1")
    config = json.loads(gw.path.read_text())
    gw.write({**config, "log": {"requests": "all", "format": "logfmt"}})
    gw.signal(signal.SIGHUP)
    eventually(lambda: "message=\"configuration reloaded\"" in gw.log(), "it writes logfmt")
    gw.get("/", f"traceparent: {SAMPLED}", "X-Request-Id: r-2", "X-Correlation-Id: c-2")
    span, _ = at.request(2)
    ids = f"trace_id={TRACE} span_id={span.id} request_id=r-2 correlation_id=c-2"
    eventually(lambda: ids in gw.log(), "the line has the ids")
