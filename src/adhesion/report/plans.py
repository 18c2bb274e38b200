"""What `adhesion plan` and `adhesion match` print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adhesion.errors import InputError, NoMatchError
from adhesion.estimates import cpu_seconds
from adhesion.matching import common_cell, find_matches, nearest_misses, one_per_strain
from adhesion.materials import Material, load_material
from adhesion.planning import Plan
from adhesion.slabs import build_slab, terminations, usable
from adhesion.study import MaterialSpec

MAX_AREA_A2 = 5000.0


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
            f"substrate meshes; the fewest atoms of {plan.n_matches} cells within the limits",
            f"  strain       film {_pair(facts['film_strain_percent'])} %, "
            f"substrate {_pair(facts['substrate_strain_percent'])} %",
            f"  termination  film {plan.film.termination.name!r} of {_names(plan.film.choices)}",
            f"               substrate {plan.substrate.termination.name!r} of "
            f"{_names(plan.substrate.choices)}",
            f"  thickness    film {plan.film.thickness}, substrate {plan.substrate.thickness} "
            f"({_unit(plan.substrate.material)})",
        ]
    lines.append(f"  registries   {len(plan.shifts)} weighed by geometry, "
                 f"{min(plan.level.n_registries, len(plan.shifts))} computed at most")  # fmt: skip
    lines.append("  calculations")
    for role, recipe in plan.recipes.items():
        lines.append(f"    {recipe.hash}  {role.replace('_', ' '):15} {_cost(plan, role)}")
    return "\n".join(lines)


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


def _names(names: tuple[str, ...]) -> str:
    return f"{len(names)} usable ({', '.join(names)})"


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
        face = usable(faces)[0] if any(not t.polar for t in faces) else faces[0]
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
    return [
        {
            "area_A2": round(m.area_A2, 4),
            "film_multiple": m.film_multiple,
            "substrate_multiple": m.substrate_multiple,
            "principal_strains": [round(s, 8) for s in m.strains(substrate_share)[0]],
            "twist_deg": round(m.twist_deg, 4),
            "n_atoms": round(m.film_multiple * sizes[0] + m.substrate_multiple * sizes[1]),
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


def material_or_cif(name: str) -> Material:
    """Load a material by name, or from a CIF file."""
    if name.lower().endswith(".cif"):
        path = Path(name)
        return load_material(path.stem, {path.stem: MaterialSpec(cif=path)})
    return load_material(name, {})
