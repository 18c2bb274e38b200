"""What `adhesion search` prints."""

from __future__ import annotations

from adhesion.schemas import SearchDocument, SearchedPairing


def search_text(document: SearchDocument, level: str) -> str:
    """Return what a search tried, kept and dropped, for a person.

    Parameters
    ----------
    document : SearchDocument
        Of one interface.
    level : str
        Whose list was searched: a number of it means another candidate at another level.
    """
    tried = [p for p in document.pairings if p.state != "not tried"]
    rest = document.n_pairings - len(tried)
    calculator = str(document.recipe.calculator.get("name", ""))
    proxy = ", other elements in place of the real ones: no number" if document.proxy else ""
    lines = [
        f"{document.label} with {calculator}{proxy}",
        f"  {document.n_candidates} candidates = registries of {document.n_pairings} pairings of "
        f"faces and cells; {document.n_energies} energies on {len(tried)} of them",
        f"  ranked by {_RANKED[document.ranked_by]}",
        f"  {'':>3} {'film | substrate':26} {'cell':>9} {'atoms':>5} {'reg.':>5} {'W':>7} "
        f"{'spread':>7} {'γ_int':>7} {'gap Å':>6}  state",
    ]
    lines += [_line(p) for p in tried]
    if rest:
        reasons = sorted({p.reason for p in document.pairings if p.state == "not tried"})
        lines.append(f"  {rest} not tried: {'; '.join(reasons)}")
    if any(p.flat_registry for p in tried):
        lines.append("  flat: the registry cannot matter there by construction, so one was tried")
    surplus = sorted({p.gamma_int_reason for p in tried if p.gamma_int_reason})
    lines += [f"  no γ_int: {reason}" for reason in surplus]
    for element, value in document.chemical_potentials_eV.items():
        lines.append(f"  μ({element}) = {value:.4f} eV, that of its bulk, for surplus atoms")
    if "kpoints" in document.recipe.parameters["bulk_calculators"]["film"]:
        lines.append("  γ_int: bulks at k-points of their own, slabs at those of the level")
    lines.append("  W, spread over registries and γ_int in J/m2, of slabs as cut, not relaxed")
    kept = [str(p.rank) for p in tried if p.state == "kept"]
    others = f"; then {', '.join(kept[1:])}" if kept[1:] else ""
    lines.append(f"  to compute the first at {level}: candidate: {kept[0]} in the study{others}")
    return "\n".join(lines)


_RANKED = {
    "gamma_int": "γ_int = γ_film + γ_substrate - W, strain energy of the slabs included",
    "W": "W, the energy to part the strained slabs",
}


def _line(p: SearchedPairing) -> str:
    faces = f"{p.film_termination} | {p.substrate_termination}"
    n = len({point.registry for point in p.points})
    registries = "flat" if p.flat_registry else f"{n}/{p.n_registries}"
    meshes = [_multiple(t) for t in (p.film_transformation, p.substrate_transformation)]
    cell = f"{meshes[0]} on {meshes[1]}"
    numbers = [f"{x:7.3f}" if x is not None else f"{'-':>7}" for x in (
        p.W_J_m2, p.spread_J_m2, p.gamma_int_J_m2)]  # fmt: skip
    gap = f"{p.gap_A:6.2f}" if p.gap_A is not None else f"{'-':>6}"
    return (
        f"  {p.rank:>3} {faces[:26]:26} {cell:>9} {p.n_atoms:5d} {registries:>5} "
        f"{' '.join(numbers)} {gap}  {p.state}: {p.reason}"
    )


def _multiple(transformation: list[list[int]]) -> int:
    (a, b), (c, d) = transformation
    return abs(a * d - b * c)
