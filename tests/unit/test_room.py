"""What does not fit on this host is refused with the sum, before anything is made of it."""

from pathlib import Path

import pytest

from validation.common import host
from validation.datasets import room
from validation.datasets.generated import generate
from validation.errors import ConfigurationError, ExitCode


@pytest.fixture(autouse=True)
def small_host(monkeypatch):
    """4 GB of memory and 2 GB of disk are free."""
    monkeypatch.setattr(room, "memory_available", lambda: 4_000_000_000)
    monkeypatch.setattr(room, "_free", lambda _: 2_000_000_000)


@pytest.mark.parametrize(
    ("rows", "dim", "said"),
    [
        (10_000_000, 1_024, "10,000,000 rows of 1,024 dimensions of 4 bytes = 41.0 GB"),
        (10_000_000, 1_024, "= 122.9 GB; 4.0 GB are free"),
        (10_000_000, 1_024, "about 325,520 rows fit"),
        (100_000, 1_000_000, "= 400.0 GB, and Milvus takes at most 32,768 dimensions"),
    ],
)
def test_rows_beyond_memory_are_refused_with_the_sum(rows, dim, said):
    with pytest.raises(ConfigurationError) as refused:
        generate(rows, dim)
    assert said in str(refused.value)
    assert refused.value.exit_code is ExitCode.USAGE


def test_servers_on_this_host_need_memory_too_and_disk():
    room.require_room(1_500_000, 128)
    with pytest.raises(ConfigurationError, match=r"\(memory\).*6 times that"):
        room.require_room(1_500_000, 128, servers=Path())
    with pytest.raises(ConfigurationError, match=r"\(disk\).*2\.0 GB are free"):
        room.require_room(1_000_000, 128, servers=Path())


def test_what_fits_is_made():
    assert generate(1_000, 16).rows == 1_000


def test_a_container_is_measured_by_its_own_limit(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\ninactive_file 300000\n")
    monkeypatch.setattr(host, "_CGROUPS", f"{tmp_path}/")
    assert host.memory_available() == 400_000


def test_a_host_without_limits_tells_its_own_memory(monkeypatch):
    monkeypatch.setattr(host, "_CGROUPS", "/nowhere/")
    assert 1e8 < host.memory_available() < 1e14
