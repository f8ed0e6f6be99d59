"""Where preflight's decision and what real clients met contradict each other.

A rule that the clients' own runs cannot provoke (two writers at the same moment, a damaged body, a
stranger's key) may be broken without their meeting it: that is no contradiction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tests.stores.go_client import GoRun
from tests.stores.log_owners import LogRun
from tests.stores.record import DEFAULTS, REQUIRED, MilvusRun
from validation.s3.conformance.runner import Finding
from validation.s3.preflight.decisions import log_rules
from validation.s3.preflight.profile import StoreProfile, required_of
from validation.verdicts.verdict import Outcome

_MET = (
    *("conditional.detection", "conditional.block", "conditional.fence"),
    *("objects.", "listing.", "multipart.", "bucket.", "integrity.signed-chunks"),
)
"""What a client meets by writing, listing and reading."""
_ON_ANY_STORE = frozenset({"living.stale"})
"""What Milvus 2.3.5 fails now and then whatever its store: it shows old versions of rows."""


def found(
    profile: StoreProfile,
    log: LogRun,
    go: GoRun,
    arrow: Mapping[str, Mapping[str, str]],
    milvus: MilvusRun | None,
) -> list[str]:
    """Return each contradiction in a sentence.

    Args:
        profile: What preflight said.
        log: What became of Woodpecker.
        go: What became of minio-go.
        arrow: What became of pyarrow, by way of checksums.
        milvus: What became of Milvus, if it was run.
    """
    clients = [*of_log(profile, log), *_of_go(profile, go), *_of_checksums(profile, arrow)]
    return [*clients, *_of_milvus(profile, milvus)]


def of_log(profile: StoreProfile, log: LogRun) -> Iterable[str]:
    """Yield where preflight and Woodpecker contradict each other."""
    decided = profile.decisions.woodpecker
    if decided == "safe" and not log.conditional:
        yield f"preflight calls Woodpecker safe, and its client: {log}"
    broken = _broken(profile.findings, log_rules({one.id: one for one in profile.findings}))
    if decided == "unsafe" and log.conditional and all(map(_is_met, broken)):
        yield f"preflight calls Woodpecker unsafe for {broken}, and its client found nothing wrong"


def _of_go(profile: StoreProfile, go: GoRun) -> Iterable[str]:
    for rule, works in (
        ("conditional.large-block", not go.overwrote),
        ("integrity.go-parts", not go.trailers),
    ):
        if _denied(profile, rule, works=works):
            yield f"{rule}: {profile.finding(rule).outcome}; minio-go: {go}"


def _of_checksums(profile: StoreProfile, arrow: Mapping[str, Mapping[str, str]]) -> Iterable[str]:
    works = {way: not any(trouble.values()) for way, trouble in arrow.items()}
    rule = "integrity.cpp-parts"
    if _denied(profile, rule, works=works[DEFAULTS]):
        outcome = profile.finding(rule).outcome
        yield f"{rule}: {outcome}; pyarrow at its defaults: {arrow[DEFAULTS]}"
    if profile.verdict is Outcome.PASS and not works[REQUIRED]:
        yield f"preflight lets the store through, and pyarrow: {arrow[REQUIRED]}"


def _of_milvus(profile: StoreProfile, milvus: MilvusRun | None) -> Iterable[str]:
    if milvus is None:
        return
    its_own = [one for one in milvus.failed if one not in _ON_ANY_STORE]
    if profile.verdict is Outcome.PASS and its_own:
        yield f"preflight lets the store through, and Milvus fails {its_own}"
    broken = _broken(profile.findings, required_of(profile.findings))
    # The suite's storage gates ask the same rules again: they are no second opinion.
    failed = [one for one in milvus.failed if not one.startswith("storage.")]
    if profile.verdict is Outcome.FAIL and not failed and all(map(_is_met, broken)):
        yield f"preflight refuses the store for {broken}, and Milvus found nothing wrong"


def _denied(profile: StoreProfile, rule: str, *, works: bool) -> bool:
    """Return whether a rule is green where a client failed, or red where it worked."""
    return profile.finding(rule).outcome is (Outcome.FAIL if works else Outcome.PASS)


def _broken(findings: Iterable[Finding], names: Iterable[str]) -> list[str]:
    wanted = set(names)
    return [one.id for one in findings if one.id in wanted and one.outcome is Outcome.FAIL]


def _is_met(name: str) -> bool:
    return name.startswith(_MET)


def worth_milvus(
    profile: StoreProfile, log: LogRun, arrow: Mapping[str, Mapping[str, str]]
) -> bool:
    """Return whether Milvus is to be run: preflight lets it through, or clients contradict it."""
    clients = log.intact and not any(arrow[REQUIRED].values())
    return profile.verdict is Outcome.PASS or clients
