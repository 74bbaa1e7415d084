#!/usr/bin/env bash
# Makes the shipped bundle from nothing: records over ROS 2 topics, converts, trains, exports, evaluates.
# usage: tools/train_shipped.sh [FOLDER [SEED]]     needs `pip install '.[train,sim]'`; about an hour on two cores.
# Every stage is skipped when its result is there, so a run that was interrupted continues.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "${1:-runs/shipped}" && cd "${1:-runs/shipped}"
seed=${2:-1}
tasks="drawer-open window-open button-press-topdown door-open"
export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-77}
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
qtx() { python3 -m qtx_ros "$@"; }

record() {  # record MIX EPISODES FIRST_SEED: EPISODES of each task, kept when they end as MIX wants
    local bags=bags/$1
    if [ -f "$bags/.complete" ]; then return; fi
    rm -rf "$bags"
    # not `qtx`: $! would be a subshell, and kill would leave the nodes running beside the next ones
    python3 -m qtx_ros sim >"sim-$1.log" 2>&1 & local sim=$!
    python3 -m qtx_ros record --out "$bags" >"recorder-$1.log" 2>&1 & local recorder=$!
    # shellcheck disable=SC2064
    trap "kill $sim $recorder 2>/dev/null || true; wait" EXIT
    # shellcheck disable=SC2086
    qtx collect --tasks $tasks --mix "$1" --episodes "$2" --seed "$3"
    kill $sim $recorder; wait $sim $recorder || true
    trap - EXIT
    touch "$bags/.complete"
}

record demo 80 $((seed * 100000))
record failure 40 $((seed * 100000 + 50000))
qtx convert bags/demo bags/failure -o dataset
qtx train dataset -o run --config sawyer_sim --seed "$seed" --resume
qtx export run -o sawyer_sim
qtx evaluate sawyer_sim --episodes 25 --json evaluation.json
qtx export run -o sawyer_sim --metrics evaluation.json --recipe "$root/tools/train_shipped.sh"
echo "the bundle is $PWD/sawyer_sim"
