"""Folders: S3 has none, and stores that keep objects in a file system show that they do."""

from __future__ import annotations

from validation.s3.conformance.listing.listing import both
from validation.s3.conformance.model import Evidence, Need, check, require
from validation.s3.workspace import Workspace


@check(
    "objects.beside-folder",
    by="import, backup (users' file names)",
    breaks="a file whose name is another's folder cannot be written, or takes its place",
    need=Need.OPERATION,
)
def beside_folder(space: Workspace) -> Evidence:
    """A key x can stand beside a key x/y."""
    folder = space.folder()
    keys = [space.key(name, folder=folder) for name in ("x/y", "x", "z", "z/y")]
    for key in keys:  # each of both comes first once
        space.s3.put_object(Bucket=space.bucket, Key=key, Body=key.encode())
    changed = [key.removeprefix(folder) for key in keys if space.get(key) != key.encode()]
    require(not changed, "keys lead elsewhere", changed=changed)


@check(
    "objects.head-prefix",
    by="Arrow (Storage V2), which asks so whether a path is a file",
    breaks="a folder is taken for a file of its name",
    need=Need.OPERATION,
)
def head_prefix(space: Workspace) -> Evidence:
    """HEAD of a prefix that is no key finds nothing, with a slash at its end and without."""
    folder = space.folder()
    key = space.key("below/it", folder=folder)
    space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"a file")
    seen = {name: space.send("HEAD", folder + name).status for name in ("below", "below/")}
    require(200 not in seen.values(), "a prefix is told to be an object", **seen)  # noqa: PLR2004
    return seen


@check(
    "listing.emptied-folder",
    by="garbage collection, operators",
    breaks="folders of dropped collections are listed for ever",
    need=Need.OPERATION,
)
def emptied_folder(space: Workspace) -> Evidence:
    """A folder whose last object was deleted is no common prefix any more."""
    folder = space.folder()
    keys = [space.key(name, folder=folder) for name in ("emptied/deep/1", "emptied/2", "kept/3")]
    for key in keys:
        space.s3.put_object(Bucket=space.bucket, Key=key, Body=b"")
    for key in keys[:2]:
        space.s3.delete_object(Bucket=space.bucket, Key=key)
    page = space.s3.list_objects_v2(Bucket=space.bucket, Prefix=folder, Delimiter="/")
    _, shared = both(page, folder)
    require("kept/" in shared, "a folder with an object is not listed", seen=shared)
    require(shared == ["kept/"], "an emptied folder is listed", seen=shared)
