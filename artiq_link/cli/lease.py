"""``artiq-link lease``: hold an instrument for a while, and see who does."""

from __future__ import annotations

import argparse

from .. import link_client
from ..owners import holder_text, this_person
from .connection import add_connection_options, ask_link, link_to, print_json
from .exit_codes import SUCCESS

HELP = "hold an instrument for a while; without one, show who holds what"

SECONDS = 60.0
"""For how long a person holds it by default: some commands, typed by hand."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = (
        "example: artiq-link lease dds --seconds 600 prints a number, and artiq-link send reset "
        "link='{\"lease\": NUMBER}' acts under it"
    )
    parser.add_argument("instrument", nargs="?", help="its name on the server")
    parser.add_argument("--owner", help="who holds it, for those who are refused (default: you)")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for how long (default: %(default)g)"
    )
    parser.add_argument(
        "--force", action="store_true", help="take it from whoever holds it, and say who did"
    )
    parser.add_argument(
        "--release", type=int, metavar="NUMBER", help="end the lease of this number instead"
    )
    add_connection_options(parser)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Print the lease's number, or who holds what; returns the exit code."""
    link = link_to(options)
    if options.release is not None:
        link.call("link.release", lease=options.release)
        return SUCCESS
    if options.instrument is None:
        if options.force:
            options.parser.error("--force: say which instrument")
        return _list(link, as_json=options.json)
    owner = options.owner or this_person()
    told = ask_link(
        link,
        "link.acquire",
        "lease",
        "until",
        "former",
        instrument=options.instrument,
        owner=owner,
        seconds=options.seconds,
        force=options.force,
    )
    if options.json:
        print_json(told)
        return SUCCESS
    if told["former"] is not None:
        print(f"taken from {holder_text(told['former'])}")
    print(f"{options.instrument}: held by {holder_text({'owner': owner, **told})}")
    print(told["lease"])
    return SUCCESS


def _list(link: link_client.Link, *, as_json: bool) -> int:
    instruments = ask_link(link, "link.status", "instruments")["instruments"]
    if as_json:
        print_json({name: instrument.get("lease") for name, instrument in instruments.items()})
        return SUCCESS
    for name, instrument in instruments.items():
        held = instrument.get("lease")
        print(f"{name}: held by " + ("nobody" if held is None else holder_text(held)))
    return SUCCESS
