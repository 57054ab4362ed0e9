"""States as ARTIQ's datasets."""

from __future__ import annotations

from typing import Any

import pytest

from artiq_link.wire.datasets import datasets_of

UNITS = {"frequency": "Hz", "power": "dBm"}

MEGAHERTZ = {"unit": "MHz", "scale": 1e6}

ARRAY = {"__jsonclass__": ["nparray", [[1], "<f8", "AAAAAAAAAAA="]]}


@pytest.mark.parametrize(
    ("state", "datasets"),
    [
        (
            {"ch0": {"frequency": 80e6, "name": "cooling"}},
            {
                "oven.ch0.frequency": [False, 80e6, MEGAHERTZ],
                "oven.ch0.name": [False, "cooling", {}],
            },
        ),
        ({"power": None}, {"oven.power": [False, None, {"unit": "dBm", "scale": 1.0}]}),
        ({"on": True, "doors": []}, {"oven.on": [False, True, {}], "oven.doors": [False, [], {}]}),
        ({"frequency": [1, 2]}, {"oven.frequency": [False, [1, 2], MEGAHERTZ]}),
        (
            [{"on": True}, {"on": False}],
            {"oven.0.on": [False, True, {}], "oven.1.on": [False, False, {}]},
        ),
        ({"curve": ARRAY}, {"oven.curve": [False, ARRAY, {}]}),
        (
            {"a.b": 1, "a": {"b": 2}, 'the "c"': 3, "1": 4},
            {
                'oven."a.b"': [False, 1, {}],
                "oven.a.b": [False, 2, {}],
                'oven."the \\"c\\""': [False, 3, {}],
                "oven.1": [False, 4, {}],
            },
        ),
        (21.5, {"oven": [False, 21.5, {}]}),
        ({}, {}),
        (None, {}),
    ],
)
def test_datasets(state: Any, datasets: Any) -> None:
    assert datasets_of("oven", state, UNITS) == datasets
