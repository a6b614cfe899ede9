"""What the collector gets, read with OpenTelemetry's own definition of the protocol."""
import json
import pathlib
import subprocess

from kit.collector import Collector
from kit.http import answer
from kit.npm import modules

HERE = pathlib.Path(__file__).resolve().parent
SAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_spans_are_what_opentelemetry_defines(gateway, server, tmp_path):
    installed = modules(HERE, "node")
    at = Collector()
    states = iter(["503 Service Unavailable", "200 OK", "500 Internal Server Error"])
    up = server(lambda r, l: answer(b"x", next(states)))
    gw = gateway([up], trace={"otlp": at.url, "sample": "100%"},
                 fallback=[{"stale": {}}, {"static": {"json": {}}}], cache={})
    gw.get("/a", f"traceparent: {SAMPLED}", "tracestate: a=b")
    gw.get("/b", method="BREW")
    at.wait(5)
    kinds = set()
    for text in at.texts:
        (tmp_path / "request.json").write_bytes(text)
        done = subprocess.run(["node", HERE / "otlp.js", installed, tmp_path / "request.json"],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["spans"] > 0
    kinds = {span.kind for span in at.spans}
    assert kinds == {"server", "client"} and any(span.events for span in at.spans)
    at.close()
    assert not at.bad
