"""What people type and read on the page, by the same rules as everywhere else."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("selenium", reason='needs selenium: pip install ".[test]"')

from hypothesis import given, settings
from hypothesis import strategies as st
from selenium import webdriver

from artiq_link import serve_in_background
from artiq_link.instrument.typed_text import read_parameter
from artiq_link.units import read_quantity, write_quantity
from tests.panel.browser import Panel

UNITS = ["Hz", "s", "V", "dBm", "turns", "of full scale", "mm", "degC", "ohm"]

QUANTITIES = [
    ("80MHz", "Hz"),
    ("80 MHz", "Hz"),
    ("80e3kHz", "Hz"),
    ("0.1 MHz", "Hz"),
    ("1.1GHz", "Hz"),
    ("3mHz", "Hz"),
    ("+.5Hz", "Hz"),
    ("25us", "s"),
    ("25 \N{MICRO SIGN}s", "s"),
    ("25 \N{GREEK SMALL LETTER MU}s", "s"),
    ("1.1ns", "s"),
    ("-3dBm", "dBm"),
    ("5um", "mm"),
    ("7e3Hz", "MHz"),
    ("20°C", "degC"),
    ("5k\N{OHM SIGN}", "ohm"),
    ("0.5 of full  scale", "of full scale"),
    ("3min", "min"),
    ("80", "Hz"),
    ("80M", "Hz"),
    ("80mhz", "Hz"),
    ("80MHz", "s"),
    ("MHz", "Hz"),
    ("", "Hz"),
    ("1,5MHz", "Hz"),
    ("0x10Hz", "Hz"),
    ("3mdB", "dB"),
    ("5cm", "mm"),
    ("1e400Hz", "Hz"),
]

NUMBER, WHOLE, TEXT = {"type": "number"}, {"type": "integer"}, {"type": "string"}
CHANNEL = {"anyOf": [WHOLE, TEXT]}

TYPED: list[tuple[str, dict[str, Any], str]] = [
    ("80 MHz", NUMBER, "Hz"),
    (".5", NUMBER, ""),
    ("1e3", WHOLE, ""),
    ("1.5", WHOLE, ""),
    ("80 MHz", NUMBER, ""),
    ("on", {"type": "boolean"}, ""),
    ("maybe", {"type": "boolean"}, ""),
    ("0", CHANNEL, ""),
    ("ch0", CHANNEL, ""),
    ('"0"', CHANNEL, ""),
    ("null", {"anyOf": [NUMBER, {"type": "null"}]}, ""),
    ("null", TEXT, ""),
    ("absolute", {"enum": ["absolute", "continuous"]}, ""),
    ("[1, 2]", {"type": "array", "items": NUMBER}, ""),
    ("5", {"type": "array"}, ""),
    ("80 MHz", {}, ""),
    ("hello", {}, ""),
    ("1e400", NUMBER, ""),
]


@pytest.fixture(scope="module")
def page(browser: webdriver.Chrome) -> Iterator[Panel]:
    """A page whose modules can be called."""
    with serve_in_background({}, interact=print) as server:
        panel = Panel(browser, "127.0.0.1", server.port)
        panel.open_live()
        yield panel
        browser.get("about:blank")


def outcome(read: Any, *values: Any) -> Any:
    """What was read; None where it is refused."""
    try:
        return read(*values)
    except ValueError:
        return None


def test_quantities_are_read_as_the_server_reads_them(page: Panel) -> None:
    """The same floats, and the same texts are none."""
    expression = """v[0].map(([text, unit]) => {
        try { return m.readQuantity(text, unit); } catch { return null; }
    })"""
    read = page.evaluate("units.js", expression, QUANTITIES)
    assert read == [outcome(read_quantity, *each) for each in QUANTITIES]
    assert None in read


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=False, allow_infinity=False).filter(bool), st.sampled_from(UNITS)
        ),
        min_size=20,
    )
)
def test_no_digit_of_a_quantity_is_lost(page: Panel, values: list[tuple[float, str]]) -> None:
    """What the page writes is read as the same float, by the page and by the server."""
    expression = """v[0].map(([value, unit]) => {
        const text = m.writeQuantity(value, unit);
        return [text, m.readQuantity(text, unit) === value];
    })"""
    for (value, unit), (text, is_same) in zip(
        values, page.evaluate("units.js", expression, values), strict=True
    ):
        assert is_same, text
        assert read_quantity(text, unit) == value


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (80e6, "Hz"),
        (80000000.0745058, "Hz"),
        (999.9, "Hz"),
        (0, "Hz"),
        (25e-6, "s"),
        (-1500, "V"),
        (1e-30, "s"),
    ],
)
def test_quantities_are_written_as_the_server_writes_them(
    page: Panel, value: float, unit: str
) -> None:
    assert page.evaluate("units.js", "m.writeQuantity(v[0], v[1])", value, unit) == write_quantity(
        value, unit
    )


def test_a_quantity_is_shortened_for_the_eye(page: Panel) -> None:
    """With the prefix of what is left."""
    parts = [
        page.evaluate("units.js", "m.quantityParts(v[0], 'Hz', 6)", value)
        for value in (80000000.0745058, 999999.99, 0)
    ]
    assert parts == [
        {"number": "80", "unit": "MHz"},
        {"number": "1", "unit": "MHz"},
        {"number": "0", "unit": "Hz"},
    ]


def test_what_is_typed_is_read_as_in_a_shell(page: Panel) -> None:
    expression = """v[0].map(([text, schema, unit]) => {
        try { return m.readTyped(text, schema, unit); } catch { return null; }
    })"""
    read = page.evaluate("typed_text.js", expression, TYPED)
    assert read == [outcome(read_parameter, *each) for each in TYPED]


def test_a_refusal_says_what_was_expected(page: Panel) -> None:
    """In the server's words."""
    for text, schema, unit in [
        ("many", WHOLE, ""),
        ("fast", NUMBER, "Hz"),
        ("x", {"type": "boolean"}, ""),
    ]:
        with pytest.raises(ValueError, match="expected") as by_server:
            read_parameter(text, schema, unit)
        with pytest.raises(ValueError, match="expected") as by_page:
            page.evaluate("typed_text.js", "m.readTyped(...v)", text, schema, unit)
        assert str(by_page.value) == str(by_server.value)


def test_whole_numbers_that_a_browser_would_round_are_refused(page: Panel) -> None:
    with pytest.raises(ValueError, match="more digits than a browser can send exactly"):
        page.evaluate("typed_text.js", "m.readTyped(...v)", "9007199254740993", WHOLE, "")


PARAMETERS: dict[str, Any] = {
    "channel": "ch 0",
    "frequency": 80000000.0745058,
    "duration": 25e-6,
    "on": True,
    "nothing": None,
    "text": 'it\'s "5"',
    "digits": "5",
    "word": "off",
    "steps": [{"dwell": 1e-3, "frequency": 80e6}],
}


def test_the_copied_call_of_send_data_is_the_request(page: Panel) -> None:
    """Evaluated by Python, it sends what the form would send."""
    text = page.evaluate(
        "request_text.js",
        "m.sendDataText(v[0], v[1], v[2])",
        "set",
        PARAMETERS,
        {"host": "lab-pc", "port": 65432},
    )
    sent = eval(text, {"send_data": lambda request, **place: (request, place)})
    assert sent == ({"command_id": "set", **PARAMETERS}, {"host": "lab-pc", "port": 65432})


def test_the_copied_line_for_artiq_is_the_call(page: Panel) -> None:
    class Experiment:
        class dds:  # noqa: N801 the name of the device
            @staticmethod
            def call(command: str, **parameters: Any) -> Any:
                return command, parameters

    for parameters in (PARAMETERS, {"not a name": 1}):
        text = page.evaluate("request_text.js", "m.artiqText('dds', 'set', v[0])", parameters)
        assert eval(text, {"self": Experiment}) == ("set", parameters)


def test_the_copied_line_for_a_shell_has_the_values(page: Panel) -> None:
    """Taken apart by a shell, each value is read as what it was."""
    text = page.evaluate(
        "request_text.js",
        "m.shellText(v[0], v[1], v[2])",
        "set",
        PARAMETERS,
        {"host": "lab-pc", "port": 65432},
    )
    words = shlex.split(text)
    assert words[:7] == ["artiq-link", "send", "--host", "lab-pc", "--port", "65432", "set"]
    schemas = {"text": TEXT, "digits": TEXT, "word": TEXT, "channel": CHANNEL}
    read = {
        name: read_parameter(value, schemas.get(name, {}))
        for name, _, value in (word.partition("=") for word in words[7:])
    }
    assert read == PARAMETERS


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({}, {"__proto__": {"polluted": 1}}, {"__proto__": {"polluted": 1}}),
    ],
)
def test_a_merge_patch_is_applied(page: Panel, target: Any, patch: Any, merged: Any) -> None:
    text = page.evaluate(
        "merge_patch.js",
        "JSON.stringify(m.mergePatch(JSON.parse(v[0]), JSON.parse(v[1])))",
        json.dumps(target),
        json.dumps(patch),
    )
    assert json.loads(text) == merged
