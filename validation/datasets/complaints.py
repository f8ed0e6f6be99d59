"""Everything that is wrong with the files of a corpus, said at once and not one line a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from validation.errors import DatasetError

_KINDS = 20
_RANGES = 40


@dataclasses.dataclass(frozen=True)
class _Complaint:
    path: Path
    line: int
    what: str
    seen: Any
    remedy: str
    key: str
    detail: str


class Complaints:
    """What is wrong with some files, line by line; raised together.

    Args:
        folder: What the files belong to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[_Complaint] = []

    def add(
        self,
        path: Path,
        line: int,
        what: str,
        *,
        seen: Any = None,
        remedy: str,
        key: str = "",
        detail: str = "",
    ) -> None:
        """Keep a complaint.

        Args:
            path: The file.
            line: Its line, from 1.
            what: What is wrong; lines of which the same is said are listed together.
            seen: The value there.
            remedy: What to do.
            key: The key in the line's object that is concerned.
            detail: What is to be added of this line alone.
        """
        self._all.append(_Complaint(path, line, what, seen, remedy, key, detail))

    def about(self, path: Path) -> bool:
        """Return whether anything is wrong with a file so far."""
        return any(one.path == path for one in self._all)

    def check(self) -> None:
        """Raise what there is.

        Raises:
            DatasetError: With every line that is wrong, those of the same mistake together.
        """
        if not self._all:
            return
        if len(self._all) == 1:
            one = self._all[0]
            raise DatasetError(
                one.what + one.detail,
                where=f"{one.path}, line {one.line}" + (f", {one.key}" if one.key else ""),
                seen=one.seen,
                remedy=one.remedy,
            )
        kinds: dict[tuple[Path, str, str], list[_Complaint]] = {}
        for one in self._all:
            kinds.setdefault((one.path, one.what, one.remedy), []).append(one)
        said = [_kind(self.folder, alike) for alike in list(kinds.values())[:_KINDS]]
        if len(kinds) > _KINDS:
            rest = sum(map(len, list(kinds.values())[_KINDS:]))
            said.append(f"\n    and {len(kinds) - _KINDS} more kinds of mistake in {rest} lines")
        raise DatasetError(
            f"{len({(one.path, one.line) for one in self._all})} lines are wrong{''.join(said)}",
            where=str(self.folder),
            remedy="mend them all, then write the manifest again:"
            f" `milvus-kit corpus manifest {self.folder}`",
        )


def _kind(folder: Path, alike: Sequence[_Complaint]) -> str:
    """Return what is said of the lines with the same mistake."""
    first = alike[0]
    path = first.path.relative_to(folder) if first.path.is_relative_to(folder) else first.path
    lines = sorted({one.line for one in alike})
    shown = repr(first.seen)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004
    example = f"{first.key}: " if first.key else ""
    return (
        f"\n    {path}, line{'s' if len(lines) > 1 else ''} {ranges(lines)}: "
        f"{first.what}{first.detail} (line {first.line}: {example}{shown}); {first.remedy}"
    )


def ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers in short, such as ``2, 5-9, 12``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    said = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in spans[:_RANGES])
    rest = sum(b - a + 1 for a, b in spans[_RANGES:])
    return said + (f" and {rest} more" if rest else "")
