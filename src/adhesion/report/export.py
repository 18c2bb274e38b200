"""What others can use: structures with energies, data packages, methods and BibTeX."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from adhesion.errors import InputError
from adhesion.report.bibliography import to_latex
from adhesion.report.curves import works_by_registry
from adhesion.report.drawing import write_bytes
from adhesion.report.gallery import slugs
from adhesion.report.methods import methods
from adhesion.report.names import SHOWN
from adhesion.report.records import as_csv, as_json, fields_of, harmless
from adhesion.report.studies import as_list
from adhesion.report.tables import render
from adhesion.schemas import (
    BulkDocument,
    CalculationDocument,
    CurveDocument,
    InterfaceDocument,
    SlabDocument,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from adhesion.report.collect import Case
    from adhesion.report.studies import Studies

Records = list[dict[str, Any]]

FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "curves": {
        "interface": ("string", "As in interfaces.csv."),
        "level": ("string", "Level of theory."),
        "registry_u": ("number", "Film shift along the first vector of the common cell, fraction."),
        "registry_v": ("number", "Film shift along the second vector, fraction."),
        "gap_A": ("number", "Lowest film atom minus highest substrate atom, Å."),
        "energy_eV": ("number", "Total energy, eV."),
        "W_J_m2": ("number", "Energy of the sides apart less this one, per area, J/m2."),
    },
    "ladders": {
        "interface": ("string", "As in interfaces.csv."),
        "level": ("string", "Level of theory."),
        "parameter": ("string", "Which setting was raised."),
        "value": ("string", "To what: layers, k-points, eV or Å."),
        "W_J_m2": ("number", "W at the gap and registry of the level's own curve, J/m2."),
        "step_J_m2": ("number", "Less W of the rung before, J/m2."),
    },
    "calculations": {
        "hash": ("string", "Of the recipe; the name of the result."),
        "label": ("string", "For people."),
        "interface": ("string", "As in interfaces.csv."),
        "level": ("string", "Level of theory."),
        "role": ("string", "In the interface: bulk_film, film_slab, curve, interface, …"),
        "status": ("string", "done, unconverged or failed."),
        "reason": ("string", "Why it is not done."),
        "calculator": ("string", "Name and resolved settings, JSON."),
        "versions": ("string", "Codes and datasets."),
        "cpu_seconds": ("number", "CPU time, s."),
    },
}
"""Table to field to its type and meaning."""


def write_export(cases: list[Case], studies: Studies, folder: Path) -> list[Path]:
    """Write everything for others into a folder; see `export_files`.

    Raises
    ------
    SetupError
        If a file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError("is a file, not a folder", where=str(folder))
    written = []
    for name, data in export_files(cases, studies).items():
        path = folder / name
        write_bytes(path, data)
        written.append(path)
    return written


def export_files(cases: list[Case], studies: Studies) -> dict[str, bytes]:
    """Return the exported files by their path in the folder; the same data, the same bytes.

    Structures as CIF and extended XYZ (energy in eV, hash of the calculation), tables as CSV
    described by ``datapackage.json``, the tables as text and LaTeX, the methods as Markdown
    and LaTeX, ``references.bib``.
    """
    rows = [case.row for case in cases]
    files: dict[str, str] = {"table.txt": render(rows, studies, "table", SHOWN)}
    files["table.tex"] = render(rows, studies, "latex", SHOWN)
    files["paper.tex"] = render(rows, studies, "latex", ("paper",))
    files["data/interfaces.csv"] = as_csv(rows)
    files["data/interfaces.json"] = as_json(rows)
    tables = {"curves": _curves(cases), "ladders": _ladders(cases), "calculations": _done(cases)}
    for name, records in tables.items():
        files[f"data/{name}.csv"] = _as_csv(list(FIELDS[name]), records)
    files["datapackage.json"] = _datapackage(cases, studies)
    text, cited = methods(cases, studies)
    files["methods.md"] = text
    files["methods.tex"] = to_latex(text)
    files["references.bib"] = cited.text()
    return {name: text.encode() for name, text in files.items()} | structure_files(cases)


def structure_files(cases: list[Case]) -> dict[str, bytes]:
    """Return every computed geometry as CIF and extended XYZ, shared ones once."""
    files: dict[str, bytes] = {}
    seen: set[str] = set()
    for case, slug in zip(cases, slugs(cases), strict=True):
        for role, document in case.documents.items():
            atoms = atoms_of(document)
            if atoms is None or document.hash in seen:
                continue
            seen.add(document.hash)
            name = f"structures/{slug}-{role.replace('_', '-')}"
            buffer, text = io.BytesIO(), io.StringIO()
            # A CIF knows no missing period: the vacuum belongs to its cell.
            write(buffer, atoms, format="cif")
            write(text, atoms, format="extxyz")
            files[f"{name}.cif"] = buffer.getvalue()
            files[f"{name}.xyz"] = text.getvalue().encode()
    return files


def atoms_of(document: CalculationDocument) -> Atoms | None:
    """Return the geometry of a finished calculation with its energy, eV, where it has one."""
    if document.status != "done" or getattr(document, "geometry", None) is None:
        return None
    assert isinstance(document, BulkDocument | SlabDocument | CurveDocument | InterfaceDocument)
    assert document.geometry is not None
    atoms = document.geometry.to_ase()
    atoms.info = {
        "label": document.label,
        "hash": document.hash,
        "calculator": str(document.recipe.calculator.get("name", "")),
        "functional": str(document.recipe.calculator.get("functional", "")),
    }
    energy = _energy(document)
    if energy is not None:
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    if isinstance(document, CurveDocument | InterfaceDocument):
        film = set(document.film_indices)
        atoms.set_tags([1 if i in film else 0 for i in range(len(atoms))])
    return atoms


def _energy(document: CalculationDocument) -> float | None:
    if isinstance(document, CurveDocument) and document.points:
        return min(p.energy.energy_eV for p in document.points)
    if isinstance(document, InterfaceDocument):
        return document.interface.energy_eV if document.interface else None
    if isinstance(document, BulkDocument | SlabDocument):
        return document.energy_eV
    return None


def _curves(cases: list[Case]) -> Records:
    records = []
    for case in cases:
        if case.curve is None:
            continue
        energies = {(p.registry, p.gap_A): p.energy.energy_eV for p in case.curve.points}
        for registry, points in sorted(works_by_registry(case.curve).items()):
            for gap, W in points:
                records.append(
                    {
                        **_of(case),
                        "registry_u": f"{registry[0]:.6f}",
                        "registry_v": f"{registry[1]:.6f}",
                        "gap_A": f"{gap:.4f}",
                        "energy_eV": f"{energies[registry, gap]:.6f}",
                        "W_J_m2": f"{W:.5f}",
                    }
                )
    return records


def _of(case: Case) -> dict[str, Any]:
    return {"interface": case.row.interface, "level": case.row.level}


def _ladders(cases: list[Case]) -> Records:
    from adhesion.convergence import shown

    records = []
    for case in cases:
        if case.ladder is None:
            continue
        for parameter, foot in case.ladder.foot.items():
            steps: list[tuple[Any, float | None, float | None]]
            steps = [(foot, case.ladder.W_J_m2, None)]
            steps += [(r.value, r.W_J_m2, r.step_J_m2) for r in case.ladder.of(parameter)]
            for value, W, step in steps:
                records.append(
                    {
                        **_of(case),
                        "parameter": parameter,
                        "value": shown(parameter, value),
                        "W_J_m2": "" if W is None else f"{W:.5f}",
                        "step_J_m2": "" if step is None else f"{step:.5f}",
                    }
                )
    return records


def _done(cases: list[Case]) -> Records:
    return [
        {
            "hash": document.hash,
            "label": document.label,
            **_of(case),
            "role": role,
            "status": document.status,
            "reason": document.reason,
            "calculator": json.dumps(document.recipe.calculator, sort_keys=True),
            "versions": "; ".join(f"{n} {v}" for n, v in sorted(document.versions.items())),
            "cpu_seconds": f"{document.cpu_seconds:.1f}",
        }
        for case in cases
        for role, document in case.documents.items()
    ]


def _as_csv(names: list[str], records: Records) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: harmless(str(v)) for k, v in r.items()} for r in records)
    return text.getvalue()


def _datapackage(cases: list[Case], studies: Studies) -> str:
    listed = as_list(studies)
    fields = {
        "interfaces": fields_of([case.row for case in cases]),
        **{
            table: [
                {"name": name, "type": kind, "description": meaning}
                for name, (kind, meaning) in columns.items()
            ]
            for table, columns in FIELDS.items()
        },
    }
    package = {
        "name": "-".join(study.name.lower().replace("_", "-") for study in listed),
        "title": "; ".join(study.title or study.name for study in listed),
        "profile": "tabular-data-package",
        "resources": [
            {
                "name": table,
                "path": f"data/{table}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": {"fields": columns, "missingValues": [""]},
            }
            for table, columns in fields.items()
        ],
    }
    return json.dumps(package, indent=1, ensure_ascii=False) + "\n"
