"""Tab completion by argcomplete: what the server that is named has to offer.

A shell asks the program itself for the words that may stand where the cursor is. Without a server,
or where it does not answer at once, there are only actions and options.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator
from typing import Any

from ..instrument.schemas import alternatives
from ..link_client import Link, LinkError
from .connection import ask_link, link_to
from .declared import declared_by

TIMEOUT = 0.5
"""Seconds that a person who has pressed Tab waits."""


def is_completing() -> bool:
    """Whether a shell asks for completions, and not for the program."""
    return "_ARGCOMPLETE" in os.environ


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and end the program."""
    import argcomplete

    # Options only behind a hyphen: otherwise the one parameter that is left is one of many words.
    argcomplete.autocomplete(parser, always_complete_options=False)


def complete_command(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """The names of commands, with their instruments' where several have them or one is typed."""
    with contextlib.suppress(LinkError, ValueError):
        description = ask_link(_link_to(parsed_args), "link.describe", "instruments", "link")
        served = {name: each["commands"] for name, each in description["instruments"].items()}
        bare = [name for commands in served.values() for name in commands]
        names = [name for name in bare if bare.count(name) == 1]
        for owner, commands in served.items():
            names += [f"{owner}.{name}" for name in commands if "." in prefix or name not in names]
        return names + [f"link.{name}" for name in description["link"]]
    return []


def complete_parameter(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """``NAME=`` of the command's parameters that have none yet; behind it the values to choose."""
    with contextlib.suppress(LinkError, ValueError):
        declared = declared_by(_link_to(parsed_args), parsed_args.command_id)
        left = declared.parameters.keys() - {name for name, _ in parsed_args.parameters or ()}
        return [word for name in left for word in _words(declared.parameters[name], prefix)]
    return []


def _words(parameter: dict[str, Any], prefix: str) -> Iterator[str]:
    name, schema = parameter["name"], parameter["schema"]
    if not prefix.startswith(f"{name}="):
        yield f"{name}="
        return
    for kind in alternatives(schema, schema.get("$defs", {})):
        choices = ("on", "off") if kind.get("type") == "boolean" else kind.get("enum", ())
        yield from (f"{name}={choice}" for choice in choices)


def _link_to(options: argparse.Namespace) -> Link:
    options.timeout = TIMEOUT
    return link_to(options)
