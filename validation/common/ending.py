"""A command that is told to end does so as by Ctrl-C: it undoes what it began, keeps what it has.

``kill``, a scheduler and Kubernetes send SIGTERM, a terminal that is closed SIGHUP; the default for
both is to end at once. What is ignored already stays ignored: nohup says so of SIGHUP.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_OUTPUT = (1, 2)


@contextmanager
def as_by_ctrl_c() -> Iterator[None]:
    """Let the signals that ask this process to end raise KeyboardInterrupt in the block.

    Only the first one does: what is sent again, as with SIGHUP after SIGTERM, does not break off
    the cleaning up. Ctrl-C still does.
    """
    terminals = [number for number in _OUTPUT if os.isatty(number)]
    ours = [one for one in SIGNALS if signal.getsignal(one) is signal.SIG_DFL]

    def end(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        for one in ours:
            signal.signal(one, signal.SIG_IGN)
        if number == signal.SIGHUP:
            _let_go(terminals)
        raise KeyboardInterrupt

    for one in ours:
        signal.signal(one, end)
    try:
        yield
    finally:
        for one in ours:
            if signal.getsignal(one) is end:  # else it came, and the end is not yet over
                signal.signal(one, signal.SIG_DFL)


def _let_go(terminals: list[int]) -> None:
    """Write to nowhere what would go to a terminal that is gone: each write would be an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in terminals:
        os.dup2(nowhere, number)
    os.close(nowhere)
