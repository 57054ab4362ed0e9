"""``artiq-link history``: list what became of a server's exchanges."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..exchanges.history_table import COLUMNS, as_text, row_of
from ..link_client import Link
from ..server.options import at_least_one
from ..text import escaped
from ..units import write_rounded
from .connection import add_connection_options, link_to, print_json
from .exit_codes import SUCCESS
from .times import age, duration

HELP = "list what became of the server's exchanges"

LOOK_TIME = 0.5
"""Seconds between two looks at what is new."""

PAGE = 1000
"""Exchanges that are asked for at once."""

LISTED = 100
"""Exchanges that are listed where nobody says how many, nor since when, nor wants a table."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.epilog = "example: artiq-link history --since 1h --failed"
    which = parser.add_argument_group("which exchanges")
    which.add_argument(
        "--since",
        type=age,
        metavar="TIME",
        help="not older than this: 90s, 15min, 1h, 2d, or 21:00, 2026-03-01T21:00",
    )
    which.add_argument("--command", metavar="NAME", help="of this command alone")
    which.add_argument("--rid", type=int, metavar="N", help="of this run of ARTIQ alone")
    which.add_argument("--failed", action="store_true", help="those alone that did not succeed")
    which.add_argument(
        "--slow", type=duration, metavar="TIME", help="those alone that took as long: 100ms, 2s"
    )
    which.add_argument(
        "--limit",
        type=at_least_one,
        metavar="N",
        help=f"the newest N (default: {LISTED}; all with --since or --csv)",
    )
    parser.add_argument("--follow", action="store_true", help="go on with those that come")
    parser.add_argument("--csv", action="store_true", help="print a table for other programs")
    add_connection_options(parser)
    parser.set_defaults(parser=parser)


def run(options: argparse.Namespace) -> int:
    """Print the exchanges in their order, each on a line."""
    if options.csv and options.json:
        options.parser.error("--csv and --json exclude each other")
    if options.limit is None:
        options.limit = None if options.csv or options.since is not None else LISTED
    table = csv.writer(sys.stdout)
    if options.csv:
        table.writerow(COLUMNS)
    link, is_empty = link_to(options), True
    for entry in _entries(link, options):
        is_empty = False
        if options.json:
            print_json(entry)
        elif options.csv:
            table.writerow(row_of(entry))
        else:
            print(line_of(entry))
        sys.stdout.flush()
    if is_empty and link.call("link.status")["journal"]["kept"] != "in a file":
        print("the server keeps no journal in a file", file=sys.stderr)
    return SUCCESS


def line_of(entry: dict[str, Any]) -> str:
    """An exchange on one line, for people."""
    at = datetime.fromtimestamp(entry["received"]).isoformat(" ", "milliseconds")
    given = "".join(f" {name}={as_text(each)}" for name, each in entry["parameters"].items())
    who = "".join(f" {name} {entry[name]}" for name in ("rid", "owner") if name in entry)
    outcome = entry["outcome"]
    if outcome == "done":
        outcome = "done" if entry.get("result") is None else f"done: {as_text(entry['result'])}"
    elif "code" in entry:
        outcome += f": {entry['code']}: {entry['error']}"
    elif outcome == "unknown":
        outcome += ", the server was killed while it ran"
    took = " ".join(
        f"{what} {write_rounded(entry[name], 's')}"
        for name, what in (("queue", "waited"), ("duration", "took"))
        if name in entry
    )
    took = took and f"; {took}"
    told = f", the client was told {entry['told']}" if "told" in entry else ""
    line = f"{at} {entry['peer']}{who}: {entry['command']}{given} -> {outcome}{told}{took}"
    return escaped(line)


def _entries(link: Link, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The exchanges that are asked for, and with ``--follow`` those that end afterwards."""
    which = {
        name: value
        for name in ("command", "rid", "failed", "slow")
        if (value := getattr(options, name))
    }
    newest = which if options.since is None else {**which, "since": options.since}
    last = 0
    found = _newest(link, newest, options.limit) if options.limit else _all(link, newest)
    for entry in found:
        last = entry["n"]
        yield entry
    while options.follow:
        new = link.call("link.history", after=last, limit=PAGE, **which)
        for entry in new:
            last = entry["n"]
            yield entry
        if len(new) < PAGE:
            time.sleep(LOOK_TIME)


def _all(link: Link, which: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All exchanges up to now, asked for page by page from the first one on."""
    end, last = link.call("link.history", limit=1), 0
    while end and last < end[0]["n"]:
        page = link.call("link.history", after=last, before=end[0]["n"] + 1, limit=PAGE, **which)
        if not page:
            break
        yield from page
        last = page[-1]["n"]


def _newest(link: Link, which: dict[str, Any], limit: int) -> list[dict[str, Any]]:
    """The newest exchanges, asked for page by page from the last one on."""
    found: list[dict[str, Any]] = []
    while len(found) < limit:
        before = {"before": found[0]["n"]} if found else {}
        page = link.call("link.history", limit=min(PAGE, limit - len(found)), **which, **before)
        if not page:
            break
        found = page + found
    return found
