"""Contact angles in tables: predicted, measured, and how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians
from typing import TYPE_CHECKING

from adhesion.errors import InputError
from adhesion.report.layout import DASH, FROM_CURVE, Column, Table, fixed
from adhesion.wetting import Comparison, Wetting, compare, contact_angle, paper_note

if TYPE_CHECKING:
    from adhesion.report.studies import Studies
    from adhesion.schemas import AdhesionRow, ContactAngle

OWN = "own"


@dataclass(frozen=True)
class Tension:
    """A surface tension that angles were made with; the film's own differs by row.

    Attributes
    ----------
    letter : str
        Its mark in headings: a, b, …
    sigma_J_m2 : float or None
        None for the film's own computed surface energy.
    source : str
    """

    letter: str
    sigma_J_m2: float | None
    source: str

    @property
    def heading(self) -> str:
        """As 'th(a)'."""
        return f"th({self.letter})"

    @property
    def latex(self) -> str:
        """As a formula."""
        return rf"$\theta_\mathrm{{{self.letter}}}$"

    def angle_of(self, row: AdhesionRow) -> ContactAngle | None:
        """Return the angle that a row has for this tension."""
        return next((a for a in row.contact_angles if _key(a) == self._key), None)

    @property
    def _key(self) -> tuple[float | None, str]:
        return self.sigma_J_m2, "" if self.sigma_J_m2 is None else self.source


def _key(angle: ContactAngle) -> tuple[float | None, str]:
    return (None, "") if angle.sigma_name == OWN else (angle.sigma_J_m2, angle.sigma_source)


def tensions_of(rows: list[AdhesionRow]) -> list[Tension]:
    """Return the tensions in the order in which rows use them."""
    found: dict[tuple[float | None, str], str] = {}
    for row in rows:
        for angle in row.contact_angles:
            found.setdefault(_key(angle), angle.sigma_source)
    return [
        Tension(chr(ord("a") + i) if i < 26 else str(i), sigma, source)
        for i, ((sigma, _), source) in enumerate(found.items())
    ]


def angle_columns(rows: list[AdhesionRow]) -> tuple[list[Column], list[str]]:
    """One column for each surface tension, marked where W_curve stands in for W_ad."""
    origins = {angle.from_quantity for row in rows for angle in row.contact_angles}
    mixed = len(origins) > 1
    columns, notes = [], []
    for tension in tensions_of(rows):
        cells = []
        for row in rows:
            angle = tension.angle_of(row)
            mark = FROM_CURVE if mixed and angle and angle.from_quantity == "W_curve" else ""
            cells.append(fixed(angle.theta_deg if angle else None, 1) + mark)
        columns.append(Column(tension.heading, tension.latex, cells))
        notes.append(_tension_note(tension, rows))
    if mixed:
        notes.append(f"Angles are from W_ad, those marked {FROM_CURVE} from W_curve.")
    elif origins:
        notes.append(f"Angles are from {origins.pop()}.")
    if any(a.regime != "partial" for row in rows for a in row.contact_angles):
        notes.append("Angles 0 and 180 are bounds: complete wetting, W >= 2 sigma; none, W <= 0.")
    return columns, notes


def _tension_note(tension: Tension, rows: list[AdhesionRow]) -> str:
    if tension.sigma_J_m2 is not None:
        return f"{tension.heading}: sigma = {tension.sigma_J_m2:.4f} J/m2, {tension.source}."
    own = [(row.interface, tension.angle_of(row)) for row in rows]
    values = ", ".join(f"{a.sigma_J_m2:.4f} for {name}" for name, a in own if a is not None)
    return f"{tension.heading}: sigma = computed surface energy of the film, J/m2: {values}."


def measured_column(rows: list[AdhesionRow]) -> Column:
    """Measured angles, degrees."""
    cells = [fixed(r.theta_measured_deg, 1) for r in rows]
    return Column("meas.", r"$\theta_\mathrm{meas}$", cells)


def comparison(
    rows: list[AdhesionRow], tension: Tension, published: bool = False
) -> Comparison | None:
    """Compare predicted with measured angles over all rows that have both.

    Parameters
    ----------
    rows : list of AdhesionRow
    tension : Tension
    published : bool
        Whether the angles are those of the published W at that tension.

    Returns
    -------
    Comparison or None
        None if no row has both.
    """
    pairs = []
    for row in rows:
        predicted = published_wetting(row, tension) if published else _wetting(row, tension)
        if predicted is not None and row.theta_measured_deg is not None:
            pairs.append((predicted, row.theta_measured_deg))
    try:
        return compare(pairs) if pairs else None
    except InputError:
        return None


def _wetting(row: AdhesionRow, tension: Tension) -> Wetting | None:
    angle = tension.angle_of(row)
    return contact_angle_of(angle) if angle else None


def contact_angle_of(angle: ContactAngle) -> Wetting:
    """Return the angle of a row as the wetting module knows it."""
    return Wetting(angle.theta_deg, angle.regime, cos(radians(angle.theta_deg)))


def published_wetting(row: AdhesionRow, tension: Tension) -> Wetting | None:
    """Return the angle that the published W of a row gives at a tension."""
    angle = tension.angle_of(row)
    if angle is None or row.W_ad_reference_J_m2 is None:
        return None
    return contact_angle(row.W_ad_reference_J_m2, angle.sigma_J_m2)


def angles_table(rows: list[AdhesionRow], studies: Studies) -> Table:  # noqa: ARG001
    """Make the table of predicted against measured angles, with deviations in degrees."""
    rows = [r for r in rows if r.theta_measured_deg is not None and r.contact_angles]
    names = Column("interface", "Interface", [r.interface for r in rows], numeric=False)
    if not rows:
        return Table("", "Predicted against measured contact angles", [names], [])
    columns = [names, measured_column(rows)]
    notes = []
    for tension in tensions_of(rows):
        predicted = [_wetting(row, tension) for row in rows]
        columns.append(Column(tension.heading, tension.latex, [_theta(p) for p in predicted]))
        heading = f"d({tension.letter})"
        latex = rf"$\Delta_\mathrm{{{tension.letter}}}$"
        columns.append(Column(heading, latex, _deviations(rows, predicted)))
        notes.append(
            f"{heading}: th({tension.letter}) less the measured angle. "
            + _in_words(comparison(rows, tension))
        )
    first = tensions_of(rows)[0]
    published = [published_wetting(row, first) for row in rows]
    if any(published):
        columns.append(Column("th(p)", r"$\theta_\mathrm{p}$", [_theta(p) for p in published]))
        columns.append(Column("d(p)", r"$\Delta_\mathrm{p}$", _deviations(rows, published)))
        notes.append(f"th(p): from the published W with the tension of {first.heading}.")
        notes += [
            f"Published W with the tension of {t.heading}: {_in_words(comparison(rows, t, True))}"
            for t in tensions_of(rows)
        ]
    if any(a.sigma_name == "paper" for row in rows for a in row.contact_angles):
        notes.append(paper_note())
    notes.append("A predicted 0 or 180 is a bound: the deviation there is one too.")
    return Table("", "Predicted against measured contact angles, degrees", columns, notes)


def _theta(wetting: Wetting | None) -> str:
    return fixed(wetting.theta_deg if wetting else None, 1)


def _deviations(rows: list[AdhesionRow], predicted: list[Wetting | None]) -> list[str]:
    return [
        DASH
        if p is None or row.theta_measured_deg is None
        else f"{round(p.theta_deg - row.theta_measured_deg, 1) + 0.0:.1f}"
        for row, p in zip(rows, predicted, strict=True)
    ]


def _in_words(found: Comparison | None) -> str:
    if found is None:
        return "Nothing to compare."
    rank = (
        f"rank correlation {found.rank_correlation:.2f}"
        if found.rank_correlation is not None
        else f"no rank correlation: {found.reason}"
    )
    n = len(found.deviations_deg)
    return f"Mean absolute deviation {found.mean_absolute_deviation_deg:.1f} over {n}, {rank}."
