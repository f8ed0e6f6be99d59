"""Plan files: read strictly, with every wrong key named at once; those that come with the kit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from validation.common import strict_yaml
from validation.common.files import write_whole
from validation.common.naming import require_known
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.load.plans.model import FEWEST, LONGEST, SCHEMA, LoadPlan, Replay
from validation.load.slo.search import LOWEST
from validation.load.slo.trial import METRICS
from validation.verdicts import rules as rules_files
from validation.verdicts.verdict import Rule

PRESETS = Path(__file__).resolve().parent / "presets"
FEWEST_TIMES, MOST_TIMES = FEWEST, LONGEST * int(LOWEST)
_REMEDY = "mend the keys named above; `milvus-kit slo --show-preset rag-chat` shows a whole plan"


def presets() -> dict[str, Path]:
    """Return the plans that come with the kit, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def preset(name: str) -> Path:
    """Return the file of a plan that comes with the kit.

    Raises:
        ConfigurationError: There is none of this name.
    """
    known = presets()
    require_known([name], known, what="preset", option="--preset")
    return known[name]


def load(path: Path) -> LoadPlan:
    """Return the plan in a file.

    Raises:
        ConfigurationError: It cannot be read, or with every wrong key at once.
    """
    document = strict_yaml.load(
        path, "plan file", remedy="name one with --plan, or one of the kit's with --preset"
    )
    refuse_newer(document, SCHEMA, "plan file", where=str(path))
    if document.pop("schema", None) != SCHEMA:
        raise ConfigurationError(
            f"a plan file starts with `schema: {SCHEMA}`", where=str(path), remedy=_REMEDY
        )
    for key in ("times",):  # it is the file's, never written by hand
        if key in document:
            raise ConfigurationError(f"unknown key {key}", where=str(path), remedy=_REMEDY)
    named = {"name": path.stem, **document}
    if "rules" in named:
        named["rules"] = _rules(named["rules"], path)
    try:
        plan = LoadPlan.model_validate(named)
    except ValidationError as error:
        raise ConfigurationError(
            f"this plan cannot be used{strict_yaml.wrong_keys(error)}",
            where=str(path),
            remedy=_REMEDY if "name" in document else _named(error, path),
        ) from None
    problems = plan.problems()
    if problems:
        raise ConfigurationError(
            "this plan cannot be used\n    " + "\n    ".join(problems),
            where=str(path),
            remedy=_REMEDY,
        )
    if isinstance(plan.arrivals, Replay):
        times = _times(path.parent / plan.arrivals.replay)
        plan = plan.model_copy(update={"times": tuple(times.tolist())})
    return plan


def copied(path: Path, folder: Path) -> Path:
    """Put a plan, and what it replays, into a run's folder: editing it meanwhile changes nothing.

    Args:
        path: The plan.
        folder: Where to.
    """
    plan, text = load(path), path.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    # Its name is that of the file, unless it says another.
    changed: dict[str, Any] = {} if "name" in document else {"name": plan.name}
    if plan.times:
        write_whole(folder / "arrivals.txt", "".join(f"{time!r}\n" for time in plan.times))
        changed["arrivals"] = {"replay": "arrivals.txt"}
    if changed:
        text = yaml.safe_dump(document | changed, sort_keys=False)
    return write_whole(folder / "plan.yaml", text)


def _named(error: ValidationError, path: Path) -> str:
    """Return the remedy for a plan that says no name; that of its file may not be one."""
    if not any(item["loc"] == ("name",) for item in error.errors()):
        return _REMEDY
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower())[:40].strip("-") or "mine"
    return f"the plan's name is its file's, unless it says one: add `name: {name}`; {_REMEDY}"


def _rules(given: Any, path: Path) -> list[Rule]:
    rules = rules_files.parse(
        {"schema": rules_files.SCHEMA, "rules": given}, source=f"{path}: rules"
    )
    wrong = [rule for rule in rules if rule.metric not in METRICS]
    if wrong:
        raise ConfigurationError(
            f"a trial is not judged by {wrong[0].metric}",
            where=f"{path}: rules.{wrong[0].gate}",
            remedy=f"use {', '.join(METRICS)}; the rate itself is judged by the rules file",
        )
    return rules


def _times(path: Path) -> np.ndarray:
    """Return the times in a file, float64, shape (n,), from the first one on."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        times = np.array([float(one) for one in lines if one.strip() and one[0] != "#"])
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationError(
            f"cannot read what is replayed: {why}",
            where=str(path),
            remedy="correct arrivals.replay",
        ) from None
    except ValueError as error:
        raise ConfigurationError(
            f"a line is no time: {error}", where=str(path), remedy="one time in seconds a line"
        ) from None
    good = len(times) >= FEWEST_TIMES and bool(np.isfinite(times).all())
    if not good or len(times) > MOST_TIMES or (np.diff(times) < 0).any() or times[0] == times[-1]:
        raise ConfigurationError(
            "these arrivals cannot be replayed",
            where=str(path),
            seen=f"{len(times)} times",
            remedy=f"{FEWEST_TIMES} to {MOST_TIMES:,} ascending times in seconds, not all the same",
        )
    return times - times[0]
