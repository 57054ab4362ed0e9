"""What operation.md and Grafana's dashboard say of the metrics is what a server gives."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from artiq_link import Instrument, Link, serve_in_background
from tests.programs import ROOT
from tests.test_docs import rows_of

DASHBOARD = ROOT / "docs" / "grafana_dashboard.json"
OF_PROMETHEUS = {"instance"}
"""The label that it puts to everything: where it has read it."""


class Oven(Instrument):
    """An instrument with a number."""

    def state(self) -> dict[str, float]:
        return {"power": 1.5}


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> list[Metric]:
    """All that there is: of a server with a journal, and an instrument that somebody holds."""
    journal = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    with serve_in_background({"oven": Oven()}, journal=journal) as server:
        link = Link(port=server.port)
        with link.lease("oven", "test"):
            return list(text_string_to_metric_families(link.call("link.metrics")))


def test_the_table_has_every_metric(families: list[Metric]) -> None:
    """With its kind and its labels."""
    rows = rows_of(ROOT / "docs" / "operation.md", "## Metrics")
    shown = {
        name.strip("`"): (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _ in rows
    }
    assert shown == {
        family.name: (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in families
    }


def expressions(value: Any) -> Iterator[str]:
    """All of the dashboard, those of its variables included."""
    if isinstance(value, dict):
        for name, member in value.items():
            if name in {"expr", "query"} and isinstance(member, str):
                yield member
            else:
                yield from expressions(member)
    elif isinstance(value, list):
        for member in value:
            yield from expressions(member)


def test_the_dashboard_asks_for_what_there_is(families: list[Metric]) -> None:
    samples = {s.name: set(s.labels) for family in families for s in family.samples}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [each for each in expressions(dashboard) if each != "prometheus"]
    assert len(asked) >= len(dashboard["panels"])
    for expression in asked:
        names = re.findall(r"\bartiq_link\w*", expression)
        assert names, expression
        for name in names:
            assert name in samples, expression
        known = set().union(*(samples[name] for name in names)) | OF_PROMETHEUS
        labels = re.findall(r"(\w+)\s*(?:=~|!=|=)\s*\"", expression)
        labels += re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", expression)))
        labels += re.findall(r", (\w+)\)$", expression if "label_values" in expression else "")
        assert known.issuperset(labels), expression


def test_the_dashboard_is_one() -> None:
    """As Grafana's schema of a dashboard asks: places within 24 columns, numbers of their own."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    covered: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not covered & cells, panel["title"]
        covered |= cells
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", " ".join([*expressions(dashboard), "${datasource}"])))
    assert used - {"__rate_interval", "__interval"} == variables
