"""The wire proxy in front of real servers: not seen until a fault is armed, and then that alone."""

import contextlib

import numpy as np
import pytest

from validation.datasets.generated import generate, selecting
from validation.errors import ConfigurationError, MilvusKitError
from validation.local.lite import lite_target
from validation.milvus import loading, manifest, searching
from validation.milvus.connection import connect
from validation.milvus.indexes import index_named
from validation.milvus.ownership import collection_name
from validation.selftest.wire import answers, stored
from validation.selftest.wire.conditions import Where
from validation.selftest.wire.fault import WireFault
from validation.selftest.wire.proxy import WireProxy

K = 10
ROWS = 2_000
DATASET = generate(ROWS, 16, queries=60)
# Only exhaustive search answers the same twice, and of rows at the same distance any is as good.
VECTORS = np.delete(DATASET.queries.vectors, DATASET.provenance["planted_ties"], axis=0)
DOUBLED = answers.Rearranged(answers.last_but_one_twice)
INDEX = index_named("FLAT", ROWS, k=K)


@pytest.fixture(scope="module", params=["milvus", "lite"])
def ways(request, tmp_path_factory):
    """A collection on a real server, a connection to it, another through a proxy, and the proxy."""
    with contextlib.ExitStack() as stack:
        if request.param == "milvus":
            target = request.getfixturevalue("embedded_target")
        else:
            target = lite_target(tmp_path_factory.mktemp("lite"))
        direct = stack.enter_context(connect(target))
        proxy = stack.enter_context(WireProxy(direct.endpoint.address))
        milvus = target.milvus.model_copy(update={"uri": f"http://{proxy.address}"})
        behind = target.model_copy(update={"milvus": milvus})
        proxied = stack.enter_context(connect(behind))
        name = collection_name("wire", DATASET.name)
        loading.load(proxied, DATASET, name=name, index=INDEX, run="wire")
        stack.callback(lambda: direct.client.drop_collection(name))
        yield name, direct, proxied, proxy


@contextlib.contextmanager
def armed(proxy, *methods, **how):
    """Arm one fault for a block, which it has to meet."""
    proxy.arm(WireFault(frozenset(methods), name="planted", **how))
    try:
        yield
    finally:
        struck = proxy.arm()
    assert struck.times["planted"]
    assert not struck.failed


def found(connection, name, condition=None):
    return searching.search(
        connection,
        name,
        VECTORS,
        k=K,
        params=INDEX.search,
        filter=selecting(0.1) if condition is None else condition,
    )


def same(one, other):
    return np.array_equal(one.ids, other.ids) and np.array_equal(
        one.distances, other.distances, equal_nan=True
    )


def test_what_was_loaded_through_the_proxy_is_what_was_sent(ways):
    name, direct, proxied, _ = ways
    sent = manifest.sent(DATASET)
    for connection in (direct, proxied):
        assert manifest.compare(sent, manifest.stored(connection, name, like=sent)).none


def test_the_same_searches_have_the_same_answers(ways):
    name, direct, proxied, _ = ways
    assert same(found(direct, name), found(proxied, name))
    assert direct.server_version == proxied.server_version
    assert direct.is_lite == proxied.is_lite


def test_the_same_mistakes_have_the_same_errors(ways):
    _, direct, proxied, _ = ways
    said = []
    for connection in (direct, proxied):
        with pytest.raises(MilvusKitError) as caught:
            found(connection, "mk_nowhere")
        said.append(str(caught.value).replace(connection.endpoint.name, "SERVER"))
    assert said[0] == said[1]


def test_the_database_that_is_asked_for_goes_through(ways):
    _, direct, proxied, _ = ways
    if direct.is_lite:
        pytest.skip("Milvus Lite takes any database")
    milvus = proxied.target.milvus.model_copy(update={"database": "nowhere"})
    with pytest.raises(ConfigurationError, match=r"database.*nowhere"):
        connect(proxied.target.model_copy(update={"milvus": milvus}))


def test_a_fault_shows_while_it_is_armed_and_no_longer(ways):
    name, direct, proxied, proxy = ways
    clean = found(direct, name)
    with armed(proxy, "Search", when=Where("generated"), answer=DOUBLED):
        doubled = found(proxied, name)
        assert (doubled.ids[:, -1] == doubled.ids[:, -2]).all()
        assert np.array_equal(doubled.ids[:, :-1], clean.ids[:, :-1])
        assert same(found(direct, name), clean)
    assert same(found(proxied, name), clean)


def test_a_fault_of_a_count_leaves_the_rows_alone(ways):
    name, _, proxied, proxy = ways
    with armed(proxy, "Query", when=stored.is_counted, answer=stored.Miscounted(-7)):
        assert manifest.count(proxied, name) == ROWS - 7
    assert manifest.count(proxied, name) == ROWS


def test_rows_that_are_left_out_on_the_way_are_acknowledged_by_a_real_server(ways):
    _, _, proxied, proxy = ways
    name = collection_name("wire_holes", DATASET.name)
    strike = stored.NotStored(frozenset({3, 5}))
    try:
        with armed(proxy, "Insert", ask=strike.ask, answer=strike.answer):
            loading.load(proxied, DATASET, name=name, index=INDEX, run="wire")
        sent = manifest.sent(DATASET)
        difference = manifest.compare(sent, manifest.stored(proxied, name, like=sent))
        assert difference.missing == 2
        assert difference.examples["missing"] == [3, 5]
    finally:
        proxied.client.drop_collection(name)
