"""Tables, as the actions of ``artiq-link`` print them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, of_numbers: bool = False
) -> None:
    """Print a table wide enough for its longest line; `of_numbers`, but for the first column.

    A terminal that is narrower breaks lines and cuts nothing.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(headings[0], box=None, padding=(0, 3, 0, 0))
    for heading in headings[1:]:
        table.add_column(heading, justify="right" if of_numbers else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(width=10_000, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
