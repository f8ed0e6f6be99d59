"""Profiles: how much a run loads and for how long it measures."""

from __future__ import annotations

from pydantic import BaseModel, Field, PositiveFloat, PositiveInt, ValidationError

from validation.errors import ConfigurationError
from validation.naming import require_known


class Profile(BaseModel, frozen=True, extra="forbid"):
    """Sizes and durations of one run.

    The numbers of queries follow from the intervals they have to carry: a 95 % interval of p99
    has an upper end only from 368 samples on, and with 1,000 queries a recall of 0.97 is known
    to about 0.01.
    """

    name: str
    rows: int = Field(
        ge=1_024,
        description="rows of the generated set; Milvus builds no index for fewer than 1,024",
    )
    dim: int = Field(default=128, ge=2, description="dimension of the generated set")
    queries: PositiveInt = Field(description="queries for recall")
    indexes: tuple[str, ...] = ("FLAT", "IVF_FLAT", "HNSW")
    selectivities: tuple[float, ...] = Field(
        default=(0.5, 0.1, 0.01), description="shares of rows that match the filters"
    )
    warmup_searches: PositiveInt = 200
    serial_searches: PositiveInt = Field(description="searches one after the other")
    offered_rate: PositiveFloat = Field(description="searches per second, open loop")
    offered_seconds: PositiveFloat = Field(description="for how long")
    probe_seconds: PositiveFloat = Field(
        default=5.0, description="time limit for asking a server what it can do"
    )
    store_rounds: PositiveInt = Field(
        default=300, description="how often each rule of the store's consistency is looked at"
    )
    seed: int = 20_240_501


PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            rows=5_000,
            queries=400,
            serial_searches=500,
            offered_rate=50,
            offered_seconds=10,
            store_rounds=60,
        ),
        Profile(
            # Only as long as every gate needs to be seen green, and then red.
            name="selftest",
            rows=4_000,
            queries=400,
            warmup_searches=50,
            serial_searches=400,
            offered_rate=50,
            offered_seconds=8,
            probe_seconds=1.0,
            store_rounds=60,
        ),
        Profile(
            name="acceptance",
            rows=100_000,
            queries=1_000,
            serial_searches=1_000,
            offered_rate=100,
            offered_seconds=6,
        ),
        Profile(
            name="soak",
            rows=1_000_000,
            queries=2_000,
            serial_searches=5_000,
            offered_rate=100,
            offered_seconds=3_600,
            probe_seconds=30.0,
        ),
    )
}


def profile_named(name: str, **changes: object) -> Profile:
    """Return a profile, with some of its numbers changed.

    Raises:
        ConfigurationError: There is no such profile, or a number is out of range.
    """
    require_known([name], PROFILES, what="profile", option="--profile")
    wanted = {key: value for key, value in changes.items() if value is not None}
    try:
        return Profile.model_validate(PROFILES[name].model_dump() | wanted)
    except ValidationError as error:
        wrong = [
            f"--{item['loc'][0]} {item['input']}: {item['msg']}"
            for item in error.errors(include_url=False)
        ]
        raise ConfigurationError(
            "; ".join(wrong),
            where=f"--profile {name}",
            remedy="leave it out to keep the profile's own figure",
        ) from None
