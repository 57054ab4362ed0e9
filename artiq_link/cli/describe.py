"""``artiq-link describe``: list a server's commands, in tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..instrument.schemas import type_text
from .connection import add_connection_options, link_to, print_json
from .exit_codes import SUCCESS

if TYPE_CHECKING:
    from rich.table import Table


HELP = "list the server's commands"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print a table of commands for each instrument, and one for the server's own."""
    description = link_to(options).call("link.describe")
    if options.json:
        print_json(description)
        return SUCCESS
    from rich.console import Console

    # A pipe has no width: nothing is to be cut there. Docstrings are text: "[mm]" is no markup.
    width = None if sys.stdout.isatty() else 160
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    for name, instrument in description["instruments"].items():
        console.print(_command_table(name, instrument["doc"], instrument["commands"]))
    console.print(_command_table("link", "What the server answers itself.", description["link"]))
    if description["interact"]:
        console.print("Other commands may be answered by interact(data):")
        console.print(description["interact"])
    return SUCCESS


def _command_table(name: str, doc: str, commands: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"{name}: {doc.partition(chr(10))[0]}", title_justify="left")
    for column in ("command", "parameter", "type", "unit", "default", "what it does"):
        table.add_column(column)
    for command, details in commands.items():
        summary = details["doc"].partition("\n")[0]
        rows = [row for parameter in details["parameters"] for row in _rows(parameter)]
        for index, row in enumerate(rows or [("", "", "", "")]):
            table.add_row(*((command, *row, summary) if index == 0 else ("", *row, "")))
    return table


def _rows(parameter: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, unit and default of a parameter, and of the members where it has any."""
    name, schema = parameter["name"], parameter["schema"]
    yield _row(name, parameter | schema, parameter.get("unit"))
    path, inner = (f"{name}[]", schema["items"]) if "items" in schema else (name, schema)
    kind = schema.get("$defs", {}).get(type_text(inner), {})
    for member, its_schema in kind.get("properties", {}).items():
        yield _row(f"{path}.{member}", its_schema)


def _row(name: str, schema: dict[str, Any], unit: str | None = None) -> tuple[str, str, str, str]:
    default = json.dumps(schema["default"]) if "default" in schema else ""
    units = [kind["unit"] for kind in (schema, *schema.get("anyOf", ())) if "unit" in kind]
    return name, type_text(schema), unit or next(iter(units), ""), default
