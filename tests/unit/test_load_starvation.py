"""When a client voids its own measurement. The figures are of runs beside the embedded server."""

import threading
import time

import numpy as np
import pytest

from validation.load.client import ClientUse, RunQueue, Use, _counter
from validation.load.starvation import (
    MAX_CPU,
    MAX_LAG_MS,
    OWN_TAIL_MS,
    evidence,
    own_parts,
    why_void,
)

IDLE = ClientUse(seconds=10.0, cpu=0.4, waited=0.3)


def spread(p50, p99, n=1_000):
    """Return n values of which 98 % are p50 and the rest p99."""
    return np.where(np.arange(n) % 50 == 0, float(p99), float(p50))


def void(latencies, own, lag=None, uses=(IDLE,)):
    latencies = np.asarray(latencies, dtype=float)
    own = np.broadcast_to(np.asarray(own, dtype=float), latencies.shape)
    lag = np.zeros(len(latencies)) if lag is None else lag
    return why_void(latencies, own, lag, uses)


def test_a_client_that_hardly_waits_is_believed():
    assert void(spread(1.5, 11), spread(0.03, 0.25)) is None


def test_a_client_beside_a_server_on_its_own_cores_is_believed():
    """With 8 under way on two cores the client waited for three quarters of what it wanted."""
    use = ClientUse(seconds=2.0, cpu=0.13, waited=0.41)
    assert void(spread(4.5, 16.6), spread(0.4, 3.6), uses=[use]) is None


def test_a_starved_client_is_not_although_it_used_little_cpu():
    use = ClientUse(seconds=4.5, cpu=0.12, waited=4.2)
    said = void(spread(4.3, 43), spread(3.6, 42), uses=[use])
    assert said == (
        "the client was starved of CPU or stood still: 3.6 of 4.3 ms of p50 were its own; "
        "it got 3% of the CPU that it wanted"
    )


def test_a_client_on_a_host_that_is_full_is_not_although_its_server_is_slower():
    """Both waited for cores: of the median more was the server's, and that was not its doing."""
    use = ClientUse(seconds=0.47, cpu=0.0205, waited=0.134)
    assert "it got 13% of the CPU" in str(void(spread(1.7, 41), spread(0.3, 1), uses=[use]))


def test_a_client_that_stalls_now_and_then_is_not_believed_about_the_tail():
    assert "of p99" in str(void(spread(3, 60), spread(0.1, 55)))


def test_a_short_wait_is_no_stall_however_fast_the_server_is():
    assert void(spread(3, OWN_TAIL_MS), spread(0.1, OWN_TAIL_MS - 1)) is None


def test_a_slow_server_is_not_excused_by_its_client():
    assert void(spread(400, 2_000), spread(5, 30)) is None


def test_requests_that_failed_do_not_excuse_a_client_and_do_not_void_by_themselves():
    assert void(np.full(100, np.inf), np.nan) is None
    latencies = spread(4, 4)
    latencies[:100] = np.inf
    assert "starved" in str(void(latencies, 3.5))


def test_where_the_kernel_does_not_say_the_schedule_still_does():
    late = np.full(100, MAX_LAG_MS + 1)
    assert void(np.full(100, 3.0), np.nan) is None
    assert "fell behind its schedule" in str(void(np.full(100, 300.0), np.nan, late))


def test_a_client_at_the_end_of_its_core_is_not_believed():
    use = ClientUse(seconds=10.0, cpu=9.7, waited=0.1)
    said = str(void(np.full(100, 3.0), 0.0, uses=[use, use]))
    assert f"used 0.97 of a core, more than {MAX_CPU:g}; this load takes 4 cores" in said


def test_an_own_part_is_never_longer_than_the_latency():
    (p50, _) = own_parts(np.full(10, 2.0), np.full(10, 9.0))
    assert (p50.own_ms, p50.share) == (2.0, 1.0)


def test_the_evidence_says_what_was_got_and_wanted():
    use = ClientUse(10.0, 0.5, 4.5, throttled=0.2, pressure=6.0, pressure_of="cgroup")
    assert evidence(np.full(10, 4.0), np.full(10, 3.0), [use]) == {
        "client_share_of_p50": 0.75,
        "client_share_of_p99": 0.75,
        "client_cpu_cores": 0.05,
        "client_waited_for_cpu_s": 4.5,
        "client_cpu_got_of_wanted": pytest.approx(0.096, abs=1e-3),
        "client_throttled_s": 0.2,
        "cpu_pressure_of_cgroup": 0.6,
    }
    assert "client_cpu_got_of_wanted" not in evidence(
        np.full(3, 4.0), np.full(3, np.nan), [ClientUse(10.0, 0.5)]
    )


def test_the_kernel_tells_this_thread_alone():
    """Work of another thread is not ours; waiting for a core only ever grows."""
    queue = RunQueue()
    use = Use(queue)
    before = queue.seconds()
    other = threading.Thread(target=lambda: sum(range(3_000_000)))
    other.start()
    other.join(timeout=30)
    time.sleep(0.01)
    found = use.so_far()
    queue.close()
    assert found.seconds >= 0.01
    assert found.cpu < found.seconds
    assert found.waited is not None
    assert found.waited >= 0
    assert before >= 0


@pytest.mark.parametrize(
    ("text", "before", "found"),
    [
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull total=3\n", "total=", 1.5),
        ("usage_usec 12\nthrottled_usec 2000000\n", "throttled_usec ", 2.0),
        ("usage_usec 12\n", "throttled_usec ", None),
        ("total=", "total=", None),
    ],
)
def test_a_kernels_file_says_a_counter_or_nothing(tmp_path, text, before, found):
    file = tmp_path / "file"
    file.write_text(text)
    assert _counter(file, before, 1e6) == found
    assert _counter(None, before, 1e6) is None
    assert _counter(tmp_path / "none", before, 1e6) is None
