#!/bin/sh
# Becomes a container that behaves as a host with sshd, without a container engine: namespaces of
# its own, a root file system of its own, and its own part of each cgroup hierarchy.
#
#   container_node.sh enter NAME ROOT ADDRESS GATEWAY INIT FOLDER...   from the machine's shell
#   container_node.sh boot ...                                         the first process inside
#
# INIT is systemd, or sshd for a host without it. Each FOLDER is SOURCE:TARGET and is seen inside,
# read-only.
set -eu
stage=$1 name=$2 root=$3 address=$4 gateway=$5 init=$6
hierarchies=$(awk '$3 ~ "^cgroup" && $2 ~ "^/sys/fs/cgroup/" {print $2}' /proc/mounts)

enter() {
    [ -d /sys/fs/cgroup/memory ] || { echo "cgroup v1 is not mounted here" >&2; exit 1; }
    for hierarchy in $hierarchies; do
        own=$hierarchy/milvus-kit-$name
        mkdir -p "$own"
        for file in cpuset.cpus cpuset.mems; do # empty in a new group, which takes nobody then
            [ ! -e "$own/$file" ] || cat "$hierarchy/$file" > "$own/$file"
        done
        echo $$ > "$own/cgroup.procs"
    done
    shift
    exec unshare --mount --net --uts --ipc --cgroup --pid --fork --kill-child \
        /bin/sh "$0" boot "$@"
}

boot() {
    shift 6
    mount --make-rprivate /
    mount --bind "$root" "$root"
    for folder in "$@"; do
        target=$root${folder#*:}
        mkdir -p "$target"
        mount --bind "${folder%%:*}" "$target"
        mount -o remount,bind,ro "$target"
    done
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
    for hierarchy in $hierarchies; do
        controllers=${hierarchy##*/}
        mkdir "$root$hierarchy"
        case "$controllers" in
            unified) mount -t cgroup2 cgroup2 "$root$hierarchy" ;;
            systemd) mount -t cgroup -o none,name=systemd cgroup "$root$hierarchy" ;;
            *) mount -t cgroup -o "$controllers" cgroup "$root$hierarchy" ;;
        esac
    done
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty kmsg; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    mkdir "$root/dev/pts" "$root/dev/shm" "$root/run/sshd" "$root/run/lock"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    hostname "$name"
    ip link set lo up
    # The machine hands the other end over as soon as it knows this process.
    until ip link set eth0 up 2>/dev/null; do sleep 0.05; done
    ip addr add "$address/24" dev eth0
    ip route add default via "$gateway"
    cd "$root"
    mkdir -p .machine
    pivot_root . .machine
    umount -l /.machine
    rmdir /.machine
    mount --make-rshared /
    if [ "$init" = systemd ]; then
        exec env -i container=milvus-kit /lib/systemd/systemd
    fi
    # A shell waits for whatever ends here, as a first process must.
    /usr/sbin/sshd -D -e &
    while :; do wait || true; sleep 1; done
}

"$stage" "$@"
