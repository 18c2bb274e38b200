"""What will be computed for an interface, decided by geometry before any energy.

The plan fixes terminations, the common cell (as integer transformations), the
registries and every setting; with them the recipe, and so the hash, of each
calculation. It is made from the lattices of the crystal files (or those known
for the functional), so that it never depends on a relaxed number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.io import read as ase_read
from ase.neighborlist import neighbor_list

from adhesion.calculators import identity, resolve
from adhesion.errors import InputError
from adhesion.interfaces import cell_area, from_file
from adhesion.matching import Match
from adhesion.materials import (
    CLOSEST_RADII,
    MAX_ATOMS,
    MAX_CIF_BYTES,
    Material,
    known_materials,
    load_material,
)
from adhesion.schemas import Geometry, Recipe
from adhesion.search import (
    Face,
    Limits,
    Pairing,
    faces,
    find_pairings,
    n_candidates,
    nothing_found,
)
from adhesion.study import InterfaceSpec, Level, SideSpec, Study, require_file

ROLES = ("bulk_film", "bulk_substrate", "film_slab", "substrate_slab", "curve", "interface")


@dataclass(frozen=True, eq=False)
class Side(Face):
    """One crystal of the interface, with the plane and face that were chosen.

    Attributes
    ----------
    spec : SideSpec
    choices : tuple of str
        Names of the usable terminations.
    """

    spec: SideSpec
    choices: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """An interface at a level, ready to be computed.

    Attributes
    ----------
    spec : InterfaceSpec
    level : Level
        Resolved for the elements of the interface.
    film, substrate : Side or None
        None for a ready-made interface.
    match : Match or None
    share : float
        Part of the (logarithmic) strain that the substrate takes.
    kpoints : tuple of int
        One mesh for slabs, curve and interface.
    shifts : list of tuple of float
        Registries to choose from, in fractions of the common cell.
    n_candidates : int
        Registries of all pairings: terminations x cells x registries.
    n_matches : int
        Distinct cells of the chosen faces within the limits.
    summary : dict
        Numbers for tables: n_atoms, area_A2, layers, strains, termination.
    settings : dict
        Resolved calculator settings of the slabs.
    bulk_settings : dict
        Side ('film', 'substrate') to the settings of its bulk.
    recipes : dict
        Role to recipe, in the order of computation.
    pairings : tuple of Pairing
        All faces and common cells that were weighed, ranked; the one that ``candidate`` of the
        study names, the first if it names none, is computed.
    """

    spec: InterfaceSpec
    level: Level
    film: Side | None
    substrate: Side | None
    match: Match | None
    share: float
    kpoints: tuple[int, int, int]
    shifts: list[tuple[float, float]]
    n_candidates: int
    n_matches: int
    summary: dict[str, Any]
    settings: dict[str, Any]
    bulk_settings: dict[str, dict[str, Any]]
    recipes: dict[str, Recipe]
    ready_made: tuple[Geometry, Geometry, float] | None = None
    pairings: tuple[Pairing, ...] = ()

    @property
    def hashes(self) -> dict[str, str]:
        """Role to hash of its calculation."""
        return {role: recipe.hash for role, recipe in self.recipes.items()}

    def facts(self) -> dict[str, Any]:
        """Return what a row takes from the plan, as plain data."""
        return {
            **self.summary,
            "n_candidates": self.n_candidates,
            "polar": [
                s.spec.label for s in (self.film, self.substrate) if s and s.termination.polar
            ],
            "label": self.spec.label,
            "calculations": self.hashes,
            "settings": self.settings,
        }

    @property
    def elements(self) -> set[str]:
        """Elements of the whole interface."""
        if self.ready_made:
            return {s for g in self.ready_made[:2] for s in g.symbols}
        assert self.film is not None
        assert self.substrate is not None
        return self.film.material.elements | self.substrate.material.elements


def plan_study(study: Study, level: str, only: list[str] | None = None) -> list[Plan]:
    """Plan all interfaces of a study, or those named, at one level."""
    chosen = study.level(level)
    return [plan_interface(spec, chosen, study) for spec in study.select(only or [])]


def plan_interface(spec: InterfaceSpec, level: Level, study: Study) -> Plan:
    """Decide cell, faces, registries and settings of one interface.

    Raises
    ------
    NoMatchError
        If no common cell lies within the level's limits; it lists the nearest.
    InputError
        If a material, termination or setting cannot be used.
    """
    if spec.structure is not None:
        return _plan_ready_made(spec, level, study)
    materials = [load_material(s.material, study.materials) for s in (spec.film, spec.substrate)]
    elements = materials[0].elements | materials[1].elements
    level = level.for_elements(elements)
    functional = str(level.calculator.settings.get("functional", ""))
    expected = [
        m.at_lattice(functional) if level.lattice[m.kind] == "relaxed" else m for m in materials
    ]
    share = substrate_share(level, *materials)
    choices = _faces(spec, level, expected)
    pairings = _pairings(spec, level, choices, share)
    chosen = _taken(spec, level, pairings)
    match, cell = chosen.match, chosen.cell_A
    film, substrate = (
        Side(face.material, face.termination, face.thickness, side, _names(faces_))
        for face, side, faces_ in zip(
            (chosen.film, chosen.substrate), (spec.film, spec.substrate), choices, strict=True
        )
    )
    kpoints = kpoint_mesh(level.kpoint_length_A, cell)
    settings = resolve(level.calculator, elements, kpoints, slab=True)
    bulk_settings = {
        side: resolve(
            level.calculator,
            m.elements,
            _bulk_mesh(level.kpoint_length_bulk_A, m),
            slab=False,
            partners=elements,
        )
        for side, m in zip(("film", "substrate"), expected, strict=True)
    }
    strains = match.strains(share)
    require_dispersion(level, settings)
    return Plan(
        spec=spec,
        level=level,
        film=film,
        substrate=substrate,
        match=match,
        share=share,
        kpoints=kpoints,
        shifts=chosen.grid(),
        n_matches=sum(p.film is chosen.film and p.substrate is chosen.substrate for p in pairings),
        n_candidates=n_candidates(pairings),
        pairings=tuple(pairings),
        summary={
            "n_atoms": chosen.n_atoms,
            "area_A2": cell_area(cell),
            "film_layers": film.thickness,
            "substrate_layers": substrate.thickness,
            "film_strain_percent": _percent(strains[0]),
            "substrate_strain_percent": _percent(strains[1]),
            "termination": substrate.termination.name,
        },
        settings=settings,
        bulk_settings=bulk_settings,
        recipes=_recipes(
            level,
            {"film": film, "substrate": substrate},
            match,
            share,
            {side: identity(s) for side, s in bulk_settings.items()},
            identity(settings),
        ),
    )


def substrate_share(level: Level, film: Material, substrate: Material) -> float:
    """Part of the strain that the substrate takes.

    By stiffness, B_film / (B_film + B_substrate): the softer side gives way.

    Raises
    ------
    InputError
        If the strain is shared by stiffness and a bulk modulus is not known.
    """
    share = level.strain.share
    if share == "film":
        return 0.0
    if share == "substrate":
        return 1.0
    if share != "stiffness":
        return float(share)
    moduli = [m.bulk_modulus_GPa for m in (film, substrate)]
    for material, modulus in zip((film, substrate), moduli, strict=True):
        if modulus is None:
            raise InputError(
                f"the bulk modulus of {material.name} is not known: no sharing by stiffness",
                where=f"materials.{material.name}.bulk_modulus_GPa",
                hint="give it in GPa, or set levels.<level>.strain.share to film",
            )
    assert moduli[0] is not None
    assert moduli[1] is not None
    return moduli[0] / (moduli[0] + moduli[1])


def require_dispersion(level: Level, settings: dict[str, Any]) -> None:
    """Refuse a level that asks for D3(BJ) of a functional that has no parameters.

    Raises
    ------
    InputError
        Naming the level's key and the functional.
    """
    if not level.dispersion or settings.get("proxy"):
        return
    # As dftd3 does: energies of the calculations are not awaited to find out.
    from dftd3.parameters import get_damping_param

    functional = str(settings["functional"])
    try:
        get_damping_param(functional)
    except KeyError:
        raise InputError(
            f"D3(BJ) has no parameters for {functional!r}",
            where=f"levels.{level.name}.dispersion",
            hint=f"set levels.{level.name}.dispersion to false",
        ) from None


def _faces(
    spec: InterfaceSpec, level: Level, materials: list[Material]
) -> tuple[list[Face], list[Face]]:
    """Return the usable faces of both sides."""
    film, substrate = materials
    thickness = getattr(level.layers, substrate.kind)
    return (
        faces(film, spec.film.miller, level.layers.film, spec.film.termination),
        faces(substrate, spec.substrate.miller, thickness, spec.substrate.termination),
    )


def _pairings(
    spec: InterfaceSpec, level: Level, choices: tuple[list[Face], list[Face]], share: float
) -> list[Pairing]:
    """Return all pairings within the level's limits, or an error with the nearest misses."""
    limits = Limits(
        max_area_A2=level.max_area_A2,
        max_film_strain=level.strain.max_film,
        max_substrate_strain=level.strain.max_substrate,
        substrate_share=share,
    )
    found = find_pairings(*choices, limits)
    if not found:
        raise nothing_found(*choices, limits, where=f"{spec.label}, levels.{level.name}")
    return found


def _taken(spec: InterfaceSpec, level: Level, pairings: list[Pairing]) -> Pairing:
    """Return the pairing that the study names by its place in the ranked list."""
    if spec.candidate > len(pairings):
        raise InputError(
            f"there is no candidate {spec.candidate}: {len(pairings)} lie within the limits"
            f" of levels.{level.name}",
            where=f"{spec.label}, candidate",
            hint="see the list of: adhesion plan",
        )
    return pairings[spec.candidate - 1]


def _names(found: list[Face]) -> tuple[str, ...]:
    return tuple(face.termination.name for face in found)


def kpoint_mesh(length_A: float, cell: Any) -> tuple[int, int, int]:
    """Return the k-points of a slab's cell, so many that points times length is `length_A`."""
    n = [max(1, round(length_A / float(np.linalg.norm(v)))) for v in np.asarray(cell)[:2]]
    return n[0], n[1], 1


def _bulk_mesh(length_A: float, material: Material) -> tuple[int, int, int]:
    a, b, c = (max(1, round(length_A / length)) for length in material.structure.lattice.abc)
    return a, b, c


def _percent(pair: Any) -> tuple[float, float]:
    return round(100 * float(pair[0]), 3), round(100 * float(pair[1]), 3)


def _recipes(
    level: Level,
    sides: dict[str, Side],
    match: Match,
    share: float,
    bulk: dict[str, dict[str, Any]],
    settings: dict[str, Any],
) -> dict[str, Recipe]:
    """Recipes of all calculations, parents before children."""
    crystals = {side: s.material.checksum for side, s in sides.items()}
    recipes: dict[str, Recipe] = {}
    for side, s in sides.items():
        lattice = level.lattice[s.material.kind]
        recipes[f"bulk_{side}"] = Recipe(
            kind="bulk",
            calculator=bulk[side] if lattice == "relaxed" else {},
            parameters={"lattice": lattice},
            crystals={"bulk": s.material.checksum},
        )
    for side, s in sides.items():
        relax = s.material.kind in level.relax_slabs
        recipes[f"{side}_slab"] = Recipe(
            kind="slab",
            calculator=settings if relax else {},
            parameters={
                "side": side,
                "share": round(share, 6),
                "relax": relax,
                **{
                    f"{n}_transformation": _ints(getattr(match, f"{n}_transformation"))
                    for n in sides
                },
                **{f"{n}_miller": list(o.spec.miller) for n, o in sides.items()},
                **{f"{n}_termination": o.termination.name for n, o in sides.items()},
                "thickness": s.thickness,
                "vacuum_A": level.vacuum_A,
            }
            | ({"fmax_eV_A": level.fmax_eV_A} if relax else {})
            | ({"starts": level.film_starts} if _is_restacked(side, s, level) else {}),
            crystals=crystals,
            parents={f"bulk_{n}": recipes[f"bulk_{n}"].hash for n in sides},
        )
    # A relaxed interface has no meaning beside slabs that were left as cut.
    relax = level.relax_interface and all(
        s.material.kind in level.relax_slabs for s in sides.values()
    )
    slabs = {f"{n}_slab": recipes[f"{n}_slab"].hash for n in sides}
    return recipes | _joint_recipes(level, settings, slabs, crystals, relax_interface=relax)


def _is_restacked(name: str, side: Side, level: Level) -> bool:
    """Whether a slab is relaxed from a second stacking: a metal film of two layers or more."""
    metal = side.material.kind == "metal"
    relaxed = metal and "metal" in level.relax_slabs
    return name == "film" and relaxed and level.film_starts > 1 and side.thickness > 1


def _joint_recipes(
    level: Level,
    settings: dict[str, Any],
    slabs: dict[str, str],
    crystals: dict[str, str],
    *,
    relax_interface: bool,
) -> dict[str, Recipe]:
    """Recipes of the binding curve and, where the level asks for it, the relaxed interface."""
    curve = Recipe(
        kind="curve",
        calculator=settings,
        parameters={
            "n_gaps": level.n_gaps,
            "gap_step_A": level.gap_step_A,
            "n_registries": level.n_registries,
            "vacuum_A": level.vacuum_A,
            "dispersion": level.dispersion,
        },
        crystals=crystals,
        parents=slabs,
    )
    recipes = {"curve": curve}
    if relax_interface:
        recipes["interface"] = Recipe(
            kind="interface",
            calculator=settings,
            parameters={
                "fmax_eV_A": level.fmax_eV_A,
                "free_layers_A": level.free_layers_A,
                "dispersion": level.dispersion,
            },
            crystals=crystals,
            parents={"curve": curve.hash},
        )
    return recipes


def _ints(matrix: Any) -> list[list[int]]:
    return [[int(x) for x in row] for row in matrix]


def _ready_made_atoms(path: Path) -> Atoms:
    """Read the last structure of a file that ASE knows.

    No folder: it could be one of ASE's bundles, which are unpickled. No compressed file: it
    may be of any size when it is unpacked.

    Raises
    ------
    InputError
        If it is missing, too large, of no such format, or holds a number that is not finite.
    """
    where = str(path)
    try:
        require_file(path, MAX_CIF_BYTES)
        if path.suffix in (".gz", ".bz2", ".xz"):
            raise InputError("is compressed", where=where, hint="unpack it first")
        if path.suffix.lower() in (".xyz", ".extxyz"):
            _check_xyz(path)
        # Absolute: ASE takes a name that starts with postgres for a data base.
        atoms = ase_read(str(path.absolute()), index=-1, do_not_split_by_at_sign=True)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # ASE's readers raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"cannot be read as a structure ({type(error).__name__}: {reason})", where=where
        ) from None
    if not np.isfinite([*atoms.positions.flat, *atoms.cell.array.flat]).all():
        raise InputError("holds a coordinate that is no finite number", where=where)
    if len(atoms) > MAX_ATOMS:
        raise InputError(f"has {len(atoms)} atoms; {MAX_ATOMS} is the limit", where=where)
    _refuse_overlaps(atoms, where)
    return atoms


def _check_xyz(path: Path) -> None:
    """Refuse a number of atoms or columns that the file cannot hold: ASE would look for them."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    head = lines[0].split() if lines else []
    if head and head[0].isdigit() and (len(head[0]) > 9 or int(head[0]) > len(lines) - 2):
        raise InputError(
            f"says that it holds {head[0][:12]} atoms, and has {len(lines)} lines", where=str(path)
        )
    columns = re.findall(r":[SRIL]:(\d+)", lines[1]) if len(lines) > 1 else []
    if any(len(n) > 3 for n in columns):
        raise InputError("says that it has a thousand columns or more", where=str(path))


def _refuse_overlaps(atoms: Atoms, where: str) -> None:
    """Refuse two atoms in one place."""
    radii = covalent_radii[atoms.numbers]
    i, j, distance_A = neighbor_list("ijd", atoms, 2 * CLOSEST_RADII * float(radii.max()))
    overlaps = np.flatnonzero(distance_A < CLOSEST_RADII * (radii[i] + radii[j]))
    if overlaps.size:
        k = overlaps[np.argmin(distance_A[overlaps])]
        raise InputError(
            f"atoms {i[k]} and {j[k]} are {distance_A[k]:.2f} Å apart",
            where=where,
            hint="remove the atom that stands there twice, or check the cell",
        )


def _refuse_other_elements(
    spec: InterfaceSpec, film: Atoms, substrate: Atoms, study: Study
) -> None:
    """Refuse sides that are not of the crystals whose names they bear; other names are free."""
    for side, atoms in ((spec.film, film), (spec.substrate, substrate)):
        if side.material not in {*study.materials, *known_materials()}:
            continue
        strange = sorted(
            set(atoms.get_chemical_symbols())
            - load_material(side.material, study.materials).elements
        )
        if strange:
            raise InputError(
                f"holds {strange[0]} in the side that is called {side.material}",
                where=str(spec.structure),
                hint="see film_atoms in the study, or give the side a name of its own",
            )


def _plan_ready_made(spec: InterfaceSpec, level: Level, study: Study) -> Plan:
    """Plan an interface whose structure was made elsewhere."""
    where = str(spec.structure)
    atoms = _ready_made_atoms(Path(where))
    try:
        low, high, gap = from_file(atoms, spec.film_atoms or [])
    except InputError as error:
        raise InputError(error.what, where=where, hint="see film_atoms in the study") from None
    _refuse_other_elements(spec, high, low, study)
    elements = set(atoms.get_chemical_symbols())
    level = level.for_elements(elements)
    kpoints = kpoint_mesh(level.kpoint_length_A, atoms.cell[:])
    settings = resolve(level.calculator, elements, kpoints, slab=True)
    require_dispersion(level, settings)
    sides = {"film": Geometry.from_ase(high), "substrate": Geometry.from_ase(low)}
    slabs = {
        f"{side}_slab": Recipe(
            kind="slab",
            calculator={},
            parameters={"side": side, "geometry": geometry.model_dump(mode="json"), "relax": False},
            crystals={},
        )
        for side, geometry in sides.items()
    }
    joint = _joint_recipes(
        level, identity(settings), {r: s.hash for r, s in slabs.items()}, {}, relax_interface=False
    )
    return Plan(
        spec=spec,
        level=level,
        film=None,
        substrate=None,
        match=None,
        share=0.0,
        kpoints=kpoints,
        shifts=[(0.0, 0.0)],
        n_matches=1,
        n_candidates=1,
        summary={
            "n_atoms": len(atoms),
            "area_A2": cell_area(atoms.cell[:]),
            "film_layers": None,
            "substrate_layers": None,
            "film_strain_percent": None,
            "substrate_strain_percent": None,
            "termination": "as given",
        },
        settings=settings,
        bulk_settings={},
        recipes=slabs | joint,
        ready_made=(sides["film"], sides["substrate"], gap),
    )
