"""What tests need from npm: pinned by a package-lock.json, fetched once, kept in build/."""
import fcntl
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
    into.mkdir(parents=True, exist_ok=True)
    with open(into / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run side by side, and one fetches for all
        fetch(directory, into)
    return into / "node_modules"


def fetch(directory, into):
    wanted = hashlib.sha256((directory / "package-lock.json").read_bytes()).hexdigest()
    stamp = into / "fetched"
    if stamp.exists() and stamp.read_text() == wanted:
        return
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
