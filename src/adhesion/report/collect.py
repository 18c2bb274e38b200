"""From plans and stored documents to rows, and to all that stands behind them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adhesion.alloys import formations
from adhesion.errors import DamagedFileError
from adhesion.planning import Plan
from adhesion.report.evidence import ladder_errors, surface_documents
from adhesion.rows import RowInput, make_row
from adhesion.runner import failure
from adhesion.schemas import AdhesionRow, CalculationDocument, CurveDocument, InterfaceDocument
from adhesion.store import Results, Source

if TYPE_CHECKING:
    from adhesion.convergence import Ladder
    from adhesion.study import Study
    from adhesion.wetting import SurfaceTension


@dataclass(frozen=True)
class Case:
    """One interface at one level: the plan, what was computed, and the row made of it.

    Attributes
    ----------
    plan : Plan
    row : AdhesionRow
    documents : dict
        Role to document, finished or not.
    ladder : Ladder or None
        Its convergence ladder, where one was climbed.
    """

    plan: Plan
    row: AdhesionRow
    documents: dict[str, CalculationDocument]
    ladder: Ladder | None = None

    @property
    def curve(self) -> CurveDocument | None:
        """The binding curve, if it is done and holds points."""
        found = self.documents.get("curve")
        done = isinstance(found, CurveDocument) and found.status == "done" and bool(found.points)
        return found if isinstance(found, CurveDocument) and done else None

    @property
    def interface(self) -> InterfaceDocument | None:
        """The relaxed interface, if it is done."""
        found = self.documents.get("interface")
        done = isinstance(found, InterfaceDocument) and found.status == "done"
        return found if isinstance(found, InterfaceDocument) and done else None


def row_of(
    plan: Plan, results: Results, folder: Path, tensions: list[SurfaceTension], study: Study
) -> AdhesionRow:
    """Return the row of one interface from what store and archive hold; see `case_of`."""
    return case_of(plan, results, folder, tensions, study).row


def case_of(
    plan: Plan, results: Results, folder: Path, tensions: list[SurfaceTension], study: Study
) -> Case:
    """Return one interface with all that store and archive hold of it.

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
    study : Study
        With the levels below, whose convergence ladder may stand in.
    """
    documents: dict[str, tuple[CalculationDocument, Source]] = {}
    failures: dict[str, str] = {}
    for role, hash in plan.hashes.items():
        try:
            found = results.get(hash)
        except DamagedFileError as error:
            failures[role] = str(error)
            continue
        if found is not None:
            documents[role] = (found.document, found.source)
            if found.document.status == "done":
                continue
        try:
            failed = failure(folder, hash)
        except DamagedFileError as error:
            failures[role] = str(error)
        else:
            failures |= {role: failed.reason} if failed is not None else {}
    item = RowInput(
        spec=plan.spec,
        level=plan.level,
        plan=plan.facts(),
        documents=documents,
        failures=failures,
        surfaces=surface_documents(plan, results),
        ladder=ladder_errors(plan, results, study),
    )
    found_documents = {role: document for role, (document, _) in documents.items()}
    row = make_row(item, tensions).model_copy(update={"alloys": formations(plan, study, results)})
    return Case(plan, row, found_documents)


def with_ladder(case: Case, results: Results) -> Case:
    """Return a case with its convergence ladder, if store or archive hold one."""
    from adhesion.convergence import ladder_of

    ladder = ladder_of(case.plan, results) if case.curve is not None else None
    return replace(case, ladder=ladder if ladder and ladder.rungs else None)
