"""The attacks that docs/security.md lists, each by the test that tries it."""

from __future__ import annotations

import re
import subprocess
import sys

from benchmarks.processes import ROOT
from benchmarks.torture.trial import Trial

PAGE = ROOT / "docs" / "security.md"
LISTED = re.compile(r"^\| (.+) \| .+ \| `(tests/\S+)` \|$", re.MULTILINE)
PATIENCE = 600.0
"""Seconds after which the attacks are called hung."""


def attacks(trial: Trial) -> None:
    """Try so many of the attacks, or all where there are no more."""
    listed = {test: attack for attack, test in LISTED.findall(PAGE.read_text("utf-8"))}
    chosen = trial.random.sample(sorted(listed), min(trial.times, len(listed)))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *chosen],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    got_in = [attack for test, attack in listed.items() if f"FAILED {test}" in done.stdout]
    trial.figures["attacks"] = len(chosen)
    trial.must_be_none(got_in, "got in")
    trial.must(done.returncode == 0, f"the tests: {done.stdout[-500:]}{done.stderr[-500:]}")
