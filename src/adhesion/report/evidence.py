"""What store and archive hold beside an interface's own calculations: surfaces, ladder."""

from __future__ import annotations

from contextlib import suppress

from adhesion.convergence import ladder_of
from adhesion.errors import DamagedFileError
from adhesion.findings import LadderErrors
from adhesion.planning import Plan
from adhesion.schemas import CurveDocument, SurfaceDocument
from adhesion.store import Results
from adhesion.surfaces import surfaces_of


def surface_documents(plan: Plan, results: Results) -> dict[str, SurfaceDocument]:
    """Return the surfaces of an interface that are done; one that is damaged is not there."""
    found = {}
    for name, surface in surfaces_of(plan).items():
        with suppress(DamagedFileError):
            stored = results.finished(surface.recipe.hash)
            if stored is not None and isinstance(stored.document, SurfaceDocument):
                found[name] = stored.document
    return found


def ladder_errors(plan: Plan, results: Results) -> LadderErrors:
    """Return what the interface's ladder at this level says about W and about its slabs."""
    try:
        ladder = ladder_of(plan, results)
        if ladder is None:
            return LadderErrors()
        slabs = {
            side: _slabs(side, [plan.hashes["curve"], *hashes], results)
            for side in ("film", "substrate")
            if (hashes := [r.hash for r in ladder.rungs if r.parameter == f"{side}_layers"])
        }
    except DamagedFileError:
        return LadderErrors()
    return LadderErrors({p: ladder.error_J_m2(p) for p in ladder.foot}, slabs)


def _slabs(side: str, hashes: list[str], results: Results) -> list[tuple[int, float]]:
    """Atoms and energy of one side alone, in the curves of these hashes."""
    slabs = []
    for hash in hashes:
        found = results.finished(hash)
        curve = found.document if found is not None else None
        if not isinstance(curve, CurveDocument) or curve.geometry is None:
            continue
        energy = getattr(curve, side)
        n = len(curve.film_indices)
        atoms = n if side == "film" else len(curve.geometry.symbols) - n
        if energy is not None:
            slabs.append((atoms, energy.energy_eV))
    return slabs
