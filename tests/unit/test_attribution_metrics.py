"""Milvus's metrics are read as they are meant, and what is not there is never taken for zero."""

import dataclasses
import http.server
import threading

import pytest

from validation.errors import MeasurementError, UnreachableError, UnsupportedError
from validation.milvus import metrics
from validation.milvus.storage_reads import storage_reads, together
from validation.target import Milvus

BEFORE = """\
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.7e+09
# TYPE internal_storage_request_latency histogram
internal_storage_request_latency_bucket{persistent_data_op_type="get",le="+Inf"} 4
internal_storage_request_latency_sum{persistent_data_op_type="get"} 40
internal_storage_request_latency_count{persistent_data_op_type="get"} 4
internal_storage_op_count{persistent_data_op_type="get"} 0
internal_storage_op_count{persistent_data_op_type="get",status="success"} 4
internal_storage_kv_size_sum{persistent_data_op_type="get"} 1000
internal_storage_request_latency_sum{persistent_data_op_type="put"} 7
internal_storage_request_latency_count{persistent_data_op_type="put"} 1
"""
AFTER = """\
process_start_time_seconds 1.7e+09
internal_storage_request_latency_sum{persistent_data_op_type="get"} 140
internal_storage_request_latency_count{persistent_data_op_type="get"} 14
internal_storage_op_count{persistent_data_op_type="get",status="success"} 14
internal_storage_op_count{persistent_data_op_type="get",status="fail"} 1
internal_storage_kv_size_sum{persistent_data_op_type="get"} 9.001e+03
internal_storage_request_latency_sum{persistent_data_op_type="put"} 9007
internal_storage_request_latency_count{persistent_data_op_type="put"} 9
milvus_storage_request_latency_sum{persistent_data_op_type="get"} 3
milvus_storage_request_latency_count{persistent_data_op_type="get"} 2
milvus_storage_op_count{persistent_data_op_type="get",status="success"} 1
milvus_storage_op_count{persistent_data_op_type="get",status="total"} 1
milvus_storage_kv_size_sum{persistent_data_op_type="get"} 50
"""


def reads(before, after):
    return storage_reads(metrics.between(metrics.parse(before), metrics.parse(after)))


def test_reads_of_both_clients_are_added_and_writes_are_left_out():
    found = reads(BEFORE, AFTER)
    assert (found.requests, found.failed, found.bytes) == (11, 1, 8051)
    assert found.seconds_low == pytest.approx(0.103)


def test_each_latency_cut_to_milliseconds_may_have_been_a_millisecond_longer():
    found = reads(BEFORE, AFTER)
    assert found.seconds_high == pytest.approx(found.seconds_low + 0.012)


def test_a_server_that_does_not_count_storage_requests_is_unsupported_and_not_idle():
    text = 'milvus_proxy_req_count{status="total"} 3\n'
    with pytest.raises(UnsupportedError, match="does not count its requests to the store"):
        reads(text, text)


FILESYSTEM = """\
milvus_storage_filesystem_read_count{fs="store:9000/bucket"} 7
milvus_storage_filesystem_read_bytes{fs="store:9000/bucket"} 7000
"""


def test_reads_through_the_filesystem_of_newer_servers_are_known_to_be_untimed():
    assert not reads(BEFORE, AFTER).untimed
    found = reads(BEFORE, AFTER + FILESYSTEM)
    assert (found.untimed, found.untimed_reads) == (True, 7)
    assert found.seconds_low == pytest.approx(0.103)


@pytest.mark.parametrize(("version", "untimed"), [((2, 5, 27), False), ((2, 6, 0), True)])
def test_from_26_on_there_are_untimed_reads_whatever_the_metrics_show(version, untimed):
    delta = metrics.between(metrics.parse(BEFORE), metrics.parse(AFTER))
    assert storage_reads(delta, version).untimed is untimed


def test_reads_of_several_processes_are_added_up():
    one, other = reads(BEFORE, AFTER), reads(BEFORE, AFTER + FILESYSTEM)
    both = together([one, other])
    assert (both.requests, both.failed, both.bytes) == (22, 2, 16_102)
    assert both.seconds_high == pytest.approx(2 * one.seconds_high)
    assert (both.untimed, both.untimed_reads) == (True, 7)
    assert both.by_client["internal_storage"]["requests"] == 20
    assert one.by_client["internal_storage"]["requests"] == 10


def test_bytes_are_unknown_if_one_process_does_not_count_them():
    one = reads(BEFORE, AFTER)
    assert together([one, dataclasses.replace(one, bytes=None)]).bytes is None


def test_a_restart_between_two_scrapes_is_noticed():
    with pytest.raises(MeasurementError, match="another Milvus process"):
        reads(BEFORE, AFTER.replace("1.7e+09", "1.8e+09"))


def test_a_counter_that_runs_backwards_is_an_error_and_no_negative_gain():
    with pytest.raises(MeasurementError, match="ran backwards"):
        reads(AFTER, BEFORE)


def test_a_series_that_first_shows_later_has_gained_all_it_holds():
    delta = metrics.between(metrics.parse("a 1\n"), metrics.parse('a 1\nb_count{x="y"} 5\n'))
    assert delta.gain("b_count") == 5
    assert delta.gain("b_count", x="z") is None
    assert delta.gain("c_count") is None


def test_labels_with_quotes_commas_braces_and_line_ends_are_read():
    text = r'm{a="x,y",b="say \"{hi}\"",c="back\\slash\nnew # no comment",} 3 1395066363000' + "\n"
    found = metrics.parse(text)
    assert found.total("m", a="x,y", b='say "{hi}"', c="back\\slash\nnew # no comment") == 3


def test_special_values_and_exemplars_are_read():
    found = metrics.parse('m_bucket{le="+Inf"} 17 # {trace_id="a"} 0.67\nn +Inf\n# EOF\n')
    assert found.total("m_bucket", le="+Inf") == 17
    assert found.total("n") == float("inf")


def test_totals_add_up_the_series_that_carry_the_labels():
    found = metrics.parse('m{a="1",b="x"} 1\nm{a="1",b="y"} 2\nm{a="2",b="x"} 4\n')
    assert found.total("m") == 7
    assert found.total("m", a="1") == 3
    assert found.values_of("a", prefix="m") == {"1", "2"}


@pytest.mark.parametrize("text", ["<html><body>no metrics</body></html>", "m{a=1} 3", "m", "m x"])
def test_what_is_no_metric_is_refused_with_its_line(text):
    with pytest.raises(MeasurementError, match="line 2"):
        metrics.parse("ok 1\n" + text)


def test_an_empty_answer_is_an_error():
    with pytest.raises(MeasurementError, match="not a single metric"):
        metrics.parse("# HELP nothing\n")


@pytest.fixture
def answering():
    """A server whose answer to any request a test may choose."""

    class Handler(http.server.BaseHTTPRequestHandler):
        answer = (200, BEFORE.encode())

        def do_GET(self):
            status, body = Handler.answer
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):  # noqa: A002  (the base class's name)
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Handler, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_scrape_reads_what_the_address_serves(answering):
    _, uri = answering
    found = metrics.scrape(Milvus(uri=uri, metrics_uri=uri + "/"))
    assert found.total("internal_storage_request_latency_count") == 5


def test_a_target_without_an_address_for_metrics_is_unsupported():
    with pytest.raises(UnsupportedError, match="declares no address"):
        metrics.scrape(Milvus(uri="http://127.0.0.1:1"))


def test_an_error_page_names_the_address_and_the_status(answering):
    handler, uri = answering
    handler.answer = (404, b"not found")
    with pytest.raises(UnreachableError, match="HTTP 404"):
        metrics.scrape(Milvus(uri=uri, metrics_uri=uri))


def test_an_address_where_nothing_listens_is_unreachable():
    with pytest.raises(UnreachableError, match="cannot be read"):
        metrics.scrape(Milvus(uri="http://127.0.0.1:1", metrics_uri="http://127.0.0.1:1"))


def test_an_endless_answer_is_cut_off(answering, monkeypatch):
    _, uri = answering
    monkeypatch.setattr(metrics, "MAX_BYTES", 100)
    with pytest.raises(MeasurementError, match="larger than"):
        metrics.scrape(Milvus(uri=uri, metrics_uri=uri))
