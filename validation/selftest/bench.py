"""Where suites are run one after the other: two servers, a proxy in front of each."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from validation import target as targets
from validation.common.progress import Progress
from validation.local.lite import lite_target
from validation.milvus.connection import connect
from validation.report.results import Results
from validation.runs import pytest_run as suite
from validation.runs.folder import assemble
from validation.runs.profiles import Profile
from validation.runs.pytest_run import Suite
from validation.selftest.fault import Fault
from validation.selftest.kept import Kept, kept
from validation.selftest.scene import Scene
from validation.selftest.wire.proxy import WireProxy
from validation.selftest.wire.script import Struck
from validation.target import Target
from validation.verdicts.verdict import Rule


@dataclasses.dataclass(frozen=True)
class Place:
    """A server with a proxy in front of it.

    Args:
        target: The server.
        proxied: The same, reached through the proxy.
        proxy: The proxy.
        version: What the server calls itself.
        lite: Whether it is Milvus Lite.
        secured: Whether it has TLS and users; nothing is asked through the proxy then.
    """

    target: Target
    proxied: Target
    proxy: WireProxy
    version: str
    lite: bool
    secured: bool = False

    def families(self, scene: Scene) -> tuple[str, ...]:
        """Return which checks of a scene are run here."""
        return scene.lite if self.lite else scene.families


@contextlib.contextmanager
def proxied(target: Target, *, lite: bool = False) -> Iterator[Place]:
    """Put a proxy in front of a target's server, which runs meanwhile if it is Milvus Lite."""
    with connect(target) as connection, WireProxy(connection.endpoint.address) as proxy:
        milvus = target.milvus.model_copy(update={"uri": f"http://{proxy.address}"})
        behind = target.model_copy(update={"milvus": milvus})
        secured = connection.endpoint.secure
        yield Place(
            target,
            target if secured else behind,
            proxy,
            connection.server_version,
            lite,
            secured,
        )


@contextlib.contextmanager
def lite_place(folder: Path) -> Iterator[Place]:
    """Run Milvus Lite in this process, with a proxy in front of it."""
    with proxied(lite_target(folder), lite=True) as place:
        yield place


class Bench:
    """Runs the suite with faults and without.

    Args:
        folder: Where runs are kept.
        profile: Sizes and durations.
        rules: What is judged by.
        rules_file: The same in a file.
        progress: Shows how far it is.
    """

    def __init__(
        self,
        folder: Path,
        profile: Profile,
        rules: Sequence[Rule],
        rules_file: Path,
        progress: Progress,
    ) -> None:
        self.folder, self.profile, self.progress = folder, profile, progress
        self._rules, self._rules_file = rules, rules_file
        self._kept: Mapping[str, Kept] = {}
        self._runs = 0

    @contextlib.contextmanager
    def keeping(self, places: Sequence[Place]) -> Iterator[None]:
        """Load collections once for the scenes that use them."""
        with contextlib.ExitStack() as stack:
            self._kept = {
                place.target.name: stack.enter_context(
                    kept(place.target, self.profile, self.progress)
                )
                for place in places
            }
            try:
                yield
            finally:
                self._kept = {}

    def run(
        self, place: Place, scene: Scene, faults: Sequence[Fault] = ()
    ) -> tuple[Results, Struck]:
        """Run a scene's checks on a server with faults planted; return what they did."""
        armed = [
            dataclasses.replace(wire(self.profile), name=fault.name)
            for fault in faults
            for wire in fault.wire
        ]
        struck = Struck()
        with contextlib.ExitStack() as planted:
            target = place.proxied
            for fault in faults:
                target = planted.enter_context(fault.plant(target, self.profile))
            place.proxy.arm(*armed)
            try:
                results = self._run(target, place, scene)
            finally:
                done = place.proxy.arm()
                struck.failed.update(done.failed)
                struck.times.update({one.name: done.times[one.name] for one in armed})
        return results, struck

    def _run(self, target: Target, place: Place, scene: Scene) -> Results:
        self._runs += 1
        folder = self.folder / f"{self._runs:03d}-{scene.name}"
        folder.mkdir()
        asked = Suite(
            folder / "target.yaml",
            self._rules_file,
            self.profile.name,
            folder,
            families=place.families(scene),
            plan=scene.plan,
            quiet=True,
        )
        targets.save(target, asked.target_file)
        started = datetime.now(UTC)
        suite.run_here(asked, plugins=[self._kept[target.name]] if scene.kept else [])
        return assemble(folder, self._rules, rules_source=self._rules_file.name, started=started)
