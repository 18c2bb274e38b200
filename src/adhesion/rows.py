"""From the documents of an interface to its row of the adhesion table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from adhesion.energetics import check_order, require_alike, work_of_adhesion
from adhesion.errors import AdhesionError, CalculationError, DamagedFileError
from adhesion.findings import (
    MIXING,
    Findings,
    LadderErrors,
    curve_findings,
    error_findings,
    mixing_findings,
    surface_findings,
)
from adhesion.sanity import doubts, require_same_interface, require_same_slabs
from adhesion.schemas import (
    AdhesionRow,
    CalculationDocument,
    ContactAngle,
    CurveDocument,
    CurvePoint,
    Energy,
    InterfaceDocument,
    SlabDocument,
    Status,
    SurfaceDocument,
)
from adhesion.study import LEVEL_ORDER
from adhesion.wetting import angle_interval, contact_angle

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adhesion.study import InterfaceSpec, Level
    from adhesion.wetting import SurfaceTension

ROLES = {
    "bulk_film": "bulk of the film",
    "bulk_substrate": "bulk of the substrate",
    "film_slab": "slab of the film",
    "substrate_slab": "slab of the substrate",
    "curve": "binding curve",
    "interface": "relaxed interface",
}
"""Roles of calculations, parents first, with their names for people."""

ORDER_TOLERANCE_J_m2 = 0.005
"""W_curve <= W_ad <= W_rigid may be missed by half of the last digit printed."""

START_TOLERANCE_EV = 1e-6
NOT_RELAXED = "the level does not relax this interface"

STRAIN_TOLERANCE_PERCENT = 1e-6

MACHINE_LEARNED = frozenset(
    ["chgnet", "deepmd", "fairchem", "mace", "matgl", "mattersim", "nequip", "orb_models", "sevenn"]
)
"""Packages of machine-learned force fields that a dotted calculator name may start with."""

D = TypeVar("D", bound=CalculationDocument)


@dataclass(frozen=True)
class RowInput:
    """What the planner and the store know about one interface at one level.

    Attributes
    ----------
    spec : InterfaceSpec
    level : Level
        Resolved for the interface's elements.
    plan : dict
        n_atoms, area_A2, film_layers, substrate_layers, film_strain_percent,
        substrate_strain_percent, termination, n_candidates, polar (labels of slabs with a dipole
        that grows with thickness), and calculations: role to hash.
        The roles are the keys of `ROLES`; 'interface' stands there only where the level
        relaxes it.
    documents : mapping
        Role to (document, source), with source 'computed', 'archive' or 'both'.
    failures : mapping
        Role to the reason why it left no document.
    surfaces : mapping
        'film', 'film_strained', 'substrate', 'substrate_strained', as far as computed.
    ladder : LadderErrors
        Of the interface at this level; empty where none was climbed.
    """

    spec: InterfaceSpec
    level: Level
    plan: Mapping[str, Any]
    documents: Mapping[str, tuple[CalculationDocument, str]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    surfaces: Mapping[str, SurfaceDocument] = field(default_factory=dict)
    ladder: LadderErrors = field(default_factory=LadderErrors)

    @property
    def calculations(self) -> dict[str, str]:
        """Role to hash, parents first."""
        planned = self.plan["calculations"]
        return {role: planned[role] for role in ROLES if role in planned}

    @property
    def proxy(self) -> bool:
        """Whether other elements stand in for the real ones."""
        documents = (document for document, _ in self.documents.values())
        return self.level.calculator.proxy is not None or any(d.proxy for d in documents)

    def done(self, role: str, kind: type[D]) -> D | None:
        """Return the finished document of a role, or None.

        Raises
        ------
        DamagedFileError
            If the document is of another kind than its role asks for.
        """
        document, _ = self.documents.get(role, (None, ""))
        if document is None or document.status != "done":
            return None
        if not isinstance(document, kind):
            raise DamagedFileError(
                f"is a {document.recipe.kind}, not the {ROLES[role]}", where=document.hash
            )
        return document


@dataclass
class _Work:
    """The works of adhesion of one interface, J/m2, as far as they are known."""

    W_curve_J_m2: float | None = None
    W_ad_J_m2: float | None = None
    W_rigid_J_m2: float | None = None
    W_curve_D3_J_m2: float | None = None
    W_ad_D3_J_m2: float | None = None

    @property
    def best_J_m2(self) -> float | None:
        """W_ad, else W_curve."""
        return self.W_curve_J_m2 if self.W_ad_J_m2 is None else self.W_ad_J_m2

    @property
    def known(self) -> bool:
        return self.W_curve_J_m2 is not None


def make_row(item: RowInput, tensions: list[SurfaceTension]) -> AdhesionRow:
    """Make the row of one interface at one level.

    With E the total energies in the common cell of area A,

    * W_curve = (E_film + E_substrate - min E_curve) / A: relaxed slabs, brought together rigidly;
    * W_ad = (E_film + E_substrate - E_relaxed) / A: the interface relaxed as well;
    * W_rigid = (E_film,frozen + E_substrate,frozen - E_relaxed) / A: pulled apart frozen.

    W > 0 means that the sides attract. Contact angles come from W_ad, else from W_curve.
    All further columns are those of `adhesion.findings`.

    Parameters
    ----------
    item : RowInput
    tensions : list of SurfaceTension
        One contact angle for each; a proxy gets none, nor does the film's own surface
        energy where it was not computed.

    Returns
    -------
    AdhesionRow
        What is not known is null; `status`, `reason` and `not_computed` say why.

    Raises
    ------
    DamagedFileError
        If a document is of another kind than its role asks for.
    """
    work = _Work()
    status, reason = _fill(item, work)
    curve = item.done("curve", CurveDocument) if work.known else None
    found = _found(item, work, curve)
    calculator = item.level.calculator
    return AdhesionRow(
        interface=item.spec.label,
        status=status,
        reason=reason,
        source=_source(item),
        calculator=calculator.name,
        functional=str(calculator.settings.get("functional", "")),
        level=item.level.name,
        proxy=item.proxy,
        W_curve_J_m2=work.W_curve_J_m2,
        W_ad_J_m2=work.W_ad_J_m2,
        W_rigid_J_m2=work.W_rigid_J_m2,
        W_ad_D3_J_m2=work.W_curve_D3_J_m2 if work.W_ad_J_m2 is None else work.W_ad_D3_J_m2,
        **_cell(item, curve),
        fmax_start_eV_A=_largest_force(item, work, "fmax_start_eV_A"),
        fmax_eV_A=_largest_force(item, work, "fmax_end_eV_A"),
        **found.fields,
        not_computed=found.reasons,
        flags=[*_flags(item, work, curve, found), *found.flags],
        contact_angles=_angles(item, work, tensions, found),
        **_compared_with(item),
        cpu_seconds=_cpu_seconds(item),
        calculations=list(dict.fromkeys(item.calculations.values())),
    )


def choose_level(rows_by_level: Mapping[str, list[AdhesionRow]]) -> list[AdhesionRow]:
    """Choose one row for each interface: the highest level that has a number.

    Levels rank smoke < levels of the study's own < quick < workstation < production, the other
    way round where nothing was computed. A row with W_curve alone, its relaxed interface still
    to come, is such a number. A number of a proxy comes after everything else, and it is left out
    where the interface has another row and any interface has a real number.

    Parameters
    ----------
    rows_by_level : mapping
        Level to its rows.

    Returns
    -------
    list of AdhesionRow
        In the order in which the interfaces first appear.
    """
    rows = [row for level_rows in rows_by_level.values() for row in level_rows]
    any_real = any(_has_number(row) and not row.proxy for row in rows)
    best: dict[str, AdhesionRow] = {}
    for row in rows:
        old = best.get(row.interface)
        if old is None or _rank(row, any_real) > _rank(old, any_real):
            best[row.interface] = row
    return list(best.values())


def _rank(row: AdhesionRow, any_real: bool) -> tuple[bool, bool, bool, float]:
    level = LEVEL_ORDER.index(row.level) if row.level in LEVEL_ORDER else 0.5
    number = _has_number(row)
    real = not row.proxy and (any_real or number)
    tried = number or row.status != "missing"
    # Of what was never computed the cheapest is shown: it is what to compute first.
    return real, number, tried, level if tried else -level


def _has_number(row: AdhesionRow) -> bool:
    return row.W_curve_J_m2 is not None


def _fill(item: RowInput, work: _Work) -> tuple[Status, str]:
    """Fill in all W that can be had; return the row's status and reason."""
    try:
        status, reason = _fill_curve(item, work)
    except DamagedFileError:
        raise
    except AdhesionError as error:  # the document holds no number, or one that is none
        return "failed", error.what
    if status == "done" and "interface" in item.calculations:
        status, reason = _fill_interface(item, work)
        if status != "done":
            reason = f"{reason}; W_curve stands"
    return status, reason


def _fill_curve(item: RowInput, work: _Work) -> tuple[Status, str]:
    """Fill in W_curve; return the state of the binding curve and all it starts from."""
    status, reason = _state(item, "curve")
    curve = item.done("curve", CurveDocument)
    if status != "done" or curve is None:
        return status, reason
    require_same_slabs(curve, _slab_sides(item))
    film, substrate, point, area = _curve_energies(curve)
    W_D3 = _with_d3(film, substrate, point.energy, area)
    work.W_curve_J_m2 = _separation(film, substrate, point.energy, area)
    work.W_curve_D3_J_m2 = W_D3
    return "done", ""


def _fill_interface(item: RowInput, work: _Work) -> tuple[Status, str]:
    """Fill in W_ad and W_rigid; return the state of the relaxed interface."""
    status, reason = _state(item, "interface")
    relaxed = item.done("interface", InterfaceDocument)
    curve = item.done("curve", CurveDocument)
    if status != "done" or relaxed is None or curve is None:
        return status, reason
    try:
        require_same_interface(curve, relaxed)
        require_alike({"binding curve": _settings(curve), "relaxed interface": _settings(relaxed)})
        film, substrate, _, area = _curve_energies(curve)
        interface = _present(relaxed.interface, relaxed, "energy of the interface")
        film_frozen = _present(relaxed.film_frozen, relaxed, "energy of the frozen film")
        rest_frozen = _present(relaxed.substrate_frozen, relaxed, "energy of the frozen substrate")
        W_ad = _separation(film, substrate, interface, area)
        W_rigid = _separation(film_frozen, rest_frozen, interface, area)
        W_ad_D3 = _with_d3(film, substrate, interface, area)
    except AdhesionError as error:
        return "failed", error.what
    work.W_ad_J_m2, work.W_rigid_J_m2, work.W_ad_D3_J_m2 = W_ad, W_rigid, W_ad_D3
    return "done", ""


def _state(item: RowInput, role: str) -> tuple[Status, str]:
    """Return the worst state of a calculation and what it starts from, with the reason.

    A finished calculation needs its parents' documents no more, but one that rests on an
    unconverged parent is not taken.
    """
    if role not in item.calculations:
        return "failed", f"the plan has no {ROLES[role]}"
    finished = role in item.documents and item.documents[role][0].status == "done"
    trouble: dict[str, list[str]] = {"failed": [], "unconverged": [], "missing": []}
    for step in item.calculations:
        if step in item.documents:
            document = item.documents[step][0]
            if document.status != "done":
                reason = document.reason or document.status
                trouble[document.status].append(f"{ROLES[step]}: {reason}")
        elif not finished and step in item.failures:
            trouble["failed"].append(f"{ROLES[step]}: {item.failures[step]}")
        elif not finished:
            trouble["missing"].append(ROLES[step])
        if step == role:
            break
    if trouble["failed"]:
        return "failed", "; ".join(trouble["failed"])
    if trouble["unconverged"]:
        return "unconverged", "; ".join(trouble["unconverged"])
    if trouble["missing"]:
        return "missing", "not computed yet: " + ", ".join(trouble["missing"])
    return "done", ""


def _curve_energies(curve: CurveDocument) -> tuple[Energy, Energy, CurvePoint, float]:
    """Return film, substrate, lowest point and area; the first of equal points."""
    film = _present(curve.film, curve, "energy of the film")
    substrate = _present(curve.substrate, curve, "energy of the substrate")
    area = _present(curve.area_A2, curve, "area")
    if not curve.points:
        raise CalculationError(f"{curve.label}: the document holds no point of the curve")
    return film, substrate, min(curve.points, key=lambda p: p.energy.energy_eV), area


T = TypeVar("T")


def _present(value: T | None, document: CalculationDocument, what: str) -> T:
    if value is None:
        raise CalculationError(f"{document.label}: the document is done but holds no {what}")
    return value


def _separation(film: Energy, substrate: Energy, interface: Energy, area: float) -> float:
    return work_of_adhesion(film.energy_eV, substrate.energy_eV, interface.energy_eV, area)


def _with_d3(film: Energy, substrate: Energy, interface: Energy, area: float) -> float | None:
    """W with the dispersion energies added, J/m2; None unless all three have one."""
    if film.d3_eV is None or substrate.d3_eV is None or interface.d3_eV is None:
        return None
    return work_of_adhesion(
        film.energy_eV + film.d3_eV,
        substrate.energy_eV + substrate.d3_eV,
        interface.energy_eV + interface.d3_eV,
        area,
    )


def _settings(document: CurveDocument | InterfaceDocument) -> dict[str, Any]:
    """What must agree before energies of two documents are subtracted."""
    settings: dict[str, Any] = {
        "calculator": document.recipe.calculator,
        "proxy": document.proxy,
        "protocol": document.recipe.protocol,
    }
    if document.geometry is not None:
        settings["cell"] = document.geometry.cell_A
        settings["pbc"] = document.geometry.pbc
    return settings


def _source(item: RowInput) -> Any:
    sources = {source for _, source in item.documents.values()}
    return sources.pop() if len(sources) == 1 else "both" if sources else ""


def _cell(item: RowInput, curve: CurveDocument | None) -> dict[str, Any]:
    """Size, strain and gap: as computed where that is known, else as planned."""
    names = ("area_A2", "film_strain_percent", "substrate_strain_percent")
    cell = {name: item.plan.get(name) for name in names}
    planned = ("n_atoms", "film_layers", "substrate_layers", "termination", "n_candidates")
    cell |= {name: item.plan.get(name) for name in planned}
    if curve is not None:
        computed = {name: getattr(curve, name) for name in names}
        cell |= {name: value for name, value in computed.items() if value is not None}
        best = _curve_energies(curve)[2]
        cell["gap_A"] = best.gap_A
        cell["n_gaps"] = len(_gaps_at(curve, best))
    return cell


def _gaps_at(curve: CurveDocument, point: CurvePoint) -> set[float]:
    return {p.gap_A for p in curve.points if p.registry == point.registry}


def _slab_sides(item: RowInput) -> dict[str, SlabDocument]:
    slabs = {side: item.done(f"{side}_slab", SlabDocument) for side in ("film", "substrate")}
    return {side: slab for side, slab in slabs.items() if slab is not None}


def _slabs(item: RowInput) -> list[SlabDocument]:
    return list(_slab_sides(item).values())


def _largest_force(item: RowInput, work: _Work, name: str) -> float | None:
    """Largest force of the relaxations behind W, at their start or their end, eV/Å."""
    if not work.known:
        return None
    relaxed: list[SlabDocument | InterfaceDocument] = list(_slabs(item))
    interface = item.done("interface", InterfaceDocument)
    if work.W_ad_J_m2 is not None and interface is not None:
        relaxed.append(interface)
    forces = [getattr(document, name) for document in relaxed]
    return max((f for f in forces if f is not None), default=None)


def _found(item: RowInput, work: _Work, curve: CurveDocument | None) -> Findings:
    """Everything beyond the works of adhesion."""
    found = Findings()
    if curve is None or not work.known:
        return found
    found.add(curve_findings(curve))
    relaxed = item.done("interface", InterfaceDocument)
    if work.W_ad_J_m2 is not None and relaxed is not None:
        found.add(mixing_findings(curve, relaxed))
    else:
        planned = "interface" in item.calculations
        reason = "the relaxed interface is not done" if planned else NOT_RELAXED
        found.missing(reason, "W_ad_J_m2", "W_rigid_J_m2", *MIXING)
    found.add(surface_findings(item.surfaces, item.ladder, curve, work.best_J_m2))
    found.add(error_findings(item.ladder, found.fields))
    if work.W_curve_D3_J_m2 is None:
        found.missing("the level computes no dispersion", "W_ad_D3_J_m2")
    return found


def _flags(item: RowInput, work: _Work, curve: CurveDocument | None, found: Findings) -> list[str]:
    flags = ["proxy"] if item.proxy else []
    if _machine_learned(item.level.calculator.name):
        flags.append("screening")
    if _strain_above_limit(item, curve):
        flags.append("strain above limit")
    flags += [f"polar slab of {label}, as named" for label in item.plan.get("polar", ())]
    if not work.known or curve is None:
        return flags
    if any(not slab.relaxed for slab in _slabs(item)):
        flags.append("unrelaxed slabs")
    best = _curve_energies(curve)[2]
    gaps = _gaps_at(curve, best)
    if best.gap_A in (min(gaps), max(gaps)):
        flags.append("lowest energy at the edge of the curve")
    three = work.W_curve_J_m2, work.W_ad_J_m2, work.W_rigid_J_m2
    error = found.fields.get("W_ad_error_J_m2") or 0.0
    flags += check_order(*three, tolerance=max(ORDER_TOLERANCE_J_m2, error))
    flags += _two_starts(item)
    relaxed = item.done("interface", InterfaceDocument) if work.W_ad_J_m2 is not None else None
    flags += doubts(curve, relaxed, _slab_sides(item))
    if work.W_ad_J_m2 is not None:
        versions, other = curve.versions, item.documents["interface"][0].versions
        unlike = sorted(n for n in versions.keys() & other.keys() if versions[n] != other[n])
        flags += [f"versions differ: {', '.join(unlike)}"] if unlike else []
    return flags


def _two_starts(item: RowInput) -> list[str]:
    """Say where the film's slab left the crystal's stacking."""
    slab = item.done("film_slab", SlabDocument)
    starts = slab.start_energies_eV if slab is not None else {}
    if slab is None or not {"crystal", "slid"} <= starts.keys():
        return []
    lower = starts["crystal"] - starts["slid"]
    if slab.energy_eV is None or abs(slab.energy_eV - starts["slid"]) > START_TOLERANCE_EV:
        return []
    return [f"film relaxed from slid layers, {lower:.3f} eV below the crystal's stacking"]


def _machine_learned(name: str) -> bool:
    """Whether a calculator is a machine-learned force field: good for screening only."""
    package, dot, _ = name.partition(".")
    return package in MACHINE_LEARNED if dot else name not in ("gpaw", "emt")


def _strain_above_limit(item: RowInput, curve: CurveDocument | None) -> bool:
    cell, limits = _cell(item, curve), item.level.strain
    sides = (
        (cell["film_strain_percent"], limits.max_film),
        (cell["substrate_strain_percent"], limits.max_substrate),
    )
    return any(
        max(abs(s) for s in strains) > 100 * limit + STRAIN_TOLERANCE_PERCENT
        for strains, limit in sides
        if strains is not None
    )


def _angles(
    item: RowInput, work: _Work, tensions: list[SurfaceTension], found: Findings
) -> list[ContactAngle]:
    W_J_m2 = work.best_J_m2
    if item.proxy or W_J_m2 is None:
        return []
    angles = []
    error = found.fields.get("W_ad_error_J_m2")
    for tension in tensions:
        own = tension.of_film(found.fields.get("gamma_film_J_m2"), item.spec.film.label)
        if own is None or own.sigma_J_m2 is None:
            reason = found.reasons.get(
                "gamma_film_J_m2", "the film's surface energy is not above 0"
            )
            found.missing(reason, "theta_own_deg")
            continue
        wetting = contact_angle(W_J_m2, own.sigma_J_m2)
        within: tuple[float | None, float | None] = None, None
        if error is not None:
            within = angle_interval(W_J_m2, own.sigma_J_m2, error, own.error_J_m2)
        angles.append(
            ContactAngle(
                sigma_J_m2=own.sigma_J_m2,
                sigma_source=own.source,
                sigma_name=own.name,
                theta_deg=wetting.theta_deg,
                theta_low_deg=within[0],
                theta_high_deg=within[1],
                regime=wetting.regime,
                from_quantity="W_curve" if work.W_ad_J_m2 is None else "W_ad",
            )
        )
    return angles


def _compared_with(item: RowInput) -> dict[str, Any]:
    """Published W and measured angle; none for a proxy, which stands for no real interface."""
    if item.proxy:
        return {"W_ad_reference_J_m2": None, "theta_measured_deg": None}
    reference, measured = item.spec.reference, item.spec.measured
    return {
        "W_ad_reference_J_m2": reference.W_ad_J_m2 if reference else None,
        "theta_measured_deg": measured[0].theta_deg if measured else None,
    }


def _cpu_seconds(item: RowInput) -> float | None:
    times = {document.hash: document.cpu_seconds for document, _ in item.documents.values()}
    return sum(times.values()) if times else None
