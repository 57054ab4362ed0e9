"""The pieces of the benchmarks run, and their report says what they found. No time is asserted."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest

from benchmarks import rows
from benchmarks.exchange import line_of
from benchmarks.link import Tree
from benchmarks.measures import Call, Effort, Figure, percentile, turn_by_turn
from benchmarks.peers import PEERS
from benchmarks.processes import ROOT, crowd, serving
from benchmarks.report import Line, Report, Way, as_chart, as_object, as_text
from benchmarks.rows import ROWS, Bench, Measured, Row
from benchmarks.work import Series, checked, parameters, table_steps
from tests.conftest import until

TINY = Effort(rounds=2, turns=3, seconds=0.02, connections=5)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Its servers are started once for all tests."""
    with Bench(Tree(ROOT), None, TINY) as running:
        yield running


CHEAP = {
    rows.exchange_to_bare, rows.server_cpu, rows.client_cpu, rows.tail_to_median,
    rows.journal_to_none, rows.batch_to_exchange, rows.kept_to_sipyco, rows.ndsp_to_sipyco,
}  # fmt: skip


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.measure in CHEAP], ids=lambda row: row.measure.__name__
)
def test_a_row_comes_to_a_ratio_or_says_why_not(row: Row, bench: Bench) -> None:
    """What is not installed or not there yet is said in a sentence."""
    line = line_of(row, bench)
    if line.measured is None:
        assert "not" in line.why_not
    else:
        ratio = line.measured.ratios["now"]
        assert len(ratio.rounds) == TINY.rounds
        assert min(ratio.rounds) > 0


def test_an_older_tree_is_measured_beside_the_present_one() -> None:
    """Its own client calls its own server, in the same turns."""
    with Bench(Tree(ROOT), Tree(ROOT), TINY) as bench:
        measured = rows.exchange_to_bare(bench)
    assert list(measured.ratios) == ["now", "before"]
    assert set(measured.figures) == {"bare", "now", "before"}


@pytest.mark.parametrize("make", [parameters, table_steps, checked])
def test_work_is_done(make: Callable[[Bench, int], Call], bench: Bench) -> None:
    """Of whatever kind; a call that is refused would raise."""
    make(bench, 10)()


def test_a_refused_call_is_no_measurement(bench: Bench) -> None:
    port = bench.link("now").port
    with pytest.raises(OSError, match=r"^nothing: .*unknown_command"):
        bench.trees["now"].send_data(port, {"command_id": "nothing"})()


def test_a_crowd_calls_as_often_as_it_can(bench: Bench) -> None:
    port = bench.link("now").port
    with crowd("benchmarks.link", ROOT, port, 2, processes=1) as clients:
        until(lambda: clients.rate(0.02) > 0)  # on a busy computer not in the first 20 ms


def test_a_peer_is_called() -> None:
    """The one that the standard library has."""
    peer = PEERS["xmlrpc"]
    with serving("-m", "benchmarks.peers", "xmlrpc") as server, peer.connect(server.port) as call:
        assert call() == pytest.approx(80e6, abs=1)


def test_a_server_that_does_not_start_is_told() -> None:
    with pytest.raises(OSError, match="did not start"), serving("-c", "pass"):
        pass


@pytest.mark.parametrize(
    ("bunch", "order"), [(1, "ababab"), (2, "aabb"), (9, "aaabbb")]
)  # fmt: skip
def test_things_are_called_in_turn_or_in_bunches(bunch: int, order: str) -> None:
    """As often as was said, and not more often than there are turns; the first are thrown away."""
    called: list[str] = []
    calls = {name: functools.partial(called.append, name) for name in "ab"}
    taken = turn_by_turn(calls, TINY._replace(bunch=bunch, rounds=1))
    assert "".join(called) == "ab" + order
    assert [len(times) for times in taken["a"]] == [len(order) // 2]


def test_a_percentile_is_one_of_the_times() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 99) == 99.0


def figures(**costs: float) -> dict[int, Figure]:
    return {int(count.strip("n")): Figure((cost,)) for count, cost in costs.items()}


def test_what_costs_more_than_in_proportion_is_not_linear() -> None:
    assert Series("", "", figures(n1=1.0, n10=1.1, n100=11.0)).is_linear
    assert not Series("", "", figures(n1=1.0, n10=1.1, n100=20.0)).is_linear


def two_rounds(*values: float) -> Figure:
    return Figure(values)


REPORT = Report(
    lines=[
        Line(
            Row("a to b", 1.5, rows.exchange_to_bare),
            Measured(
                {"now": two_rounds(1.0, 2.0), "before": two_rounds(3.0, 3.5)},
                {"b": two_rounds(100.0, 200.0)},
            ),
        ),
        Line(
            Row("calls", 2.0, rows.crowd_to_sipyco, is_least=True),
            Measured({"now": two_rounds(1.0, 2.0)}, {}, "1/s"),
        ),
        Line(Row("c to d", 1.5, rows.exchange_to_bare), None, "d is not there"),
    ],
    ways=[
        Way("artiq_link", "for each call", two_rounds(1e-4, 2e-4), two_rounds(1.0, 2.0)),
        Way("<other>", "with care", two_rounds(3e-4, 3e-4), two_rounds(3.0, 3.0)),
        Way("missing", "not at all", None, None, "it is not installed"),
    ],
    work=[
        Series("bytes", "byte", figures(n1=1.0, n1000=5.0)),
        Series("requests", "request", {}, "batches are not there"),
    ],
    rounds=2,
)


def test_the_report_has_a_verdict_for_each_row() -> None:
    text = as_text(REPORT)
    assert "| a to b | 3.25 (3 to 3.5) | 1.5 (1 to 2) | 1.5 | met | b 150 µs |" in text
    assert "| calls |  | 1.5 (1 to 2) | 2 at least | **not met** |  1/s |" in text
    assert "| c to d |  | d is not there | 1.5 |  |  |" in text
    assert "| artiq_link | for each call | 150 (100 to 200) | 1.5 (1 to 2) |" in text
    assert "| missing | not at all | it is not installed |  |" in text
    assert "| bytes | 1: 1,000,000, 1,000: 5,000 | linear |" in text
    assert "| requests | batches are not there |  |" in text


def test_the_report_is_json_with_every_round() -> None:
    report = json.loads(json.dumps(as_object(REPORT)))
    assert report["rows"][0]["ratios"]["now"] == [1.0, 2.0]
    assert [row.get("is_met") for row in report["rows"]] == [True, False, None]
    assert report["rows"][2]["why_not"] == "d is not there"
    assert report["ways"][2]["seconds"] is None
    assert report["work"][0]["seconds"] == {"1": [1.0], "1000": [5.0]}


def test_the_chart_has_a_bar_for_each_way_that_was_measured() -> None:
    """It is well-formed XML, whatever a way is called, and the longest bar fits."""
    chart = ElementTree.fromstring(as_chart(REPORT.ways))
    bars = chart.findall("{*}rect")
    assert [bar.get("class") for bar in bars] == ["own", None]
    right = [float(bar.get("x", 0)) + float(bar.get("width", 0)) for bar in bars]
    assert max(right) < float(chart.get("width", 0))
    assert [text.text for text in chart.findall("{*}text")] == [
        "artiq_link", "150 µs", "<other>", "300 µs",
    ]  # fmt: skip
