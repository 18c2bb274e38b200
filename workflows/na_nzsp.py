"""Na(001) on NZSP(001), the bare solid electrolyte NZSP, as a jobflow flow.

Any jobflow manager can run it::

    python workflows/na_nzsp.py smoke
"""

from __future__ import annotations

import sys

from jobflow import Flow, run_locally

from adhesion import WorkOfAdhesionMaker, load_study
from adhesion.study import data_path


def make_flow(level: str = "quick") -> Flow:
    """Return the flow of this interface at a level of theory."""
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    return WorkOfAdhesionMaker(level=level).make("Na", "NZSP", study)


if __name__ == "__main__":
    run_locally(make_flow(*sys.argv[1:]), create_folders=True, ensure_success=True)
