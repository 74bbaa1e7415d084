#!/usr/bin/env bash
# tools/setup.sh run|dev: prints nothing when all is there, otherwise installs it.
# Creates .venv/<kind> with the pinned packages of requirements/<kind>.txt and checks the system libraries.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin  # ldconfig, which Debian keeps from the path of users
kind=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv/$kind

fail() { echo "setup: $*" >&2; exit 1; }

suitable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

find_python() {
    for python in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.10; do
        if command -v "$python" >/dev/null && suitable "$python"; then command -v "$python"; return; fi
    done
    fail "no Python 3.10 to 3.13 with venv and ensurepip was found (the simulator and the DDS wheel have none newer);" \
        "install one (Debian: python3-venv) or name it: make PYTHON=/path/to/python3"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

# MuJoCo renders without a screen through EGL or OSMesa.
need_renderer() {
    if has_library 'libOSMesa\.so' || has_library 'libEGL\.so\.1'; then return; fi
    if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
        echo "setup: installing libosmesa6 (MuJoCo draws with it when there is no screen)"
        { as_root apt-get update -qq && as_root apt-get install -y -qq libosmesa6; } >/dev/null 2>&1 || true
    fi
    has_library 'libOSMesa\.so' || has_library 'libEGL\.so\.1' ||
        fail "the library libOSMesa is missing, MuJoCo draws with it; install it with: sudo apt-get install libosmesa6"
}

need_packages() {
    local stamp wanted
    stamp=$venv/.installed
    wanted=$(cat "$root"/requirements/*.txt "$root/setup.py" | sha256sum)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then return; fi
    echo "setup: installing pinned packages into $venv"
    "$(find_python)" -m venv --clear "$venv"
    local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    if [ "$kind" = dev ]; then "${pip[@]}" -r "$root/requirements/torch.txt"; fi  # first and alone: nothing later may replace it
    "${pip[@]}" -r "$root/requirements/$kind.txt"
    "${pip[@]}" --no-deps --no-build-isolation --editable "$root"
    echo "$wanted" > "$stamp"
}

find_python >/dev/null
need_renderer
need_packages
