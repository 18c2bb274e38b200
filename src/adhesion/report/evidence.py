"""What store and archive hold beside an interface's own calculations: surfaces, ladder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from adhesion.convergence import Ladder, W_lowest_J_m2, ladder_of
from adhesion.errors import DamagedFileError, InputError
from adhesion.findings import LadderErrors
from adhesion.planning import Plan, plan_interface
from adhesion.schemas import CurveDocument, SurfaceDocument
from adhesion.search import Pairing
from adhesion.store import Results
from adhesion.study import LEVEL_ORDER, Study
from adhesion.surfaces import surfaces_of

CELLS = 3
"""So many pairings of the ranked list are looked at for a second cell."""


def surface_documents(plan: Plan, results: Results) -> dict[str, SurfaceDocument]:
    """Return the surfaces of an interface that are done; one that is damaged is not there."""
    found = {}
    for name, surface in surfaces_of(plan).items():
        with suppress(DamagedFileError):
            stored = results.finished(surface.recipe.hash)
            if stored is not None and isinstance(stored.document, SurfaceDocument):
                found[name] = stored.document
    return found


def ladder_errors(plan: Plan, results: Results, study: Study) -> LadderErrors:
    """Return what is known of the errors of W, and the slabs of the ladder.

    The interface's ladder at its own level, else at the nearest level below that has one, read
    at the values of the row: a number is no better than what a cheaper level shows to matter.

    Parameters
    ----------
    plan : Plan
        Of the row.
    results : Results
    study : Study
        Where the levels below stand.
    """
    try:
        own = ladder_of(plan, results)
        if own is None:
            return LadderErrors()
        for ladder, at in _ladders(own, plan, study, results):
            if not ladder.rungs:
                continue
            return LadderErrors(
                {p: ladder.error_J_m2(p, own.foot[p]) for p in own.foot},
                _thicknesses(plan, own, results),
                cell_error_J_m2(at, results, study),
                ladder.level if ladder is not own else "",
            )
    except DamagedFileError:
        return LadderErrors()
    return LadderErrors(dict.fromkeys(own.foot), {}, cell_error_J_m2(plan, results, study))


def _ladders(
    own: Ladder, plan: Plan, study: Study, results: Results
) -> Iterator[tuple[Ladder, Plan]]:
    """Ladders of one interface with their plans: its own first, then of the levels below."""
    yield own, plan
    if plan.level.name not in LEVEL_ORDER:
        return
    below = LEVEL_ORDER[: LEVEL_ORDER.index(plan.level.name)]
    for name in reversed([n for n in below if n in study.level_names]):
        with suppress(InputError):
            other = plan_interface(plan.spec, study.level(name), study)
            if other.settings["name"] == plan.settings["name"]:
                ladder = ladder_of(other, results)
                if ladder is not None:
                    yield ladder, other


def cell_error_J_m2(plan: Plan, results: Results, study: Study) -> float | None:
    """Return how far W_curve of a second common cell is from that of the first, J/m2.

    Of the pairings that `adhesion plan` lists, those of the same faces in another cell count;
    None where none was computed.
    """
    first = _curve(results, plan.hashes["curve"])
    if first is None or not plan.pairings:
        return None
    own = plan.pairings[plan.spec.candidate - 1]
    for n, pairing in enumerate(plan.pairings[:CELLS], start=1):
        if pairing.match.film_multiple == own.match.film_multiple or not _same_faces(pairing, own):
            continue
        spec = plan.spec.model_copy(update={"candidate": n})
        second = _curve(results, plan_interface(spec, plan.level, study).hashes["curve"])
        if second is not None:
            return abs(W_lowest_J_m2(second) - W_lowest_J_m2(first))
    return None


def _same_faces(one: Pairing, other: Pairing) -> bool:
    names = [(p.film.termination.name, p.substrate.termination.name) for p in (one, other)]
    return names[0] == names[1]


def _curve(results: Results, hash: str) -> CurveDocument | None:
    found = results.finished(hash)
    return found.document if found and isinstance(found.document, CurveDocument) else None


def _thicknesses(
    plan: Plan, ladder: Ladder, results: Results
) -> dict[str, list[tuple[int, float]]]:
    """Slabs of the level's own ladder, by side."""
    return {
        side: _slabs(side, [plan.hashes["curve"], *hashes], results)
        for side in ("film", "substrate")
        if (hashes := [r.hash for r in ladder.rungs if r.parameter == f"{side}_layers"])
    }


def _slabs(side: str, hashes: list[str], results: Results) -> list[tuple[int, float]]:
    """Atoms and energy of one side alone, in the curves of these hashes."""
    slabs = []
    for hash in hashes:
        curve = _curve(results, hash)
        if curve is None or curve.geometry is None:
            continue
        energy = getattr(curve, side)
        n = len(curve.film_indices)
        atoms = n if side == "film" else len(curve.geometry.symbols) - n
        if energy is not None:
            slabs.append((atoms, energy.energy_eV))
    return slabs
