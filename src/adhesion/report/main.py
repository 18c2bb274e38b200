"""The tables of W: with all its kinds, and in the layout of the paper it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adhesion.report.angles import angle_columns, measured_column
from adhesion.report.layout import FROM_CURVE, Column, Table, fixed
from adhesion.report.studies import of_several, spec_of

if TYPE_CHECKING:
    from adhesion.report.studies import Studies
    from adhesion.schemas import AdhesionRow

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


def work_table(rows: list[AdhesionRow], studies: Studies) -> Table:
    """Make the first table: every kind of W, the angles, and what they are compared with."""
    real = _any_real(rows)
    marks, row_notes = _row_notes(rows)
    columns = [
        *name_columns(rows),
        Column("W_curve", r"$W_\mathrm{curve}$", [fixed(r.W_curve_J_m2, 2) for r in rows]),
        Column("W_ad", r"$W_\mathrm{ad}$", [fixed(r.W_ad_J_m2, 2) for r in rows]),
        Column("W_rigid", r"$W_\mathrm{rigid}$", [fixed(r.W_rigid_J_m2, 2) for r in rows]),
        Column("W_D3", r"$W_\mathrm{D3}$", [fixed(r.W_ad_D3_J_m2, 2) for r in rows]),
    ]
    columns += _error(rows)
    notes: list[str] = []
    if real:
        columns.append(_published(rows))
        angles, notes = angle_columns(rows)
        columns += [*angles, measured_column(rows)]
    status = [f"{row.status} {mark}".rstrip() for row, mark in zip(rows, marks, strict=True)]
    columns.append(Column("status", "Status", status, numeric=False))
    return Table(
        banner=banner(rows),
        title="Work of adhesion W in J/m2" + (", contact angle th in degrees" if real else ""),
        columns=columns,
        notes=[
            *row_notes,
            *MEANINGS,
            *notes,
            *_candidates(rows),
            *(citations(rows, studies) if real else []),
            *_sources(rows),
        ],
    )


def paper_table(rows: list[AdhesionRow], studies: Studies) -> Table:
    """Make the paper's layout: this work, the published W, predicted and measured angles."""
    real = _any_real(rows)
    works, from_curve = [], False
    for row in rows:
        relaxed = row.W_ad_J_m2 is not None
        W = row.W_ad_J_m2 if relaxed else row.W_curve_J_m2
        stands_in = W is not None and not relaxed
        from_curve = from_curve or stands_in
        works.append(fixed(W, 2) + (FROM_CURVE if stands_in else ""))
    columns = [*name_columns(rows)[:1], Column("this work", r"$W_\mathrm{ad}$", works)]
    columns += _error(rows)
    notes: list[str] = []
    if real:
        columns.append(_published(rows))
        angles, notes = angle_columns(rows)
        columns += [*angles, measured_column(rows)]
    levels = {f"{r.calculator} {r.functional}".strip() + f", level {r.level}": None for r in rows}
    return Table(
        banner=banner(rows),
        title="Work of adhesion W in J/m2" + (", contact angle th in degrees" if real else ""),
        columns=columns,
        notes=[
            *([f"{FROM_CURVE} W_curve, a lower bound: rigid slabs."] if from_curve else []),
            f"this work: {'; '.join(levels)}.",
            *notes,
            *(citations(rows, studies) if real else []),
            *_not_done(rows),
        ],
    )


def name_columns(rows: list[AdhesionRow]) -> list[Column]:
    """Interface, study where there are several, and level."""
    columns = [Column("interface", "Interface", [r.interface for r in rows], numeric=False)]
    if of_several(rows):
        studies = [r.study or "" for r in rows]
        columns.append(Column("study", "Study", studies, numeric=False))
    levels = [r.level for r in rows]
    return [*columns, Column("level", "Level", levels, numeric=False)]


def _error(rows: list[AdhesionRow]) -> list[Column]:
    """Error of W_ad (else W_curve), where any row has one."""
    if all(row.W_ad_error_J_m2 is None for row in rows):
        return []
    return [Column("+-", r"$\pm$", [fixed(row.W_ad_error_J_m2, 2) for row in rows])]


def _candidates(rows: list[AdhesionRow]) -> list[str]:
    """Say from how many candidates each interface was chosen."""
    counts = [f"{r.interface} {r.n_candidates}" for r in rows if r.n_candidates is not None]
    said = "Chosen by geometry from so many candidates (terminations, faces, cells, registries)"
    return [f"{said}: {', '.join(counts)}."] if counts else []


def banner(rows: list[AdhesionRow]) -> str:
    """Warn of rows in which other elements stand in; empty without any."""
    proxies = [row for row in rows if row.proxy]
    if not proxies:
        return ""
    line = PROXY_LINE.format(calculator="/".join(sorted({p.calculator.upper() for p in proxies})))
    if len(proxies) == len(rows):
        return line
    return f"{line} Rows: {', '.join(p.interface for p in proxies)}."


def _any_real(rows: list[AdhesionRow]) -> bool:
    return not rows or any(not row.proxy for row in rows)


def _published(rows: list[AdhesionRow]) -> Column:
    return Column("paper", "Paper", [fixed(r.W_ad_reference_J_m2, 2) for r in rows])


def _row_notes(rows: list[AdhesionRow]) -> tuple[list[str], list[str]]:
    """Number the reasons and flags: the marks of each row, as '[1,3]', and the notes.

    Flags are shared between rows; a reason belongs to one.
    """
    notes: list[str] = []
    marks = []
    for row in rows:
        own = [*_not_done([row]), *row.flags]
        notes += [note for note in own if note not in notes]
        numbers = sorted(notes.index(note) + 1 for note in own)
        marks.append(f"[{','.join(str(n) for n in numbers)}]" if own else "")
    return marks, [f"[{i}] {note}" for i, note in enumerate(notes, 1)]


def _not_done(rows: list[AdhesionRow]) -> list[str]:
    return [f"{r.interface}: {r.reason or r.status}" for r in rows if r.status != "done"]


def citations(rows: list[AdhesionRow], studies: Studies) -> list[str]:
    """Sources of the published W and of the measured angles that are printed."""
    papers: dict[str, None] = {}
    measured: dict[str, dict[str, None]] = {}
    for row in rows:
        spec = spec_of(row, studies)
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
