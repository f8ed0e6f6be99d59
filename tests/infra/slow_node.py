"""A node whose host is a folder, made in the plugin's own process: it takes as long as it is told.

The folder is named by MILVUS_KIT_SLOW_NODE. A node is being made for as long as ``hold`` is in it;
``kubelet`` in it is the version of a kubelet that somebody has upgraded.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

from pulumi import dynamic

from infra.kubernetes.node import bootstrap, fitness, inspection, membership, teardown
from infra.kubernetes.node.resource import NodeProvider
from tests.infra.test_kubernetes_node import FIT


class SlowNodeProvider(NodeProvider):
    """Makes a host a node by writing down that it was."""

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        _stand_in()
        return super().create(props)

    def read(self, id_: str, props: dict[str, Any]) -> dynamic.ReadResult:
        _stand_in()
        return super().read(id_, props)

    def update(self, id_: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        _stand_in()
        return super().update(id_, olds, news)

    def delete(self, id_: str, props: dict[str, Any]) -> None:
        _stand_in()
        super().delete(id_, props)


def _stand_in() -> None:
    folder = Path(os.environ["MILVUS_KIT_SLOW_NODE"])
    record, admin = folder / "record.json", folder / "admin.conf"

    def say(what: str) -> None:
        with (folder / "done").open("a", encoding="utf-8") as stream:
            stream.write(f"{what}\n")

    def inspect(_: object) -> inspection.Facts:
        there = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
        return dataclasses.replace(FIT, record=there)

    def init(*_: object) -> None:
        say("begun")
        deadline = time.monotonic() + 120
        while (folder / "hold").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        admin.write_text("a kubeconfig", encoding="utf-8")
        say("made")

    def kubelet() -> str:
        upgraded = folder / "kubelet"
        return upgraded.read_text(encoding="utf-8") if upgraded.exists() else "v1.36.3"

    def give_back(_: object) -> None:
        say("given back")
        for path in (record, admin):
            path.unlink(missing_ok=True)

    instead: dict[Any, dict[str, Any]] = {
        bootstrap: {
            "RECORD": str(record),
            "ADMIN": str(admin),
            "_prepare": lambda *_: None,
            "_init": init,
            "adapt": lambda *_: say("adopted"),
        },
        teardown: {"RECORD": str(record), "give_back": give_back},
        inspection: {"inspect": inspect},
        fitness: {"problems": lambda *_: []},
        membership: {"kubelet": lambda *_: kubelet() if admin.exists() else ""},
    }
    for module, names in instead.items():
        for name, value in names.items():
            setattr(module, name, value)
