"""``python -m tests.e2e.clean``: give this machine back, whatever a killed run left on it."""

from __future__ import annotations

import shutil
import sys

from infra.kubernetes.node import teardown
from infra.kubernetes.node.connection import connected
from infra.kubernetes.node.plan import Host
from tests.e2e import container_node, host, project, strays
from validation.common.progress import Progress
from validation.errors import MilvusKitError


def command() -> int:
    """Do the same as a command: not while a run is under way."""
    try:
        strays.require_no_other_run()
    except MilvusKitError as error:
        Progress().say(f"✗ {error}")
        return int(error.exit_code)
    return main()


def main() -> int:
    """Undo what the end-to-end tests did to this machine; return the exit code."""
    progress = Progress()
    try:
        host.require_root()
        for ended in strays.end(node=False):  # first of all: they may still be making the node
            progress.say(f"ended {ended}")
        record = host.node_record()
        if record and not host.is_prepared():
            host.require_no_cluster()  # it is not ours, and that says whose it is
        if record:
            with progress.step(
                f"remove cluster {record.get('cluster')}, node {record.get('node')}"
            ):
                here = Host(name=record["node"], address=host.ADDRESS, role="control-plane")
                with connected(here) as connection:
                    teardown.give_back(connection)
        for ended in strays.end(node=True):
            progress.say(f"ended {ended}")
        for name in container_node.remove_all():
            progress.say(f"removed container {name}")
        for undone in host.restore():
            progress.say(f"removed {undone}")
        kept = project.kept_folder()
        if kept.exists():
            shutil.rmtree(kept)  # the state of a stack that is no more
            progress.say(f"removed {kept}")
    except MilvusKitError as error:
        progress.say(f"✗ {error}")
        return int(error.exit_code)
    left = host.leftovers()
    for one in left:
        progress.say(f"✗ still there, and perhaps not ours: {one}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(command())
