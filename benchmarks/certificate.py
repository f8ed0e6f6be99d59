"""What evidence costs: certificate and page of a run with a million samples, and of a saved run.

    python benchmarks/certificate.py [RUN]

RUN is a folder, such as one of `make try`.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.builders import START, build
from validation.across import earlier
from validation.certificate import FILE
from validation.certificate.keys import public, signer
from validation.certificate.making import certified
from validation.certificate.verification import verify
from validation.report import html
from validation.report.store import HISTORY, read_results, write_results
from validation.runs.folder import ASSERTIONS, judged
from validation.verdicts.verdict import Outcome

SAMPLES = 1_000_000


def enlarged(folder: Path) -> None:
    """Give one observation of a run a million samples."""
    results = read_results(folder)
    metric = "search.latency.open_loop"
    found = next(seen for seen in results.observations if seen.metric == metric)
    values = np.random.default_rng(5).lognormal(1, 0.35, SAMPLES)
    path = folder / str(found.samples_file)
    np.savetxt(path, values, fmt="%.17g", header="value", comments="")
    seen = found.model_copy(
        update={"n": SAMPLES, "samples_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    )
    kept = tuple(seen if one is found else one for one in results.observations)
    rules = [rule for rule in results.rules if rule.gate != ASSERTIONS.gate]
    results = results.model_copy(update={"observations": kept})
    write_results(folder, judged(results, folder, rules, rules_source=results.rules_source))


def remember(folder: Path) -> None:
    """Give a run as many earlier ones as a page shows, in which every gate moved."""
    draw, gates = np.random.default_rng(6), []
    for gate in read_results(folder).gates:
        seen = [
            earlier.Seen(at=at, outcome=Outcome.FAIL, observed=figure, rule=f"≤ {figure:.17g} ms")
            for at, figure in enumerate(draw.normal(10, 1, earlier.MOST_RUNS))
        ]
        of = gate.model_dump(include={"gate", "target", "labels"})
        of |= gate.rule.model_dump(include={"metric", "statistic", "unit"})
        gates.append(earlier.Gate(**of, seen=tuple(seen)))
    runs = [
        earlier.Run(run=f"before-{at}", started=START, verdict=Outcome.FAIL)
        for at in range(earlier.MOST_RUNS)
    ]
    found = earlier.Earlier(runs=tuple(runs), gates=tuple(gates))
    (folder / HISTORY).write_text(found.model_dump_json(by_alias=True), encoding="utf-8")


def page_megabytes(folder: Path) -> float:
    """Render a run's page and return its size."""
    return html.render(folder).stat().st_size / 1e6


def keys(folder: Path) -> tuple[str, Path]:
    """Make a pair of keys; return the private key's file and the public one's."""
    key = Ed25519PrivateKey.generate()
    private, shared = folder / "key.pem", folder / "key.pub.pem"
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private.write_bytes(key.private_bytes(*plain))
    open_format = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shared.write_bytes(key.public_key().public_bytes(*open_format))
    return str(private), shared


def measured(folder: Path, keys_folder: Path) -> tuple[float, float]:
    """Return the CPU time to certify a run and to verify its certificate, in seconds."""
    (folder / FILE).unlink(missing_ok=True)
    private, shared = keys(keys_folder)
    begun = time.process_time()
    certified(folder, [signer(private)], waivers=None, selftest=None)
    made = time.process_time()
    verify(folder / FILE, folder, [public(shared)], today=datetime.now(UTC).date())
    return made - begun, time.process_time() - made


def main() -> None:
    """Print times and sizes beside what was promised."""
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "run"
        build(folder)
        enlarged(folder)
        made, checked = measured(folder, Path(base))
        size = page_megabytes(folder)
        remember(folder)
        print(f"a run with {SAMPLES:,} samples: certify {made:.2f} s of CPU")
        print(f"  verify {checked:.2f} s of CPU, of at most 3")
        print(
            f"  its page {size:.2f} MB, of at most 3; with a history {page_megabytes(folder):.2f}"
        )
        for given in map(Path, sys.argv[1:]):
            copy = Path(shutil.copytree(given.resolve(), Path(base) / "saved", symlinks=True))
            made, checked = measured(copy, Path(base))
            print(f"{given}: certify and verify {made + checked:.2f} s of CPU, of at most 2")
            size = page_megabytes(copy)
            remember(copy)
            print(f"  its page {size:.2f} MB; with a history {page_megabytes(copy):.2f}")
            shutil.rmtree(copy)


if __name__ == "__main__":
    main()
