"""What preflight says of the log, beside what Woodpecker's own client meets on the same store.

Of the stores that `make stores` asks, those whose servers and clients it has built before: two.
"""

from __future__ import annotations

import pytest

from tests.stores import contradictions
from tests.stores.log_owners import run_log
from tests.stores.parts import ETCD, SEAWEEDFS, VERSITYGW, WOODPECKER
from tests.stores.servers import STORES
from validation.common.cache import cache_folder
from validation.s3.client.boto import connect
from validation.s3.conformance.table import CHECKS
from validation.s3.preflight.run import preflight

ABOUT_LOG = tuple(
    one
    for one in CHECKS
    if one.id.startswith(("conditional.", "consistency.", "objects.", "listing.", "multipart."))
)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.parametrize("server", [VERSITYGW, SEAWEEDFS], ids=lambda one: one.name)
def test_woodpecker_meets_what_preflight_says_of_the_log(server, tmp_path):
    for part in (server, ETCD, WOODPECKER):
        if not (cache_folder() / "toolchain" / part.folder).exists():
            pytest.skip(f"{part.name} is not built; `make stores` does that")
    store = STORES[server.name]
    with store.run(tmp_path) as endpoint:
        storage = store.storage(endpoint)
        connect(storage).create_bucket(Bucket=storage.bucket)
        profile = preflight(storage, checks=ABOUT_LOG)
        log = run_log(storage, tmp_path)
    assert profile.finding("conditional.race").evidence["races"] == 149
    assert list(contradictions.of_log(profile, log)) == []
    assert log.conditional
    assert log.intact
