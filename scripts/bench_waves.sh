#!/usr/bin/env bash
# bench_waves.sh [--write] - runs bench_waves.py on a private engine that has built nothing yet, and ends that engine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export ENGINE_STATE=${ENGINE_STATE:-${TMPDIR:-/tmp}/orbiter-waves-engine}
export ENGINE_REG=${ENGINE_REG:-$ENGINE_STATE/registry}
export ENGINE_BRIDGE=${ENGINE_BRIDGE:-orb8} ENGINE_BIP=${ENGINE_BIP:-10.218.0.1/24}
trap 'scripts/engine.sh purge' EXIT
env=$(scripts/engine.sh up) && eval "$env"
"${PYTHON:-.venv/bin/python}" scripts/bench_waves.py "$@"
