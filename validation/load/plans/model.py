"""What a plan of a load may say: the shape of its file, `milvus-kit/load-plan/1`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from validation.datasets.generated import BUCKETS
from validation.load.slo.search import HIGHEST
from validation.verdicts.verdict import Rule

SCHEMA = "milvus-kit/load-plan/1"
SCALARS = ("bucket", "category", "active")
"""Fields of the generated rows that an answer may bring along."""
TENANT = "tenant"
SEARCHED_WITH = {"FLAT": (), "IVF_FLAT": ("nprobe",), "HNSW": ("ef",), "DISKANN": ("search_list",)}
BUILT_WITH = {"FLAT": (), "IVF_FLAT": ("nlist",), "HNSW": ("M", "efConstruction"), "DISKANN": ()}
MOST_HITS = 1_000
FEWEST, LONGEST = 100, 3_600
"""Requests in a trial whose length nobody says; seconds of one at most."""
_TOO_FEW = 50
"""Searches below which a trial at one rate says nothing."""
MOST_REQUESTS = 1_000_000
"""In one trial: all replies are kept until the clock has stopped, about a kilobyte each."""

Share = Annotated[float, Field(gt=0, lt=1)]


class Part(BaseModel):
    """A part of a plan: unknown keys are refused, and so are infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Search(Part):
    """Searches by one vector.

    Args:
        kind: ``search``.
        weight: How often, against the other kinds of the mix.
        top_k: How many hits, or how often each number of hits.
        selectivity: The share of rows that match the filter; no filter if left out.
        tenant: Whether each search is of one tenant, by the collection's partition key.
        within: A range search whose radius has so many rows in it, of which top_k at most are
            asked for.
        fields: What is brought along of each hit.
        params: Search parameters of the index, in place of the plan's.
    """

    kind: Literal["search"] = "search"
    weight: PositiveFloat = 1.0
    top_k: PositiveInt | dict[PositiveInt, PositiveFloat] = 10
    selectivity: Share | None = None
    tenant: bool = False
    within: PositiveInt | None = None
    fields: tuple[str, ...] = ()
    params: Mapping[str, int] = {}

    @property
    def hits(self) -> dict[int, float]:
        """How often each number of hits is asked for."""
        return {self.top_k: 1.0} if isinstance(self.top_k, int) else dict(self.top_k)

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        unknown = sorted({*self.fields} - {*SCALARS, TENANT})
        if unknown:
            raise ValueError(f"no such field: {', '.join(unknown)}; there are {_listed(SCALARS)}")
        if not self.hits or max(self.hits) > MOST_HITS:
            raise ValueError(f"top_k is a number from 1 to {MOST_HITS}, or shares of such numbers")
        if self.selectivity is not None and round(self.selectivity * BUCKETS) < 1:
            raise ValueError(f"selectivity goes down to a thousandth, not {self.selectivity:g}")
        if (self.selectivity is not None) + self.tenant + (self.within is not None) > 1:
            raise ValueError("one of selectivity, tenant and within")
        if self.within is not None and self.within > MOST_HITS:
            raise ValueError(f"within is at most {MOST_HITS}")
        return self


class Hybrid(Part):
    """Searches by vector and by keyword, fused by reciprocal rank.

    Args:
        kind: ``hybrid``.
        weight: How often, against the other kinds of the mix.
        top_k: How many hits.
        params: Search parameters of the index, in place of the plan's.
    """

    kind: Literal["hybrid"]
    weight: PositiveFloat = 1.0
    top_k: Annotated[int, Field(ge=1, le=MOST_HITS)] = 10
    params: Mapping[str, int] = {}


class Write(Part):
    """Changes of rows that no search asked for, so that what it has to find stays the same.

    Args:
        kind: ``insert`` adds rows far away from all others, ``delete`` removes some of those,
            ``upsert`` sends rows again as they are.
        weight: How often, against the other kinds of the mix.
        rows: How many in one request.
    """

    kind: Literal["insert", "upsert", "delete"]
    weight: PositiveFloat = 1.0
    rows: Annotated[int, Field(ge=1, le=1_000)] = 1


class Queries(Part):
    """Which query is asked next.

    Args:
        choice: ``uniform``, or ``zipf``: the r-th most popular is asked r^-exponent as often as the
            first.
        exponent: Of zipf.
    """

    choice: Literal["uniform", "zipf"] = "uniform"
    exponent: Annotated[float, Field(gt=0, le=5)] = 1.0


class Ramp(Part):
    """A rate that rises, or falls, evenly within each trial, around the one that is offered.

    Args:
        ramp: The first and the last rate, relative to each other.
    """

    ramp: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not sum(self.ramp):
            raise ValueError("a ramp from 0 to 0 sends nothing")
        return self


class Replay(Part):
    """Arrivals as they were once seen: each trial is the whole file, at the rate that is offered.

    Args:
        replay: A file with a time in seconds a line, ascending; relative to the plan's own folder.
    """

    replay: str


class Data(Part):
    """The generated rows.

    Args:
        rows: How many; the profile's if left out.
        dim: Dimension; the profile's if left out.
        tenants: How many tenants share them, by a partition key; none if left out.
        corpus: The corpus of passages in place of generated rows: the user's, else the kit's.
    """

    rows: Annotated[int, Field(ge=1_024)] | None = None
    dim: Annotated[int, Field(ge=2, le=32_768)] | None = None
    tenants: Annotated[int, Field(ge=2, le=1_000)] | None = None
    corpus: bool = False


class Index(Part):
    """The index of the vectors; what is left out is as the kit measures it everywhere.

    Args:
        kind: Milvus's ``index_type``; the profile's last if left out.
        build: Parameters it is built with.
        search: Parameters it is searched with.
    """

    kind: Literal["FLAT", "IVF_FLAT", "HNSW", "DISKANN"] | None = None
    build: Mapping[str, PositiveInt] = {}
    search: Mapping[str, PositiveInt] = {}


class LoadPlan(Part):
    """A plan of a load; docs/slo.md says what each key means.

    Args:
        name: Of the plan, for labels and the report.
        about: What it is, in a line.
        mix: What is asked, by a name of one's own.
        queries: Which query is next.
        arrivals: When requests come.
        data: What is loaded.
        index: Its index.
        rules: What a trial has to keep; the rules file's if left out.
        rate: Offer this rate alone, searches a second; the highest is looked for if left out.
            Changes of rows come on top of it.
        seconds: Length of a trial; the profile's if left out.
        workers: Processes of the client; as many as the rate takes if left out.
        times: Of a replay, in seconds from its first one.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]
    about: str = ""
    mix: Annotated[
        dict[str, Annotated[Search | Hybrid | Write, Field(discriminator="kind")]],
        Field(min_length=1),
    ]
    queries: Queries = Queries()
    arrivals: Literal["poisson", "constant"] | Ramp | Replay = "poisson"
    data: Data = Data()
    index: Index = Index()
    rules: tuple[Rule, ...] = ()
    rate: Annotated[float, Field(gt=0, le=HIGHEST)] | None = None
    seconds: Annotated[float, Field(ge=1, le=LONGEST)] | None = None
    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    times: tuple[float, ...] = ()

    @property
    def searches(self) -> dict[str, Search | Hybrid]:
        """The searches of the mix."""
        return {name: one for name, one in self.mix.items() if not isinstance(one, Write)}

    @property
    def by_keyword(self) -> bool:
        """Whether it needs texts that can be searched by keyword."""
        return any(isinstance(one, Hybrid) for one in self.mix.values())

    @property
    def searched(self) -> float:
        """The share of its requests that are searches."""
        searches = sum(one.weight for one in self.searches.values())
        return searches / sum(one.weight for one in self.mix.values())

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        found: list[str] = []
        if not self.searches:
            found.append("mix: no search is in it, and the rules are about searches")
        found += [
            f"mix.{name}: {why}" for name, one in self.mix.items() if (why := self._lacks(one))
        ]
        if self.data.corpus and self.data != Data(corpus=True):
            found.append("data: a corpus has its own rows, dim and no tenants")
        kinds = [self.index.kind] if self.index.kind else [*SEARCHED_WITH]
        given = {f"mix.{name}.params": one.params for name, one in self.searches.items()}
        given |= {"index.search": self.index.search}
        for where, params in given.items():
            found += _unknown(where, params, kinds, SEARCHED_WITH)
        found += _unknown("index.build", self.index.build, kinds, BUILT_WITH)
        if (self.index.build or self.index.search) and self.index.kind is None:
            found.append("index.kind: say of which index these are the parameters")
        return found + self._rate_problems()

    @property
    def own_rows(self) -> bool:
        """Whether it needs a collection of its own: other data, another index, or it writes."""
        writes = len(self.searches) < len(self.mix)
        return writes or self.data != Data() or self.index != Index()

    def trial_seconds(self, rate: float, usual: float) -> float:
        """Return how long a rate is offered for.

        Long enough for a hundred requests, fifty where the plan says how long, and no longer than
        their replies can be kept.

        Args:
            rate: Searches a second.
            usual: The profile's time.
        """
        if self.times:  # all of them, however long that takes
            return len(self.times) / (rate / self.searched)
        fewest = FEWEST if self.seconds is None else _TOO_FEW
        seconds = max(self.seconds or usual, fewest / rate)
        return min(seconds, MOST_REQUESTS * self.searched / rate)

    def _lacks(self, one: Search | Hybrid | Write) -> str:
        """Return what a kind needs and the plan's rows do not have; empty if they do."""
        if isinstance(one, Hybrid):
            return "" if self.data.corpus else "generated rows have no texts; say data.corpus: true"
        generated = one if isinstance(one, Write) else one.fields or one.within or one.selectivity
        if self.data.corpus and generated:
            return "of the corpus there are plain and hybrid searches alone, without fields"
        tenants = isinstance(one, Search) and (one.tenant or TENANT in one.fields)
        return "there are no tenants; say data.tenants" if tenants and not self.data.tenants else ""

    def _rate_problems(self) -> list[str]:
        if self.rate is None or isinstance(self.arrivals, Replay):
            return []
        if self.seconds is None:
            seconds = self.trial_seconds(self.rate, 1.0)
            if seconds <= LONGEST:
                return []
            why = f"more than {LONGEST:,} s: offer a higher rate"
            return [f"rate: {FEWEST} searches at {self.rate:g}/s take {seconds:,.0f} s, {why}"]
        asked, sent = f"{self.rate:g}/s for {self.seconds:g} s", self.rate * self.seconds
        if round(sent) < _TOO_FEW:
            more = f"say seconds: {_TOO_FEW / self.rate:g} or more, or offer a higher rate"
            return [f"seconds: {asked}, {sent:g} searches are too few to judge a trial by: {more}"]
        most = self.trial_seconds(self.rate, 1.0)
        if most < self.seconds:
            why = f"more than {MOST_REQUESTS:,} in a trial: say seconds: {most:g} or less"
            return [f"rate: {asked} are {why}"]
        return []


STANDARD = LoadPlan(name="searches", mix={"searches": Search()})
"""What is asked where no plan is given."""


def _unknown(
    where: str, params: Mapping[str, Any], kinds: list[str], known: Mapping[str, tuple[str, ...]]
) -> list[str]:
    wrong = [name for name in params if not any(name in known[kind] for kind in kinds)]
    has = sorted({name for kind in kinds for name in known[kind]})
    return [
        f"{where}.{name}: {' and '.join(kinds)} has no such parameter"
        f"{'; there is ' + _listed(has) if has else ''}"
        for name in wrong
    ]


def _listed(names: Any) -> str:
    return ", ".join(names)
