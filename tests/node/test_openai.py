"""The client that programs really use, from npm, against `switchgear mock` through
the gateway."""
import json
import os
import pathlib
import subprocess

import pytest

from kit.mock import Mock
from kit.npm import modules
from kit.waiting import DEADLINE

HERE = pathlib.Path(__file__).resolve().parent
REPLY = "Hello from the large model"
SMALL = "The small one speaking"
LONG = {"attempt": "1h", "total": "1h", "idle": "1h"}


@pytest.fixture(scope="session")
def node():
    """Where the pinned modules are."""
    return modules(HERE, "node")


@pytest.fixture
def ask(node):
    def ask(gw, what="stream", **wish):
        wish = {"base": f"http://127.0.0.1:{gw.port}/v1", "do": what, **wish}
        done = subprocess.run(["node", str(HERE / "openai.js"), json.dumps(wish)],
                              env={**os.environ, "NODE_PATH": str(node)}, capture_output=True,
                              text=True, timeout=3 * DEADLINE)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    return ask


@pytest.fixture
def model():
    made = []

    def start(*arguments, reply=REPLY):
        made.append(Mock("--reply", reply, *arguments))
        return made[-1]

    yield start
    for mock in made:
        mock.stop()


def chain(gateway, large, small=None, **keys):
    """A model, then a smaller one."""
    small = {"services": {"small": {"endpoints": [small.url], "retry": {"max": 0}}},
             "fallback": [{"service": "small"}]} if small else {}
    return gateway([large], **{"first_token": "1h", "token_idle": "1h", "timeout": LONG,
                               "retry": {"max": 0, "methods": "any"}, **small, **keys})


def test_a_stream(gateway, model, ask):
    gw = chain(gateway, model("--token-interval", "2ms", "--tokens", "40"))
    got = ask(gw)
    assert "error" not in got and got["finish"] == "stop"
    assert got["text"].split() == (REPLY.split() * 8)[:40]
    assert got["chunks"] == 43 and got["usage"]["completion_tokens"] == 40


def test_a_whole_answer(gateway, model, ask):
    gw = chain(gateway, model("--first-token", "50ms"), first_token="10ms")
    got = ask(gw, "whole")
    assert got["text"] == REPLY and got["usage"]["completion_tokens"] == 5


def test_models_and_embeddings(gateway, model, ask):
    gw = chain(gateway, model())
    assert ask(gw, "models")["text"] == "mock-large mock-small "
    one, two, again = ask(gw, "embeddings")["vectors"]
    assert len(one) == 8 and one == again and one != two


ILL = [["--status", "503"], ["--status", "529"], ["--status", "429", "--retry-after", "60"],
       ["--reset", "100%"]]
ILL_STREAMS = [["--break-after", "0"], ["--error-after", "0"]]


@pytest.mark.parametrize("what,ill", [("stream", ill) for ill in ILL + ILL_STREAMS] +
                         [("whole", ill) for ill in ILL])
def test_a_smaller_model_answers(gateway, model, ask, ill, what):
    gw = chain(gateway, model(*ill), model(reply=SMALL))
    got = ask(gw, what)
    assert got["text"] == SMALL and "error" not in got


@pytest.mark.parametrize("ill", [["--hang", "100%"], ["--silence-after", "0"],
                                 ["--first-token", "1h"]])
def test_a_first_token_that_does_not_come(gateway, model, ask, ill):
    gw = chain(gateway, model(*ill), model(reply=SMALL), first_token="100ms")
    got = ask(gw)
    assert got["text"] == SMALL and "error" not in got


def test_an_outage_comes_and_goes(gateway, model, ask):
    large = model()
    gw = chain(gateway, large, model(reply=SMALL), breaker={"consecutive": 1, "open": "1s"})
    assert ask(gw)["text"] == REPLY
    large.set(break_after="0")
    assert ask(gw)["text"] == SMALL
    assert ask(gw)["text"] == SMALL
    large.set()
    for _ in range(40):
        if (got := ask(gw))["text"] == REPLY:
            return
        assert got["text"] == SMALL
    raise AssertionError("the large model is not asked again")


@pytest.mark.parametrize("ill,keys,type,code", [
    (["--break-after", "3"], {}, "upstream_error", "stream_broken"),
    (["--silence-after", "3"], {"token_idle": "150ms"}, "timeout", "stream_idle")])
def test_after_the_first_token_an_error_is_raised(gateway, model, ask, ill, keys, type, code):
    gw = chain(gateway, model(*ill), model(reply=SMALL),
               message={"open": "It broke off.", "timeout": "It fell silent."}, **keys)
    got = ask(gw)
    assert got["text"] == "Hello from the"
    assert got["error"]["isAPIError"] and got["error"]["type"] == type
    assert got["error"]["code"] == code
    assert got["error"]["message"] in ("It broke off.", "It fell silent.")


def test_an_error_of_the_model_itself_goes_through(gateway, model, ask):
    gw = chain(gateway, model("--error-after", "3"))
    got = ask(gw)
    assert got["text"] == "Hello from the" and got["error"]["code"] == "overloaded"


def test_when_nothing_helps_the_status_tells(gateway, model, ask):
    gw = chain(gateway, model("--break-after", "0"))
    got = ask(gw)
    assert got["text"] == "" and got["error"]["status"] == 502


def test_a_wait_that_is_asked_for(gateway, model, ask):
    large = model("--schedule", "status 429 + retry-after 1 1s, ok")
    gw = chain(gateway, large, retry={"max": 3, "methods": "any", "retry_after_max": "10s"})
    assert ask(gw)["text"] == REPLY
