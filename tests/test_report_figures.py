from __future__ import annotations

from itertools import combinations, pairwise

import matplotlib
import numpy as np
import pytest
from matplotlib import image

from adhesion.errors import InputError
from adhesion.report import figures
from adhesion.report.drawing import FigureCanvasAgg, styled
from adhesion.report.figures import adhesion_figure
from test_report_gallery import boxes_of
from test_rows import STUDY, TENSIONS, make_input, make_row, proxy_row, without


@pytest.fixture(scope="module")
def rows():
    return [
        make_row(make_input("Pb"), TENSIONS),
        make_row(make_input("Na2CO3"), TENSIONS),
        make_row(without(make_input("C"), "interface"), TENSIONS),
    ]


@pytest.fixture
def drawn(rows):
    with styled():
        return figures._figure(rows)


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_same_rows_give_the_same_bytes(rows, tmp_path, ending):
    paths = [tmp_path / f"{i}.{ending}" for i in range(2)]
    adhesion_figure(rows, STUDY, paths[0])
    with matplotlib.rc_context({"font.size": 20}):
        adhesion_figure(rows[::-1], STUDY, paths[1])
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"CreationDate" not in first


def test_two_panels_at_full_width_one_at_column_width(rows, tmp_path):
    adhesion_figure(rows, STUDY, tmp_path / "two.png")
    assert image.imread(tmp_path / "two.png").shape[1] == 2100
    alone = [r.model_copy(update={"theta_measured_deg": None}) for r in rows]
    adhesion_figure(alone, STUDY, tmp_path / "new" / "one.png")
    pixels = image.imread(tmp_path / "new" / "one.png")
    assert pixels.shape[1] == 1020
    assert np.ptp(pixels) > 0.5


def test_points_lie_at_their_numbers(drawn):
    left, right = drawn.axes
    works = {round(float(x), 3) for line in left.lines for x in line.get_xdata()}
    assert {0.52, 0.44, 0.14, 0.12, 0.105, 0.08} == works
    measured = {round(float(x), 1) for line in right.lines for x in line.get_xdata()}
    assert {0.0, 130.4, 142.0} <= measured
    assert [text.get_text() for text in left.get_legend().get_texts()][-1] == "published"
    assert len(right.get_legend().get_texts()) == 3


def test_bounds_carry_arrows(drawn):
    # Na/Pb: measured 0 and predicted complete wetting, for both tensions.
    assert len(drawn.axes[1].texts) == 4


def test_labels_and_points_stay_apart(drawn):
    canvas = FigureCanvasAgg(drawn)
    renderer = canvas.get_renderer()
    drawn.draw(renderer)
    boxes = [t.get_window_extent(renderer) for t in drawn.axes[0].get_yticklabels()]
    assert not any(a.overlaps(b) for a, b in pairwise(boxes))
    inside = drawn.bbox
    assert all(inside.x0 <= box.x0 and box.x1 <= inside.x1 for box in boxes)


def test_name_with_a_dollar_is_no_formula(rows, tmp_path):
    row = rows[0].model_copy(update={"interface": r"a$\bad$(001)/b(001)"})
    adhesion_figure([row], STUDY, tmp_path / "x.png")


def test_proxies_are_never_drawn(rows, tmp_path):
    with pytest.raises(InputError, match="no interface has a work"):
        adhesion_figure([proxy_row()], STUDY, tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()


def test_other_endings_are_refused(rows, tmp_path):
    with pytest.raises(InputError, match=r"png or \.pdf|\.png or"):
        adhesion_figure(rows, STUDY, tmp_path / "x.svg")


def awkward(rows):
    """Rows that a figure has to hold as well: by name."""
    names = [
        "Na3Zr2Si2PO12-precursor(1 1 -2)/very_long_name_of_a_coated_substrate(0001)",
        "a/b",
        "Na(001)/another-quite-long-name-of-a-thing(111)",
    ]
    other = [r.model_copy(update={"interface": f"Na(110)/{r.interface[8:]}"}) for r in rows]
    quick = rows[1].model_copy(update={"level": "quick", "W_ad_J_m2": None})
    return {
        "one": rows[:1],
        "levels": [rows[0], quick, rows[2]],
        "eight": [*rows, *other, rows[0].model_copy(update={"study": "b"}), quick],
        "long": [r.model_copy(update={"interface": n}) for r, n in zip(rows, names, strict=True)],
    }


@pytest.mark.parametrize("name", ["one", "levels", "eight", "long"])
@pytest.mark.parametrize("draw", ["_figure", "works_figure", "angles_figure", "cosine_figure"])
def test_awkward_rows_fit_without_overlap(rows, draw, name):
    errors = [r.model_copy(update={"W_ad_error_J_m2": 0.1}) for r in rows]
    with styled():
        found, inside = boxes_of(getattr(figures, draw)(awkward(errors)[name]))
    for text, box in found.items():
        assert inside.x0 - 1 <= box.x0 <= box.x1 <= inside.x1 + 1, text
        assert inside.y0 - 1 <= box.y0 <= box.y1 <= inside.y1 + 1, text
    for (one, a), (another, b) in combinations(found.items(), 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one, another)


def test_rows_of_several_levels_say_theirs(rows):
    with styled():
        left = figures._figure(awkward(rows)["levels"]).axes[0]
        alike = figures._figure(rows).axes[0]
    assert [t.get_text().splitlines()[-1] for t in left.get_yticklabels()] == (
        ["workstation", "quick", "workstation"]
    )
    assert "workstation" not in alike.get_yticklabels()[0].get_text()


def test_error_bars_of_angles_end_at_their_bounds(rows):
    angle = (
        rows[2]
        .contact_angles[0]
        .model_copy(update={"theta_deg": 120.0, "theta_low_deg": 95.0, "theta_high_deg": 150.0})
    )
    row = rows[2].model_copy(update={"contact_angles": [angle]})
    with styled():
        axes = figures.angles_figure([row]).axes[0]
    (bar,) = axes.collections[0].get_segments()
    assert bar[:, 1].tolist() == [95.0, 150.0]


@pytest.mark.parametrize("draw", ["angles_figure", "cosine_figure"])
def test_an_interface_has_one_colour_in_all_figures(rows, draw):
    bare = rows[0].model_copy(update={"contact_angles": [], "theta_measured_deg": None})
    with styled():
        works = figures.works_figure([bare, *rows[1:]]).axes[0]
        other = getattr(figures, draw)([bare, *rows[1:]])
    points = [c.lines[0].get_color() for c in works.containers]
    assert [h.get_color() for h in other.legends[-1].legend_handles] == points[1:]
