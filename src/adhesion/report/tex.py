"""Text for LaTeX: escaped, with the symbols of the field as formulas."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    **{c: rf"\{c}" for c in "{}$&#_%"},
    # A row that starts with one of these would be read as an option of the row before.
    **{c: f"{{{c}}}" for c in "[]*"},
}
SYMBOLS = {
    **{f"W_{kind}": rf"$W_\mathrm{{{kind}}}$" for kind in ("curve", "ad", "rigid", "D3")},
    **{f"E_{of}": rf"$E_\mathrm{{{of}}}$" for of in ("film", "substrate", "interface")},
    "sigma": r"$\sigma$",
    "theta": r"$\theta$",
    "J/m2": r"J\,m$^{-2}$",
    ">=": r"$\geq$",
    "<=": r"$\leq$",
}
"""What plain text of reports says, and how LaTeX writes it."""


def printable(text: str) -> str:
    """Keep control characters of a name away from the terminal, and from LaTeX."""
    return "".join(c if c.isprintable() else "?" for c in text)


def escaped(text: str) -> str:
    """Escape what LaTeX would read as a command."""
    return "".join(_SPECIAL.get(c, c) for c in printable(text))


def typeset(text: str, more: Mapping[str, str] | None = None) -> str:
    """Escape a text, with the words of `SYMBOLS`, and of `more`, as their formulas."""
    formulas = {**SYMBOLS, **(more or {})}
    longest_first = sorted(formulas, key=len, reverse=True)
    words = "|".join(re.escape(word) for word in longest_first)
    parts = re.split(rf"(?<!\w)({words})(?!\w)", text)
    return "".join(formulas[p] if i % 2 else escaped(p) for i, p in enumerate(parts))
