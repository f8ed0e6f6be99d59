"""Asks again for a while what may pass by itself: a server that starts, or chooses a leader."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Answer = TypeVar("_Answer")


def patiently(
    act: Callable[[], _Answer],
    *,
    on: type[Exception] | Callable[[Exception], bool],
    seconds: float,
    first_wait: float,
) -> _Answer:
    """Return what a function returns, called again as long as it fails with what may pass.

    Args:
        act: The function.
        on: What may pass: a type of error, or a function that tells.
        seconds: How long it is called again at most; its last error is raised then.
        first_wait: Seconds before the second call; later waits are longer, up to 5 s.
    """
    import stamina  # noqa: PLC0415  (slow to import; programs only declare)
    from stamina.instrumentation import set_on_retry_hooks  # noqa: PLC0415

    # Pulumi shows what is printed here. What was in the way is told once, if it stays.
    set_on_retry_hooks(())
    for attempt in stamina.retry_context(
        on=on, attempts=None, timeout=seconds, wait_initial=first_wait, wait_max=5
    ):
        with attempt:
            return act()
    raise AssertionError("stamina ends with a value or an error")
