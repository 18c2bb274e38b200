from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adhesion.errors import InputError
from adhesion.report.layout import Column, Table, as_latex
from adhesion.report.names import FORMATS
from adhesion.report.tables import in_order, render
from adhesion.schemas import AdhesionRow
from test_rows import SAMPLES, STUDY, TENSIONS, make_input, make_row, proxy_row, without

NASTY = r"=a|b_c%&#${x}~^\*[1],\"q\""


@pytest.fixture(scope="module")
def rows() -> list[AdhesionRow]:
    """Two finished ones, one with its curve only, one without any number."""
    return [
        make_row(make_input("Pb"), TENSIONS),
        make_row(make_input("NZSP"), TENSIONS),
        make_row(without(make_input("C"), "interface"), TENSIONS),
        make_row(without(make_input("Na2CO3"), "curve", "interface"), TENSIONS),
    ]


def line_of(text: str, name: str) -> list[str]:
    return next(line for line in text.splitlines() if line.startswith(f"Na(001)/{name}(")).split()


def test_text_prints_two_decimals_in_the_order_of_the_study(rows):
    text = render(rows, STUDY, "table")
    assert "J/m2" in text.splitlines()[0]
    assert max(len(line) for line in text.splitlines()) <= 100
    assert line_of(text, "Pb")[1:] == (
        ["workstation", "0.48", "0.52", "0.56", "0.70", "0.44", "0.0", "0.0", "0.0", "done", "[1]"]
    )
    places = [text.index(f"Na(001)/{name}(") for name in SAMPLES]
    assert places == sorted(places)


def test_text_gives_a_dash_and_the_reason(rows):
    text = render(rows, STUDY, "table")
    assert line_of(text, "Na2CO3")[2:6] == ["-"] * 4
    assert "[2] Na(001)/Na2CO3(001): not computed yet: binding curve" in text
    assert "nan" not in text.lower().replace("nano", "")
    assert "None" not in text


def test_text_says_where_angles_and_numbers_are_from(rows):
    text = render(rows, STUDY, "table")
    assert line_of(text, "C")[7:9] == ["125.7*", "118.1*"]
    assert "those marked * from W_curve" in text
    assert "th(b): sigma = 0.1984 J/m2, Fink & Leibowitz" in text
    assert "complete wetting, W >= 2 sigma" in text
    assert "at 120 C for Na(001)/Pb(001)" in text.replace("\n    ", " ")
    archived = [row.model_copy(update={"source": "archive"}) for row in rows[:1]]
    assert "From the archive: Na(001)/Pb(001)." in render(archived, STUDY, "table")


def test_angles_all_from_the_curve_need_no_mark():
    row = make_row(make_input("C", "quick"), TENSIONS)
    text = render([row], STUDY, "table")
    assert "*" not in text
    assert "Angles are from W_curve." in text


@pytest.mark.parametrize("format", ["table", "markdown", "latex"])
def test_proxy_table_has_a_banner_and_neither_angles_nor_papers(format):
    text = render([proxy_row("Pb"), proxy_row("C")], STUDY, format)
    assert "PROXY: EMT on other elements" in text
    assert "plumbing only" in text
    for word in ("th(a)", "theta", "paper", "Paper", "meas", "Fink", "Chem. Sci."):
        assert word not in text


def test_proxy_beside_numbers_is_named_in_the_banner(rows):
    text = render([rows[0], proxy_row("C")], STUDY, "table")
    assert "Rows: Na(001)/C(001)." in text.replace("\n", " ")
    assert line_of(text, "C")[6:10] == ["-"] * 4


def test_json_is_the_contract(rows):
    data = json.loads(render(rows, STUDY, "json"))
    assert data == [row.model_dump(mode="json") for row in in_order(rows, STUDY)]
    assert [AdhesionRow.model_validate(item) for item in data] == in_order(rows, STUDY)


def test_csv_holds_every_field(rows):
    records = list(csv.DictReader(io.StringIO(render(rows, STUDY, "csv"))))
    by_name = {r["interface"]: r for r in records}
    lead, carbonate = by_name["Na(001)/Pb(001)"], by_name["Na(001)/Na2CO3(001)"]
    assert lead["W_ad_J_m2"] == "0.5200"
    assert lead["film_strain_2_percent"] == "-2.600"
    assert lead["angle_2_theta_deg"] == "0.00"
    assert by_name["Na(001)/C(001)"]["angle_1_from_quantity"] == "W_curve"
    assert carbonate["W_curve_J_m2"] == carbonate["angle_1_theta_deg"] == ""
    spread = {"contact_angles", "alloys", "film_strain_percent", "substrate_strain_percent"}
    assert set(AdhesionRow.model_fields) - spread <= set(lead)


def test_csv_of_nothing_still_has_its_header():
    header = render([], STUDY, "csv")
    assert header.startswith("interface,status,reason")
    assert header.count("\n") == 1


def test_latex_has_aligned_numbers(rows):
    text = render(rows, STUDY, "latex")
    assert r"\toprule" in text
    assert "S[table-format=3.1]" in text
    body = [line for line in text.splitlines() if line.startswith("    Na(001)")]
    assert len(body) == 4
    assert {line.count("&") for line in body} == {10}
    assert "125.7{$^{*}$}" in text
    assert "{--}" in text
    assert r"Fink \& Leibowitz" in text
    assert "table-space-text-post={$^{*}$}" in text
    assert r"complete wetting, W $\geq$ 2 $\sigma$; none" in text
    assert r"Angles are from $W_\mathrm{ad}$, those marked {*} from $W_\mathrm{curve}$." in text
    known = {"gamma_film_strained_J_m2": 0.2, "gamma_substrate_strained_J_m2": 0.4}
    row = rows[0].model_copy(update=known | {"gamma_int_J_m2": 0.1})
    energetics = render([row, rows[2]], STUDY, "latex", ["energetics"])
    assert r"interface energy, $\gamma_\mathrm{film}$ + $\gamma_\mathrm{sub}$ - W." in energetics


def test_latex_notes_name_columns_by_their_headings():
    notes = ["No gap, W_x of a: a gap.", "gap: how far; W_x is no gap."]
    columns = [Column("gap", "$d$", ["1.00"]), Column("W_x", "$W_x$", ["2.00"])]
    text = as_latex(Table("", "a title", columns, notes))
    assert r"No $d$, $W_x$ of a: a gap.\\" in text
    assert r"$d$: how far; $W_x$ is no gap.\\" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
@pytest.mark.parametrize("options", ["", "[twocolumn]"])
@pytest.mark.parametrize("table", ["work", "paper", "energetics"])
def test_latex_compiles_and_fits_the_page(rows, tmp_path, options, table):
    nasty = rows[0].model_copy(update={"interface": NASTY, "error_film_layers_J_m2": 0.01})
    (tmp_path / "table.tex").write_text(render([*rows, nasty], STUDY, "latex", [table]), "utf-8")
    lines = [rf"\documentclass{options}{{article}}", r"\usepackage{booktabs,graphicx,siunitx}",
             r"\begin{document}", r"\input{table.tex}", r"\end{document}"]  # fmt: skip
    (tmp_path / "paper.tex").write_text("\n".join(lines), "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    said = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, said
    assert "Overfull" not in said


def test_markdown_writes_symbols(rows):
    text = render(rows, STUDY, "markdown", ["work", "angles"])
    assert "Work of adhesion W in J/m², contact angle θ in degrees:" in text
    assert "| θ(a) | θ(b) |" in text
    assert "- Δ(a): θ(a) less the measured angle." in text
    assert "complete wetting, W ≥ 2 σ; none" in text


def test_names_cannot_break_a_format(rows):
    row = rows[0].model_copy(update={"interface": NASTY, "reason": "", "termination": "@now"})
    latex = render([row], STUDY, "latex")
    line = next(line for line in latex.splitlines() if "b\\_c" in line)
    assert r"\%\&\#\$\{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}" in line
    assert len(re.findall(r"(?<!\\)&", line)) == 10
    markdown = render([row], STUDY, "markdown")
    header, cells = (
        next(x for x in markdown.splitlines() if w in x) for w in ("interface", r"b\_")
    )
    assert len(re.findall(r"(?<!\\)\|", cells)) == len(re.findall(r"(?<!\\)\|", header))
    record = next(csv.DictReader(io.StringIO(render([row], STUDY, "csv"))))
    assert record["interface"] == f"'{NASTY}"
    assert record["termination"] == "'@now"


def test_text_shows_no_control_characters(rows):
    row = rows[0].model_copy(update={"interface": "Na\x1b[2J(001)/Pb\n(001)"})
    for format in ("table", "markdown", "latex"):
        assert "\x1b" not in render([row], STUDY, format)
    assert "Na?" in render([row], STUDY, "table")


def test_negative_zero_has_no_sign(rows):
    row = rows[0].model_copy(update={"W_ad_J_m2": -0.001, "W_curve_J_m2": -0.05})
    assert line_of(render([row], STUDY, "table"), "Pb")[2:4] == ["-0.05", "0.00"]
    assert "S[table-format=-1.2]" in render([row], STUDY, "latex")


def test_unknown_format_names_the_nearest():
    with pytest.raises(InputError, match="markdown"):
        render([], STUDY, "markdow")


@pytest.mark.parametrize("format", FORMATS)
def test_same_bytes_whatever_the_order(rows, format):
    text = render(rows, STUDY, format)
    assert render(rows[::-1], STUDY, format) == text
    assert text.endswith("\n")
    assert "\r" not in text


@settings(max_examples=40, deadline=None)
@given(
    name=st.text(min_size=1, max_size=80),
    n_angles=st.integers(0, 6),
    reason=st.text(max_size=200),
)
def test_text_fits_the_terminal(rows, name, n_angles, reason):
    lead = rows[0]
    angles = [
        lead.contact_angles[0].model_copy(update={"sigma_J_m2": 0.1 + 0.01 * i})
        for i in range(n_angles)
    ]
    changes = {"interface": name, "contact_angles": angles, "reason": reason, "status": "failed"}
    text = render([lead.model_copy(update=changes), *rows[1:]], STUDY, "table")
    assert max(len(line) for line in text.split("\n")) <= 100
    for format in FORMATS:
        assert render([lead.model_copy(update=changes)], STUDY, format)
