"""The report as one HTML page that needs no network: tables, figures, structures in 3D, data."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import zipfile
from importlib.metadata import distribution, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader

from adhesion.errors import SetupError
from adhesion.files import write_text
from adhesion.report.drawing import rendered, styled
from adhesion.report.export import export_files
from adhesion.report.gallery import OVERALL, SINGLE, overall_figures, single_figures, slugs
from adhesion.report.layout import fixed, pretty, pretty_heading
from adhesion.report.methods import plan_settings
from adhesion.report.sideviews import Structure, structure_of
from adhesion.report.studies import as_list
from adhesion.report.tables import tables_of

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure

    from adhesion.report.collect import Case
    from adhesion.report.layout import Column
    from adhesion.report.studies import Studies

ASSETS = Path(__file__).with_name("assets")
SIDEWAYS = np.array([(1, 0, 0), (0, 0, -1), (0, 1, 0)])
"""Turns (x, y, z) into (x, z, -y): the screen's up is the interface's."""
MOST_ATOMS = 600
"""A structure is shown repeated as long as it has no more atoms than this."""
ZIP_DATE = (1980, 1, 1, 0, 0, 0)
DOWNLOADS = {
    "data/interfaces.csv": ("Table (CSV)", "text/csv"),
    "data/interfaces.json": ("Table (JSON)", "application/json"),
    "table.tex": ("Table (LaTeX)", "text/plain"),
}


def write_page(cases: list[Case], studies: Studies, path: Path) -> None:
    """Write the page; the same data gives the same bytes.

    Parameters
    ----------
    cases : list of Case
    studies : Study or sequence of Study
    path : Path
        The file to write.

    Raises
    ------
    SetupError
        If the 3D viewer is not installed or the file cannot be written.
    """
    write_text(path, page(cases, studies))


def page(cases: list[Case], studies: Studies) -> str:
    """Return the page as text; everything that comes from files is escaped."""
    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True)
    environment.filters |= {"rows": _rows, "heading": pretty_heading, "pretty": pretty}
    files = export_files(cases, studies)
    structures = [(case, s) for case in cases if (s := structure_of(case)) is not None]
    with styled():
        overall = [_image(f, OVERALL[n]) for n, f in overall_figures(cases, studies).items()]
        sections = [_section(c, slug) for c, slug in zip(cases, slugs(cases), strict=True)]
    listed = as_list(studies)
    captions = [_caption(case, structure) for case, structure in structures]
    return environment.get_template("page.html").render(
        title="; ".join(study.title or study.name for study in listed),
        subtitle=_subtitle(cases),
        version=version("adhesion-workflows"),
        css=_asset("page.css"),
        script=_asset("page.js"),
        downloads=_downloads(files, "-".join(study.name for study in listed)),
        tables=tables_of([case.row for case in cases], studies),
        overall=overall,
        structures=[
            {"label": case.row.interface, "caption": caption}
            for (case, _), caption in zip(structures, captions, strict=True)
        ],
        cases=sections,
        methods=files["methods.md"].decode().strip().split("\n\n"),
        references=files["references.bib"].decode(),
        viewer=viewer() if structures else "",
        licences=_licences() if structures else "",
        dataset=_script_json({"dataset": _dataset(structures), "captions": captions}),
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _rows(columns: list[Column]) -> list[tuple[str, ...]]:
    return list(zip(*(column.cells for column in columns), strict=True))


def _subtitle(cases: list[Case]) -> str:
    done = sum(case.row.status == "done" for case in cases)
    how = {f"{c.row.calculator} {c.row.functional}".strip(): None for c in cases}
    levels = {case.row.level: None for case in cases}
    return (
        f"{done} of {len(cases)} interfaces computed; calculator {', '.join(how)}; "
        f"level {', '.join(levels)}"
    )


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _image(figure: Figure, caption: str) -> dict[str, str]:
    return {"src": _uri(rendered(figure, "svg"), "image/svg+xml"), "caption": caption}


def _downloads(files: dict[str, bytes], name: str) -> list[dict[str, str]]:
    found = [
        {"name": Path(path).name, "label": label, "href": _uri(files[path], kind)}
        for path, (label, kind) in DOWNLOADS.items()
    ]
    everything = {
        "name": f"{name}.zip",
        "label": "Everything (ZIP)",
        "href": _uri(_zipped(files), "application/zip"),
    }
    return [*found, everything]


def _zipped(files: dict[str, bytes]) -> bytes:
    """Pack files with one fixed date, so that the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, ZIP_DATE)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return buffer.getvalue()


def _section(case: Case, slug: str) -> dict[str, Any]:
    return {
        "slug": slug,
        "label": case.row.interface,
        "said": _said(case),
        "figures": [_image(f, SINGLE[name]) for name, f in single_figures(case).items()],
        "settings": json.dumps(plan_settings(case.plan), indent=1, ensure_ascii=False),
        "provenance": [
            {
                "role": role.replace("_", " "),
                "status": document.status if document else "missing",
                "hash": hash,
                "cpu": f"{document.cpu_seconds:.0f}" if document else "",
                "versions": ", ".join(f"{n} {v}" for n, v in sorted(document.versions.items()))
                if document
                else "",
            }
            for role, hash in case.plan.hashes.items()
            for document in [case.documents.get(role)]
        ],
    }


def _said(case: Case) -> str:
    row = case.row
    parts = [f"Level {row.level}", f"{row.n_atoms} atoms" if row.n_atoms else ""]
    parts.append(f"{row.area_A2:.1f} Å²" if row.area_A2 is not None else "")
    for side in ("film", "substrate"):
        strain = getattr(row, f"{side}_strain_percent")
        if strain is not None:
            parts.append(f"strain of the {side} {' and '.join(fixed(s, 1) for s in strain)} %")
    parts.append(f"termination {row.termination}" if row.termination else "")
    parts.append(row.reason)
    return "; ".join(part for part in parts if part) + "."


def _caption(case: Case, structure: Structure) -> str:
    how = "relaxed" if structure.relaxed else "rigid, at the best gap"
    return f"{case.row.interface}, {how}: gap {structure.gap_A:.2f} Å."


def _script_json(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(data, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _dataset(structures: list[tuple[Case, Structure]]) -> dict[str, Any]:
    """Structures in chemiscope's input format, repeated, and turned to be seen from the side."""
    found = []
    for _, structure in structures:
        repeated = _repeated(structure.geometry.to_ase())
        x, y, z = (repeated.positions @ SIDEWAYS).round(4).T.tolist()
        found.append(
            {
                "size": len(repeated),
                "names": list(repeated.get_chemical_symbols()),
                **{"x": x, "y": y, "z": z},
                "cell": (np.asarray(repeated.cell[:]) @ SIDEWAYS).round(4).ravel().tolist(),
            }
        )
    return {
        "meta": {"name": "interfaces"},
        "structures": found,
        "properties": {
            "interface": {"target": "structure", "values": list(range(len(found)))},
        },
        "settings": {
            "structure": [{"unitCell": False, "bonds": False, "keepOrientation": False}],
        },
    }


def _repeated(atoms: Atoms) -> Atoms:
    """Repeat an interface in its plane until it is as wide as tall, within `MOST_ATOMS`."""
    tall = float(np.ptp(atoms.positions[:, 2]))
    a, b = (int(np.clip(np.ceil(tall / x), 1, 8)) for x in atoms.cell.lengths()[:2])
    while a * b > 1 and a * b * len(atoms) > MOST_ATOMS:
        a, b = (a - 1, b) if a >= b else (a, b - 1)
    return atoms.repeat((a, b, 1))


def _package() -> Path:
    spec = importlib.util.find_spec("chemiscope")
    if spec is None or spec.origin is None:
        raise SetupError(
            "the 3D viewer (chemiscope) is not installed",
            where="report --html",
            hint="pip install 'adhesion-workflows[html]'",
        )
    return Path(spec.origin).parent


def viewer() -> str:
    """Return chemiscope's script, from the installed package."""
    file = _package() / "sphinx" / "static" / "chemiscope.min.js"
    try:
        return file.read_text(encoding="utf-8").replace("</script", r"<\/script")
    except OSError as error:
        raise SetupError(
            f"cannot be read: {error.strerror}",
            where=str(file),
            hint="pip install --force-reinstall 'chemiscope>=1.1'",
        ) from None


def _licences() -> str:
    found = distribution("chemiscope").read_text("licenses/LICENSE") or ""
    found = found or distribution("chemiscope").read_text("LICENSE") or ""
    bundled = _package() / "static" / "chemiscope-widget.mjs.LICENSE.txt"
    rest = bundled.read_text(encoding="utf-8") if bundled.exists() else ""
    return f"{found.strip()}\n\n{rest.strip()}"
