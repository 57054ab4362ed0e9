"""What a run has found, as a table for people and as JSON."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import Any

from benchmarks.torture.rows import ROWS
from benchmarks.torture.trial import Figure, Found


def as_text(found: Sequence[Found]) -> str:
    """A table in Markdown, and below it what did not hold."""
    seeds = ", ".join(str(seed) for seed in sorted({each.seed for each in found}))
    head = [("", "what must hold", "how much", "", "figures"), ("---",) * 5]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in (*head, *map(_cells, found)))
    parts = [
        f"Python {platform.python_version()} on {platform.system()}, seed {seeds}.",
        table,
        *(f"**{each.row.name}**: {told}" for each in found for told in _told(each)),
    ]
    return "\n\n".join(parts)


def _cells(found: Found) -> tuple[str, ...]:
    figures = "; ".join(f"{name}: {_number(figure)}" for name, figure in found.figures.items())
    verdict = found.verdict if found.verdict == "held" else f"**{found.verdict}**"
    return (
        f"`{found.row.name}`: {found.row.what}",
        found.row.holds,
        f"{found.times:,} {found.row.unit}",
        verdict,
        figures,
    )


def _told(found: Found) -> list[str]:
    return [" ".join(told.split()) for told in (*found.broken, *found.slow)]


def _number(figure: Figure) -> str:
    return f"{figure:,}" if isinstance(figure, int) else str(figure)


def as_object(found: Sequence[Found]) -> dict[str, Any]:
    """The same for JSON; times in s."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "rows": [
            {
                "name": each.row.name,
                "what": each.row.what,
                "must_hold": each.row.holds,
                "times": each.times,
                "unit": each.row.unit,
                "seed": each.seed,
                "seconds": round(each.seconds, 1),
                "verdict": each.verdict,
                "figures": each.figures,
                "broken": each.broken,
                "too_slow": each.slow,
            }
            for each in found
        ],
    }


def found_in(written: dict[str, Any]) -> list[Found]:
    """What `as_object` was made of."""
    rows = {row.name: row for row in ROWS}
    return [
        Found(
            rows[each["name"]],
            each["times"],
            each["seed"],
            each["seconds"],
            each["figures"],
            each["broken"],
            each["too_slow"],
        )
        for each in written["rows"]
    ]
