"""docs/gates.md, made of the catalogue of metrics: ``python -m tests.gates_page``."""

from __future__ import annotations

from pathlib import Path

from validation.common.files import write_whole
from validation.report.families import FAMILIES, family
from validation.verdicts.catalogue import CATALOGUE

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gates.md"
_HEAD = """\
# What each gate means, and how to act on it

A gate is a rule of your rules file about one of these metrics ([rules.md](rules.md) says how rules
are written and judged). Each makes a promise testable; if it does not hold, begin with what stands
below it. The report says the same beside each gate that did not pass.

A gate that is **inconclusive** asks for more samples (a larger profile) or, where the client was
the bottleneck, for a quieter one; one that was **not measured** says why: remove the cause, choose
a profile that measures it, or make the rule advisory.
"""


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for name, title in FAMILIES.items():
        inside = [one for one in CATALOGUE.values() if family(one.name) == name]
        if inside:
            parts.append(f"\n## {title}\n")
        for one in inside:
            parts.append(f"\n`{one.name}` ({one.unit}, {one.better} is better)\n: {one.claim}\n")
            parts.append(f"  If not: {one.remedy}.\n")
    return "".join(parts)


if __name__ == "__main__":
    write_whole(PAGE, page())
