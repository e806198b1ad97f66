#!/usr/bin/env bash
# fixtures.sh NAME[=VERSION]... - stand-ins for public base images, in $ENGINE_REGISTRY.
#
#   env=$(scripts/engine.sh ensure) && eval "$env"
#   env=$(scripts/fixtures.sh debian uv=0.13.9) && eval "$env"
#
# For machines that reach no public registry.  The private engine of engine.sh uses its registry
# as the mirror of Docker Hub, so `FROM debian:trixie-slim` finds the stand-in under the public
# name.  With any other engine nothing is made while Docker Hub answers.
# ORBITER_FIXTURES=always|never overrides that question.
#
# stdout carries `export` lines only (images that are not on Docker Hub need a variable for their
# reference); all talk is on stderr.  An image that is there already costs two HTTP requests.
#
# How a fixture plugs in
#   scripts/fixtures/NAME.sh, sourced on demand in a subshell with `set -euo pipefail`, defines
#
#     fixture_NAME() {                    # $1: the VERSION of NAME=VERSION, else empty
#       local ref=library/NAME:TAG dir
#       if ! has_image "$ref"; then       # made by this very recipe? then nothing to do
#         dir=$(workdir NAME)             # an empty-or-kept folder in the cache, kept for downloads
#         ...fill $dir/rootfs...
#         push_image "$ref" "$dir/rootfs" --change 'CMD ["sh"]'
#         rm -rf "$dir/rootfs"
#       fi
#       emit UV_IMAGE "$ENGINE_REGISTRY/$ref"      # only for images that are not on Docker Hub
#     }
#
#   (`-` in NAME is `_` in the function's name.)  Two runs at once wait for each other, NAME by NAME.
#   REF is the path under the registry: `library/debian:trixie-slim`, `mambaorg/micromamba:2`.
#   It may use these functions; a failing command ends the script with status 4.
#
#     has_image REF               REF is in the registry, made by this recipe with these private CAs:
#                                 the fixture's files (NAME.*) and the CAs are hashed into a second tag
#     push_image REF DIR [OPT..]  the files of DIR become image REF; OPT as for `docker import`
#     publish_image REF LOCAL     the same for an image that is in the engine already (docker build
#                                 --load); the local name LOCAL is removed
#     workdir NAME                prints a folder in the cache that stays from run to run
#     unpack_deb DIR PACKAGE..    Debian packages unpacked into DIR, nothing installed
#     fetch_wheel DIR PLATFORM REQUIREMENT [OPT..]   downloads a wheel with pip, prints its path;
#                                 OPT as for `pip download`
#     private_cas                 prints the *.crt files this machine adds to the public ones
#     put_private_cas DIR         puts them, and the bundle with them, into the root file system DIR;
#                                 push_image then sets the variables that uv, pip and Node look at
#     debian_archive [security]   the address of the Debian archive that this machine uses
#     engine_arch                 amd64, arm64: of the engine, not of this machine
#     need COMMAND..              or ends with a message
#     emit NAME VALUE, say TEXT, die TEXT
set -euo pipefail
shopt -s inherit_errexit 2>/dev/null || true # the bash of a Mac does not know it

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
engine=$here/engine.sh
cache=${ENGINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orbiter-engine}
ca_dir=/usr/local/share/ca-certificates          # where Debian wants the administrator's own
ca_bundle=/etc/ssl/certs/ca-certificates.crt     # what update-ca-certificates makes of it

say() { printf 'fixtures: %s\n' "$*" >&2; }
die() { say "$*"; exit 4; }
emit() { printf 'export %s=%q\n' "$1" "$2"; }

need() {
  local c missing=
  for c in "$@"; do command -v "$c" >/dev/null || missing+=" $c"; done
  [ -z "$missing" ] || die "missing:$missing; install them (apt-get install$missing)"
}

workdir() { mkdir -p "$cache/work/$1" && echo "$cache/work/$1"; }
unpack_deb() { "$engine" unpack "$@"; }
debian_archive() { "$engine" archive "$@"; }
engine_arch() { docker version --format '{{.Server.Arch}}'; }

fetch_wheel() {
  # The project's own environment, the machine's Python, whatever has a pip.  Only the binary wheel
  # counts, and it need not run here: it may be for another libc.
  local dir=$1 platform=$2 requirement=$3 pip; shift 3
  rm -rf "$dir"; mkdir -p "$dir"
  for pip in "python3 -m pip" pip3 pip; do
    $pip --version >/dev/null 2>&1 || continue
    $pip download -qq --disable-pip-version-check --no-deps --only-binary :all: \
      --platform "$platform" --dest "$dir" "$@" "$requirement" >&2
    echo "$dir"/*.whl; return 0
  done
  die "no pip to download $requirement with; install it (apt-get install python3-pip)"
}

# --- private certificate authorities ---------------------------------------------------------------

private_cas() { find "$ca_dir" -name '*.crt' 2>/dev/null | sort; }

put_private_cas() {
  local root=$1 f
  while read -r f; do install -D -m 644 "$f" "$root$ca_dir/${f##*/}"; done < <(private_cas)
  # The bundle serves until the package ca-certificates is installed; that one writes it anew, out
  # of its own files and those in $ca_dir.
  install -D -m 644 "$ca_bundle" "$root$ca_bundle"
}

# --- the registry ----------------------------------------------------------------------------------

digest() { # digest REF: its digest in the registry; fails if it is not there
  local line
  line=$(curl -fsI --max-time 5 -H 'Accept: application/vnd.oci.image.index.v1+json' \
    -H 'Accept: application/vnd.oci.image.manifest.v1+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json' \
    -H 'Accept: application/vnd.docker.distribution.manifest.v2+json' \
    "http://$ENGINE_REGISTRY/v2/${1%:*}/manifests/${1##*:}" | tr -d '\r' |
    grep -i '^docker-content-digest:') && echo "${line##* }"
}

recipe_hash() { # recipe_hash FILE..: of the recipe and of what it takes from this machine
  { cat "$@"; private_cas | xargs -r cat; } | sha256sum | cut -c1-12
}

has_image() {
  local there made
  there=$(digest "$1") && made=$(digest "$1-orbiter-$recipe") && [ "$there" = "$made" ]
}

publish_image() {
  local image=$ENGINE_REGISTRY/$1 name
  for name in "$image" "$image-orbiter-$recipe"; do # the recipe's tag last: it says "complete"
    docker tag "$2" "$name"
    docker push --quiet "$name" >/dev/null
  done
  docker rmi "$image" "$image-orbiter-$recipe" "$2" >/dev/null
}

push_image() {
  local ref=$1 dir=$2 local_name=orbiter-fixture:$$ v; shift 2
  if compgen -G "$dir$ca_dir/*.crt" >/dev/null; then
    # uv, pip and Node bring their own list of CAs and look at the system's only when told to.
    for v in SSL_CERT_FILE PIP_CERT REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS; do
      set -- "$@" --change "ENV $v=$ca_bundle"
    done
  fi
  tar -C "$dir" -c --numeric-owner --sort=name --one-file-system \
    --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' . |
    docker import "$@" - "$local_name" >/dev/null
  publish_image "$ref" "$local_name"
}

# --- are stand-ins wanted? -------------------------------------------------------------------------

mirrors_docker_hub() { # the engine asks $ENGINE_REGISTRY for every image of Docker Hub
  [ -n "${ENGINE_REGISTRY:-}" ] &&
    docker info --format '{{json .RegistryConfig.Mirrors}}' 2>/dev/null | grep -qF "//$ENGINE_REGISTRY/"
}

docker_hub_answers() {
  local limit=
  if command -v timeout >/dev/null; then limit="timeout 10"; fi
  $limit docker buildx imagetools inspect debian:trixie-slim >/dev/null 2>&1
}

wanted() {
  case ${ORBITER_FIXTURES:-auto} in
    always) ;;
    never) say "not wanted (ORBITER_FIXTURES=never)"; return 1 ;;
    auto)
      mirrors_docker_hub && return 0
      if docker_hub_answers; then say "Docker Hub answers: no stand-ins needed"; return 1; fi ;;
    *) say "ORBITER_FIXTURES is always, never or auto"; exit 2 ;;
  esac
  # shellcheck disable=SC2016 # the line is for the user's shell
  [ -n "${ENGINE_REGISTRY:-}" ] || die 'no registry; first: eval "$(scripts/engine.sh ensure --registry)"'
  mirrors_docker_hub ||
    say "this engine does not use $ENGINE_REGISTRY as mirror: build with \"mirrors: docker.io: $ENGINE_REGISTRY\""
}

# --- main ------------------------------------------------------------------------------------------

make_one() { # make_one NAME VERSION, in a subshell
  local name=$1 version=$2 file=$here/fixtures/$1.sh recipe t0
  recipe=$(recipe_hash "$here/fixtures/$name".*)
  mkdir -p "$cache/work"
  exec 9>"$cache/work/.$name.lock"; flock 9
  t0=$SECONDS
  # shellcheck source=/dev/null
  . "$file"
  "fixture_${name//-/_}" "$version" 9>&-
  [ $((SECONDS - t0)) -lt 2 ] || say "$name made in $((SECONDS - t0)) s"
}

[ $# -gt 0 ] || { sed -n '2,/^# How/{/^# How/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
for arg in "$@"; do
  [[ ${arg%%=*} =~ ^[a-z][a-z0-9-]*$ && -e $here/fixtures/${arg%%=*}.sh ]] || {
    say "no fixture '${arg%%=*}'; there are:$(cd "$here/fixtures" && printf ' %s' *.sh | sed 's/\.sh//g')"
    exit 2
  }
done
need docker
wanted || exit 0
need curl flock
for arg in "$@"; do
  version=
  [[ $arg = *=* ]] && version=${arg#*=}
  # not `( … ) || exit`: that would switch `set -e` off inside
  set +e; ( set -e; make_one "${arg%%=*}" "$version" ); rc=$?; set -e
  [ "$rc" = 0 ] || die "'${arg%%=*}' failed (status $rc)"
done
