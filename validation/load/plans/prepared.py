"""From a plan to requests as bytes, and what the answers to each kind are held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from validation.answers.model import Expected
from validation.answers.precision import precision_of
from validation.datasets.ground_truth import GroundTruth, exact_under
from validation.datasets.model import Condition, Dataset, Filter
from validation.load.arrivals import ramp, replayed, schedule
from validation.load.plan import Plan, hybrid_request, search_request
from validation.load.plans.model import TENANT, Hybrid, LoadPlan, Ramp, Replay, Search, Write
from validation.milvus import schema as schemas
from validation.milvus.columns import rows_of, to_message
from validation.milvus.connection import Connection
from validation.milvus.indexes import IndexSpec
from validation.milvus.serving import EXHAUSTIVE

WRITES = 256
"""Different requests of each kind of change; they are sent again and again."""
_FIRST_FAR_KEY = 2**41
_FAR = np.float32(1_000.0)
_SERVICE = "/milvus.proto.milvus.MilvusService/"


@dataclasses.dataclass(frozen=True)
class Variant:
    """Requests of one kind and, of searches, for one number of hits.

    Args:
        name: Of the kind, as the plan calls it.
        weight: How often one of them is sent, against all others.
        first: Where its requests begin in the prepared plan.
        count: How many there are; of searches, one a query.
        k: How many hits; 0 of changes.
        right: What answers are held against; None of changes.
        fields: What is brought along of each hit.
        radii: Of a range search, float64, shape (count,); None of others.
    """

    name: str
    weight: float
    first: int
    count: int
    k: int = 0
    right: Expected | None = None
    fields: tuple[str, ...] = ()
    radii: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A plan, ready to be sent.

    Args:
        plan: What was asked for.
        requests: All different requests.
        variants: Which of them are what.
    """

    plan: LoadPlan
    requests: Plan
    variants: tuple[Variant, ...]

    def due(self, rate: float, seconds: float, seed: int) -> np.ndarray:
        """Return when requests are sent, seconds from the start, ascending.

        Args:
            rate: Searches a second.
            seconds: For how long.
            seed: Of the draw.
        """
        plan, arrivals = self.plan, self.plan.arrivals
        rate /= plan.searched
        if isinstance(arrivals, Ramp):
            return ramp(rate, seconds, *arrivals.ramp, seed=seed)
        if isinstance(arrivals, Replay):
            return replayed(plan.times, rate)
        return schedule(rate, seconds, arrivals=arrivals, seed=seed)

    def numbers(self, count: int, seed: int) -> np.ndarray:
        """Return which requests are sent, in order; the same for the same seed.

        Args:
            count: How many.
            seed: Of the draw.
        """
        random = np.random.Generator(np.random.PCG64(seed))
        weights = np.array([one.weight for one in self.variants])
        which = random.choice(len(weights), size=count, p=weights / weights.sum())
        numbers = np.empty(count, dtype=np.int64)
        for at, one in enumerate(self.variants):
            mine = which == at
            numbers[mine] = one.first + self._drawn(one, int(mine.sum()), random)
        return numbers

    def _drawn(self, one: Variant, count: int, random: np.random.Generator) -> np.ndarray:
        queries = self.plan.queries
        if not one.k or queries.choice == "uniform":
            return random.integers(one.count, size=count)
        popular = np.arange(1, one.count + 1, dtype=np.float64) ** -queries.exponent
        # Which query is the popular one is the same in every trial, and not always the first.
        places = np.random.Generator(np.random.PCG64(one.count)).permutation(one.count)
        return places[random.choice(one.count, size=count, p=popular / popular.sum())]


def with_tenants(dataset: Dataset, tenants: int | None) -> Dataset:
    """Return a dataset whose rows belong to tenants, all of about the same size."""
    if tenants is None:
        return dataset
    owners = np.random.Generator(np.random.PCG64(tenants)).integers(tenants, size=dataset.rows)
    return dataclasses.replace(
        dataset,
        name=f"{dataset.name}_{tenants}_tenants",
        scalars={**dataset.scalars, TENANT: owners},
    )


def prepare(
    connection: Connection, plan: LoadPlan, dataset: Dataset, name: str, index: IndexSpec
) -> Prepared:
    """Prepare every request of a plan, and what is right of its answers.

    Args:
        connection: An open connection to the server.
        plan: What is asked.
        dataset: What was loaded, with the tenants of `with_tenants`.
        name: Of the collection.
        index: What searches go through.
    """
    made = _Making(connection, plan, dataset, name, index)
    # Searches first: a client is warmed by the first requests.
    for title, kind in sorted(plan.mix.items(), key=lambda one: isinstance(one[1], Write)):
        if isinstance(kind, Search):
            made.searches(title, kind)
        elif isinstance(kind, Hybrid):
            made.hybrid(title, kind)
        else:
            made.writes(title, kind)
    requests = Plan(
        connection.endpoint,
        tuple(made.requests),
        tuple(made.hits),
        methods=tuple(made.methods),
        fields=tuple(dict.fromkeys(name for one in made.variants for name in one.fields)),
        most=max(one.k for one in made.variants),
    )
    return Prepared(plan, requests, tuple(made.variants))


class _Making:
    """Requests while they are prepared."""

    def __init__(
        self,
        connection: Connection,
        plan: LoadPlan,
        dataset: Dataset,
        name: str,
        index: IndexSpec,
    ) -> None:
        self.connection, self.plan, self.dataset = connection, plan, dataset
        self.name, self.index = name, index
        self.requests: list[bytes] = []
        self.hits: list[int] = []
        self.methods: list[str] = []
        self.variants: list[Variant] = []
        self.precision = precision_of(index.kind, index.build, dataset.vectors, dataset.metric)
        writes = [one for one in plan.mix.values() if isinstance(one, Write)]
        far = WRITES * max((one.rows for one in writes), default=0)
        self.far = _far_rows(dataset, far) if far else dataset
        # A row that was inserted under load may be found, however far away it is.
        self.known = dataset if not writes else _together(dataset, self.far)

    def searches(self, title: str, kind: Search) -> None:
        """Prepare one search a query for each number of hits."""
        filters, radii = self._filters(kind), None
        share = kind.weight / sum(kind.hits.values())
        for k, weight in kind.hits.items():
            truth = exact_under(self.dataset, max(k, kind.within or 0) + 1, filters)
            if kind.within is not None:
                truth, radii = within(truth, kind.within)
            truth = GroundTruth(truth.rows[:, :k], truth.distances[:, :k], truth.matches, k)
            # An approximate index may find fewer within a radius: that is recall, no wrong answer.
            least = np.zeros_like(truth.matches) if radii is not None else None
            right = Expected(
                self.known,
                truth,
                filters,
                precision=self.precision,
                exhaustive=self.index.kind in EXHAUSTIVE,
                at_least=least,
            )
            wanted = np.minimum(truth.matches if least is None else least, k)
            params = {**(self.index.search), **self.plan.index.search, **kind.params}
            if "ef" in params:  # Milvus refuses one below k
                params["ef"] = max(params["ef"], k)
            self._add(
                Variant(title, share * weight, len(self.requests), 0, k, right, kind.fields, radii),
                [
                    search_request(
                        self.connection,
                        self.name,
                        vector,
                        k=k,
                        params=params if radii is None else {**params, "radius": float(radii[at])},
                        condition=filters[at].expression() if filters else "",
                        fields=kind.fields,
                    )
                    for at, vector in enumerate(self.dataset.queries.vectors)
                ],
                wanted.tolist(),
                "Search",
            )

    def hybrid(self, title: str, kind: Hybrid) -> None:
        """Prepare one search by vector and keyword for each query."""
        dataset, texts = self.dataset, self.dataset.queries.texts or []
        least = np.full(len(texts), min(kind.top_k, dataset.rows))
        # Scores are of ranks, and which passages are right is `retrieval`'s to say.
        right = Expected(dataset, at_least=least, order="falling")
        params = {**self.index.search, **kind.params}
        requests = [
            hybrid_request(self.connection, self.name, vector, text, k=kind.top_k, params=params)
            for vector, text in zip(dataset.queries.vectors, texts, strict=True)
        ]
        first = len(self.requests)
        variant = Variant(title, kind.weight, first, 0, kind.top_k, right)
        self._add(variant, requests, least.tolist(), "HybridSearch")

    def writes(self, title: str, kind: Write) -> None:
        """Prepare changes of rows."""
        from pymilvus.grpc_gen import milvus_pb2  # noqa: PLC0415  (slow to import)

        rows = self.far if kind.kind != "upsert" else self.dataset
        columns = schemas.columns(rows)
        requests: list[bytes] = []
        for at in range(WRITES):
            some = np.arange(at * kind.rows, (at + 1) * kind.rows) % rows.rows
            common: dict[str, Any] = {
                "db_name": self.connection.endpoint.database,
                "collection_name": self.name,
            }
            if kind.kind == "delete":
                keys = np.asarray(rows.ids)[some].tolist()
                request = milvus_pb2.DeleteRequest(expr=f"{schemas.ID} in {keys}", **common)
            else:
                message = {"insert": milvus_pb2.InsertRequest, "upsert": milvus_pb2.UpsertRequest}
                fields = [to_message(key, rows_of(one, some)) for key, one in columns.items()]
                request = message[kind.kind](fields_data=fields, num_rows=kind.rows, **common)
            requests.append(request.SerializeToString())
        # How many rows a delete removed depends on what was inserted before.
        wanted = 0 if kind.kind == "delete" else kind.rows
        self._add(
            Variant(title, kind.weight, len(self.requests), 0),
            requests,
            [wanted] * WRITES,
            kind.kind.title(),
        )

    def _add(
        self, variant: Variant, requests: Sequence[bytes], hits: Sequence[int], method: str
    ) -> None:
        self.variants.append(dataclasses.replace(variant, count=len(requests)))
        self.requests += requests
        self.hits += hits
        self.methods += [_SERVICE + method] * len(requests)

    def _filters(self, kind: Search) -> list[Filter] | None:
        count = len(self.dataset.queries)
        if kind.tenant:
            tenants = int(self.plan.data.tenants or 1)
            return [Filter((Condition(TENANT, "eq", at % tenants),)) for at in range(count)]
        if kind.selectivity is not None:
            from validation.datasets.generated import selecting  # noqa: PLC0415

            return [selecting(kind.selectivity)] * count
        return None


def within(truth: GroundTruth, rows: int) -> tuple[GroundTruth, np.ndarray]:
    """Return the truth within a radius around each query that holds so many rows, and the radii.

    The radius lies halfway between two rows, so that rounding moves none in or out; of rows at the
    same distance it takes all or none.

    Args:
        truth: Of more rows than that.
        rows: How many should lie within it.
    """
    found, distances = truth.rows.copy(), truth.distances.copy()
    radii, counts = np.empty(len(found)), np.empty(len(found), dtype=np.int64)
    for at, far in enumerate(distances):
        steps = np.diff(far) / np.maximum(np.abs(far[1:]), 1e-30)
        gaps = np.flatnonzero(steps > _CLEAR_GAP) + 1  # so many rows lie before each
        counts[at] = gaps[np.argmin(np.abs(gaps - rows))] if gaps.size else 0
        inside = int(counts[at])
        radii[at] = (far[inside - 1] + far[inside]) / 2 if inside else far[0] * 0.5
    beyond = np.arange(found.shape[1]) >= counts[:, None]
    found[beyond], distances[beyond] = -1, np.inf
    return GroundTruth(found, distances, counts, truth.k), radii


_CLEAR_GAP = 1e-4
"""Relative: ten times what float32 may round off a distance of a thousand terms."""


def _far_rows(dataset: Dataset, count: int) -> Dataset:
    """Return rows that are nobody's neighbour and match no filter by selectivity."""
    taken = dataset.taken(np.arange(count) % dataset.rows)
    far = taken.vectors + _FAR * np.float32(np.abs(dataset.vectors).max())
    last = int(np.max(np.asarray(dataset.scalars["bucket"])))
    return dataclasses.replace(
        taken,
        ids=_FIRST_FAR_KEY + np.arange(count),
        vectors=far.astype(np.float32),
        scalars={**taken.scalars, "bucket": np.full(count, last)},
    )


def _together(one: Dataset, other: Dataset) -> Dataset:
    """Return the rows of both, those of the first as they were."""
    return dataclasses.replace(
        one,
        ids=np.concatenate([np.asarray(one.ids), np.asarray(other.ids)]),
        vectors=np.concatenate([one.vectors, other.vectors]),
        scalars={
            name: np.concatenate([column, np.asarray(other.scalars[name])])
            if isinstance(column, np.ndarray)
            else [*column, *other.scalars[name]]
            for name, column in one.scalars.items()
        },
    )
