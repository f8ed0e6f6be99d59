"""One cause, one message: what an answer of a store means is told with what to do."""

import botocore.exceptions as boto
import pytest

from validation.errors import CredentialsError, MilvusKitError, UnreachableError
from validation.s3.client.failures import translated
from validation.s3.preflight.reach import reach
from validation.target import Storage


def answered(code, status, *, endpoint="http://s3.example.com", bucket="milvus"):
    storage = Storage(provider="s3", endpoint=endpoint, bucket=bucket)
    answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    with pytest.raises(MilvusKitError) as caught, translated(storage):
        raise boto.ClientError(answer, "HeadBucket")  # type: ignore[arg-type]
    return caught.value


def test_another_signature_is_told_from_a_key_that_may_not():
    error = answered("SignatureDoesNotMatch", 403)
    assert isinstance(error, CredentialsError)
    assert "another signature" in error.what
    assert "rewrites the Host header" in error.remedy
    assert "policy" in answered("AccessDenied", 403).remedy


@pytest.mark.parametrize("code", ["NoSuchBucket", "AccessDenied", "SignatureDoesNotMatch"])
def test_a_bucket_that_stands_in_the_endpoint_s_host_too_is_told(code):
    error = answered(code, 403, endpoint="https://milvus.s3.example.com:9000")
    assert "give https://s3.example.com:9000 and virtual-host style" in error.remedy
    assert "virtual" not in answered(code, 403, endpoint="https://minio.example.com").remedy


def test_a_host_that_names_the_bucket_twice_and_is_not_known_says_so():
    keys = {name: {"value": "k"} for name in ("access_key", "secret_key")}
    document = {
        "provider": "s3",
        "endpoint": "http://milvus.no-such-host.invalid",
        "bucket": "milvus",
        "addressing": "virtual",
        **keys,
    }
    with pytest.raises(UnreachableError, match=r"give http://no-such-host\.invalid and virtual"):
        reach(Storage.model_validate(document))


@pytest.mark.parametrize("region", ["RegionOne", "us-east-1", "eu_west.2", "default"])
def test_a_region_may_have_any_name_that_stores_give(region):
    storage = Storage(provider="s3", endpoint="http://a", bucket="b", region=region)
    assert storage.region == region
