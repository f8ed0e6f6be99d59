"""Store the rows, ask every filter in every way there is, and compare with what is right."""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from validation.errors import MeasurementError, MilvusKitError
from validation.filtering import rows as generated
from validation.filtering.conditions import BY_DESIGN, CONDITIONS, OLDEST, Condition, Version
from validation.milvus import capabilities, indexing, loading, reading
from validation.milvus.connection import Connection
from validation.milvus.ownership import Mark, claim, drop_ours

EXAMPLES = 5
FINGERPRINT = "filtering-1"
"""Of the rows, for the mark of their collection; change it when they change."""
AT_ONCE = 24
"""Filters asked at once: a strong read mostly waits for the next time tick of the server."""
_BATCH = 1_000
_TIMEOUT = 60
_INDEX_SINCE = (2, 4)
_PLAIN = {"text": "Trie", "tenant": "Trie", "n": "STL_SORT"}
"""Scalar indexes of Milvus before 2.4."""
_INVERTED = (
    *("i8", "i16", "i32", "i64", "n", "f32", "f64", "flag", "text", "nums", "tags", "tenant"),
    *generated.NULLABLE,
)
_JSON_INDEX_SINCE = (2, 6)
_JSON_PATHS = {'doc["k"]': "double", 'doc["any"]': "double", 'doc["odd"]': "varchar"}


@dataclasses.dataclass(frozen=True)
class Wrong:
    """What one filter got wrong.

    Args:
        condition: The filter.
        missing: Rows that satisfy it and did not come, over all ways of asking.
        unexpected: Rows that came and do not satisfy it.
        examples: The first few, with the way of asking; or why the server refused it.
    """

    condition: Condition
    missing: int = 0
    unexpected: int = 0
    examples: tuple[dict[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True)
class Asked:
    """What came of all filters at one time.

    Args:
        wrong: Of each filter that was asked.
        left_out: Filters that a server of this version does not have, by kind.
        by_design: What filters make of NULL, missing keys and other types: by filter the groups of
            rows that came, or why it was refused.
        indexed: Which scalar indexes there were.
        no_index: Why there are none, or fewer: by field.
    """

    wrong: list[Wrong]
    left_out: dict[str, int]
    by_design: dict[str, str]
    indexed: tuple[str, ...] = ()
    no_index: dict[str, str] = dataclasses.field(default_factory=dict)


class Filtered:
    """The collection whose rows are filtered.

    Args:
        connection: An open connection to the server.
        name: Of the collection.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.null = False
        self.rows = generated.rows()
        self.indexed: tuple[str, ...] = ()
        self.no_index: dict[str, str] = {}

    def on(self, connection: Connection) -> Filtered:
        """Return the same collection over another connection."""
        other = Filtered(connection, self.name)
        other.null, other.indexed, other.no_index = self.null, self.indexed, self.no_index
        return other

    def store(self, run: str) -> None:
        """Create the collection, load it, and insert the rows; they are not flushed."""
        client = self.connection.client
        drop_ours(self.connection, self.name)
        self.null = capabilities.knows_null(self.connection, run=run)
        made = generated.schema(
            claim(self.connection, self.name, Mark(run, FINGERPRINT)), null=self.null
        )
        vectors = client.prepare_index_params()
        vectors.add_index("vector", index_type="FLAT", metric_type="L2")
        with self.connection.explained(f"create collection {self.name}"):
            client.create_collection(
                self.name,
                schema=made,
                num_partitions=generated.PARTITIONS,
                consistency_level="Strong",
                timeout=_TIMEOUT,
            )
            client.create_index(self.name, vectors, timeout=_TIMEOUT)
        loading.load_for_search(self.connection, self.name)
        hidden = () if self.null else generated.NULLABLE
        sent = [{key: row[key] for key in row if key not in hidden} for row in self.rows]
        with self.connection.explained(f"insert rows of {self.name}"):
            for at in range(0, len(sent), _BATCH):
                client.insert(self.name, sent[at : at + _BATCH], timeout=_TIMEOUT)

    def flush(self) -> None:
        """Let the server write the rows to its store."""
        loading.flush(self.connection, self.name)

    def index(self) -> None:
        """Build an index of every scalar field that the server indexes, and load it."""
        client = self.connection.client
        with self.connection.explained(f"release {self.name}"):
            client.release_collection(self.name, timeout=_TIMEOUT)
        built = []
        for field, kind, params in self._wanted():
            one = client.prepare_index_params()
            one.add_index(
                field.split("[")[0], index_type=kind, index_name=_index_name(field), **params
            )
            again = functools.partial(indexing.ask, self.connection, self.name, one)
            try:
                again()
            except MeasurementError as error:
                self.no_index[field] = str(error.seen or error.what)
                continue
            indexing.wait(self.connection, self.name, _index_name(field), again)
            built.append(field)
        loading.load_for_search(self.connection, self.name)
        self.indexed = tuple(built)

    def _wanted(self) -> list[tuple[str, str, dict[str, Any]]]:
        newest = self.connection.is_lite
        if not newest and self._version < _INDEX_SINCE:
            return [(field, kind, {}) for field, kind in _PLAIN.items()]
        hidden = () if self.null else generated.NULLABLE
        wanted: list[tuple[str, str, dict[str, Any]]] = [
            (field, "INVERTED", {}) for field in _INVERTED if field not in hidden
        ]
        if newest or self._version >= _JSON_INDEX_SINCE:
            wanted += [
                (path, "INVERTED", {"params": {"json_path": path, "json_cast_type": cast}})
                for path, cast in _JSON_PATHS.items()
            ]
        return wanted

    def ask(self) -> Asked:
        """Ask every filter that a server of this version has."""
        known = [one for one in CONDITIONS if self._has(one.since, one.kind == "NULL")]
        left_out = collections.Counter(one.kind for one in CONDITIONS if one not in known)
        design = {
            one.expression: self._groups(one.expression, one.group)
            for one in BY_DESIGN
            if self._has(one.since, one.expression.startswith(("maybe", "not (maybe")))
        }
        with ThreadPoolExecutor(AT_ONCE) as pool:
            wrong = list(pool.map(self._wrong, known))
        return Asked(wrong, dict(left_out), design, self.indexed, dict(self.no_index))

    def _has(self, since: Version, null: bool) -> bool:
        if null and not self.null:
            return False
        return self.connection.is_lite or self._version >= since

    @property
    def _version(self) -> tuple[int, ...]:
        """Its version; of a server that calls itself by none, one that it is proven to have."""
        return self.connection.version or (capabilities.NULL_SINCE if self.null else OLDEST)

    def _wrong(self, condition: Condition) -> Wrong:
        right = np.array([row["id"] for row in self.rows if condition.holds(row)], dtype=np.int64)
        missing = unexpected = 0
        examples: list[dict[str, Any]] = []
        for way, ask in (("query", self._queried), ("search", self._found)):
            try:
                came = ask(condition.expression)
            except MeasurementError as error:
                # Of a version that has it: whoever asks gets nothing.
                missing += max(len(right), 1)
                examples.append({"way": way, "refused": str(error.seen or error.what)})
                continue
            lost, more = np.setdiff1d(right, came), np.setdiff1d(came, right)
            missing, unexpected = missing + len(lost), unexpected + len(more)
            unexpected += len(came) - len(np.unique(came))
            examples += self._examples(way, "missing", lost) + self._examples(
                way, "unexpected", more
            )
        counted = self._counted(condition.expression, len(right))
        missing, unexpected = missing + max(-counted, 0), unexpected + max(counted, 0)
        if counted:
            examples.append({"way": "count", "off_by": counted})
        return Wrong(condition, missing, unexpected, tuple(examples[:EXAMPLES]))

    def _examples(self, way: str, what: str, keys: np.ndarray) -> list[dict[str, Any]]:
        return [{"way": way, what: key} for key in keys[:2].tolist()]

    @functools.cached_property
    def _keys(self) -> reading.Table:
        described = reading.described(self.connection, self.name)
        return reading.table_of(self.connection, self.name, described["fields"], columns=())

    def _queried(self, expression: str) -> np.ndarray:
        found = self._keys.query(expression, {"limit": reading.MAX_PAGE})
        return np.sort(np.asarray(found["id"])) if found else np.empty(0, np.int64)

    def _found(self, expression: str) -> np.ndarray:
        request = self.connection.client.search
        with self.connection.explained(f"search {self.name} under a filter"):
            hits = request(
                self.name,
                data=[generated.vector(0)],
                anns_field="vector",
                limit=len(self.rows),
                filter=expression,
                timeout=_TIMEOUT,
                consistency_level="Strong",
            )[0]
        return np.sort(np.array([hit["id"] for hit in hits], dtype=np.int64))

    def _counted(self, expression: str, right: int) -> int:
        try:
            return reading.count(self.connection, self.name, expression) - right
        except MeasurementError:
            return 0  # it was refused in the other ways as well, which says why

    def _groups(self, expression: str, group: Any) -> str:
        """Return which groups of rows satisfy a filter, in words."""
        try:
            came = set(self._queried(expression).tolist())
        except MilvusKitError as error:
            return f"refused: {error.what}"
        seen: dict[str, list[bool]] = {}
        for row in self.rows:
            seen.setdefault(group(row), []).append(row["id"] in came)
        said = [
            name if all(hits) else f"{name} ({sum(hits)} of {len(hits)})"
            for name, hits in sorted(seen.items())
            if any(hits)
        ]
        return ", ".join(said) or "none"


def _index_name(field: str) -> str:
    return "on_" + re.sub(r"\W", "", field)
