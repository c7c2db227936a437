# A Docker engine of Debian's, private to the part that sources this, and images without a registry: no image is
# pulled, they are made of Debian's packages. Sourced after ground.bash.

need docker.io debootstrap iptables

docker() { /usr/bin/docker --host "unix://$work/docker.sock" "$@"; }

at_end 'umount "$work"/docker-run/netns/* 2>/dev/null'
background "$work/dockerd.log" dockerd --host "unix://$work/docker.sock" --data-root "$work/docker" \
  --exec-root "$work/docker-run" --pidfile "$work/dockerd.pid"
engine_decided() { docker version || ! kill -0 "$started"; }
eventually 60 engine_decided
docker version >/dev/null 2>&1 || { tail -20 "$work/dockerd.log" >&2; die "dockerd does not run on this machine"; }
at_end 'docker ps -aq | xargs -r /usr/bin/docker --host "unix://$work/docker.sock" rm -f >/dev/null'
fact "dockerd $(docker version --format '{{.Server.Version}}') runs"

# debian: a small Debian with a C compiler, in $tools/debian and as an image.
debian=$tools/debian
if [ ! -e "$debian/complete" ]; then
  rm -rf "$debian"
  debootstrap --variant=minbase --include=gcc,libc6-dev,ca-certificates bookworm "$debian" >"$work/debootstrap.log" 2>&1 ||
    { tail -5 "$work/debootstrap.log" >&2; die "debootstrap: is a Debian mirror reachable?"; }
  rm -rf "$debian"/var/cache/apt/archives/*.deb "$debian"/var/lib/apt/lists/*
  touch "$debian/complete"
fi
# Registries may be behind a proxy that this machine trusts.
cp /etc/ssl/certs/ca-certificates.crt "$debian/etc/ssl/certs/"
plain=(--exclude=./complete --exclude=./dev --exclude=./proc --exclude=./sys)
tar -c "${plain[@]}" -C "$debian" . | docker import - debian >/dev/null
