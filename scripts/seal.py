"""Give every published result the checksum of its content: python scripts/seal.py [FOLDER]."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from adhesion.files import SEAL, read_json, write_json


def main(folder: Path) -> None:
    """Check what has a checksum, add one to what has none."""
    for path in sorted(folder.glob("*.json")):
        data = read_json(path)
        if SEAL not in json.loads(path.read_text(encoding="utf-8")):
            write_json(path, data)
            print(f"sealed {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results"))
