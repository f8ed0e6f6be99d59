"""Certificates as commands make and show them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from validation.certificate import FILE, envelopes
from validation.certificate import waivers as waived_gates
from validation.certificate.signing import Signer
from validation.certificate.statements import (
    ACCEPTANCE,
    FAILED,
    WARNED,
    canonical,
    statements,
)
from validation.certificate.verification import (
    Verified,
    judged_again,
    verify,
)
from validation.errors import ConfigurationError, ExitCode, UsageError
from validation.report.wording import plain


@dataclasses.dataclass(frozen=True)
class Shown:
    """A certificate in a few lines.

    Args:
        title: What was done.
        result: PASSED, WARNED or FAILED.
        acceptance: The kit's own predicate.
        remarks: What a reader must know besides.
    """

    title: str
    result: str
    acceptance: dict[str, Any]
    remarks: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a command that ends with it."""
        return ExitCode.FAIL if self.result == FAILED else ExitCode.PASS

    def lines(self) -> Iterator[str]:
        """Yield the lines, whatever others put into names and reasons; the result is the last."""
        yield from map(plain, self._lines())

    def _lines(self) -> Iterator[str]:
        said = self.acceptance
        yield self.title
        yield f"  run {said['run']}, profile {said['profile']}, milvus-kit {said['kitVersion']}"
        yield f"  {_killed(said['selftest'])}"
        for gate in said["gates"]:
            if gate["required"] and gate["outcome"] != "pass":
                word = "waived" if gate["waived"] and self.result == WARNED else "not passed"
                yield f"  {word}: {gate['name']}: {gate['outcome']}"
        for one in said["waivers"]:
            yield f"  waiver: {one['gate']} until {one['expires']}, {one['owner']}: {one['reason']}"
        yield from (f"  {remark}" for remark in self.remarks)
        required = [gate for gate in said["gates"] if gate["required"]]
        passed = sum(gate["outcome"] == "pass" for gate in required)
        yield f"{self.result}  {passed} of {len(required)} required gates passed"


def certified(
    folder: Path, signers: Sequence[Signer], *, waivers: Path | None, selftest: Path | None
) -> Shown:
    """Write a run's certificate.

    Args:
        folder: The run's folder.
        signers: Who signs.
        waivers: A file of waivers.
        selftest: A file of what the selftest found.

    Raises:
        ConfigurationError: The run, the waivers or the selftest cannot be read.
        CertificateError: The samples do not give the verdicts of the results.
        UsageError: There is a certificate already.
    """
    path = folder / FILE
    if path.exists():
        raise UsageError(
            "this run has a certificate already",
            where=str(path),
            remedy="add a signature to it with --countersign, or move it away",
        )
    results = judged_again(folder)
    accepted = waived_gates.load(waivers) if waivers else ()
    waived_gates.require_needed(accepted, results.gates, where=str(waivers))
    created = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    made = statements(
        results,
        folder,
        waivers=accepted,
        selftest=_selftest(selftest, results.kit_version),
        created=created,
    )
    sealed = [envelopes.Envelope(canonical(one)).signed(signers) for one in made]
    envelopes.write(sealed, path)
    acceptance = next(one for one in made if one["predicateType"] == ACCEPTANCE)["predicate"]
    return Shown(f"Certificate: {path}", acceptance["result"], acceptance)


def countersigned(
    folder: Path, signers: Sequence[Signer], *, waivers: Path | None, selftest: Path | None
) -> Shown:
    """Add signatures to a run's certificate, once it has been found to hold.

    Raises:
        UsageError: Waivers or a selftest are named: what is signed stays as it is.
        CertificateError: The certificate does not hold.
    """
    if waivers or selftest:
        raise UsageError(
            "a countersignature changes nothing of what is signed",
            where="--countersign",
            remedy="leave out --waivers and --selftest",
        )
    path = folder / FILE
    today = datetime.now(UTC).date()
    verified = verify(path, folder, (), today=today)
    found = [envelope.signed(signers) for envelope in envelopes.read(path)]
    envelopes.write(found, path)
    return shown(verified, signatures=len(found[0].signatures), title="Countersigned")


def shown(verified: Verified, *, signatures: int, title: str = "Verified") -> Shown:
    """Return a certificate that holds, in a few lines."""
    remarks = [f"expired: the waiver of {one.gate} ended {one.expires}" for one in verified.lapsed]
    what = f"{title}: {signatures} signatures, files and verdicts, judged again from the samples"
    return Shown(what, verified.result, verified.acceptance, tuple(remarks))


def _selftest(path: Path | None, kit_version: str) -> dict[str, Any] | None:
    """Return what the selftest of the very suite that measured found."""
    if path is None:
        return None
    from validation.selftest import record  # noqa: PLC0415  (it loads all that measures)

    found = record.load(path)
    if found.kit_version != kit_version:
        raise ConfigurationError(
            "this selftest is of another suite than the one that measured the run",
            where=str(path),
            seen=f"milvus-kit {found.kit_version}, the run's is {kit_version}",
            remedy=f"run `milvus-kit selftest` of version {kit_version}",
        )
    return found.model_dump(mode="json", by_alias=True)


def _killed(selftest: dict[str, Any] | None) -> str:
    if not selftest:
        return "selftest: not stated; how well the suite finds faults is unknown"
    planted, noticed = selftest["planted"], selftest["noticed"]
    return f"selftest: {noticed} of {planted} planted faults were noticed"
