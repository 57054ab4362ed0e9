"""The text of OpenMetrics, which Prometheus and its like read: metrics, samples, labels.

https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from ..text import escaped

CONTENT_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
"""Of the text, where it goes over HTTP."""

Labels = Mapping[str, str]

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Family:
    """One metric with its samples: a gauge, a counter, a histogram or an info.

    `about` is a sentence for people. The name of a metric that has a unit ends with it.
    """

    def __init__(self, name: str, kind: str, about: str, unit: str = "") -> None:
        if unit and not name.endswith(f"_{unit}"):
            raise ValueError(f"{name!r} does not end with its unit {unit!r}")
        self._name = name
        self.lines = [f"# TYPE {name} {kind}"]
        if unit:
            self.lines.append(f"# UNIT {name} {unit}")
        self.lines.append(f"# HELP {name} {about.translate(_ESCAPES)}")
        self._suffix = {"counter": "_total", "info": "_info"}.get(kind, "")

    def add(self, value: float, **labels: str) -> None:
        """Add a sample; no other one of this metric may have the same labels."""
        self._add(self._suffix, value, labels)

    def add_times(
        self, bounds: Sequence[float], counts: Sequence[int], total: float, **labels: str
    ) -> None:
        """Add a histogram: how many lay below each bound and not below the one before, in the
        last place how many above all, and the sum of all."""
        for bound, count in zip((*bounds, math.inf), accumulate(counts), strict=True):
            self._add("_bucket", count, {**labels, "le": number_text(float(bound))})
        self._add("_count", sum(counts), labels)
        self._add("_sum", total, labels)

    def _add(self, suffix: str, value: float, labels: Labels) -> None:
        given = ",".join(f'{name}="{_label_text(text)}"' for name, text in labels.items())
        braces = f"{{{given}}}" if given else ""
        self.lines.append(f"{self._name}{suffix}{braces} {number_text(value)}")


def exposition(families: Iterable[Family]) -> str:
    """All of it, as it is sent."""
    return "\n".join([*(line for family in families for line in family.lines), "# EOF\n"])


def number_text(value: float) -> str:
    """A number as the format writes it."""
    if math.isfinite(value):
        return repr(value + 0)  # True is 1
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _label_text(text: str) -> str:
    """A label's value on one line, whatever a name holds."""
    return escaped(text).translate(_ESCAPES)
