#!/bin/sh
# What `make test-slurm` runs on. Installed where this is root on Debian or Ubuntu; said otherwise.
set -eu

packages="slurmctld slurmd slurm-client munge openmpi-bin libopenmpi-dev"

for command in slurmctld slurmd sbatch munged mpiexec; do
    PATH="$PATH:/usr/sbin" command -v "$command" >/dev/null 2>&1 || missing=yes
done
[ -n "${missing:-}" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
    exit 0
fi
echo "Slurm and MPI are not installed here. Type:" >&2
echo "    sudo apt-get install $packages" >&2
echo "and then the same make command again." >&2
exit 1
