#!/usr/bin/python3
"""check_docs.py TOOL ROOT: the documentation tells the truth about configuration.

Every ```yaml block in README.md and docs/ that is a whole file (it has a
`services:` at the left margin) must check clean, and so must every file in
examples/. The reference page must be what the directive table prints; with
--update it is written.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```ya?ml[ \t]*\n(.*?)^```[ \t]*$", re.M | re.S)
REFERENCE = "docs/reference/configuration.md"


def check(tool, path):
    environment = dict(os.environ, SWITCHGEAR_ADMIN_TOKEN="0123456789abcdef")
    return subprocess.run([tool, "check", path], env=environment, capture_output=True, text=True,
                          timeout=60)


def check_blocks(tool, page):
    wrong = count = 0
    text = page.read_text()
    for block in BLOCK.finditer(text):
        if not re.search(r"^services:", block[1], re.M):
            continue
        count += 1
        line = text[: block.start()].count("\n") + 1
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            file.write(block[1])
            file.flush()
            run = check(tool, file.name)
        if run.returncode or run.stdout:
            wrong += 1
            print(f"{page}:{line}: this block does not check clean:\n{run.stdout}{run.stderr}")
    return count, wrong


def check_reference(tool, page, update):
    printed = subprocess.run([tool, "reference"], capture_output=True, text=True, check=True).stdout
    if update:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(printed)
    if not page.exists() or page.read_text() != printed:
        print(f"{page} is not what the directive table prints; to write it:\n"
              f"  tests/config/check_docs.py TOOL ROOT --update")
        return 1
    return 0


def main():
    tool, root = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    wrong = check_reference(tool, root / REFERENCE, "--update" in sys.argv)
    blocks = 0
    for page in [root / "README.md", *sorted(root.glob("docs/**/*.md"))]:
        if page.exists():
            count, bad = check_blocks(tool, page)
            blocks += count
            wrong += bad
    examples = sorted(root.glob("examples/**/*.yaml"))
    for path in examples:
        run = check(tool, path)
        if re.search(r"^services:", path.read_text(), re.M) and (run.returncode or run.stdout):
            wrong += 1
            print(run.stdout + run.stderr)
    print(f"{blocks} blocks, {len(examples)} examples, {wrong} wrong")
    return wrong > 0


sys.exit(main())
