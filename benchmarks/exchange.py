"""What an exchange costs: the whole table in one run, beside TCP itself and beside others.

    python -m benchmarks.exchange [--quick] [--bunch N] [--before TREE] [--json FILE] [--page]

In each row the two things are measured turn by turn, with clients and servers in processes of
their own, so that the ratio holds whatever else the computer does. What is not installed, or not
there yet, is said and left out. Times are for this computer alone.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks import work
from benchmarks.link import NotThereError, Tree, bare
from benchmarks.measures import QUICK, WHOLE, Call, medians
from benchmarks.peers import PEERS
from benchmarks.processes import ROOT
from benchmarks.report import Line, Report, Way, as_chart, as_object, as_text
from benchmarks.rows import NOW, ROWS, Bench, Row

PAGE = ROOT / "docs" / "performance.md"
CHART = PAGE.with_suffix(".svg")
FIGURES = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)", re.DOTALL)


def measure(bench: Bench) -> Report:
    """Measure all there is, and tell on stderr how far it is."""
    lines = []
    for row in ROWS:
        print(f"{row.what} ...", file=sys.stderr, flush=True)
        lines.append(line_of(row, bench))
    print("other ways, and cost against work ...", file=sys.stderr, flush=True)
    return Report(lines, ways(bench), work.measure(bench), bench.effort.rounds)


def line_of(row: Row, bench: Bench) -> Line:
    """Measure one row, or tell what is not there for it."""
    try:
        return Line(row, row.measure(bench))
    except NotThereError as error:
        return Line(row, None, str(error))


def ways(bench: Bench) -> list[Way]:
    """One call of each way there is, each turn by turn with bare TCP."""
    link, tree = bench.link(NOW).port, bench.trees[NOW]
    floor = bare(bench.bare("echo").port)
    connects: dict[str, tuple[str, Callable[[], AbstractContextManager[Call]]]] = {
        "bare TCP": ("for each call", lambda: contextlib.nullcontext(floor)),
        "artiq_link, send_data": (
            "for each call", lambda: contextlib.nullcontext(tree.send_data(link))
        ),
        "artiq_link, kept": ("an open connection", lambda: tree.kept(link)),
    }  # fmt: skip
    for name, peer in PEERS.items():
        connects[name] = (peer.how, functools.partial(_connect_peer, bench, name))
    found = []
    for name, (how, connect) in connects.items():
        try:
            with connect() as call:
                figures = medians({"bare": floor, "": call}, bench.effort.fewer(3))
        except NotThereError as error:
            found.append(Way(name, how, None, None, str(error)))
        else:
            found.append(Way(name, how, figures[""], figures[""].over(figures["bare"])))
    return found


def _connect_peer(bench: Bench, name: str) -> AbstractContextManager[Call]:
    return PEERS[name].connect(bench.peer(name).port)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure what an exchange costs.")
    parser.add_argument("--quick", action="store_true", help="in a minute, and less exactly")
    parser.add_argument(
        "--bunch", type=int, default=1, help="call each thing so often before the next (default 1)"
    )
    parser.add_argument("--before", type=Path, help="another tree of the code, to compare with")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--page", action="store_true", help=f"put tables and chart into {PAGE.relative_to(ROOT)}"
    )
    options = parser.parse_args(arguments)
    before = None if options.before is None else Tree(options.before.resolve())
    effort = (QUICK if options.quick else WHOLE)._replace(bunch=options.bunch)
    with Bench(Tree(ROOT), before, effort) as bench:
        report = measure(bench)
    text = as_text(report)
    print(text)
    if options.json is not None:
        options.json.write_text(json.dumps(as_object(report), indent=1) + "\n", "utf-8")
    if options.page:
        page = FIGURES.sub(lambda _: f"\n{text}\n\n", PAGE.read_text("utf-8"))
        PAGE.write_text(page, "utf-8")
        CHART.write_text(as_chart(report.ways), "utf-8")


if __name__ == "__main__":
    main()
