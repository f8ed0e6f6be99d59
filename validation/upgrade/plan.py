"""What is fixed before anything is measured: rules, rounds, seed, data, and what is compared."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from validation.certificate.statements import canonical
from validation.datasets.generated import generate
from validation.datasets.model import Dataset
from validation.errors import ConfigurationError
from validation.milvus import manifest
from validation.milvus.ownership import collection_name
from validation.target import Target
from validation.verdicts import rules as rules_files
from validation.verdicts.verdict import Rule

SCHEMA = "milvus-kit/baseline/1"
NAME = collection_name("upgrade", "rows")
"""The kit's collection, which stays on the server from the baseline to the last comparison."""
FEWEST_ROUNDS = 10
K, QUERIES, SEARCHES = 10, 200, 200
OPERATIONS = (
    "search",
    "filtered search",
    "insert",
    "upsert",
    "delete",
    "flush",
    "load",
    "cold search",
)
SLOWDOWN, RECALL, DIFFERENCES = "upgrade.slowdown", "upgrade.recall_loss", "upgrade.differences"
WRONG, FAILED = "upgrade.wrong_answers", "upgrade.requests_failed"


class Plan(BaseModel):
    """What both sides are measured and judged by.

    Args:
        kit_version: Both sides are measured by the same kit.
        target: Name of the target.
        topology: What the target declares besides its version: it must not change.
        rules: In force, as they were read.
        rules_source: Where they were read.
        rounds: Of each side.
        seed: Of the generated rows and queries.
        rows: How many there are.
        dim: Of their vectors.
        data: Sum of the hashes of these rows modulo 2^128.
        collections: Whose rows a manifest holds; all if empty.
        load: Whether collections are loaded for it that are not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal["milvus-kit/baseline/1"] = Field(default=SCHEMA, alias="schema")
    kit_version: str
    target: str
    topology: dict[str, Any]
    rules: tuple[Rule, ...]
    rules_source: str
    rounds: int = Field(ge=FEWEST_ROUNDS)
    seed: int
    rows: int
    dim: int
    data: str
    collections: tuple[str, ...] = ()
    load: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the plan."""
        content = canonical(self.model_dump(mode="json", by_alias=True))
        return hashlib.sha256(content).hexdigest()

    def dataset(self) -> Dataset:
        """Return the rows and queries.

        Raises:
            ConfigurationError: This kit generates others than those of the plan.
        """
        made = _generated(self.rows, self.dim, self.seed)
        seen = manifest.sent(made).digest
        if seen != self.data:
            raise ConfigurationError(
                "this kit generates other rows than the baseline was measured with",
                where=f"seed {self.seed}",
                seen=seen,
                remedy="compare with the kit that made the baseline",
            )
        return made

    def require_kit(self) -> None:
        """Make sure that the kit that judges is the one that measured.

        Raises:
            ConfigurationError: It is another.
        """
        _require_same({"kit version": (self.kit_version, version("milvus-kit"))})

    def require_fits(self, target: Target) -> None:
        """Make sure that the other side can be compared with this one.

        Raises:
            ConfigurationError: Kit, target or topology is another.
        """
        topology = topology_of(target)
        roles = self.topology.get("roles", {})
        # Versions bring roles and take them away; of those that both have, there are as many.
        kept = {name: topology["roles"].get(name, count) for name, count in roles.items()}
        self.require_kit()
        _require_same(
            {
                "target": (self.target, target.name),
                "topology": (self.topology, {**topology, "roles": kept}),
            }
        )


def plan_for(
    target: Target,
    rules: Path,
    *,
    rounds: int,
    seed: int,
    rows: int,
    dim: int,
    collections: Sequence[str] = (),
    load: bool = False,
) -> Plan:
    """Return the plan of a baseline.

    Raises:
        ConfigurationError: Rules or rounds cannot be used.
    """
    found = rules_files.load(rules)
    _require_usable(found, target.name, str(rules))
    if rounds < FEWEST_ROUNDS:
        raise ConfigurationError(
            "so few rounds tell nothing",
            where="--rounds",
            seen=rounds,
            remedy=f"give at least {FEWEST_ROUNDS}",
        )
    return Plan(
        kit_version=version("milvus-kit"),
        target=target.name,
        topology=topology_of(target),
        rules=tuple(found),
        rules_source=str(rules),
        rounds=rounds,
        seed=seed,
        rows=rows,
        dim=dim,
        data=manifest.sent(_generated(rows, dim, seed)).digest,
        collections=tuple(collections),
        load=load,
    )


def _require_usable(rules: Sequence[Rule], target: str, where: str) -> None:
    """Make sure that rules are of a comparison, judge every loss, and miss nothing by a typo."""
    others = sorted({rule.metric for rule in rules if not rule.metric.startswith("upgrade.")})
    if others:
        raise ConfigurationError(
            "these rules are not of a comparison",
            where=where,
            seen=", ".join(others),
            remedy="name rules of metrics upgrade.*, such as stacks/upgrade.slo.yaml",
        )
    for rule in rules:
        known = {"target": (target,), **({"of": OPERATIONS} if rule.metric == SLOWDOWN else {})}
        for key, value in rule.where.items():
            if value not in known.get(key, ()):
                raise ConfigurationError(
                    f"nothing of a comparison is `{key}: {value}`: this rule judges nothing",
                    where=f"{where}: rules.{rule.gate}.where",
                    remedy=f"leave {key} out, or give one of {', '.join(known[key])}"
                    if key in known
                    else f"leave {key} out",
                )
    for metric in (DIFFERENCES, WRONG, FAILED):
        if not any(rule.metric == metric and _always_zero(rule) for rule in rules):
            raise ConfigurationError(
                f"no required rule says that {metric} is at most 0 everywhere: what is lost could"
                " pass",
                where=where,
                remedy="copy it from stacks/upgrade.slo.yaml",
            )


def _always_zero(rule: Rule) -> bool:
    always = rule.required and not rule.if_declared and rule.server is None and not rule.where
    return always and rule.max == 0


def topology_of(target: Target) -> dict[str, Any]:
    """Return what a target declares of its shape: all that an upgrade leaves as it is."""
    milvus = target.milvus
    found: dict[str, Any] = {
        "deployment": milvus.deployment,
        "database": milvus.database,
        "wal": milvus.wal and milvus.wal.value,
        "roles": {role.name: role.replicas for role in milvus.roles},
        "auth": milvus.auth is not None,
    }
    if target.storage is not None:
        found["bucket"] = target.storage.bucket
        found["root_path"] = target.storage.root_path
    return found


def _generated(rows: int, dim: int, seed: int) -> Dataset:
    made = generate(rows, dim, queries=QUERIES, seed=seed)
    return dataclasses.replace(made, name="upgrade")


def _require_same(facts: dict[str, tuple[Any, Any]]) -> None:
    for what, (was, now) in facts.items():
        if was != now:
            raise ConfigurationError(
                f"the baseline is of another {what}",
                where=f"baseline: {_difference(was, now)[0]}",
                seen=_difference(was, now)[1],
                remedy="measure a baseline anew: a comparison is of one change alone",
            )


def _difference(was: Any, now: Any) -> tuple[Any, Any]:
    """Return the parts of two facts that differ."""
    if not isinstance(was, dict):
        return was, now
    keys = sorted(key for key in {*was, *now} if was.get(key) != now.get(key))
    return {key: was.get(key) for key in keys}, {key: now.get(key) for key in keys}
