"""The way from a machine to the store: lost connections, and packets that are too large."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable

from validation.errors import MeasurementError
from validation.hosts.asking import SAY

_TRIES = 20
_SECONDS = 4
_LOST_MS = 1_000
"""TCP sends its first packet again after a second (RFC 6298). Whoever waits that long lost one, if
the kernel says that it did send one again; a busy machine is only slow, and that is not counted."""

_SCRIPT = r"""
addresses="$(getent ahosts "$host" | awk '{print $1}' | sort -u | head -8)"
[ -n "$addresses" ] || say unknown "no address of $host"
can=
command -v bash >/dev/null && command -v timeout >/dev/null &&
    case "$(date +%N)" in *[!0-9]*) ;; *) can=yes;; esac
[ -n "$can" ] || say unasked "there is no bash, timeout or date of coreutils to connect with"
resent() {
    awk '/^TcpExt/{
        if (!seen++) for (at = 1; at <= NF; at++) if ($at == "TCPSynRetrans") wanted = at
        value = wanted ? $wanted : 0
    } END{print value}' /proc/net/netstat
}
connect() (
    tried=0 lost=0 slow=0 why= before="$(resent)" since="$(date +%s)"
    while [ "$tried" -lt "$tries" ] && [ $(($(date +%s) - since)) -lt "$seconds" ]; do
        tried=$((tried + 1))
        took="$(timeout 3 bash -c 'from=$(date +%s%N); exec 3<>"/dev/tcp/$0/$1" &&
            echo $((($(date +%s%N) - from) / 1000000))' "$1" "$port" 2>&1)"
        case "$took" in
        '') said="no answer within 3 s";;
        *[!0-9]*) said="${took##*: }";;
        *) [ "$took" -ge "$late" ] || continue; said="an answer after $took ms";;
        esac
        case "$took" in ''|*[0-9])
            again="$(resent)"
            [ "$again" -gt "$before" ] || { slow=$((slow + 1)); continue; }
            before="$again";;
        esac
        lost=$((lost + 1)) why="$said"
    done
    say connected "$1 $((tried - slow)) $lost $why"
)
large() (
    case "$1" in *:*) header=48;; *) header=28;; esac
    device="$(ip -o route get "$1" 2>/dev/null | sed -n 's/.* dev \([^ ]*\).*/\1/p')"
    mtu="$(cat "/sys/class/net/$device/mtu" 2>/dev/null)"
    size=$((${mtu:-1500} - header))
    [ "$size" -le 65507 ] || size=65507
    ping -n -q -c 2 -i 0.2 -W 1 "$1" >/dev/null 2>&1 && small=yes || small=no
    ping -n -q -c 3 -i 0.2 -W 1 -M do -s "$size" "$1" >/dev/null 2>&1 && whole=yes || whole=no
    say large "$1 ${device:-?} ${mtu:-?} $small $whole"
)
pings="$(ping -V 2>/dev/null | grep iputils)"
for one in $addresses; do
    if [ -n "$can" ]; then connect "$one" & fi
    if [ -n "$pings" ] && command -v ip >/dev/null; then large "$one" & fi
done
wait
say done yes
"""


@dataclasses.dataclass(frozen=True)
class Connected:
    """What came of connecting to an address again and again.

    Args:
        address: IP address and port.
        tried: How often.
        lost: How often nothing came of it, or only once a packet had been sent again.
        why: What was said of the last one that was lost.
    """

    address: str
    tried: int
    lost: int
    why: str


@dataclasses.dataclass(frozen=True)
class Large:
    """Whether packets as large as the interface says get to an address, in one piece.

    Args:
        address: IP address.
        device: Interface on the way to it.
        mtu: Its largest packet, bytes.
        answers: Whether the address answers to small ones.
        whole: Whether it answers to large ones.
    """

    address: str
    device: str
    mtu: str
    answers: bool
    whole: bool


@dataclasses.dataclass(frozen=True)
class Way:
    """The way from one machine to the store.

    Args:
        connected: By address; empty if that could not be asked.
        large: By address; empty if that could not be asked.
        unasked: Why something could not be.
    """

    connected: tuple[Connected, ...] = ()
    large: tuple[Large, ...] = ()
    unasked: tuple[str, ...] = ()


def script(host: str, port: int) -> str:
    """Return a shell script that tells what `way` reads; it only opens connections and pings."""
    given = {"port": port, "tries": _TRIES, "seconds": _SECONDS, "late": _LOST_MS}
    settings = [f"{name}={value}" for name, value in given.items()]
    return "\n".join([SAY, f"host={shlex.quote(host)}", *settings, _SCRIPT])


def way(lines: str, port: int) -> Way:
    """Return what the script has told.

    Raises:
        MeasurementError: It has not told all: its last line is missing.
    """
    if not lines.endswith("done=yes\n"):
        raise MeasurementError("connecting to the store: its answer broke off")
    told = [line.split("=", 1) for line in lines.splitlines() if "=" in line]

    def of(name: str) -> Iterable[str]:
        return (value for key, value in told if key == name)

    connected = []
    for one in of("connected"):
        address, tried, lost, why = one.split(" ", 3)
        if int(tried):
            connected.append(Connected(f"{address}:{port}", int(tried), int(lost), why.strip()))
    large = [
        Large(address, device, mtu, small == "yes", whole == "yes")
        for address, device, mtu, small, whole in (one.split(" ") for one in of("large"))
    ]
    unasked = [*of("unknown"), *of("unasked")]
    if not connected and not unasked:
        unasked.append("it was too slow to tell whether connections get lost")
    unasked += [f"{one.address} does not answer to ping" for one in large if not one.answers]
    if not large:
        unasked.append("there is no ping of iputils, or no ip command, for the largest packet")
    return Way(
        tuple(sorted(connected, key=lambda one: one.address)),
        tuple(sorted((one for one in large if one.answers), key=lambda one: one.address)),
        tuple(unasked),
    )
