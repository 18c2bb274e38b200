"""Write the README's table, its notes and its figure from the archive: readme.py [--check].

With --check nothing is written; the exit status is 1 if table or notes are out of date.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FIGURE = ROOT / "docs/adhesion.png"
STUDY = "configs/studies/na_anode.yaml"
DONE, INCOMPLETE = 0, 3


def report(*options: str) -> str:
    """Return the report of the archive alone, as in a checkout where nothing was computed."""
    command = [sys.executable, "-m", "adhesion", "report", STUDY, *options]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "configs").symlink_to(ROOT / "configs")
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (DONE, INCOMPLETE):
        sys.exit(done.stderr)
    return done.stdout


def filled(text: str, markdown: str) -> str:
    """Put table and notes of a report in Markdown between their marks."""
    lines = markdown.splitlines()
    parts = {"table": "|", "notes": "- "}
    for mark, start in parts.items():
        found = "\n".join(line for line in lines if line.startswith(start))
        pattern = rf"(<!-- {mark} -->\n).*(\n<!-- /{mark} -->)"
        text, times = re.subn(pattern, lambda m, new=found: m[1] + new + m[2], text, flags=re.S)
        if times != 1:
            sys.exit(f"README.md: <!-- {mark} --> and <!-- /{mark} --> stand there {times} times")
    return text


def main() -> int:
    """Write, or check."""
    old = README.read_text(encoding="utf-8")
    new = filled(old, report("--format", "markdown"))
    if "--check" in sys.argv[1:]:
        if new != old:
            print("README.md: its table is not the archive's; type: python scripts/readme.py")
        return int(new != old)
    README.write_text(new, encoding="utf-8")
    report("--figure", str(FIGURE))
    print(f"wrote {README.name} and {FIGURE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
