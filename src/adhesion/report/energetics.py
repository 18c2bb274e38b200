"""The tables behind W: energies and geometry of the interface, and parts of its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adhesion.report.layout import DASH, Column, Table, fixed
from adhesion.report.main import banner, name_columns

if TYPE_CHECKING:
    from adhesion.report.studies import Studies
    from adhesion.schemas import AdhesionRow


@dataclass(frozen=True)
class _Field:
    """A field of a row as a column: its headings, decimals and meaning."""

    name: str
    heading: str
    latex: str
    decimals: int
    meaning: str


ENERGETICS = (
    _Field("gamma_film_strained_J_m2", "g_film", r"$\gamma_\mathrm{film}$", 2,
           "surface energy of the film in the common cell"),
    _Field("gamma_film_J_m2", "g0_film", r"$\gamma^0_\mathrm{film}$", 2,
           "the same at its own lattice"),
    _Field("gamma_substrate_strained_J_m2", "g_sub", r"$\gamma_\mathrm{sub}$", 2,
           "surface energy of the substrate in the common cell"),
    _Field("gamma_substrate_J_m2", "g0_sub", r"$\gamma^0_\mathrm{sub}$", 2,
           "the same at its own lattice"),
    _Field("gamma_int_J_m2", "g_int", r"$\gamma_\mathrm{int}$", 2,
           "interface energy, g_film + g_sub - W"),
    _Field("strain_energy_film_J_m2", "e_film", r"$e_\mathrm{film}$", 2,
           "cost of straining the film, no part of W"),
    _Field("strain_energy_substrate_J_m2", "e_sub", r"$e_\mathrm{sub}$", 2,
           "cost of straining the substrate, no part of W"),
    _Field("W_fit_J_m2", "W_fit", r"$W_\mathrm{fit}$", 2,
           "depth of the universal binding relation"),
    _Field("peak_stress_GPa", "peak", r"$\sigma_\mathrm{peak}$", 2,
           "its largest tensile stress, GPa"),
    _Field("gap_A", "gap", r"$d$", 2, "lowest point of the binding curve, Å"),
    _Field("gap_relaxed_A", "gap_rel", r"$d_\mathrm{rel}$", 2, "gap of the relaxed interface, Å"),
    _Field("max_displacement_A", "moved", r"$u_\mathrm{max}$", 2,
           "largest displacement in the relaxed interface, Å"),
    _Field("registry_spread_J_m2", "spread", r"$\Delta W_\mathrm{reg}$", 2,
           "best less worst W of the registries computed"),
)  # fmt: skip

ALLOYS = (
    ("per_formula_eV", "eV", "eV", 2),
    ("per_atom_eV", "eV/atom", "eV/atom", 3),
    ("per_film_atom_eV", "eV/film atom", "eV/film atom", 3),
    ("per_area_J_m2", "J/m2", r"J/m$^2$", 2),
)
"""Field of a formation to its headings and decimals."""

ERRORS = (
    _Field("error_film_layers_J_m2", "film", "film", 3, "layers of the film"),
    _Field("error_substrate_layers_J_m2", "substrate", "substrate", 3, "layers of the substrate"),
    _Field("error_kpoints_J_m2", "k-points", "k-points", 3, "k-point mesh"),
    _Field("error_cutoff_J_m2", "cutoff", "cutoff", 3, "plane-wave cutoff"),
    _Field("error_vacuum_J_m2", "vacuum", "vacuum", 3, "vacuum above the interface"),
    _Field("error_cell_J_m2", "cell", "cell", 3, "a second common cell, of other strain"),
    _Field("error_registry_J_m2", "registry", "registry", 3, "half the spread of the registries"),
    _Field("error_fit_J_m2", "fit", "fit", 3, "residual of the binding relation"),
    _Field("W_ad_error_J_m2", "all", "all", 3, "in quadrature; only with a convergence ladder"),
)


def energetics_table(rows: list[AdhesionRow], studies: Studies) -> Table:  # noqa: ARG001
    """Make the table of surface, interface and strain energies, J/m2, and of geometry."""
    flagged = [", ".join(_events(row)) or DASH for row in rows]
    columns = [c for c in _columns(rows, ENERGETICS) if any(cell != DASH for cell in c.cells)]
    if any(cell != DASH for cell in flagged):
        columns.append(Column("flags", "Flags", flagged, numeric=False))
    return Table(
        banner(rows),
        "Energetics and geometry, J/m2 and Å",
        [*name_columns(rows), *columns],
        _notes(rows, ENERGETICS),
    )


def errors_table(rows: list[AdhesionRow], studies: Studies) -> Table:  # noqa: ARG001
    """Make the table of error components of W, J/m2; a dash where one is not known."""
    known = any(row.W_curve_J_m2 is not None for row in rows)
    return Table(
        banner(rows),
        "Error of W by component, J/m2",
        [*name_columns(rows), *(_columns(rows, ERRORS) if known else [])],
        _notes(rows, ERRORS),
    )


def cells_table(rows: list[AdhesionRow], studies: Studies) -> Table:  # noqa: ARG001
    """Make the table of what was computed: cells, slabs, gaps, forces left, candidates."""
    known = any(row.area_A2 is not None for row in rows)
    columns = [
        Column("face", "Face", [row.termination or DASH for row in rows], numeric=False),
        Column("film", "film", [_whole(row.film_layers) for row in rows]),
        Column("sub", "sub.", [_whole(row.substrate_layers) for row in rows]),
        Column("atoms", "atoms", [_whole(row.n_atoms) for row in rows]),
        Column("area", "area", [fixed(row.area_A2, 1) for row in rows]),
        Column("strain", "Strain", [_pair(row.film_strain_percent) for row in rows], numeric=False),
        Column("gaps", "gaps", [_whole(row.n_gaps) for row in rows]),
        Column("fmax", "fmax", [_forces(row) for row in rows], numeric=False),
        Column("cand.", "cand.", [_whole(row.n_candidates) for row in rows]),
    ]
    return Table(
        banner(rows),
        "Cells and slabs",
        [*name_columns(rows), *(columns if known else [])],
        [
            "face: termination of the substrate.",
            "film: layers of the film.",
            "sub: layers of the substrate; of a compound, repeats of its stacking.",
            "area: of the common cell, Å2.",
            "strain: principal strains of the film, %.",
            "gaps: on the binding curve.",
            "fmax: largest force where the relaxations began, and left in them, eV/Å.",
            "cand.: candidates it was chosen from, by geometry.",
        ],
    )


def _whole(value: int | None) -> str:
    return DASH if value is None else str(value)


def _forces(row: AdhesionRow) -> str:
    if row.fmax_start_eV_A is None:
        return fixed(row.fmax_eV_A, 3)
    return f"{fixed(row.fmax_start_eV_A, 2)} to {fixed(row.fmax_eV_A, 3)}"


def _pair(value: tuple[float, float] | None) -> str:
    return DASH if value is None else " / ".join(f"{part:+.1f}" for part in value)


def alloys_table(rows: list[AdhesionRow], studies: Studies) -> Table:  # noqa: ARG001
    """Make the table of formation energies of compounds of film and substrate."""
    found = [(row, alloy) for row in rows for alloy in row.alloys]
    interfaces = name_columns([row for row, _ in found])
    reactions = Column("reaction", "Reaction", [a.reaction for _, a in found], numeric=False)
    energies = [
        Column(heading, latex, [fixed(getattr(a, name), decimals) for _, a in found])
        for name, heading, latex, decimals in ALLOYS
    ]
    reasons = dict.fromkeys(f"{a.reaction}: {a.reason}" for _, a in found if a.reason)
    sources = {a.reaction.rpartition(" ")[2]: a for _, a in found}
    return Table(
        banner([row for row, alloy in found if alloy.proxy]),
        "Alloying beside adhesion: formation energies",
        [*interfaces, reactions, *(energies if found else [])],
        [
            "eV: of one formula unit, from film and substrate as crystals; < 0 where it forms.",
            "J/m2: when all atoms in the substrate's top layer are used up.",
            *(f"No energy of {why}: adhesion alloys computes it." for why in reasons),
            *(f"{name}: {'; '.join([a.source, *a.notes])}." for name, a in sources.items()),
        ],
    )


def _events(row: AdhesionRow) -> list[str]:
    """What happened at the interface besides adhesion."""
    found = []
    if row.layers_crossed:
        found.append(f"intermixed, {row.layers_crossed} layers crossed")
    if row.purely_adhesive is False:
        found.append("W not purely adhesive")
    return found


def _columns(rows: list[AdhesionRow], fields: tuple[_Field, ...]) -> list[Column]:
    return [
        Column(f.heading, f.latex, [fixed(getattr(r, f.name), f.decimals) for r in rows])
        for f in fields
    ]


def _notes(rows: list[AdhesionRow], fields: tuple[_Field, ...]) -> list[str]:
    """What the columns mean, then why a number is missing, each reason once."""
    shown = [f for f in fields if any(getattr(r, f.name) is not None for r in rows)]
    reasons: dict[str, dict[str, dict[str, None]]] = {}
    for field in fields:
        for row in rows:
            why = row.not_computed.get(field.name)
            if why and getattr(row, field.name) is None:
                reasons.setdefault(why, {}).setdefault(field.heading, {})[row.interface] = None
    missing = []
    for why, by_field in reasons.items():
        interfaces = dict.fromkeys(name for names in by_field.values() for name in names)
        whose = (
            ""
            if len(interfaces) == len({r.interface for r in rows})
            else (f" of {', '.join(interfaces)}")
        )
        missing.append(f"No {', '.join(by_field)}{whose}: {why}.")
    return [*(f"{f.heading}: {f.meaning}." for f in shown), *missing]
