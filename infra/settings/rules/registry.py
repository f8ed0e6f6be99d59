"""The lists that every rule and every remark is put on by its decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from infra.settings.problem import Problem

Rule = Callable[..., Iterator[Problem]]
RULES: list[Rule] = []
REMARKS: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Put a rule on the list; its parameters are names of sections."""
    RULES.append(function)
    return function


def remark(function: Rule) -> Rule:
    """Put on the list what yields problems that are worth a word, and no reason to refuse."""
    REMARKS.append(function)
    return function
