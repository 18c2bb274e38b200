"""atomate2 makers around the calculators; importing this takes seconds, so import it late."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from atomate2.ase.jobs import AseMaker
from atomate2.forcefields.jobs import ForceFieldStaticMaker

from adhesion.calculators.emt import ProxyEMT
from adhesion.calculators.gpaw import GpawSettings, LadderGPAW
from adhesion.calculators.imported import load_class
from adhesion.calculators.launched import LaunchedGPAW, launcher


@dataclass
class GpawMaker(AseMaker):
    """Static GPAW calculation; ``calculator_kwargs`` are the fields of `GpawSettings`."""

    name: str = "GPAW static"

    def _get_calculator(self) -> LadderGPAW:
        kind = LaunchedGPAW if launcher() else LadderGPAW
        return kind(GpawSettings.model_validate(self.calculator_kwargs))


@dataclass
class EmtMaker(AseMaker):
    """Static EMT calculation, through a proxy where one is given."""

    name: str = "EMT static"

    def _get_calculator(self) -> Calculator:
        proxy = self.calculator_kwargs.get("proxy")
        return ProxyEMT(proxy["species"], proxy["scale"]) if proxy else EMT()


@dataclass
class ImportedMaker(AseMaker):
    """Static calculation with an ASE calculator given by its import path."""

    name: str = "static"
    path: str = "ase.calculators.lj.LennardJones"

    def _get_calculator(self) -> Any:
        return load_class(self.path)(**self.calculator_kwargs)


def maker_for(settings: dict[str, Any]) -> AseMaker:
    """Return the maker of resolved settings; its ``calculator`` is an ASE calculator."""
    name = settings["name"]
    if name == "gpaw":
        return GpawMaker(calculator_kwargs={k: v for k, v in settings.items() if k != "name"})
    if name == "emt":
        proxy = settings["proxy"]
        return EmtMaker(calculator_kwargs={"proxy": proxy} if proxy else {})
    if "." in name:
        return ImportedMaker(path=name, calculator_kwargs=settings["settings"])
    return ForceFieldStaticMaker(
        force_field_name=name, calculator_kwargs=settings["settings"], steps=1
    )
