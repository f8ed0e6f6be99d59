"""What to do about a rule that a store breaks: one step, for each check or its whole topic."""

from __future__ import annotations

import re

from validation.s3.conformance.runner import Finding

_VENDOR = (
    "ask the endpoint without what stands between (proxy, load balancer, cache); if it is the"
    " store itself, update it, or show this finding to its vendor"
)
_POLICY = "narrow the key's policy to this bucket and root path (infra/storage/policy.py has it)"
_SIGNATURES = "switch authentication on: this store does not check signatures, as emulators do not"
_OTHERS = (
    "nothing for Milvus, which sends no such request; keep clients that do away from its bucket, or"
    " update the store"
)
_BY_ETAG = (
    "keep to formats and clients that make new keys instead of replacing one by its ETag, or update"
    " the store"
)
_TRAILERS = (
    "give every role AWS_REQUEST_CHECKSUM_CALCULATION=when_required, as a stack that names this"
    " profile does by itself"
)
_GRANT = (
    "let the key's policy allow this on the bucket and below the root path"
    " (infra/storage/policy.py lists what Milvus needs)"
)
_CLOCK = "set the store's clock by NTP, and have it refuse requests older than 15 minutes"
_STEPS = {
    "tls.trusted": "give the CA that signed it with --ca-file (storage.ca)",
    "tls.host-name": "have a certificate issued that names the endpoint's host as a subject"
    " alternative name, or give the endpoint by a name that it has",
    "tls.validity": "renew the certificate, and check this host's clock",
    "tls.protocol": "switch TLS 1.0 and 1.1 off at the store or its load balancer",
    "bucket.head": _GRANT,
    "bucket.location": "give the region that the store names: --region, or storage.region",
    "bucket.creation": "change what the key's policy says of s3:CreateBucket, or declare it with"
    " --bucket-creation",
    "consistency": "look for a cache, or replicas that follow later, behind this endpoint",
    "consistency.addresses": "have every address of the name lead to the same store, or give one"
    " that does",
    "conditional.if-match": _BY_ETAG,
    "conditional.if-match-bare": _BY_ETAG,
    "conditional.multipart": _OTHERS,
    "conditional.multipart-race": _OTHERS,
    "conditional.mixed-race": _OTHERS,
    "conditional.large-block": "leave Woodpecker's maxFlushSize"
    " (woodpecker.logstore.segmentSyncPolicy) below 16 MiB: it has 2 MB unless that was raised",
    "conditional.versioned": "keep versioning off on the bucket that holds Woodpecker's log",
    "conditional": "use Kafka, Pulsar or woodpecker-service as the log (log.type, log.mode), or"
    " update the store",
    "integrity.cpp-parts": _TRAILERS,
    "integrity.unsigned-trailer": _TRAILERS,
    "integrity.signed-trailer": _TRAILERS,
    "integrity.default-checksums": _TRAILERS,
    "integrity.go-parts": "leave TrailingHeaders of minio-go off, as Milvus does",
    "multipart.repeated-completion": "have nothing between Milvus and the store cut answers off (a"
    " proxy, a load balancer's time limit), or update the store",
    "addressing.path": "declare the other style: --addressing virtual (storage.addressing)",
    "addressing.virtual-host": "declare the other style: --addressing path (storage.addressing),"
    " or tell the store its domain",
    "addressing.clock-skew": _CLOCK,
    "access.anonymous": "remove what lets everyone in: a public policy or ACL of the bucket",
    "access.unknown-key": _SIGNATURES,
    "access.wrong-secret": _SIGNATURES,
    "access.other-bucket": _POLICY,
    "access.other-names": _POLICY,
    "access.other-prefix": _POLICY,
    "access.presigned-expired": _CLOCK,
    "protection.milvus-unversioned": "suspend versioning of Milvus's bucket, or use another bucket",
    "protection.milvus-unlocked": "use a bucket that was made without object lock",
    "protection.encryption": "switch the bucket's default encryption on, or correct"
    " storage.encryption",
    "protection.backup-versions": "switch versioning of the backup bucket on",
    "protection.backup-lock": "name a backup bucket that was made with object lock",
}


def step(finding: Finding) -> str:
    """Return what to do next about a broken rule."""
    if re.search(r"answered 40[13]\b", finding.reason):
        return _GRANT  # whatever was asked, our own key was refused
    topic = finding.id.partition(".")[0]
    return _STEPS.get(finding.id) or _STEPS.get(topic) or _VENDOR
