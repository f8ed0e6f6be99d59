"""How two manifests differ, with the first keys and fields that do."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from validation.errors import MilvusKitError
from validation.milvus import manifest
from validation.upgrade import rows
from validation.upgrade.document import Collection, Manifest, Partition, load, place
from validation.upgrade.rows import Rows

EXAMPLES = 5
BUILT_IN = frozenset({"admin", "public"})
"""Roles of Milvus's own, which later versions let do more."""
_NUMBERS = {
    "fields": frozenset({"field_id"}),
    "functions": frozenset({"id", "input_field_ids", "output_field_ids"}),
}
"""What a server numbers itself, with gaps where fields were added or dropped."""


@dataclasses.dataclass
class Differences:
    """Of two manifests.

    Args:
        found: One sentence each.
        rows: How many rows are missing, unexpected or changed.
        not_read: What cannot be told, one sentence each.
        unserved: Collections that were loaded before, and are not now.
        notes: What differs and may: objects of the bucket, versions.
        collections: How many both sides hold.
        held: How many rows of them were read before.
    """

    found: list[str] = dataclasses.field(default_factory=list)
    rows: Counter[str] = dataclasses.field(default_factory=Counter)
    not_read: list[str] = dataclasses.field(default_factory=list)
    unserved: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    collections: int = dataclasses.field(default=0, compare=False)
    held: int = dataclasses.field(default=0, compare=False)


def differ(
    before: Path, after: Path, *, only: Sequence[str] = (), restored: bool = False
) -> Differences:
    """Return how the manifest in one folder differs from that in another.

    Args:
        before: Folder of the one.
        after: Folder of the other.
        only: Look at these collections alone; at all if empty.
        restored: Whether what is there after was made anew: its fields have numbers of their own.

    Raises:
        ConfigurationError: One of them is none, is not finished, or was changed.
    """
    one, other = load(before), load(after)
    out = Differences()
    for name in sorted({*only} or {*one.collections, *other.collections}):
        if name not in other.collections or name not in one.collections:
            lost = name in one.collections
            out.found.append(f"collection {name} is {'gone' if lost else 'new'}")
            continue
        out.collections += 1
        out.held += one.collections[name].rows
        sides = (one.collections[name], other.collections[name])
        if restored:
            sides = tuple(map(_unnumbered, sides))
        _collection(name, (before, sides[0]), (after, sides[1]), out)
    _access(one, other, out)
    _notes(one, other, out)
    return out


def _collection(
    name: str, one: tuple[Path, Collection], other: tuple[Path, Collection], out: Differences
) -> None:
    said, seen = (
        {
            "schema": side.described,
            "indexes": side.indexes,
            "aliases": side.aliases,
            "partitions": sorted(side.partitions),
        }
        for _, side in (one, other)
    )
    out.found += [f"{name}: {text}" for text in _values(said, seen)]
    for when, side in (("before", one[1]), ("after", other[1])):
        if side.not_read:
            out.not_read.append(f"{name} was not read {when}: {side.not_read}")
        out.not_read += [
            f"{place(name, partition)}, {when}: {part.miscounted}"
            for partition, part in sorted(side.partitions.items())
            if part.miscounted and not side.not_read
        ]
    if one[1].served and not other[1].served:
        why = other[1].not_read or "it was loaded for the manifest alone"
        out.unserved.append(f"{name} was served before, and now: {why}")
    if one[1].not_read or other[1].not_read:
        return
    for partition in sorted({*one[1].partitions} & {*other[1].partitions}):
        _partition(name, partition, one, other, out)


def _partition(
    name: str,
    partition: str,
    one: tuple[Path, Collection],
    other: tuple[Path, Collection],
    out: Differences,
) -> None:
    was, now = one[1].partitions[partition], other[1].partitions[partition]
    where = place(name, partition)
    if was.counted != now.counted:
        out.found.append(f"{where}: {was.counted:,} rows were counted, now {now.counted:,}")
    same_fields = one[1].fields == other[1].fields
    if same_fields and (was.rows, was.keys, was.content) == (now.rows, now.keys, now.content):
        return
    try:
        named = _named(where, (one, was), (other, now), out)
    except MilvusKitError as error:
        named, why = False, error.sentence().partition("\n")[0]
    else:
        why = "no key tells them apart"
    if not named and same_fields:
        out.found.append(
            f"{where}: {was.rows:,} rows of content {was.content[:16]} were read, now {now.rows:,}"
            f" of {now.content[:16]}; which ones differ is not known: {why}"
        )
    elif not named:
        out.found.append(f"{where}: other fields were read")


def _named(
    where: str,
    one: tuple[tuple[Path, Collection], Partition],
    other: tuple[tuple[Path, Collection], Partition],
    out: Differences,
) -> bool:
    """Name the rows that differ; return whether there are any."""
    ((before, of), was), ((after, to), now) = one, other
    same_fields = of.fields == to.fields
    counts: Counter[str] = Counter()
    keys: dict[str, list[Any]] = {}
    changed: dict[str, Counter[str]] = {}
    for left, right in _windows(rows.read(before, was.chunks), rows.read(after, now.chunks)):
        seen = manifest.compare(_as_manifest(left), _as_manifest(right))
        for sort in ("missing", "unexpected", "changed"):
            counts[sort] += getattr(seen, sort)
            keys.setdefault(sort, []).extend(seen.examples.get(sort, []))
        if same_fields:
            _fields(left, right, seen.examples.get("changed", []), of.fields, changed)
    out.rows += counts
    for sort, text in (
        ("missing", "are missing"),
        ("unexpected", "were not there before"),
        ("changed", "have other content"),
    ):
        if counts[sort]:
            first = ", ".join(repr(key) for key in keys[sort][:EXAMPLES])
            fields = _told(keys[sort][:EXAMPLES], changed) if sort == "changed" else ""
            out.found.append(f"{where}: {counts[sort]:,} rows {text}; first keys: {first}{fields}")
    return any(counts.values())


def _unnumbered(side: Collection) -> Collection:
    """Return a collection without the numbers that a server gives to fields and functions."""
    schema = dict(side.described)
    for kind, numbers in _NUMBERS.items():
        if kind in schema:
            schema[kind] = [
                {key: value for key, value in one.items() if key not in numbers}
                for one in schema[kind]
            ]
    return side.model_copy(update={"described": schema})


def _fields(
    left: Rows, right: Rows, keys: list[Any], names: list[str], into: dict[str, Counter[str]]
) -> None:
    for key in keys:
        at = int(np.searchsorted(left.keys, key)), int(np.searchsorted(right.keys, key))
        differs = left.fields[at[0]] != right.fields[at[1]]
        into[repr(key)] = Counter(np.array(names)[differs].tolist())


def _told(keys: list[Any], changed: Mapping[str, Counter[str]]) -> str:
    fields = sorted({field for key in keys for field in changed.get(repr(key), ())})
    return f"; fields: {', '.join(fields)}" if fields else ""


def _windows(left: Iterator[Rows], right: Iterator[Rows]) -> Iterator[tuple[Rows, Rows]]:
    """Yield what both sides hold of the same stretch of keys, in bounded memory."""
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        if one is None or other is None:
            only = other if one is None else one
            assert only is not None  # noqa: S101  (for the type checker)
            none = only.part(slice(0, 0))
            yield (none, only) if one is None else (only, none)
            one, other = (None, next(right, None)) if one is None else (next(left, None), None)
            continue
        end = min(one.keys[-1], other.keys[-1])
        cuts = [int(np.searchsorted(side.keys, end, side="right")) for side in (one, other)]
        yield one.part(slice(0, cuts[0])), other.part(slice(0, cuts[1]))
        one = one.part(slice(cuts[0], None)) if cuts[0] < len(one) else next(left, None)
        other = other.part(slice(cuts[1], None)) if cuts[1] < len(other) else next(right, None)


def _as_manifest(part: Rows) -> manifest.Manifest:
    return manifest.Manifest(part.keys, part.hashes, len(part))


def _values(was: Any, now: Any, at: str = "") -> Iterator[str]:
    """Yield where two documents differ, by path."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            yield from _values(was.get(key), now.get(key), f"{at}.{key}" if at else key)
    elif isinstance(was, list) and isinstance(now, list) and _by_name(was) and _by_name(now):
        yield from _values(_by_name(was), _by_name(now), at)
    elif was != now:
        yield f"{at} was {was!r}, now {now!r}"


def _by_name(items: list[Any]) -> dict[str, Any]:
    """Return a list of named things by their names; empty if it is none."""
    named = {one["name"]: one for one in items if isinstance(one, dict) and "name" in one}
    return named if len(named) == len(items) else {}


def _access(one: Manifest, other: Manifest, out: Differences) -> None:
    for when, side in (("before", one), ("after", other)):
        if side.access_not_read:
            out.not_read.append(f"users and roles were not read {when}: {side.access_not_read}")
    if one.access_not_read or other.access_not_read:
        return
    if (one.users is None) != (other.users is None):
        said = "on" if one.users is None else "off"
        out.found.append(f"authentication was switched {said}")
        return
    out.found += [f"users: {text}" for text in _values(one.users, other.users)]
    was, now = one.roles or {}, dict(other.roles or {})
    if one.server != other.server:
        for role in sorted(BUILT_IN & {*was} & {*now}):
            more = [right for right in now[role] if right not in was[role]]
            now[role] = [right for right in now[role] if right in was[role]]
            out.notes += [f"roles: {role} may do more in {other.server}: {right}" for right in more]
    out.found += [f"roles: {text}" for text in _values(was, now)]


def _notes(one: Manifest, other: Manifest, out: Differences) -> None:
    if one.server != other.server:
        out.notes.append(f"server: {one.server}, now {other.server}")
    if one.objects and other.objects and one.objects.objects != other.objects.objects:
        texts = _values(one.objects.objects, other.objects.objects)
        out.notes += [f"objects in the bucket: {text}" for text in texts]
