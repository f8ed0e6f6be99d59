"""Amounts of CPU, memory and disk, as people write them in Kubernetes' own forms."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from validation.common.patterns import shaped

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_UNITS = {"": 1} | {
    suffix: base**power
    for base, suffixes in ((1000, "kMGTPE"), (1024, ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))
    for power, suffix in enumerate(suffixes, start=1)
}
_AMOUNT = re.compile(rf"{_NUMBER}(?:([eE]\d{{1,2}})|([EKMGTPk]i?)?)")


def _as_text(value: object) -> object:
    """Return a number as YAML reads it, such as ``cpu: 1``, as the text that was written."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _something(text: str) -> str:
    if not re.search("[1-9]", re.split("[eE]", text)[0]):
        raise PydanticCustomError("nothing", "this is nothing; leave it out, or give an amount")
    return text


Cpu = Annotated[
    str,
    BeforeValidator(_as_text),
    shaped(
        r"^(\d+m|\d+(\.\d{0,3})?|\.\d{1,3})$", "a number of cores, or thousandths of one", "500m"
    ),
    AfterValidator(_something),
]
Quantity = Annotated[
    str,
    BeforeValidator(_as_text),
    shaped(
        r"^(\d+(\.\d*)?|\.\d+)([eE]\d{1,2}|[KMGTPE]i|[kMGTPE])?$",
        "an amount of memory or disk, without a space",
        "4Gi",
    ),
    AfterValidator(_something),
]


def bytes_of(quantity: str) -> int:
    """Return a memory or volume quantity in bytes, e.g. ``"20Gi"`` or ``"0.5Gi"``."""
    match = _AMOUNT.fullmatch(quantity)
    if match is None:
        raise ValueError(quantity)
    number, exponent, unit = match.groups()
    return int(Decimal(number + (exponent or "")) * _UNITS[unit or ""])


def cores_of(cpu: str) -> float:
    """Return a CPU quantity in cores, e.g. ``"500m"`` is 0.5."""
    return int(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
