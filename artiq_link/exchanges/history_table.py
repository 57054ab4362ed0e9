"""The journal as a table, for spreadsheets and other programs: a row of text for each exchange."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

COLUMNS = (
    "n", "id", "boot", "received", "peer", "dialect", "instrument", "command", "parameters",
    "owner", "rid", "outcome", "code", "error", "where", "result", "told", "queue", "duration",
)  # fmt: skip
"""Of the members that `link.history` lists."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def row_of(entry: Mapping[str, Any]) -> list[str | int | float]:
    """The cells of an exchange that `link.history` has listed, in the order of `COLUMNS`."""
    return [_cell(entry[name]) if name in entry else "" for name in COLUMNS]


def as_text(value: Any) -> Any:
    """A value as it stands in a line or a cell: numbers and text as they are, others as JSON."""
    return value if isinstance(value, (str, int, float)) else json.dumps(value, default=str)


def _cell(value: Any) -> str | int | float:
    """A value as a spreadsheet may open it, which would take a client's text for a formula."""
    cell: str | int | float = as_text(value)
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell
