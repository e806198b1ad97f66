#!/usr/bin/env bash
# bench_images.sh [--write] - runs bench_images.py on a private engine that has built nothing yet, and ends that engine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export ENGINE_STATE=${ENGINE_STATE:-${TMPDIR:-/tmp}/orbiter-bench-engine}
export ENGINE_BRIDGE=${ENGINE_BRIDGE:-orb9} ENGINE_BIP=${ENGINE_BIP:-10.219.0.1/24}
trap 'scripts/engine.sh purge' EXIT
env=$(scripts/engine.sh up) && eval "$env"
env=$(scripts/fixtures.sh debian uv=0.13.9 alpine=3.23 micromamba=2.9.0) && eval "$env"
.venv/bin/python scripts/bench_images.py "$@"
