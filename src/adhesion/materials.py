"""Crystals: read from CIF, checked, and kept with where they come from."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase.data import atomic_numbers, covalent_radii
from ase.geometry.dimensionality.rank_determination import RDA
from monty.json import MSONable
from pymatgen.core import Element, Lattice, Structure
from pymatgen.io.cif import CifParser
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from adhesion.errors import InputError, nearest
from adhesion.study import MaterialKind, MaterialSpec, data_path, require_file

SYMPREC_A = 0.01
MAX_ATOMS = 2000
MAX_IMAGES = 20_000
"""Sites times operations of symmetry: sites on special positions have fewer images."""
MOST_OPERATIONS = 192
"""Of symmetry, in the conventional cell of any space group (Fm-3m)."""
FARTHEST = 100.0
"""A fractional coordinate beyond it is none: its digits were lost, or it is in Å."""
MAX_CIF_BYTES = 5_000_000
MIN_CELL_A, MAX_CELL_A = 1.0, 500.0
CLOSEST_A = 0.5
CLOSEST_RADII = 0.4
"""Two atoms nearer than this part of the sum of their covalent radii overlap."""
BOND_RADII = 1.2
"""Two atoms nearer than this multiple of the sum of their covalent radii are bonded."""
RIGHT_DEG = 1.0
RIGHT_ANGLES = {
    "triclinic": 0,
    "monoclinic": 2,
    "trigonal": 2,
    "hexagonal": 2,
    "orthorhombic": 3,
    "tetragonal": 3,
    "cubic": 3,
}
"""Right angles of a conventional cell."""
CENTRINGS = [
    {(0, 0, 0), *others}
    for others in (
        [],
        [(0, 3, 3)],
        [(3, 0, 3)],
        [(3, 3, 0)],
        [(3, 3, 3)],
        [(0, 3, 3), (3, 0, 3), (3, 3, 0)],
        [(4, 2, 2), (2, 4, 4)],
        [(2, 4, 2), (4, 2, 4)],
    )
]
"""Lattice points of a conventional cell, in sixths: P, A, B, C, I, F, R obverse and reverse."""
POLYANION_BONDS = (("C", "O"), ("Si", "O"), ("P", "O"))


@dataclass(frozen=True, eq=False)
class Material(MSONable):  # type: ignore[misc]
    """A crystal and what is known about it.

    Attributes
    ----------
    name : str
        Name in structures/ or under ``materials`` of the study.
    structure : pymatgen.core.Structure
        Conventional cell, in the setting of its file; Miller indices refer to it.
    kind : {'metal', 'layered', 'compound'}
        Decides what a slab's thickness counts.
    source : str
        Where the structure comes from.
    trust : str
        measured, computed, recalled, estimated or given.
    oxidation_states : dict or None
        Element to formal charge, in e; None for elements and metals.
    keep_bonds : list of (str, str)
        Bonds that no cut may break.
    bulk_modulus_GPa : float or None
        Stiffness, for sharing the strain.
    lattice_by_functional : dict
        Functional to the lattice lengths (a, b, c in Å) known for it.
    """

    name: str
    structure: Structure
    kind: MaterialKind
    source: str = ""
    trust: str = "given"
    oxidation_states: dict[str, float] | None = None
    keep_bonds: list[tuple[str, str]] = field(default_factory=list)
    bulk_modulus_GPa: float | None = None
    lattice_by_functional: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def elements(self) -> set[str]:
        """Symbols of the elements."""
        return {element.symbol for element in self.structure.composition.elements}

    @property
    def checksum(self) -> str:
        """SHA-256 of lattice parameters and sites rounded to 1e-5, whatever the file looks like."""
        sites = sorted(
            (str(site.specie), *_rounded(site.frac_coords, wrap=True)) for site in self.structure
        )
        cell = _rounded(self.structure.lattice.parameters)
        return hashlib.sha256(repr((cell, sites)).encode()).hexdigest()

    def at_lattice(self, functional: str) -> Material:
        """Scale to the lattice known for a functional; unchanged where none is known.

        Fractional coordinates and angles stay. A length that is not listed follows
        the listed one it equals (b follows a in a cubic or hexagonal cell).
        """
        known = self.lattice_by_functional.get(functional)
        if not known:
            return self
        old = dict(zip("abc", self.structure.lattice.abc, strict=True))
        new = {
            axis: next(
                (known[k] for k in (axis, *"abc") if k in known and abs(old[k] - length) < 1e-4),
                length,
            )
            for axis, length in old.items()
        }
        lattice = Lattice.from_parameters(*new.values(), *self.structure.lattice.angles)
        scaled = Structure(lattice, self.structure.species, self.structure.frac_coords)
        return replace(self, structure=scaled)

    def with_structure(self, structure: Structure) -> Material:
        """Return the same material with another (relaxed) cell, which is then final."""
        return replace(self, structure=structure, lattice_by_functional={})


def _rounded(values: Any, wrap: bool = False) -> tuple[float, ...]:
    numbers = np.round(np.asarray(values, dtype=float), 5)
    if wrap:
        numbers = np.round(numbers % 1.0, 5) % 1.0
    return tuple(float(v) for v in numbers + 0.0)


@cache
def _index() -> dict[str, dict[str, Any]]:
    text = data_path("structures", "index.yaml").read_text(encoding="utf-8")
    index: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return index


def known_materials() -> list[str]:
    """Names of the crystals that travel with the project."""
    return sorted(_index())


def load_material(name: str, specs: Mapping[str, MaterialSpec] | None = None) -> Material:
    """Load a crystal by name: the study's own first, then those of structures/.

    A primitive cell, and a supercell of any kind, is turned into the conventional cell in
    spglib's standard setting, so that (001) of a primitive Na is not (110). A cell with the right
    angles of its crystal system and a centring (P, A, B, C, I, F, R) stays as given, with its own
    choice of axes: Miller indices refer to it.

    Parameters
    ----------
    name : str
        As in ``film`` or ``substrate`` of the study.
    specs : mapping of str to MaterialSpec, optional
        ``materials`` of the study, with paths already resolved.

    Raises
    ------
    InputError
        If no crystal has this name, or its CIF is missing, empty, unreadable, disordered, has
        overlapping atoms or more than 2000 of them, or its oxidation states do not fit.
    """
    specs = specs or {}
    if any(c in name for c in "/\\\0") or name in ("", ".", ".."):
        raise InputError(
            f"{name!r} is a path, not the name of a material",
            hint="list the CIF under materials: in the study, then use its name here",
        )
    if name in specs:
        return _from_spec(name, specs[name])
    if name not in _index():
        raise InputError(
            f"unknown material {name!r}",
            hint=nearest(name, {*specs, *_index()})
            + "; a crystal of your own goes under materials: with its cif",
        )
    return _from_index(name, _index()[name])


def _from_spec(name: str, spec: MaterialSpec) -> Material:
    structure, states = read_cif(spec.cif)
    given = spec.oxidation_states or states
    return Material(
        name=name,
        structure=structure,
        kind=spec.kind,
        source=f"CIF {spec.cif.name}",
        oxidation_states=_states(structure, spec.kind, given, where=f"materials.{name}"),
        keep_bonds=_bonds(structure, spec.kind, spec.keep_bonds, where=f"materials.{name}"),
        bulk_modulus_GPa=spec.bulk_modulus_GPa,
    )


def _from_index(name: str, entry: dict[str, Any]) -> Material:
    path = data_path("structures", entry["file"])
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
        raise InputError(
            "is not the file that index.yaml describes",
            where=str(path),
            hint="restore it, or run: python structures/build.py",
        )
    structure, _ = read_cif(path)
    kind: MaterialKind = entry["kind"]
    kept = [(a, b) for a, b in entry["keep_bonds"]] if "keep_bonds" in entry else None
    return Material(
        name=name,
        structure=structure,
        kind=kind,
        source=entry["source"],
        trust=entry["trust"],
        oxidation_states=_states(structure, kind, entry.get("oxidation_states"), where=str(path)),
        keep_bonds=_bonds(structure, kind, kept, where=str(path)),
        bulk_modulus_GPa=float(entry["bulk_modulus_GPa"]["value"]),
        lattice_by_functional={
            key.removeprefix("lattice_"): value
            for key, value in entry.items()
            if key.startswith("lattice_")
        },
    )


def read_cif(path: Path) -> tuple[Structure, dict[str, float] | None]:
    """Read one crystal from a CIF: conventional cell, and oxidation states if the file has them.

    Raises
    ------
    InputError
        If the file is missing, empty, no CIF of one ordered crystal, too large, or has
        overlapping atoms.
    """
    where = str(path)
    try:
        require_file(path, MAX_CIF_BYTES)
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be read: {getattr(error, 'strerror', None) or error}",
            where=where,
            hint="cif: takes a path relative to the study file",
        ) from None
    if not text.strip():
        raise InputError("the file is empty", where=where, hint="export the crystal again as CIF")
    if "\0" in text:
        raise InputError("is no text, or was damaged: it holds zero bytes", where=where)
    _check_cell_lines(text, where)
    structure = _parse(text, where)
    _check(structure, where)
    states = _written_states(structure)
    structure.remove_oxidation_states()
    return _conventional(structure, where), states


def _parse(text: str, where: str) -> Structure:
    """Parse the one crystal of a CIF; pymatgen raises nearly anything on a broken file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = CifParser.from_str(text)
            for block in parser._cif.data.values():
                _check_sites(block.data, where)
                _check_size(parser, block, where)  # pymatgen takes hours over a supercell
            found = parser.parse_structures(primitive=False)
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"is no CIF that pymatgen can read ({reason})",
            where=where,
            hint="check its cell, symmetry and atom_site loop, or export it again",
        ) from None
    if len(found) != 1:
        raise InputError(
            f"holds {len(found)} crystals",
            where=where,
            hint="keep one data_ block with all its atoms",
        )
    structure = Structure.from_sites(list(found[0]))
    _check_numbers(structure, where)
    return structure


def _check_cell_lines(text: str, where: str) -> None:
    """Refuse lengths and angles that pymatgen would take for others than those that stand there.

    It takes -4 Å for 4, 270° for 90°, and the last of two lengths.
    """
    for block in re.split(r"^data_", text, flags=re.M | re.I):
        cell = re.findall(r"^\s*(_cell_(?:length|angle)_\w+)\s+([-+.\d]+)", block, re.M | re.I)
        names = [name.lower() for name, _ in cell]
        for name, value in cell:
            if names.count(name.lower()) > 1:
                raise InputError(f"{name} stands there twice", where=where, hint="keep one of them")
            if value.startswith("-"):
                raise InputError(f"{name} is negative", where=where)
            if "angle" in name.lower() and _number(value) >= 180:
                raise InputError(f"{name} is {value}; an angle is below 180", where=where)


def _check_sites(block: Any, where: str) -> None:
    """Refuse positions and occupancies that no site has."""
    limits = {f"_atom_site_fract_{x}": (-FARTHEST, FARTHEST) for x in "xyz"}
    for name, (low, high) in (limits | {"_atom_site_occupancy": (0.0, np.inf)}).items():
        values = block.get(name, [])
        for value in values if isinstance(values, list) else [values]:
            if not low <= _number(value) <= high:
                raise InputError(f"{name} is {value}", where=where)


def _number(value: str) -> float:
    """Read a number of a CIF, as 0.25(3); 0 where pymatgen has to judge it."""
    try:
        return float(value.split("(")[0])
    except ValueError:
        return 0.0


def _check_size(parser: CifParser, block: Any, where: str) -> None:
    """Refuse more sites than a crystal has, before symmetry is applied to them."""
    sites = block.data.get("_atom_site_fract_x", [])
    number = len(sites) if isinstance(sites, list) else 0
    if number > MAX_ATOMS:
        raise _too_many(number, where)
    images = len(parser.get_symops(block)) if number else 0
    if images > MOST_OPERATIONS or number * images > MAX_IMAGES:
        raise InputError(
            f"has {number} sites with {images} images each; a crystal has at most {MAX_ATOMS} "
            "atoms here",
            where=where,
            hint="give the unit cell of the crystal, not a supercell",
        )


def _too_many(number: int, where: str) -> InputError:
    return InputError(
        f"has {number} atoms in its cell; {MAX_ATOMS} is the limit",
        where=where,
        hint="give the unit cell of the crystal, not a supercell",
    )


def _check_numbers(structure: Structure, where: str) -> None:
    """Refuse a cell that is none: the search for neighbours would crash with it, or hang."""
    lattice = structure.lattice
    values = [*lattice.matrix.flat, *structure.frac_coords.flat]
    if not np.isfinite(values).all():
        raise InputError("its cell or a position is no finite number", where=where)
    if min(lattice.abc) < MIN_CELL_A or max(lattice.abc) > MAX_CELL_A or lattice.volume < 1.0:
        raise InputError(
            f"its cell is {', '.join(f'{x:.4g}' for x in lattice.abc)} Å, "
            f"{lattice.volume:.4g} Å3; lengths of {MIN_CELL_A:g} to {MAX_CELL_A:g} Å are taken",
            where=where,
            hint="check its _cell_length and _cell_angle",
        )


def _check(structure: Structure, where: str) -> None:
    """Refuse what no slab can be cut from."""
    if len(structure) > MAX_ATOMS:
        raise _too_many(len(structure), where)
    mixed = sorted({str(s.species) for s in structure if not s.is_ordered})
    if mixed:
        raise InputError(
            f"is disordered: a site holds {mixed[0]}",
            where=where,
            hint="order it first (full occupancies only), for example with pymatgen's"
            " OrderDisorderedStructureTransformation",
        )
    symbols = [getattr(s.specie, "symbol", "") for s in structure]
    strange = sorted({s for s in symbols if s not in atomic_numbers or s == "X"})
    if strange:
        raise InputError(f"holds {strange[0]!r}, which is no element", where=where)
    radii = covalent_radii[[atomic_numbers[s] for s in symbols]]
    i, j, _, distance_A = structure.get_neighbor_list(
        max(CLOSEST_A, 2 * CLOSEST_RADII * radii.max()), exclude_self=True
    )
    limit_A = np.maximum(CLOSEST_A, CLOSEST_RADII * (radii[i] + radii[j]))
    overlaps = np.flatnonzero(distance_A < limit_A)
    if overlaps.size:
        k = overlaps[np.argmin(distance_A[overlaps])]
        raise InputError(
            f"{symbols[i[k]]} and {symbols[j[k]]} are {distance_A[k]:.2f} Å apart",
            where=where,
            hint="remove the atom that stands there twice, or check the symmetry and the cell",
        )


def _conventional(structure: Structure, where: str) -> Structure:
    """Conventional cell of a primitive one or a supercell; another setting of it as it is."""
    try:
        analyzer = SpacegroupAnalyzer(structure, symprec=SYMPREC_A)
        standard = analyzer.get_conventional_standard_structure()
    except Exception as error:  # spglib's own classes differ between versions
        raise InputError(
            f"spglib finds no symmetry in it ({error})",
            where=where,
            hint="check the cell and the positions",
        ) from None
    if len(structure) < len(standard) or not _is_conventional(structure.lattice, analyzer):
        return Structure(standard.lattice, standard.species, standard.frac_coords)
    return structure


def _is_conventional(lattice: Lattice, analyzer: SpacegroupAnalyzer) -> bool:
    """Whether a cell has the right angles of its crystal system and a centring with a letter."""
    right = sum(abs(angle - 90) < RIGHT_DEG for angle in lattice.angles)
    data = analyzer.get_symmetry_dataset()
    translations = data.translations[(data.rotations == np.eye(3)).all(axis=(1, 2))]
    sixths = {tuple(t) for t in (np.rint(6 * translations).astype(int) % 6).tolist()}
    return right >= RIGHT_ANGLES[analyzer.get_crystal_system()] and sixths in CENTRINGS


def _written_states(structure: Structure) -> dict[str, float] | None:
    """Oxidation states written in the CIF, where they are complete and neutral."""
    single: dict[str, float] = {}
    for site in structure:
        state = getattr(site.specie, "oxi_state", None)
        if state is None or single.setdefault(site.specie.symbol, float(state)) != state:
            return None
    if not any(single.values()) or abs(_charge(structure, single)) > 1e-3:
        return None
    return single


def _charge(structure: Structure, states: dict[str, float]) -> float:
    return float(sum(states[site.specie.symbol] for site in structure))


def _states(
    structure: Structure, kind: MaterialKind, given: dict[str, float] | None, where: str
) -> dict[str, float] | None:
    """Oxidation states given or guessed; None for elements, metals and where no guess fits."""
    elements = {site.specie.symbol for site in structure}
    if given:
        missing = sorted(elements - set(given))
        if missing:
            raise InputError(
                f"oxidation_states lacks {', '.join(missing)}",
                where=where,
                hint="give all elements of the crystal, or leave it out",
            )
        strange = sorted(set(given) - elements)
        if strange:
            raise InputError(
                f"oxidation_states names {strange[0]}, which is not in the crystal", where=where
            )
        states = {symbol: float(given[symbol]) for symbol in sorted(elements)}
        charge = _charge(structure, states)
        if abs(charge) > 1e-3:
            raise InputError(
                f"oxidation_states leave a charge of {charge:+g} e in the cell",
                where=where,
                hint="they must add up to zero; fractions such as 2.667 are allowed",
            )
        return states
    if kind == "metal" or len(elements) == 1 or all(Element(e).is_metal for e in elements):
        return None
    guesses = structure.composition.oxi_state_guesses(max_sites=-1)
    return {e: float(q) for e, q in sorted(guesses[0].items())} if guesses else None


def _bonds(
    structure: Structure, kind: MaterialKind, given: list[tuple[str, str]] | None, where: str
) -> list[tuple[str, str]]:
    """Bonds to keep: as given; all of a layered crystal; C-O, Si-O, P-O and groups of others."""
    if given is not None:
        strange = sorted({e for pair in given for e in pair} - set(atomic_numbers))
        if strange:
            raise InputError(f"keep_bonds names {strange[0]!r}, which is no element", where=where)
        return [(a, b) for a, b in given]
    if kind == "metal":
        return []
    elements = sorted({site.specie.symbol for site in structure})
    if kind == "layered":
        return [(a, b) for a in elements for b in elements if a <= b]
    kept = [(a, b) for a, b in POLYANION_BONDS if a in elements and b in elements]
    return kept + sorted(_group_bonds(structure) - set(kept))


def _group_bonds(structure: Structure) -> set[tuple[str, str]]:
    """Bonds that hold a finite group of nonmetals together: of SO4, PS4, OH or a molecule."""
    symbols = np.array([site.specie.symbol for site in structure])
    radii = covalent_radii[[atomic_numbers[s] for s in symbols]]
    covalent = np.array([not Element(s).is_metal for s in symbols])
    i, j, images, distance_A = structure.get_neighbor_list(
        2 * BOND_RADII * radii.max(), exclude_self=True
    )
    bonded = covalent[i] & covalent[j] & (distance_A < BOND_RADII * (radii[i] + radii[j]))
    i, j = i[bonded], j[bonded]
    groups = RDA(len(structure))
    for first, second, image in zip(i, j, images[bonded].astype(int), strict=True):
        groups.insert_bond(int(first), int(second), tuple(image.tolist()))
    groups.check()
    group, dimension = groups.get_components()
    finite = np.array([dimension[g] == 0 for g in group[i]], dtype=bool)
    ends = np.column_stack([symbols[i], symbols[j]])[finite].tolist()
    return {(a, b) for a, b in ends if (Element(a).X, a) <= (Element(b).X, b)}
