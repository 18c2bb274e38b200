from __future__ import annotations

import csv
import io
import json
import re

import bibtexparser
import pytest
from ase.io import read

from adhesion.errors import InputError
from adhesion.report.bibliography import Bibliography, known, to_latex
from adhesion.report.export import FIELDS, export_files, write_export
from adhesion.report.methods import methods
from adhesion.report.records import fields_of, harmless
from report_cases import NASTY, emt_case, emt_study, nasty_case


@pytest.fixture(scope="module")
def cases(emt):
    return [emt_case(emt), nasty_case(emt)]


@pytest.fixture(scope="module")
def files(cases):
    return export_files(cases, emt_study())


def table(files, name):
    return list(csv.DictReader(io.StringIO(files[f"data/{name}.csv"].decode())))


def test_structures_carry_their_energy_and_come_back_the_same(cases, files, tmp_path):
    (tmp_path / "a.xyz").write_bytes(files["structures/ag001-au001-interface.xyz"])
    (tmp_path / "a.cif").write_bytes(files["structures/ag001-au001-interface.cif"])
    document = cases[0].documents["interface"]
    for name in ("a.xyz", "a.cif"):
        atoms = read(tmp_path / name)
        assert atoms.get_chemical_formula() == document.geometry.to_ase().get_chemical_formula()
        assert atoms.cell.cellpar() == pytest.approx(document.geometry.to_ase().cell.cellpar())
    atoms = read(tmp_path / "a.xyz")
    assert atoms.get_potential_energy() == pytest.approx(document.interface.energy_eV)
    assert atoms.info["hash"] == document.hash
    assert set(atoms.get_tags()) == {0, 1}
    assert sum(atoms.get_tags()) == len(document.film_indices)


def test_shared_calculations_are_exported_once(files):
    assert sum(name.endswith("bulk-film.cif") for name in files) == 1


def test_tables_are_those_that_the_package_describes(cases, files):
    package = json.loads(files["datapackage.json"])
    assert {r["name"] for r in package["resources"]} == {"interfaces", *FIELDS}
    assert re.fullmatch(r"[a-z0-9._/-]+", package["name"])
    for resource in package["resources"]:
        header = files[resource["path"]].decode().splitlines()[0]
        assert header.split(",") == [f["name"] for f in resource["schema"]["fields"]]
        assert {f["type"] for f in resource["schema"]["fields"]} <= {
            "string", "number", "integer", "boolean",
        }  # fmt: skip
    curve = table(files, "curves")
    best = max(float(r["W_J_m2"]) for r in curve if r["interface"] == "Ag(001)/Au(001)")
    assert best == pytest.approx(cases[0].row.W_curve_J_m2, abs=1e-5)
    assert [r["value"] for r in table(files, "ladders") if r["parameter"] == "cutoff"] == (
        ["340 eV", "408 eV"]
    )
    assert {r["role"] for r in table(files, "calculations")} == set(cases[0].documents)


def test_numbers_are_numbers_in_the_schema(cases):
    types = {f["name"]: f["type"] for f in fields_of([cases[0].row])}
    assert types["W_ad_J_m2"] == types["film_strain_2_percent"] == types["angle_1_theta_deg"]
    assert types["W_ad_J_m2"] == "number"
    assert (types["n_atoms"], types["proxy"], types["interface"]) == (
        ("integer", "boolean", "string")
    )
    assert types["not_computed"] == "string"


@pytest.mark.parametrize(("text", "safe"), [("=1+1", "'=1+1"), ("-0.5", "-0.5"), ("@x", "'@x")])
def test_no_text_is_a_formula(text, safe):
    assert harmless(text) == safe


def test_every_citation_has_an_entry_that_a_parser_reads(files):
    text = files["methods.md"].decode()
    cited = set(re.findall(r"@([\w-]+)", text))
    entries = {e["ID"] for e in bibtexparser.loads(files["references.bib"].decode()).entries}
    assert cited == entries
    assert {"emt", "ase", "uber", "jobflow", "pymatgen", "young"} <= entries
    assert "gpaw" not in entries
    commands = re.findall(r"\\cite\{([^}]*)\}", files["methods.tex"].decode())
    assert {key for command in commands for key in command.split(",")} == cited


def test_methods_name_the_resolved_settings(cases):
    text, _ = methods(cases[:1], emt_study())
    row = cases[0].row
    assert "effective medium theory" in text
    assert f"{row.area_A2:.1f} Å², {row.n_atoms} atoms" in text
    assert "forces fell below 0.001 eV/Å" in text
    assert "0.9000 J/m2 (source of 0.9)" in text
    assert methods([], emt_study())[0].startswith("Nothing has been computed")


def test_all_known_entries_can_be_found():
    parsed = bibtexparser.loads("\n".join(known().values())).entries
    assert len(parsed) == len(known())
    assert all({"author", "year"} <= set(entry) for entry in parsed)
    assert all("title" in entry or "journal" in entry for entry in parsed)


def test_sources_in_words_become_one_entry_each():
    cited = Bibliography()
    first = cited.cite_source("A & B, J. Chem. 5_1 (2001), doi 10.1000/xyz.")
    assert cited.cite_source("A & B, J. Chem. 5_1 (2001), doi 10.1000/xyz.") == first
    assert cited.cite_source("GPAW paper, 10.1063/5.0182685") == "[@gpaw]"
    assert cited.cite_source("Fink & Leibowitz, ANL/RE-95/2 (1995), 393 K") == "[@fink-leibowitz]"
    (entry, *_) = bibtexparser.loads(cited.text()).entries
    assert entry["doi"] == "10.1000/xyz"
    assert r"A \& B" in entry["note"]


@pytest.mark.parametrize(
    ("source", "citation"),
    [
        ("Chem. Sci. 2022, 13, 14132, citing Chem. Mater. 2020, 32, 3970", "[@li-2022; @gao-2020]"),
        ("Chem. Sci. 2022, 13, 14132, doi 10.1039/D2SC05120F", "[@li-2022]"),
        ("COD 9008545 (Wyckoff 1963)", "[@cod-9008545-wyckoff-1963]"),
        ("computed surface energy of solid Na(001), 0 K", ""),
        ("CIF mine.cif", ""),
    ],
)
def test_only_publications_are_cited_and_each_once(source, citation):
    cited = Bibliography()
    assert cited.cite_source(source) == citation
    assert [e["ID"] for e in bibtexparser.loads(cited.text()).entries] == (
        re.findall(r"@([\w-]+)", citation)
    )


def test_latex_of_the_methods_escapes_what_is_no_citation():
    said = "5 % of W_ad − x_1 [@a; @b-c] & more\n\nsigma >= 2 J/m2"
    first, second = to_latex(said).split("\n\n")
    assert first == r"5 \% of $W_\mathrm{ad}$ $-$ x\_1 \cite{a,b-c} \& more"
    assert second == "$\\sigma$ $\\geq$ 2 J\\,m$^{-2}$\n"


def test_export_writes_inside_its_folder_only(cases, tmp_path):
    written = write_export(cases, emt_study(), tmp_path / "out")
    assert all((tmp_path / "out").resolve() in path.resolve().parents for path in written)
    assert len(list(tmp_path.iterdir())) == 1
    again = export_files(cases, emt_study())
    root = tmp_path / "out"
    assert {p.relative_to(root).as_posix(): p.read_bytes() for p in written} == again
    with pytest.raises(InputError, match="not a folder"):
        write_export(cases, emt_study(), written[0])


def test_a_hostile_name_stays_a_name(files):
    assert NASTY in {record["interface"] for record in table(files, "interfaces")}
