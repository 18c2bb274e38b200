"""Imports go one way, and only the later rooms know jobflow."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "adhesion"
ROOMS = [
    *("errors", "files", "schemas", "study", "materials", "matching", "slabs", "interfaces"),
    "search",
    *("energetics", "wetting", "calculators", "planning", "findings", "sanity", "rows"),
    *("jobs", "surfaces", "external", "flows", "searching", "store", "runner"),
    *("convergence", "controls"),
    *("alloys", "verification", "estimates", "report", "checks", "cluster", "cli"),
]
FILES = sorted(f for f in SOURCE.rglob("*.py") if not f.name.startswith("__main__"))


def room_of(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_a_room_imports_only_those_before_it(file):
    room = room_of(file)
    if room == "__init__":
        return
    assert room in ROOMS, f"{file} is a room that stands in no order"
    for imported in re.findall(r"^\s*(?:from|import) adhesion\.(\w+)", file.read_text(), re.M):
        assert ROOMS.index(imported) <= ROOMS.index(room), f"{room} imports {imported}"


def test_the_physics_does_without_jobflow():
    early = ROOMS[: ROOMS.index("calculators")]
    for file in FILES:
        if room_of(file) in early:
            assert "jobflow" not in re.findall(r"^\s*(?:from|import) (\w+)", file.read_text(), re.M)
