#!/usr/bin/python3
"""check_files.py TOOL [--update]: what `check` says about the files beside it.

For every case.yaml the whole report must be what case.expected holds (nothing,
where there is no such file). --update writes what is said now; read it before
committing it.
"""
import os
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
environment = {"PATH": os.environ.get("PATH", ""), "SHOP_PORT": "8001", "EMPTY": ""}


def report_of(tool, path):
    run = subprocess.run([tool, "check", path.name], cwd=here, env=environment,
                         capture_output=True, text=True, timeout=60)
    if run.stderr or run.returncode not in (0, 2):
        sys.exit(f"{path.name}: exit {run.returncode}\n{run.stderr}")
    says_error = any(": warning: " not in line for line in run.stdout.splitlines())
    if says_error != (run.returncode == 2):
        sys.exit(f"{path.name}: exit {run.returncode} with\n{run.stdout}")
    return run.stdout


def main():
    tool, update = os.path.abspath(sys.argv[1]), "--update" in sys.argv
    cases = sorted(here.glob("*.yaml"))
    wrong = 0
    for path in cases:
        expected_path = path.with_suffix(".expected")
        expected = expected_path.read_text() if expected_path.exists() else ""
        got = report_of(tool, path)
        if got == expected:
            continue
        if update:
            expected_path.write_text(got)
            continue
        wrong += 1
        print(f"--- {path.name}: expected\n{expected}--- got\n{got}")
    print(f"{len(cases)} files, {wrong} wrong")
    return wrong > 0 or not cases


sys.exit(main())
