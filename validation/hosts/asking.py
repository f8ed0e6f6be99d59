"""What a machine is asked by a POSIX shell: scripts that say lines ``name=value``."""

SAY = r"""say() { printf '%s=%s\n' "$1" "$2"; }"""
"""A function of the shell for a line ``name=value``."""
SCRIPT = r"""
say machine "$(uname -m)"
say swap "$(awk 'NR>1{print $1}' /proc/swaps | tr '\n' ' ')"
say cpus "$(nproc)"
say memory "$(awk '/^MemTotal/{print $2}' /proc/meminfo)"
say disk "$(df -Pk /var/lib | awk 'NR==2{print $4}')"
say simd "$(awk -F: '/^(flags|Features)/{print $2; exit}' /proc/cpuinfo)"
say files "$({ ulimit -Hn; for one in /proc/[0-9]*; do
    { read -r name < "$one/comm"; } 2>/dev/null || continue
    case "$name" in
    milvus|containerd) awk '/^Max open files/{print $5}' "$one/limits" 2>/dev/null;;
    esac; done; } | tr '\n' ' ')"
say maps "$(cat /proc/sys/vm/max_map_count)"
say overcommit "$(cat /proc/sys/vm/overcommit_memory)"
say aio "$(cat /proc/sys/fs/aio-max-nr)"
"""
"""Says what `fitness.facts` reads."""

DISK = r"""
mount="$(df -P FOLDER 2>/dev/null | awk 'NR==2{print $NF}')"
found="$(awk -v at="$mount" '$5==at{number=$3; sub(/.* - /, ""); print number, $1, $2}' \
    /proc/self/mountinfo | tail -1)"
read -r number type source <<END
$found
END
lowest() (
    below="$1"
    [ ! -e "$1/partition" ] || below="$(readlink -f "$1")/.."
    leaf=yes
    for one in "$below"/slaves/*; do
        [ ! -e "$one" ] || { leaf=; lowest "$one"; }
    done
    [ -z "$leaf" ] || readlink -f "$1"
)
below() (
    case "$number" in
    0:*) [ "$type" = btrfs ] || return;; # its number is no device's, and it may lie on several
    *) lowest "/sys/dev/block/$number"; return;;
    esac
    name="$(basename "$(readlink -f "$source" || echo "$source")")"
    for one in /sys/class/block/dm-*; do # a pod has no /dev/mapper
        [ "$(cat "$one/dm/name" 2>/dev/null)" != "$name" ] || name="${one##*/}"
    done
    for one in /sys/fs/btrfs/*/devices/"$name"; do
        [ ! -e "$one" ] || { for each in "${one%/*}"/*; do lowest "$each"; done; return; }
    done
    [ ! -e "/sys/class/block/$name" ] || lowest "/sys/class/block/$name"
)
say type "$type"
devices="$(below 2>/dev/null)"
say device "$(printf '%s' "$devices" | tr '\n' ' ')"
say transport "$(for one in $devices; do # of its controller; of each where several lead to it
    cat "$one"/../transport "$one"/../nvme*/transport 2>/dev/null | sort -u | tr '\n' ',' |
        grep . || echo '?'
done | tr '\n' ' ')"
"""
GPU = r"""
said="$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>&1)" # to stdout, too
say nvidia "$? $(printf '%s' "$said" | tr '\r\n' ' ;')"
say runtime "$(for one in nvidia-container-runtime nvidia-ctk; do command -v "$one"; done |
    tr '\n' ' ')"
"""
END = "say done yes"
"""The last line: without it an answer was cut off."""
