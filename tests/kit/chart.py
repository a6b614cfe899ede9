"""The Helm chart, rendered. Helm is not in Debian; its language is: Go's text/template
with sprig, to which tests/deploy/render adds what Helm adds."""
import os
import pathlib
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy/helm/switchgear"
RENDER = ROOT / "tests/deploy/render"


class Refused(Exception):
    """The chart says why not."""


def missing():
    """Why it cannot be rendered here, or None."""
    if not shutil.which("go"):
        return "go is not installed: the chart is not rendered"
    if not pathlib.Path("/usr/share/gocode/src/github.com/Masterminds/sprig").exists():
        return "golang-github-masterminds-sprig-dev is not installed: the chart is not rendered"
    return None


def merged(base, over):
    """As Helm merges values: mappings key by key, all else as a whole."""
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: merged(base.get(key), value) for key, value in over.items()}}


def program():
    out = ROOT / "build" / "deploy" / "render"
    if not out.exists() or out.stat().st_mtime < (RENDER / "main.go").stat().st_mtime:
        out.parent.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "GOPATH": "/usr/share/gocode", "GO111MODULE": "off", "GOFLAGS": "",
               "GOCACHE": str(out.parent / "cache")}
        subprocess.run(["go", "build", "-o", str(out), "."], cwd=RENDER, env=env, check=True)
    return out


class Chart:
    def __init__(self):
        self.values = yaml.safe_load((CHART / "values.yaml").read_text())

    def merged(self, values):
        if isinstance(values, pathlib.Path):
            values = yaml.safe_load(values.read_text())
        return merged(self.values, values)

    def render(self, values, release="web", namespace="shop", service="Helm"):
        """The documents as text; Refused with the chart's own words."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(self.merged(values), file)
            file.flush()
            done = subprocess.run([str(program()), str(CHART), file.name, release, namespace, service],
                                  capture_output=True, text=True)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    def objects(self, values, **about):
        text = self.render(values, **about)
        documents = [d for d in text.split("---\n") if not d.startswith("# Source: NOTES")]
        return [o for d in documents for o in yaml.safe_load_all(d) if o]
