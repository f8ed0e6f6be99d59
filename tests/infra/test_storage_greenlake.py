from __future__ import annotations

import functools

import pytest
from greenlake_server import (
    CLIENT_SECRET,
    SYSTEM,
    Fault,
    GreenLakeServer,
    RefusedError,
    Store,
)

from infra.storage import policy
from infra.storage.greenlake import session as greenlake_session
from infra.storage.greenlake.declared import TaskFailedError
from infra.storage.greenlake.resources import (
    GreenLakeBucketProvider,
    GreenLakePolicyProvider,
    GreenLakeUserProvider,
    api,
)
from validation.errors import (
    ConfigurationError,
    CredentialsError,
    MilvusKitError,
    OwnershipError,
    UnreachableError,
)


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    seconds: list[float] = []
    impatient = functools.partial(greenlake_session.Session, sleep=seconds.append)
    monkeypatch.setattr(greenlake_session, "Session", impatient)
    return seconds


@pytest.fixture
def server():
    with GreenLakeServer() as running:
        yield running


def bucket_props(server, **changes):
    props = {"name": "milvus", "compression": False, "tags": [], "owner": "milvus-kit/prod"}
    return server.connection() | props | changes


def policy_props(server, **changes):
    return server.connection() | {"name": "rules", "policy": policy.for_bucket("milvus")} | changes


def user_props(server, **changes):
    props = {"name": "milvus", "policies": ["rules"], "generation": 1}
    return server.connection() | props | changes


def plant(server, *args, **kwargs):
    server.state.faults.append(Fault(*args, **kwargs))


def make(provider, props):
    result = provider.create(props)
    return str(result.id), result.outs or {}


def seen(provider, id_, props):
    return provider.read(id_, props).outs or {}


def test_bucket_policy_and_user_are_made_and_found_again(server):
    make(GreenLakeBucketProvider(), bucket_props(server))
    make(GreenLakePolicyProvider(), policy_props(server))
    id_, outs = make(GreenLakeUserProvider(), user_props(server))
    assert outs["secret_key"] == server.state.keys["milvus"]
    assert server.state.applied == {"milvus": ["rules"]}
    assert GreenLakeUserProvider().read(id_, outs).id == "milvus"
    assert GreenLakeBucketProvider().read("milvus", bucket_props(server)).id == "milvus"
    assert GreenLakePolicyProvider().read("rules", policy_props(server)).id == "rules"


def test_policy_of_the_system_is_what_milvus_needs_in_the_apis_own_words(server):
    make(GreenLakePolicyProvider(), policy_props(server))
    kept = server.state.things["access-policies"]["rules"]
    assert kept["version"] == "2012-10-17"
    assert {one["effect"] for one in kept["statement"]} == {"ALLOW"}
    assert ["arn:aws:s3:::milvus/*"] in [one["resource"] for one in kept["statement"]]
    assert "s3:*" not in repr(kept)


def test_slow_task_is_waited_for_with_growing_pauses(server, waits):
    server.state.polls = 12
    make(GreenLakeBucketProvider(), bucket_props(server))
    assert "milvus" in server.state.things["buckets"]
    assert waits == sorted(waits)
    assert waits[-1] > waits[0]


def test_task_that_never_ends_is_given_up_by_name(server):
    server.state.polls = 10**9
    props = bucket_props(server, task_timeout=0.05)
    with pytest.raises(TaskFailedError, match="has not ended") as caught:
        GreenLakeBucketProvider().create(props)
    assert "taskTimeoutSeconds" in str(caught.value)


def test_failed_task_is_an_error_with_the_systems_own_reason(server):
    plant(server, "POST", "buckets", "task-fails")
    with pytest.raises(TaskFailedError, match="FAILED: no space left"):
        make(GreenLakeBucketProvider(), bucket_props(server))
    assert server.state.things["buckets"] == {}


class Full(Store):
    """A store whose buckets hold objects."""

    def remove(self, kind, name):
        raise RefusedError(f"{kind}/{name} is not empty")


def test_bucket_that_holds_objects_stays_and_the_stores_reason_is_told():
    with GreenLakeServer(Full()) as server:
        make(GreenLakeBucketProvider(), bucket_props(server))
        with pytest.raises(TaskFailedError, match="buckets/milvus is not empty"):
            GreenLakeBucketProvider().delete("milvus", bucket_props(server))
        assert list(server.state.things["buckets"]) == ["milvus"]


def test_ended_token_is_renewed_once(server):
    system = api(server.connection())
    assert system.find("buckets", "milvus") is None
    server.state.tokens.clear()
    assert system.find("buckets", "milvus") is None
    assert server.state.count("POST", "/as/token.oauth2") == 2


def test_lasting_401_ends_with_a_credentials_error(server):
    plant(server, "GET", "buckets", 401, times=99)
    with pytest.raises(CredentialsError, match="permissions"):
        api(server.connection()).find("buckets", "milvus")
    assert server.state.count("GET", "buckets") == 2


def test_wrong_client_secret_is_named_and_not_shown(server):
    with pytest.raises(CredentialsError, match="clientSecret") as caught:
        api(server.connection() | {"client_secret": "wrong-one"}).find("buckets", "milvus")
    assert "wrong-one" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 503])
def test_busy_system_is_asked_again(server, status):
    plant(server, "POST", "buckets", status, times=3)
    make(GreenLakeBucketProvider(), bucket_props(server))
    assert list(server.state.things["buckets"]) == ["milvus"]
    assert server.state.count("POST", "buckets") == 4


def test_system_that_is_always_busy_is_given_up(server):
    plant(server, "GET", "buckets", 429, times=10**6)
    with pytest.raises(UnreachableError, match="attempts"):
        api(server.connection()).find("buckets", "milvus")


@pytest.mark.parametrize("how", ["lost-before", "lost-after", 502, 504])
@pytest.mark.parametrize("kind", ["buckets", "access-policies"])
def test_lost_answer_never_makes_a_thing_twice(server, how, kind):
    plant(server, "POST", kind, how)
    if kind == "buckets":
        make(GreenLakeBucketProvider(), bucket_props(server))
    else:
        make(GreenLakePolicyProvider(), policy_props(server))
    assert len(server.state.things[kind]) == 1
    # What was lost after the deed is recognised; only what was lost before it is asked for again.
    assert server.state.count("POST", kind) == (1 if how == "lost-after" else 2)


def test_thing_that_takes_long_after_a_lost_answer_is_waited_for(server):
    server.state.polls = 25
    server.state.conflicts_while_busy = True
    plant(server, "POST", "buckets", "lost-after")
    make(GreenLakeBucketProvider(), bucket_props(server))
    assert list(server.state.things["buckets"]) == ["milvus"]


def test_lost_secret_key_leads_to_a_user_whose_key_we_know(server):
    plant(server, "POST", "users", "lost-after")
    _, outs = make(GreenLakeUserProvider(), user_props(server))
    assert list(server.state.things["users"]) == ["milvus"]
    assert outs["secret_key"] == server.state.keys["milvus"]


@pytest.mark.parametrize("how", ["lost-before", "lost-after", 502])
def test_lost_answer_to_a_delete_still_ends_with_nothing_left(server, how):
    make(GreenLakeBucketProvider(), bucket_props(server))
    plant(server, "DELETE", "buckets", how)
    GreenLakeBucketProvider().delete("milvus", bucket_props(server))
    assert server.state.things["buckets"] == {}


@pytest.mark.parametrize("path", ["apply-policy", "buckets"])
@pytest.mark.parametrize("how", ["lost-before", "lost-after"])
def test_lost_answer_to_a_change_is_asked_again(server, path, how):
    make(GreenLakeBucketProvider(), bucket_props(server))
    plant(server, "PUT", path, how)
    make(GreenLakeUserProvider(), user_props(server))
    news = bucket_props(server, compression=True)
    GreenLakeBucketProvider().update("milvus", bucket_props(server), news)
    assert server.state.applied == {"milvus": ["rules"]}
    assert server.state.things["buckets"]["milvus"]["compression"] is True


def test_lost_answer_to_a_read_is_asked_again(server):
    plant(server, "GET", "buckets", "lost-before", times=2)
    assert api(server.connection()).find("buckets", "milvus") is None


@pytest.mark.parametrize("kind", ["buckets", "users", "access-policies"])
def test_what_another_made_is_neither_taken_nor_changed(server, kind):
    foreign = {"name": "milvus", "id": "milvus", "statement": [], "bucketTags": []}
    server.state.things[kind]["milvus"] = dict(foreign)
    providers = {
        "buckets": (GreenLakeBucketProvider(), bucket_props(server)),
        "users": (GreenLakeUserProvider(), user_props(server)),
        "access-policies": (GreenLakePolicyProvider(), policy_props(server, name="milvus")),
    }
    provider, props = providers[kind]
    with pytest.raises(OwnershipError, match="already"):
        provider.create(props)
    assert server.state.things[kind]["milvus"] == foreign


def test_bucket_of_an_interrupted_run_is_taken_over_by_its_own_stack_only(server):
    make(GreenLakeBucketProvider(), bucket_props(server))
    make(GreenLakeBucketProvider(), bucket_props(server))
    assert server.state.count("POST", "buckets") == 1
    with pytest.raises(OwnershipError):
        make(GreenLakeBucketProvider(), bucket_props(server, owner="milvus-kit/other"))


def test_user_is_not_left_behind_when_its_policy_cannot_be_applied(server):
    plant(server, "PUT", "apply-policy", "task-fails")
    with pytest.raises(TaskFailedError):
        make(GreenLakeUserProvider(), user_props(server))
    assert server.state.things["users"] == {}


def test_drift_of_the_policy_is_seen_and_put_right(server):
    provider = GreenLakePolicyProvider()
    id_, outs = make(provider, policy_props(server))
    assert not provider.diff(id_, outs, policy_props(server)).changes
    server.state.things["access-policies"]["rules"]["statement"] = [
        {"effect": "ALLOW", "action": ["s3:*"], "resource": ["*"]}
    ]
    found = seen(provider, id_, outs)
    assert provider.diff(id_, found, policy_props(server)).changes
    provider.update(id_, found, policy_props(server))
    assert not provider.diff(id_, seen(provider, id_, outs), policy_props(server)).changes


def test_drift_of_bucket_and_user_is_seen(server):
    buckets, users = GreenLakeBucketProvider(), GreenLakeUserProvider()
    make(buckets, bucket_props(server))
    _, outs = make(users, user_props(server))
    fresh = seen(buckets, "milvus", bucket_props(server))
    assert not buckets.diff("milvus", fresh, bucket_props(server)).changes
    server.state.things["buckets"]["milvus"]["compression"] = True
    server.state.things["users"]["milvus"]["policies"] = []
    changed = seen(buckets, "milvus", bucket_props(server))
    assert buckets.diff("milvus", changed, bucket_props(server)).changes
    assert users.diff("milvus", seen(users, "milvus", outs), user_props(server)).changes


def test_versioning_that_somebody_switched_on_is_an_error_that_says_so(server):
    provider = GreenLakeBucketProvider()
    make(provider, bucket_props(server))
    server.state.things["buckets"]["milvus"]["versioning"] = "Enabled"
    found = seen(provider, "milvus", bucket_props(server))
    assert provider.diff("milvus", found, bucket_props(server)).changes
    with pytest.raises(ConfigurationError, match="versioning"):
        provider.update("milvus", found, bucket_props(server))


def test_what_was_deleted_outside_is_read_as_gone(server):
    for provider, props in (
        (GreenLakeBucketProvider(), bucket_props(server)),
        (GreenLakePolicyProvider(), policy_props(server)),
        (GreenLakeUserProvider(), user_props(server)),
    ):
        assert provider.read(props["name"], props).id == ""


def test_new_name_or_generation_replaces_and_a_moved_system_does_not(server):
    users, olds = GreenLakeUserProvider(), user_props(server)
    assert users.diff("milvus", olds, user_props(server, generation=2)).replaces == ["generation"]
    assert users.diff("milvus", olds, user_props(server, name="other")).replaces == ["name"]
    moved = users.diff("milvus", olds, user_props(server, base_url="http://127.0.0.1:1"))
    assert moved.changes
    assert not moved.replaces


def test_update_keeps_the_key_that_is_shown_once(server):
    provider = GreenLakeUserProvider()
    _, outs = make(provider, user_props(server))
    again = provider.update("milvus", outs, user_props(server)).outs or {}
    assert again["secret_key"] == outs["secret_key"]


def test_second_page_is_read(server):
    server.state.page = 2
    for name in ("a", "b", "c", "d", "e"):
        server.state.things["buckets"][name] = {"name": name, "id": name}
    assert api(server.connection()).find("buckets", "e") == {"name": "e", "id": "e"}


def test_unknown_system_is_a_configuration_error(server):
    with pytest.raises(ConfigurationError, match="systemId"):
        api(server.connection() | {"system_id": SYSTEM + "X"}).find("buckets", "milvus")


def test_dead_system_is_unreachable(server):
    with pytest.raises(UnreachableError):
        api(server.connection() | {"base_url": "http://127.0.0.1:1"}).find("buckets", "milvus")


def test_no_error_shows_a_secret(server):
    messages = []
    for how in (400, 401, 403, 409, 500):
        server.state.faults[:] = [Fault("POST", "buckets", how, times=99)]
        with pytest.raises(MilvusKitError) as caught:
            make(GreenLakeBucketProvider(), bucket_props(server))
        messages.append(str(caught.value))
    assert all("debugId" in one or "attempts" in one for one in messages)
    assert not any(CLIENT_SECRET in one for one in messages)
    assert CLIENT_SECRET not in repr(api(server.connection()))
