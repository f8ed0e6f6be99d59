"""Whether a certificate holds: its signatures, its files, and each verdict judged again.

Nothing of the certificate is believed for being signed alone. Every statement is made anew from the
run's folder, with all gates judged from the raw samples, and has to come out the same; the signed
part that cannot be recomputed (waivers, selftest, the time) is handed in and shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from validation.certificate import envelopes
from validation.certificate.signing import Key
from validation.certificate.statements import (
    ACCEPTANCE,
    PREDICATES,
    WARNED,
    conclusion,
    sample_files,
    statements,
)
from validation.certificate.waivers import Waiver
from validation.errors import CertificateError, ConfigurationError
from validation.report.results import Results
from validation.report.store import HISTORY, REPORT, RESULTS, read_results
from validation.runs.folder import ASSERTIONS, judged

_ASK = "ask whoever sent it for the run's folder as it was certified"


@dataclasses.dataclass(frozen=True)
class Verified:
    """A certificate that holds.

    Args:
        result: What it says today: PASSED, WARNED or FAILED.
        results: The run, judged again.
        acceptance: The kit's own predicate.
        lapsed: Waivers that were in force when it was made and have expired since.
    """

    result: str
    results: Results
    acceptance: dict[str, Any]
    lapsed: tuple[Waiver, ...]


def verify(file: Path, folder: Path, keys: Sequence[Key], *, today: date) -> Verified:
    """Verify a certificate against a run's folder, offline.

    Args:
        file: The certificate.
        folder: The run's folder.
        keys: Public keys that the reader trusts; each has to have signed. Without any, signatures
            are left alone.
        today: Waivers that have expired by then count no more.

    Raises:
        CertificateError: It does not hold; the message says which part.
        ConfigurationError: The run's folder is not one that this version reads.
    """
    found = _known(envelopes.read(file), keys, file)
    said = found[ACCEPTANCE]["predicate"]
    try:
        waivers = tuple(Waiver.model_validate(one) for one in said["waivers"])
        created, selftest = str(said["created"]), said["selftest"]
        date.fromisoformat(created[:10])
        require_selftest(selftest)
    except (KeyError, TypeError, ValueError):  # a ValidationError of pydantic's is one
        raise CertificateError(
            "its acceptance statement lacks what this version reads", where=str(file)
        ) from None
    _require_inside(folder)
    results = judged_again(folder)
    made = statements(results, folder, waivers=waivers, selftest=selftest, created=created)
    for statement in made:
        kind = statement["predicateType"]
        for difference in _differences(found[kind], statement):
            raise CertificateError(
                f"the run's folder is not what was certified: {difference}",
                where=str(folder),
                remedy=_ASK,
            )
    result = conclusion(results, waivers, on=today)
    lapsed = tuple(one for one in waivers if one.expires < today)
    return Verified(result, results, said, lapsed if said["result"] == WARNED else ())


def require_selftest(found: Any) -> None:
    """Make sure that a selftest says how many faults it planted and noticed, or that there is none.

    Raises:
        ValueError: It does not.
    """
    if found is None:
        return
    counts = [found.get(key) for key in ("planted", "noticed")] if isinstance(found, dict) else []
    if not counts or not all(type(one) is int and one >= 0 for one in counts):
        raise ValueError("no counts of planted and noticed faults")


def _known(found: Sequence[Any], keys: Sequence[Key], file: Path) -> dict[str, dict[str, Any]]:
    """Return the signed statements by predicate; those of others are passed over, as in-toto says.

    Raises:
        CertificateError: One of the kit's is missing, or is there twice.
    """
    known: dict[str, dict[str, Any]] = {}
    for number, envelope in enumerate(found, 1):
        statement = envelopes.opened(envelope, keys, where=f"{file}:{number}")
        kind = str(statement.get("predicateType"))
        if kind in known:
            raise CertificateError("it says the same twice", where=f"{file}:{number}", seen=kind)
        known[kind] = statement
    missing = [kind for kind in PREDICATES if kind not in known]
    if missing or not isinstance(known[ACCEPTANCE].get("predicate"), dict):
        raise CertificateError(
            "a statement is missing", where=str(file), seen=", ".join(missing) or ACCEPTANCE
        )
    return known


def _require_inside(folder: Path) -> None:
    """Make sure that no file of the run is a link to elsewhere.

    Raises:
        CertificateError: One is.
    """
    own = (folder / name for name in (RESULTS, REPORT, HISTORY, "samples"))
    for path in (*own, *folder.glob("samples/*")):
        if not path.resolve().is_relative_to(folder.resolve()):
            raise CertificateError(
                "a file of the run lies outside its folder", where=str(path), remedy=_ASK
            )


def judged_again(folder: Path) -> Results:
    """Return a run as its raw samples give it.

    Raises:
        CertificateError: They do not give the verdicts that its results have.
        ConfigurationError: There are no results that this version reads.
    """
    results = read_results(folder)
    missing = [name for name in sample_files(results) if not (folder / name).is_file()]
    if missing:
        raise CertificateError(
            "raw samples are missing", where=str(folder), seen=", ".join(missing[:3]), remedy=_ASK
        )
    rules = [rule for rule in results.rules if rule.gate != ASSERTIONS.gate]
    try:
        again = judged(results, folder, rules, rules_source=results.rules_source)
    except ConfigurationError as error:
        raise CertificateError(
            error.what, where=error.where, seen=error.seen, remedy=_ASK
        ) from None
    for difference in _differences(
        results.model_dump(mode="json")["gates"], again.model_dump(mode="json")["gates"]
    ):
        raise CertificateError(
            f"the raw samples do not give the verdicts that {RESULTS} has: {difference}",
            where=str(folder),
            remedy=f"{_ASK}; it was judged by milvus-kit {results.kit_version}",
        )
    return again


def _differences(said: Any, seen: Any, at: str = "") -> Iterator[str]:
    """Yield where two documents differ, in a reader's words."""
    if isinstance(said, dict) and isinstance(seen, dict):
        for key in sorted({*said, *seen}):
            inside = f"{at}.{key}" if at else str(key)
            yield from _differences(said.get(key), seen.get(key), inside)
    elif isinstance(said, list) and isinstance(seen, list) and len(said) == len(seen):
        for number, (one, other) in enumerate(zip(said, seen, strict=True)):
            title = one.get("name", number) if isinstance(one, dict) else number
            yield from _differences(one, other, f"{at}[{title}]")
    elif said != seen:
        yield f"{at or 'document'}: certified {_short(said)}, found {_short(seen)}"


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004
