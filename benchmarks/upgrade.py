"""How often a comparison of two versions is wrong: counts over simulated rounds, seeded.

    python benchmarks/upgrade.py

Prints, of 200 comparisons of a version with itself, how many gates failed, and of 200 with a
planted regression of 10 %, how many failed; each with 20 rounds a side and margins of 5 %. Rounds
are as on a quiet host: their medians scatter by 2 %, follow each other (0.2), and one in twenty is
a third slower.
"""

from __future__ import annotations

import numpy as np

from validation.upgrade.statistics import bounds, noise

COMPARISONS, ROUNDS, MARGIN, GATES = 200, 20, 1.05, 10
PLANTED = 1.10
SCATTER, FOLLOWS, SPOILT, SLOWER = 0.02, 0.2, 0.05, 1.33


def rounds(rng: np.random.Generator, count: int = ROUNDS, *, factor: float = 1.0) -> np.ndarray:
    """Return the medians of some rounds, in ms."""
    steps = rng.normal(0, SCATTER * np.sqrt(1 - FOLLOWS**2), count)
    logs = np.empty(count)
    last = rng.normal(0, SCATTER)
    for at, step in enumerate(steps):
        last = logs[at] = FOLLOWS * last + step
    return 3.0 * factor * np.exp(logs) * np.where(rng.random(count) < SPOILT, SLOWER, 1.0)


def counts(
    factor: float, *, seed: int, count: int = ROUNDS, margin: float = MARGIN
) -> dict[str, int]:
    """Return how many comparisons pass, fail, or stay open."""
    rng = np.random.default_rng(seed)
    found = {"pass": 0, "fail": 0, "inconclusive": 0}
    for _ in range(COMPARISONS):
        before, after = rounds(rng, count), rounds(rng, count, factor=factor)
        low, high = bounds(before, after, confidence=0.95, gates=GATES)
        too_noisy = max(noise(before, count), noise(after, count)) > margin
        outcome = "pass" if high <= margin else "fail" if low > margin else "inconclusive"
        found["inconclusive" if too_noisy else outcome] += 1
    return found


def main() -> None:
    """Print the counts."""
    for title, factor in (("the same version", 1.0), (f"{PLANTED - 1:.0%} slower", PLANTED)):
        found = counts(factor, seed=1)
        said = ", ".join(f"{number} {outcome}" for outcome, number in found.items())
        print(f"{title}: of {COMPARISONS} comparisons {said}")


if __name__ == "__main__":
    main()
