"""What the documents of an interface say beyond its works of adhesion.

Each function returns `Findings`: fields of an `AdhesionRow`, a reason for every field
that stays null, and flags.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adhesion.energetics import (
    SurfaceFit,
    combine_errors,
    fit_binding_curve,
    interface_energy,
    require_alike,
    strain_energy,
    surface_energy_from_thickness,
    surface_energy_of_slabs,
    work_of_adhesion,
)
from adhesion.errors import AdhesionError, CalculationError, InputError
from adhesion.schemas import CurveDocument, Geometry, InterfaceDocument, SurfaceDocument

Floats = NDArray[np.float64]

SIDES = ("film", "substrate")
LADDER = ("film_layers", "substrate_layers", "kpoints", "cutoff", "vacuum")
"""Parameters of a convergence ladder, each with its column of errors."""

MIXING = ("gap_relaxed_A", "max_displacement_A", "layers_crossed", "purely_adhesive")

LAYER_GAP_A = 0.5
"""Atoms whose heights differ by more, with none between, stand in different layers."""
CROSSED_A = 0.5
"""How far below (above) the mean of a layer an atom has to be to have passed it."""
SLID_A = 0.5
"""Two layers of the film that moved this much over each other are stacked in another way."""
SPACING_CHANGE = 0.15
"""Relative change of the film's mean layer spacing beyond which its phase is another one."""

NO_SURFACE = (
    "no slabs of two thicknesses: adhesion control computes those of metals and layered "
    "crystals, adhesion converge those of any substrate"
)


@dataclass
class Findings:
    """Fields of a row, reasons for those that stay null, flags."""

    fields: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)

    def missing(self, reason: str, *names: str) -> None:
        """Note why fields are null; of two reasons the first stands."""
        for name in names:
            self.reasons.setdefault(name, reason)

    def add(self, other: Findings) -> None:
        """Take over what another one found."""
        self.fields |= other.fields
        self.reasons |= other.reasons
        self.flags += other.flags


@dataclass(frozen=True)
class LadderErrors:
    """What a convergence ladder says about an interface at its level.

    Attributes
    ----------
    errors_J_m2 : mapping
        Of the parameters that the calculator has, as in `LADDER`: largest change of W
        from the level's value to any above it, J/m2; None where no rung was computed.
    thicknesses : mapping
        Side to (atoms, energy in eV) of its slabs of several thicknesses in the common
        cell, all at the level's settings.
    cell_J_m2 : float or None
        Difference of W between the common cell and a second one, J/m2.
    level : str
        Whose ladder it is, where that is not the row's own level.
    """

    errors_J_m2: Mapping[str, float | None] = field(default_factory=dict)
    thicknesses: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    cell_J_m2: float | None = None
    level: str = ""

    @property
    def climbed(self) -> bool:
        """Whether any rung was computed."""
        return any(error is not None for error in self.errors_J_m2.values())


def surface_findings(
    surfaces: Mapping[str, SurfaceDocument],
    ladder: LadderErrors,
    curve: CurveDocument,
    W_J_m2: float | None,
) -> Findings:
    """Surface, strain and interface energies.

    * gamma from E(N) = 2 A gamma + N E_bulk, at the own lattice and in the common cell,
      with the bulk on the same mesh (or the slope of a ladder of layers);
    * strain energy of a side = (E_bulk,common - E_bulk,own) N / A, with N the atoms of
      its slab and A the area of the interface;
    * gamma_int = gamma_film + gamma_substrate - W, both in the common cell.

    Parameters
    ----------
    surfaces : mapping
        'film', 'film_strained', 'substrate', 'substrate_strained', as far as computed.
    ladder : LadderErrors
        Its slabs of several thicknesses stand in where the strained surface is missing.
    curve : CurveDocument
        For area and atoms of each side.
    W_J_m2 : float or None
        W_ad, else W_curve.
    """
    found = Findings()
    strained: dict[str, float] = {}
    for side in SIDES:
        free, common = surfaces.get(side), surfaces.get(f"{side}_strained")
        fits = {"": _fit(free), "_strained": _fit(common) or _ladder_fit(ladder, side, curve)}
        for end, fit in fits.items():
            if fit is None:
                found.missing(NO_SURFACE, f"gamma_{side}{end}_J_m2")
            else:
                found.fields[f"gamma_{side}{end}_J_m2"] = fit.gamma_J_m2
        if (fit := fits["_strained"]) is not None:
            strained[side] = fit.gamma_J_m2
        name = f"strain_energy_{side}_J_m2"
        if free is None or common is None:
            found.missing(NO_SURFACE, name)
            continue
        try:
            found.fields[name] = _strain_energy(free, common, curve, side)
        except AdhesionError as error:
            found.missing(error.what, name)
    if len(strained) == 2 and W_J_m2 is not None:
        found.fields["gamma_int_J_m2"] = interface_energy(
            strained["film"], strained["substrate"], W_J_m2
        )
    else:
        lacking = " and ".join(side for side in SIDES if side not in strained)
        found.missing(f"no surface energy of {lacking} in the common cell", "gamma_int_J_m2")
    return found


def _fit(surface: SurfaceDocument | None) -> SurfaceFit | None:
    if surface is None or surface.area_A2 is None or surface.bulk_energy_eV is None:
        return None
    atoms = [float(n) for n in surface.atoms]
    return surface_energy_of_slabs(
        atoms, surface.energies_eV, surface.area_A2, surface.bulk_energy_eV
    )


def _ladder_fit(ladder: LadderErrors, side: str, curve: CurveDocument) -> SurfaceFit | None:
    slabs = ladder.thicknesses.get(side, ())
    if len({n for n, _ in slabs}) < 2 or curve.area_A2 is None:
        return None
    return surface_energy_from_thickness(
        [float(n) for n, _ in slabs], [energy for _, energy in slabs], curve.area_A2
    )


def _strain_energy(
    free: SurfaceDocument, common: SurfaceDocument, curve: CurveDocument, side: str
) -> float:
    """J/m2, from the bulk on the two meshes."""
    require_alike({"own lattice": _alike(free), "common cell": _alike(common)})
    own, strained = _fit(free), _fit(common)
    if own is None or strained is None or curve.geometry is None or curve.area_A2 is None:
        raise CalculationError("a document is done but holds no slabs")
    n_film = len(curve.film_indices)
    n = n_film if side == "film" else len(curve.geometry.symbols) - n_film
    return strain_energy(n * strained.bulk_energy_eV, n * own.bulk_energy_eV, curve.area_A2)


def _alike(surface: SurfaceDocument) -> dict[str, Any]:
    return {
        "calculator": surface.recipe.calculator,
        "proxy": surface.proxy,
        "atoms": surface.atoms,
        "vacuum_A": surface.recipe.parameters.get("vacuum_A"),
        "relaxed": surface.relaxed,
    }


def curve_findings(curve: CurveDocument) -> Findings:
    """Universal binding relation of the best registry, and the spread over registries."""
    found = Findings()
    assert curve.film is not None
    assert curve.substrate is not None
    assert curve.area_A2 is not None
    apart = curve.film.energy_eV + curve.substrate.energy_eV
    best = min(curve.points, key=lambda p: p.energy.energy_eV)
    points = [p for p in curve.points if p.registry == best.registry]
    try:
        fit = fit_binding_curve(
            [p.gap_A for p in points],
            [p.energy.energy_eV for p in points],
            curve.area_A2,
            apart,
        )
    except (CalculationError, InputError) as error:
        names = ("W_fit_J_m2", "gap_fit_A", "length_fit_A", "peak_stress_GPa", "error_fit_J_m2")
        found.missing(error.what, *names)
    else:
        found.fields |= {
            "W_fit_J_m2": fit.W_J_m2,
            "gap_fit_A": fit.gap_A,
            "length_fit_A": fit.length_A,
            "peak_stress_GPa": fit.peak_stress_GPa,
            "error_fit_J_m2": fit.residual_J_m2,
        }
    lowest: dict[tuple[float, float], float] = {}
    for point in curve.points:
        energy = point.energy.energy_eV
        lowest[point.registry] = min(energy, lowest.get(point.registry, energy))
    if len(lowest) < 2:
        found.missing("one registry computed", "registry_spread_J_m2", "error_registry_J_m2")
        return found
    spread = work_of_adhesion(max(lowest.values()), 0.0, min(lowest.values()), curve.area_A2)
    found.fields |= {"registry_spread_J_m2": spread, "error_registry_J_m2": spread / 2}
    return found


def mixing_findings(curve: CurveDocument, interface: InterfaceDocument) -> Findings:
    """Relaxed gap, displacement, and whether the sides mixed or the film was restacked.

    An atom has passed a layer of the other side when it is 0.5 Å beyond that layer's
    mean height. The film is compared with itself as an isolated, relaxed slab: layers
    that slid over each other, or another spacing, are a change of its stacking or phase.
    """
    found = Findings()
    if curve.geometry is None or interface.geometry is None or not interface.film_indices:
        found.missing("the document does not say which atoms are the film", *MIXING)
        return found
    start = np.array(curve.geometry.positions_A)
    end = np.array(interface.geometry.positions_A)
    film = np.zeros(len(start), dtype=bool)
    film[interface.film_indices] = True
    crossed = layers_crossed(start[:, 2], end[:, 2], film)
    slid, stretched = restacked(curve.geometry, interface.geometry, interface.film_indices)
    found.fields |= {
        "gap_relaxed_A": float(end[film, 2].min() - end[~film, 2].max()),
        "max_displacement_A": interface.max_displacement_A,
        "layers_crossed": crossed,
        "purely_adhesive": not crossed and not slid and not stretched,
    }
    if crossed:
        found.flags.append("layers crossed: W is no longer purely adhesive")
    if slid or stretched:
        found.flags.append("film changed its stacking: W holds a change of phase")
    return found


def layers_crossed(start_A: Floats, end_A: Floats, film: NDArray[np.bool_]) -> int:
    """Return how many layers of the other side any atom has passed.

    Parameters
    ----------
    start_A, end_A : ndarray, shape (n,)
        Heights before and after the relaxation, Å.
    film : ndarray of bool, shape (n,)
        Which atoms are the film, which lies on top.
    """
    layers = {upper: layers_of(start_A[film == upper]) for upper in (True, False)}
    passed = [0]
    for upper, sign in ((True, 1), (False, -1)):
        others = end_A[film != upper]
        means = [float(others[group].mean()) for group in layers[not upper]]
        passed += [
            sum(sign * (mean - height) > CROSSED_A for mean in means)
            for height in end_A[film == upper]
        ]
    return max(passed)


def layers_of(heights_A: Floats) -> list[NDArray[np.intp]]:
    """Return the indices of the atoms of each layer, lowest first."""
    order = np.argsort(heights_A, kind="stable")
    cuts = np.flatnonzero(np.diff(heights_A[order]) > LAYER_GAP_A) + 1
    return list(np.split(order, cuts))


def restacked(start: Geometry, end: Geometry, film: Sequence[int]) -> tuple[bool, bool]:
    """Whether layers of the film slid over each other, and whether their spacing changed."""
    before, after = (np.array(g.positions_A)[list(film)] for g in (start, end))
    layers = layers_of(before[:, 2])
    if len(layers) < 2:
        return False, False
    cell = np.array(start.cell_A)[:2, :2]
    fractions = np.linalg.solve(cell.T, (after - before)[:, :2].T).T
    moved = (fractions - np.round(fractions)) @ cell
    slides = np.diff([moved[group].mean(axis=0) for group in layers], axis=0)
    spacings = [np.mean(np.diff([p[group, 2].mean() for group in layers])) for p in (before, after)]
    return (
        bool((np.linalg.norm(slides, axis=1) > SLID_A).any()),
        bool(abs(spacings[1] / spacings[0] - 1) > SPACING_CHANGE),
    )


def error_findings(ladder: LadderErrors, known: Mapping[str, Any]) -> Findings:
    """Error of W from each source, and all that are known in quadrature.

    Combined only with a whole ladder: a sum that leaves k-points out, say, would look
    smaller than the error is. What is left out otherwise is named in a flag.

    Parameters
    ----------
    ladder : LadderErrors
    known : mapping
        Fields of the row so far, for the errors of registry and fit.
    """
    found = Findings()
    for parameter in LADDER:
        name = f"error_{parameter}_J_m2"
        error = ladder.errors_J_m2.get(parameter)
        if error is not None:
            found.fields[name] = error
        elif ladder.errors_J_m2 and parameter not in ladder.errors_J_m2:
            found.missing("the calculator has no such parameter", name)
        else:
            found.missing("no rung above it: adhesion converge computes one", name)
    if ladder.cell_J_m2 is not None:
        found.fields["error_cell_J_m2"] = ladder.cell_J_m2
    else:
        found.missing("one common cell computed", "error_cell_J_m2")
    if ladder.level:
        found.flags.append(f"errors from the ladder at {ladder.level}")
    if not ladder.climbed:
        found.missing("no convergence ladder", "W_ad_error_J_m2")
        found.flags.append("no convergence ladder")
        return found
    lacking = [p for p, error in ladder.errors_J_m2.items() if error is None]
    if lacking:
        reason = f"convergence ladder without {', '.join(p.replace('_', ' ') for p in lacking)}"
        found.missing(reason, "W_ad_error_J_m2")
        found.flags.append(reason)
        return found
    others = {n: known.get(f"error_{n}_J_m2") for n in ("registry", "fit")}
    others["cell"] = ladder.cell_J_m2
    parts = {**ladder.errors_J_m2, **{n: v for n, v in others.items() if v is not None}}
    found.fields["W_ad_error_J_m2"] = combine_errors(**parts).value
    left_out = sorted(n for n, v in others.items() if v is None)
    if left_out:
        found.flags.append(f"error bar without {', '.join(left_out)}")
    return found
