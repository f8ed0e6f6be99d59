"""What a certificate says, as in-toto Statements v1: a pure function of a run.

Three statements over the same subjects, so that each reader finds the one it knows:

- ``test-result/v0.1``: PASSED, WARNED (passed but for waived gates) or FAILED; a required gate that
  is inconclusive or was not measured counts as failed, since policy engines let a warning through
- ``svr/v0.1``: which properties were verified: the gates that passed
- the kit's own: each gate with rule, figure, interval and margin, and the selftest's kill rate
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from validation.certificate import waivers as waived_gates
from validation.certificate.waivers import Waiver
from validation.common.files import checksum
from validation.report.results import Results, State
from validation.report.store import HISTORY, REPORT, RESULTS
from validation.verdicts.verdict import Outcome, Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
SVR = "https://in-toto.io/attestation/svr/v0.1"
ACCEPTANCE = "urn:milvus-kit:acceptance:v0.1"
PREDICATES = (TEST_RESULT, SVR, ACCEPTANCE)
VERIFIER = "urn:milvus-kit:verifier"
PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"


def statements(
    results: Results,
    folder: Path,
    *,
    waivers: Sequence[Waiver] = (),
    selftest: Mapping[str, Any] | None = None,
    created: str,
) -> list[dict[str, Any]]:
    """Return the statements of a certificate.

    Args:
        results: The run.
        folder: Its folder, with the raw samples.
        waivers: Gates that somebody answers for.
        selftest: How many planted faults this suite found, as ``milvus-kit selftest`` wrote it.
        created: When the certificate is made, RFC 3339.
    """
    subject = list(_subjects(results, folder))
    result = conclusion(results, waivers, on=date.fromisoformat(created[:10]))
    bodies = {
        TEST_RESULT: _test_result(results, waivers, result, subject),
        SVR: {
            "verifier": {"id": f"{VERIFIER}:{results.kit_version}"},
            "timeCreated": created,
            "properties": [name(gate) for gate in results.gates if gate.outcome is Outcome.PASS],
        },
        ACCEPTANCE: _acceptance(results, waivers, result, selftest, created),
    }
    return [
        {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": body}
        for kind, body in bodies.items()
    ]


def conclusion(results: Results, waivers: Sequence[Waiver], *, on: date) -> str:
    """Return what the certificate says of the run on a day: PASSED, WARNED or FAILED."""
    if results.verdict is Outcome.PASS:
        return PASSED
    if results.state is not State.COMPLETE:
        return FAILED  # what was never asked can't be waived
    bad = [gate for gate in results.gates if gate.required and gate.outcome is not Outcome.PASS]
    covers = [waived_gates.of(gate, waivers) for gate in bad]
    accepted = bool(bad) and all(found and on <= found.expires for found in covers)
    return WARNED if accepted else FAILED


def name(gate: Verdict) -> str:
    """Return a gate's name, unique in its run."""
    labels = ",".join(f"{key}={value}" for key, value in sorted(gate.labels.items()))
    inside = f"{gate.gate}[{labels}]" if labels else gate.gate
    return f"{gate.target}: {inside}" if gate.target else inside


def canonical(document: Any) -> bytes:
    """Return a document as the bytes that are hashed and signed: keys sorted, no spaces."""
    plain = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    return json.dumps(document, allow_nan=False, **plain).encode()


def _subjects(results: Results, folder: Path) -> Iterator[dict[str, Any]]:
    for file in subject_files(results):
        if (folder / file).is_file():
            yield {"name": file, "digest": {"sha256": checksum(folder / file)}}
    rules = [rule.model_dump(mode="json") for rule in results.rules]
    documents: dict[str, Any] = {
        f"rules:{results.rules_source}": rules,
        f"profile:{results.profile}": results.parameters,
    }
    documents |= {f"target:{target.get('name', '')}": target for target in results.targets}
    for title, document in documents.items():
        yield {"name": title, "digest": {"sha256": hashlib.sha256(canonical(document)).hexdigest()}}
    for file, digest in results.kit_image.items():
        yield {"name": f"milvus-kit:{file}", "digest": {"sha256": digest}}
    for image in sorted(set(_images(results.targets))):
        yield {"name": image, "digest": {"sha256": image.rpartition("@sha256:")[2]}}


def subject_files(results: Results) -> list[str]:
    """Return the files of a run that its certificate vouches for if it has them, in its folder."""
    return [RESULTS, REPORT, HISTORY, *sample_files(results)]


def sample_files(results: Results) -> list[str]:
    """Return the files of raw samples that a run has to have, relative to its folder."""
    return sorted({seen.samples_file for seen in results.observations if seen.samples_file})


def _images(part: Any) -> Iterator[str]:
    """Yield each image of a target that is pinned by its digest."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "image" and "@sha256:" in str(value):
                yield str(value)
            yield from _images(value)
    elif isinstance(part, (list, tuple)):
        for value in part:
            yield from _images(value)


def _test_result(
    results: Results, waivers: Sequence[Waiver], result: str, subject: list[dict[str, Any]]
) -> dict[str, Any]:
    lists: dict[str, list[str]] = {"passedTests": [], "warnedTests": [], "failedTests": []}
    for gate in results.gates:
        if not gate.required:
            continue  # advisory: the kit's own statement has them
        if gate.outcome is Outcome.PASS:
            lists["passedTests"].append(name(gate))
        elif result == WARNED and waived_gates.of(gate, waivers):
            lists["warnedTests"].append(name(gate))
        else:
            lists["failedTests"].append(name(gate))
    configured = ("rules:", "profile:", "target:")
    configuration = [part for part in subject if part["name"].startswith(configured)]
    return {"result": result, "configuration": configuration, **lists}


def _acceptance(
    results: Results,
    waivers: Sequence[Waiver],
    result: str,
    selftest: Mapping[str, Any] | None,
    created: str,
) -> dict[str, Any]:
    return {
        "created": created,
        "result": result,
        "verdict": results.verdict.value,
        "state": results.state.value,
        "run": results.run,
        "kitVersion": results.kit_version,
        "kitImage": results.kit_image,
        "profile": results.profile,
        "servers": _plain(results.servers),
        "datasets": _plain(results.datasets),
        "gates": [_gate(gate, waivers) for gate in results.gates],
        "waivers": [waiver.model_dump(mode="json") for waiver in waivers],
        "selftest": _plain(selftest),
    }


def _gate(gate: Verdict, waivers: Sequence[Waiver]) -> dict[str, Any]:
    rule, waiver = gate.rule, waived_gates.of(gate, waivers)
    bound = "min" if rule.min is not None else "max"
    return {
        "name": name(gate),
        "required": gate.required,
        "outcome": gate.outcome.value,
        "waived": waiver is not None,
        "rule": {bound: rule.threshold, "statistic": rule.statistic, "unit": rule.unit},
        "observed": _plain(gate.observed),
        "interval": _plain([gate.low, gate.high]),
        "confidence": rule.confidence,
        "n": gate.n,
        "margin": _plain(_margin(gate)),
        "samples": gate.samples_file,
        "reason": gate.reason,
    }


def _margin(gate: Verdict) -> float | None:
    """Return how far the interval's worse end is on the good side of the rule, in its unit."""
    worse = gate.low if gate.rule.min is not None else gate.high
    if worse is None:
        return None
    return worse - gate.rule.threshold if gate.rule.min is not None else gate.rule.threshold - worse


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; numbers that JSON lacks become text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
