#!/usr/bin/env bash
# engine.sh - a Docker engine with Buildx, and a registry, for the demo and the tests.
#
#   env=$(scripts/engine.sh ensure) && eval "$env"    # a plain eval would hide a failure
#
#   ensure [--registry]  the Docker with Buildx that answers here already, else the private engine.
#                        --registry: a registry beside the former too (the private one always has it)
#   up                   the private engine, whatever else there is
#   env                  the environment of the running private engine
#   status               what runs; fails unless both the private engine and its registry do
#   down                 ends both, and the registry that `ensure --registry` started elsewhere
#   purge [--all]        down, and removes images and builds; --all: base images and downloads too
#   fetch                only downloads and unpacks
#   unpack DIR PACKAGE.. Debian packages unpacked into DIR, nothing installed
#   archive [security]   the address of the Debian archive that this machine uses
#
# ensure, up and env print `export` lines on stdout; all talk is on stderr.  Status 2: usage,
# 4: no engine to be had.
#
# The private engine needs root on Debian 12 or later (amd64, arm64).  What it unpacks lives in
# ENGINE_CACHE, what it runs in ENGINE_STATE; nothing is installed on the system.  Its registry is
# also the mirror of Docker Hub: an image pushed as $ENGINE_REGISTRY/library/debian:trixie-slim is
# what `FROM debian:trixie-slim` finds.
#
#   ORBITER_ENGINE  `private`: ensure takes the private engine even where another one answers
#   ENGINE_CACHE    unpacked programs, downloads, base images; shared (~/.cache/orbiter-engine)
#   ENGINE_STATE    one folder per engine (/tmp/orbiter-engine)
#   ENGINE_REG      storage of the registry ($ENGINE_CACHE/registry, so base images survive purge)
#   ENGINE_SUITE    the Debian suite Docker comes from (forky)
#   ENGINE_BRIDGE, ENGINE_BIP    its network (orb0, 10.213.0.1/24): others for a second engine
#   ENGINE_NET      bridge, or host: no bridge, no iptables rule; then every RUN needs
#                   network = "host", and bake --allow network.host
set -euo pipefail

# `ensure` also has to find the Docker of a Mac, with its old bash and without GNU's tools.
shopt -s inherit_errexit 2>/dev/null || true
absolute() { realpath -m "$1" 2>/dev/null || echo "$1"; }
soon() { if command -v timeout >/dev/null; then timeout 10 "$@"; else "$@"; fi; }

cache=$(absolute "${ENGINE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orbiter-engine}")
state=$(absolute "${ENGINE_STATE:-/tmp/orbiter-engine}")
reg=$(absolute "${ENGINE_REG:-$cache/registry}")
suite=${ENGINE_SUITE:-forky}
net=${ENGINE_NET:-bridge}
br=${ENGINE_BRIDGE:-orb0} bip=${ENGINE_BIP:-10.213.0.1/24}
subnet=${bip%.*}.0/${bip#*/}
sock=$state/docker.sock
host_changes=/run/orbiter-engine.changes   # what `down` has to undo; gone after a reboot, as they are
registry_name=orbiter-registry registry_label=orbiter.engine=registry

codename='' os=''
if [ -e /etc/os-release ]; then
  # shellcheck source=/dev/null
  { os=$(. /etc/os-release; echo "${ID:-}${VERSION_ID:-}"); codename=$(. /etc/os-release; echo "${VERSION_CODENAME:-}"); }
fi
root=$cache/root-$suite-$codename

say() { printf 'engine: %s\n' "$*" >&2; }
die() { say "$*"; exit 4; }
die_with_log() { say "$1"; tail -n 5 "$2" >&2; exit 4; }

# --- Debian packages, without installing them ------------------------------------------------------

archive() { # archive [security]: as apt knows it, whatever it is called
  local suffix=${1:+-$1} uri=
  # shellcheck disable=SC2016 # apt-get fills these in
  uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 2>/dev/null |
    awk -v c="$codename$suffix" '$2 == c && $3 == "main" {print $1; exit}') || true
  if [ -z "$uri" ]; then # no package lists on this machine (a slim container): read the sources
    uri=$(grep -rhoE "https?://[^ ]+/debian$suffix/?( |\$)" /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
      head -n 1 | tr -d ' ') || true
  fi
  [ -n "$uri" ] || [ -n "$suffix" ] || uri=http://deb.debian.org/debian
  [ -z "$uri" ] || echo "${uri%/}"
}

# download DIR SUITE... -- PACKAGE[/SUITE]...: apt with its own sources, lists and cache; the
# system's stay as they are.
download() {
  local dir=$1 s; shift
  mkdir -p "$dir" "$cache/apt/lists/partial" "$cache/apt/archives/partial"
  : >"$cache/apt/sources.list"
  while [ "$1" != -- ]; do
    s=$1; shift
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(archive) $s main" >>"$cache/apt/sources.list"
  done
  shift
  cat >"$cache/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$cache/apt/sources.list"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null"; Dir::Etc::preferences "/dev/null";
Dir::State::lists "$cache/apt/lists"; Dir::Cache "$cache/apt"; Dir::Cache::archives "$cache/apt/archives";
Acquire::Languages "none"; Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
APT::Sandbox::User "root"; APT::Install-Recommends "false"; Acquire::Retries "3";
CONF
  export APT_CONFIG=$cache/apt/apt.conf
  apt-get -qq update >&2
  ( cd "$dir"; apt-get -qq download "$@" >&2 )
  unset APT_CONFIG
  rm -rf "$cache/apt" # ~200 MB of package lists
}

unpack() { # unpack DIR PACKAGE...: from the machine's own suite
  local dir=$1 d; shift
  [ -n "$codename" ] || die "unpack needs Debian"
  mkdir -p "$cache" "$dir"; exec 9>"$cache/.lock"; flock 9
  rm -rf "$cache/debs"
  download "$cache/debs" "$codename" -- "$@"
  for d in "$cache"/debs/*.deb; do dpkg-deb -x "$d" "$dir"; done
  rm -rf "$cache/debs"; exec 9>&-
}

# --- fetch -------------------------------------------------------------------------------------------

# From $suite; these need no newer libc than Debian 12 has:
new_pkgs=(docker.io docker-cli docker-buildx containerd docker-registry)
# From the machine's own release, because newer ones do; with the libraries of iptables:
own_pkgs=(runc tini libseccomp2 iptables libxtables12 libip4tc2 libip6tc2 libnftnl11 libmnl0
  libnetfilter-conntrack3 libnfnetlink0)

fetch() {
  [ -e "$root/.complete" ] && return 0
  local d t0=$SECONDS
  mkdir -p "$cache"; exec 9>"$cache/.lock"; flock 9
  [ -e "$root/.complete" ] && { exec 9>&-; return 0; } # another run made it while this one waited
  say "downloading Docker, Buildx and a registry from Debian $suite"
  rm -rf "$root" "$cache/debs"; mkdir -p "$root"
  download "$cache/debs" "$codename" "$suite" -- "${new_pkgs[@]/%//$suite}" "${own_pkgs[@]/%//$codename}"
  for d in "$cache"/debs/*.deb; do
    dpkg-deb --fsys-tarfile "$d" | tar -x -C "$root" \
      --exclude='./usr/share/*' --exclude='./usr/bin/ctr' --exclude='./usr/lib/cni*'
  done
  rm -rf "$cache/debs"
  lay_out
  touch "$root/.complete"; exec 9>&-
  say "unpacked $(du -sh "$root" | cut -f1) in $((SECONDS - t0)) s"
}

lay_out() { # one bin/ with everything on it, wrappers where a private library is needed
  local b=$root/bin lib p f missing
  mkdir -p "$b" "$root/cli-plugins"
  for p in dockerd docker docker-proxy containerd containerd-shim-runc-v2 docker-registry; do
    f=$(find "$root/usr" -type f -name "$p" -print -quit); ln -sf "$f" "$b/$p"
    missing=$(ldd "$f" 2>/dev/null | awk '/not found/ {print $1}' | sort -u)
    [ -z "$missing" ] || die "$p of Debian $suite needs $missing; try another ENGINE_SUITE"
  done
  ln -sf "$(find "$root/usr" -type f -name docker-buildx -print -quit)" "$root/cli-plugins/docker-buildx"
  ln -sf "$root/usr/bin/tini-static" "$b/docker-init"

  lib=$(dirname "$(find "$root" -name 'libxtables.so.12*' -print -quit)")
  for p in iptables ip6tables; do
    ln -sf "$root/usr/sbin/xtables-nft-multi" "$root/usr/sbin/$p"
    printf '#!/bin/sh\nexport LD_LIBRARY_PATH=%q XTABLES_LIBDIR=%q\nexec %q "$@"\n' \
      "$lib" "$lib/xtables" "$root/usr/sbin/$p" >"$b/$p"
  done
  printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$lib" "$root/usr/sbin/runc" >"$b/runc"
  chmod +x "$b"/{iptables,ip6tables,runc}
  "$b/runc" --version >/dev/null || die "runc does not run here"
}

# --- what the private engine needs from the machine ----------------------------------------------------

obstacle() { # prints why there can be no private engine here; nothing if there can
  local c missing=
  case $os in
    debian1[2-9]* | debian[2-9][0-9]* | debian) ;; # testing and unstable have no VERSION_ID
    *) echo "the private engine is for Debian 12 and later"; return ;;
  esac
  case $(uname -m) in x86_64 | aarch64) ;; *) echo "the private engine is for amd64 and arm64"; return ;; esac
  [ "$(id -u)" = 0 ] || { echo "the private engine needs root"; return; }
  for c in curl:curl ip:iproute2 python3:python3; do command -v "${c%:*}" >/dev/null || missing+=" ${c#*:}"; done
  [ -z "$missing" ] || echo "the private engine needs: apt-get install$missing"
}

note_change() { echo "$*" >>"$host_changes"; }

cgroups() { # a container engine needs cgroup v2, or the v1 controllers mounted one by one
  [ -e /sys/fs/cgroup/cgroup.controllers ] && return 0
  grep -q ' /sys/fs/cgroup/memory ' /proc/mounts && return 0
  say "mounting cgroup v1 controllers"
  local c
  grep -q ' /sys/fs/cgroup ' /proc/mounts || mount_noted -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  awk '!/^#/ && $4 == 1 {print $1}' /proc/cgroups | while read -r c; do
    mkdir -p "/sys/fs/cgroup/$c"
    grep -q " /sys/fs/cgroup/$c " /proc/mounts || mount_noted -t cgroup -o "$c" cgroup "/sys/fs/cgroup/$c" || rmdir "/sys/fs/cgroup/$c"
  done
  mkdir -p /sys/fs/cgroup/systemd
  mount_noted -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd || true
}
mount_noted() { mount "$@" && note_change umount "${*: -1}"; }

rule() { # rule VERB(-A|-D) TABLE CHAIN MATCH...: adds it once, removes it if it is there
  local verb=$1 table=$2 there=1; shift 2
  "$root/bin/iptables" -t "$table" -C "$@" 2>/dev/null || there=0
  case $verb$there in -A0 | -D1) "$root/bin/iptables" -t "$table" "$verb" "$@" ;; esac
}
rules() { # rules -A|-D
  rule "$1" nat POSTROUTING -s "$subnet" ! -o "$br" -j MASQUERADE
  rule "$1" filter FORWARD -i "$br" -j ACCEPT
  rule "$1" filter FORWARD -o "$br" -j ACCEPT
}

has_bridge() { ip link show dev "$br" >/dev/null 2>&1; }

bridge_up() {
  if ! has_bridge; then
    # With an address of its own: else it is the lowest one of its ports, and whenever a container comes or goes, others
    # do not reach the bridge until they ask for it again.
    local numbers
    IFS=. read -ra numbers <<<"${bip%/*}"
    ip link add "$br" address "$(printf '02:42:%02x:%02x:%02x:%02x' "${numbers[@]}")" type bridge
    ip addr add "$bip" dev "$br"; ip link set "$br" up
  fi
  if [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 0 ]; then
    echo 1 >/proc/sys/net/ipv4/ip_forward; note_change ip_forward
  fi
  rules -A
}
bridge_down() {
  has_bridge || return 0
  rules -D || say "iptables rules of $br stay" # whatever fails: go on, there is more to undo
  ip link del "$br" || say "$br stays"
}

engines() { # the processes of private engines, of any state and cache
  { find /proc/[0-9]*/exe -lname '*/root-*/usr/*/dockerd*' 2>/dev/null || true; } | cut -d/ -f3 # processes vanish
}

undo_changes() { # what the engines changed on the machine, once the last of them is gone
  [ -e "$host_changes" ] && [ -z "$(engines)" ] || return 0
  local what where
  tac "$host_changes" | while read -r what where; do
    case $what in
      umount) umount "$where" 2>/dev/null || say "$where stays mounted: in use" ;;
      ip_forward) echo 0 >/proc/sys/net/ipv4/ip_forward ;;
    esac
  done
  rm -f "$host_changes"
}

# --- the private engine: up --------------------------------------------------------------------------

ours() { # ours NAME: the pid in NAME.pid if that process is alive and was started for this state
  local p
  p=$(cat "$state/$1.pid" 2>/dev/null) || return 1
  [ -n "$p" ] && tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline" | grep -qF "$state/" && echo "$p"
}

registry_answers() { curl -fs --max-time 2 "http://$1/v2/" >/dev/null; }
dockerd_answers() { curl -fs --max-time 2 --unix-socket "$sock" http://d/_ping >/dev/null; }

private_runs() {
  ours dockerd >/dev/null && ours registry >/dev/null && dockerd_answers &&
    registry_answers "$(cat "$state/registry.addr")"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

registry_up() {
  ours registry >/dev/null && registry_answers "$(cat "$state/registry.addr")" && return 0
  local try port p
  # The port of last time first: it is part of the names of the images.
  port=$(sed 's/.*://' "$state/registry.addr" 2>/dev/null) || port=$(free_port)
  for try in 1 2 3 4 5; do
    [ "$try" = 1 ] || port=$(free_port)
    mkdir -p "$reg"
    cat >"$state/registry.yml" <<YML
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$reg"}, delete: {enabled: true}, maintenance: {uploadpurging: {enabled: false}}}
http: {addr: "127.0.0.1:$port", secret: orbiter}
YML
    OTEL_TRACES_EXPORTER=none setsid "$root/bin/docker-registry" serve "$state/registry.yml" \
      >"$state/registry.log" 2>&1 </dev/null 8>&- &
    p=$!
    echo "$p" >"$state/registry.pid"; echo "127.0.0.1:$port" >"$state/registry.addr"
    for _ in $(seq 100); do
      kill -0 "$p" 2>/dev/null || continue 2
      registry_answers "127.0.0.1:$port" && return 0
      sleep 0.05
    done
  done
  die_with_log "the registry did not start" "$state/registry.log"
}

dockerd_up() {
  local addr p network
  addr=$(cat "$state/registry.addr")
  if ours dockerd >/dev/null && dockerd_answers; then
    grep -qF "\"$addr\"" "$state/daemon.json" && return 0
    stop dockerd # the registry could not have its old port
  fi
  if [ "$net" = bridge ]; then bridge_up; network="\"bridge\": \"$br\""; else network='"bridge": "none"'; fi
  cat >"$state/daemon.json" <<JSON
{ $network, "iptables": false, "ip6tables": false, "ip-forward": false,
  "userland-proxy": true, "userland-proxy-path": "$root/bin/docker-proxy",
  "features": {"containerd-snapshotter": true, "cdi": false},
  "registry-mirrors": ["http://$addr"], "insecure-registries": ["$addr"],
  "shutdown-timeout": 5, "max-concurrent-downloads": 4,
  "builder": {"Entitlements": {"network-host": true, "security-insecure": false},
              "gc": {"enabled": true, "policy": [{
                "reservedSpace": "20GB", "maxUsedSpace": "100GB", "minFreeSpace": "10GB", "all": true}]}} }
JSON
  mkdir -p "$state/data" "$state/exec"
  rm -f "$sock" "$state/exec/containerd/containerd.pid"
  PATH=$root/bin:$PATH OTEL_SDK_DISABLED=true setsid "$root/bin/dockerd" --config-file "$state/daemon.json" \
    --data-root "$state/data" --exec-root "$state/exec" --pidfile "$state/dockerd.own.pid" \
    -G root -H "unix://$sock" >"$state/dockerd.log" 2>&1 </dev/null 8>&- &
  p=$!
  echo "$p" >"$state/dockerd.pid"
  for _ in $(seq 300); do
    kill -0 "$p" 2>/dev/null || die_with_log "dockerd ended at once" "$state/dockerd.log"
    dockerd_answers && return 0
    sleep 0.1
  done
  die_with_log "dockerd is not ready after 30 s" "$state/dockerd.log"
}

up() {
  local why
  why=$(obstacle); [ -z "$why" ] || die "$why"
  fetch
  mkdir -p "$state/config/cli-plugins"
  exec 8>"$state/.lock"; flock 8
  ln -sfn "$root/cli-plugins/docker-buildx" "$state/config/cli-plugins/docker-buildx"
  [ -e "$state/config/config.json" ] || echo '{}' >"$state/config/config.json"
  cgroups; registry_up; dockerd_up
  exec 8>&-
}

print_env() {
  # shellcheck disable=SC2016 # the shell that evaluates it has its own $PATH
  printf 'export PATH=%q:$PATH\n' "$root/bin"
  printf 'export %s=%q\n' DOCKER_HOST "unix://$sock" DOCKER_CONFIG "$state/config" \
    BUILDX_CONFIG "$state/config/buildx" DOCKER_BUILDKIT 1 BUILDKIT_PROGRESS plain \
    DOCKER_CLI_HINTS false ENGINE_REGISTRY "$(cat "$state/registry.addr")"
}

# --- the private engine: down ------------------------------------------------------------------------

stop() {
  local p
  p=$(ours "$1") || { rm -f "$state/$1.pid"; return 0; }
  kill "$p"
  for _ in $(seq 150); do kill -0 "$p" 2>/dev/null || break; sleep 0.1; done
  kill -9 "$p" 2>/dev/null || true
  rm -f "$state/$1.pid"
}

down() {
  foreign_registry_down
  [ -d "$state" ] || return 0
  stop dockerd
  local p # its containerd ends with it; if dockerd had to be killed, it did not
  p=$(cat "$state/exec/containerd/containerd.pid" 2>/dev/null) || p=
  if [ -n "$p" ] && tr '\0' ' ' 2>/dev/null <"/proc/$p/cmdline" | grep -qF "$state/exec"; then kill "$p"; fi
  stop registry
  if [ "$net" = bridge ]; then bridge_down; fi
  undo_changes
}

purge() {
  local all=$1 others
  down
  foreign_volume_rm
  if [ -e "$state/.lock" ]; then # made by `up`, so not a folder that ENGINE_STATE names by mistake
    awk -v s="$state/" 'index($2, s) == 1 {print $2}' /proc/mounts | sort -r |
      while read -r m; do umount -l "$m" || true; done
    rm -rf --one-file-system "$state"
  fi
  [ "$all" = 1 ] || return 0
  others=$(engines | tr '\n' ' ')
  [ -z "$others" ] || die "purge --all: another private engine runs (pid ${others% }); end it first"
  # By name, not the whole folder: ENGINE_CACHE and ENGINE_REG may name one that holds more.
  rm -rf --one-file-system "$reg/docker" "$cache"/root-* "$cache/apt" "$cache/debs" "$cache/work" "$cache/.lock"
  rmdir "$reg" "$cache" 2>/dev/null || true
}

# --- a Docker that was here before ------------------------------------------------------------------

foreign() { [ "${DOCKER_HOST:-}" != "unix://$sock" ]; } # the current Docker is not the private one

docker_lacks() { # prints what keeps the current Docker from being used; nothing if it can be
  command -v docker >/dev/null || { echo "no docker command"; return; }
  soon docker version >/dev/null 2>&1 || { echo "a docker command, but no engine that answers it"; return; }
  soon docker buildx version >/dev/null 2>&1 || echo "a Docker engine, but no Buildx plugin"
}

foreign_registry() { # foreign_registry OPTION...: our container there, and no other of that name
  docker ps --quiet --no-trunc --filter "name=^$registry_name\$" --filter "label=$registry_label" "$@"
}

foreign_registry_up() { # prints its address
  local addr
  if [ -n "${ENGINE_REGISTRY:-}" ] && registry_answers "$ENGINE_REGISTRY"; then echo "$ENGINE_REGISTRY"; return; fi
  if [ -z "$(foreign_registry)" ]; then
    if [ -n "$(foreign_registry --all)" ]; then docker rm --force "$registry_name" >/dev/null; fi
    say "starting the registry $registry_name in your Docker (engine.sh down removes it)"
    # The volume keeps the base images from `down` to the next start; purge removes it.
    docker volume create --label "$registry_label" "$registry_name" >/dev/null
    docker run --detach --quiet --name "$registry_name" --label "$registry_label" \
      --volume "$registry_name:/var/lib/registry" --publish 127.0.0.1::5000 registry:2 >/dev/null ||
      die "no registry: registry:2 did not start; set ENGINE_REGISTRY to a registry this Docker may push to"
  fi
  addr=$(docker port "$registry_name" 5000/tcp | head -n 1)
  for _ in $(seq 100); do
    registry_answers "$addr" && { echo "$addr"; return; }
    sleep 0.05
  done
  # A remote engine publishes on its own loopback, not on ours.
  docker rm --force "$registry_name" >/dev/null
  die "the registry of your Docker cannot be reached at $addr; set ENGINE_REGISTRY to one that can"
}

foreign_registry_down() {
  foreign && [ -z "$(docker_lacks)" ] || return 0
  if [ -n "$(foreign_registry --all)" ]; then docker rm --force "$registry_name" >/dev/null; fi
}

foreign_volume_rm() {
  foreign && [ -z "$(docker_lacks)" ] || return 0
  docker volume ls --quiet --filter "name=^$registry_name\$" --filter "label=$registry_label" |
    xargs -r docker volume rm >/dev/null
}

ensure() {
  local with_registry=$1 lacks addr why
  if foreign && [ "${ORBITER_ENGINE:-}" != private ]; then
    lacks=$(docker_lacks)
    if [ -z "$lacks" ]; then
      if [ "$with_registry" = 1 ]; then
        addr=$(foreign_registry_up)
        printf 'export ENGINE_REGISTRY=%q\n' "$addr"
      fi
      return 0
    fi
  fi
  if ! private_runs; then
    why=$(obstacle)
    [ -z "$why" ] || die "no Docker with Buildx: ${lacks:-another one is not wanted (ORBITER_ENGINE=private)}, and $why.
        Install Docker with Buildx (https://docs.docker.com/engine/install/) and start it, or run this
        as root on Debian 12 or later."
    up
  fi
  print_env
}

# --- main ------------------------------------------------------------------------------------------

usage() { sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

case "${1:-} ${2:-}" in
  "ensure ") ensure 0 ;;
  "ensure --registry") ensure 1 ;;
  "up ") up; print_env ;;
  "env ") private_runs || die "the private engine does not run; first: engine.sh up"; print_env ;;
  "status ")
    rc=0
    for n in registry dockerd; do
      if p=$(ours "$n"); then echo "$n: pid $p"; else echo "$n: down"; rc=1; fi
    done
    exit "$rc" ;;
  "down ") down ;;
  "purge ") purge 0 ;;
  "purge --all") purge 1 ;;
  "fetch ") why=$(obstacle); [ -z "$why" ] || die "$why"; fetch ;;
  "unpack "?*) [ $# -ge 3 ] || usage; shift; unpack "$@" ;;
  "archive " | "archive security") archive "${2:-}" ;;
  *) usage ;;
esac
