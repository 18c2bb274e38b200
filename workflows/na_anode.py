"""All four sodium interfaces as one jobflow flow; what they share is computed once.

Any jobflow manager can run it::

    python workflows/na_anode.py smoke
"""

from __future__ import annotations

import sys

from jobflow import Flow, run_locally

from adhesion import StudyMaker, load_study
from adhesion.study import data_path


def make_flow(level: str = "quick") -> Flow:
    """Return the flow of the study at a level of theory."""
    study = load_study(data_path("configs", "studies", "na_anode.yaml"))
    return StudyMaker(level=level).make(study)


if __name__ == "__main__":
    run_locally(make_flow(*sys.argv[1:]), create_folders=True, ensure_success=True)
