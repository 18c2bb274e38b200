"""The methods paragraph: what was done, with the resolved settings, ready to paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from adhesion.report.bibliography import Bibliography
from adhesion.report.studies import spec_of
from adhesion.study import data_path, load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from adhesion.planning import Plan
    from adhesion.report.collect import Case
    from adhesion.report.studies import Studies

FUNCTIONALS = {"PBE": "pbe", "PBEsol": "pbesol"}


def methods(cases: list[Case], studies: Studies) -> tuple[str, Bibliography]:
    """Describe what was computed.

    Parameters
    ----------
    cases : list of Case
        Those that hold no number are left out.
    studies : Study or sequence of Study
        For the sources of what the results are compared with.

    Returns
    -------
    text : str
        Paragraphs with citations in pandoc's notation, as ``[@gpaw]``.
    bibliography : Bibliography
        All that the text cites.
    """
    cases = [case for case in cases if case.curve is not None]
    cited = Bibliography()
    if not cases:
        return "Nothing has been computed yet.\n", cited
    paragraphs = [
        _calculators(cases, cited),
        _crystals(cases, cited),
        _interfaces(cases, cited),
        _wetting(cases, studies, cited),
        _software(cases, cited),
    ]
    return "\n\n".join(p for p in paragraphs if p) + "\n", cited


def _listed(words: Iterable[str]) -> str:
    *first, last = list(dict.fromkeys(words)) or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _by(cases: list[Case], of: Any) -> dict[str, list[Case]]:
    """Group cases by what a function says of them."""
    groups: dict[str, list[Case]] = {}
    for case in cases:
        groups.setdefault(of(case), []).append(case)
    return groups


def _each(groups: dict[str, list[Case]]) -> str:
    """Say each group once, with its interfaces where there is more than one group."""
    if len(groups) == 1:
        return next(iter(groups))
    return "; ".join(
        f"{words} for {_listed(c.row.interface for c in cases)}" for words, cases in groups.items()
    )


def _calculators(cases: list[Case], cited: Bibliography) -> str:
    groups = _by(cases, lambda case: _calculator(case, cited))
    sentences = f"Total energies were computed with {_each(groups)}."
    if any(case.row.proxy for case in cases):
        sentences += (
            " Rows marked proxy were computed with other elements in place of the real ones; "
            "they test the workflow and are no results."
        )
    return sentences


def _calculator(case: Case, cited: Bibliography) -> str:
    settings, curve = case.plan.settings, case.curve
    versions = curve.versions if curve is not None else {}
    name = str(settings.get("name", case.row.calculator))
    if name == "emt":
        return f"effective medium theory {cited.cite('emt', 'ase')}"
    if name != "gpaw":
        return f"the ASE calculator {name} {cited.cite('ase')} ({_plain(settings)})"
    functional = str(settings.get("functional", ""))
    key = FUNCTIONALS.get(functional)
    parts = [
        f"density functional theory in the {functional} approximation"
        + (f" {cited.cite(key)}" if key else "")
        + f" as implemented in GPAW {versions.get('gpaw', '')} {cited.cite('gpaw', 'paw', 'ase')}",
        f"plane waves up to {settings['ecut_eV']:g} eV",
    ]
    if settings.get("grid_A"):
        parts.append(f"a real-space grid of {settings['grid_A']:g} Å")
    if settings.get("setups"):
        chosen = _listed(f"{v} of {element}" for element, v in settings["setups"].items())
        parts.append(f"the PAW dataset {chosen} (gpaw-data {versions.get('gpaw-data', '')})")
    parts.append(f"Fermi-Dirac smearing of {settings['width_eV']:g} eV")
    parts.append(f"Gamma-centred or Monkhorst-Pack k-point meshes {cited.cite('monkhorst-pack')}")
    if settings.get("dipole"):
        parts.append(f"a dipole correction in the vacuum {cited.cite('dipole-correction')}")
    if case.plan.level.dispersion:
        parts.append(
            "and D3 dispersion energies with Becke-Johnson damping, pairwise, on the same "
            f"geometries in a column of their own {cited.cite('d3', 'd3bj')}"
        )
    return ", ".join(parts)


def _plain(settings: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in settings.items() if k != "name"}, sort_keys=True)


def _crystals(cases: list[Case], cited: Bibliography) -> str:
    index, _ = load_yaml(data_path("structures", "index.yaml"))
    said: dict[str, None] = {}
    for case in cases:
        for side in (case.plan.film, case.plan.substrate):
            if side is None:
                continue
            material = side.material
            lattice = case.plan.level.lattice[material.kind]
            source = material.source or "a structure of the user's own"
            entry = index.get(material.name) or {}
            doi = entry.get("doi") if isinstance(entry, dict) else None
            citation = cited.cite_source(source, doi if material.source else None)
            how = "as in that source"
            if lattice == "relaxed":
                how = (
                    "at the lattice of the same calculator, from a Birch-Murnaghan equation of "
                    f"state {cited.cite('birch')}"
                )
            words = (material.name, f"({source})", citation, how)
            said[" ".join(word for word in words if word)] = None
    return f"Crystals: {'; '.join(said)}." if said else ""


def _interfaces(cases: list[Case], cited: Bibliography) -> str:
    level = _each(_by(cases, lambda case: _protocol(case)))
    cells = "; ".join(_cell(case) for case in cases)
    matched = cited.cite("zur-mcgill", "lazic")
    registries = max(len({p.registry for p in c.curve.points}) for c in cases if c.curve)
    return (
        f"Common cells are the smallest supercells of both surfaces within the limits of strain "
        f"{matched}, the strain shared by stiffness; terminations keep strong bonds whole and "
        f"carry no dipole that grows with thickness {cited.cite('tasker')}. {cells}. "
        f"The slabs were {level}. Binding curves at up to {registries} "
        f"{'registry' if registries == 1 else 'registries'} were fitted with the universal "
        f"binding relation {cited.cite('uber')} where they have four points or more. "
        "The work of adhesion is W_ad = (E_film + E_substrate − E_interface) / A with all three "
        "energies in one cell with one set of settings; W_curve has the slabs relaxed apart and "
        "brought together rigidly, W_ad the interface relaxed as well, W_rigid the relaxed "
        "interface pulled apart frozen."
    )


def _protocol(case: Case) -> str:
    level, plan = case.plan.level, case.plan
    sides = {"film": plan.film, "substrate": plan.substrate}
    relaxed = [n for n, s in sides.items() if s and s.material.kind in level.relax_slabs]
    words = (
        f"relaxed alone ({_listed(relaxed)}) until forces fell below {level.fmax_eV_A:g} eV/Å"
        if relaxed
        else "cut from the bulk and not relaxed"
    )
    words += f", with {level.vacuum_A:g} Å of vacuum above the interface at the largest gap"
    return words + (", and the interface relaxed" if "interface" in plan.recipes else "")


def _cell(case: Case) -> str:
    row = case.row
    film, substrate = row.film_strain_percent, row.substrate_strain_percent
    strains = (
        f", strains {_pair(film)} % in the film and {_pair(substrate)} % in the substrate"
        if film is not None and substrate is not None
        else ""
    )
    area = f"{row.area_A2:.1f} Å², " if row.area_A2 is not None else ""
    layers = (
        f", {row.film_layers} layers of film on {row.substrate_layers} of substrate"
        if row.film_layers is not None and row.substrate_layers is not None
        else ""
    )
    points = case.plan.settings.get("kpoints")
    mesh = f", {' × '.join(str(n) for n in points)} k-points" if points else ""
    return f"{row.interface}: {area}{row.n_atoms} atoms{layers}{strains}{mesh}"


def _pair(strain: tuple[float, float]) -> str:
    return " and ".join(f"{round(s, 1) + 0.0:.1f}".replace("-", "−") for s in strain)


def _wetting(cases: list[Case], studies: Studies, cited: Bibliography) -> str:
    rows = [case.row for case in cases if not case.row.proxy]
    tensions = {(a.sigma_J_m2, a.sigma_source) for row in rows for a in row.contact_angles}
    if not tensions:
        return ""
    said = [
        f"{sigma:.4f} J/m2 ({source}) {cited.cite_source(source)}".rstrip()
        for sigma, source in sorted(tensions)
    ]
    text = (
        "Contact angles follow from W_ad = sigma (1 + cos theta) "
        f"{cited.cite('young', 'dupre')} with sigma = {_listed(said)}; W above 2 sigma means "
        "complete wetting."
    )
    specs = [spec_of(row, studies) for row in rows]
    compared = [s.reference.source for s in specs if s and s.reference]
    compared += [m.source for s in specs if s for m in s.measured[:1]]
    if compared:
        sources = [cited.cite_source(source) or source for source in compared]
        text += f" Published and measured values are from {_listed(sources)}."
    return text


def _software(cases: list[Case], cited: Bibliography) -> str:
    versions: dict[str, set[str]] = {}
    for case in cases:
        for document in case.documents.values():
            for name, version in document.versions.items():
                versions.setdefault(name, set()).add(version)
    said = ", ".join(f"{n} {' and '.join(sorted(v))}" for n, v in sorted(versions.items()))
    return (
        f"Calculations were jobs of jobflow {cited.cite('jobflow')} and atomate2 "
        f"{cited.cite('atomate2')}, structures were handled with pymatgen "
        f"{cited.cite('pymatgen')} and ASE {cited.cite('ase')}. Versions: {said}."
    )


def plan_settings(plan: Plan) -> dict[str, Any]:
    """Return everything that decided an interface's calculations, resolved, as plain data."""
    return {
        "level": plan.level.model_dump(mode="json", exclude={"with_oxygen"}),
        "calculator": plan.settings,
        "bulk": plan.bulk_settings,
        "kpoints": list(plan.kpoints),
        "termination": plan.summary.get("termination"),
        "film_transformation": plan.match.film_transformation if plan.match else None,
        "substrate_transformation": plan.match.substrate_transformation if plan.match else None,
    }
