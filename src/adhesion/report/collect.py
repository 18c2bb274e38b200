"""From plans and stored documents to rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adhesion.errors import DamagedFileError
from adhesion.planning import Plan
from adhesion.rows import RowInput, make_row
from adhesion.runner import failure
from adhesion.schemas import AdhesionRow, CalculationDocument
from adhesion.store import Results, Source

if TYPE_CHECKING:
    from adhesion.wetting import SurfaceTension


def row_of(
    plan: Plan, results: Results, folder: Path, tensions: list[SurfaceTension]
) -> AdhesionRow:
    """Return the row of one interface from what store and archive hold.

    Parameters
    ----------
    plan : Plan
        Of the interface at one level.
    results : Results
        Store and archive.
    folder : Path
        The store's folder, where notes of failed calculations lie.
    tensions : list of SurfaceTension
        For the contact angles.
    """
    documents: dict[str, tuple[CalculationDocument, Source]] = {}
    failures: dict[str, str] = {}
    for role, hash in plan.hashes.items():
        try:
            found = results.get(hash)
            failed = failure(folder, hash)
        except DamagedFileError as error:
            failures[role] = str(error)
            continue
        if found is not None:
            documents[role] = (found.document, found.source)
        if failed is not None and (found is None or found.document.status != "done"):
            failures[role] = failed.reason
    item = RowInput(
        spec=plan.spec, level=plan.level, plan=plan.facts(), documents=documents, failures=failures
    )
    return make_row(item, tensions)
