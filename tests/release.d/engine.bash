# A Docker engine of Debian's, in the world of the part that sources this, and images without a registry: none is
# pulled, they are made of Debian's packages. What runs in its containers is nobody on the machine: root in there is a
# user without any right out here, so that nothing of the kernel's is in reach. Sourced after ground.bash.

root_in_containers=524288

# need_engine: the engine, and the small Debian.
need_engine() {
  need docker.io iptables
  need_debian
}

# need_debian: a small Debian with a C compiler and a systemd in $tools/debian.tar.
need_debian() {
  need mmdebstrap
  [ ! -e "$tools/debian.tar" ] || return 0
  echo "making a small Debian"
  # It mounts, and starts programs of what it makes: in a place of its own.
  TMPDIR=$work setpriv --pdeathsig KILL unshare --fork --kill-child --pid --mount-proc --mount \
    mmdebstrap --mode=root --variant=minbase --include=gcc,libc6-dev,systemd,curl,procps \
    bookworm "$work/debian.tar" >"$work/debian.log" 2>&1 ||
    { tail -5 "$work/debian.log" >&2; die "mmdebstrap: is a Debian mirror reachable?"; }
  mv "$work/debian.tar" "$tools/"
}

docker() { /usr/bin/docker --host "unix://$work/docker.sock" "$@"; }

start_engine() {
  echo "nobody:$root_in_containers:65536" | tee /etc/subuid >/etc/subgid
  echo "nogroup:$root_in_containers:65536" >>/etc/subgid
  mkdir -p /etc/docker
  # Who has children can have no limits, in a cgroup.
  mkdir /sys/fs/cgroup/engine
  xargs -n 1 -a /sys/fs/cgroup/cgroup.procs echo >/sys/fs/cgroup/engine/cgroup.procs || true
  background "$work/dockerd.log" dockerd --host "unix://$work/docker.sock" --data-root "$work/docker" \
    --exec-root "$work/docker-run" --pidfile "$work/dockerd.pid" --userns-remap nobody:nogroup --exec-opt native.cgroupdriver=cgroupfs
  engine_decided() { docker version || ! kill -0 "$started"; }
  eventually 60 engine_decided
  docker version >/dev/null 2>&1 || { tail -20 "$work/dockerd.log" >&2; die "dockerd does not run on this machine"; }
  fact "dockerd $(docker version --format '{{.Server.Version}}') runs"
}
