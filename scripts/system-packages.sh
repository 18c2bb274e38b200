#!/bin/sh
# What GPAW compiles against. Installed where this is root on Debian or Ubuntu; said otherwise.
set -eu

packages="g++ libxc-dev libopenblas-dev python3-dev python3-venv"

for file in /usr/include/xc.h /usr/include/*/openblas-pthread/cblas.h; do
    [ -e "$file" ] || missing=yes
done
command -v g++ >/dev/null 2>&1 || missing=yes
python3 -c 'import ensurepip' >/dev/null 2>&1 || missing=yes
[ -n "${missing:-}" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
    exit 0
fi
echo "GPAW compiles against packages that are not here. Type:" >&2
echo "    sudo apt-get install $packages" >&2
echo "and then the same make command again." >&2
exit 1
