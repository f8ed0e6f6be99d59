"""What follows from a profile: which log Milvus may use and what the stack has to say of the store.

Pure functions of findings, so that a saved profile can be decided again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from validation.s3.client.endpoint import ca_pem_of
from validation.s3.conformance.model import Need
from validation.s3.conformance.runner import Finding
from validation.s3.conformance.table import CHECKS
from validation.target import Storage, Wal
from validation.verdicts.intervals import rate_unseen, share_missed
from validation.verdicts.verdict import Outcome

SECRET = "milvus-s3"  # noqa: S105  (a Secret's name)
_REMARKS = {
    f"name: {SECRET}": "a Secret that you make in the namespace, with accesskey and secretkey",
    "allowInsecure: true": "data and keys travel in the clear; prod refuses http:// without this",
    "mode: service": "of a cluster from 3.0.1 on; else kafka: mode create in dev, adopt in prod",
}
_UNFOLDED = 4096
"""No line is folded: a remark stands at the end of its own."""


class Decision(BaseModel):
    """One thing to set, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    choice: str
    reason: str


class Decisions(BaseModel):
    """What a stack on this store has to set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    woodpecker: Literal["safe", "unsafe", "unknown"]
    wal: Decision
    addressing: Decision
    region: Decision
    checksums: Decision
    tls: Decision
    stack: dict[str, Any]

    def yaml(self, *, profile: str = "") -> str:
        """Return the stack configuration to paste into ``stacks/Pulumi.NAME.yaml``.

        Args:
            profile: How the stack names the profile that holds these decisions: what is decided of
                checksums, and of the log, reaches a stack through it.
        """
        stack = dict(self.stack)
        if profile:
            name = "milvus-kit:storage"
            stack[name] = {**stack[name], "conformanceProfile": profile}
        text = yaml.safe_dump(
            {"config": stack}, sort_keys=False, allow_unicode=True, width=_UNFOLDED
        )
        return "".join(f"{_remarked(line)}\n" for line in text.splitlines())


def _remarked(line: str) -> str:
    """Return a line with what a reader has to know of it."""
    remark = _REMARKS.get(line.strip())
    return f"{line} # {remark}" if remark else line


def decide(storage: Storage, findings: Iterable[Finding], declared: Wal | None = None) -> Decisions:
    """Return what follows from the findings for a stack with this storage.

    Args:
        storage: The contract.
        findings: What was found.
        declared: The log that the stack has chosen; one that needs nothing of the store stays.
    """
    by = {finding.id: finding for finding in findings}
    woodpecker, wal = _log(by)
    addressing = _addressing(storage, by)
    checksums = _checksums(by)
    return Decisions(
        woodpecker=woodpecker,
        wal=wal,
        addressing=addressing,
        region=_region(storage, by),
        checksums=checksums,
        tls=_tls(storage, by),
        stack=_stack(storage, wal, addressing, declared),
    )


def _outcome(by: Mapping[str, Finding], name: str) -> Outcome:
    return by[name].outcome if name in by else Outcome.NOT_MEASURED


_LOG_NEEDS = ("objects.", "listing.", "consistency.", "integrity.")
"""What Woodpecker stands on besides conditional writes, of the rules that Milvus needs: it reads,
lists and deletes what it just wrote, and what is damaged on the way is an acknowledged row lost."""


def log_rules(by: Mapping[str, Finding]) -> list[str]:
    """Return the rules that decide whether Woodpecker may be on a store.

    Args:
        by: What was found, by rule: one that does not apply decides nothing.
    """
    own = [one.id for one in CHECKS if one.need is Need.WOODPECKER]
    others = [one.id for one in CHECKS if one.need is Need.MILVUS and one.id.startswith(_LOG_NEEDS)]
    return own + [name for name in others if name not in by or by[name].applies]


def _log(by: Mapping[str, Finding]) -> tuple[Literal["safe", "unsafe", "unknown"], Decision]:
    needed = log_rules(by)
    other = " Woodpecker as a service, Kafka and Pulsar do without."
    broken = [by[name] for name in needed if _outcome(by, name) is Outcome.FAIL]
    if broken:
        return "unsafe", Decision(choice="woodpecker-service", reason=f"{_unfit(broken)}.{other}")
    open_ = [name for name in needed if _outcome(by, name) is not Outcome.PASS]
    if open_:
        return "unknown", Decision(
            choice="woodpecker-service",
            reason=f"not measured, so not relied upon: {', '.join(open_)}.{other}",
        )
    return "safe", Decision(
        choice="woodpecker-embedded",
        reason=f"all {len(needed)} rules that Woodpecker needs hold; {_confidence(by)}",
    )


def log_allowed(decisions: Decisions) -> str:
    """Return which log the store allows, and how sure that is, in one line."""
    if decisions.woodpecker == "safe":
        return f"log: {decisions.wal.choice} is allowed: {decisions.wal.reason}"
    word = "unsafe" if decisions.woodpecker == "unsafe" else "not shown to be safe"
    return (
        "log: woodpecker-service, kafka or pulsar; embedded Woodpecker is"
        f" {word} here: {decisions.wal.reason}"
    )


def _unfit(broken: Sequence[Finding]) -> str:
    """Return why Woodpecker should not be on this store: rows lost only where that was seen."""
    detected = all(one.id != "conditional.detection" for one in broken)
    # Who was not seen to keep conditions is sent none: Woodpecker holds locks in etcd instead.
    lost = [
        one
        for one in broken
        if one.evidence.get("lost") and (detected or not one.id.startswith("conditional."))
    ]
    said = []
    if lost:
        said.append(f"Woodpecker on this store could lose rows: {_named(lost)}")
    if not detected:
        said.append(
            "Woodpecker does not find conditional writes here, set to auto it goes on with locks in"
            " etcd after about a minute, set to enable it panics: "
            + _named([one for one in broken if one.id == "conditional.detection"])
        )
    rest = [one for one in broken if one not in lost and one.id != "conditional.detection"]
    if rest:
        said.append(f"rules that Woodpecker stands on are broken: {_named(rest)}")
    return ". ".join(f"{text[0].upper()}{text[1:]}" for text in said)


def _named(findings: Iterable[Finding]) -> str:
    return "; ".join(f"{one.id} ({one.reason})" for one in findings)


def _confidence(by: Mapping[str, Finding]) -> str:
    """Return how sure it is that no race has two winners, of the rule that was asked the least."""
    rules = [by[name].evidence for name in ("conditional.race", "conditional.fence-race")]
    races = min(int(one.get("races", 0)) for one in rules)
    if not races:
        return "under races too"
    return (
        f"two won none of {races} races, so fewer than {rate_unseen(races):.1%} of all (95 %); of"
        f" stores where two win 1 race in 50, {share_missed(1 / 50, races):.0%} would be missed"
    )


def _addressing(storage: Storage, by: Mapping[str, Finding]) -> Decision:
    path = _outcome(by, "addressing.path")
    virtual = _outcome(by, "addressing.virtual-host")
    if path is Outcome.PASS:
        more = " (virtual-host style works too)" if virtual is Outcome.PASS else ""
        return Decision(choice="path", reason=f"path style works{more} and needs no DNS of its own")
    if virtual is Outcome.PASS:
        return Decision(
            choice="virtual", reason="path style does not work, virtual-host style does"
        )
    return Decision(choice=storage.addressing, reason="as declared; not measured")


def _region(storage: Storage, by: Mapping[str, Finding]) -> Decision:
    found = by.get("addressing.region")
    strict = bool(found and found.evidence.get("strict"))
    return Decision(
        choice=storage.region,
        reason="a request signed for another region is refused: the region must be exact"
        if strict
        else "requests signed for this region are accepted",
    )


_MODERN = (
    "integrity.cpp-parts",
    "integrity.unsigned-trailer",
    "integrity.signed-trailer",
    "integrity.default-checksums",
    "integrity.default-range",
)


def _checksums(by: Mapping[str, Finding]) -> Decision:
    broken = [name for name in _MODERN if _outcome(by, name) is not Outcome.PASS]
    if broken:
        return Decision(
            choice="when_required",
            reason=f"not every default of SDKs works ({', '.join(broken)}): give every role the"
            " environment AWS_REQUEST_CHECKSUM_CALCULATION=when_required and"
            " AWS_RESPONSE_CHECKSUM_VALIDATION=when_required",
        )
    return Decision(choice="when_supported", reason="default checksums and aws-chunked bodies work")


def _tls(storage: Storage, by: Mapping[str, Finding]) -> Decision:
    if storage.endpoint.startswith("http://"):
        return Decision(choice="off", reason="the endpoint is plain HTTP: objects travel in clear")
    trusted = by.get("tls.trusted")
    if trusted and trusted.evidence.get("system_store"):
        return Decision(
            choice="system",
            reason="this host's certificate store accepts it; if its CA is no public one, the pods"
            " need it all the same: give it with --ca-file",
        )
    return Decision(
        choice="ca-file",
        reason="a private CA: every pod needs it, in SSL_CERT_FILE for the client in Go and in"
        " place of the system's file for the one in C++; storage.ca does both",
    )


def _stack(
    storage: Storage, wal: Decision, addressing: Decision, declared: Wal | None
) -> dict[str, Any]:
    """Return the stack's sections, in the words of `infra.settings`."""
    contract: dict[str, Any] = {
        "type": "x10000" if storage.provider == "x10000" else "s3",
        "endpoint": storage.endpoint,
        "bucket": storage.bucket,
        "rootPath": storage.root,
        "region": storage.region,
        "addressing": addressing.choice,
    }
    if storage.encryption is not None:
        contract["encryption"] = storage.encryption
    if storage.endpoint.startswith("http://"):
        contract["allowInsecure"] = True
    pem = ca_pem_of(storage)
    if storage.endpoint.startswith("https://") and pem is not None:
        contract["ca"] = {"pem": pem}
    contract["credentials"] = {"existingSecret": {"name": SECRET}}
    sections: dict[str, Any] = {"milvus-kit:storage": contract}
    if wal.choice == "woodpecker-embedded" and declared in {None, Wal.WOODPECKER_EMBEDDED}:
        sections["milvus-kit:log"] = {"type": "woodpecker", "mode": "embedded"}
    elif declared in {None, Wal.WOODPECKER_EMBEDDED}:
        sections["milvus-kit:log"] = {"type": "woodpecker", "mode": "service"}
    return sections
