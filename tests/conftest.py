"""Interfaces that run in a second with EMT, and calculators that count or break."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
from ase.calculators.emt import EMT
from atomate2.ase.jobs import AseMaker
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from adhesion.flows import WorkOfAdhesionMaker
from adhesion.study import Study, merge

TIGHT = {
    "layers": {"film": 6, "metal": 6},
    "fmax_eV_A": 0.001,
    "gap_step_A": 0.15,
    "n_registries": 3,
    "free_layers_A": 50.0,
}
"""Converged for EMT, which reaches some 5 Å: W is good to 2e-4 J/m2."""


def study_of(film, substrate, level="smoke", **changes):
    """A study of one interface, made in Python, with changes to a level."""
    interface = {"film": film, "substrate": substrate}
    return Study(name="test", interfaces=[interface], levels={level: merge(TIGHT, changes)})


def run_here(flow, folder):
    """Outputs of a flow by the uuid of its jobs, run by jobflow itself."""
    answers = run_locally(
        flow,
        create_folders=True,
        root_dir=folder,
        store=JobStore(MemoryStore()),
        ensure_success=True,
        log=False,
    )
    return {uuid: runs[max(runs)].output for uuid, runs in answers.items()}


class Finished:
    """A flow that has run: its row and its documents by the end of their names."""

    def __init__(self, flow, folder):
        self.flow = flow
        outputs = run_here(flow, folder)
        self.row = outputs[flow.jobs[-1].uuid]
        self.documents = {job.name: outputs[job.uuid] for job in flow.jobs}

    def __getitem__(self, end):
        return next(d for name, d in self.documents.items() if name.endswith(end))


@pytest.fixture(scope="session")
def emt(tmp_path_factory):
    """Run an interface at the smoke level, each set of changes once a session."""
    done = {}

    def run(film, substrate, **changes):
        key = repr((film, substrate, changes))
        if key not in done:
            flow = WorkOfAdhesionMaker(level="smoke").make(
                film, substrate, study_of(film, substrate, **changes)
            )
            done[key] = Finished(flow, tmp_path_factory.mktemp("emt"))
        return done[key]

    return run


class KilledError(RuntimeError):
    """Stands for kill -9: nothing of ours catches it."""


class CountingEMT(EMT):
    """EMT that counts its energies and dies at one of them."""

    calls = 0
    dies_at: int | None = None

    def calculate(self, atoms=None, properties=None, system_changes=()):
        CountingEMT.calls += 1
        if CountingEMT.calls == CountingEMT.dies_at:
            raise KilledError
        super().calculate(atoms, properties or ["energy"], system_changes)

    @classmethod
    def start(cls, dies_at=None):
        cls.calls, cls.dies_at = 0, dies_at


@dataclass
class CountingMaker(AseMaker):
    name: str = "counting EMT"

    def _get_calculator(self):
        return CountingEMT()


@cache
def plan_of(film, substrate, level="smoke"):
    from adhesion.planning import plan_interface

    study = study_of(film, substrate, level)
    return plan_interface(study.interfaces[0], study.level(level), study)
