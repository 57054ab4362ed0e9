"""The journal's file fails: exchanges go on, and what is lost is said."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from benchmarks.torture.lab import Lab, until
from benchmarks.torture.trial import Trial

FULL = 200_000
"""Bytes that a file may have on a "full" disk: a start, and some hundred exchanges."""


def _send(lab: Lab, number: int) -> dict[str, Any]:
    """Count a name under an id of its own."""
    request = {"command_id": "count", "who": f"f{number}", "link": {"id": f"id-{number}"}}
    return lab.link().send(request)


def _exchange(trial: Trial, lab: Lab, numbers: range, while_what: str) -> None:
    """Count, and repeat each: everything is executed once."""
    for number in numbers:
        reply = _send(lab, number)
        trial.must(reply["status"] == "success", f"{while_what}: {reply}")
        again = _send(lab, number)
        trial.must(reply == again, f"{while_what}, repeated: {again}")
    counted = lab.counted()
    wrong = [f"f{number}" for number in numbers if counted[f"f{number}"] != 1]
    trial.must_be_none(wrong, f"not executed once while {while_what}")


def _told(lab: Lab) -> dict[str, Any]:
    return dict(lab.link().call("link.status")["journal"])


def _must_tell(trial: Trial, lab: Lab, what: str) -> None:
    """The status names the problem, and the log does so once."""
    until(lambda: _told(lab)["problem"] is not None)
    lines = [line for line in lab.text("log").splitlines() if "journal" in line]
    trial.must(len(lines) >= 1, f"{what}: the log says nothing")
    trial.must(len(lines) <= 3, f"{what}: the log says it {len(lines)} times")


def full(trial: Trial) -> None:
    """No file may grow any more."""
    with trial.lab(file_size=FULL) as lab:
        _exchange(trial, lab, range(trial.times), "the disk fills")
        number = trial.times
        while _told(lab)["problem"] is None and number < 100 * trial.times:
            _exchange(trial, lab, range(number, number + 1), "the disk fills")
            number += 1
        _must_tell(trial, lab, "a full disk")
        _exchange(trial, lab, range(number, number + trial.times), "the disk is full")
        trial.figures |= {"exchanges": number + trial.times, "lost, as told": _told(lab)["lost"]}


def damaged(trial: Trial) -> None:
    """The journal's file is overwritten at random places while the server is down."""
    told = 0
    with trial.lab() as lab:
        _exchange(trial, lab, range(20), "all is well")
        lab.stop()
        whole = lab.journal.read_bytes()
        for turn in range(trial.times):
            data = bytearray(whole)
            for _ in range(trial.random.choice([1, 10, 1000])):
                data[trial.random.randrange(len(data))] = trial.random.randrange(256)
            data = data[: trial.random.choice([len(data), trial.random.randrange(len(data))])]
            if trial.random.random() < 0.2:
                data[:100] = os.urandom(100)
            lab.journal.write_bytes(data)
            starts = lab.journal.with_name(lab.journal.name + "-starts")
            if starts.exists():
                starts.write_bytes(trial.random.randbytes(trial.random.randrange(200)))
            lab.start()
            _exchange(trial, lab, range(100 + 3 * turn, 103 + 3 * turn), "the journal is damaged")
            told += _told(lab)["problem"] is not None
            trial.must(lab.stop() == 0, "Ctrl-C does not end the server with exit code 0")
    trial.figures |= {"damages": trial.times, "told": told}


@contextlib.contextmanager
def _held(lab: Lab) -> Iterator[None]:
    """Another program writes in the journal's file, and does not end."""
    other = sqlite3.connect(lab.journal, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        other.close()


def locked(trial: Trial) -> None:
    """Another program holds the file for a while."""
    with trial.lab() as lab:
        _exchange(trial, lab, range(trial.times), "all is well")
        with _held(lab):
            _exchange(trial, lab, range(trial.times, 2 * trial.times), "the journal is locked")
            _must_tell(trial, lab, "a locked file")
        until(lambda: _told(lab)["problem"] is None)
        trial.figures |= {"exchanges": 2 * trial.times, "lost, as told": _told(lab)["lost"]}
        lab.kill()
        lab.start()
        _exchange(trial, lab, range(trial.times), "it has been started again")


def unwritable(trial: Trial) -> None:
    """The journal's folder cannot be written, its path is a folder's or a device's.

    Not even root can make a file in /proc.
    """
    folder = trial.folder / "folder"
    folder.mkdir()
    for path in ("/proc/journal.sqlite", "/dev/full", str(folder)):
        with trial.lab(journal=path) as lab:
            start = sum(lab.counted().values())
            numbers = range(start, start + trial.times)
            _exchange(trial, lab, numbers, f"the journal is {path}")
            _must_tell(trial, lab, path)
            (lab.folder / "log").unlink()
    trial.figures["exchanges"] = 3 * trial.times


def clock(trial: Trial) -> None:
    """The clock is set back an hour, and the server killed and started again."""
    with trial.lab() as lab:
        _exchange(trial, lab, range(trial.times), "all is well")
        lab.link().call("set_clock", back=3600.0)
        _exchange(trial, lab, range(trial.times, 2 * trial.times), "the clock is an hour back")
        until(lambda: len(lab.link().call("link.history", limit=1000)) >= 2 * trial.times)
        lab.kill()
        lab.start()
        _exchange(trial, lab, range(2 * trial.times), "it has been started again")
        trial.figures["exchanges"] = 2 * trial.times
