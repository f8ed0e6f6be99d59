"""Files that come with the kit: at the root of a checkout, in a wheel beside the code."""

from __future__ import annotations

from pathlib import Path

from validation.errors import ConfigurationError

_PACKAGE = Path(__file__).resolve().parent


def find(name: str) -> Path:
    """Return the path of a file or folder that comes with the kit, such as ``sample_data``.

    Raises:
        ConfigurationError: It is neither in the checkout nor in the installed package.
    """
    for root in (_PACKAGE.parent, _PACKAGE / "_data"):
        if (root / name).exists() and (root / "stacks").is_dir():
            return root / name
    raise ConfigurationError(
        "a file of the kit is missing",
        where=name,
        remedy="reinstall milvus-kit, or run it from a complete checkout",
    )
