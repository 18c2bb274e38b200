"""A table of cells, and how it is written as plain text, Markdown and LaTeX."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from adhesion.report.tex import escaped, printable, typeset

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXT_WIDTH = 100
NAME_WIDTH = 30
DASH = "-"
FROM_CURVE = "*"
_TEX_MARK = "{$^{*}$}"


@dataclass(frozen=True)
class Column:
    """A column of a table: plain heading, LaTeX heading, cells; numbers or words."""

    heading: str
    latex: str
    cells: list[str]
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table whatever it is written in.

    Attributes
    ----------
    banner : str
        A warning above it, or empty.
    title : str
    columns : list of Column
        All of the same length; the first names the rows.
    notes : list of str
        Below it; one that starts with a column's heading and a colon explains that column.
    """

    banner: str
    title: str
    columns: list[Column]
    notes: list[str]


def fixed(value: float | None, decimals: int) -> str:
    """Fixed decimals without a negative zero; a dash for null."""
    return DASH if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"


def pretty_heading(text: str) -> str:
    """Write a plain heading as people do: th(a) is an angle, d(a) a difference."""
    for plain, symbol in (("th(", "θ("), ("d(", "Δ("), ("g_", "γ_"), ("g0_", "γ⁰_"), ("+-", "±")):
        if text.startswith(plain):
            return symbol + text.removeprefix(plain)
    return text


def pretty(text: str) -> str:
    """Write a title or a note as `pretty_heading` writes the headings."""
    head, colon, rest = text.partition(":")
    text = pretty_heading(head) + colon + rest if colon else text
    for plain, symbol in _SYMBOLS.items():
        text = text.replace(plain, symbol)
    return text


_SYMBOLS = {"J/m2": "J/m²", "sigma": "σ", " th(": " θ(", " th ": " θ ", ">=": "≥", "<=": "≤"}


# Plain text


def as_text(table: Table) -> str:
    """Return plain text of at most 100 columns."""
    lines = textwrap.wrap(printable(table.banner), TEXT_WIDTH)
    lines += [table.title, ""]
    gap, blocks = _blocks(table.columns)
    for block in blocks:
        lines += [*_aligned(block, gap), ""]
    for note in table.notes:
        lines += textwrap.wrap(printable(note), TEXT_WIDTH, subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _width(column: Column) -> int:
    cells = [min(len(cell), NAME_WIDTH) for cell in column.cells]
    return max([len(column.heading), *cells])


def _blocks(columns: list[Column]) -> tuple[str, list[list[Column]]]:
    """Split the columns into blocks that fit, each with the names in front.

    Two blanks stand between columns, or one if that spares a second block.
    """
    total = sum(_width(column) + 1 for column in columns) - 1
    gap = " " if total <= TEXT_WIDTH < total + len(columns) - 1 else "  "
    names, rest = columns[0], columns[1:]
    blocks = [[names]]
    used = _width(names)
    for column in rest:
        if used + len(gap) + _width(column) > TEXT_WIDTH and len(blocks[-1]) > 1:
            blocks.append([names])
            used = _width(names)
        blocks[-1].append(column)
        used += len(gap) + _width(column)
    return gap, blocks


def _aligned(columns: list[Column], gap: str) -> list[str]:
    widths = [_width(column) for column in columns]
    lines = [
        _line(columns, widths, [column.heading for column in columns], gap),
        gap.join("-" * width for width in widths),
    ]
    for cells in zip(*(column.cells for column in columns), strict=True):
        folded = [_folded(printable(cell)) for cell in cells]
        for parts in zip_longest(*folded, fillvalue=""):
            lines.append(_line(columns, widths, parts, gap))
    return lines


def _folded(cell: str) -> list[str]:
    """Fold a long cell, at the slash between film and substrate if there is room."""
    loose = cell if len(cell) <= NAME_WIDTH else cell.replace("/", "/ ", 1)
    return textwrap.wrap(loose, NAME_WIDTH) or [""]


def _line(columns: list[Column], widths: list[int], cells: Sequence[str], gap: str) -> str:
    padded = [
        cell.rjust(width) if column.numeric else cell.ljust(width)
        for column, width, cell in zip(columns, widths, cells, strict=True)
    ]
    return gap.join(padded).rstrip()


# Markdown


def as_markdown(table: Table) -> str:
    """Return a pipe table with its notes as a list."""
    lines = [f"**{_md(table.banner)}**", ""] if table.banner else []
    lines += [f"{_md(pretty(table.title))}:", ""]
    headings = [_md(pretty_heading(column.heading)) for column in table.columns]
    lines.append("| " + " | ".join(headings) + " |")
    lines.append("|" + "|".join("---:" if c.numeric else "---" for c in table.columns) + "|")
    for cells in zip(*(c.cells for c in table.columns), strict=True):
        lines.append("| " + " | ".join(_md(cell) for cell in cells) + " |")
    lines += ["", *(f"- {_md(pretty(note))}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", printable(text))


# LaTeX


def as_latex(table: Table) -> str:
    """Return a table with booktabs rules and siunitx columns, notes below it."""
    numeric = [c.numeric for c in table.columns]
    title = table.title.replace("J/m2", r"\unit{J.m^{-2}}").replace(" th ", r" $\theta$ ")
    body = [
        " & ".join(
            _tex_cell(cell, is_number) for cell, is_number in zip(cells, numeric, strict=True)
        )
        + r" \\"
        for cells in zip(*(c.cells for c in table.columns), strict=True)
    ]
    lines = [
        r"% needs \usepackage{booktabs,graphicx,siunitx}",
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{{title}.}}",
        r"  \footnotesize\setlength{\tabcolsep}{4pt}",
        r"  % Made narrower where it is wider than the page.",
        r"  \resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        r"  \begin{tabular}{" + "".join(_tex_column(c) for c in table.columns) + "}",
        r"    \toprule",
        "    " + " & ".join(f"{{{c.latex}}}" for c in table.columns) + r" \\",
        r"    \midrule",
        *(f"    {line}" for line in body),
        r"    \bottomrule",
        r"  \end{tabular}}",
        r"  \par\smallskip\raggedright",
        *([rf"  \textbf{{{escaped(table.banner)}}}\\"] if table.banner else []),
        *(rf"  {_tex_note(note, table.columns)}\\" for note in table.notes),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _tex_note(note: str, columns: list[Column]) -> str:
    """Write a note with the headings that it names as LaTeX has them.

    Headings that are words, as 'gap', are read as such only where a note starts with them, or
    lists them after 'No'.
    """
    headings = {column.heading: column.latex for column in columns if column.numeric}
    symbols = {name: latex for name, latex in headings.items() if "_" in name or "(" in name}
    head, colon, rest = note.partition(":")
    start = head in headings or head.startswith("No ")
    return typeset(head, headings if start else symbols) + colon + typeset(rest, symbols)


def _tex_column(column: Column) -> str:
    if not column.numeric:
        return "l"
    numbers = [c.rstrip(FROM_CURVE) for c in column.cells if c != DASH] or ["0.0"]
    whole = max(len(n.lstrip("-").partition(".")[0]) for n in numbers)
    decimals = max(len(n.partition(".")[2]) for n in numbers)
    sign = "-" if any(n.startswith("-") for n in numbers) else ""
    marked = any(c.endswith(FROM_CURVE) for c in column.cells)
    room = f",table-space-text-post={_TEX_MARK}" if marked else ""
    return f"S[table-format={sign}{whole}.{decimals}{room}]"


def _tex_cell(cell: str, is_number: bool) -> str:
    if not is_number:
        return escaped(cell)
    if cell == DASH:
        return "{--}"
    number = cell.rstrip(FROM_CURVE)
    return number if number == cell else number + _TEX_MARK
