"""examples/ai-platform, started by its own command and then broken; and each variable of the
environment that it knows does something."""
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import httpx
import pytest

from kit.gateway import BINARY, BROKEN, SANITIZERS
from kit.waiting import DEADLINE, eventually

HOME = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "ai-platform"
MODELS = ("llama-70b", "mixtral-8x7b", "qwen-coder")
GPU, CPU = "on its GPU.", "The small model on the CPU."
DOWN = {"errors": "100%", "status": 503}
# what a test that is about something else need not wait for
QUICK = {"PRESTOP_DELAY_SECONDS": "0", "CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS": "3600"}


class Platform:
    def __init__(self, **environment):
        env = {**os.environ, **SANITIZERS, "SWITCHGEAR": str(pathlib.Path(BINARY).resolve()),
               **QUICK, **environment}
        self.process = subprocess.Popen(
            [HOME / "run", "--json", "--free-ports"], env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line, "".join(self.process.communicate())
        self.__dict__.update(json.loads(line))
        self.http = httpx.Client(timeout=3 * DEADLINE, trust_env=False)

    def chat(self, question, model="llama-70b", **more):
        body = {"messages": [{"role": "user", "content": question}], **more}
        return self.http.post(f"{self.gateway}/models/{model}/v1/chat/completions", json=body)

    def said(self, answer):
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]["content"]

    def source(self, answer):
        return answer.headers["Switchgear"].split(";")[0]

    def story(self, answer):
        return dict(p.split("=") for p in answer.headers["Switchgear"].split(";")[1:])

    def break_(self, *names, **how):
        for name in names:
            self.http.put(f"{self.models[name]}/__mock/behaviour",
                          json=how or DOWN).raise_for_status()

    def heal(self, *names):
        for name in names:
            self.http.post(f"{self.models[name]}/__mock/reset").raise_for_status()

    def breaker(self, name):
        return self.http.get(f"{self.admin}/api/v1/circuit-breakers/{name}").json()

    def tiers(self, name):
        all_ = self.http.get(f"{self.admin}/fallback-chain/stats").json()["fallbacks"]
        one, = [f for f in all_ if f["service"] == name]
        return {tier["kind"]: tier["answered"] for tier in one["tiers"]}

    def end(self, number=signal.SIGTERM):
        """Told to end as a platform does; its exit code, and what the gateway has logged."""
        if self.process.returncode is None:
            with open(self.log) as log:  # it is gone with the rest
                self.process.send_signal(number)
                self.err = self.process.communicate(timeout=3 * DEADLINE)[1]
                self.text = log.read()
        assert not BROKEN.search(self.text), self.text
        return self.process.returncode, self.text + self.err


@pytest.fixture
def platform():
    running = []

    def start(**environment):
        running.append(Platform(**environment))
        return running[-1]

    yield start
    for one in running:
        one.http.close()
        code, text = one.end()
        assert code == 0, text


def test_four_tiers_one_after_the_other(platform):
    it = platform(CIRCUIT_BREAKER_FAILURE_THRESHOLD="100")
    assert it.said(it.chat("known")).endswith(GPU)
    it.break_("llama-70b")
    answer = it.chat("new")
    assert it.said(answer) == CPU and answer.json()["model"] == "llama3.2:1b"
    it.break_("cpu")
    answer = eventually(lambda: (a := it.chat("known")) and it.source(a) == "stale" and a,
                        "it is a second old")
    assert it.said(answer).endswith(GPU) and int(answer.headers["Age"]) >= 1
    answer = it.chat("never asked")
    assert answer.status_code == 503 and answer.headers["Retry-After"]
    assert answer.json()["error"]["type"] == "degraded" and it.source(answer) == "static"
    assert it.tiers("llama-70b") == {"service": 1, "stale": 1, "static": 1}
    # what was said is in the Redis, and outlives the gateway's memory
    assert any("ai-platform" in key for key in keys(it.redis))


def keys(url):
    import redis
    return [k.decode() for k in redis.Redis.from_url(url).keys("*")]


def test_each_model_has_its_own_breaker_and_ollama_its_own_words(platform):
    it = platform(CIRCUIT_BREAKER_FAILURE_THRESHOLD="2")
    it.break_("mixtral-8x7b")
    for n in range(2):
        assert it.said(it.chat(f"q{n}", "mixtral-8x7b")) == CPU
    assert it.breaker("mixtral-8x7b")["state"] == "open"
    answer = it.chat("q2", "mixtral-8x7b")
    assert it.said(answer) == CPU and it.story(answer)["attempts"] == "0"
    for model in ("llama-70b", "qwen-coder"):
        assert it.said(it.chat("x", model)).endswith(GPU)
        assert it.breaker(model)["state"] == "closed"

    def generate(model, **more):
        return it.http.post(f"{it.gateway}/models/{model}/api/generate",
                            json={"prompt": "hello", **more})
    assert generate("qwen-coder", stream=False).json()["response"].endswith(GPU)
    whole = generate("mixtral-8x7b", stream=False).json()
    assert whole["response"] == CPU and whole["done"] and whole["model"] == "llama3.2:1b"
    lines = [json.loads(line) for line in generate("mixtral-8x7b").text.splitlines()]
    assert "".join(line["response"] for line in lines) == CPU
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    chat = it.http.post(f"{it.gateway}/models/qwen-coder/api/chat", json={
        "messages": [{"role": "user", "content": "a b"}], "stream": False}).json()
    assert chat["message"]["content"].endswith(GPU) and chat["prompt_eval_count"] == 2
    assert it.http.get(f"{it.models['cpu']}/api/tags").json()["models"][0]["name"] == "cpu"


def test_streams_fall_back_before_the_first_token(platform):
    it = platform()
    it.break_("llama-70b", break_after=0)
    with it.http.stream("POST", f"{it.gateway}/models/llama-70b/v1/chat/completions", json={
            "stream": True, "messages": [{"role": "user", "content": "x"}]}) as answer:
        events = [json.loads(line[6:]) for line in answer.iter_lines()
                  if line.startswith("data: {")]
    text = "".join(e["choices"][0]["delta"].get("content", "") for e in events)
    assert text == CPU and answer.status_code == 200


# ---- the environment ---------------------------------------------------------------------


def test_breaker_enabled_and_chain_enabled(platform):
    it = platform(CIRCUIT_BREAKER_ENABLED="false", FALLBACK_CHAIN_ENABLED="false",
                  CIRCUIT_BREAKER_FAILURE_THRESHOLD="1")
    it.break_("llama-70b")
    for n in range(3):
        answer = it.chat(f"q{n}")
        assert answer.status_code == 503 and it.story(answer)["attempts"] == "1"
    assert it.source(answer) == "upstream" and set(it.tiers("llama-70b").values()) == {0}


def test_cache_enabled_and_message(platform):
    it = platform(CACHE_ENABLED="false", DEGRADED_MESSAGE='Back "soon", at {9}.')
    it.chat("known")
    it.break_("llama-70b", "cpu")
    answer = it.chat("known")
    assert answer.status_code == 503 and "Cache-Status" not in answer.headers
    assert answer.json()["error"]["message"] == 'Back "soon", at {9}.'
    assert not [k for k in keys(it.redis) if k.startswith("ai-platform")]


def test_timeout_and_recovery(platform):
    it = platform(CIRCUIT_BREAKER_TIMEOUT_SECONDS="1", CIRCUIT_BREAKER_FAILURE_THRESHOLD="1",
                  CIRCUIT_BREAKER_RECOVERY_TIMEOUT_SECONDS="1")
    it.break_("llama-70b", hang="100%")
    began = time.monotonic()
    assert it.said(it.chat("x")) == CPU
    assert 0.9 < time.monotonic() - began  # it was waited for, and for less than the usual 30 s
    assert it.breaker("llama-70b")["state"] == "open"
    it.heal("llama-70b")
    eventually(lambda: it.said(it.chat(f"{time.monotonic()}")).endswith(GPU), "it is tried again")
    eventually(lambda: it.breaker("llama-70b")["state"] == "closed", "the try is counted")


def test_another_ollama(platform, server):
    from kit.http import answer
    other = server(lambda request, link: answer(b'{"choices": [{"message": {"content": "Hi"}}]}'))
    it = platform(OLLAMA_CPU_ENDPOINT=other.url)
    it.break_("llama-70b")
    assert it.said(it.chat("x")) == "Hi"
    assert other.requests[0].target == "/v1/chat/completions"
    assert json.loads(other.requests[0].body)["model"] == "llama3.2:1b"


def hanging(it):
    """A question that the model has, and does not answer."""
    it.break_("llama-70b", hang="100%")
    found = []

    def ask():
        try:
            found.append(it.chat("slow"))
        except httpx.HTTPError as error:
            found.append(error)
    thread = threading.Thread(target=ask)
    thread.start()
    url = it.models["llama-70b"]
    it.http.get(f"{url}/__mock/wait?held=1&timeout={DEADLINE:g}s").raise_for_status()
    return thread, found


def test_sigterm_lets_finish_what_runs(platform):
    it = platform(PRESTOP_DELAY_SECONDS="3600", TERMINATION_GRACE_PERIOD_SECONDS="3600",
                  CIRCUIT_BREAKER_TIMEOUT_SECONDS="3600")
    thread, found = hanging(it)
    os.kill(it.pid, signal.SIGTERM)
    eventually(lambda: it.http.get(f"{it.admin}/readyz").status_code == 503, "it is not ready")
    # the load balancer does not know yet: still answered, and told to go elsewhere
    late = it.chat("late", "qwen-coder")
    assert it.said(late).endswith(GPU) and late.headers["Connection"] == "close"
    it.http.post(f"{it.models['llama-70b']}/__mock/release").raise_for_status()
    thread.join(3 * DEADLINE)
    assert it.said(found[0]).endswith(GPU)
    os.kill(it.pid, signal.SIGINT)  # the second one: at once


def test_prestop_delay_and_grace_period_are_what_a_drain_takes(platform):
    it = platform(PRESTOP_DELAY_SECONDS="0", TERMINATION_GRACE_PERIOD_SECONDS="1",
                  CIRCUIT_BREAKER_TIMEOUT_SECONDS="3600")
    thread, found = hanging(it)
    code, text = it.end()
    thread.join(3 * DEADLINE)
    # cut off by itself, before anybody would have killed it
    assert code == 0 and isinstance(found[0], httpx.HTTPError)
    assert "drain time is over" in text


def test_without_graceful_shutdown_nothing_is_waited_for(platform):
    it = platform(GRACEFUL_SHUTDOWN_ENABLED="false", PRESTOP_DELAY_SECONDS="3600",
                  TERMINATION_GRACE_PERIOD_SECONDS="3600",
                  CIRCUIT_BREAKER_TIMEOUT_SECONDS="3600")
    thread, found = hanging(it)
    code, text = it.end()
    thread.join(3 * DEADLINE)
    assert code == 0 and isinstance(found[0], httpx.HTTPError)
