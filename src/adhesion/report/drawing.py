"""What all figures share: style, sizes, and files that are the same for the same data."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adhesion.errors import InputError, SetupError

STYLE = Path(__file__).with_name("adhesion.mplstyle")
COLUMN_WIDTH_IN = 3.4
FULL_WIDTH_IN = 7.0
# Nothing that differs from one run to the next.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
FILES = ("png", "pdf")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style, whatever the user's own settings are."""
    with style.context(["default", STYLE]):
        yield


def rendered(figure: Figure, kind: str) -> bytes:
    """Return a figure as the bytes of a 'png', 'pdf' or 'svg' file."""
    FigureCanvasAgg(figure)
    # Laid out once: a second layout would move things a little from one file to the next.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "adhesion"}):
        figure.savefig(buffer, format=kind, metadata=METADATA[kind])
    return buffer.getvalue()


def kind_of(path: Path) -> str:
    """Return the kind of figure that a file's name asks for.

    Raises
    ------
    InputError
        If it ends in neither .png nor .pdf.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FILES:
        raise InputError(
            f"no figure can be written as {path.suffix or 'a file without an ending'}",
            where=str(path),
            hint="end its name in .png or .pdf",
        )
    return kind


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file and the folders above it.

    Raises
    ------
    SetupError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise SetupError(
            f"cannot be written: {error.strerror or error}",
            where=str(path),
            hint="choose another place, or make room",
        ) from None


def plain(text: str) -> str:
    """Keep a '$' of a name from starting a formula."""
    return text.replace("$", r"\$")


def handle(marker: str, label: str, markerfacecolor: str = "0.4", size: float = 5.0) -> Line2D:
    """Return a legend entry: a grey marker."""
    return Line2D(
        [], [], linestyle="", marker=marker, markersize=size, color="0.2",
        markerfacecolor=markerfacecolor, label=label,
    )  # fmt: skip


def legend_above(axes: Any, handles: list[Any], ncols: int = 3) -> None:
    """Put the legend above the panel, where no point can lie."""
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=ncols)
