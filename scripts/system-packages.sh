#!/bin/sh
# What GPAW compiles against. Installed where this is root on Debian or Ubuntu; said otherwise.
set -eu

packages="g++ libxc-dev libopenblas-dev libfftw3-dev python3-dev python3-venv"
# GPAW is compiled with MPI where it is found; without it everything runs on one core.
mpi="libopenmpi-dev openmpi-bin"
root=
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 && root=yes

for file in /usr/include/xc.h /usr/include/fftw3.h /usr/include/*/openblas-pthread/cblas.h; do
    [ -e "$file" ] || missing=yes
done
command -v g++ >/dev/null 2>&1 || missing=yes
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing=yes
[ -n "$root" ] && ! command -v mpicxx >/dev/null 2>&1 && missing=yes
[ -n "${missing:-}" ] || exit 0

if [ -n "$root" ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages $mpi >/dev/null
    exit 0
fi
echo "GPAW compiles against packages that are not here. Type:" >&2
echo "    sudo apt-get install $packages $mpi" >&2
echo "and then the same make command again." >&2
exit 1
