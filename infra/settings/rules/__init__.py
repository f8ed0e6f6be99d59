"""What no single section can know: rules across the settings.

Each rule is a function that takes the sections it needs by name and yields problems. A rule runs
when all of its sections are right by themselves, so one mistake never hides another. Everything
that would be refused later stands here, so that nothing is declared before it is refused.
"""

from __future__ import annotations

import inspect
from typing import Any

from infra.settings.problem import Problem

# Imported for the rules that they put on the list.
from infra.settings.rules import (
    configuration,  # noqa: F401
    milvus,  # noqa: F401
    network,  # noqa: F401
    operator,  # noqa: F401
    production,  # noqa: F401
    storage,
    surroundings,  # noqa: F401
    vulnerabilities,  # noqa: F401
)
from infra.settings.rules.registry import REMARKS, RULES, Rule


def problems(sections: dict[str, Any], *, recorded: bool = True) -> list[Problem]:
    """Return what the rules find wrong with the sections that are right by themselves.

    Args:
        sections: By name.
        recorded: Whether the store's recorded profile counts; not for who is to record it.
    """
    return _found(RULES + ([storage.profile_agrees] if recorded else []), sections)


def remarks(sections: dict[str, Any]) -> list[str]:
    """Return a line for each thing that is worth a word, and no reason to refuse the settings."""
    return sorted({problem.line() for problem in _found(REMARKS, sections)})


def _found(rules: list[Rule], sections: dict[str, Any]) -> list[Problem]:
    found: list[Problem] = []
    for rule in rules:
        needed = list(inspect.signature(rule).parameters)
        if all(name in sections for name in needed):
            found += rule(**{name: sections[name] for name in needed})
    return found
