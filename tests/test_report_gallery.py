from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from adhesion.errors import InputError
from adhesion.report.curves import curve_figure, fit_of, ladder_figure, registry_figure
from adhesion.report.curves import works_by_registry as works
from adhesion.report.drawing import FigureCanvasAgg, rendered, styled
from adhesion.report.figures import angles_figure, cosine_figure, works_figure
from adhesion.report.gallery import draw_all, overall_figures, single_figures, slugs
from adhesion.report.sideviews import side_figure, structure_of
from report_cases import emt_case, emt_study, ladder, nasty_case


@pytest.fixture(scope="module")
def case(emt):
    return emt_case(emt)


@pytest.fixture(scope="module")
def cases(emt, case):
    return [case, nasty_case(emt)]


@pytest.fixture
def style():
    with styled():
        yield


def boxes_of(figure):
    """Boxes of all visible text of a figure, in pixels, with its own box last."""
    FigureCanvasAgg(figure)
    renderer = figure.canvas.get_renderer()
    figure.draw(renderer)
    unseen = {label for axes in figure.axes for label in _ticks_out_of_view(axes)}
    texts = [t for t in figure.findobj(lambda a: hasattr(a, "get_text")) if t.get_visible()]
    found = {
        t.get_text(): t.get_window_extent(renderer)
        for t in texts
        if t.get_text().strip() and t not in unseen
    }
    return found, figure.bbox


def _ticks_out_of_view(axes):
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not axes.axison or not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


@pytest.mark.usefixtures("style")
@pytest.mark.parametrize("name", ["side", "curve", "registries", "ladder"])
def test_no_label_overlaps_another_or_leaves_the_figure(case, name):
    found, inside = boxes_of(single_figures(case)[name])
    assert found
    for text, box in found.items():
        assert inside.x0 - 1 <= box.x0 <= box.x1 <= inside.x1 + 1, text
        assert inside.y0 - 1 <= box.y0 <= box.y1 <= inside.y1 + 1, text
    if name != "registries":
        for (one, a), (other, b) in combinations(found.items(), 2):
            assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)


@pytest.mark.usefixtures("style")
def test_overall_figures_have_no_overlap(cases):
    for figure in overall_figures(cases, emt_study()).values():
        found, _ = boxes_of(figure)
        for (one, a), (other, b) in combinations(found.items(), 2):
            assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)


def test_the_curve_passes_through_its_points_and_ends_near_zero(case):
    by_registry = works(case.curve)
    best = next(iter(by_registry.values()))
    assert max(W for _, W in best) == pytest.approx(case.row.W_curve_J_m2, abs=1e-6)
    fit, reason = fit_of(case.curve)
    assert reason == ""
    figure = curve_figure(case)
    line = next(x for x in figure.axes[0].lines if str(x.get_label()).startswith("fit"))
    assert line.get_ydata().min() == pytest.approx(-fit.W_J_m2, rel=1e-3)
    assert -0.3 * fit.W_J_m2 < line.get_ydata()[-1] < 0


def test_a_curve_that_cannot_be_fitted_says_why(case):
    curve = case.curve.model_copy(update={"points": case.curve.points[:2]})
    short = replace(case, documents={**case.documents, "curve": curve})
    labels = [str(line.get_label()) for line in curve_figure(short).axes[0].lines]
    assert any(label.startswith("no fit:") for label in labels)


def test_registry_map_has_one_dot_for_each_registry_and_those_on_the_edge_twice(case):
    dots = registry_figure(case).axes[0].collections[0]
    best = {r: max(W for _, W in p) for r, p in works(case.curve).items()}
    assert len(best) > 1
    assert set(np.asarray(dots.get_array()).round(9)) == {round(W, 9) for W in best.values()}
    assert len(dots.get_offsets()) >= len(best)
    one = [p for p in case.curve.points if p.registry == case.curve.points[0].registry]
    curve = case.curve.model_copy(update={"points": one})
    assert registry_figure(replace(case, documents={"curve": curve})) is None


def test_ladder_marks_what_is_not_converged():
    figure = ladder_figure(ladder())
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["film layers", "cutoff, not converged"]
    assert figure.axes[1].lines[0].get_ydata()[-1] == pytest.approx(-0.05)
    assert ladder_figure(None) is None


def test_side_view_marks_the_gap_of_the_relaxed_interface(case):
    structure = structure_of(case)
    assert structure.relaxed
    film, substrate = structure.heights
    assert substrate.low_A < substrate.high_A < film.low_A < film.high_A
    said = [t.get_text() for t in side_figure(case).axes[0].texts]
    assert f"gap {structure.gap_A:.2f} Å, relaxed" in said
    assert "film\nAg(001)" in said
    rigid = {k: d for k, d in case.documents.items() if k != "interface"}
    assert structure_of(replace(case, documents=rigid)).gap_A == pytest.approx(
        case.row.gap_A, abs=1e-3
    )


def test_cosines_lie_on_the_line_of_their_tension(case):
    axes = cosine_figure([case.row]).axes[0]
    line = next(x for x in axes.lines if "0.9000" in str(x.get_label()))
    W, cosine = line.get_data()
    assert np.interp(0.9, W, cosine) == pytest.approx(0.0, abs=0.01)
    assert np.interp(1.75, W, cosine) == pytest.approx(1.75 / 0.9 - 1, abs=0.01)
    assert cosine.max() == 1.0


def test_error_bars_are_drawn(case):
    bars = works_figure([case.row]).axes[0].containers[0].lines[2][0]
    (ends,) = bars.get_segments()
    assert ends[1][0] - ends[0][0] == pytest.approx(0.1)


def test_names_of_files_are_plain_and_distinct(cases):
    found = slugs([*cases, cases[0]])
    assert found[0] == "ag001-au001"
    assert found[2] == "ag001-au001--2"
    assert all(set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for slug in found)


def test_every_figure_is_drawn_as_pdf_and_png(cases, tmp_path):
    written = draw_all(cases[:1], emt_study(), tmp_path / "a")
    names = {path.name for path in written}
    kinds = ("works", "angles", "cosines", *(f"{k}-ag001-au001" for k in ("side", "ladder")))
    assert {f"{kind}.{end}" for kind in kinds for end in ("pdf", "png")} <= names
    with styled():
        again = rendered(side_figure(cases[0]), "pdf")
    assert (tmp_path / "a" / "side-ag001-au001.pdf").read_bytes() == again


def test_svg_has_the_same_bytes(case):
    with styled():
        assert rendered(side_figure(case), "svg") == rendered(side_figure(case), "svg")


def test_nothing_computed_is_nothing_to_draw(case, tmp_path):
    update = {"W_curve_J_m2": None, "W_ad_J_m2": None, "contact_angles": []}
    empty = replace(case, documents={}, ladder=None, row=case.row.model_copy(update=update))
    with pytest.raises(InputError, match="nothing was computed"):
        draw_all([empty], emt_study(), tmp_path)
    assert angles_figure([empty.row]) is None
    assert cosine_figure([empty.row]) is None
