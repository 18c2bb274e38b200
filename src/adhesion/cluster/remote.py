"""jobflow-remote: for sites with MongoDB, for PBS and SGE, and for clusters behind ssh."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from adhesion.errors import AdhesionError, InputError, SetupError
from adhesion.files import write_text
from adhesion.flows import StudyMaker
from adhesion.study import data_path

if TYPE_CHECKING:
    from adhesion.planning import Plan
    from adhesion.study import Machine, Study


def must_have_jobflow_remote() -> None:
    """Refuse an environment without jobflow-remote.

    Raises
    ------
    SetupError
        With the line that installs it.
    """
    if importlib.util.find_spec("jobflow_remote") is None:
        raise SetupError(
            "the package jobflow_remote is missing",
            where="engine jobflow-remote",
            hint="pip install 'adhesion-workflows[remote]'",
        )


def write_project(folder: Path, name: str = "adhesion") -> Path:
    """Write a commented project file for jobflow-remote, checked by its own loader.

    Returns
    -------
    Path
        Of the file; it belongs into ``~/.jfremote``.

    Raises
    ------
    InputError
        If it is there already, or the loader does not take it.
    """
    path = folder / f"{name}.yaml"
    if path.exists():
        raise InputError("is already there", where=str(path), hint="choose another folder")
    text = data_path("configs", "jobflow-remote", "adhesion.yaml").read_text(encoding="utf-8")
    write_text(path, text.replace("name: adhesion", f"name: {name}", 1))
    if importlib.util.find_spec("jobflow_remote") is not None:
        check_project(path)
    return path


def check_project(path: Path) -> None:
    """Let jobflow-remote's own models read a project file.

    Raises
    ------
    InputError
        With what they do not take.
    """
    from jobflow_remote.config.base import Project
    from pydantic import ValidationError

    from adhesion.study import load_yaml

    data, _ = load_yaml(path)
    try:
        Project.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{path}, {'.'.join(str(p) for p in first['loc'])}"
        raise InputError(first["msg"], where=where) from None


def hand_over(study: Study, plans: list[Plan], level: str, machine: Machine) -> list[str]:
    """Give the flow of a study to jobflow-remote; return the ids of its jobs there.

    The same Flow as every other engine runs: each calculation's uuid is the hash of its
    recipe, so its JobStore can stand behind ``adhesion report --jobstore``.

    Raises
    ------
    SetupError
        If jobflow-remote, its project or its database cannot be used.
    """
    must_have_jobflow_remote()
    from jobflow_remote import submit_flow

    remote = machine.remote
    try:
        ids: list[str] = submit_flow(
            StudyMaker(level=level).from_plans(study, plans),
            project=remote.project,
            worker=remote.worker,
            exec_config=remote.exec_config,
            resources=remote.resources or None,
        )
    except AdhesionError:
        raise
    except Exception as error:  # its configuration, qtoolkit and pymongo raise what they like
        what = " ".join(str(error).split())[:300]
        raise SetupError(
            f"jobflow-remote does not take the flow ({type(error).__name__}: {what})",
            where=f"project {remote.project!r}",
            hint=f"try: jf -p {remote.project} project check --errors",
        ) from None
    return ids
