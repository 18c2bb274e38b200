"""Small JSON files, written so that a kill or a full disk never leaves half of one.

Each holds a checksum of its own content: of a changed digit JSON alone knows nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from adhesion.errors import DamagedFileError, SetupError

SEAL = "@sha256"
"""Key of the checksum; as with jobflow's own marks, readers drop what starts with @."""

MOVE_AWAY = "move it away; what it held is computed again"


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
        _flush_folder(path.parent)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise SetupError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="choose another folder with --store, or make room",
        ) from None


def append_line(path: Path, text: str) -> None:
    """Add a line to a text file that somebody follows; its line ends become blanks."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text.replace("\n", " ") + "\n")


def _flush_folder(folder: Path) -> None:
    """Make a rename outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot
            os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON, whole or not at all; a mapping with its checksum in it."""
    if isinstance(data, dict):
        data = {k: v for k, v in data.items() if k != SEAL}
        data[SEAL] = checksum(data)
    write_text(path, json.dumps(data, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file and check it against its checksum, if it has one.

    Raises
    ------
    DamagedFileError
        If it is cut off, changed, not JSON, or cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(
            f"cannot be read ({type(error).__name__})", where=str(path), hint=MOVE_AWAY
        ) from None
    seal = data.pop(SEAL, None) if isinstance(data, dict) else None
    if seal is not None and seal != checksum(data):
        raise DamagedFileError(
            "was changed after it was written: its checksum is another",
            where=str(path),
            hint=MOVE_AWAY,
        )
    return data


def checksum(data: Any) -> str:
    """SHA-256 of JSON data, whatever the order of keys and the spacing in its file.

    Raises
    ------
    ValueError
        If a number is not finite.
    """
    plain = json.loads(json.dumps(data, allow_nan=False))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def set_aside(path: Path) -> Path:
    """Rename a damaged file to ``<name>.damaged``, or the next such name that is free."""
    number, aside = 1, path.with_name(f"{path.name}.damaged")
    while aside.exists():
        number, aside = number + 1, path.with_name(f"{path.name}.damaged{number}")
    return path.rename(aside)
