"""The text of OpenMetrics, as Prometheus' own parser reads it."""

from __future__ import annotations

import math

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from artiq_link.exchanges.openmetrics import Family, exposition, number_text


def test_a_page_is_what_the_specification_shows() -> None:
    """To the last byte, the line feed behind the mark of the end included."""
    gauge = Family("oven_watts", "gauge", "What it takes.", "watts")
    gauge.add(1.5, place="left")
    counter = Family("oven_openings", "counter", "Its door's.")
    counter.add(3)
    assert exposition([gauge, counter]) == (
        "# TYPE oven_watts gauge\n"
        "# UNIT oven_watts watts\n"
        "# HELP oven_watts What it takes.\n"
        'oven_watts{place="left"} 1.5\n'
        "# TYPE oven_openings counter\n"
        "# HELP oven_openings Its door's.\n"
        "oven_openings_total 3\n"
        "# EOF\n"
    )


def test_nothing_to_tell_is_a_page_too() -> None:
    assert exposition([]) == "# EOF\n"
    assert list(text_string_to_metric_families(exposition([]))) == []


def test_an_info_says_what_a_number_cannot() -> None:
    info = Family("oven", "info", "Which one it is.")
    info.add(1, make="Binder")
    (family,) = text_string_to_metric_families(exposition([info]))
    assert (family.name, family.type, family.documentation) == ("oven", "info", "Which one it is.")
    assert [tuple(sample[:3]) for sample in family.samples] == [
        ("oven_info", {"make": "Binder"}, 1.0)
    ]


def test_a_histogram_counts_from_below() -> None:
    """Each bucket has all that is in those before it, the last one everything."""
    times = Family("bake_seconds", "histogram", "How long it took.", "seconds")
    times.add_times((0.5, 1.0), [2, 3, 4], 12.5, cake="plum")
    (family,) = text_string_to_metric_families(exposition([times]))
    found = {(s.name, s.labels.get("le")): s.value for s in family.samples}
    assert found == {
        ("bake_seconds_bucket", "0.5"): 2,
        ("bake_seconds_bucket", "1.0"): 5,
        ("bake_seconds_bucket", "+Inf"): 9,
        ("bake_seconds_count", None): 9,
        ("bake_seconds_sum", None): 12.5,
    }
    assert all(sample.labels["cake"] == "plum" for sample in family.samples)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ('say "hello"', 'say "hello"'),
        ("C:\\lab\\n", "C:\\lab\\n"),
        ("Kühlung µ 温度", "Kühlung µ 温度"),
        # What would begin a line, or command a terminal, is shown as its escape.
        ("a\nb\rc", "a\\nb\\rc"),
        ('"} 1\n# EOF\nforged 1', '"} 1\\n# EOF\\nforged 1'),
        ("\x1b[2J\u202e\ud800\x00\u2028", "\\x1b[2J\\u202e\\ud800\\x00\\u2028"),
        ("", ""),
    ],
)
def test_no_name_breaks_out_of_its_label(name: str, read: str) -> None:
    gauge = Family("x", "gauge", "Any.")
    gauge.add(1, name=name)
    text = exposition([gauge])
    assert text.encode().count(b"\n") == 4
    (family,) = text_string_to_metric_families(text)
    assert [sample.labels for sample in family.samples] == [{"name": read}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (True, "1"),
        (1e-05, "1e-05"),
        (80e6, "80000000.0"),
        (-0.5, "-0.5"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_are_written_as_the_format_asks(value: float, text: str) -> None:
    assert number_text(value) == text


def test_a_unit_stands_at_the_end_of_the_name() -> None:
    with pytest.raises(ValueError, match="'x_volts' does not end with its unit 'watts'"):
        Family("x_volts", "gauge", "Any.", "watts")
