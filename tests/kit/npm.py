"""What tests need from npm: pinned by a package-lock.json, fetched once, kept in build/."""
import hashlib
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def modules(directory, name):
    """Where the modules are that directory/package-lock.json pins; skips where they are
    not to be had."""
    into = ROOT / "build" / name
    for program in ("node", "npm"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    wanted = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    stamp = into / "fetched"
    if not stamp.exists() or stamp.read_text() != wanted:
        into.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(directory / file, into)
        try:
            done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                                  cwd=into, capture_output=True, text=True, timeout=180)
        except subprocess.TimeoutExpired:
            pytest.skip("npm ci did not come to an end: no network?")
        if done.returncode:
            pytest.skip(f"npm ci failed: {done.stderr.strip().splitlines()[-1:]}")
        stamp.write_text(wanted)
    return into / "node_modules"
