"""Who gets in, who may do what, and whether secrets stay secret."""

import grpc
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from validation.common import handshakes
from validation.errors import MilvusKitError
from validation.milvus import vulnerabilities
from validation.milvus.connection import parse_version
from validation.security import doors, leaks, management, rights, store_key, tls
from validation.security.act import behind, wrongs
from validation.verdicts.judging import BEHIND

pytestmark = pytest.mark.family("security")

CERTIFICATE = (
    "security.certificate_flaws",
    "security.certificate_days_left",
    "security.protocol_flaws",
)
NO_USERS = "the target declares no authentication"


@pytest.mark.parametrize("endpoint", ["milvus", "s3"])
def test_tls_is_what_it_should_be(gate, target, endpoint):
    labels, peer, why = {"endpoint": endpoint}, None, ""
    try:
        peer = tls.peers(target).get(endpoint)
    except (OSError, MilvusKitError) as error:
        why = told(error)
    asked = (handed_certificate, handed_days, handed_protocol)
    for metric, ask in zip(CERTIFICATE, asked, strict=True):
        if why:
            gate(metric, not_measured=why, labels=labels)
            continue
        if peer is None:
            gate(metric, undeclared=f"the target declares no TLS of {endpoint}", labels=labels)
            continue
        try:
            ask(gate, metric, peer, labels)
        except (OSError, MilvusKitError) as error:  # of TLS too
            gate(metric, not_measured=f"{peer.host}:{peer.port}: {told(error)}", labels=labels)


def handed_certificate(gate, metric, peer, labels):
    observe(gate, metric, tls.certificate(peer), labels=labels)


def handed_days(gate, metric, peer, labels):
    gate(metric, [handshakes.days_left(peer)], labels=labels)


def handed_protocol(gate, metric, peer, labels):
    accepted, unasked = tls.protocol(peer)
    if accepted:
        observe(gate, metric, accepted, labels=labels, evidence={"not_asked": unasked})
    else:
        gate(metric, not_measured="; ".join(unasked), labels=labels)


def test_milvus_does_not_talk_to_who_has_no_tls(gate, target):
    labels = {"by": "tls"}
    try:
        found = tls.strangers(target) if "milvus" in tls.peers(target) else None
    except (OSError, MilvusKitError) as error:
        gate("security.let_in", not_measured=told(error), labels=labels)
        return
    if found is None:
        gate("security.let_in", undeclared="the target declares no TLS of milvus", labels=labels)
        return
    observe(gate, "security.let_in", found, labels=labels)


def test_nobody_is_let_in_without_a_password(gate, target):
    labels = {"by": "password"}
    if target.milvus.auth is None:
        gate("security.let_in", undeclared=NO_USERS, labels=labels)
        return
    try:
        found = doors.tried(target)
    except grpc.RpcError as error:
        gate("security.let_in", not_measured=f"it does not answer: {error.code()}", labels=labels)
        return
    observe(gate, "security.let_in", found, labels=labels)


def test_the_management_port_serves_nobody_unknown(gate, target):
    base, metric = target.milvus.metrics_uri, "security.management_open"
    found, reason = {}, ""
    if base is not None and target.milvus.auth is not None:
        try:
            found = management.tried(target.milvus)
        except MilvusKitError as error:
            reason = error.what
    for kind in management.ASKED:
        labels = {"kind": kind}
        if target.milvus.auth is None:
            gate(metric, undeclared=NO_USERS, labels=labels)
        elif base is None:
            gate(metric, undeclared="the target has no metrics_uri", labels=labels)
        elif reason:
            gate(metric, not_measured=reason, labels=labels)
        else:
            observe(gate, metric, found[kind], labels=labels)


def test_the_version_has_no_published_vulnerability(gate, connection):
    version, metric = connection.server_version, "security.vulnerabilities"
    if connection.is_lite:
        gate(metric, not_measured="Milvus Lite has no network port of its own")
        return
    numbers = parse_version(version)
    if len(numbers) < 3:
        gate(metric, not_measured=f"the server calls itself {version!r}, no patch release")
        return
    plain = ".".join(map(str, numbers))
    affected = [one.affects(plain) for one in vulnerabilities.TABLE]
    known = [one for one in vulnerabilities.TABLE if one.affects(plain)]
    said = "; ".join(
        f"{one.id}: {one.what}; fixed in {', '.join(one.fixes)}, {one.source}" for one in known
    )
    gate(
        metric,
        [float(one) for one in affected],
        columns={"vulnerability": [one.id for one in vulnerabilities.TABLE]},
        evidence={"version": version, "as_of": str(vulnerabilities.AS_OF), BEHIND: said},
    )


def test_a_reader_can_only_read(gate, target, connection, run_id):
    metric = "security.rights_exceeded"
    if target.milvus.auth is None:
        gate(metric, undeclared=NO_USERS)
        return
    try:
        with rights.reader(connection, run_id) as given:
            may_read, found = rights.tried(given)
    except MilvusKitError as error:
        gate(metric, not_measured=error.what)
        return
    except grpc.RpcError as error:
        gate(metric, not_measured=f"it does not answer: {error.code()}")
        return
    if not may_read:
        gate(metric, not_measured="the reader was refused what was granted, so nothing is told")
        return
    observe(gate, metric, found)


def test_the_store_s_key_is_of_no_use_elsewhere(gate, target):
    metric = "security.store_key_excess"
    if target.storage is None or target.storage.secret_key is None:
        gate(metric, undeclared="the target declares no key of a store")
        return
    try:
        found, unasked = store_key.tried(target.storage)
    except (MilvusKitError, BotoCoreError, ClientError) as error:
        gate(metric, not_measured=str(getattr(error, "what", error)))
        return
    if not found:
        gate(metric, not_measured="; ".join(unasked))
        return
    observe(gate, metric, found, evidence={"not_asked": unasked})


def test_no_secret_stands_where_others_read(gate, target, recorder):
    metric = "security.secrets_found"
    try:
        wanted = leaks.secrets_of(target)
    except MilvusKitError as error:
        gate(metric, not_measured=error.what)
        return
    if not wanted:
        gate(metric, undeclared="the target has no secret of its own")
        return
    found = leaks.searched(wanted, leaks.places(target, recorder.folder))
    gate(
        metric,
        [float(len(found.found))],
        void=found.why_void,
        evidence={
            "looked_for": sorted(wanted),
            "places": found.places,
            "bytes": found.size,
            "unread": found.unread,
            BEHIND: "; ".join(found.found),
        },
    )


def told(error):
    """Return what an error says, without its remedy where it has one."""
    if isinstance(error, MilvusKitError):
        return f"{error.where}: {error.what}" if error.where else error.what
    return f"{type(error).__name__}: {error}"


def observe(gate, metric, acts, *, labels=None, evidence=None):
    """Hand over what came of acts: a sample for each."""
    said = {one.name: one.said for one in acts}
    gate(
        metric,
        wrongs(acts),
        labels=labels,
        columns={"act": [one.name for one in acts]},
        evidence={**(evidence or {}), "answers": said, BEHIND: behind(acts)},
    )
