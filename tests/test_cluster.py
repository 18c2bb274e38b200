"""Studies on a queue, as far as no queue is needed: resources, scripts, states, silence."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import adhesion.cluster.queue as queue_commands
import adhesion.cluster.resources as resources_room
from adhesion.cli import main
from adhesion.cluster.driver import Record, mended, record, take_over
from adhesion.cluster.queue import QueueSilentError, how_it_ended, my_jobs
from adhesion.cluster.remote import check_project, hand_over, write_project
from adhesion.cluster.resources import SHORTEST_SECONDS, Request, requests
from adhesion.cluster.script import body, clock, directives, must_be_plain, plain_script, seconds
from adhesion.cluster.slurm import SlurmPool, lost
from adhesion.cluster.status import study_state
from adhesion.errors import InputError, SetupError
from adhesion.estimates import kpoints
from adhesion.files import write_json
from adhesion.flows import StudyMaker
from adhesion.planning import plan_study
from adhesion.runner import Answer, note_failure, run_flow
from adhesion.schemas import BulkDocument
from adhesion.store import Results, open_store
from adhesion.study import Machine, Resources, data_path, load_machine
from conftest import study_of
from noop_jobs import build

HOSTILE = ["a b", "$(touch x)", "x;y", "x\n#SBATCH --uid=0", "'", '"', "`id`", "--uid=0", "ä"]


@pytest.fixture(scope="module")
def plans():
    return plan_study(study_of("Ag", "Au"), "smoke")


# --- machine files -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["laptop", "workstation", "slurm", "jobflow-remote"])
def test_machine_files_that_come_along(name, tmp_path, capsys):
    path = tmp_path / f"{name}.yaml"
    assert main(["init", str(path), "--machine", name]) == 0
    machine = load_machine(path)
    wanted = name if name in ("slurm", "jobflow-remote") else "local"
    assert machine.engine == wanted
    assert main(["init", str(path), "--machine", name]) == 2
    assert "already there" in capsys.readouterr().err


def test_a_role_changes_what_it_names_only():
    machine = load_machine(data_path("configs", "machines", "slurm.yaml"))
    assert (machine.resources("bulk").cores, machine.resources("bulk").memory_max) == (1, 4)
    assert machine.resources("bulk").partition == "compute"
    assert machine.resources("curve").cores == 4


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_are_refused(word):
    for data in ({"resource_dict": {"partition": word}}, {"sbatch": {"comment": word}}):
        with pytest.raises(ValidationError):
            Machine.model_validate(data)
    with pytest.raises(ValidationError):
        Machine.model_validate({"sbatch": {word: 1}})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("engine: slrum\n", ["engine", "slurm"]),
        ("resource_dict: {core: 2}\n", ["line 1", "resource_dict.core", "cores"]),
        ("resource_dict: {cores: 0}\n", ["resource_dict.cores"]),
        ("roles: {curves: {cores: 2}}\n", ["curve"]),
        ("sbatch: {chdir: /tmp}\n", ["chdir", "cannot be set"]),
        ("setup: ['a\\nb']\n", ["setup"]),
    ],
)
def test_a_wrong_machine_file_is_told(text, told, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(text.replace("'a\\nb'", '"a\\nb"'))
    with pytest.raises(InputError) as caught:
        load_machine(path)
    for part in ["m.yaml", *told]:
        assert part in str(caught.value)


# --- what a job asks for -----------------------------------------------------------------


def test_requests_follow_machine_and_estimate(plans):
    words = {"cores": 8, "run_time_max": 7200, "partition": "p"}
    machine = Machine(engine="slurm", resource_dict=words, roles={"slab": {"memory_max": 3}})
    asked = requests(plans, machine)
    assert set(asked) == set(plans[0].hashes.values())
    by_role = {role: asked[h] for role, h in plans[0].hashes.items()}
    assert {r.ranks for r in asked.values()} == {1}  # EMT knows no MPI
    assert by_role["film_slab"].resources.memory_max == 3
    assert by_role["curve"].resources.memory_max is None
    assert by_role["curve"].resources.run_time_max == 7200  # no estimate: the longest
    assert by_role["curve"].label == "Ag(001)/Au(001) curve"


def test_gpaw_gets_its_ranks_and_what_the_plan_estimates(monkeypatch):
    monkeypatch.setattr(resources_room, "shares_kpoints", lambda: True)
    plans = plan_study(study_of("Na", "Pb", level="quick"), "quick")
    words = {"cores": 4, "run_time_max": 200_000}
    machine = Machine(engine="slurm", resource_dict=words, walltime_factor=3.0)
    by_role = {role: requests(plans, machine)[h] for role, h in plans[0].hashes.items()}
    assert by_role["curve"].ranks == 4
    cut = [r for role, r in by_role.items() if not plans[0].recipes[role].calculator]
    assert all((r.ranks, r.resources.run_time_max) == (1, SHORTEST_SECONDS) for r in cut)
    single = Machine(engine="slurm", resource_dict=words | {"cores": 1}, walltime_factor=3.0)
    one = requests(plans, single)[plans[0].hashes["curve"]].resources.run_time_max
    four = by_role["curve"].resources.run_time_max
    assert SHORTEST_SECONDS <= four < one <= 200_000
    assert four == pytest.approx(one / 2.4, rel=0.01) or four == SHORTEST_SECONDS
    monkeypatch.setattr(resources_room, "shares_kpoints", lambda: False)
    curve = requests(plans, machine)[plans[0].hashes["curve"]]
    assert curve.ranks == kpoints(plans[0], "curve") == 1  # a second rank would have nothing to do


def test_what_failed_asks_for_more(tmp_path, plans):
    machine = Machine(engine="slurm", resource_dict={"run_time_max": 10_000})
    hash = plans[0].hashes["curve"]
    asked = {hash: Request("curve", 1, Resources(run_time_max=3000))}
    assert mended(asked, tmp_path, machine, Resources(memory_max=9)) == asked  # never failed
    note_failure(tmp_path, hash, "curve", "ran into its walltime", "TIMEOUT")
    more = mended(asked, tmp_path, machine, Resources())[hash].resources
    assert more.run_time_max == 6000
    request = {"resources": {"run_time_max": 8000}}
    (tmp_path / "queue" / hash).mkdir(parents=True)
    write_json(tmp_path / "queue" / hash / "request.json", request)
    assert mended(asked, tmp_path, machine, Resources())[hash].resources.run_time_max == 10_000
    given_ = Resources(run_time_max=20_000, memory_max=9)
    more = mended(asked, tmp_path, machine, given_)[hash].resources
    assert (more.run_time_max, more.memory_max) == (20_000, 9)


# --- scripts -----------------------------------------------------------------------------


def test_directives():
    resources = Resources(
        threads_per_core=2, memory_max=1.5, run_time_max=90_061, partition="p", account="a", qos="q"
    )
    lines = directives(resources, {"exclusive": True, "constraint": "a&b", "gres": False}, 8)
    assert lines.splitlines() == [
        f"#SBATCH --{line}"
        for line in (
            *("ntasks=8", "cpus-per-task=2", "exclusive", "partition=p", "account=a", "qos=q"),
            *("mem=1536M", "time=1-01:01:01", "constraint=a&b"),
        )
    ]


@given(st.integers(60, 40 * 86400))
def test_a_walltime_is_read_as_it_is_written(value):
    assert seconds(clock(value)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 5400), ("4:00:00", 14400), ("30:00", 1800), ("36h", 129600), ("1-12", 129600)],
)
def test_walltimes_as_sbatch_has_them(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "4:00:00:00", "-3h", "1h30m", "$(x)"])
def test_no_walltime(text):
    with pytest.raises(InputError, match="no walltime"):
        seconds(text)


@pytest.mark.parametrize("name", [n for n in HOSTILE if "\n" not in n])
def test_hostile_names_reach_no_shell(name, tmp_path):
    """Run the script's own lines: what bash hands over is what was meant."""
    show = [sys.executable, "-c", "import sys, json; print(json.dumps(sys.argv[1:]))"]
    machine = Machine(launcher=["mpiexec", "-n", "{cores}", name])
    text = body(machine, Resources(), 2, [*show, name])
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stdout) == [name]
    assert not list(tmp_path.iterdir())
    assert shlex.split(shlex.split(text.splitlines()[3])[1].split("=", 1)[1])[-1] == name


def test_ranks_need_a_launcher():
    with pytest.raises(InputError, match="no launcher"):
        body(Machine(), Resources(), 2, ["x"])


def test_a_launcher_is_asked_for_before_anything_is_queued(tmp_path, capsys):
    pytest.importorskip("gpaw")
    (tmp_path / "s.yaml").write_text("name: s\ninterfaces: [{film: Na, substrate: Pb}]\n")
    (tmp_path / "m.yaml").write_text("engine: slurm\nresource_dict: {cores: 4}\n")
    words = ["submit", str(tmp_path / "s.yaml"), "--machine", str(tmp_path / "m.yaml")]
    assert main([*words, "--store", str(tmp_path / "store")]) == 2
    assert "m.yaml, launcher: 4 cores are asked for" in capsys.readouterr().err


def test_white_space_is_refused():
    with pytest.raises(InputError, match="white space"):
        must_be_plain(Path("/home/me/my results"))


def test_one_plain_script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text("name: s\ninterfaces: [{film: Ag, substrate: Au}]\n")
    (tmp_path / "m.yaml").write_text(
        "engine: script\nsetup: [module load x]\n"
        "resource_dict: {run_time_max: 3600, partition: p}\n"
    )
    words = ["submit", "study.yaml", "--machine", "m.yaml", "--level", "smoke", "--store", "a 'b"]
    assert main(words) == 0
    script = Path("study-smoke.sh").read_text()
    assert "#SBATCH --time=01:00:00\n" in script
    assert script.index("module load x") < script.index("exec ")
    called = shlex.split(script.splitlines()[-1])
    assert called[2:5] == ["-m", "adhesion", "run"]
    assert str(tmp_path / "a 'b") in called
    assert subprocess.run(["bash", "-n", "study-smoke.sh"]).returncode == 0
    assert called[-2:] == ["--workers", "1"]
    both = Machine(resource_dict={"cores": 4}, launcher=["mpiexec", "-n", "{cores}"])
    assert plain_script(both, ["run"], "x y").endswith("run --workers 1\n")
    assert "LAUNCHER='mpiexec -n 4'" in plain_script(both, ["run"], "x y")
    serial = Machine(resource_dict={"cores": 4})
    assert plain_script(serial, ["run"], "x y").endswith("run --workers 4\n")
    assert "--ntasks=4" in plain_script(serial, ["run"], "x y")


# --- a queue that is silent, and commands that lie ---------------------------------------


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Stand-ins for Slurm's commands: a name to the lines of a shell script."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(queue_commands, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr("adhesion.cluster.slurm.LET_GO_SECONDS", 0.5)

    def put(**scripts):
        for name in ("sbatch", "squeue", "scancel", "scontrol", "sacct"):
            if name in scripts or not (folder / name).exists():
                path = folder / name
                path.write_text(f"#!/bin/sh\n{scripts.get(name, 'exit 1')}\n")
                path.chmod(path.stat().st_mode | stat.S_IXUSR)

    put()
    return put


def test_squeue_is_read_by_folder(commands):
    commands(
        squeue="echo '7|RUNNING|None|1:00|1:00:00|/a/b|c'; echo '9|PENDING|Priority|0:00|1|/x'"
    )
    jobs = my_jobs()
    assert jobs["/a/b|c"].id == 7
    assert not jobs["/a/b|c"].waits
    assert (jobs["/x"].waits, jobs["/x"].reason) == (True, "Priority")


@pytest.mark.parametrize("script", ["sleep 60", "exit 1", "echo down >&2; exit 1"])
def test_a_silent_queue_is_told(commands, script):
    commands(squeue=script)
    with pytest.raises(QueueSilentError, match="does not answer"):
        my_jobs()


@pytest.mark.parametrize(
    ("scontrol", "sacct", "log", "word"),
    [
        ("echo JobState=FAILED ExitCode=3:0", "exit 1", "", "FAILED with exit status 3"),
        ("exit 1", "echo NODE_FAIL", "", "NODE_FAIL"),
        ("exit 1", "exit 1", "", ""),
        # The script of a killed job may end with a status of its own before its state is noted.
        (
            "echo JobState=FAILED ExitCode=1:0",
            "exit 1",
            "*** JOB 3 ON n1 CANCELLED AT 12:00 DUE TO NODE FAILURE, SEE SLURMCTLD LOG ***",
            "NODE_FAIL",
        ),
        ("exit 1", "exit 1", "*** JOB 3 CANCELLED AT 12:00 DUE TO TIME LIMIT ***", "TIMEOUT"),
        ("echo JobState=CANCELLED", "exit 1", "DUE TO TIME LIMIT", "CANCELLED"),
    ],
)
def test_how_a_job_ended(commands, scontrol, sacct, log, word):
    commands(scontrol=scontrol, sacct=sacct)
    assert how_it_ended(3, log) == word


def run_on(folder, patience, **machine):
    flow, _ = build(folder / "side", {"a": ([], "")})
    there = Machine(engine="slurm", queue_patience_s=patience, **machine)
    pool = SlurmPool(folder / "store", there, {}, look_seconds=0.2)
    store = folder / "store"
    results = Results(open_store(store))
    return run_flow(flow, results, folder=store, workers=1, pool=pool)


@pytest.mark.parametrize(
    "scripts",
    [
        {"squeue": "sleep 60"},
        {"squeue": "true", "sbatch": "sleep 60"},
        {"squeue": "true", "sbatch": "echo Unable to contact slurm controller >&2; exit 1"},
    ],
    ids=["squeue hangs", "sbatch hangs", "sbatch fails for a while"],
)
def test_the_driver_gives_up_a_silent_queue(commands, scripts, tmp_path):
    commands(**scripts)
    begun = time.monotonic()
    with pytest.raises(QueueSilentError, match="does not answer"):
        run_on(tmp_path, 1.5)
    assert time.monotonic() - begun < 30


def test_a_refusal_is_a_failure_with_its_reason(commands, tmp_path):
    commands(squeue="true", sbatch="echo 'sbatch: error: invalid account' >&2; exit 1")
    (outcome,) = run_on(tmp_path, 60).values()
    assert outcome.status == "failed"
    assert "invalid account" in outcome.reason


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ("TIMEOUT", "walltime of 60 s"),
        ("CANCELLED", "cancelled"),
        ("NODE_FAIL", "lost its node"),
        ("OUT_OF_MEMORY", "memory"),
        ("FAILED with exit status 2", "exit status 2"),
        ("", "without a result"),
    ],
)
def test_how_it_ended_is_said(ended, said):
    error = lost(4, ended, Request("x", 1, Resources(run_time_max=60)), "last words")
    assert said in error.what
    assert "last words" in error.what
    assert "queue job 4" in error.what
    assert error.hint


# --- going on with run -------------------------------------------------------------------


@pytest.fixture
def left_in_the_queue(plans, tmp_path):
    """A store whose driver has died: the bulk of Ag came back, that of Au did not."""
    hdf = pytest.importorskip("executorlib.standalone.hdf")
    store, recipe = tmp_path / "store", plans[0].recipes["bulk_film"]
    document = BulkDocument(hash=recipe.hash, label="Ag bulk", recipe=recipe, status="done")
    for role in ("bulk_film", "bulk_substrate"):
        folder = store.resolve() / "queue" / plans[0].hashes[role]
        folder.mkdir(parents=True)
    answer = Answer(output=document.model_dump(mode="json"))
    came = store.resolve() / "queue" / recipe.hash
    hdf.dump(str(came / f"{recipe.hash}_o.h5"), {"output": answer})
    (folder / f"{folder.name}_i.h5").touch()
    return store, folder, document


def test_what_came_back_is_taken_over_by_a_run(left_in_the_queue, plans, commands):
    store, _, document = left_in_the_queue
    results = Results(open_store(store))
    commands(squeue="true")
    assert take_over(plans, results, store) == ["Ag bulk"]
    assert results.get(document.hash).document == document
    assert take_over(plans, results, store) == []


def test_a_run_leaves_alone_what_stands_in_the_queue(left_in_the_queue, plans, commands):
    store, folder, _ = left_in_the_queue
    results = Results(open_store(store))
    commands(squeue=f"echo '7|RUNNING|None|1:00|1:00:00|{folder}'")
    with pytest.raises(SetupError, match=r"queue job 7 is still at it.*\n.*adhesion submit"):
        take_over(plans, results, store)
    commands(squeue="exit 1")
    with pytest.raises(SetupError, match="left 1 calculations in a queue"):
        take_over(plans, results, store)


# --- status ------------------------------------------------------------------------------


def test_states(plans, commands, tmp_path):
    """Every state that a study's calculations can be in, from files and squeue alone."""
    store, hashes = tmp_path / "store", plans[0].hashes
    queue = store.resolve() / "queue"
    results = Results(open_store(store))
    recipe = plans[0].recipes["bulk_film"]
    results.add(BulkDocument(hash=recipe.hash, label="Ag bulk", recipe=recipe, status="done"))
    note_failure(store, hashes["bulk_substrate"], "Au bulk", "it broke", "ValueError")
    scratch = store / "calculations" / hashes["bulk_substrate"]
    scratch.mkdir(parents=True)
    (scratch / "error.log").write_text("Traceback\nValueError: it broke\n")
    for role in ("film_slab", "substrate_slab", "curve"):
        (queue / hashes[role]).mkdir(parents=True)
        (queue / hashes[role] / f"{hashes[role]}_i.h5").touch()
    (queue / hashes["curve"] / "slurm-5.log").write_text("first\nout of luck\n")
    progress = store / "calculations" / hashes["film_slab"] / "progress.txt"
    progress.parent.mkdir()
    progress.write_text("step 1\nstep 2\n")
    lines = [
        f"7|RUNNING|None|1:00|1:00:00|{queue / hashes['film_slab']}",
        f"8|PENDING|Priority|0:00|1:00:00|{queue / hashes['substrate_slab']}",
    ]
    commands(squeue="\n".join(f"echo '{line}'" for line in lines))
    state = study_state(plans, results, store)
    by_label = {c.label.removeprefix("Ag(001)/Au(001) "): c for c in state.calculations}
    assert {name: c.state for name, c in by_label.items()} == {
        "Ag bulk": "done", "Au bulk": "failed", "film slab": "running",
        "substrate slab": "queued", "curve": "failed", "interface": "waiting",
    }  # fmt: skip
    assert by_label["Au bulk"].log == "ValueError: it broke"
    assert by_label["film slab"].detail == "1:00 of 1:00:00: step 2"
    assert (by_label["substrate slab"].job, by_label["substrate slab"].detail) == (8, "Priority")
    assert by_label["curve"].log == "out of luck"
    assert by_label["interface"].detail.startswith("needs Ag(001)/Au(001) curve")
    assert state.driver == "none"

    commands(squeue="exit 1")
    state = study_state(plans, results, store)
    assert state.counts()["unknown"] == 3
    assert "does not answer" in state.queue


def test_status_and_exit_status(tmp_path, capsys):
    study = tmp_path / "s.yaml"
    study.write_text("name: s\ninterfaces: [{film: Ag, substrate: Au}]\n")
    words = ["status", str(study), "--level", "smoke", "--store", str(tmp_path / "store")]
    assert main([*words, "--json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"waiting": 6}
    assert told["calculations"][0]["detail"] == "not submitted"
    assert main(words) == 3
    assert "6 waiting" in capsys.readouterr().out


def test_a_dead_driver_is_told(plans, tmp_path):
    told = Record(["submit"], "s.yaml", "smoke", pid=999_999, host="n", started="now")
    write_json(tmp_path / "driver.json", vars(told))
    assert record(tmp_path) == told
    state = study_state(plans, Results(open_store(tmp_path)), tmp_path)
    assert "has died" in state.driver
    (tmp_path / "driver.json").write_text("{")
    assert record(tmp_path) is None


def test_without_slurm_it_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    study = tmp_path / "s.yaml"
    study.write_text("name: s\ninterfaces: [{film: Ag, substrate: Au}]\n")
    (tmp_path / "m.yaml").write_text("engine: slurm\n")
    machine = ["--machine", str(tmp_path / "m.yaml")]
    store = ["--store", str(tmp_path / "store")]
    assert main(["submit", str(study), *machine, "--level", "smoke", *store]) == 2
    assert "sbatch is not on PATH" in capsys.readouterr().err
    (tmp_path / "m.yaml").write_text("engine: local\n")
    assert main(["submit", str(study), *machine, "--level", "smoke", *store]) == 2
    assert "adhesion run" in capsys.readouterr().err


# --- jobflow-remote and FireWorks --------------------------------------------------------


def test_the_project_file_is_one_of_jobflow_remote(tmp_path, capsys, monkeypatch):
    from jobflow_remote.config.manager import ConfigManager
    from jobflow_remote.config.settings import JobflowRemoteSettings

    assert main(["init", str(tmp_path / "jr.yaml"), "--machine", "jobflow-remote"]) == 0
    settings = JobflowRemoteSettings(projects_folder=str(tmp_path), project="adhesion")
    monkeypatch.setattr("jobflow_remote.config.manager.SETTINGS", settings, raising=False)
    (tmp_path / "jr.yaml").unlink()
    manager = ConfigManager(warn=True)
    monkeypatch.setattr(manager, "projects_folder", tmp_path)
    projects = manager.load_projects_data()
    assert set(projects) == {"adhesion"}
    project = projects["adhesion"].project
    assert set(project.workers) == {"cluster", "here"}
    with pytest.raises(InputError, match="already there"):
        write_project(tmp_path)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((tmp_path / "adhesion.yaml").read_text().replace("type: remote", "type: rmt"))
    with pytest.raises(InputError, match="workers"):
        check_project(wrong)


def test_a_missing_project_is_told(plans, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    machine = Machine(engine="jobflow-remote")
    with pytest.raises(SetupError, match="jobflow-remote does not take the flow"):
        hand_over(study_of("Ag", "Au"), plans, "smoke", machine)


def test_the_flow_becomes_a_firework(plans):
    from jobflow.managers.fireworks import flow_to_workflow

    flow = StudyMaker(level="smoke").from_plans(study_of("Ag", "Au"), plans)
    workflow = flow_to_workflow(flow)
    assert len(workflow.fws) == len(flow.jobs) == 7
    names = {fw.name for fw in workflow.fws}
    assert {"Ag bulk", "Ag(001)/Au(001) curve"} <= names


@pytest.mark.skipif(
    "ADHESION_TEST_MONGODB_URI" not in os.environ,
    reason="no MongoDB: ADHESION_TEST_MONGODB_URI is not set",
)
def test_jobflow_remote_on_a_mongodb(plans, tmp_path, monkeypatch):
    import yaml

    uri, database = os.environ["ADHESION_TEST_MONGODB_URI"], f"adhesion_{os.getpid()}"
    store = {"type": "MongoURIStore", "uri": uri, "database": database}
    project = {
        "name": "adhesion",
        "workers": {
            "cluster": {"type": "local", "scheduler_type": "shell", "work_dir": str(tmp_path)}
        },
        "queue": {"store": store | {"collection_name": "jobs"}},
        "jobstore": {"docs_store": store | {"collection_name": "outputs"}},
    }
    (tmp_path / ".jfremote").mkdir()
    (tmp_path / ".jfremote" / "adhesion.yaml").write_text(yaml.safe_dump(project))
    env = os.environ | {
        "HOME": str(tmp_path),
        "JFREMOTE_PROJECTS_FOLDER": str(tmp_path / ".jfremote"),
    }
    jf = [str(Path(sys.executable).with_name("jf")), "-p", "adhesion"]
    subprocess.run([*jf, "admin", "reset", "--yes"], env=env, check=True)
    (tmp_path / "s.yaml").write_text("name: s\ninterfaces: [{film: Ag, substrate: Au}]\n")
    (tmp_path / "m.yaml").write_text("engine: jobflow-remote\n")
    adhesion = [sys.executable, "-m", "adhesion"]
    words = ["submit", str(tmp_path / "s.yaml"), "--machine", str(tmp_path / "m.yaml")]
    subprocess.run([*adhesion, *words, "--level", "smoke"], env=env, check=True)
    run_all = (
        "from jobflow_remote.jobs.runner import Runner; Runner().run_all_jobs(max_seconds=240)"
    )
    subprocess.run([sys.executable, "-c", run_all], env=env, timeout=300, check=True)
    (tmp_path / "jobflow.yaml").write_text(
        yaml.safe_dump({"JOB_STORE": {"docs_store": store | {"collection_name": "outputs"}}})
    )
    words = ["report", str(tmp_path / "s.yaml"), "--level", "smoke", "--format", "json"]
    done = subprocess.run(
        [*adhesion, *words, "--jobstore", str(tmp_path / "jobflow.yaml")],
        env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert '"status": "done"' in done.stdout
