"""Run every command of the docs and write what it prints below it; fill in the tables of keys.

    python docs/refresh.py [PAGE ...]      writes pages whose output has changed
    python docs/refresh.py --check         changes nothing; exit status 1 if a page is out of date

A page's commands run in order, in a folder of the page's own that starts with the examples:

- a ``console`` block holds commands after ``$ `` and what they print. A command that does not
  end with 0 says so: ``# exit status 3``.
- a ``yaml`` block whose first line is ``# NAME.yaml`` is written to that file first.
- ``<!-- keys: Model -->`` to ``<!-- /keys -->`` lists the keys of a model of adhesion.study.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from keys import keys_of

DOCS = Path(__file__).resolve().parent
EXAMPLES = DOCS.parent / "examples"
BLOCK = re.compile(
    r"^```(?P<kind>console|yaml)\n(?P<body>.*?)^```$"
    r"|^<!-- keys: (?P<model>\w+) -->\n.*?^<!-- /keys -->$",
    re.M | re.S,
)
STATUS = re.compile(r"#\s*exit status (\d+)\s*$")


def refreshed(text: str, folder: Path) -> str:
    """Return a page with its blocks filled in again, its commands run in a folder."""

    def fill(block: re.Match[str]) -> str:
        if block["model"]:
            return f"<!-- keys: {block['model']} -->\n{keys_of(block['model'])}<!-- /keys -->"
        if block["kind"] == "console":
            return "```console\n" + _console(block["body"], folder) + "```"
        name = re.match(r"# ([\w-]+\.yaml)\n", block["body"])
        if name:
            (folder / name[1]).write_text(block["body"], encoding="utf-8")
        return block[0]

    return BLOCK.sub(fill, text)


def _console(body: str, folder: Path) -> str:
    shown = ""
    for line in body.splitlines():
        if line.startswith("$ "):
            shown += f"{line}\n{run(line[2:], folder)}"
    return shown


def run(line: str, folder: Path) -> str:
    """Run one command; return what it prints, or what it says if it prints nothing."""
    expected = STATUS.search(line)
    words = shlex.split(STATUS.sub("", line))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder):
        if words[0] == "adhesion":  # in this process: its imports are paid once
            from adhesion.cli import main

            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(words[1:])
        else:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
            out.write(done.stdout)
            err.write(done.stderr)
            status = done.returncode
    if status != int(expected[1] if expected else 0):
        sys.exit(f"{line}\nended with {status}:\n{out.getvalue()}{err.getvalue()}")
    text = (out.getvalue() or err.getvalue()).replace(str(folder), ".")
    return "".join(f"{one.rstrip()}\n" for one in text.strip("\n").splitlines())


def main(arguments: list[str]) -> int:
    """Refresh the pages named, or all; return how many were out of date."""
    # The commands are those of this environment, active or not.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ |= {"COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    check = "--check" in arguments
    names = [Path(a).resolve() for a in arguments if a != "--check"]
    stale = 0
    for page in names or sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts):
        old = page.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent, "work").resolve()
            shutil.copytree(EXAMPLES, folder)
            new = refreshed(old, folder)
        if new == old:
            continue
        stale += 1
        print(f"{page.relative_to(DOCS)}: {'out of date' if check else 'refreshed'}")
        if not check:
            page.write_text(new, encoding="utf-8")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
