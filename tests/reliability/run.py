"""Run all of it, or the files named, and print the table: `make reliability`, `make soak`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(scale: str = "full", *more: str) -> int:
    os.environ["RELIABILITY"] = scale
    sys.path.insert(0, str(HERE))
    import pytest
    import tally

    start = time.monotonic()
    chosen = [HERE / name for name in more] or [HERE / "test_kills.py" if scale == "soak" else HERE]
    status = pytest.main([*map(str, chosen), "-q", "-W", "ignore", "-p", "no:cacheprovider"])
    print(f"\n{tally.table()}\n{(time.monotonic() - start) / 60:.1f} min, {os.cpu_count()} cores")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
