#!/bin/sh
# A headless Chromium for the tests of the HTML report: the system's, else playwright's own.
# Without one those tests are skipped and say so.
set -eu

here() {
    for name in chromium-headless-shell chromium chromium-browser google-chrome chrome; do
        command -v "$name" >/dev/null 2>&1 && return 0
    done
    [ -n "$(ls "${PLAYWRIGHT_BROWSERS_PATH:-$HOME/.cache/ms-playwright}" 2>/dev/null)" ]
}

here && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq || true
    for package in chromium-headless-shell chromium; do
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            "$package" fonts-dejavu-core >/dev/null 2>&1 && here && exit 0
    done
fi
timeout 300 .venv/bin/playwright install chromium-headless-shell >/dev/null 2>&1 && here && exit 0
echo "no Chromium could be installed; the tests of the HTML report in a browser are skipped." >&2
echo "    sudo apt-get install chromium    brings one" >&2
exit 0
