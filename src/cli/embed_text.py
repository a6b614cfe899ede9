"""embed_text.py NAME IN OUT: a text file as a C string, one line each."""
import json
import pathlib
import sys

name, source, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
rows = "\n".join("    " + json.dumps(line, ensure_ascii=False).replace("??", "?\\?")
                 for line in lines)
out.write_text(f'/* Made from {source.name}. */\n#include "cli/demo.h"\n\n'
               f"const char {name}[] =\n{rows};\n", encoding="utf-8")
