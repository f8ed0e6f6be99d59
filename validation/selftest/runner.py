"""Runs the suite clean and then against planted faults, and compares which gates are red."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.markup import escape

from validation.common.host import this_host
from validation.common.naming import require_known
from validation.common.progress import BAD, GOOD, OPEN, Progress
from validation.common.resources import FALLBACK_RULES, find
from validation.errors import MeasurementError
from validation.local.stack import EmbeddedStack
from validation.report.results import Results
from validation.report.wording import gate_line
from validation.runs.folder import new_run_folder
from validation.runs.profiles import profile_named
from validation.runs.session import LOCAL_RULES
from validation.selftest.bench import Bench, Place, lite_place, proxied
from validation.selftest.fault import Fault
from validation.selftest.faults import AT_ONCE, FAULTS, UNPLANTED
from validation.selftest.finding import Finding, compare
from validation.selftest.record import Planted, SelfTest, planted
from validation.selftest.scene import ANSWERS, SCENES, WHOLE, Scene
from validation.suite import workload
from validation.verdicts import rules as rules_files
from validation.verdicts.verdict import Outcome, Rule

NAME = "selftest"
ATTEMPTS = 3
"""A busy machine may keep a latency from being told; then it is tried again."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """What the user chose on the command line.

    Args:
        faults: Names; all if empty, and then some of them together as well.
        together: Plant those that were named at once, against the whole suite.
        profile: Sizes and durations.
        rules: Rules to judge by; those of `milvus-kit try` if left out.
        runs: Where runs are kept.
    """

    faults: tuple[str, ...] = ()
    together: bool = False
    profile: str = NAME
    rules: Path | None = None
    runs: Path = Path("runs")


@dataclasses.dataclass(frozen=True)
class Group:
    """Faults that are planted together, and against which part of the suite."""

    faults: tuple[Fault, ...]
    scene: Scene

    @property
    def story(self) -> str:
        """What goes wrong, in a reader's words."""
        return "; ".join(fault.story for fault in self.faults)

    @property
    def on_lite(self) -> Group | None:
        """What of it is planted in front of Milvus Lite: of several faults at least two."""
        faults = tuple(fault for fault in self.faults if fault.lite)
        return Group(faults, self.scene) if len(faults) >= min(2, len(self.faults)) else None


def groups(choices: Choices) -> list[Group]:
    """Return what is planted: each fault alone; if none was named, also in pairs and several.

    Raises:
        ConfigurationError: There is no such fault.
    """
    require_known(choices.faults, FAULTS, what="fault", option="--fault")
    chosen = tuple(FAULTS[name] for name in choices.faults or FAULTS)
    if choices.together:
        return [Group(chosen, WHOLE)] if choices.faults else [*_at_once()]
    alone = [Group((fault,), fault.scene) for fault in chosen]
    return alone if choices.faults else [*alone, *_pairs(chosen), *_at_once()]


def _pairs(faults: Sequence[Fault]) -> Iterator[Group]:
    """Yield each fault of answers together with the next one."""
    answers = [fault for fault in faults if fault.scene is ANSWERS and fault.wire]
    for one, other in zip(answers, [*answers[1:], *answers[:1]], strict=True):
        yield Group((one, other), ANSWERS)


def _at_once() -> Iterator[Group]:
    for names in AT_ONCE:
        yield Group(tuple(FAULTS[name] for name in names), WHOLE)


def without_a_fault(rules: Sequence[Rule]) -> list[str]:
    """Return the required gates that no fault turns red and no reason excuses."""
    return [
        rule.gate
        for rule in rules
        if rule.required
        and rule.gate not in UNPLANTED
        and not any(fault.turns_red(rule) for fault in FAULTS.values())
    ]


def run(choices: Choices, progress: Progress) -> tuple[SelfTest, Path]:
    """Run the suite clean and with faults, on servers of its own.

    Args:
        choices: What the user chose.
        progress: Shows where it is.

    Returns:
        What was found, and the folder for it.

    Raises:
        ConfigurationError: There is no such fault or profile.
        MeasurementError: The clean run is red already, so that nothing can be told.
    """
    wanted, profile = groups(choices), profile_named(choices.profile)
    rules_file = choices.rules or find(LOCAL_RULES)
    rules = with_others(rules_files.load(rules_file))
    started, uncovered = datetime.now(UTC), without_a_fault(rules)
    for gate in uncovered:
        progress.say(f"  no fault is planted for {gate}")
    folder = new_run_folder(choices.runs, NAME)
    try:
        with contextlib.ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="milvus-kit-")))
            bench = Bench(scratch, profile, rules, rules_file, progress)
            places = _places(stack, scratch, wanted, progress)
            workload.prepare(profile)
            found = [*_planted(bench, places, wanted)]
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise
    alone = [one for one in found if len(one.faults) == 1]
    record = SelfTest(
        run=folder.name,
        kit_version=version("milvus-kit"),
        started=started,
        finished=datetime.now(UTC),
        profile=profile.name,
        host=this_host(),
        rules_source=rules_file.name,
        servers={place.target.name: place.version for place in places},
        planted=len(alone),
        noticed=sum(one.noticed for one in alone),
        exact=sum(one.exact for one in alone),
        faults=tuple(alone),
        together=tuple(one for one in found if len(one.faults) > 1),
        unplanted={**UNPLANTED, **dict.fromkeys(uncovered, "no fault is known")},
    )
    return record, folder


def with_others(rules: Sequence[Rule]) -> list[Rule]:
    """Return rules with those that `validate` has besides and a fault is planted for."""
    own = {rule.metric for rule in rules}
    return [
        *rules,
        *(
            rule
            for rule in rules_files.load(find(f"stacks/{FALLBACK_RULES}"))
            if rule.metric not in own and any(fault.turns_red(rule) for fault in FAULTS.values())
        ),
    ]


def _places(
    stack: contextlib.ExitStack, scratch: Path, wanted: Sequence[Group], progress: Progress
) -> list[Place]:
    """Start the servers that are needed; they end with the stack."""
    server = stack.enter_context(EmbeddedStack(scratch / "stack", progress=progress))
    places = [stack.enter_context(proxied(server.target))]
    if any(group.on_lite for group in wanted):
        places.append(stack.enter_context(lite_place(scratch / "lite")))
    if any(group.scene.secured for group in wanted):
        own = EmbeddedStack(
            scratch / "secured", progress=progress, name="local-secured", secure=True
        )
        places.append(stack.enter_context(proxied(stack.enter_context(own).target)))
    return places


def _planted(bench: Bench, places: Sequence[Place], wanted: Sequence[Group]) -> Iterator[Planted]:
    """Plant what is wanted, scene by scene."""
    for is_kept in (True, False):
        scenes = [scene for scene in SCENES if scene.kept is is_kept]
        needed = any(group.scene in scenes for group in wanted)
        keeping = [one for one in places if is_kept and needed and not one.secured]
        with bench.keeping(keeping):
            for scene in scenes:
                for place in places:
                    if place.secured is not scene.secured:
                        continue
                    here = [one.on_lite if place.lite else one for one in wanted]
                    own = [one for one in here if one and one.scene is scene]
                    if own:
                        yield from _in_scene(bench, place, scene, own)


def _in_scene(
    bench: Bench, place: Place, scene: Scene, wanted: Sequence[Group]
) -> Iterator[Planted]:
    clean = _clean(bench, place, scene)
    for group in wanted:
        finding = _plant(bench, place, group, clean)
        yield planted(finding, story=group.story, scene=scene.name)


def _clean(bench: Bench, place: Place, scene: Scene) -> Results:
    """Run a scene without a fault: no gate may be red. What a busy machine leaves undecided, it is.

    Raises:
        MeasurementError: A required gate is red, or is not measured.
    """
    attempt = 0
    while True:
        attempt += 1
        with bench.progress.step(f"{scene.name} on {place.target.name}, without a fault"):
            results, _ = bench.run(place, scene)
        dull = [
            gate
            for gate in results.gates
            if gate.required and gate.check and gate.outcome is not Outcome.PASS
        ]
        if not dull:
            return results
        for gate in dull:
            bench.progress.say(escape(f"  {gate_line(gate)}"))
        if any(gate.outcome is not Outcome.INCONCLUSIVE for gate in dull):
            raise MeasurementError(
                "without any fault there are gates that are not green",
                where=f"selftest: {scene.name} on {place.target.name}",
                remedy="run `milvus-kit try` and mend what it says first",
            )
        if attempt == ATTEMPTS:
            return results


def _plant(bench: Bench, place: Place, group: Group, clean: Results) -> Finding:
    """Run a scene with faults and compare what is red with what has to be."""
    target = place.target.name
    finding = compare(group.faults, clean, clean, target=target)
    if not finding.wanted_red | finding.wanted_open:  # whatever they did, nothing could be told
        finding = Finding(finding.faults, target, unsure=finding.unsure)
        bench.progress.say(escape(f"  {finding.line()}"))
        return finding
    for attempt in range(ATTEMPTS):
        names = " + ".join(fault.name for fault in group.faults)
        title = f"{names} on {target}: {group.story}"
        with bench.progress.step(f"{title}, again" if attempt else title) as step:
            results, struck = bench.run(place, group.scene, group.faults)
            finding = compare(group.faults, clean, results, target=place.target.name, struck=struck)
            step.ends(GOOD if finding.caught else OPEN if finding.busy else BAD)
        bench.progress.say(escape(f"  {finding.line()}"))
        if not finding.busy or finding.unsure:
            break
    return finding
