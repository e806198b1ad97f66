#!/usr/bin/env bash
# demo.sh [stop] - builds a small family of Debian images for real and asks JupyterLab for a first answer.
#
# Uses the Docker with Buildx that answers here, else a private engine (scripts/engine.sh). `stop` removes the
# container, the demo's images and folder, and ends the private engine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=${ORBITER_DEMO:-${TMPDIR:-/tmp}/orbiter-demo}
name=orbiter-demo
repo=localhost/orbiter-demo
port=${PORT:-8888}
orbiter=$PWD/.venv/bin/orbiter
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }

env=$(scripts/engine.sh ensure --registry) && eval "$env"

stop() {
  docker rm --force "$name" >/dev/null 2>&1 || true
  docker images --quiet --filter "reference=$repo" | sort -u | xargs -r docker rmi --force >/dev/null
  rm -rf "$folder"
}

if [ "${1:-}" = stop ]; then
  stop
  scripts/engine.sh down
  echo "The demo is gone."
  exit
fi

started=$SECONDS
env=$(scripts/fixtures.sh debian uv=0.13.9) && eval "$env"
engine_ready=$SECONDS

say "1. The configuration: $folder/orbiter.yaml"
docker rm --force "$name" >/dev/null 2>&1 || true
mkdir -p "$folder"
cat >"$folder/orbiter.yaml" <<YAML
version: 0.1.0
docker:
  repo: $repo
build:
  debian:
    core:
      image: debian:trixie-slim
      builder: pip_core
    base:
      image: core
      builder: pip_deploy
      build:
        image: core
        builder: pip_builder
        pip: [jupyterlab, numpy, pandas, matplotlib]
    geospatial:
      image: base
      builder: pip_deploy
      build:
        image: base-build
        builder: pip_builder
        pip: [geopandas]
YAML
cat "$folder/orbiter.yaml"

say "2. orbiter plan"
cd "$folder"
"$orbiter" plan

say "3. orbiter build: compiles, then docker buildx bake"
"$orbiter" build --load
built=$SECONDS

say "4. JupyterLab in $repo:debian-geospatial-0.1.0"
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
docker run --detach --name "$name" --env JUPYTER_TOKEN="$token" --publish "127.0.0.1:$port:8888" \
  "$repo:debian-geospatial-0.1.0" >/dev/null
for _ in $(seq 120); do
  answer=$(curl -fs "http://127.0.0.1:$port/api" || true)
  [ -z "$answer" ] || break
  sleep 0.5
done
if [ -z "$answer" ]; then
  docker logs "$name" >&2
  echo "JupyterLab did not answer within a minute; its log is above." >&2
  exit 4
fi
echo "it answers: $answer"
docker exec "$name" python -c 'import geopandas, numpy, pandas; print("imports geopandas", geopandas.__version__, "numpy", numpy.__version__, "pandas", pandas.__version__)'

say "Done in $((SECONDS - started)) s: engine and base image $((engine_ready - started)) s, images $((built - engine_ready)) s"
docker images --filter "reference=$repo" --format '  {{.Repository}}:{{.Tag}}  {{.Size}}'
echo
echo "  http://127.0.0.1:$port/lab?token=$token"
echo
echo "'make demo-stop' takes everything away again."
