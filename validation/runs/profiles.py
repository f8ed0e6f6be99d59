"""Profiles: how much a run loads and for how long it measures."""

from __future__ import annotations

from pydantic import BaseModel, Field, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from validation.common.naming import require_known
from validation.errors import ConfigurationError


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
    sustained_rounds: int = Field(
        default=6,
        ge=0,
        description="how often the highest rate that holds is looked for; 0 leaves it out, and "
        "fewer than 6 cannot bound it",
    )
    trial_seconds: PositiveFloat = Field(
        default=3.0, description="for how long a rate is offered to see whether the rules hold"
    )
    living_seconds: PositiveFloat = Field(
        default=3.0, description="for how long rows are written and read at once"
    )
    probe_seconds: PositiveFloat = Field(
        default=5.0, description="time limit for asking a server what it can do"
    )
    store_rounds: PositiveInt = Field(
        default=300, description="how often each rule of the store's consistency is looked at"
    )
    store_races: PositiveInt = Field(
        default=149, description="how often writers race for one key of the store, of each kind"
    )
    changed_rows: int = Field(
        default=20_000,
        ge=200,
        description="rows of the collection whose rows are changed, if the generated set has so "
        "many; with more than 16,384 an iterator needs several pages of the largest size",
    )
    compaction_seconds: NonNegativeFloat = Field(
        default=300.0, description="time limit for a compaction; 0 leaves it out"
    )
    ingest_seconds: NonNegativeFloat = Field(
        default=0.0,
        description="for how long rows come in at a steady rate while searches go on; 0 leaves it"
        " out",
    )
    ingest_rate: PositiveFloat = Field(default=20.0, description="writes a second meanwhile")
    segment_rows: int = Field(
        default=0,
        ge=0,
        description="rows of the collection whose segments are followed from growing to compacted;"
        " 0 leaves it out, since a compaction takes a minute or more",
    )
    segment_seconds: PositiveFloat = Field(
        default=5.0, description="least time of a stage in a segment's life that can be as long"
    )
    segment_limit: PositiveFloat = Field(
        default=300.0, description="time limit of each change of a segment"
    )
    filtered_after: tuple[str, ...] = Field(
        default=("insert", "flush", "index", "compaction", "restart"),
        description="what has been done to the rows of every type when their filters are asked",
    )
    seed: int = 20_240_501


_ACCEPTANCE = Profile(
    name="acceptance",
    rows=100_000,
    queries=1_000,
    serial_searches=1_000,
    offered_rate=100,
    offered_seconds=6,
    living_seconds=20.0,
    ingest_seconds=30.0,
    segment_rows=20_000,
)

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
            sustained_rounds=0,
            store_rounds=60,
            changed_rows=2_000,
            compaction_seconds=0,
            filtered_after=("index", "restart"),
        ),
        Profile(
            # Only as long as every gate needs to be seen green, and then red.
            name="selftest",
            rows=5_000,
            queries=400,
            warmup_searches=50,
            serial_searches=400,
            offered_rate=50,
            offered_seconds=8,
            trial_seconds=1.0,
            probe_seconds=1.0,
            store_rounds=60,
            changed_rows=2_000,
            compaction_seconds=0,
            filtered_after=("insert", "index", "restart"),
            ingest_seconds=20.0,
            segment_rows=4_000,
            segment_seconds=1.0,
            segment_limit=60.0,
        ),
        _ACCEPTANCE,
        # `try` takes a minute; one compaction of the embedded server takes three, and asking all
        # filters once a quarter of one.
        _ACCEPTANCE.model_copy(
            update={
                "name": "try",
                "compaction_seconds": 0.0,
                "ingest_seconds": 0.0,
                "segment_rows": 0,
                "filtered_after": ("index",),
            }
        ),
        Profile(
            name="soak",
            rows=1_000_000,
            queries=2_000,
            serial_searches=5_000,
            offered_rate=100,
            offered_seconds=3_600,
            # Refusals that come every few minutes do not show in two.
            living_seconds=1_800.0,
            ingest_seconds=1_800.0,
            segment_rows=200_000,
            segment_seconds=60.0,
            segment_limit=1_800.0,
            trial_seconds=30.0,
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
