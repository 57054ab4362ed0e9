"""The program: ``python -m benchmarks.torture [--only ROW] [--times N] [--seed N] [--page]``.

Its exit code is 1 where something did not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from pathlib import Path

from benchmarks.processes import ROOT
from benchmarks.torture.report import as_object, as_text, found_in
from benchmarks.torture.rows import ROWS
from benchmarks.torture.trial import run

PAGE = ROOT / "docs" / "reliability.md"
FIGURES = re.compile(r"(?<=<!-- torture -->\n).*(?=<!-- end of torture -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torture", description="Run faults against a real server."
    )
    names = [row.name for row in ROWS]
    parser.add_argument(
        "--only",
        choices=names,
        action="append",
        metavar="ROW",
        help=f"run this row alone, of {', '.join(names)}; repeatable",
    )
    parser.add_argument("--times", type=_at_least_one, help="how much of each row there is")
    parser.add_argument("--short", action="store_true", help="in a minute, as the tests do")
    parser.add_argument("--seed", type=int, help="repeat the choices of a run (default: any)")
    parser.add_argument("--json", type=Path, help="write all that was found to this file")
    parser.add_argument(
        "--earlier",
        type=Path,
        action="append",
        default=[],
        metavar="JSON",
        help="take the rows of this file of a run, and run none of these; repeatable",
    )
    parser.add_argument(
        "--page", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}"
    )
    options = parser.parse_args(arguments)
    seed = random.SystemRandom().randrange(10_000) if options.seed is None else options.seed
    earlier = {
        each.row.name: each
        for path in options.earlier
        for each in found_in(json.loads(path.read_text("utf-8")))
    }
    found = []
    for row in ROWS:
        if row.name in earlier:
            found.append(earlier[row.name])
        elif options.only is None or row.name in options.only:
            times = options.times or (row.short if options.short else row.whole)
            print(f"{row.name}: {times:,} {row.unit} ...", file=sys.stderr, flush=True)
            found.append(run(row, times, seed))
            print(f"  {found[-1].verdict}, {found[-1].seconds:.0f} s", file=sys.stderr, flush=True)
    text = as_text(found)
    print(text)
    if options.json is not None:
        options.json.write_text(json.dumps(as_object(found), indent=1) + "\n", "utf-8")
    if options.page:
        PAGE.write_text(FIGURES.sub(lambda _: f"\n{text}\n\n", PAGE.read_text("utf-8")), "utf-8")
    return int(any(each.verdict != "held" for each in found))


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
