# What the parts of tests/release stand on: a directory of their own, programs that end with them, waiting for facts.
# Sourced, never run.
set -Eeuo pipefail
shopt -s inherit_errexit

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top"
tools=${RELEASE_TOOLS:-$top/target/release-tools}
target_dir=${CARGO_TARGET_DIR:-$top/target}
host=$(rustc -vV | sed -n 's/^host: //p')
static_binary=$target_dir/$host/release/inventor
work=$(mktemp -d)
# Users other than root look into it.
chmod 755 "$work"
mkdir -p "$tools"
export PATH=$tools/bin:$PATH

# Commands to be run at the end, the last one first.
endings=()
at_end() { endings=("$*" "${endings[@]}"); }
finish() {
  local status=$?
  trap - EXIT ERR
  set +e
  for ending in "${endings[@]}"; do eval "$ending"; done
  rm -rf "$work"
  exit $status
}
trap finish EXIT
trap 'echo "failed: $BASH_COMMAND (${BASH_SOURCE[0]##*/}, line $LINENO)" >&2' ERR

die() {
  echo "failed: $*" >&2
  exit 1
}

fact() { echo "ok: $*"; }

# unchecked WHAT: something out of reach of this machine. In continuous integration it is a failure.
unchecked() {
  [ -z "${CI:-}" ] || die "not checked: $*"
  echo "NOT CHECKED: $*"
}

# need PACKAGE...: from Debian, where they are not installed yet.
need() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || die "${missing[*]} have to be installed, and only root can: apt-get install ${missing[*]}"
  echo "installing ${missing[*]}"
  local apt="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
  # Services of packages must not start by themselves on this machine; port 80 may be somebody's.
  local policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    at_end "rm -f $policy"
  fi
  { $apt update && $apt install -y --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 ||
    { tail -20 "$work/apt.log" >&2; die "Debian's packages cannot be installed"; }
}

# need_crate NAME VERSION: a cargo subcommand.
need_crate() {
  [ "$("$tools/bin/$1" --version 2>/dev/null | awk '{print $NF}')" = "$2" ] && return
  echo "building $1 $2"
  cargo install --quiet --locked --root "$tools" "$1@$2" >"$work/$1.log" 2>&1 ||
    { tail -20 "$work/$1.log" >&2; die "$1 cannot be built"; }
}

# need_module PACKAGE VERSION: a program from the Go module proxy.
need_module() {
  local program=$tools/bin/${1##*/}
  go version -m "$program" 2>/dev/null | grep -q "$2" && return
  command -v go >/dev/null || die "Go is needed to build ${1##*/}"
  echo "building ${1##*/} $2"
  GOBIN=$tools/bin GOFLAGS=-buildvcs=false go install "$1@$2" >"$work/go.log" 2>&1 ||
    { tail -20 "$work/go.log" >&2; die "$1 cannot be built: is the Go module proxy reachable?"; }
}

# need_static: the binary that is shipped, by the command in deploy/README.md.
need_static() {
  RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --locked --release --target "$host"
}

# eventually SECONDS COMMAND...: asks again until it succeeds.
eventually() {
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt "$end" ] || die "this did not come about: $*"
    sleep 0.1
  done
}

# background LOG COMMAND...: starts a program that ends with this part; its id is in $started.
background() {
  local log=$1
  shift
  "$@" >"$log" 2>&1 &
  started=$!
  at_end "kill $started 2>/dev/null; wait $started 2>/dev/null"
}

# address_in LOG: where an inventor with this log listens; waits for it.
address_in() {
  eventually 30 grep -q 'msg="server started"' "$1"
  sed -n 's/.*msg="server started".* address=\([^ ,]*\).*/\1/p' "$1" | tail -1
}

# register ADDRESS TARGET [TOKEN]: a registration, which has to succeed.
register() {
  curl -fsS -o /dev/null -X PUT -H "x-api-token: ${3:-secret}" "http://$1/target" \
    -d "{\"static_config\": {\"targets\": [\"$2\"], \"labels\": {\"datacenter\": \"dc-01\"}, \"target_group\": \"node\"}}"
}

# alone: runs the rest of the part in a network of its own, where every port is free.
alone() {
  ip link set lo up 2>/dev/null || true
  [ -z "${ALONE:-}" ] || return 0
  ALONE=1 unshare --net "$top/tests/release.d/${0##*/}"
  exit
}
