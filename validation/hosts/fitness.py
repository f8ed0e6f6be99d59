"""What a machine must be to run Milvus: one list, for two readers.

`pulumi up` refuses a host by it before anything is changed, and the family ``hosts`` measures the
machines of a deployment by it. Where a limit comes from stands beside it.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Literal

from validation.hosts import asking

MIN_CPUS = 2  # kubeadm's, of a control plane
MIN_MEMORY_KIB = 1_700_000  # kubeadm's own limit is 1700 MB
MIN_DISK_KIB = 10 * 1024 * 1024
MIN_OPEN_FILES = 16_384
"""Far above the 1,024 and 4,096 that shells have; runtimes of containers give a million. Milvus
holds a file for each mapped field of a segment, and a socket for each peer and request."""
MIN_MAP_COUNT = 65_530  # the kernel's default; mapped segments take several each
NEVER_OVERCOMMIT = 2
"""Of ``vm.overcommit_memory``: what is only reserved counts then, and mappings are refused."""
MIN_AIO = 65_536
"""Of ``fs.aio-max-nr``: Knowhere's pool for DiskANN asks for up to so many requests at once."""
SIMD = frozenset({"sse4_2", "avx", "avx2", "avx512f", "asimd"})
"""As the kernel calls them; Milvus needs one (https://milvus.io/docs/prerequisite-docker.md)."""
FILE_SYSTEMS = frozenset({"ext4", "xfs", "btrfs"})
"""On which reads go past the page cache (O_DIRECT), as DiskANN's do."""

UNLIMITED = 2**63 - 1
_VERSION = re.compile(r"\d+(\.\d+)+")


@dataclasses.dataclass(frozen=True)
class Use:
    """What a machine is for.

    Args:
        kind: A ``node`` of Kubernetes, a ``pod`` on one, or any other ``host``.
        leads: Whether it is a control plane.
        nvme: The folder in which DiskANN has its files; None: it is not used there.
        gpus: How many GPUs it must show.
    """

    kind: Literal["node", "pod", "host"]
    leads: bool = False
    nvme: str | None = None
    gpus: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What was found on a machine.

    Args:
        machine: Of the processor, such as ``x86_64``.
        swap: Devices and files that are in use.
        cpus: Cores.
        memory_kib: In all.
        disk_kib: Free under ``/var/lib``.
        simd: Those of `SIMD` that the processor has.
        open_files: How many Milvus, or what starts its containers, may have open; of a machine
            where neither runs, its shell.
        max_map_count: ``vm.max_map_count``.
        overcommit: ``vm.overcommit_memory``.
        aio: ``fs.aio-max-nr``.
        file_system: Of the folder for DiskANN.
        devices: That it lies on in the end, below volumes and partitions, as the kernel sees them.
        transports: Of each device's NVMe controllers, such as ``pcie``; ``?`` where it has none.
        drivers: Version of each GPU's driver.
        gpus_said: What nvidia-smi said instead of a version.
        runtime: What lets containers have GPUs.
    """

    machine: str
    swap: tuple[str, ...]
    cpus: int
    memory_kib: int
    disk_kib: int
    simd: frozenset[str]
    open_files: int
    max_map_count: int
    overcommit: int
    aio: int
    file_system: str = ""
    devices: tuple[str, ...] = ()
    transports: tuple[str, ...] = ()
    drivers: tuple[str, ...] = ()
    gpus_said: str = ""
    runtime: tuple[str, ...] = ()


def script(use: Use) -> str:
    """Return a POSIX shell script that tells what `facts` reads; nothing is changed by it."""
    parts = [asking.SAY, asking.SCRIPT]
    if use.nvme is not None:
        parts.append(asking.DISK.replace("FOLDER", "'" + use.nvme.replace("'", "'\\''") + "'"))
    if use.gpus:
        parts.append(asking.GPU)
    return "\n".join([*parts, asking.END])


def told(lines: str) -> dict[str, str]:
    """Return what a script told."""
    return dict(line.split("=", 1) for line in lines.splitlines() if "=" in line)


def facts(told: Mapping[str, str]) -> dict[str, object]:
    """Return the arguments of `Machine` from what `script` told.

    Raises:
        KeyError: Something was not told, the end among it: then the answer was cut off.
        ValueError: Something is no number.
    """
    if told["done"] != "yes":
        raise KeyError("done")
    shell, *running = told["files"].split()
    limits = [_limit(one) for one in running or [shell]]
    return {
        "machine": told["machine"],
        "swap": tuple(told["swap"].split()),
        "cpus": int(told["cpus"]),
        "memory_kib": int(told["memory"]),
        "disk_kib": int(told["disk"] or 0),
        "simd": SIMD.intersection(told["simd"].split()),
        "open_files": min(limits),
        "max_map_count": int(told["maps"]),
        "overcommit": int(told["overcommit"]),
        "aio": int(told["aio"]),
        "file_system": told.get("type", ""),
        "devices": tuple(told.get("device", "").split()),
        "transports": tuple(told.get("transport", "").split()),
        **_drivers(told.get("nvidia", "")),
        "runtime": tuple(told.get("runtime", "").split()),
    }


def _drivers(said: str) -> dict[str, object]:
    """Return versions of drivers, and what else was said: nvidia-smi fails on stdout, too."""
    status, _, rest = said.partition(" ")
    lines = [line.strip() for line in rest.split(";") if line.strip()]
    found = [line for line in lines if status == "0" and _VERSION.fullmatch(line)]
    others = [line for line in lines if line not in found]
    return {"drivers": tuple(found), "gpus_said": " ".join(others)[:300]}


def _limit(text: str) -> int:
    return UNLIMITED if text == "unlimited" else int(text)


def _cpus(found: Machine, use: Use) -> str | None:
    if not use.leads:
        return None
    few = found.cpus < MIN_CPUS
    return f"{found.cpus} CPU: a control plane needs {MIN_CPUS}" if few else ""


def _memory(found: Machine, use: Use) -> str | None:
    if use.kind != "node":
        return None
    if found.memory_kib < MIN_MEMORY_KIB:
        return f"{found.memory_kib // 1024} MiB of memory: at least 1700 MB are needed"
    return ""


def _disk(found: Machine, use: Use) -> str | None:
    if use.kind != "node":
        return None
    if found.disk_kib < MIN_DISK_KIB:
        free = found.disk_kib / 1024 / 1024
        return f"{free:.1f} GiB free under /var/lib: at least 10 GiB are needed"
    return ""


def _swap(found: Machine, use: Use) -> str | None:
    if use.kind == "host":
        return None
    if found.swap:
        return f"swap is on ({', '.join(found.swap)}): `swapoff -a`, and mend /etc/fstab"
    return ""


def _simd(found: Machine, _: Use) -> str | None:
    if found.simd:
        return ""
    return (
        f"its processor ({found.machine}) has none of SSE4.2, AVX, AVX2, AVX-512 and NEON, one of"
        " which Milvus needs: use another machine, or let the virtual one see its host's processor"
    )


def _open_files(found: Machine, _: Use) -> str | None:
    if found.open_files < MIN_OPEN_FILES:
        return (
            f"{found.open_files} open files at most, and at least {MIN_OPEN_FILES} are needed:"
            " raise LimitNOFILE of what starts containers (containerd), or `ulimit -n`"
        )
    return ""


def _maps(found: Machine, _: Use) -> str | None:
    if found.max_map_count < MIN_MAP_COUNT:
        return (
            f"vm.max_map_count is {found.max_map_count}, at least {MIN_MAP_COUNT} are needed: mend"
            " it in /etc/sysctl.d, then `sysctl --system`"
        )
    return ""


def _overcommit(found: Machine, _: Use) -> str | None:
    if found.overcommit == NEVER_OVERCOMMIT:
        return (
            "vm.overcommit_memory is 2, and Milvus maps more than it uses: set 0 or 1 in"
            " /etc/sysctl.d, then `sysctl --system`"
        )
    return ""


def _aio(found: Machine, use: Use) -> str | None:
    if use.nvme is None:
        return None
    if found.aio < MIN_AIO:
        return (
            f"fs.aio-max-nr is {found.aio}, DiskANN needs {MIN_AIO}: mend it in /etc/sysctl.d, then"
            " `sysctl --system`"
        )
    return ""


def _nvme(found: Machine, use: Use) -> str | None:
    if use.nvme is None:
        return None
    if not found.file_system:
        return f"{use.nvme} is on no file system that can be seen: is the folder there?"
    if found.file_system not in FILE_SYSTEMS:
        known = ", ".join(sorted(FILE_SYSTEMS))
        return f"{use.nvme} is on {found.file_system}: DiskANN needs {known} on local NVMe"
    if not found.devices:
        return f"{use.nvme} is on no device that can be seen: DiskANN needs a local NVMe device"
    for device, transport in itertools.zip_longest(found.devices, found.transports, fillvalue="?"):
        by = transport.strip(",")
        # A device below a subsystem shows no controller in its path; old kernels tell no transport.
        fit = {"pcie"} if "/nvme-subsystem/" in device else {"pcie", "?"}
        if "/nvme" not in device or "nvme-fabrics" in device or by not in fit:
            way = "" if by == "?" else f", reached by {by}"
            return f"{use.nvme} is on {device}{way}: DiskANN needs a local NVMe device"
    return ""


def _gpus(found: Machine, use: Use) -> str | None:
    if not use.gpus:
        return None
    if len(found.drivers) < use.gpus:
        return (
            f"nvidia-smi shows {len(found.drivers)} GPUs, {use.gpus} are declared"
            + (f" (it says: {found.gpus_said})" if found.gpus_said else "")
            + ": install the driver, or look at `dmesg`"
        )
    return ""


def _runtime(found: Machine, use: Use) -> str | None:
    if not use.gpus or use.kind != "node":
        return None
    if not found.runtime:
        return "no nvidia-container-runtime: install the NVIDIA Container Toolkit"
    return ""


Need = Callable[[Machine, Use], str | None]

NEEDS: Mapping[str, Need] = {
    "CPUs": _cpus,
    "memory": _memory,
    "free disk": _disk,
    "swap": _swap,
    "CPU features": _simd,
    "open files": _open_files,
    "vm.max_map_count": _maps,
    "vm.overcommit_memory": _overcommit,
    "fs.aio-max-nr": _aio,
    "NVMe": _nvme,
    "GPUs": _gpus,
    "GPU runtime": _runtime,
}
"""What is asked of a machine. Each says why it does not fit: nothing if it does, None if that is
not asked of such a machine."""


def held(found: Machine, use: Use) -> dict[str, str]:
    """Return why a machine does not fit, by what was asked of it; empty where it fits."""
    asked = {name: need(found, use) for name, need in NEEDS.items()}
    return {name: why for name, why in asked.items() if why is not None}
