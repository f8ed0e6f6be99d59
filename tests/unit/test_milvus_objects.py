"""What a load reads of all that lies in the bucket."""

from __future__ import annotations

import pytest

from validation.milvus.objects import Stored, of_segments

ROWS = Stored("insert_log", "files/insert_log/1/2/31/100/5", 10)
COMPACTED = Stored("insert_log", "files/insert_log/1/2/30/100/4", 20)
STATS = Stored("stats_log", "files/stats_log/1/2/31/100/6", 1)
DROPPED = Stored("index_files", "files/index_files/900/1/2/31/IVF", 40)
INDEX = Stored("index_files", "files/index_files/1001/1/2/31/HNSW_0", 80)
MORE = Stored("index_files", "files/index_files/1001/1/2/31/HNSW_1", 8)
OTHERS = Stored("index_files", "files/index_files/1002/1/2/32/HNSW_0", 160)
EVERYTHING = [ROWS, COMPACTED, STATS, DROPPED, INDEX, MORE, OTHERS]


@pytest.mark.parametrize(
    ("segments", "read"),
    [({"31"}, [ROWS, STATS, INDEX, MORE]), ({"31", "32"}, [ROWS, STATS, INDEX, MORE, OTHERS])],
)
def test_only_what_is_loaded_is_read_and_of_an_index_only_its_last_build(segments, read):
    assert of_segments(EVERYTHING, segments) == read


def test_of_no_segment_nothing_is_read():
    assert of_segments(EVERYTHING, set()) == []
