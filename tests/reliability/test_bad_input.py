"""Bad input ends in status 2 and a sentence; nothing is computed, nothing hangs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import corpus
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tally import SCALE, count, scaled

from adhesion import cli, runner

LONGEST_S = 10
"""Of CPU time: the machine may be busy with other things."""
BLOCKED_S = 100
"""Of any time: a pipe that nobody writes to costs no CPU."""
CASES = corpus.everything()
MENDED = (
    "levels.smoke.max_area_A2 = 1", "levels.smoke.vacuum_A = 1", "levels.smoke.kpoint_length_A",
    "levels.smoke.fmax_eV_A = 1", "levels.smoke.gap_step_A = 1", "levels.smoke.max_steps = 1",
    "cif nan cell", "cif negative cell", "cif 20000 atoms", "cif: x.cif", "cif: /dev/zero",
    "cif: pipe", "structure device", "structure packed", "structure with @", "structure folder",
    "structure nan cell", "structure position nan", "structure same place",
    "interfaces.0.measured.0.theta_deg = True", "interfaces.0.reference.source =",
    "interfaces.0.candidate = True", "interfaces.0.film.miller = [F", "levels.smoke.n_gaps = True",
    "levels.smoke.layers.film = True", "levels.smoke.strain.share = True",
    "levels.smoke.calculator.proxy.scale = 1", "materials.X.oxidation_states = {'Au': 0, 'X",
    "materials.X.keep_bonds = [['Q", "text wrong bool", "text wrong date", "text line break",
    "text escape", "cif length twice", "cif angle", "cif position 1e", "cif occupancy below",
    "cif zero bytes", "cif many", "structure of 10", "structure film called",
    "structure substrate called", "structure with a", "machine memory 1e", "machine sbatch",
    "machine launcher", "machine factor", "machine wrong bool", "settings only read",
    "settings files",
)  # fmt: skip
"""Starts of the names of those that once hung, crashed or were let through."""
PICKED = [
    case
    for i, case in enumerate(CASES)
    if SCALE != "test" or i % 4 == 0 or case.name.startswith(MENDED)
]


class HangError(BaseException):
    """Nothing of ours catches it."""


def _hang(*_):
    raise HangError


@contextmanager
def no_hang():
    old = {number: signal.signal(number, _hang) for number in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_REAL, BLOCKED_S)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for number, handler in old.items():
            signal.signal(number, handler)


@pytest.fixture
def line(tmp_path, monkeypatch, capsys):
    """Run a command line in a folder with these files; nothing may be computed."""
    computed = []
    monkeypatch.setattr(runner, "run_flow", lambda *a, **k: computed.append(1))

    def run(case: corpus.Case) -> tuple[int, str, list[str]]:
        lay_out(case, tmp_path)
        monkeypatch.chdir(tmp_path)
        with no_hang():
            status = cli.main(list(case.arguments))
        out, err = capsys.readouterr()
        assert not computed
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted({*case.files, "pipe"})
        assert out == ""
        return status, err, [x for x in err.splitlines() if not x.startswith("results in ")]

    return run


def lay_out(case: corpus.Case, folder: Path) -> None:
    for name, body in case.files.items():
        (folder / name).write_bytes(body if isinstance(body, bytes) else body.encode())
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")


def test_the_corpus_is_large_and_the_study_it_is_made_of_is_good(tmp_path, monkeypatch, capsys):
    assert len(CASES) >= 150
    assert len({c.name for c in CASES}) == len(CASES)
    lay_out(corpus.Case("good", (), corpus.good_files()), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plan", "study.yaml", "--level", "smoke"]) == 0


@pytest.mark.parametrize("case", PICKED, ids=lambda c: ascii(c.name)[:60])
def test_refused(line, case):
    status, err, said = line(case)
    good = status == 2 and len(said) <= 2 and "Traceback" not in err and said[0].startswith("adhes")
    good = good and all(part in err for part in case.parts)
    good = good and err.replace("\n", "").isprintable()  # a terminal obeys nothing in it
    count("bad files, in one process", lost=not good, note="each in a sentence with file and key")
    assert good, err


def test_refused_as_processes(tmp_path):
    chosen = random.Random(0).sample(CASES, scaled(1, 20))
    for number, case in enumerate(chosen):
        folder = tmp_path / str(number)
        folder.mkdir()
        lay_out(case, folder)
        arguments = [a for a in case.arguments if "\0" not in a]
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "adhesion", *arguments], cwd=folder, capture_output=True,
            text=True, timeout=120, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        good = done.returncode == 2 and "Traceback" not in done.stderr and not done.stdout
        count("bad files, a process each", lost=not good, note="status 2")
        assert good, (case.name, done, time.monotonic() - start)


# Fuzzed: whatever is done to a good file, it is planned or refused


@st.composite
def spoiled(draw: st.DrawFn, text: str) -> bytes:
    """A good file with a few bytes, words or lines removed, doubled, swapped or replaced."""
    lines = text.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        kind = draw(st.sampled_from(["cut", "drop", "double", "swap", "word", "byte", "indent"]))
        if kind == "cut":
            lines = lines[: at + 1]
        elif kind == "drop" and len(lines) > 1:
            del lines[at]
        elif kind == "double":
            lines.insert(at, lines[at])
        elif kind == "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == "word" and lines[at].split():
            word = draw(st.sampled_from(lines[at].split()))
            new = draw(
                st.sampled_from(["nan", "-1", "1e999", "''", "[]", "{}", "~", "0", "&a", "*a"])
            )
            lines[at] = lines[at].replace(word, new, 1)
        elif kind == "indent":
            lines[at] = " " * draw(st.integers(1, 3)) + lines[at]
        else:
            where = draw(st.integers(0, len(lines[at])))
            lines[at] = lines[at][:where] + draw(st.characters()) + lines[at][where + 1 :]
    return ("\n".join(lines) + "\n").encode(errors="surrogatepass")


def planned_or_refused(folder, files, capsys, monkeypatch, what) -> None:
    case = corpus.Case("fuzzed", (), {**corpus.good_files(), **files})
    lay_out(case, folder)
    monkeypatch.chdir(folder)
    with no_hang():
        status = cli.main(["plan", "study.yaml", "--level", "smoke"])
    err = capsys.readouterr().err
    said = err.splitlines()
    good = status == 0 or (status == 2 and len(said) <= 2 and "study.yaml" in said[0])
    count(f"fuzzed {what}", lost=not good, note="planned, or refused in a sentence")
    assert good, (files, err)


fuzz = settings(
    max_examples=scaled(10, 300), deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


@fuzz
@given(body=spoiled(corpus.dump(corpus.WORKS)))
def test_fuzzed_studies(tmp_path, capsys, monkeypatch, body):
    planned_or_refused(tmp_path, {"study.yaml": body}, capsys, monkeypatch, "studies")


@fuzz
@given(body=spoiled(corpus.CIF))
def test_fuzzed_crystals(tmp_path, capsys, monkeypatch, body):
    planned_or_refused(tmp_path, {"x.cif": body}, capsys, monkeypatch, "crystals")
