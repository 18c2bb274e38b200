"""EMT that leaves a line for every energy it really computes, with the calculation it is of."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ase.calculators.emt import EMT


class CountedEMT(EMT):
    def calculate(self, atoms=None, properties=None, system_changes=()):
        if system_changes:
            with Path(os.environ["COUNTED"]).open("a") as file:
                file.write(f"{Path.cwd().name}\n")
            time.sleep(float(os.environ.get("COUNTED_SECONDS", "0")))
        super().calculate(atoms, properties or ["energy"], system_changes)
