"""Names of objects: Milvus's own are digits and slashes, those of users' files are not.

S3 takes any 1 to 1,024 bytes of UTF-8 for a key. What it calls safe, or in need of no more than
encoding, users put into names of what they import; what it advises against, Milvus never writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.workspace import Workspace

_USUAL = (
    "ABCxyz019-_.!*'()",  # S3 calls these safe
    "amp&dollar$at@equals=",
    "semi;colon:plus+comma,",
    "a space and ? mark",
    "ü-日本-é",
    "percent%25-hash#-tilde~-[]{}",
)
_UNUSUAL = ("less<than>greater", 'a "quote"', "caret^backtick`", "pipe|", "back\\slash")
_SLASHES = ("double//slash", "double/slash")
_LONGEST = 1_024
_COMPONENT = 200
"""Shorter than the 255 bytes of a file's name, for stores that keep objects in a file system."""
_USERS = "import, backup (users' file names)"


def _kept(space: Workspace, names: Sequence[str]) -> None:
    """Require that keys with these names are written, read and listed as they are."""
    folder = space.folder()
    keys = {name: space.key(name, folder=folder) for name in names}
    for name, key in keys.items():
        space.s3.put_object(Bucket=space.bucket, Key=key, Body=name.encode())
    for name, key in keys.items():
        require(space.get(key) == name.encode(), "a key leads elsewhere", key=name)
    page = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=folder, MaxKeys=1_000)
    listed = {entry["Key"].removeprefix(folder) for entry in page.get("Contents", ())}
    other = sorted(set(names) - listed)
    require(not other, "keys are listed under another name or not at all", unlisted=other)
    require(len(listed) == len(names), "keys are listed that were not written", seen=len(listed))


@check("objects.key-characters", by="import, backup", breaks="files with such names are lost")
def key_characters(space: Workspace) -> Evidence:
    """Keys with every kind of usual character are written, listed and read."""
    _kept(space, _USUAL)


@check(
    "objects.key-unusual",
    by=_USERS,
    breaks="files with such names cannot be imported or backed up",
    need=Need.OPERATION,
)
def key_unusual(space: Workspace) -> Evidence:
    """Keys with characters that S3 allows and advises against are written, listed and read."""
    _kept(space, _UNUSUAL)


@check(
    "objects.key-slashes",
    by="rootPath and backup paths that end in a slash",
    breaks="such a path is refused, or two keys are one",
    need=Need.OPERATION,
)
def key_slashes(space: Workspace) -> Evidence:
    """An empty part of a path, as in a//b, makes another key than a/b."""
    _kept(space, _SLASHES)


@check(
    "objects.key-length",
    by="long rootPath, backup",
    breaks="files below long paths cannot be written",
    need=Need.OPERATION,
)
def key_length(space: Workspace) -> Evidence:
    """A key may have 1,024 bytes."""
    room = _LONGEST - len(space.folder().encode())
    whole, rest = divmod(room, _COMPONENT + 1)
    name = ("k" * _COMPONENT + "/") * whole + "k" * rest
    name = name if rest else name[:-1] + "k"  # a key that ends in a slash is something else
    _kept(space, [name])
    return {"bytes": _LONGEST}
