"""Copy the finished real calculations of a store into the archive: land.py STORE [ARCHIVE]."""

from __future__ import annotations

import sys
from pathlib import Path

from adhesion.store import Results, land, open_store

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Land what is done, no proxy, and not EMT."""
    store = Path(sys.argv[1])
    archive = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "results"
    results = Results(open_store(store))
    for file in sorted((store / "results").glob("*.json")):
        found = results.finished(file.stem)
        if found is None or found.document.proxy:
            continue
        if found.document.recipe.calculator.get("name", "") == "emt":
            continue
        path = land(found.document, archive)
        print(f"{path.name}  {found.document.label}")


if __name__ == "__main__":
    main()
