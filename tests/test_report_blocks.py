"""Tables besides the first: energetics, errors, angles, the paper's layout; several studies."""

from __future__ import annotations

import csv
import io
import json

import pytest

from adhesion import cli
from adhesion.report.angles import comparison, tensions_of
from adhesion.report.layout import Column, Table, as_latex
from adhesion.report.names import FORMATS, NAMES
from adhesion.report.studies import in_order, names, spec_of
from adhesion.report.tables import TABLES, render, tables_of
from adhesion.schemas import ContactAngle, Formation
from adhesion.study import Study
from test_rows import SAMPLES, STUDY, TENSIONS, make_input, make_row, proxy_row

OTHER = STUDY.model_copy(update={"name": "other"})


@pytest.fixture(scope="module")
def rows():
    return [make_row(make_input(name), TENSIONS) for name in SAMPLES]


def line_of(text, start):
    return next(line for line in text.splitlines() if line.startswith(start)).split()


def with_fields(row, **fields):
    return row.model_copy(update=fields)


def test_energetics_show_what_is_known_and_say_why_the_rest_is_not(rows):
    changed = [
        with_fields(
            rows[0],
            gamma_film_strained_J_m2=0.221, gamma_int_J_m2=-0.004, strain_energy_film_J_m2=0.05,
            max_displacement_A=1.5, layers_crossed=2, purely_adhesive=False,
        ),
        with_fields(rows[1], not_computed={"gamma_film_strained_J_m2": "no ladder"}),
    ]  # fmt: skip
    text = render(changed, STUDY, "table", ("energetics",))
    assert "g_film" in text
    assert "0.22" in line_of(text, changed[0].interface)
    assert "-0.00" not in text
    assert "intermixed, 2 layers" in text
    assert "W not purely adhesive" in text.replace("\n", " ")
    assert f"No g_film of {changed[1].interface}: no ladder." in text
    header = next(line for line in text.splitlines() if line.startswith("interface"))
    assert "e_film" in header.split()
    assert "e_sub" not in header.split()


def test_errors_have_a_column_each_and_a_dash_where_none_is_known(rows):
    changed = [with_fields(rows[0], error_kpoints_J_m2=0.0123, W_ad_error_J_m2=0.02), rows[1]]
    text = render(changed, STUDY, "table", ("errors",))
    assert "0.012" in line_of(text, changed[0].interface)
    assert line_of(text, changed[0].interface)[-1] == "0.020"
    assert line_of(text, changed[1].interface)[-1] == "-"


def test_angles_are_compared_with_those_measured(rows):
    tension = tensions_of(rows)[0]
    found = comparison(rows, tension)
    expected = [
        abs(tension.angle_of(row).theta_deg - row.theta_measured_deg) for row in rows
    ]  # fmt: skip
    assert found.mean_absolute_deviation_deg == pytest.approx(sum(expected) / 4)
    # The paper's own W with its own tension: 90.5, 121.6, 41.9 and 133.1 degrees.
    assert comparison(rows, tension, published=True).mean_absolute_deviation_deg == pytest.approx(
        (18.0 + 8.8 + 41.9 + 8.9) / 4, abs=0.1
    )
    text = render(rows, STUDY, "table", ("angles",)).replace("\n    ", " ")
    assert f"Mean absolute deviation {found.mean_absolute_deviation_deg:.1f} over 4" in text
    assert "rank correlation" in text


def test_cells_say_what_was_computed(rows):
    row = with_fields(
        rows[0], termination="Pb", film_layers=4, substrate_layers=3, n_atoms=31, area_A2=64.54,
        film_strain_percent=(-4.3, 1.26), n_gaps=5, fmax_start_eV_A=1.14,
        fmax_eV_A=0.0499, n_candidates=2,
    )  # fmt: skip
    empty = with_fields(rows[1], area_A2=None, fmax_start_eV_A=None, fmax_eV_A=None)
    text = render([row, empty], STUDY, "table", ("cells",))
    told = line_of(text, row.interface)
    assert told[1:] == [
        row.level,
        "Pb",
        "4",
        "3",
        "31",
        "64.5",
        "-4.3",
        "/",
        "+1.3",
        "5",
        "1.14",
        "to",
        "0.050",
        "2",
    ]
    assert "-" in line_of(text, empty.interface)


def test_alloys_stand_beside_w_or_the_reason_why_not(rows):
    formed = Formation(
        reaction="15 Na + 4 Pb -> Na15Pb4", per_formula_eV=-2.845, per_atom_eV=-0.1497,
        per_film_atom_eV=-0.1897, per_area_J_m2=-0.904, source="somewhere (recalled)",
        notes=["structure as given"],
    )  # fmt: skip
    missing = Formation(reaction="Na + 3 Pb -> NaPb3", source="x", reason="NaPb3 is not computed")
    changed = [with_fields(rows[0], alloys=[formed, missing]), rows[1]]
    text = render(changed, STUDY, "table", ("alloys",))
    lines = [line for line in text.splitlines() if line.startswith(changed[0].interface)]
    assert lines[0].split()[-4:] == ["-2.85", "-0.150", "-0.190", "-0.90"]
    assert lines[1].split()[-4:] == ["-"] * 4
    assert "No energy of Na + 3 Pb -> NaPb3: NaPb3 is not computed: adhesion alloys" in text
    assert "Na15Pb4: somewhere (recalled); structure as given." in text
    assert rows[1].interface not in text
    assert "alloys" not in tables_of(rows, STUDY)
    first, second = csv.DictReader(io.StringIO(render(changed, STUDY, "csv")))
    assert float(first["alloy_1_per_formula_eV"]) == -2.845
    assert first["alloy_2_per_atom_eV"] == second["alloy_1_reaction"] == ""
    assert json.loads(render(changed, STUDY, "json"))[0]["alloys"][1]["reason"]


def test_the_films_own_tension_is_one_column_whatever_its_value(rows):
    def own(gamma):
        return ContactAngle(
            sigma_J_m2=gamma, sigma_source=f"gamma {gamma}", theta_deg=50.0, regime="partial",
            from_quantity="W_ad", sigma_name="own",
        )  # fmt: skip

    changed = [with_fields(rows[0], contact_angles=[own(0.21)])]
    changed += [with_fields(rows[1], contact_angles=[own(0.23)])]
    assert [t.sigma_J_m2 for t in tensions_of(changed)] == [None]
    text = render(changed, STUDY, "table")
    assert "th(b)" not in text
    assert "0.2100 for" in text
    assert "0.2300 for" in text


def test_paper_layout_has_its_columns_and_marks_a_bound(rows):
    curve_only = make_row(make_input("C", "quick"), TENSIONS)
    text = render([rows[0], curve_only], STUDY, "table", ("paper",))
    header = next(line for line in text.splitlines() if line.startswith("interface"))
    assert header.split() == ["interface", "this", "work", "paper", "th(a)", "th(b)", "meas."]
    assert line_of(text, curve_only.interface)[1] == "0.11*"
    assert "* W_curve, a lower bound" in text
    assert "S[table-format" in render(rows, STUDY, "latex", ("paper",))


def test_empty_tables_are_left_out_but_never_the_first():
    proxies = [proxy_row("Pb")]
    assert "angles" not in tables_of(proxies, STUDY)
    assert list(tables_of([], STUDY)) == ["work"]


def test_several_studies_stand_in_one_table_in_their_order(rows):
    named = [with_fields(r, study="four") for r in rows[:2]]
    named += [with_fields(r, study="other", W_ad_J_m2=0.01) for r in rows[1::-1]]
    text = render(named[::-1], [STUDY, OTHER], "table")
    body = [line for line in text.splitlines() if line.startswith("Na(001)/")]
    assert [line.split()[1] for line in body] == ["four", "four", "other", "other"]
    assert in_order(named[::-1], [OTHER, STUDY])[0].study == "other"
    for format in FORMATS:
        assert render(named, [STUDY, OTHER], format) == render(named[::-1], [STUDY, OTHER], format)
    assert {r["study"] for r in json.loads(render(named, [STUDY, OTHER], "json"))} == (
        {"four", "other"}
    )


def test_studies_of_one_name_are_told_apart(rows):
    twins = [
        STUDY,
        Study.model_validate({"name": "four", "interfaces": [{"film": "Ag", "substrate": "Au"}]}),
    ]
    assert len(set(names([STUDY, OTHER]))) == 2
    assert all(name.startswith("four (") for name in names(twins))
    assert spec_of(rows[0], OTHER).label == rows[0].interface


def test_a_heading_is_explained_under_its_latex_name():
    table = Table("", "W", [Column("W_x", "$W_x$", ["1.0"])], ["W_x: a thing.", "other: 5 %."])
    text = as_latex(table)
    assert r"$W_x$: a thing.\\" in text
    assert r"other: 5 \%.\\" in text


TWO = """\
name: {name}
interfaces:
  - {{film: {film}, substrate: {substrate}}}
"""


@pytest.fixture
def studies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, film, substrate in (("one", "Ag", "Au"), ("two", "Cu", "Ni")):
        (tmp_path / f"{name}.yaml").write_text(
            TWO.format(name=name, film=film, substrate=substrate)
        )
    return "one.yaml", "two.yaml"


def test_report_takes_several_studies(studies, capsys):
    status = cli.main(["report", *studies, "--level", "smoke", "--format", "json"])
    rows = json.loads(capsys.readouterr().out)
    assert status == 3
    assert [(r["study"], r["interface"]) for r in rows] == (
        [("one", "Ag(001)/Au(001)"), ("two", "Cu(001)/Ni(001)")]
    )
    cli.main(["report", *studies, "--level", "smoke", "--only", "Cu/Ni", "--format", "json"])
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert cli.main(["report", *studies, "--level", "smoke", "--only", "Cu/No"]) == 2
    assert "Cu/No" in capsys.readouterr().err


def test_report_advises_each_study_by_its_file(studies, capsys):
    cli.main(["report", *studies, "--level", "smoke"])
    out = capsys.readouterr().out.replace("\n    ", " ")
    for file, only in zip(studies, ("Ag/Au", "Cu/Ni"), strict=True):
        assert f"adhesion run {file} --level smoke --only {only}" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--table", "wrk"), "'work'"),
        (("--figures", "figures"), "nothing was computed"),
        (("--export", "one.yaml"), "not a folder"),
    ],
)
def test_wrong_options_are_told(studies, capsys, arguments, said):
    assert cli.main(["report", "one.yaml", "--level", "smoke", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_every_table_has_its_name_and_no_other():
    assert set(TABLES) == set(NAMES)
