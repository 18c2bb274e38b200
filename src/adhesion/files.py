"""Small JSON files, written so that a kill or a full disk never leaves half of one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from adhesion.errors import DamagedFileError, SetupError


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: a temporary file, flushed, then renamed.

    Raises
    ------
    SetupError
        If the folder cannot be written or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise SetupError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="choose another folder with --store, or make room",
        ) from None


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON, whole or not at all."""
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    DamagedFileError
        If it is cut off, not JSON, or cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedFileError(
            f"cannot be read ({type(error).__name__})",
            where=str(path),
            hint="move it away; what it held is computed again",
        ) from None
