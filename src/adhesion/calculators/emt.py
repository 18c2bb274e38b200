"""Effective medium theory: cheap smoke tests, for other elements by proxy."""

from __future__ import annotations

from typing import Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT, parameters

from adhesion.errors import InputError
from adhesion.study import CalculatorSpec


def emt_settings(spec: CalculatorSpec, elements: set[str]) -> dict[str, Any]:
    """Resolve EMT's settings; the proxy counts only where an element needs it."""
    if spec.settings:
        raise InputError(
            f"unknown setting {sorted(spec.settings)[0]!r}: emt has none",
            where="calculator.settings",
        )
    proxy = None
    if spec.proxy is not None and not elements <= set(parameters):
        proxy = spec.proxy.model_dump()
    return {"name": "emt", "functional": "EMT", "proxy": proxy}


def check_emt(settings: dict[str, Any], elements: set[str]) -> None:
    """Refuse elements without EMT parameters.

    Raises
    ------
    InputError
        Naming the elements and what to add.
    """
    mapping = settings["proxy"]["species"] if settings["proxy"] else {}
    unknown = sorted(e for e in elements if mapping.get(e, e) not in parameters)
    if unknown:
        raise InputError(
            f"EMT has no parameters for {', '.join(unknown)} (it has {', '.join(parameters)})",
            where="calculator emt",
            hint="use another calculator, or give a proxy element for a plumbing test: "
            "levels.smoke.calculator.proxy.species",
        )


class ProxyEMT(Calculator):  # type: ignore[misc]
    """EMT of other elements at scaled lengths: the same plumbing, never a number.

    Energy is that of the proxy atoms; forces are scaled so that they stay its
    derivative with respect to the real positions.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, species: dict[str, str], scale: float) -> None:
        super().__init__()
        self.species = species
        self.scale = scale
        self._emt = EMT()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy and forces of the proxy atoms."""
        super().calculate(atoms, properties, system_changes)
        real = self.atoms
        symbols = [self.species.get(s, s) for s in real.get_chemical_symbols()]
        proxy = Atoms(
            symbols, real.positions * self.scale, cell=real.cell[:] * self.scale, pbc=real.pbc
        )
        proxy.calc = self._emt
        energy = proxy.get_potential_energy()
        forces = proxy.get_forces() * self.scale
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
