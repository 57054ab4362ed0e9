"""``artiq-link status``: what the instruments do now, and what exchanges cost."""

from __future__ import annotations

import argparse
import datetime
import shlex
from typing import Any

from .. import link_client
from ..owners import holder_text
from ..units import write_rounded
from .connection import add_connection_options, ask_link, link_to, print_json
from .exit_codes import SUCCESS
from .table_text import print_table

HELP = "show what the instruments do now, and what exchanges cost"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print a line for the server, one for each instrument, and a table of the last minute."""
    link = link_to(options)
    status = ask_link(link, "link.status", "version", "uptime", "instruments", "costs")
    if options.json:
        print_json(status)
        return SUCCESS
    uptime = datetime.timedelta(seconds=int(status["uptime"]))
    server = link_client.Peer(link.host, link.port)
    print(f"{server}: artiq_link {status['version']}, up for {uptime}")
    if problem := status.get("journal", {}).get("problem"):
        print(problem)
    for instrument in status["instruments"].values():
        waiting = f"; {instrument['waiting']} more in the queue" if instrument["waiting"] else ""
        held = instrument.get("lease")
        holder = "" if held is None else f"; held by {holder_text(held)}"
        print(f"{instrument['summary']}{waiting}{holder}")
        request_id = instrument.get("id", "")
        if request_id and request_id.isprintable() and held is None:
            print(f"  to end it: artiq-link send link.abort id={shlex.quote(request_id)}")
        if problem := instrument.get("restored", {}).get("problem"):
            print(f"  --restore: {problem}")
    if status["costs"]:
        print("\nThe last minute's exchanges (times: median, 99th percentile):\n")
        _print_costs(status["costs"])
    return SUCCESS


def _print_costs(costs: dict[str, Any]) -> None:
    headings = ("command", "exchanges", "failed", "in the queue", "in the command", "together")
    rows = []
    for name, cost in costs.items():
        counts = (str(cost["exchanges"]), str(cost["failed"]))
        rows.append((name, *counts, *(_times(cost[part]) for part in ("queue", "command", "all"))))
    print_table(headings, rows, of_numbers=True)


def _times(percentiles: dict[str, float] | None) -> str:
    if percentiles is None:  # none of them was started
        return "-"
    return ", ".join(write_rounded(percentiles[name], "s") for name in ("p50", "p99"))
