"""What a user names on the command line has to be something that there is."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from validation.errors import ConfigurationError


def require_known(named: Iterable[str], known: Collection[str], *, what: str, option: str) -> None:
    """Make sure that all that was named is known.

    Args:
        named: What the user gave.
        known: All there is, in the order in which it is shown.
        what: What a name stands for, such as ``profile``.
        option: Where it was given, such as ``--profile``.

    Raises:
        ConfigurationError: One of the names is none of those known.
    """
    for name in named:
        if name not in known:
            raise ConfigurationError(
                f"there is no such {what}",
                where=option,
                seen=name,
                remedy=f"use one of {', '.join(known)}",
            )
