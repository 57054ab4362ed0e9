"""Each row of `make torture` in short, and that a row sees what it looks for."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.torture.__main__ import PAGE, main
from benchmarks.torture.dialects import DIALECTS, answer
from benchmarks.torture.kills import judge
from benchmarks.torture.lab import Lab
from benchmarks.torture.mutations import kind_of, mutated
from benchmarks.torture.proxy import Faults, Proxy
from benchmarks.torture.report import as_object, as_text
from benchmarks.torture.rows import ROWS
from benchmarks.torture.suspended import judge_holder
from benchmarks.torture.trial import Found, Row, Trial, run
from tests.conftest import PATIENCE
from tests.programs import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals, /proc and resets")

SEED = 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_it_holds(row: Row) -> None:
    """What is too slow is none of the tests' business: the computer may be busy."""
    found = run(row, row.short, SEED)
    assert found.broken == []
    assert found.figures


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(1, SEED, tmp_path)


@pytest.mark.parametrize(
    ("counted", "told", "outcome", "broken"),
    [
        ({"a": 1}, "done", "done", ""),
        ({"a": 1}, "done", "unknown", "not known as done"),
        ({"a": 1}, "unknown", "unknown", ""),
        ({}, "unknown", "unknown", ""),
        ({"a": 2}, "done", "done", "executed twice"),
        ({}, "done", "done", "acknowledged and lost"),
        ({"a": 1}, "not done", "done", "denied and executed"),
        ({"a": 1}, "done", "never_arrived", "wrong outcomes"),
        ({}, "not done", "done", "wrong outcomes"),
        ({"a": 1, "b": 1}, "done", "done", "never told of"),
    ],
)
def test_what_was_done_is_compared_with_what_was_told(
    trial: Trial, counted: dict[str, int], told: str, outcome: str, broken: str
) -> None:
    """`z` was acknowledged and all is well with it."""
    judge(
        trial,
        Counter({"z": 1, **counted}),
        {"z": "done", "a": told},
        {"z": "done", "a": outcome},
    )
    assert (broken in " ".join(trial.broken)) if broken else trial.broken == []


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_count_is_acknowledged_and_a_cut_one_is_not(tmp_path: Path, dialect: object) -> None:
    """The reply passes whole, or but for its last three quarters."""
    (speaks,) = [each for each in DIALECTS if each is dialect]
    with Lab(tmp_path) as lab:
        whole = speaks.exchange(lab.port, "w", PATIENCE)
        assert speaks.acknowledges(whole, "w")
        with Proxy(lab.port, lambda _: Faults(replies=len(whole) // 4)) as proxy:
            cut = speaks.exchange(proxy.port, "c", PATIENCE)
        assert len(cut) <= len(whole) // 4
        assert not speaks.acknowledges(cut, "c")
        lab.settle()
        assert lab.counted() == {"w": 1, "c": 1}


@pytest.mark.parametrize(
    ("order", "broken"),
    [
        ("h1 begin-0 other-0 end-0 h2", []),
        ("h1 begin-0 h2 other-0 end-0", ["1 executed under an old lease, such as h2"]),
        ("h1 begin-0 other-0", ["the other has not come to its end"]),
    ],
)
def test_what_an_old_leases_holder_does_is_seen(
    trial: Trial, order: str, broken: list[str]
) -> None:
    judge_holder(trial, order.split())
    assert trial.broken == broken


def test_who_has_the_key_fires(tmp_path: Path) -> None:
    """Otherwise it would mean nothing that no damaged request does."""
    with Lab(tmp_path) as lab:
        for dialect in DIALECTS:
            data = dialect.ask("fire", {"key": "7f3a90c2d1e84b56"})
            answer(lab.port, data, PATIENCE, half_close=dialect.half_closes, is_whole=bool)
        lab.settle()
        assert lab.counted() == {"fire-7f3a90c2d1e84b56": len(DIALECTS)}


def test_what_an_answer_is() -> None:
    assert kind_of(b"") == "closed without a word"
    assert kind_of(b'{"status": "fail", "code": "internal_error"}') == "a bug"
    assert kind_of(b'{"status": "success", "result": "counted fire"}') == "success"
    assert kind_of(b'{"status": "fail", "code": "malformed"}') == "answered"


def test_damage_is_repeatable() -> None:
    def some(seed: int) -> list[bytes]:
        chance = random.Random(seed)
        return [mutated([b'{"command_id": "fire"}'], chance) for _ in range(20)]

    assert some(1) == some(1) != some(2)


def break_all(trial: Trial) -> None:
    trial.figures |= {"things": 1234, "longest": "0.3 s"}
    trial.must(False, "it broke\nin two lines")
    trial.must_be_none(["b", "a"], "are there")
    trial.must_take(0.5, 0.1, "a call")


def fail(trial: Trial) -> None:
    raise OSError("the server did not start")


def row_of(function: object) -> Row:
    return Row("bad", "faults", "all is well", function, "tries", 9, 1)  # type: ignore[arg-type]


def test_what_did_not_hold_is_shown() -> None:
    found = run(row_of(break_all), 3, SEED)
    assert found.verdict == "broken"
    text = as_text([found])
    assert "| `bad`: faults | all is well | 3 tries | **broken** |" in text
    assert "things: 1,234; longest: 0.3 s" in text
    assert "**bad**: it broke in two lines" in text
    assert "**bad**: 2 are there, such as a, b" in text
    assert "**bad**: a call: 500.0 ms, at most 100.0 ms" in text
    (shown,) = json.loads(json.dumps(as_object([found])))["rows"]
    assert (shown["verdict"], shown["seed"], shown["times"]) == ("broken", SEED, 3)


def test_a_row_that_fails_is_broken() -> None:
    assert "the server did not start" in run(row_of(fail), 1, SEED).broken[0]


def test_what_was_only_slow_is_not_broken() -> None:
    found = Found(row_of(fail), 1, SEED, 0.1, {}, [], ["late"])
    assert found.verdict == "too slow"
    assert found._replace(slow=[]).verdict == "held"


def test_the_program_runs_one_row(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    assert main(["--only", "clock", "--times", "2", "--seed", "5", "--json", str(file)]) == 0
    assert "| 2 exchanges | held |" in capsys.readouterr().out
    (row,) = json.loads(file.read_text())["rows"]
    assert (row["name"], row["seed"]) == ("clock", 5)
    written = file.read_text()
    arguments = ["--earlier", str(file), "--only", "clock", "--json", str(file), "--times", "9"]
    assert main(arguments) == 0
    assert "| 2 exchanges | held |" in capsys.readouterr().out
    assert file.read_text() == written


def test_the_page_shows_every_row() -> None:
    """As the last run wrote it."""
    shown = re.findall(r"^\| `([a-z0-9-]+)`: ", PAGE.read_text("utf-8"), re.MULTILINE)
    assert shown == [row.name for row in ROWS]


def test_a_row_that_is_not_there_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.torture", "--only", "nothing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "invalid choice: 'nothing'" in done.stderr
