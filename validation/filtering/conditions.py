"""Filters, each with what is right in Python, and those of which versions differ by design.

Only what Milvus's documentation promises is judged. What a comparison makes of NULL, of a key that
is missing and of a value of another type is told (`BY_DESIGN`) and not judged: see docs/filters.md.
"""

# ruff: noqa: PLR2004  (each number stands in the filter beside it)

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from validation.filtering.rows import Row

Version = tuple[int, int]
OLDEST: Version = (2, 3)


@dataclasses.dataclass(frozen=True)
class Condition:
    """A filter and the rows that satisfy it.

    Args:
        kind: What it is about, for the report.
        expression: In Milvus's filter language.
        holds: Whether a row satisfies it.
        since: The first version of Milvus that has it.
    """

    kind: str
    expression: str
    holds: Callable[[Row], bool]
    since: Version = OLDEST


def _of(
    kind: str, *pairs: tuple[str, Callable[[Row], bool]], since: Version = OLDEST
) -> list[Condition]:
    return [Condition(kind, expression, holds, since) for expression, holds in pairs]


_E63 = 2**63

CONDITIONS = (
    *_of(
        "integers",
        ("i8 == -128", lambda r: r["i8"] == -128),
        ("i8 == 127", lambda r: r["i8"] == 127),
        ("i8 > 126", lambda r: r["i8"] > 126),
        ("i8 < 1000", lambda _: True),
        ("i8 > 1000", lambda _: False),
        ("i16 == -32768", lambda r: r["i16"] == -32768),
        ("i16 >= 32767", lambda r: r["i16"] >= 32767),
        ("i32 == -2147483648", lambda r: r["i32"] == -(2**31)),
        ("i32 > 2147483646", lambda r: r["i32"] > 2**31 - 2),
        (f"i64 == {_E63 - 1}", lambda r: r["i64"] == _E63 - 1),
        (f"i64 > {_E63 - 2}", lambda r: r["i64"] > _E63 - 2),
        (f"i64 < {1 - _E63}", lambda r: r["i64"] < 1 - _E63),
        (f"i64 == {2**53 + 1}", lambda r: r["i64"] == 2**53 + 1),
        (f"i64 in [{2**53}, {2**53 + 2}]", lambda r: r["i64"] in {2**53, 2**53 + 2}),
        ("i16 != 3", lambda r: r["i16"] != 3),
        ("n % 7 == 3", lambda r: r["n"] % 7 == 3),
        ("n + 5 == 999", lambda r: r["n"] + 5 == 999),
        ("n * 2 == 84", lambda r: r["n"] * 2 == 84),
        ("10 < n <= 20", lambda r: 10 < r["n"] <= 20),
        ("n >= 500 and n < 501", lambda r: r["n"] == 500),
    ),
    *_of(
        "floats",
        ("f32 == 0.25", lambda r: r["f32"] == 0.25),
        ("f32 < -12", lambda r: r["f32"] < -12),
        ("-0.5 <= f32 < 0.5", lambda r: -0.5 <= r["f32"] < 0.5),
        ("f64 == 0.1", lambda r: r["f64"] == 0.1),
        ("f64 > 1e299", lambda r: r["f64"] > 1e299),
        ("f64 < -1e299", lambda r: r["f64"] < -1e299),
        ("f64 in [2.5, 0.1]", lambda r: r["f64"] in {2.5, 0.1}),
        ("f64 >= 100", lambda r: r["f64"] >= 100),
    ),
    *_of(
        "booleans",
        ("flag == true", lambda r: r["flag"]),
        ("flag != true", lambda r: not r["flag"]),
        ("flag in [false]", lambda r: not r["flag"]),
    ),
    *_of(
        "strings",
        ('text == ""', lambda r: r["text"] == ""),
        ('text == "数据库"', lambda r: r["text"] == "数据库"),
        ('text == "a \\"quoted\\" word"', lambda r: r["text"] == 'a "quoted" word'),
        ('text == "back\\\\slash"', lambda r: r["text"] == "back\\slash"),
        ('text != "abc"', lambda r: r["text"] != "abc"),
        ('text in ["a", "äpfel", "nowhere"]', lambda r: r["text"] in {"a", "äpfel"}),
        ('text not in ["a", "ab"]', lambda r: r["text"] not in {"a", "ab"}),
        ('"ab" <= text < "b"', lambda r: b"ab" <= r["text"].encode() < b"b"),
        ('text > "z"', lambda r: r["text"].encode() > b"z"),
        ('text like "ab%"', lambda r: r["text"].startswith("ab")),
        ('text like "zzz%"', lambda r: r["text"].startswith("zzz")),
    ),
    *_of(
        "strings",
        ('text like "%e%"', lambda r: "e" in r["text"]),
        ('text like "%score"', lambda r: r["text"].endswith("score")),
        ('text like "a%c"', lambda r: r["text"].startswith("a") and r["text"].endswith("c")),
        ('text like "under_score"', lambda r: r["text"] in {"under_score", "underXscore"}),
        ('text like "100\\\\%%"', lambda r: r["text"].startswith("100%")),
        since=(2, 5),
    ),
    *_of(
        "JSON",
        ('doc["k"] == 7', lambda r: r["doc"]["k"] == 7),
        ('doc["k"] >= 15', lambda r: r["doc"]["k"] >= 15),
        ('doc["k"] in [1, 3, 19]', lambda r: r["doc"]["k"] in {1, 3, 19}),
        ('doc["in"]["deep"]["er"] < 3', lambda r: r["doc"]["in"]["deep"]["er"] < 3),
        (f'doc["big"] == {2**53 + 1}', lambda r: r["doc"]["big"] == 2**53 + 1),
        ('doc["any"] == "4"', lambda r: r["doc"].get("any") == "4"),
        ('doc["any"] == true', lambda r: r["doc"].get("any") is True),
        ('doc["any"] > 3', lambda r: _number(r["doc"].get("any"), lambda v: v > 3)),
        ('doc["any"] == 4.5', lambda r: _number(r["doc"].get("any"), lambda v: v == 4.5)),
        ('doc["odd"] like "v1%"', lambda r: r["doc"].get("odd", "").startswith("v1")),
        ('exists doc["odd"]', lambda r: "odd" in r["doc"]),
        ('doc["list"][0] == 2', lambda r: r["doc"]["list"][0] == 2),
        ('json_contains(doc["list"], 3)', lambda r: 3 in r["doc"]["list"]),
        ('json_contains(doc["list"], "3")', lambda r: "3" in r["doc"]["list"]),
        (
            'json_contains_any(doc["list"], [1, "4"])',
            lambda r: 1 in r["doc"]["list"] or "4" in r["doc"]["list"],
        ),
        (
            'json_contains_all(doc["list"], [2, "2"])',
            lambda r: 2 in r["doc"]["list"] and "2" in r["doc"]["list"],
        ),
    ),
    *_of(
        "arrays",
        ("array_contains(nums, 3)", lambda r: 3 in r["nums"]),
        ("array_contains_all(nums, [3, 4])", lambda r: {3, 4} <= set(r["nums"])),
        ("array_contains_any(nums, [0, 10])", lambda r: bool({0, 10} & set(r["nums"]))),
        ("array_length(nums) == 0", lambda r: not r["nums"]),
        ("array_length(nums) == 4", lambda r: len(r["nums"]) == 4),
        ("nums[0] == 5", lambda r: r["nums"][:1] == [5]),
        ("nums[3] > 7", lambda r: len(r["nums"]) > 3 and r["nums"][3] > 7),
        ('array_contains(tags, "ab")', lambda r: "ab" in r["tags"]),
        ('tags[1] == "ab"', lambda r: r["tags"][1:2] == ["ab"]),
    ),
    *_of(
        "logic",
        (
            "n < 10 or n > 990 and flag == true",
            lambda r: r["n"] < 10 or (r["n"] > 990 and r["flag"]),
        ),
        (
            "(n < 10 or n > 990) and flag == true",
            lambda r: (r["n"] < 10 or r["n"] > 990) and r["flag"],
        ),
        ("not (n < 990)", lambda r: r["n"] >= 990),
        ("not (flag == true and n > 10)", lambda r: not (r["flag"] and r["n"] > 10)),
        ("not (flag == true or n > 10)", lambda r: not (r["flag"] or r["n"] > 10)),
        ("not (not (n == 8))", lambda r: r["n"] == 8),
        (
            'text == "a" and n < 500 and doc["k"] > 2',
            lambda r: r["text"] == "a" and r["n"] < 500 and r["doc"]["k"] > 2,
        ),
        ("id in [0, 1, 3999, 4000] and n >= 0", lambda r: r["id"] in {0, 1, 3999}),
    ),
    *_of(
        "partition key",
        ('tenant == "tenant 7"', lambda r: r["tenant"] == "tenant 7"),
        ('tenant in ["tenant 0", "tenant 39"]', lambda r: r["tenant"] in {"tenant 0", "tenant 39"}),
        ('tenant == "tenant 7" or n == 3', lambda r: r["tenant"] == "tenant 7" or r["n"] == 3),
        ('tenant == "tenant 7" and n < 100', lambda r: r["tenant"] == "tenant 7" and r["n"] < 100),
        ('not (tenant == "tenant 7")', lambda r: r["tenant"] != "tenant 7"),
        ('tenant == "nobody"', lambda _: False),
    ),
    *_of(
        "NULL",
        ("maybe == 3", lambda r: r["maybe"] == 3),
        ("maybe > 40", lambda r: r["maybe"] is not None and r["maybe"] > 40),
        ("maybe in [0, 1]", lambda r: r["maybe"] in {0, 1}),
        ("maybe is null", lambda r: r["maybe"] is None),
        ("maybe is not null", lambda r: r["maybe"] is not None),
        ('maybe_text == ""', lambda r: r["maybe_text"] == ""),
        ("maybe_text is null and n < 500", lambda r: r["maybe_text"] is None and r["n"] < 500),
        since=(2, 5),
    ),
)
"""What is judged."""


@dataclasses.dataclass(frozen=True)
class ByDesign:
    """A filter of which versions make different things.

    Args:
        expression: In Milvus's filter language.
        group: What a row is to it, in a word: a value of which sort it has.
        since: The first version of Milvus that has it.
    """

    expression: str
    group: Callable[[Row], str]
    since: Version = OLDEST


def _any(row: Row) -> str:
    document = row["doc"]
    if "any" not in document:
        return "missing"
    value = document["any"]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "4" if value == 4 else "number"
    return "list" if isinstance(value, list) else "string"


def _odd(row: Row) -> str:
    return {"v1": "v1", None: "missing"}.get(row["doc"].get("odd"), "other")


def _maybe(row: Row) -> str:
    return "NULL" if row["maybe"] is None else "3" if row["maybe"] == 3 else "other"


BY_DESIGN = (
    ByDesign('doc["any"] != 4', _any),
    ByDesign('not (doc["any"] == 4)', _any),
    ByDesign('doc["any"] not in [4]', _any),
    ByDesign('doc["any"] < 100', _any),
    ByDesign('exists doc["any"]', _any),
    ByDesign('doc["any"] is null', _any, (2, 5)),
    ByDesign('doc["odd"] != "v1"', _odd),
    ByDesign('not (doc["odd"] == "v1")', _odd),
    ByDesign("maybe != 3", _maybe, (2, 5)),
    ByDesign("not (maybe == 3)", _maybe, (2, 5)),
    ByDesign("maybe not in [3]", _maybe, (2, 5)),
)
"""What is told."""


def _number(value: object, test: Callable[[float], bool]) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and test(value)
