"""Archived calculations computed again and compared, energy by energy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adhesion.energetics import EV_PER_A2_IN_J_M2
from adhesion.errors import InputError, nearest
from adhesion.flows import StudyMaker
from adhesion.planning import ROLES, Plan, plan_study
from adhesion.runner import run_flow
from adhesion.schemas import (
    BulkDocument,
    CalculationDocument,
    CurveDocument,
    InterfaceDocument,
    SlabDocument,
)
from adhesion.store import Results, open_store
from adhesion.study import Study

KINDS = ("bulk", "slab", "curve", "interface")
BULK_TOLERANCE_EV = 0.001


@dataclass(frozen=True)
class Line:
    """One comparison."""

    text: str
    good: bool


def verify_archive(
    study: Study,
    level: str,
    only: list[str] | None,
    kind: str | None,
    *,
    archive: Path,
    folder: Path,
    workers: int,
    tolerance_J_m2: float,
) -> list[Line]:
    """Compute archived calculations of a study again and compare their energies.

    Differences of slabs and interfaces count per area of the common cell, those
    of bulks per atom. What a calculation starts from is taken from the archive,
    so that it is this calculation that is verified.

    Raises
    ------
    InputError
        If the archive holds nothing of the study at this level.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"unknown kind {kind!r}", where="--kind", hint=nearest(kind, KINDS))
    archived = Results(open_store(folder / "archived-parents"), archive)
    plans = plan_study(study, level, only)
    wanted = {
        plan.hashes[role]: (plan, role)
        for plan in plans
        for role in ROLES
        if role in plan.recipes
        and (kind is None or plan.recipes[role].kind == kind)
        and archived.finished(plan.hashes[role]) is not None
    }
    if not wanted:
        raise InputError(
            f"the archive holds no finished {kind or 'calculation'} of these interfaces at {level}",
            where=str(archive),
            hint="adhesion report shows what there is",
        )
    fresh = Results(open_store(folder), None)
    for plan in plans:
        for role in plan.recipes:
            found = archived.finished(plan.hashes[role])
            if found is not None and plan.hashes[role] not in wanted:
                fresh.add(found.document)
    run_flow(
        StudyMaker(level=level).calculations([plan for plan, _ in wanted.values()]),
        fresh,
        folder=folder,
        workers=workers,
    )
    lines: list[Line] = []
    for hash, (plan, _) in wanted.items():
        old, new = archived.finished(hash), fresh.get(hash)
        assert old is not None
        if new is None or new.document.status != "done":
            lines.append(Line(f"{hash}  {old.document.label}: not finished again", good=False))
            continue
        lines += _compare(plan, old.document, new.document, tolerance_J_m2)
    return lines


def _compare(
    plan: Plan, old: CalculationDocument, new: CalculationDocument, tolerance_J_m2: float
) -> Iterator[Line]:
    """Yield a line per quantity that both documents have."""
    area = float(plan.summary["area_A2"])
    for name, (first, second) in _quantities(old, new).items():
        difference = second - first
        if isinstance(old, BulkDocument):
            good = abs(difference) <= BULK_TOLERANCE_EV
            text = f"{1000 * difference:+.3f} meV per atom"
        else:
            per_area = difference / area * EV_PER_A2_IN_J_M2
            good = abs(per_area) <= tolerance_J_m2
            text = f"{1000 * per_area:+.3f} mJ/m2"
        yield Line(f"{'ok ' if good else 'NO '} {old.hash}  {old.label}, {name}: {text}", good=good)


def _quantities(
    old: CalculationDocument, new: CalculationDocument
) -> dict[str, tuple[float, float]]:
    """Pairs of energies that should agree, eV (bulk: eV per atom; curve: separation)."""
    pairs: dict[str, tuple[float | None, float | None]] = {}
    if isinstance(old, BulkDocument) and isinstance(new, BulkDocument):
        n = len(old.geometry.symbols) if old.geometry else 1
        if old.energy_eV is not None and new.energy_eV is not None:
            pairs["energy"] = (old.energy_eV / n, new.energy_eV / n)
        else:
            pairs["lattice as given"] = (0.0, 0.0 if old.geometry == new.geometry else 1.0)
    elif isinstance(old, SlabDocument) and isinstance(new, SlabDocument):
        if old.relaxed:
            pairs["energy"] = (old.energy_eV, new.energy_eV)
        else:
            same = old.geometry is not None and new.geometry is not None
            pairs["as cut"] = (0.0, 0.0 if same else 1.0)
    elif isinstance(old, CurveDocument) and isinstance(new, CurveDocument):
        pairs["W_curve"] = (_separation(old), _separation(new))
    elif isinstance(old, InterfaceDocument) and isinstance(new, InterfaceDocument):
        pairs["relaxed interface"] = (
            old.interface.energy_eV if old.interface else None,
            new.interface.energy_eV if new.interface else None,
        )
    return {k: (a, b) for k, (a, b) in pairs.items() if a is not None and b is not None}


def _separation(curve: CurveDocument) -> float | None:
    if curve.film is None or curve.substrate is None or not curve.points:
        return None
    lowest = min(point.energy.energy_eV for point in curve.points)
    return curve.film.energy_eV + curve.substrate.energy_eV - lowest
