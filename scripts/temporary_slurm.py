"""A real Slurm of two nodes on one machine, all of it in one folder, for tests.

    python scripts/temporary_slurm.py start FOLDER    then: export SLURM_CONF=FOLDER/slurm.conf
    python scripts/temporary_slurm.py stop FOLDER

Needs no systemd, no cgroups and no root: slurmctld, two slurmd and munged run as you.
"""

from __future__ import annotations

import getpass
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

NODES = ("n1", "n2")
CORES = 2
START_SECONDS = 30.0

CONF = """\
ClusterName=temporary
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
DefMemPerCPU=200
ReturnToService=2
SlurmdTimeout=20
KillWait=3
MinJobAge=300
OverTimeLimit=0
SchedulerParameters=bf_interval=5,sched_interval=5
{nodes}
PartitionName=compute Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=short Nodes=n1,n2 MaxTime=2 State=UP
"""


def start(folder: Path) -> None:
    """Start all daemons and wait until both nodes are idle."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged trusts no folder that others may write to
    ports = _free_ports(1 + len(NODES))
    host = socket.gethostname().split(".")[0]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} "
        f"CPUs={CORES} RealMemory=4000 State=UNKNOWN"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    conf = folder / "slurm.conf"
    user = getpass.getuser()
    conf.write_text(CONF.format(folder=folder, host=host, port=ports[0], user=user, nodes=nodes))
    (folder / "state").mkdir(exist_ok=True)
    for name in NODES:
        (folder / f"spool-{name}").mkdir(exist_ok=True)
    _start_munge(folder)
    run(folder, "slurmctld", "-c")
    for name in NODES:
        run(folder, "slurmd", "-N", name)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        done = run(folder, "sinfo", "-h", "-N", "-p", "compute", "-o", "%T", check=False)
        if done.stdout.split() == ["idle"] * len(NODES):
            return
        time.sleep(0.2)
    stop(folder)
    raise SystemExit(f"Slurm has not started: {_logs(folder)}")


def stop(folder: Path) -> None:
    """Stop the daemons that were started in this folder, by their pid files."""
    names = ["slurmctld", *(f"slurmd-{n}" for n in NODES), "munged"]
    for name in names:
        path = folder / f"{name}.pid"
        try:
            os.kill(int(path.read_text()), signal.SIGTERM)
        except (OSError, ValueError):
            continue
    end = time.monotonic() + 10
    while time.monotonic() < end and any((folder / f"{n}.pid").exists() for n in names[:-1]):
        time.sleep(0.1)


def run(folder: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of this Slurm."""
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    env = os.environ | {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}\n{_logs(folder)}")
    return done


def _start_munge(folder: Path) -> None:
    key = folder / "munge.key"
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    options = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
    options |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    run(folder, "munged", "--force", *(f"--{k}={folder / v}" for k, v in options.items()))


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _logs(folder: Path) -> str:
    return "\n".join(
        f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in folder.glob("*.log")
    )


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        raise SystemExit(__doc__)
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]).absolute())
