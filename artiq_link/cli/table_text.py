"""Tables, as the actions of ``artiq-link`` print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_table(table: Table) -> None:
    """Print a table wide enough for its longest line.

    A terminal that is narrower breaks lines and cuts nothing.
    """
    from rich.console import Console

    console = Console(width=10_000, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
