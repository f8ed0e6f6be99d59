"""One thing that is wrong with the settings, and how all of them are shown together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from validation.errors import ConfigurationError

_SECRETIVE = re.compile(
    r"secret|password|passwd|token|credential|private|accesskey|pem$|key$", re.IGNORECASE
)
_SHOWN = 80


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key.

    Args:
        key: Path of the key, e.g. ``milvus.roles.querynode.replicas``.
        what: What is wrong, without a final full stop.
        seen: The value as text, or None where it must not or need not be shown.
        remedy: What to do next.
    """

    key: str
    what: str
    seen: str | None = None
    remedy: str = ""

    def line(self) -> str:
        """Return it as one line."""
        seen = f" (seen: {self.seen})" if self.seen is not None else ""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        return f"{self.key}: {self.what}{seen}{remedy}"


def shown(path: Sequence[str], kind: str, value: Any) -> str | None:
    """Return a value for a message, or None if it may hold a secret."""
    if kind in {"config_secret", "private_key", "pem"} or any(_SECRETIVE.search(p) for p in path):
        return None
    if isinstance(value, (dict, list, tuple)):
        return None
    text = repr(value)
    if "PRIVATE KEY" in text or re.search(r"://[^/\s]*@", text):
        return None
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def secretive(name: str) -> bool:
    """Tell whether a name announces a secret, e.g. ``KAFKA_PASSWORD``."""
    return bool(_SECRETIVE.search(name))


def raise_all(problems: Sequence[Problem], source: str) -> None:
    """Raise one error with every problem, in order of keys; return if there is none.

    Raises:
        ConfigurationError: There is at least one problem.
    """
    if not problems:
        return
    lines = sorted({problem.line() for problem in problems})
    count = "one key is" if len(lines) == 1 else f"{len(lines)} keys are"
    raise ConfigurationError(
        f"{count} wrong\n    " + "\n    ".join(lines),
        where=source,
        remedy="mend the keys named above; docs/settings.md describes each of them",
    )
