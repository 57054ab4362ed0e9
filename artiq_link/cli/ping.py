"""``artiq-link ping``: measure exchanges with a server."""

from __future__ import annotations

import argparse
import statistics
import time

from ..server.options import at_least_one
from .connection import add_connection_options, link_to, print_json
from .exit_codes import SUCCESS

HELP = "measure exchanges with the server"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.add_argument("--count", type=at_least_one, default=10, metavar="N", help="default: 10")
    add_connection_options(parser)


def run(options: argparse.Namespace) -> int:
    """Print the least, the median and the longest time of ``--count`` exchanges."""
    link = link_to(options)
    times = []
    for _ in range(options.count):
        start = time.perf_counter()
        link.call("link.ping")
        times.append(time.perf_counter() - start)
    figures = {"minimum": min(times), "median": statistics.median(times), "maximum": max(times)}
    if options.json:
        print_json(figures)
    else:
        print(", ".join(f"{name} {value * 1e3:.3f} ms" for name, value in figures.items()))
    return SUCCESS
