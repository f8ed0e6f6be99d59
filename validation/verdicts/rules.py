"""Rules files: ``stacks/NAME.slo.yaml``, one mapping of gate to rule.

.. code-block:: yaml

    schema: milvus-kit/slo/1
    rules:
      recall.hnsw:
        metric: ann_overlap@10
        where: {index: HNSW}
        min: 0.95
        unit: ratio
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from validation.common import strict_yaml
from validation.common.patterns import told
from validation.common.schemas import refuse_newer
from validation.errors import ConfigurationError
from validation.verdicts.sense import implied, senseless
from validation.verdicts.verdict import Rule

SCHEMA = "milvus-kit/slo/1"


def load(path: Path) -> list[Rule]:
    """Return the rules in a file, in its order.

    Raises:
        ConfigurationError: The file cannot be read, or with every wrong rule at once.
    """
    document = strict_yaml.load(
        path, "rules file", remedy="name a rules file with --rules, such as stacks/local.slo.yaml"
    )
    return parse(document, source=str(path))


def parse(document: Any, *, source: str) -> list[Rule]:
    """Return the rules in a document.

    Raises:
        ConfigurationError: With every wrong key at once, and if there is no required rule.
    """
    refuse_newer(document, SCHEMA, "rules file", where=source)
    problems: list[str] = []
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        problems.append(f"schema: a rules file starts with `schema: {SCHEMA}`")
        document = document if isinstance(document, dict) else {}
    problems += [
        f"{key}: unknown key; a rules file has schema and rules"
        for key in document
        if key not in {"schema", "rules"}
    ]
    entries = document.get("rules")
    if not isinstance(entries, dict):
        problems.append("rules: a mapping of gate names to rules is missing")
        entries = {}
    rules = [_rule(gate, body, problems) for gate, body in entries.items()]
    found = [rule for rule in rules if rule is not None]
    problems += [f"rules.{rule.gate}: {why}" for rule in found if (why := senseless(rule))]
    problems += implied(found)
    if not problems and not any(rule.required for rule in found):
        problems.append("rules: no rule is required, so nothing could ever pass or fail")
    if problems:
        raise ConfigurationError(
            "these rules cannot be used\n    " + "\n    ".join(problems),
            where=source,
            remedy="mend the keys named above; docs/rules.md lists metrics, units and statistics",
        )
    return found


def _rule(gate: Any, body: Any, problems: list[str]) -> Rule | None:
    if not isinstance(gate, str):
        problems.append(f"rules.{gate}: a gate's name is text: quote it")
        return None
    if not isinstance(body, dict):
        problems.append(f"rules.{gate}: a rule is a mapping, not {body!r}")
        return None
    if "gate" in body:
        problems.append(f"rules.{gate}.gate: the gate is named by its key")
        return None
    unknown = [key for key in body if key not in Rule.model_fields]
    problems += [f"rules.{gate}.{key}: unknown key" for key in unknown]
    # The rest is looked at all the same, so that everything wrong is named at once.
    known = {key: value for key, value in body.items() if key not in unknown}
    try:
        return Rule.model_validate({**known, "gate": gate}, strict=False)
    except ValidationError as error:
        for item in error.errors(include_input=True, include_url=False):
            key = ".".join(str(part) for part in ("rules", gate, *item["loc"]))
            seen = (
                "" if item["type"] in {"missing", "value_error"} else f" (seen: {item['input']!r})"
            )
            problems.append(f"{key}: {told(item)}{seen}")
        return None
