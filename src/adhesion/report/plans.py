"""What `adhesion plan` and `adhesion match` print."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymatgen.core import Element

from adhesion.errors import InputError, NoMatchError
from adhesion.estimates import cpu_seconds
from adhesion.interfaces import cell_area
from adhesion.matching import (
    Match,
    common_cell,
    find_matches,
    nearest_misses,
    one_per_strain,
    pareto,
)
from adhesion.materials import Material, load_material
from adhesion.planning import Plan, Side
from adhesion.search import Pairing, candidates
from adhesion.slabs import build_slab, cut_bonds_per_area, terminations
from adhesion.study import MaterialSpec

MAX_AREA_A2 = 5000.0
MOST_LISTED = 50
"""Pairings in the JSON of a plan."""
MOST_SCORED = 5
"""Pairings whose registries are weighed for a plan."""


def plan_data(plans: list[Plan]) -> list[dict[str, Any]]:
    """Return the plans as plain data."""
    return [
        {
            **{k: v for k, v in plan.facts().items() if k not in ("label", "calculations")},
            "interface": plan.spec.label,
            "level": plan.level.name,
            "level_settings": plan.level.model_dump(mode="json", exclude={"with_oxygen"}),
            "cell_A": _cell(plan),
            "n_cells": plan.n_matches,
            "candidate": plan.spec.candidate,
            "candidates": pairing_data(plan.pairings),
            "n_registries": len(plan.shifts),
            "kpoints": list(plan.kpoints),
            "film_transformation": plan.match.film_transformation if plan.match else None,
            "substrate_transformation": plan.match.substrate_transformation if plan.match else None,
            "terminations": {
                name: list(side.choices)
                for name, side in (("film", plan.film), ("substrate", plan.substrate))
                if side is not None
            },
            "calculations": [
                {
                    "role": role,
                    "hash": recipe.hash,
                    "estimated_cpu_seconds": cpu_seconds(plan, role),
                }
                for role, recipe in plan.recipes.items()
            ],
        }
        for plan in plans
    ]


def _cell(plan: Plan) -> list[list[float]]:
    """In-plane vectors of the common cell as rows, Å, shape (2, 2)."""
    if plan.ready_made is not None:
        return [list(vector[:2]) for vector in plan.ready_made[0].cell_A[:2]]
    assert plan.film is not None
    assert plan.substrate is not None
    assert plan.match is not None
    meshes = plan.film.termination.mesh_A, plan.substrate.termination.mesh_A
    vectors: list[list[float]] = common_cell(plan.match, *meshes, plan.share).round(6).tolist()
    return vectors


def plan_text(plans: list[Plan]) -> str:
    """Return the plans for a person."""
    return "\n\n".join(_one(plan) for plan in plans)


def _one(plan: Plan) -> str:
    facts = plan.facts()
    lines = [
        f"{plan.spec.label} at {plan.level.name}: {plan.level.description}",
        f"  cell         {facts['n_atoms']} atoms, {facts['area_A2']:.1f} Å2, "
        f"k-points {' x '.join(map(str, plan.kpoints))}",
    ]
    if plan.match is not None and plan.film is not None and plan.substrate is not None:
        lines += [
            f"  match        {plan.match.film_multiple} film on {plan.match.substrate_multiple} "
            f"substrate meshes, one of {plan.n_matches} cells within the limits",
            f"  strain       film {_pair(facts['film_strain_percent'])} %, "
            f"substrate {_pair(facts['substrate_strain_percent'])} %",
            *_usable("termination", "film", plan.film),
            *_usable("", "substrate", plan.substrate),
            f"  thickness    film {plan.film.thickness}, substrate {plan.substrate.thickness} "
            f"({_unit(plan.substrate.material)})",
        ]
    lines.append(f"  registries   {_registries(plan)}")
    lines += _candidate_lines(plan)
    lines.append("  calculations")
    for role, recipe in plan.recipes.items():
        lines.append(f"    {recipe.hash}  {role.replace('_', ' '):15} {_cost(plan, role)}")
    return "\n".join(lines)


def _registries(plan: Plan) -> str:
    """How many registries are weighed, or why there is but one."""
    if plan.pairings and (chosen := plan.pairings[plan.spec.candidate - 1]).flat:
        area = cell_area(chosen.displacement_cell @ chosen.cell_A)
        return f"flat by construction (the two meshes span {area:.1f} Å2 together): one is computed"
    computed = min(plan.level.n_registries, len(plan.shifts))
    return f"{len(plan.shifts)} weighed by geometry, {computed} computed at most"


def _cost(plan: Plan, role: str) -> str:
    settings = plan.recipes[role].calculator
    if not settings:
        return "as given" if role.startswith("bulk") else "as cut"
    estimate = cpu_seconds(plan, role)
    if estimate is None:
        return "seconds" if settings["name"] == "emt" else "no estimate"
    return f"about {_duration(estimate)} of CPU time"


def _pair(pair: tuple[float, float]) -> str:
    return f"{pair[0]:+.2f} / {pair[1]:+.2f}"


def _usable(title: str, name: str, side: Side) -> list[str]:
    """Chosen termination and all usable ones, wrapped."""
    polar = " (polar, as named)" if side.termination.polar else ""
    text = f"{name} {side.termination.name!r}{polar} of {len(side.choices)} usable"
    text += f" ({', '.join(side.choices)})"
    indent = " " * 15
    first = f"  {title:13}"
    return textwrap.wrap(text, 98, initial_indent=first, subsequent_indent=indent)


def pairing_data(pairings: Sequence[Pairing]) -> list[dict[str, Any]]:
    """Return ranked pairings as plain data, the first few with their best fit.

    Parameters
    ----------
    pairings : sequence of Pairing
        From `adhesion.search.find_pairings`; `MOST_LISTED` of them are listed.
    """
    rows = []
    for rank, pairing in enumerate(pairings[:MOST_LISTED], start=1):
        film, substrate = pairing.match.strains(pairing.share)
        best = candidates(pairing)[0] if rank <= MOST_SCORED else None
        rows.append(
            {
                "rank": rank,
                "film_termination": pairing.film.termination.name,
                "substrate_termination": pairing.substrate.termination.name,
                "stoichiometric": pairing.stoichiometric,
                "film_multiple": pairing.match.film_multiple,
                "substrate_multiple": pairing.match.substrate_multiple,
                "film_transformation": pairing.match.film_transformation,
                "substrate_transformation": pairing.match.substrate_transformation,
                "area_A2": round(pairing.area_A2, 4),
                "n_atoms": pairing.n_atoms,
                "film_strain_percent": [round(100 * s, 3) for s in film],
                "substrate_strain_percent": [round(100 * s, 3) for s in substrate],
                "twist_deg": round(pairing.match.twist_deg, 4),
                "flat_registry": pairing.flat,
                "registry": best.registry if best else None,
                "gap_A": best.gap_A if best else None,
                "bonds_per_A2": round(best.bonds_per_A2, 5) if best else None,
            }
        )
    return rows


def _candidate_lines(plan: Plan) -> list[str]:
    """The head of the ranked list, and why it is ranked so."""
    if not plan.pairings:
        return []
    lines = [
        f"  candidates   {plan.n_candidates} = registries of {len(plan.pairings)} pairings of"
        f" faces and cells; number {plan.spec.candidate} is computed",
        "               ranked by: whole formula, no ions moved, easy cut, fewest atoms, least",
        "               strain; 'candidate: 2' takes another; bonds: of its best registry",
        f"    {'':>3} {'film | substrate':30} {'cell':>9} {'Å2':>6} {'atoms':>5} {'strain %':>15}"
        f" {'gap Å':>6} {'bonds/Å2':>8}",
    ]
    chosen = plan.spec.candidate
    shown = [*range(1, min(MOST_SCORED, len(plan.pairings)) + 1)]
    for rank in [*shown, *([chosen] if chosen not in shown else [])]:
        pairing = plan.pairings[rank - 1]
        best = candidates(pairing)[0]
        strains = _pair(_percents(pairing.match.strains(pairing.share)[0]))
        faces = f"{pairing.film.termination.name} | {pairing.substrate.termination.name}"
        cell = f"{pairing.match.film_multiple} on {pairing.match.substrate_multiple}"
        lines.append(
            f"    {rank:>3} {faces[:30]:30} {cell:>9} {pairing.area_A2:6.1f} {pairing.n_atoms:5d}"
            f" {strains:>15} {best.gap_A:6.2f} {best.bonds_per_A2:8.4f}"
            f"{'  <' if rank == chosen else ''}"
        )
    more = len(plan.pairings) - len(shown)
    return [*lines, *([f"        and {more} more: --json"] if more else [])]


def _percents(strains: tuple[float, float]) -> tuple[float, float]:
    return 100 * strains[0], 100 * strains[1]


def _unit(material: Material) -> str:
    return {"metal": "atomic layers", "layered": "sheets", "compound": "repeat units"}[
        material.kind
    ]


def _duration(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"


def match_data(
    film: tuple[str, tuple[int, int, int]],
    substrate: tuple[str, tuple[int, int, int]],
    *,
    max_area_A2: float,
    max_strain: float,
    substrate_share: float,
    front: bool = False,
) -> list[dict[str, Any]]:
    """Return the common cells of two planes, one of each multiples and strains, ranked by area.

    Parameters
    ----------
    film, substrate : tuple
        Material name or CIF file, and Miller indices.
    max_area_A2 : float
        Limit on the cell, Å2.
    max_strain : float
        Limit on the principal strains of both sides, as a fraction.
    substrate_share : float
        Part of the logarithmic strain that the substrate takes.
    front : bool
        Only the Pareto front: cells that no other beats in both atoms and strain.

    Raises
    ------
    InputError
        If a crystal or a limit cannot be used.
    NoMatchError
        If there is none, with the nearest misses.
    """
    _check_limits(max_area_A2, max_strain, substrate_share)
    meshes, sizes = [], []
    for name, miller in (film, substrate):
        material = material_or_cif(name)
        faces = terminations(material, miller)
        face = next((t for t in faces if not t.polar and not t.broken_bonds), faces[0])
        meshes.append(face.mesh_A)
        slab = build_slab(material, face, 1, ((face.cell_multiple, 0), (0, 1)))
        sizes.append(len(slab) / face.cell_multiple)
    limits: dict[str, Any] = {
        "max_area_A2": max_area_A2,
        "max_film_strain": max_strain,
        "max_substrate_strain": max_strain,
        "substrate_share": substrate_share,
    }
    found = one_per_strain(find_matches(*meshes, **limits))
    if not found:
        raise _no_cell(meshes, limits)

    def n_atoms(m: Match) -> int:
        return round(m.film_multiple * sizes[0] + m.substrate_multiple * sizes[1])

    found = pareto(found, cost=n_atoms) if front else found
    return [
        {
            "area_A2": round(m.area_A2, 4),
            "film_multiple": m.film_multiple,
            "substrate_multiple": m.substrate_multiple,
            "principal_strains": [round(s, 8) for s in m.strains(substrate_share)[0]],
            "twist_deg": round(m.twist_deg, 4),
            "n_atoms": n_atoms(m),
            "film_transformation": m.film_transformation,
            "substrate_transformation": m.substrate_transformation,
        }
        for m in found
    ]


def _check_limits(max_area_A2: float, max_strain: float, substrate_share: float) -> None:
    if not 0 < max_area_A2 <= MAX_AREA_A2:
        raise InputError(f"must lie between 0 and {MAX_AREA_A2:g} Å2", where="--max-area")
    if not 0 < max_strain < 0.5:
        raise InputError("must lie between 0 and 0.5", where="--max-strain", hint="0.05 is 5 %")
    if not 0 <= substrate_share <= 1:
        raise InputError("must lie between 0 and 1", where="--substrate-share")


def _no_cell(meshes: list[Any], limits: dict[str, Any]) -> NoMatchError:
    """Make the error with the nearest misses and the options that admit them."""
    hints = []
    for miss in nearest_misses(*meshes, **limits):
        values: dict[str, float] = {}
        for key, value in miss.settings.items():
            option = "--max-area" if key == "max_area_A2" else "--max-strain"
            values[option] = max(value, values.get(option, 0.0))
        options = " ".join(f"{option} {value:g}" for option, value in values.items())
        strain = max(miss.film_strain, miss.substrate_strain)
        hints.append(f"{options} ({strain:.2%} at {miss.match.area_A2:.1f} Å2)")
    return NoMatchError(
        f"no common cell up to {limits['max_area_A2']:g} Å2 with strains up to "
        f"{limits['max_film_strain']:.2%}",
        hint=", or ".join(hints) or "nothing lies near; try another plane",
    )


def match_text(rows: list[dict[str, Any]]) -> str:
    """Return the cells as a table."""
    lines = [
        f"{'area Å2':>9} {'film':>5} {'substrate':>9} {'strain %':>16} {'twist °':>8} {'atoms':>6}"
    ]
    for row in rows:
        low, high = (100 * s for s in row["principal_strains"])
        lines.append(
            f"{row['area_A2']:9.2f} {row['film_multiple']:5d} {row['substrate_multiple']:9d} "
            f"{low:+7.3f} {high:+8.3f} {row['twist_deg']:8.2f} {row['n_atoms']:6d}"
        )
    return "\n".join(lines)


def faces_data(name: str, miller: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Return all terminations of a plane as plain data.

    Parameters
    ----------
    name : str
        Material name or CIF file.
    miller : tuple of int
        Of the conventional cell.
    """
    material = material_or_cif(name)
    return [
        {
            "name": t.name,
            "usable": not t.polar and not t.broken_bonds,
            "shift": round(t.shift, 6),
            "flipped": t.flipped,
            "top": t.top,
            "bottom": t.bottom,
            "stoichiometric": t.stoichiometric,
            "excess_per_mesh": t.excess,
            "symmetry": t.symmetry,
            "tasker": t.tasker,
            "polar": t.polar,
            "dipole_per_area_e_A": round(t.dipole_per_area_e_A, 6),
            "moved_fraction": round(t.moved_fraction, 6),
            "meshes_multiple_of": t.cell_multiple,
            "broken_bonds_per_mesh": t.broken_bonds,
            "cut_bonds_per_A2": round(cut_bonds_per_area(material, t), 4),
            "mesh_A": t.mesh_A.round(6).tolist(),
            "repeat_A": round(float(t.repeat_A[2]), 6),
        }
        for t in terminations(material, miller)
    ]


def crystal_text(name: str) -> str:
    """Return how a crystal was understood: its cell, its charges, the bonds that no cut breaks.

    Parameters
    ----------
    name : str
        Material name or CIF file.
    """
    material = material_or_cif(name)
    lattice = material.structure.lattice
    lengths = ", ".join(f"{x:.3f}" for x in lattice.abc)
    angles = ", ".join(f"{x:.4g}" for x in lattice.angles)
    states = material.oxidation_states or {}
    charged = ", ".join(f"{element} {state:+.3g}" for element, state in states.items())
    kept = ", ".join(f"{a}-{b}" for a, b in material.keep_bonds)
    parts = [f"bonds kept: {kept}"] if kept else []
    if charged:
        parts = [f"charges {charged}", *parts]
    elif not all(Element(e).is_metal for e in material.elements) and len(material.elements) > 1:
        parts = ["no oxidation states known, so dipoles are not judged", *parts]
    cell = f"{material.structure.formula}; a, b, c {lengths} Å; angles {angles}°"
    return "\n".join(filter(None, [cell, "; ".join(parts)]))


def faces_text(rows: list[dict[str, Any]]) -> str:
    """Return the terminations as a table, with what is wrong with those that cannot be used."""
    lines = [
        f"{'name':28} {'shift':>6} {'top':12} {'bottom':12} {'symmetry':9} {'Tasker':6}"
        f" {'cut/Å2':>6} remarks"
    ]
    for row in rows:
        bonds = ", ".join(f"{n} {bond}" for bond, n in row["broken_bonds_per_mesh"].items())
        excess = ", ".join(f"{n:+d} {e}" for e, n in row["excess_per_mesh"].items())
        remarks = [
            f"breaks {bonds}" if bonds else "",
            f"polar {row['dipole_per_area_e_A']:+.3f} e/Å" if row["polar"] else "",
            f"{row['moved_fraction']:.2g} moved to the bottom" if row["moved_fraction"] else "",
            f"{excess} per mesh" if excess else "",
        ]
        lines.append(
            f"{row['name']:28} {row['shift']:6.3f} {row['top']:12} {row['bottom']:12} "
            f"{row['symmetry']:9} {row['tasker']:6} "
            f"{row['cut_bonds_per_A2']:6.3f} {'; '.join(r for r in remarks if r)}".rstrip()
        )
    n = sum(row["usable"] for row in rows)
    return "\n".join([*lines, f"{n} of {len(rows)} can be used: no bond broken, not polar"])


def material_or_cif(name: str) -> Material:
    """Load a material by name, or from a CIF file."""
    if name.lower().endswith(".cif"):
        path = Path(name)
        return load_material(path.stem, {path.stem: MaterialSpec(cif=path)})
    return load_material(name, {})
