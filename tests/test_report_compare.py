from __future__ import annotations

import json

import pytest

from adhesion import cli
from adhesion.report.comparison import Run, compare_runs, comparison_data, comparison_text
from adhesion.report.records import as_json
from test_rows import TENSIONS, make_input, make_row


def row(name="Pb", **changes):
    return make_row(make_input(name), TENSIONS).model_copy(update=changes)


def run(name, *rows, **settings):
    return Run(name, list(rows), {r.interface: settings for r in rows})


def test_every_kind_of_w_is_compared():
    first, second = row(), row(W_ad_J_m2=0.55)
    lines = compare_runs(run("a", first), run("b", second), 0.02)
    steps = {line.quantity: round(line.step_J_m2, 6) for line in lines}
    assert steps == {"W_curve": 0.0, "W_ad": 0.03, "W_rigid": 0.0, "W_D3": 0.0}
    assert [line.good for line in lines] == [True, False, True, True]
    assert all(line.good for line in compare_runs(run("a", first), run("b", second), 0.03))


def test_what_one_side_lacks_is_missing_not_equal():
    lines = compare_runs(run("a", row()), run("b", row(W_ad_J_m2=None), row("C")), 0.1)
    verdicts = {(line.interface[8:10], line.quantity): line.good for line in lines}
    assert verdicts["Pb", "W_ad"] is None
    assert verdicts["C(", "W_ad"] is None
    assert verdicts["Pb", "W_curve"] is True


def test_the_text_says_what_else_differs():
    first = run("laptop", row(), ecut_eV=340, kpoints=[2, 2, 1])
    second = run("cluster", row(level="production", W_ad_J_m2=0.60), ecut_eV=600, kpoints=[2, 2, 1])
    text = comparison_text(first, second, compare_runs(first, second, 0.02))
    line = next(x for x in text.splitlines() if " W_ad " in x).split()
    assert line[1:] == ["W_ad", "0.520", "0.600", "+0.080", "NO"]
    assert "Differs: level: workstation and production." in text
    assert "Differs: ecut_eV: 340 and 600." in text
    assert "kpoints" not in text
    data = comparison_data(first, second, compare_runs(first, second, 0.02))
    assert data["differences"][1]["agree"] is False
    json.dumps(data, allow_nan=False)


@pytest.fixture
def tables(tmp_path):
    def write(name, *rows):
        path = tmp_path / name
        path.write_text(as_json(list(rows)), encoding="utf-8")
        return str(path)

    return write


def compare(*arguments):
    return cli.main(["compare", *arguments])


def test_exit_status_follows_the_verdicts(tables, capsys):
    first = tables("a.json", row(), row("C"))
    assert compare(first, tables("b.json", row(), row("C"))) == 0
    assert compare(first, tables("c.json", row(W_ad_J_m2=0.9), row("C"))) == 1
    assert compare(first, tables("d.json", row())) == 3
    assert compare(first, tables("d.json", row()), "--only", "Na/Pb") == 0
    capsys.readouterr()
    assert compare(first, first, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["differences"]) == 8


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing.json", "no such file"),
        ("study.yaml", "study.yaml@quick"),
        ("archive", "--study"),
        ("missing.yaml@quick", "missing.yaml"),
    ],
)
def test_a_run_that_cannot_be_read_is_told(tables, capsys, name, said):
    assert compare(tables("a.json", row()), name) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_table_of_something_else_is_told(tmp_path, capsys):
    (tmp_path / "x.json").write_text('[{"interface": 3}]')
    assert compare(str(tmp_path / "x.json"), str(tmp_path / "x.json")) == 2
    assert "no table of rows" in capsys.readouterr().err
    (tmp_path / "x.json").write_text("{")
    assert compare(str(tmp_path / "x.json"), str(tmp_path / "x.json")) == 2


def test_tolerance_must_be_a_number_that_limits(tables, capsys):
    first = tables("a.json", row())
    assert compare(first, first, "--tolerance", "-1") == 2
    assert compare(first, first, "--tolerance", "nan") == 2
