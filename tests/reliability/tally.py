"""What was tried, how often, and what was lost: the table of `make reliability`."""

from __future__ import annotations

import os
from dataclasses import dataclass

SCALE = os.environ.get("RELIABILITY", "test")
"""'test' in `make test`, 'full' in `make reliability`, 'soak' in `make soak`."""


@dataclass
class Line:
    tried: int = 0
    lost: int = 0
    note: str = ""


LINES: dict[str, Line] = {}


def scaled(test: int, full: int, soak: int | None = None) -> int:
    """How often to try."""
    return {"test": test, "full": full, "soak": soak or full}[SCALE]


def count(what: str, tried: int = 1, lost: int = 0, note: str = "") -> None:
    """Add to a line of the table; before it is asserted, so that a loss is seen in it."""
    line = LINES.setdefault(what, Line())
    line.tried += tried
    line.lost += lost
    line.note = note or line.note


def table() -> str:
    """The table in Markdown, as it stands in benchmarks/README.md."""
    rows = [f"| {what} | {x.tried} | {x.lost} | {x.note} |" for what, x in LINES.items()]
    lost = sum(line.lost for line in LINES.values())
    head = ["| tried | times | lost | |", "|---|---:|---:|---|"]
    return "\n".join([*head, *rows, "", f"lost in all: {lost}"])
