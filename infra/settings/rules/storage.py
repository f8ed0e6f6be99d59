"""Rules of the object store, and of what else is put into Milvus's bucket."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from urllib.parse import urlsplit

from infra.settings import conformance
from infra.settings.problem import Problem
from infra.settings.rules.registry import remark, rule
from infra.settings.services import Etcd, Log, ValidationJob, Woodpecker
from infra.settings.storage import S3, X10000, Minio, Storage


@rule
def _log_fits_store(log: Log, storage: Storage) -> Iterator[Problem]:
    if not isinstance(log, Woodpecker) or log.mode != "embedded" or isinstance(storage, Minio):
        return
    if storage.versioning != "off":
        yield Problem(
            "log.mode",
            "embedded Woodpecker needs conditional writes, which stores refuse on a bucket with"
            " versions",
            seen=repr(log.mode),
            remedy="use mode: service, kafka or pulsar, or a bucket without versioning",
        )


def profile_agrees(log: Log, storage: Storage) -> Iterator[Problem]:
    """Hold the store's recorded profile against the settings; asked apart, see `parse`."""
    if isinstance(storage, Minio):
        return
    embedded = isinstance(log, Woodpecker) and log.mode == "embedded"
    if storage.conformance_profile is not None:
        yield from conformance.problems(storage, embedded=embedded)
    elif embedded:
        yield Problem(
            "log.mode",
            "embedded Woodpecker writes to this store and needs strict conditional writes, which"
            " no recorded profile shows it to have",
            seen="'embedded'",
            remedy="record one with `milvus-kit preflight` and name it in"
            " storage.conformanceProfile, or use mode: service, kafka or pulsar",
        )


@rule
def _x10000_is_complete(storage: Storage) -> Iterator[Problem]:
    if not isinstance(storage, X10000):
        return
    provision = storage.mode == "provision"
    if provision != (storage.greenlake is not None):
        yield Problem(
            "storage.greenlake",
            "mode provision needs it" if provision else "mode adopt makes nothing through it",
            remedy="add systemId, region, clientId and clientSecret"
            if provision
            else "remove it, or use mode: provision",
        )
    if provision and storage.credentials is not None:
        yield Problem(
            "storage.credentials",
            "mode provision makes the key itself",
            remedy="remove it, or use mode: adopt",
        )


@rule
def _adopted_store_has_a_key(storage: Storage) -> Iterator[Problem]:
    adopted = isinstance(storage, S3) or (isinstance(storage, X10000) and storage.mode == "adopt")
    if adopted and not isinstance(storage, Minio) and storage.credentials is None:
        yield Problem(
            "storage.credentials",
            "a store that is adopted needs Milvus's key for it",
            remedy="name an existingSecret, or two secret configuration keys under config",
        )


@rule
def _bucket_keeps_no_deleted_data(storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, Minio):
        return
    if storage.object_lock:
        yield Problem(
            "storage.objectLock",
            "Milvus's garbage collection could never delete anything from this bucket",
            seen="True",
            remedy="use a bucket without object lock; lock the bucket of backups instead",
        )
    if storage.versioning == "enabled":
        yield Problem(
            "storage.versioning",
            "every object that Milvus deletes or compacts would be kept as an old version",
            seen="'enabled'",
            remedy="use a bucket without versioning; keep versions in the bucket of backups",
        )


@rule
def _ca_goes_with_tls(storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, Minio) or storage.secure or storage.ca is None:
        return
    yield Problem(
        "storage.ca", "http:// has no certificate to check", remedy="use https://, or remove ca"
    )


@remark
def _x10000_may_need_a_ca(storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, X10000) and storage.secure and storage.ca is None:
        yield Problem(
            "storage.ca",
            "an X10000's certificate is usually signed by a private CA, and none is named: pods"
            " would then trust the public ones alone",
            seen=repr(storage.endpoint),
            remedy="give it, unless a public CA signed the certificate: `milvus-kit preflight`"
            " tells",
        )


@remark
def _bucket_is_named_once(storage: Storage) -> Iterator[Problem]:
    if isinstance(storage, Minio):
        return
    host = urlsplit(storage.endpoint).hostname or ""
    if host.startswith(f"{storage.bucket}."):
        yield Problem(
            "storage.endpoint",
            "the endpoint's host begins with the bucket's name: if that is the bucket, it would be"
            " named twice",
            seen=repr(storage.endpoint),
            remedy="give the endpoint without it, and addressing: virtual",
        )


@rule
def _prefixes_are_apart(
    storage: Storage, etcd: Etcd, validation: ValidationJob
) -> Iterator[Problem]:
    prefixes = {"storage.rootPath": storage.root_path}
    if etcd.snapshots:
        prefixes["etcd.snapshots.prefix"] = etcd.snapshots.prefix
    if validation.enabled:
        prefixes["validation.resultsPrefix"] = validation.results_prefix
    for (one, first), (other, second) in combinations(prefixes.items(), 2):
        if f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/"):
            yield Problem(
                other,
                f"this prefix and {one} ({first}) lie within each other; who cleans up there would"
                " find what is not its own",
                seen=repr(second),
                remedy="use a prefix beside it",
            )
