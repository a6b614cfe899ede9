"""A collector of traces: takes OTLP over HTTP as JSON, and is strict about it.

What it checks is ExportTraceServiceRequest of opentelemetry-proto 1.x in its JSON
encoding: no field that the protocol does not have, ids in hexadecimal of the right
length, 64-bit integers as strings, enums as numbers.
"""
import json
import re
import threading

from kit.http import answer
from kit.upstream import Server
from kit.waiting import DEADLINE

NAMES = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}
TAKEN = answer(b"{}", "200 OK", "Content-Type: application/json")


def only(found, allowed, required=()):
    assert set(found) <= set(allowed), f"{set(found) - set(allowed)} are not in the protocol"
    assert set(required) <= set(found), f"{set(required) - set(found)} are missing"


def wide(text):
    assert isinstance(text, str) and re.fullmatch(r"-?\d{1,20}", text), text
    return int(text)


def value(one):
    only(one, ("stringValue", "boolValue", "intValue", "doubleValue"))
    (kind, content), = one.items()
    if kind == "intValue":
        return wide(content)
    assert isinstance(content, {"stringValue": str, "boolValue": bool, "doubleValue": float}[kind])
    return content


def attributes(listed):
    found = {}
    for one in listed:
        only(one, ("key", "value"), ("key", "value"))
        assert one["key"] and one["key"] not in found, f"{one['key']} is there twice"
        found[one["key"]] = value(one["value"])
    return found


class Event:
    def __init__(self, raw, span):
        only(raw, ("timeUnixNano", "name", "attributes", "droppedAttributesCount"),
             ("timeUnixNano", "name"))
        self.name = raw["name"]
        self.at = wide(raw["timeUnixNano"])
        self.attributes = attributes(raw.get("attributes", []))
        assert span.began <= self.at <= span.ended, "an event outside of its span"

    def __getitem__(self, key):
        return self.attributes[key]


class Span:
    def __init__(self, raw):
        only(raw, ("traceId", "spanId", "traceState", "parentSpanId", "flags", "name", "kind",
                   "startTimeUnixNano", "endTimeUnixNano", "attributes", "droppedAttributesCount",
                   "events", "droppedEventsCount", "links", "droppedLinksCount", "status"),
             ("traceId", "spanId", "name", "kind", "startTimeUnixNano", "endTimeUnixNano"))
        self.trace, self.id, self.parent = raw["traceId"], raw["spanId"], raw.get("parentSpanId")
        assert re.fullmatch("[0-9a-f]{32}", self.trace) and set(self.trace) != {"0"}
        assert re.fullmatch("[0-9a-f]{16}", self.id) and set(self.id) != {"0"}
        assert self.parent is None or re.fullmatch("[0-9a-f]{16}", self.parent)
        self.name, self.kind = raw["name"], NAMES[raw["kind"]]
        self.state, self.flags = raw.get("traceState"), raw.get("flags", 0)
        self.began, self.ended = wide(raw["startTimeUnixNano"]), wide(raw["endTimeUnixNano"])
        assert self.began <= self.ended
        self.attributes = attributes(raw.get("attributes", []))
        self.events = [Event(e, self) for e in raw.get("events", [])]
        self.links = [(link["traceId"], link["spanId"]) for link in raw.get("links", [])]
        only(raw.get("status", {}), ("code", "message"))
        self.failed = raw.get("status", {}).get("code", 0) == 2
        assert not raw.get("droppedAttributesCount"), self.attributes

    def __getitem__(self, key):
        return self.attributes[key]

    def get(self, key):
        return self.attributes.get(key)

    def __repr__(self):
        return f"<{self.kind} {self.name} {self.attributes} {[e.name for e in self.events]}>"


class Collector:
    """`say` may be another answer, or a function of the request; "" takes none."""

    def __init__(self, port=0):
        self.lock = threading.Condition()
        self.spans, self.resources, self.bad, self.texts, self.heads = [], [], [], [], []
        self.say = TAKEN
        self.server = Server(self._respond, port)
        self.url, self.port = self.server.url, self.server.port

    def _respond(self, request, link):
        say = self.say(request) if callable(self.say) else self.say
        with self.lock:
            if say.startswith(b"HTTP/1.1 2"):
                try:
                    self._take(request)
                except (AssertionError, KeyError, TypeError, ValueError) as error:
                    self.bad.append(f"{type(error).__name__}: {error}")
            self.lock.notify_all()
        return say or None

    def _take(self, request):
        assert request.method == "POST" and request.target.endswith("/v1/traces")
        assert request.headers["Content-Type"] == "application/json"
        self.texts.append(request.body)
        self.heads.append(request.headers)
        whole = json.loads(request.body)
        only(whole, ("resourceSpans",), ("resourceSpans",))
        for resource in whole["resourceSpans"]:
            only(resource, ("resource", "scopeSpans", "schemaUrl"))
            only(resource["resource"], ("attributes", "droppedAttributesCount"))
            self.resources.append(attributes(resource["resource"]["attributes"]))
            for scope in resource["scopeSpans"]:
                only(scope, ("scope", "spans", "schemaUrl"))
                only(scope["scope"], ("name", "version", "attributes"))
                self.spans += [Span(span) for span in scope["spans"]]

    def wait(self, count=1, of=lambda span: True):
        """The spans that are meant, as soon as there are so many."""
        with self.lock:
            enough = self.lock.wait_for(
                lambda: self.bad or len([s for s in self.spans if of(s)]) >= count, DEADLINE)
            assert not self.bad, self.bad
            assert enough, f"not {count} of them: {self.spans}"
            return [s for s in self.spans if of(s)]

    def request(self, count=1, kind="server"):
        """The count-th span of a request, and the spans under it."""
        span = self.wait(count, lambda s: s.kind == kind)[count - 1]
        with self.lock:
            return span, [s for s in self.spans if s.parent == span.id]

    def close(self):
        self.server.close()
