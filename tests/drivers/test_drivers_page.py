"""docs/drivers.md has the capabilities of every driver, and no others."""

from __future__ import annotations

from collections.abc import Iterator

from artiq_link.dds.capabilities import Capabilities, Span, Tables
from artiq_link.dds.driver import Driver
from artiq_link.dds.types import TONE_PARAMETERS, UNITS
from artiq_link.drivers import DRIVERS
from artiq_link.units import write_quantity
from tests.dds.sources import SOURCES
from tests.programs import ROOT

HEAD = "| driver | channels |"


def rows_of(name: str, driver: Driver) -> Iterator[str]:
    """A row for each kind of channel."""
    kinds: list[tuple[Capabilities, list[int]]] = []
    for number, can in enumerate(driver.channels):
        for kind, numbers in kinds:
            if kind == can:
                numbers.append(number)
                break
        else:
            kinds.append((can, [number]))
    for can, numbers in kinds:
        first, last = numbers[0], numbers[-1]
        cells = [
            f"`{name}`",
            f"{first}" if first == last else f"{first} to {last}",
            *(span_text(can.parameters.get(each), UNITS[each]) for each in TONE_PARAMETERS),
            ", ".join(can.ramps) or "no",
            "no" if can.tables is None else tables_text(can.tables),
            "yes" if can.output else "no",
            "yes" if driver.simultaneous else "no",
            (", ".join(can.reads) or "nothing") + (", whole tones" if can.whole_tones else ""),
        ]
        yield f"| {' | '.join(cells)} |"


def is_of(source: str, driver: str) -> bool:
    """Whether a source is one of several makes of a driver."""
    return source.partition(",")[0] == driver


def span_text(span: Span | None, unit: str) -> str:
    if span is None:
        return "no"
    low, high = quantity(span.lowest, unit), quantity(span.highest, unit)
    return f"{low} to {high}" + ("" if span.step is None else f", by {quantity(span.step, unit)}")


def quantity(value: float, unit: str) -> str:
    text = write_quantity(float(f"{value:.6g}"), unit)
    return text.removesuffix(" of full scale").removesuffix(" turns")


def tables_text(tables: Tables) -> str:
    columns, dwell = ", ".join(tables.columns), write_quantity(tables.shortest, "s")
    return f"{tables.rows} of {columns}; {dwell}" + ("; triggers" if tables.triggers else "")


def test_the_table_is_that_of_the_drivers() -> None:
    rows = []
    for name in DRIVERS:
        makes = [name] if name in SOURCES else [each for each in SOURCES if is_of(each, name)]
        for make in makes:
            with SOURCES[make]() as source:
                rows += rows_of(make, source.driver)
    page = (ROOT / "docs" / "drivers.md").read_text("utf-8")
    head, line, *shown = page[page.index(HEAD) :].partition("\n\n")[0].splitlines()
    assert head.count("|") == line.count("|") == rows[0].count("|")
    assert shown == rows, "write the table anew:\n" + "\n".join(rows)
