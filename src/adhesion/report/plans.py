"""What `adhesion plan` and `adhesion match` print."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adhesion.errors import InputError
from adhesion.estimates import cpu_seconds
from adhesion.matching import find_matches
from adhesion.materials import Material, load_material
from adhesion.planning import Plan
from adhesion.slabs import build_slab, terminations, usable
from adhesion.study import MaterialSpec


def plan_data(plans: list[Plan]) -> list[dict[str, Any]]:
    """Return the plans as plain data."""
    return [
        {
            **{k: v for k, v in plan.facts().items() if k not in ("label", "calculations")},
            "interface": plan.spec.label,
            "level": plan.level.name,
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
        estimate = cpu_seconds(plan, role)
        cost = "" if estimate is None else f"about {_duration(estimate)} of CPU time"
        lines.append(f"    {recipe.hash}  {role.replace('_', ' '):15} {cost}")
    return "\n".join(lines)


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
    """Return the distinct common cells of two planes, ranked by area and strain."""
    if not 0 < max_area_A2 <= 5000:
        raise InputError("must lie between 0 and 5000 Å2", where="--max-area")
    if not 0 < max_strain < 0.5:
        raise InputError("must lie between 0 and 0.5", where="--max-strain", hint="0.05 is 5 %")
    meshes, sizes = [], []
    for name, miller in (film, substrate):
        material = material_or_cif(name)
        faces = terminations(material, miller)
        face = usable(faces)[0] if any(not t.polar for t in faces) else faces[0]
        meshes.append(face.mesh_A)
        slab = build_slab(material, face, 1, ((face.cell_multiple, 0), (0, 1)))
        sizes.append(len(slab) / face.cell_multiple)
    found = find_matches(
        *meshes,
        max_area_A2=max_area_A2,
        max_film_strain=max_strain,
        max_substrate_strain=max_strain,
        substrate_share=substrate_share,
    )
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


def match_text(rows: list[dict[str, Any]]) -> str:
    """Return the cells as a table."""
    if not rows:
        return "no common cell within the limits: raise --max-area or --max-strain"
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
