"""Long listings: past 1,000 keys a store answers in pages, and what it leaves out is lost.

Milvus lists without MaxKeys (``minio.listObjectsMaxKeys: 0``, its default, makes minio-go leave it
out), so the store chooses where a page ends and has to say that there is more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from validation.s3.conformance.listing.listing import BY, both, deleted, filled
from validation.s3.conformance.model import Evidence, check, require
from validation.s3.workspace import Workspace

_LOST = "beyond 1,000 objects data is lost or kept for ever"
_OLD = "older Milvus and tools (list V1)"
_BATCH = 1_000
"""The most that S3 lets a request delete, and what minio-go puts into one."""

Page = tuple[list[str], list[str]]
"""Keys and common prefixes, without the folder."""


def _names(space: Workspace) -> list[str]:
    """Return names of objects, each in a folder of its own: as many keys as common prefixes."""
    return [f"{number:05d}/log" for number in range(space.effort.listed_keys)]


def _folder(space: Workspace) -> str:
    """Return the folder with many objects: all rules here list the same."""
    if "paging" not in space.shared:
        space.shared["paging"] = filled(space, _names(space))
    return space.shared["paging"]


def _paged(
    space: Workspace, call: Callable[..., dict[str, Any]], first: str, then: str, **asked: Any
) -> Iterator[Page]:
    """List page by page.

    Args:
        space: Where.
        call: ListObjects or ListObjectsV2.
        first: The answer's field that says where the next page begins.
        then: The parameter that asks for it.
        asked: Further parameters.
    """
    folder = _folder(space)
    more: dict[str, Any] = {}
    for _ in range(space.effort.listed_keys + 2):
        answer = call(Bucket=space.bucket, Prefix=folder, **asked, **more)
        keys, shared = both(answer, folder)
        yield keys, shared
        if not answer.get("IsTruncated"):
            return
        last = answer.get(first)
        if then == "Marker" and not last and keys:  # without a delimiter V1 need not name it
            last = folder + keys[-1]
        require(bool(last), "a truncated page does not say how to go on")
        more = {then: last}
    require(False, "the listing never ends")


def _paged_v2(space: Workspace, **asked: Any) -> list[Page]:
    call = space.s3.list_objects_v2
    return list(_paged(space, call, "NextContinuationToken", "ContinuationToken", **asked))


def _paged_v1(space: Workspace, **asked: Any) -> list[Page]:
    return list(_paged(space, space.s3.list_objects, "NextMarker", "Marker", **asked))


def _complete(pages: list[Page], wanted: list[str], which: int, what: str) -> Evidence:
    """Require that pages name each wanted thing once and in order, and nothing else."""
    found = [name for page in pages for name in page[which]]
    require(
        found == wanted,
        f"{what} are lost, doubled or out of order over several pages",
        wanted=len(wanted),
        listed=len(found),
        distinct=len(set(found)),
    )
    return {what: len(found), "pages": len(pages)}


def _paging(space: Workspace, pages: list[Page]) -> Evidence:
    evidence = _complete(pages, _names(space), 0, "keys")
    longest = max(len(keys) for keys, _ in pages)
    require(longest <= space.effort.page, "a page holds more keys than asked for", longest=longest)
    return evidence


@check("listing.v2-paging", by=BY, breaks=_LOST)
def v2_paging(space: Workspace) -> Evidence:
    """ListObjectsV2 over several pages names every key once, in order."""
    return _paging(space, _paged_v2(space, MaxKeys=space.effort.page))


@check("listing.v1-paging", by=_OLD, breaks=_LOST)
def v1_paging(space: Workspace) -> Evidence:
    """ListObjects (V1) over several pages names every key once, in order."""
    return _paging(space, _paged_v1(space, MaxKeys=space.effort.page))


@check("listing.default-page", by=f"{BY}: Milvus does not say how long a page may be", breaks=_LOST)
def default_page(space: Workspace) -> Evidence:
    """Without MaxKeys too, ListObjectsV2 names every key once, in order."""
    return _complete(_paged_v2(space), _names(space), 0, "keys")


@check("listing.many-prefixes", by=BY, breaks="beyond 1,000 segments some are taken for absent")
def many_prefixes(space: Workspace) -> Evidence:
    """ListObjectsV2 with a delimiter names every common prefix once, in order."""
    wanted = [name.removesuffix("log") for name in _names(space)]
    _complete(_paged_v2(space, Delimiter="/"), wanted, 1, "prefixes")
    pages = _paged_v2(space, Delimiter="/", MaxKeys=space.effort.page)
    return _complete(pages, wanted, 1, "prefixes")


@check("listing.batch-delete-many", by=BY, breaks="garbage is never freed")
def batch_delete_many(space: Workspace) -> Evidence:
    """DeleteObjects takes up to 1,000 keys at once and deletes them all."""
    folder = _folder(space)
    keys = [folder + name for name in _names(space)]
    batches = [keys[at : at + _BATCH] for at in range(0, len(keys), _BATCH)]
    del space.shared["paging"]  # whoever lists many keys after this has to write them anew
    for batch in batches:
        errors = deleted(space, batch).body.count(b"<Error>")
        require(errors == 0, "keys could not be deleted", errors=errors, asked=len(batch))
    left = both(space.s3.list_objects_v2(Bucket=space.bucket, Prefix=folder), folder)[0]
    require(not left, "keys are still there", left=len(left), of=len(keys))
    return {"keys": len(keys), "requests": len(batches)}
