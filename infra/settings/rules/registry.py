"""The list that every rule is put on by its decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from infra.settings.problem import Problem

Rule = Callable[..., Iterator[Problem]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Put a rule on the list; its parameters are names of sections."""
    RULES.append(function)
    return function
