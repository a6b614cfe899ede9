"""A real Prometheus, on a port of its own, ended by its pid."""
import json
import pathlib
import subprocess

import httpx
import yaml

from kit.redis import free_port
from kit.waiting import DEADLINE, eventually

OFTEN = "500ms"


class Prometheus:
    """Scrapes the targets (`host:port`) as the given configuration does, only more often."""

    def __init__(self, directory, configuration, targets):
        directory, configuration = pathlib.Path(directory), pathlib.Path(configuration)
        config = yaml.safe_load(configuration.read_text())
        config["global"] = {"scrape_interval": OFTEN, "scrape_timeout": OFTEN,
                            "evaluation_interval": OFTEN}
        config["rule_files"] = [str(configuration.parent / f) for f in config["rule_files"]]
        config["scrape_configs"][0]["static_configs"] = [{"targets": list(targets)}]
        file = directory / "prometheus.yaml"
        file.write_text(json.dumps(config))
        self.log = open(directory / "prometheus.log", "w+")
        port = free_port()
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={directory}/data",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE,
                                 trust_env=False)
        try:
            eventually(self.is_ready, "Prometheus answers")
        except AssertionError:
            self.stop()
            raise

    def is_ready(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise AssertionError(f"Prometheus ended:\n{self.log.read()}")
        try:
            return self.http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def api(self, path, **parameters):
        answer = self.http.get(f"/api/v1/{path}", params=parameters)
        told = answer.json()
        assert told["status"] == "success", (path, parameters, told)
        return told["data"]

    def query(self, expression):
        """[(labels, value)] of an instant query."""
        return [(sample["metric"], float(sample["value"][1]))
                for sample in self.api("query", query=expression)["result"]]

    def wait_query(self, expression):
        """The same, as soon as there is anything."""
        return eventually(lambda: self.query(expression), f"there is {expression}")

    def firing(self, name):
        return [a for a in self.api("alerts")["alerts"]
                if a["labels"]["alertname"] == name and a["state"] == "firing"]

    def wait_firing(self, name):
        return eventually(lambda: self.firing(name), f"{name} fires")

    def stop(self):
        self.http.close()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
