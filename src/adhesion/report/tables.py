"""The adhesion table as plain text, CSV, JSON, Markdown and LaTeX.

All formats give the same bytes for the same rows, which stand in the order of the study.
"""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from adhesion.errors import InputError, nearest
from adhesion.schemas import AdhesionRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from adhesion.study import Study

TEXT_WIDTH = 100
NAME_WIDTH = 30
DASH = "-"
FROM_CURVE = "*"

MEANINGS = (
    "W_curve: slabs relaxed apart, brought together rigidly.",
    "W_ad: slabs and interface relaxed; the work of adhesion.",
    "W_rigid: the relaxed interface pulled apart frozen.",
    "W_D3: W_ad (else W_curve) with D3(BJ) dispersion on the same geometries.",
)
PROXY_LINE = (
    "PROXY: {calculator} on other elements in place of the real ones: plumbing only, "
    "no number here is a result."
)


@dataclass(frozen=True)
class _Column:
    """A column of the printed table: plain heading, LaTeX heading, decimals, cells."""

    heading: str
    latex: str
    cells: list[str]
    numeric: bool = True


@dataclass(frozen=True)
class _Table:
    """What the text, Markdown and LaTeX tables have in common."""

    banner: str
    title: str
    columns: list[_Column]
    notes: list[str]


def render(rows: Sequence[AdhesionRow], study: Study, format: str) -> str:
    """Render rows as text.

    Parameters
    ----------
    rows : sequence of AdhesionRow
        Printed in the order of the study's interfaces and levels.
    study : Study
        For that order and the sources of references and measurements.
    format : str
        'table' (plain text of at most 100 columns), 'csv' (all fields), 'json' (the
        contract: a list of `AdhesionRow` as data), 'markdown' or 'latex' (booktabs and
        siunitx).

    Returns
    -------
    str
        Ends with a newline.

    Raises
    ------
    InputError
        If the format is unknown.
    """
    if format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}", where="--format", hint=nearest(format, FORMATS)
        )
    return FORMATS[format](in_order(rows, study), study)


def in_order(rows: Sequence[AdhesionRow], study: Study) -> list[AdhesionRow]:
    """Sort rows by the study's interfaces, then levels; unknown ones last, by name."""
    labels = [spec.label for spec in study.interfaces]
    levels = study.level_names

    def place(row: AdhesionRow) -> tuple[int, str, int, str]:
        label = labels.index(row.interface) if row.interface in labels else len(labels)
        level = levels.index(row.level) if row.level in levels else len(levels)
        return label, row.interface, level, row.level

    return sorted(rows, key=place)


# What a table holds, whatever it is written in


def _table(rows: list[AdhesionRow], study: Study) -> _Table:
    proxies = [row for row in rows if row.proxy]
    real = len(proxies) < len(rows) or not rows
    marks, row_notes = _row_notes(rows)
    columns = [
        _Column("interface", "Interface", [r.interface for r in rows], numeric=False),
        _Column("level", "Level", [r.level for r in rows], numeric=False),
        _Column("W_curve", r"$W_\mathrm{curve}$", [_fixed(r.W_curve_J_m2, 2) for r in rows]),
        _Column("W_ad", r"$W_\mathrm{ad}$", [_fixed(r.W_ad_J_m2, 2) for r in rows]),
        _Column("W_rigid", r"$W_\mathrm{rigid}$", [_fixed(r.W_rigid_J_m2, 2) for r in rows]),
        _Column("W_D3", r"$W_\mathrm{D3}$", [_fixed(r.W_ad_D3_J_m2, 2) for r in rows]),
    ]
    angle_notes: list[str] = []
    if real:
        cells = [_fixed(r.W_ad_reference_J_m2, 2) for r in rows]
        columns.append(_Column("paper", "Paper", cells))
        angles, angle_notes = _angle_columns(rows)
        cells = [_fixed(r.theta_measured_deg, 1) for r in rows]
        columns += [*angles, _Column("meas.", r"$\theta_\mathrm{meas}$", cells)]
    status = [f"{row.status} {mark}".rstrip() for row, mark in zip(rows, marks, strict=True)]
    columns.append(_Column("status", "Status", status, numeric=False))
    return _Table(
        banner=_banner(proxies, real),
        title="Work of adhesion W in J/m2" + (", contact angle th in degrees" if real else ""),
        columns=columns,
        notes=[
            *row_notes,
            *MEANINGS,
            *angle_notes,
            *(_citations(rows, study) if real else []),
            *_sources(rows),
        ],
    )


def _banner(proxies: list[AdhesionRow], real: bool) -> str:
    if not proxies:
        return ""
    line = PROXY_LINE.format(calculator="/".join(sorted({p.calculator.upper() for p in proxies})))
    return f"{line} Rows: {', '.join(p.interface for p in proxies)}." if real else line


def _fixed(value: float | None, decimals: int) -> str:
    """Fixed decimals without a negative zero; a dash for null."""
    return DASH if value is None else f"{round(value, decimals) + 0.0:.{decimals}f}"


def _row_notes(rows: list[AdhesionRow]) -> tuple[list[str], list[str]]:
    """Number the reasons and flags: the marks of each row, as '[1,3]', and the notes.

    Flags are shared between rows; a reason belongs to one.
    """
    notes: list[str] = []
    marks = []
    for row in rows:
        reason = [f"{row.interface}: {row.reason or row.status}"] if row.status != "done" else []
        own = [*reason, *row.flags]
        notes += [note for note in own if note not in notes]
        numbers = sorted(notes.index(note) + 1 for note in own)
        marks.append(f"[{','.join(str(n) for n in numbers)}]" if own else "")
    return marks, [f"[{i}] {note}" for i, note in enumerate(notes, 1)]


def _angle_columns(rows: list[AdhesionRow]) -> tuple[list[_Column], list[str]]:
    """One column for each surface tension, marked where W_curve stands in for W_ad."""
    angles = [angle for row in rows for angle in row.contact_angles]
    tensions = list(dict.fromkeys((a.sigma_J_m2, a.sigma_source) for a in angles))
    origins = {a.from_quantity for a in angles}
    mixed = len(origins) > 1
    columns, notes = [], []
    for i, (sigma, source) in enumerate(tensions):
        name = chr(ord("a") + i) if i < 26 else str(i)
        cells = []
        for row in rows:
            found = [
                a for a in row.contact_angles if (a.sigma_J_m2, a.sigma_source) == (sigma, source)
            ]
            mark = FROM_CURVE if mixed and found and found[0].from_quantity == "W_curve" else ""
            cells.append(_fixed(found[0].theta_deg if found else None, 1) + mark)
        columns.append(_Column(f"th({name})", rf"$\theta_\mathrm{{{name}}}$", cells))
        notes.append(f"th({name}): sigma = {sigma:.4f} J/m2, {source}.")
    if mixed:
        notes.append(f"Angles are from W_ad, those marked {FROM_CURVE} from W_curve.")
    elif origins:
        notes.append(f"Angles are from {origins.pop()}.")
    if any(a.regime != "partial" for a in angles):
        notes.append("Angles 0 and 180 are bounds: complete wetting, W >= 2 sigma; none, W <= 0.")
    return columns, notes


def _citations(rows: list[AdhesionRow], study: Study) -> list[str]:
    """Sources of the published W and of the measured angles that are printed."""
    specs = {spec.label: spec for spec in study.interfaces}
    papers: dict[str, None] = {}
    measured: dict[str, dict[str, None]] = {}
    for row in rows:
        spec = specs.get(row.interface)
        if spec and spec.reference and row.W_ad_reference_J_m2 is not None:
            papers[spec.reference.source.rstrip(".")] = None
        if spec and spec.measured and row.theta_measured_deg is not None:
            first = spec.measured[0]
            at = "" if first.temperature_C is None else f" at {first.temperature_C:g} C"
            note = f" ({first.note})" if first.note else ""
            said = f"{first.surface}{at}{note} for {spec.label}"
            measured.setdefault(first.source.rstrip("."), {})[said] = None
    return [
        *(f"paper: published W_ad, {source}." for source in papers),
        *(f"meas.: {'; '.join(said)}. {source}." for source, said in measured.items()),
    ]


def _sources(rows: list[AdhesionRow]) -> list[str]:
    """Which numbers come from the archive, which were computed here."""
    said = {
        "computed": "Computed here",
        "archive": "From the archive",
        "both": "Partly or also from the archive",
    }
    names = {
        words: dict.fromkeys(
            row.interface for row in rows if row.source == source and row.W_curve_J_m2 is not None
        )
        for source, words in said.items()
    }
    return [f"{words}: {', '.join(found)}." for words, found in names.items() if found]


# Plain text


def _text(rows: list[AdhesionRow], study: Study) -> str:
    table = _table(rows, study)
    lines = textwrap.wrap(_printable(table.banner), TEXT_WIDTH)
    lines += [table.title, ""]
    gap, blocks = _blocks(table.columns)
    for block in blocks:
        lines += [*_aligned(block, gap), ""]
    for note in table.notes:
        lines += textwrap.wrap(_printable(note), TEXT_WIDTH, subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    """Keep control characters of a name away from the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _width(column: _Column) -> int:
    cells = [min(len(cell), NAME_WIDTH) for cell in column.cells]
    return max([len(column.heading), *cells])


def _blocks(columns: list[_Column]) -> tuple[str, list[list[_Column]]]:
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


def _aligned(columns: list[_Column], gap: str) -> list[str]:
    widths = [_width(column) for column in columns]
    lines = [
        _line(columns, widths, [column.heading for column in columns], gap),
        gap.join("-" * width for width in widths),
    ]
    for cells in zip(*(column.cells for column in columns), strict=True):
        folded = [_folded(_printable(cell)) for cell in cells]
        for parts in zip_longest(*folded, fillvalue=""):
            lines.append(_line(columns, widths, parts, gap))
    return lines


def _folded(cell: str) -> list[str]:
    """Fold a long cell, at the slash between film and substrate if there is room."""
    loose = cell if len(cell) <= NAME_WIDTH else cell.replace("/", "/ ", 1)
    return textwrap.wrap(loose, NAME_WIDTH) or [""]


def _line(columns: list[_Column], widths: list[int], cells: Sequence[str], gap: str) -> str:
    padded = [
        cell.rjust(width) if column.numeric else cell.ljust(width)
        for column, width, cell in zip(columns, widths, cells, strict=True)
    ]
    return gap.join(padded).rstrip()


# CSV and JSON: all fields, for other programs

DECIMALS = {"J_m2": 4, "deg": 2, "A2": 4, "eV_A": 4, "A": 3, "percent": 3, "seconds": 1}
"""Decimals in CSV by the unit that a field's name ends with."""


def _csv(rows: list[AdhesionRow], study: Study) -> str:  # noqa: ARG001  (all formats alike)
    records = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    n_angles = max((len(row.contact_angles) for row in rows), default=0)
    names = names or list(_flat(AdhesionRow.model_construct()))
    # Angles vary in number from row to row: they stand last, in order.
    plain = [n for n in names if not n.startswith("angle_")]
    names = plain + [name for i in range(n_angles) for name in _angle_names(i)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _angle_names(i: int) -> list[str]:
    fields = ("sigma_J_m2", "sigma_source", "theta_deg", "regime", "from_quantity")
    return [f"angle_{i + 1}_{name}" for name in fields]


def _flat(row: AdhesionRow) -> dict[str, str]:
    """One text for each field; pairs, lists and angles spread over columns of their own."""
    flat: dict[str, str] = {}
    for name in AdhesionRow.model_fields:
        value = getattr(row, name, None)
        if name == "contact_angles":
            continue
        if name.endswith("strain_percent"):
            stem = name.removesuffix("_percent")
            for i, part in enumerate(value or (None, None), 1):
                flat[f"{stem}_{i}_percent"] = _csv_cell("percent", part)
        else:
            flat[name] = _csv_cell(name, value)
    for i, angle in enumerate(getattr(row, "contact_angles", [])):
        values = (angle.sigma_J_m2, angle.sigma_source, angle.theta_deg, angle.regime)
        for name, value in zip(_angle_names(i), (*values, angle.from_quantity), strict=True):
            flat[name] = _csv_cell(name, value)
    return flat


def _csv_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, float):
        decimals = next(d for unit, d in DECIMALS.items() if name.endswith(unit))
        return _fixed(value, decimals)
    text = str(value)
    # A spreadsheet would run a text that starts like a formula.
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _json(rows: list[AdhesionRow], study: Study) -> str:  # noqa: ARG001  (all formats alike)
    data = [row.model_dump(mode="json") for row in rows]
    return json.dumps(data, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


# Markdown


def _markdown(rows: list[AdhesionRow], study: Study) -> str:
    table = _table(rows, study)
    lines = [f"**{_md(table.banner)}**", ""] if table.banner else []
    lines += [f"{_md(table.title)}:", ""]
    lines.append("| " + " | ".join(_md(c.heading) for c in table.columns) + " |")
    lines.append("|" + "|".join("---:" if c.numeric else "---" for c in table.columns) + "|")
    for cells in zip(*(c.cells for c in table.columns), strict=True):
        lines.append("| " + " | ".join(_md(cell) for cell in cells) + " |")
    lines += ["", *(f"- {_md(note)}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", _printable(text))


# LaTeX

_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{c: rf"\{c}" for c in "{}$&#_%"},
    # A row that starts with one of these would be read as an option of the row before.
    **{c: f"{{{c}}}" for c in "[]*"},
}


def _latex(rows: list[AdhesionRow], study: Study) -> str:
    table = _table(rows, study)
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
        r"% needs \usepackage{booktabs,siunitx}",
        r"\begin{table*}",
        r"  \centering",
        rf"  \caption{{{title}.}}",
        r"  \begin{tabular}{" + "".join(_tex_column(c) for c in table.columns) + "}",
        r"    \toprule",
        "    " + " & ".join(f"{{{c.latex}}}" for c in table.columns) + r" \\",
        r"    \midrule",
        *(f"    {line}" for line in body),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"  \par\smallskip\footnotesize\raggedright",
        *([rf"  \textbf{{{_tex(table.banner)}}}\\"] if table.banner else []),
        *(rf"  {_tex_note(note, table.columns)}\\" for note in table.notes),
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def _tex(text: str) -> str:
    return "".join(_TEX.get(c, c) for c in _printable(text))


def _tex_note(note: str, columns: list[_Column]) -> str:
    """Start a note on a column with the column's heading in LaTeX."""
    head, colon, rest = note.partition(":")
    headings = {column.heading: column.latex for column in columns if column.numeric}
    return f"{headings[head]}{colon}{_tex(rest)}" if head in headings else _tex(note)


def _tex_column(column: _Column) -> str:
    if not column.numeric:
        return "l"
    numbers = [c.rstrip(FROM_CURVE) for c in column.cells if c != DASH] or ["0.0"]
    whole = max(len(n.lstrip("-").partition(".")[0]) for n in numbers)
    decimals = max(len(n.partition(".")[2]) for n in numbers)
    sign = "-" if any(n.startswith("-") for n in numbers) else ""
    return f"S[table-format={sign}{whole}.{decimals}]"


def _tex_cell(cell: str, is_number: bool) -> str:
    if not is_number:
        return _tex(cell)
    if cell == DASH:
        return "{--}"
    number = cell.rstrip(FROM_CURVE)
    return number if number == cell else f"{number}{{$^{{*}}$}}"


FORMATS: dict[str, Callable[[list[AdhesionRow], Study], str]] = {
    "table": _text,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "latex": _latex,
}
