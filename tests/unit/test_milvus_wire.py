import pickle
from types import SimpleNamespace

import grpc
import pytest
from pymilvus.exceptions import MilvusException
from pymilvus.grpc_gen.milvus_pb2 import FlushRequest, SearchRequest
from search_server import running

from validation.errors import (
    ConfigurationError,
    CredentialsError,
    ExitCode,
    MeasurementError,
    UnreachableError,
)
from validation.milvus.failures import explain, explained
from validation.milvus.wire import Endpoint, Wire, status_code


@pytest.fixture
def told():
    with running() as (servicer, address):
        wire = Wire(Endpoint(f"http://{address}", address))
        yield servicer, wire
        wire.close()


def test_a_server_that_hangs_cannot_hang_a_call(told):
    servicer, wire = told
    servicer.hang_from = 0
    with pytest.raises(UnreachableError, match=r"http://127.*no answer in time"):
        wire.call("Search", SearchRequest(), doing="search", timeout=0.2)


def test_a_refusal_names_endpoint_deed_and_code(told):
    servicer, wire = told
    servicer.code = 1100
    with pytest.raises(MeasurementError, match=r"http://127.*could not search.*1100"):
        wire.call("Search", SearchRequest(), doing="search")


def test_what_is_too_fast_is_sent_again_and_the_limit_is_kept_as_a_fact(told):
    servicer, wire = told
    servicer.code, servicer.code_until = 8, 3
    wire.call("Search", SearchRequest(), doing="search")
    assert len(servicer.seen) == 4
    limited = wire.limited["Search"]
    assert (limited.answers, limited.said) == (3, "told to")
    assert limited.seconds == pytest.approx(0.1 + 0.15 + 0.225)


def test_a_limit_that_stays_is_named_with_the_settings_that_raise_it(told):
    servicer, wire = told
    servicer.code = 8
    with pytest.raises(MeasurementError, match=r"limits the rate.*search[\s\S]*quotaAndLimits"):
        wire.call("Search", SearchRequest(), doing="search", timeout=0.3)


def test_a_method_the_server_lacks_is_named(told):
    with pytest.raises(UnreachableError, match="does not know this call"):
        told[1].call("Flush", FlushRequest(), doing="flush")


@pytest.mark.parametrize(
    ("code", "error_code", "wanted"),
    [(0, 0, 0), (65535, 0, 65535), (0, 1, 1), (4, 1, 4), (0, 49, 8)],
)
def test_either_field_of_a_status_can_carry_the_failure(code, error_code, wanted):
    assert status_code(SimpleNamespace(code=code, error_code=error_code)) == wanted


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (800, "database not found[database=x]", ConfigurationError),
        (65535, "auth check failure, please check username and password", CredentialsError),
        (1401, "PrivilegeInsert: permission deny to nobody", CredentialsError),
        (4, "collection not found", MeasurementError),
        (1, "service not ready[proxy=3: Abnormal]", UnreachableError),
        (1, "proxy 3 is not healthy, StateCode=Abnormal", UnreachableError),
        (9, "quota exceeded[reason=memory quota exceeded]", MeasurementError),
    ],
)
def test_what_milvus_says_is_told_apart(code, message, kind):
    error = explain(MilvusException(code, message), endpoint="http://a:1", doing="search")
    assert type(error) is kind
    assert "http://a:1" in str(error)


@pytest.mark.parametrize("said", ["service not ready[rootcoord=1: Initializing]"])
def test_a_server_that_is_not_ready_is_to_be_waited_for(said):
    error = explain(MilvusException(1, said), endpoint="http://a:1", doing="connect")
    assert error.exit_code == ExitCode.UNREACHABLE
    assert "wait until it is" in str(error)


def test_a_retry_that_timed_out_is_explained_though_its_code_is_not_milvus_s():
    error = explain(
        MilvusException(grpc.StatusCode.UNKNOWN, "Retry timeout: 5.0s"),  # type: ignore[arg-type]
        endpoint="http://a:1",
        doing="search",
    )
    assert isinstance(error, MeasurementError)
    assert "Retry timeout" in str(error)


def test_errors_that_are_not_of_the_server_pass_unchanged():
    with pytest.raises(ZeroDivisionError), explained("http://a:1", "divide"):
        _ = 1 / 0


def test_an_endpoint_travels_to_a_worker_and_shows_no_secret():
    endpoint = Endpoint("a", "a:1", token="root:secret", secure=True, key=b"private")
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint
    assert "secret" not in repr(endpoint)
    assert "private" not in repr(endpoint)
