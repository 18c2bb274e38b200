"""The reference pages say what the program says, and links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from adhesion.cli.common import app
from test_layout import ROOMS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), ROOT / "examples/README.md"]
    + [p for p in DOCS.rglob("*.md") if "_build" not in p.parts]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert [t for t in targets if not (page.parent / t).exists()] == []


def test_the_reference_pages_are_up_to_date():
    pages = [str(DOCS / "reference" / name) for name in ("cli.md", "study.md", "machine.md")]
    done = subprocess.run(
        [sys.executable, str(DOCS / "refresh.py"), "--check", *pages],
        env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"type: make docs\n{done.stdout}{done.stderr}"


def test_the_table_of_the_readme_is_the_archives():
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "readme.py"), "--check"],
        env=dict(os.environ), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_the_readme_takes_three_screens_table_and_figure_first():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    notes = text.split("<!-- notes -->")[1].split("<!-- /notes -->")[0]  # as long as the data ask
    assert text.count("\n") - notes.count("\n") <= 140
    assert text.index("<!-- table -->") < text.index("![") < text.index("## ")


def test_every_command_has_its_help_in_the_reference():
    text = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    assert [name for name in names if f"$ adhesion {name} --help" not in text] == []


def test_a_command_in_the_docs_shows_what_it_prints():
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S):
            last = block.splitlines()[-1]
            assert not last.startswith("$ "), f"{page}: {last}"


def test_contributing_lists_the_rooms_in_order():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = text.split("In order:\n")[1].split("\n\n")[0]
    assert re.findall(r"`(\w+)`", listed) == ROOMS


def test_the_commit_hooks_are_what_make_lint_runs():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = makefile.split("\nlint:")[1].split("\n\n")[0]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = [hook["entry"].split() for repo in config["repos"] for hook in repo["hooks"]]
    for words in entries:
        known = " ".join(w for w in words if not w.startswith("--force"))
        assert known.replace(".venv/bin/", "$(BIN)/") in lint
    assert len(entries) == lint.count("$(BIN)/")
