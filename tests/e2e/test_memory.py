"""What a run takes of this machine's memory is seen, its peak too."""

from __future__ import annotations

from tests.e2e import memory


def test_what_could_be_given_back_does_not_count_as_used(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        "MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 600 kB\n", encoding="utf-8"
    )
    assert memory.used_bytes(meminfo) == 400 * 1024


def test_a_peak_between_start_and_end_is_kept(tmp_path, monkeypatch):
    values = iter([2 * 2**30, 3 * 2**30, 5 * 2**30])
    monkeypatch.setattr(memory, "used_bytes", lambda: next(values, 2**30))
    monkeypatch.setattr(memory, "_SECONDS", 0.01)
    with memory.MemoryWatch(tmp_path / "memory.tsv") as watch:
        while len((tmp_path / "memory.tsv").read_text(encoding="utf-8").splitlines()) < 5:
            pass
    assert watch.sentence() == "peak memory of the run: 3.0 GiB above the 2.0 GiB before it"
