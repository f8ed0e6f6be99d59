"""What enforces NetworkPolicies where the pod network does not: that part of kube-router alone.

It runs beside the node as a process, by iptables and ipset. Its chains are named as Kubernetes' own
and go with them when the node is given back; its sets are removed here.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.site.process import serving

WANTED = "MILVUS_KIT_E2E_POLICIES"
"""The variable that has the tests of the policies run."""
_ADMIN = Path("/etc/kubernetes/admin.conf")
_SET = re.compile(r"^(?:inet6:)?KUBE-(?:SRC|DST)-\w+$", re.MULTILINE)


def is_wanted() -> bool:
    """Return whether policies are to be enforced, which takes a build and a cluster's time."""
    return bool(os.environ.get(WANTED))


@contextmanager
def enforcing(kube_router: Path, node: str, log: Path) -> Iterator[None]:
    """Enforce the policies of this machine's cluster, while the context lasts.

    What was enforced last stays in the firewall afterwards, until the node is given back.

    Args:
        kube_router: The command.
        node: Name of the node that this machine is.
        log: Gets what it says.
    """
    command = [
        kube_router,
        *("--run-firewall=true", "--run-router=false", "--run-service-proxy=false"),
        *("--kubeconfig", _ADMIN, "--hostname-override", node),
        "--health-port=0",  # it would listen for other machines
        "-v=1",
    ]
    with serving(command, log, os.environ):
        yield


def sets() -> list[str]:
    """Return the names of the address sets that it has made on this machine."""
    try:
        done = subprocess.run(["ipset", "list", "-n"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    return _SET.findall(done.stdout)


def remove_sets() -> list[str]:
    """Remove these sets, which no rule names any more; return their names."""
    found = sets()
    for name in found:
        subprocess.run(["ipset", "destroy", name], capture_output=True, check=False)
    return found
