from __future__ import annotations

import io
import json
import re
import zipfile
from html.parser import HTMLParser

import pytest

from adhesion.errors import SetupError
from adhesion.report import page as room
from adhesion.report.page import page, write_page
from browser import browser, chromium
from report_cases import NASTY, emt_case, emt_study, nasty_case

SIZES = {"laptop": (1366, 768), "phone": (390, 844)}
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def cases(emt):
    return [emt_case(emt), nasty_case(emt)]


@pytest.fixture(scope="module")
def text(cases):
    return page(cases, emt_study())


class Parsed(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "srcset")]


def test_the_page_is_one_file_that_asks_for_nothing(text):
    parsed = Parsed()
    parsed.feed(text)
    assert parsed.addresses
    assert all(address.startswith("data:") for address in parsed.addresses)
    assert "default-src 'none'" in text
    assert "connect-src" not in text


def test_what_comes_from_files_is_escaped(text):
    assert "<script>window.hurt" not in text
    assert "Na&lt;script&gt;window.hurt=1&lt;/script&gt;" in text
    (data,) = re.findall(r'<script type="application/json" id="structures">(.*?)</script>', text)
    assert NASTY in json.loads(data)["captions"][1]


def test_same_bytes_for_the_same_data(cases, text, tmp_path):
    write_page(cases, emt_study(), tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == text


def test_without_the_viewer_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SetupError, match=r"adhesion-workflows\[html\]"):
        room.viewer()


@pytest.fixture(scope="module")
def started():
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here: sh scripts/browser.sh installs one")
    with browser(path) as running:
        yield running


@pytest.fixture
def opened(started, text, tmp_path):
    """Open the page at a width; what the console says and what is asked for is kept."""
    (tmp_path / "page.html").write_text(text, encoding="utf-8")
    heard: list[str] = []

    def open_at(size):
        width, height = SIZES[size]
        tab = started.new_page(viewport={"width": width, "height": height})
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("console", lambda m: heard.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: heard.append(str(error)))
        tab.on("request", lambda r: heard.append(r.url) if "://" in r.url[:8] else None)
        tab.goto((tmp_path / "page.html").as_uri())
        heard.clear()  # the page itself
        return tab, heard

    return open_at


@pytest.mark.parametrize("size", SIZES)
def test_the_page_in_a_browser(opened, size):
    tab, heard = opened(size)
    width = SIZES[size][0]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert tab.evaluate("window.hurt") is None
    loaded = "Array.from(document.images).every(i => i.complete && i.naturalWidth > 50)"
    tab.wait_for_function(loaded)
    tab.locator("#viewer").scroll_into_view_if_needed()
    tab.wait_for_selector("#viewer[data-shown='0']")
    assert tab.locator("#viewer canvas").first.bounding_box()["width"] > 300
    tab.locator("[data-structure='1']").click()
    tab.wait_for_selector("#viewer[data-shown='1']")
    assert NASTY in tab.locator("#structure-caption").text_content()
    assert _colours(tab.locator("#viewer").screenshot()) > 20
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    assert heard == []
    tab.close()


def _colours(png: bytes) -> int:
    from matplotlib import image

    pixels = image.imread(io.BytesIO(png))
    return len({tuple(p) for p in (pixels[::4, ::4, :3] * 16).astype(int).reshape(-1, 3)})


def test_rows_sort_by_value_and_back(opened):
    tab, _ = opened("laptop")
    column = "#table-work tbody tr td:nth-child(4)"
    before = tab.locator(column).all_text_contents()
    header = tab.locator("#table-work thead button", has_text="W_ad")
    header.click()
    rising = tab.locator(column).all_text_contents()
    assert rising == sorted(before, key=float)
    header.click()
    assert tab.locator(column).all_text_contents() == rising[::-1]
    assert tab.locator("#table-work th[aria-sort='descending']").count() == 1
    tab.locator("#table-work thead button", has_text="W_rigid").click()
    assert tab.locator("#table-work tbody tr td:nth-child(5)").last.text_content() == "-"
    tab.close()


def test_settings_fold_out_and_data_come_down(opened, cases):
    tab, _ = opened("laptop")
    settings = tab.locator("section#ag001-au001 details", has_text="Settings").first
    assert not settings.locator("pre").is_visible()
    settings.locator("summary").click()
    assert '"calculator"' in settings.locator("pre").text_content()
    with tab.expect_download() as waited:
        tab.locator("a", has_text="Everything").click()
    with zipfile.ZipFile(waited.value.path()) as archive:
        assert {"datapackage.json", "methods.md", "data/interfaces.csv"} <= set(archive.namelist())
        rows = json.loads(archive.read("data/interfaces.json"))
    assert [row["interface"] for row in rows] == [case.row.interface for case in cases]
    tab.close()
