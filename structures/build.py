"""Write one CIF per crystal of crystals.yaml, and index.yaml with their provenance.

Run it after editing crystals.yaml: ``python structures/build.py``. The files come out the same
byte for byte every time, with the libraries of this environment.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import yaml
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

HERE = Path(__file__).resolve().parent
SYMPREC_A = 1e-3


def crystal(facts: dict[str, Any]) -> Structure:
    """Expand the Wyckoff sites of one entry into its conventional cell."""
    cell = facts["lattice"]
    a = cell["a"]
    hexagonal = facts["space_group"].startswith("P6")
    lattice = Lattice.from_parameters(
        a,
        cell.get("b", a),
        cell.get("c", a),
        cell.get("alpha", 90),
        cell.get("beta", 90),
        cell.get("gamma", 120 if hexagonal else 90),
    )
    pairs = [pair for site in facts["sites"] for pair in site.items()]
    species, coords = zip(*pairs, strict=True)
    return Structure.from_spacegroup(facts["space_group"], lattice, species, coords, tol=1e-4)


def cif_text(name: str, facts: dict[str, Any], structure: Structure) -> str:
    """Symmetry CIF in the setting given, with a fixed header and no date."""
    found = SpacegroupAnalyzer(structure, SYMPREC_A).get_space_group_symbol()
    if found != facts["space_group"]:
        raise SystemExit(f"{name}: space group is {found}, not {facts['space_group']}")
    body = str(CifWriter(structure, symprec=SYMPREC_A, refine_struct=False))
    header = [f"# {name}: {facts['source']}", f"# trust: {facts['trust']}; written by build.py"]
    kept = [line for line in body.splitlines() if not line.startswith("#")]
    return "\n".join([*header, *kept]) + "\n"


def entry(name: str, facts: dict[str, Any], text: str) -> dict[str, Any]:
    """Line of index.yaml: the facts less the coordinates, with the checksum of the file."""
    kept = {key: value for key, value in facts.items() if key not in ("lattice", "sites")}
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return {"file": f"{name}.cif", "name": name, **kept, "sha256": checksum}


def main() -> None:
    """Write all CIF files and the index."""
    crystals = yaml.safe_load((HERE / "crystals.yaml").read_text(encoding="utf-8"))
    index = {}
    for name, facts in crystals.items():
        structure = crystal(facts)
        text = cif_text(name, facts, structure)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it rounds 0.33333333 to 1/3, as wanted
            back = CifParser.from_str(text).parse_structures(primitive=False)[0]
        if len(back) != len(structure) or back.composition != structure.composition:
            raise SystemExit(f"{name}: the CIF does not read back as it was written")
        (HERE / f"{name}.cif").write_text(text, encoding="utf-8")
        index[name] = entry(name, facts, text)
    note = "# Written by build.py from crystals.yaml; do not edit.\n"
    dumped = yaml.safe_dump(index, sort_keys=False, allow_unicode=True, width=100)
    (HERE / "index.yaml").write_text(note + dumped, encoding="utf-8")


if __name__ == "__main__":
    main()
