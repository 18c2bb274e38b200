"""Copy the real calculations of a store into the archive: land.py STORE [ARCHIVE].

What is finished becomes a result. Of what is not, checkpoint and Hessian go into the archive's
folder partial/, from where whoever runs the same calculation next goes on.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from adhesion.errors import DamagedFileError
from adhesion.files import read_json
from adhesion.store import Results, land, open_store

ROOT = Path(__file__).resolve().parents[1]
KEPT = ("checkpoint.json", "bfgs.json")


def main() -> None:
    """Land what is done, no proxy, and not EMT; then the checkpoints of the rest."""
    store = Path(sys.argv[1])
    archive = Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "results"
    partial = archive / "partial"
    results = Results(open_store(store))
    for file in sorted((store / "results").glob("*.json")):
        found = results.finished(file.stem)
        if found is None or found.document.proxy:
            continue
        if found.document.recipe.calculator.get("name", "") == "emt":
            continue
        path = land(found.document, archive)
        shutil.rmtree(partial / file.stem, ignore_errors=True)
        print(f"{path.name}  {found.document.label}")
    for folder in sorted((store / "calculations").glob("*")):
        if results.finished(folder.name) is None and _gpaw_checkpoint(folder):
            shutil.copytree(folder, partial / folder.name, ignore=_not_kept, dirs_exist_ok=True)
            print(f"{partial.name}/{folder.name}  not finished: its checkpoint")


def _not_kept(folder: str, names: list[str]) -> list[str]:
    """Name what is neither checkpoint nor Hessian, nor a folder of them."""
    return [n for n in names if n not in KEPT and not (Path(folder, n) / KEPT[0]).exists()]


def _gpaw_checkpoint(folder: Path) -> bool:
    """Whether the folder holds a whole checkpoint of a calculation with GPAW."""
    try:
        data = read_json(folder / "checkpoint.json")
    except (OSError, DamagedFileError):
        return False
    return data.get("hash") == folder.name and "gpaw" in data.get("versions", {})


if __name__ == "__main__":
    main()
