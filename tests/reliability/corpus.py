"""Bad input: files that must be refused in a sentence with their name and the wrong key."""

from __future__ import annotations

import copy
import gzip
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import yaml

WORKS = {
    "name": "corpus",
    "title": "a study that can be planned",
    "interfaces": [
        {
            "film": {"material": "Ag", "miller": [0, 0, 1], "termination": "Ag"},
            "substrate": {"material": "X", "miller": [0, 0, 1]},
            "reference": {"W_ad_J_m2": 0.25, "source": "a paper"},
            "measured": [
                {"surface": "a", "theta_deg": 90, "temperature_C": 20, "source": "b", "note": "c"}
            ],
        }
    ],
    "materials": {
        "X": {
            "cif": "x.cif",
            "kind": "metal",
            "oxidation_states": {"Au": 0},
            "keep_bonds": [["Au", "O"]],
            "bulk_modulus_GPa": 180,
        }
    },
    "surface_tensions": [{"sigma_J_m2": 0.9, "source": "a book"}],
    "levels": {
        "smoke": {
            "description": "mine",
            "calculator": {
                "name": "emt",
                "settings": {},
                "proxy": {"species": {"Ti": "Al"}, "scale": 1.0},
            },
            "lattice": {"metal": "relaxed", "layered": "given", "compound": "given"},
            "strain": {"share": "stiffness", "max_film": 0.09, "max_substrate": 0.06},
            "max_area_A2": 110,
            "layers": {"film": 3, "metal": 3, "layered": 1, "compound": 1},
            "vacuum_A": 8,
            "kpoint_length_A": 1,
            "kpoint_length_bulk_A": 1,
            "relax_slabs": ["metal"],
            "relax_interface": True,
            "film_starts": 1,
            "fmax_eV_A": 0.05,
            "max_steps": 100,
            "free_layers_A": 4.0,
            "n_gaps": 5,
            "gap_step_A": 0.3,
            "n_registries": 4,
            "dispersion": False,
            "with_oxygen": {"n_gaps": 3},
        }
    },
}
FREE = {"title", "note", "source", "surface", "description", "settings", "with_oxygen", "levels"}
"""Keys under which any text, or any key, may stand."""

CIF = """\
data_x
_cell_length_a 4.08
_cell_length_b 4.08
_cell_length_c 4.08
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Au1 Au 0 0 0 1
Au2 Au 0 .5 .5 1
Au3 Au .5 0 .5 1
Au4 Au .5 .5 0 1
"""
XYZ = """\
4
Lattice="3 0 0 0 3 0 0 0 20" Properties=species:S:1:pos:R:3
Au 0 0 0
Au 0 0 2
Ag 0 0 5
Ag 0 0 7
"""
RUN = ("run", "study.yaml", "--level", "smoke", "--store", "store")


@dataclass(frozen=True)
class Case:
    """Files of a folder, a command line there, and words that its refusal must hold."""

    name: str
    parts: tuple[str, ...]
    files: dict[str, str | bytes] = field(default_factory=dict)
    arguments: tuple[str, ...] = RUN


def dump(study: dict[str, Any]) -> str:
    return yaml.safe_dump(study, sort_keys=False)


def good_files() -> dict[str, str | bytes]:
    return {"study.yaml": dump(WORKS), "x.cif": CIF}


def changed(path: tuple[Any, ...], value: Any) -> str:
    """The good study with another value at a path; `...` takes the key away."""
    study = copy.deepcopy(WORKS)
    inner: Any = study
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return dump(study)


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all keys and list items."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, inner in items:
        found.append((*above, key))
        if isinstance(inner, dict | list):
            found += paths(inner, (*above, key))
    return found


def at(path: tuple[Any, ...]) -> Any:
    inner: Any = WORKS
    for key in path:
        inner = inner[key]
    return inner


def study_case(name: str, text: str | bytes, *parts: str, **more: Any) -> Case:
    return Case(name, ("study.yaml", *parts), {"x.cif": CIF, "study.yaml": text}, **more)


def wrong_types() -> list[Case]:
    """Every key of a study with a value of another type, and of another size."""
    cases = []
    for path in paths(WORKS):
        key, old = str(path[-1]), at(path)
        words = () if key.isdigit() else (key,)
        wrong = [["a", {"b": 1}]] if isinstance(old, dict | str | int | float) else ["text"]
        if isinstance(old, bool):
            wrong.append("perhaps")
        elif isinstance(old, int | float):
            wrong += ["many", float("nan"), float("inf"), -1e9]
        for value in wrong:
            allowed = key in FREE or ("oxidation_states" in path and value == -1e9)
            if allowed and isinstance(value, dict | str):
                continue
            if key in ("W_ad_J_m2", "temperature_C") and value == -1e9:
                continue  # any finite number will do
            if key == "Au":
                words = ("oxidation_states",)
            cases.append(study_case(f"{dotted(path)}: {value}", changed(path, value), *words))
    return cases


def dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def typos() -> list[Case]:
    """A key too many in every mapping, and every key that is needed taken away."""
    cases = []
    mappings = [(), *(p for p in paths(WORKS) if isinstance(at(p), dict))]
    for path in mappings:
        if path and path[-1] in ("materials", "oxidation_states", "species", "settings", "levels"):
            continue
        key = next(iter(at(path)))
        typo = key[:-1] + "_"
        cases.append(study_case(f"{dotted(path)}: {typo}", changed((*path, typo), 1), typo))
    needed = [
        ("name",),
        ("interfaces",),
        ("materials", "X", "cif"),
        ("interfaces", 0, "film"),
        ("interfaces", 0, "film", "material"),
        ("interfaces", 0, "substrate", "material"),
        ("interfaces", 0, "reference", "source"),
        ("interfaces", 0, "measured", 0, "theta_deg"),
        ("surface_tensions", 0, "source"),
        ("levels", "smoke", "calculator", "proxy", "scale"),
        ("materials", "X"),
    ]
    return cases + [
        study_case(f"no {dotted(path)}", changed(path, ...), str(path[-1])) for path in needed
    ]


HOSTILE = (
    "../../etc/passwd",
    "a;touch owned",
    "$(touch owned)",
    "`touch owned`",
    "a b",
    "a\nb",
    "-rf",
    "",
    "a" * 100,
    "a/b",
    "con\x1b[31m",
    "%s%n",
    "{0.__class__}",
)


def names() -> list[Case]:
    """Names with paths, blanks and shell characters."""
    cases = []
    for text in HOSTILE:
        for path in (("name",), ("interfaces", 0, "film", "material")):
            cases.append(study_case(f"{dotted(path)}: {text!r}", changed(path, text), path[-1]))
        study = copy.deepcopy(WORKS)
        study["materials"] = {text: WORKS["materials"]["X"]}
        study["interfaces"][0]["substrate"]["material"] = text
        cases.append(study_case(f"materials: {text!r}", dump(study)))
    for text in HOSTILE[:6]:
        path = ("interfaces", 0, "film", "termination")
        cases.append(study_case(f"termination {text!r}", changed(path, text), "termination"))
        path = ("levels", "smoke", "calculator", "name")
        cases.append(study_case(f"calculator {text!r}", changed(path, text), "calculator"))
    return cases


def beyond() -> list[Case]:
    """Values that are of the right type and beyond sense."""
    smoke = ("levels", "smoke")
    values: list[tuple[tuple[Any, ...], Any]] = [
        ((*smoke, "max_area_A2"), 1e9),
        ((*smoke, "max_area_A2"), 0.5),
        ((*smoke, "vacuum_A"), 1e6),
        ((*smoke, "kpoint_length_A"), 1e9),
        ((*smoke, "kpoint_length_bulk_A"), 1e9),
        ((*smoke, "gap_step_A"), 1e4),
        ((*smoke, "gap_step_A"), 1e-9),
        ((*smoke, "fmax_eV_A"), 1e9),
        ((*smoke, "max_steps"), 10**12),
        ((*smoke, "n_gaps"), 10**6),
        ((*smoke, "n_registries"), 10**6),
        ((*smoke, "layers", "film"), 10**6),
        ((*smoke, "strain", "max_film"), 0.9),
        ((*smoke, "strain", "share"), 1.5),
        ((*smoke, "strain", "max_film"), 0.0),
        ((*smoke, "calculator", "name"), "os.system"),
        ((*smoke, "calculator", "name"), "ase.calculators.emt.EMT"),
        ((*smoke, "calculator", "settings"), {"label": "x"}),
        ((*smoke, "lattice"), {"metall": "relaxed"}),
        (("materials", "X", "bulk_modulus_GPa"), 0),
        (("materials", "X", "oxidation_states"), {"Au": 3}),
        (("materials", "X", "oxidation_states"), {"Ag": 0}),
        (("materials", "X", "keep_bonds"), [["Au"]]),
        (("interfaces", 0, "film", "miller"), [0, 0, 0]),
        (("interfaces", 0, "film", "miller"), [10, 0, 0]),
        (("interfaces", 0, "film", "miller"), [0, 0, 1, 0]),
        (("interfaces", 0, "film", "miller"), [0.5, 0, 0]),
        (("interfaces", 0, "film", "miller"), "001"),
        (("interfaces", 0, "measured", 0, "theta_deg"), 180.1),
        (("surface_tensions", 0), {"name": "liquid Na", "temperature_K": 1}),
        (("surface_tensions", 0), {"name": "liquid Na", "temperature_K": 1e9}),
        (("surface_tensions", 0), {"name": "liquid Pb"}),
        (("surface_tensions", 0), {}),
        # What YAML makes of yes and no, and numbers in other dress.
        (("interfaces", 0, "measured", 0, "theta_deg"), True),
        (("interfaces", 0, "measured", 0, "theta_deg"), "0x5A"),
        (("interfaces", 0, "reference", "W_ad_J_m2"), True),
        (("interfaces", 0, "reference", "W_ad_J_m2"), "0,25"),
        (("interfaces", 0, "reference", "source"), ""),
        (("interfaces", 0, "measured", 0, "source"), ""),
        (("interfaces", 0, "candidate"), True),
        (("interfaces", 0, "candidate"), 0),
        (("interfaces", 0, "candidate"), 10**9),
        (("interfaces", 0, "film", "miller"), [False, False, True]),
        (("interfaces", 0, "film", "miller"), {"h": 0}),
        (("interfaces", 0, "film", "termination"), ".*"),
        (("interfaces", 0, "film"), False),
        (("interfaces", 0, "film"), ["Ag"]),
        (("interfaces",), {"film": "Ag", "substrate": "Au"}),
        (("interfaces",), [{"film": "Ag", "substrate": "Au"}, {"film": "Ag", "substrate": "Au"}]),
        ((*smoke, "layers", "film"), True),
        ((*smoke, "n_gaps"), True),
        ((*smoke, "strain", "share"), True),
        ((*smoke, "strain", "max_substrate"), -1e-4),
        ((*smoke, "vacuum_A"), 1e-300),
        ((*smoke, "relax_slabs"), ["metals"]),
        ((*smoke, "lattice", "metal"), True),
        ((*smoke, "calculator"), None),
        ((*smoke, "calculator", "proxy", "scale"), 1e9),
        ((*smoke, "calculator", "proxy", "scale"), 1e-9),
        ((*smoke, "calculator", "settings"), {"asap_cutoff": "yes"}),
        ((*smoke, "calculator", "name"), "__import__('os').system"),
        ((*smoke, "calculator", "name"), "builtins.eval"),
        ((*smoke, "with_oxygen"), {"with_oxygen": {}}),
        ((*smoke, "with_oxygen"), {"n_gaps": 0}),
        ((*smoke, "with_oxygen"), ["n_gaps"]),
        (("levels", "mine"), {}),
        (("levels", "smoke"), None),
        (("levels",), []),
        (("materials", "X", "cif"), b"x.cif"),
        (("materials", "X", "oxidation_states"), {"Au": 0, "Xx": 2}),
        (("materials", "X", "oxidation_states"), {"Au": True}),
        (("materials", "X", "keep_bonds"), [["Qq", "Zz"]]),
        (("materials",), {1: {"cif": "x.cif"}}),
        (("materials",), {None: {"cif": "x.cif"}}),
        (("surface_tensions", 0), {"name": "own", "temperature_K": 300}),
        (("surface_tensions", 0), {"sigma_J_m2": 1e300, "source": "x"}),
    ]
    return [
        study_case(f"{dotted(path)} = {value}", changed(path, value), str(path[0]))
        for path, value in values
    ]


def texts() -> list[Case]:
    """Files that are no study at all."""
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    good = dump(WORKS)
    bodies: dict[str, str | bytes] = {
        "empty": "",
        "blank": " \n\n",
        "comment": "# nothing\n",
        "null": "null\n",
        "word": "hello\n",
        "number": "3\n",
        "list": "- a\n- b\n",
        "bomb": bomb,
        "deep": "a: " + "[" * 5000,
        "deep mapping": "".join(" " * i + "a:\n" for i in range(500)),
        "self": "a: &a [*a]\n",
        "tab": good + "\tb: 1\n",
        "twice": good + "name: again\n",
        "two documents": good + "---\na: 1\n",
        "python": good + "z: !!python/object/apply:os.system [touch owned]\n",
        "python name": "name: !!python/name:os.system\n",
        "binary tag": "name: !!binary aGVsbG8=\n",
        "set": "!!set {a, b}\n",
        "timestamp": "name: 2020-01-01\n",
        "bad date": "name: 2020-99-99\n",
        "huge number": f"name: {'9' * 5000}\n",
        "merge": "<<: 3\nname: a\n",
        "open quote": 'name: "a\n',
        "open bracket": "interfaces: [\n",
        "wrong indent": "a: 1\n  b: 2\n",
        "nul": good.encode() + b"\0",
        "latin": "name: caf\u00e9".encode("latin-1") + b"\n",
        "utf-16": good.encode("utf-16"),
        "binary": bytes(range(256)),
        "elf": b"\x7fELF" + b"\0" * 100,
        "pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix.",
        "json list": "[1, 2, 3]",
        "large": "# " + "x" * 300_000,
        "html": "<html><body>404</body></html>",
        "anchor": "name: *nowhere\n",
        "percent": "%YAML 9.9\n---\nname: a\n",
        "colon": ":\n",
        "key list": "? [a, b]\n: 1\n",
        "wrong bool": "name: !!bool maybe\n",
        "wrong date": "name: !!timestamp nope\n",
        "wrong int": "name: !!int [1]\n",
        "pairs": "!!pairs [a: 1]\n",
        "ordered": "name: !!omap [a: 1]\ninterfaces: []\n",
        "merge itself": "&a\n<<: *a\nname: x\n",
        "merge list": "<<: [1, 2]\nname: x\n",
        "mapping as key": "{{a: 1}: 2}\n",
        "number twice": "1: a\n'1': b\n",
        "line break in a key": f'{good}"ab\\ncd": 1\n',
        "escape in a key": f'{good}"ab\\e[31mcd": 1\n',
        "lone surrogate": 'name: "\\ud800"\ninterfaces: [{film: Ag, substrate: Au}]\n',
        "utf-32": good.encode("utf-32"),
        "long value": f"name: {'k' * 50_000}\n",
        "many interfaces": "name: a\ninterfaces:\n"
        + "".join(f"  - {{film: Ag, substrate: M{i}}}\n" for i in range(3000)),
        "cut": good[: len(good) // 2],
    }
    return [study_case(f"text {name}", body) for name, body in bodies.items()]


def crystals() -> list[Case]:
    """CIF files that are no crystal, or not one that a slab can be cut from."""
    atoms = "Au1 Au 0 0 0 1\n"
    head = CIF[: CIF.index(atoms)]
    grid = 28
    many = head + "".join(
        f"Au{i} Au {x / grid:.5f} {y / grid:.5f} {z / grid:.5f} 1\n"
        for i, (x, y, z) in enumerate(product(range(grid), repeat=3))
        if i < 20_000
    )
    bodies: dict[str, str | bytes] = {
        "empty": "",
        "blank": "\n\n",
        "words": "this is no crystal\n",
        "html": "<html>404</html>\n",
        "no atoms": head,
        "no cell": CIF.replace("_cell_length_a 4.08\n", ""),
        "zero cell": CIF.replace("_a 4.08", "_a 0"),
        "negative cell": CIF.replace("_a 4.08", "_a -4"),
        "nan cell": CIF.replace("_a 4.08", "_a nan"),
        "inf cell": CIF.replace("_a 4.08", "_a inf"),
        "flat cell": CIF.replace("_gamma 90", "_gamma 0"),
        "angle 180": CIF.replace("_gamma 90", "_gamma 180"),
        "impossible angles": CIF.replace("_gamma 90", "_gamma 179").replace("_beta 90", "_beta 10"),
        "angle nan": CIF.replace("_gamma 90", "_gamma nan"),
        "disordered": head + "Au1 Au 0 0 0 .5\nAg1 Ag 0 0 0 .5\n",
        "vacant": head + "Au1 Au 0 0 0 .3\n",
        "occupancy 2": head + "Au1 Au 0 0 0 2\n",
        "occupancy -1": head + "Au1 Au 0 0 0 -1\n",
        "occupancy 0": head + "Au1 Au 0 0 0 0\n",
        "no element": head + "Xx1 Xx 0 0 0 1\n",
        "dummy": head + "X1 X 0 0 0 1\n",
        "nan position": head + "Au1 Au nan 0 0 1\n",
        "inf position": head + "Au1 Au inf 0 0 1\n",
        "word position": head + "Au1 Au here 0 0 1\n",
        "question mark": head + "Au1 Au ? ? ? 1\n",
        "overlap": head + atoms + "Au2 Au .01 0 0 1\n",
        "same place": head + atoms + "Ag1 Ag 0 0 0 1\n",
        "two crystals": CIF + CIF.replace("data_x", "data_y"),
        "short row": head + "Au1 Au 0 0\n",
        "cut in the loop": CIF[:-25] + "Au4 Au",
        "binary": bytes(range(256)),
        "wrong group": CIF.replace("'P 1'", "'Q 99'").replace("fract_x", "fracx"),
        "20000 atoms": many,
        "6 MB": CIF + "# " + "x" * 6_000_000,
        "tiny cell": CIF.replace("4.08", "0.1"),
        "huge cell": head.replace("4.08", "1e6") + atoms,
        "semicolon": head + ";\nnever closed\n",
        "yaml": dump(WORKS),
        "poscar": "Au\n1\n4 0 0\n0 4 0\n0 0 4\nAu\n1\nDirect\n0 0 0\n",
        "length twice": CIF.replace("_a 4.08", "_a 4.08\n_cell_length_a 99"),
        "length with a comma": CIF.replace("_a 4.08", "_a 4,08"),
        "length in hex": CIF.replace("_a 4.08", "_a 0x4"),
        "angle -90": CIF.replace("_gamma 90", "_gamma -90"),
        "angle 270": CIF.replace("_gamma 90", "_gamma 270"),
        "angle 360": CIF.replace("_gamma 90", "_gamma 360"),
        "angles above 360": CIF.replace("a 90", "a 130"),
        "position 1e308": head + "Au1 Au 1e308 0 0 1\n",
        "position 1e16": head + "Au1 Au 1e16 .3 0 1\n",
        "occupancy below 0 beside one": head + atoms + "Ag1 Ag 0 0 0 -.5\n",
        "zero bytes": CIF[:200] + "\0" * 50 + CIF[200:],
        "many images": CIF.replace("P 1", "F m -3 m").replace("4.08", "40")
        + "".join(
            f"Au{i} Au .{i:04d} .{i * 7 % 9973:04d} .{i * 31 % 9973:04d} 1\n"
            for i in range(5, 1900)
        ),
        "many operations": head.replace(
            "_symmetry_space_group_name_H-M 'P 1'",
            "loop_\n"
            "_symmetry_equiv_pos_as_xyz\n" + "".join(f"'x+{i}/1000,y,z'\n" for i in range(999)),
        )
        + atoms,
        "operation by zero": head.replace(
            "_symmetry_space_group_name_H-M 'P 1'",
            "loop_\n_symmetry_equiv_pos_as_xyz\n'x,y,z'\n'x+1/0,y,z'",
        )
        + atoms,
        "Cartesian": CIF.replace("fract", "Cartn"),
        "two coordinates": CIF.replace("_atom_site_fract_z\n", ""),
        "macromolecule": "data_1ABC\n_entry.id 1ABC\nloop_\n_atom_site.id\n1\n",
        "packed": gzip.compress(CIF.encode()),
        "utf-16": CIF.encode("utf-16"),
        "needle": CIF.replace("_a 4.08", "_a 1.01").replace("_b 4.08", "_b 1.01"),
    }
    good = dump(WORKS)
    return [
        Case(
            f"cif {name}",
            ("study.yaml", "materials.X", "x.cif"),
            {"study.yaml": good, "x.cif": body},
        )
        for name, body in bodies.items()
    ] + [
        study_case(f"cif: {path}", changed(("materials", "X", "cif"), path), "materials.X")
        for path in (
            "gone.cif",
            ".",
            "/",
            "/dev/zero",
            "/dev/null",
            "../x.cif",
            "study.yaml",
            "x.cif\0",
            "pipe",
            "~/x.cif",
            "$HOME/x.cif",
            "https://example.org/x.cif",
        )
    ]


def ready_made() -> list[Case]:
    """Interfaces made elsewhere that cannot be used."""
    base: dict[str, Any] = {
        "name": "r",
        "interfaces": [
            {"film": "Ag", "substrate": "Au", "structure": "i.xyz", "film_atoms": [2, 3]}
        ],
    }

    def case(name: str, body: str | bytes = XYZ, *parts: str, **changes: Any) -> Case:
        study = copy.deepcopy(base)
        study["interfaces"][0] |= changes
        study["interfaces"][0] = {k: v for k, v in study["interfaces"][0].items() if v is not None}
        files = {"study.yaml": dump(study), "i.xyz": body, "i.xyz.gz": b"\x1f\x8b"}
        return Case(f"structure {name}", ("study.yaml", "interfaces", *parts), files)

    def under(name: str, body: bytes) -> Case:
        made = case(f"as {name}", structure=name)
        return replace(made, files={**made.files, name: body})

    moved = {"nan": "nan", "inf": "inf", "word": "far"}
    entities = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a0 "x">{entities}]><modeling>&a11;'
    return [
        case("gone", structure="gone.xyz"),
        case("folder", structure="."),
        case("device", structure="/dev/zero"),
        case("packed", structure="i.xyz.gz"),
        case("with @", structure="i.xyz@:"),
        case("postgres", structure="postgresql://h/d"),
        case("empty", ""),
        case("words", "no atoms\n"),
        case("binary", bytes(range(256))),
        case("no cell", "2\n\nAu 0 0 0\nAg 0 0 3\n", film_atoms=[1]),
        case("short", XYZ[:-12]),
        case("flat", XYZ.replace("0 0 20", "0 0 0")),
        case("nan cell", XYZ.replace("0 0 20", "0 0 nan")),
        case("tilted", XYZ.replace("3 0 0 0 3", "3 0 1 0 3")),
        case("element", XYZ.replace("Ag", "Qq")),
        *(case(f"position {k}", XYZ.replace("0 0 7", f"0 0 {v}")) for k, v in moved.items()),
        case("same place", XYZ.replace("0 0 7", "0 0 5")),
        case("upside down", film_atoms=[0, 1]),
        case("all film", film_atoms=[0, 1, 2, 3]),
        case("no film", film_atoms=[]),
        case("unknown atom", film_atoms=[4]),
        case("negative", film_atoms=[-1]),
        case("twice", film_atoms=[2, 2]),
        case("text", film_atoms="all"),
        case("fraction", film_atoms=[1.5]),
        case("no film_atoms", film_atoms=None),
        case("no structure", structure=None),
        case("of 10^9 atoms", XYZ.replace("4\n", "1000000000\n", 1)),
        case("of 10^30 atoms", XYZ.replace("4\n", f"1{'0' * 30}\n", 1)),
        case("of -1 atoms", XYZ.replace("4\n", "-1\n", 1)),
        case("of 10^8 columns", XYZ.replace("R:3", "R:100000000")),
        case("8 numbers", XYZ.replace("0 0 20", "0 20")),
        case("inf cell", XYZ.replace("0 0 20", "0 0 inf")),
        case("tiny cell", XYZ.replace('"3 0 0 0 3', '".1 0 0 0 .1')),
        case("images overlap", XYZ.replace("0 0 20", "0 0 7")),
        case("film called Cu", film="Cu"),
        case("substrate called NZSP", substrate="NZSP"),
        case("with a candidate", candidate=2),
        case("with a termination", film={"material": "Ag", "termination": "Ag"}),
        case("yes", film_atoms=[True, 2]),
        case("15000 film atoms", film_atoms=list(range(15_000))),
        case("of no element", XYZ.replace("Ag", "X")),
        *(
            under(name, body)
            for name, body in {
                "i.pkl": b"cos\nsystem\n(S'touch owned'\ntR.",
                "i.py": b"import os\nos.system('touch owned')\n",
                "i.db": b"SQLite format 3\0",
                "i.traj": b"- of UlmASE-Trajectory",
                "i.json": b'{"1": {"numbers": 3}}',
                "vasprun.xml": bomb.encode(),
            }.items()
        ),
    ]


def machines() -> list[Case]:
    """Machine files."""
    bodies: dict[str, str | bytes] = {
        "empty": "",
        "list": "- 1\n",
        "typo": "worker: 2\n",
        "zero": "workers: 0\n",
        "many": "workers: 10000000\n",
        "half": "workers: 1.5\n",
        "text": "workers: two\n",
        "nan": "workers: .nan\n",
        "threads": "threads: -1\n",
        "threads list": "threads: [1]\n",
        "allow text": "allow_calculators: a.B\n",
        "allow number": "allow_calculators: [3]\n",
        "python": "workers: !!python/object/apply:os.getpid []\n",
        "binary": bytes(range(256)),
        "twice": "workers: 1\nworkers: 2\n",
        "bomb": "a: &a [x]\n" + "b: [" + "*a, " * 30000 + "]",
        "engine list": "engine: [slurm]\n",
        "engine pbs": "engine: pbs\n",
        "cores yes": "resource_dict: {cores: yes}\n",
        "memory text": "resource_dict: {memory_max: 16G}\n",
        "memory 1e300": "resource_dict: {memory_max: 1.0e300}\n",
        "memory 1e-300": "resource_dict: {memory_max: 1.0e-300}\n",
        "walltime text": "resource_dict: {run_time_max: 24h}\n",
        "walltime -1": "resource_dict: {run_time_max: -1}\n",
        "partition shell": "resource_dict: {partition: a;touch owned}\n",
        "partition option": "resource_dict: {partition: --uid=0}\n",
        "partition lines": 'resource_dict: {partition: "a\\n#SBATCH --uid=0"}\n',
        "sbatch list": "sbatch: [exclusive]\n",
        "sbatch wrap": "sbatch: {wrap: x}\n",
        **{
            f"sbatch {word}": f"sbatch: {{{word}: 5}}\n"
            for word in (
                "time",
                "mem",
                "ntasks",
                "nodes",
                "partition",
                "account",
                "qos",
                "cpus-per-task",
            )
        },
        "sbatch nothing": "sbatch: {comment: null}\n",
        "sbatch half": "sbatch: {nice: 1.5}\n",
        "setup text": "setup: module load x\n",
        "setup mapping": "setup: [{module: x}]\n",
        "launcher text": "launcher: mpiexec -n {cores}\n",
        "launcher typo": "launcher: [mpiexec, -n, '{core}']\n",
        "launcher format": "launcher: [mpiexec, -n, '{cores.__class__}']\n",
        "launcher blank": "launcher: ['']\n",
        "roles typo": "roles: {slabs: {cores: 1}}\n",
        "roles list": "roles: [slab]\n",
        "no jobs": "max_jobs: 0\n",
        "patience inf": "queue_patience_s: .inf\n",
        "factor 1e300": "walltime_factor: 1.0e300\n",
        "project path": "remote: {project: ../x}\n",
        "remote list": "remote: {resources: [1]}\n",
        "wrong bool": "engine: !!bool x\n",
    }
    arguments = (*RUN, "--machine", "machine.yaml")
    return [
        Case(
            f"machine {name}", ("machine.yaml",), {**good_files(), "machine.yaml": body}, arguments
        )
        for name, body in bodies.items()
    ]


def settings() -> list[Case]:
    """jobflow settings files."""
    store = "JOB_STORE:\n  docs_store:\n    type: "
    bodies: dict[str, str | bytes] = {
        "empty": "",
        "other": "A: 1\n",
        "null": "JOB_STORE:\n",
        "text": "JOB_STORE: memory\n",
        "no type": "JOB_STORE:\n  docs_store: {path: x}\n",
        "memory": store + "MemoryStore\n",
        "unknown": store + "MongoStre\n",
        "path": store + "os.system\n",
        "missing": store + "JSONStore\n",
        "host": store + "MongoStore\n",
        "python": "JOB_STORE: !!python/object/apply:os.getcwd []\n",
        "binary": bytes(range(256)),
        "list": "JOB_STORE: [1]\n",
        "types": "JOB_STORE: {docs_store: {type: [a]}}\n",
        "class": "JOB_STORE: {docs_store: {'@module': os, '@class': system, type: x}}\n",
        "only read": store + "JSONStore\n    paths: {a.json: 1}\n",
        "files": store + "FileStore\n    path: .\n",
        "uri": store + "MongoURIStore\n    uri: 'mongodb://'\n    collection_name: x\n",
        "more": store + "JSONStore\n    paths: s.json\n    read_only: false\n    nonsense: 1\n",
        "additional": store + "JSONStore\n    paths: s.json\n    read_only: false\n"
        "  additional_stores: {x: {type: Nope}}\n",
    }
    arguments = (*RUN, "--jobstore", "jobflow.yaml")
    return [
        Case(
            f"settings {name}", ("jobflow.yaml",), {**good_files(), "jobflow.yaml": body}, arguments
        )
        for name, body in bodies.items()
    ]


def lines() -> list[Case]:
    """Command lines about a good study."""
    more: dict[str, tuple[str, ...]] = {
        "--level": ("--level", "smok"),
        "--only": ("--only", "Ag/Y"),
        "--workers": ("--workers", "0"),
        "--machine": ("--machine", "gone.yaml"),
        "--jobstore": ("--jobstore", "gone.yaml"),
        "--store": ("--store", "study.yaml"),
        "--stores": ("--stores", "a"),
    }
    words = {
        "--level": "smok",
        "--only": "Ag/Y",
        "--machine": "gone.yaml",
        "--jobstore": "gone.yaml",
    }
    cases = [
        Case(f"line {name}", (words.get(name, name),), good_files(), (*RUN, *arguments))
        for name, arguments in more.items()
    ]
    for name in ("gone.yaml", ".", "pipe", "/dev/null", "\0", "a" * 5000):
        cases.append(Case(f"study {name[:9]!r}", (), good_files(), ("run", name, *RUN[2:])))
    return cases


def everything() -> list[Case]:
    return [
        *wrong_types(),
        *typos(),
        *names(),
        *beyond(),
        *texts(),
        *crystals(),
        *ready_made(),
        *machines(),
        *settings(),
        *lines(),
    ]
