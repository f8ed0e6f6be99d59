"""What a run of one target is worth for another: which gates carry over, and what differs.

A gate carries over where nothing differs that its family depends on, so it says the same of both as
far as declarations go. What depends on machines, sizes and networks never does: times and rates are
of where they were measured. Milvus's own settings are in no target document; they are not compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from validation.report import wording
from validation.report.families import FAMILIES, family
from validation.report.results import Results
from validation.verdicts.verdict import Outcome, Verdict

_SERVER = ("milvus.version", "milvus.deployment", "milvus.wal", "milvus.roles.")
_STORE = (
    *("storage.provider", "storage.addressing", "storage.tls.mode", "storage.region"),
    *("storage.versioning", "storage.object_lock", "storage.encryption"),
)
_DEPENDS = {
    "answers": _SERVER,
    "recall": _SERVER,
    "retrieval": _SERVER,
    "filters": _SERVER,
    "data": (*_SERVER, *_STORE),
    "mutations": (*_SERVER, *_STORE),
    "living": (*_SERVER, *_STORE),
}
"""What each family depends on; any other on the machines, and carries over nowhere."""
_ITSELF = {"identity", "assertions"}
"""What is of one deployment or one run alone."""
_REQUIRED = ("milvus.version", "milvus.wal", "storage.provider")
"""What has to be declared of both: unknown is not equal."""
_LEFT_OUT = ("schema", "name", "description", "notes", "rules", "restart", "configuration")
_SECRET = ("auth.password", "access_key", "secret_key", "ca_pem", "ca_file", "_file")


@dataclasses.dataclass(frozen=True)
class Difference:
    """A field that is declared otherwise."""

    field: str
    there: Any
    here: Any

    def said(self) -> str:
        """Return it in a line."""
        there, here = ("not declared" if one is None else one for one in (self.there, self.here))
        return wording.line(f"{self.field}: {there} -> {here}")


@dataclasses.dataclass(frozen=True)
class Part:
    """What became of one family's gates."""

    title: str
    gates: tuple[Verdict, ...]
    because: tuple[str, ...]

    @property
    def carries(self) -> tuple[Verdict, ...]:
        """The gates that say the same of the other target."""
        passed = [gate for gate in self.gates if gate.outcome is Outcome.PASS]
        return () if self.because else tuple(passed)


def differences(run_target: Mapping[str, Any], other: Mapping[str, Any]) -> list[Difference]:
    """Return the fields in which two target documents differ; secrets are not looked at."""
    there, here = dict(_fields(run_target)), dict(_fields(other))
    found = [
        Difference(key, there.get(key), here.get(key))
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]
    unknown = [key for key in _REQUIRED if there.get(key) is None and here.get(key) is None]
    return [*found, *(Difference(key, None, None) for key in unknown)]


def transferred(results: Results, target: str, found: list[Difference]) -> list[Part]:
    """Return, for each family of a run's gates at a target, what carries over.

    A gate that matched no observation is at no target of the run; it counts at each.
    """
    others = {str(one.get("name", "")) for one in results.targets} - {target}
    parts = []
    for name, title in FAMILIES.items():
        gates = tuple(
            gate
            for gate in results.gates
            if gate.target not in others and family(gate.rule.metric) == name
        )
        if gates:
            parts.append(Part(title, gates, tuple(_because(name, found))))
    return parts


def _because(name: str, found: list[Difference]) -> Iterator[str]:
    if name in _ITSELF:
        yield "it is of one deployment alone"
    elif name not in _DEPENDS:
        yield "it is of the machines, store and network where it was measured"
    else:
        fields = (one.field for one in found if one.field.startswith(_DEPENDS[name]))
        # How many pods a role has changes no answer; which roles there are, and of what, may.
        counted = (field for field in fields if not field.endswith(".replicas"))
        yield from dict.fromkeys(
            "milvus.roles" if field.startswith("milvus.roles.") else field for field in counted
        )


def _fields(part: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a document by dotted keys; roles by their names."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            inside = f"{at}.{key}" if at else str(key)
            if inside not in _LEFT_OUT and not inside.endswith(_SECRET):
                yield from _fields(value, inside)
    elif isinstance(part, (list, tuple)):
        for number, value in enumerate(part):
            named = value.get("name", number) if isinstance(value, Mapping) else number
            yield from _fields(value, f"{at}.{named}")
    else:
        yield at, part
