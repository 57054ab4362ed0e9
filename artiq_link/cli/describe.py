"""``artiq-link describe``: list a server's commands, or show one whole."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from ..instrument.schemas import alternatives, type_text, unit_in
from .completion import complete_command
from .connection import add_connection_options, ask_link, link_to, print_json
from .example import example_line
from .exit_codes import SUCCESS

HELP = "list the server's commands, or show one whole"

PIPE_WIDTH = 160
"""Columns where no terminal has a width, so that programs such as grep find more in a line."""

MIN_TEXT = 30
"""Columns that texts have beside the names, however narrow the terminal is."""

MAX_DEPTH = 4
"""Levels of members that are listed: a type may have itself as a member."""

Description = dict[str, Any]
"""What `link.describe` gives, or a part of it."""

Row = tuple[str, str]
"""A name, and what is said of it."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = "example: artiq-link describe set_frequency"
    command = parser.add_argument(
        "name",
        nargs="?",
        help="command, instrument.command, or an instrument (default: all of them in short)",
    )
    command.completer = complete_command  # type: ignore[attr-defined]
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print all commands in short, or what there is to say of one, or of an instrument."""
    link, name = link_to(options), options.name
    described = ask_link(link, "link.describe", "instruments", "link", "interact")
    owners = _owners(described)
    if name in owners:
        described = owners[name]
    elif name is not None:
        described = ask_link(link, "link.describe", "command_id", command=name)
    if options.json:
        print_json(described)
    elif name is None:
        _print_all(described)
    elif "commands" in described:
        _print_instrument(name, described)
    else:
        _print_command(name, described)
    return SUCCESS


def _owners(description: Description) -> dict[str, Description]:
    """The instruments, and the link itself as one more."""
    own = {"doc": "What the server answers itself.", "commands": description["link"]}
    return {**description["instruments"], "link": own}


def _print_all(description: Description) -> None:
    rows: list[Row] = []
    for name, instrument in _owners(description).items():
        rows += [("", f"{name}: {_first_line(instrument['doc'])}")]
        rows += _command_rows(instrument["commands"])
    _print_rows(rows)
    if description["interact"]:
        print("Other commands may be answered by interact(data):")
        print(description["interact"])


def _print_instrument(name: str, instrument: Description) -> None:
    print(f"{name}: {instrument['doc']}\n")
    _print_rows(_command_rows(instrument["commands"]))


def _print_command(name: str, command: Description) -> None:
    print(f"{command['command_id']}: {command['doc']}")
    if rows := [row for each in command["parameters"] for row in _parameter_rows(each, "  ")]:
        print("\nparameters:")
        _print_rows(rows)
    schema, unit = command["result"].get("schema", {}), command["result"].get("unit", "")
    if schema.get("type") != "null":
        print("\nreturns:")
        members = _rows("result", schema, unit, schema.get("$defs", {}))
        _print_rows((f"  {path}", text) for path, text in members)
    print(f"\nexample:\n  {example_line(name, command['parameters'])}")


# --- rows ---------------------------------------------------------------------------------------


def _command_rows(commands: dict[str, Description]) -> Iterator[Row]:
    for name, command in commands.items():
        yield f"  {name}", _first_line(command["doc"])
        for parameter in command["parameters"]:
            yield from _parameter_rows(parameter, "    ", with_notes=False)


def _parameter_rows(
    parameter: Description, margin: str, *, with_notes: bool = True
) -> Iterator[Row]:
    """A parameter, and its members where it has any; notes are what is said of it in words."""
    schema = parameter["schema"]
    (name, text), *members = _rows(
        parameter["name"], schema | parameter, parameter.get("unit", ""), schema.get("$defs", {})
    )
    if with_notes and "description" in schema:
        text += f": {schema['description']}"
    yield margin + name, text
    for path, member in members:
        yield margin + path, member


def _rows(
    path: str, schema: Description, unit: str, definitions: Description, depth: int = 0
) -> Iterator[Row]:
    """What there is to be said of a value, and of the members that it may have."""
    yield path, _type_and_default(schema, unit)
    for kind in alternatives(schema, definitions) if depth < MAX_DEPTH else ():
        inner, where = kind, path
        while isinstance(inner.get("items"), dict):
            inner, where = next(iter(alternatives(inner["items"], definitions)), {}), f"{where}[]"
        for name, member in inner.get("properties", {}).items():
            yield from _rows(f"{where}.{name}", member, unit_in(member), definitions, depth + 1)


def _type_and_default(schema: Description, unit: str) -> str:
    """``float, from 0 Hz, default 20``."""
    text = type_text(schema)
    if unit:
        text += f" {unit}" if text[-1:].isdigit() else f", {unit}"  # a bound stands at the end
    if "default" not in schema:
        return text
    default = schema["default"]
    return f"{text}, optional" if default is None else f"{text}, default {json.dumps(default)}"


def _first_line(doc: str) -> str:
    return doc.partition("\n")[0]


def _print_rows(rows: Iterable[Row]) -> None:
    """Print names in one column and texts, in lines as long as the terminal, in another one.

    No name is cut; where one leaves no room, lines are longer than the terminal. A row without a
    name goes over both columns.
    """
    rows = list(rows)
    width = PIPE_WIDTH
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
    column = max(len(name) for name, _ in rows) + 2 if rows else 0
    for name, text in rows:
        print(
            textwrap.fill(
                text,
                max(width, column + MIN_TEXT),
                initial_indent=name.ljust(column) if name else "",
                subsequent_indent=" " * column if name else "",
            )
            or name
        )
