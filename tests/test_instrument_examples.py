"""The instruments in examples/instruments: their programs, and the shutter's sketch.

Their commands are tested beside them, as labs test theirs.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from artiq_link import Link
from tests.conftest import PATIENCE
from tests.programs import ROOT, finish, running_python

INSTRUMENTS = ROOT / "examples" / "instruments"
SERVERS = sorted(INSTRUMENTS.glob("*/*_server.py"))

ARDUINO = """
#include <cstdio>
#include <cstring>
#include <string>

const int UNTOUCHED = -1;

struct Servo {
  int angle = UNTOUCHED, attachedAt = UNTOUCHED;
  void write(int degrees) { angle = degrees; }
  void attach(int) { attachedAt = angle; }
};

struct {
  int next = UNTOUCHED;
  void begin(int) {}
  bool available() { return (next = getchar()) != EOF; }
  char read() { return next; }
  void print(const char *text) { fputs(text, stdout); }
  void print(char sign) { putchar(sign); }
} Serial;
"""
"""What the sketch uses of the Arduino's library."""

PROGRAM = """
#include "shutter.ino"

int main() {
  setup();
  for (Servo &servo : servos) fprintf(stderr, "%d ", servo.attachedAt);
  loop();
  for (Servo &servo : servos) fprintf(stderr, "%d ", servo.angle);
}
"""

LINES = [
    "get", "identify", "open 2", "get", "open 0", "close 2", "get", "open 4", "open -1", "open",
    "open 22", "open  1", "close x", "", "OPEN 1", "open 3" + 20 * " ", "identify\r", "get",
    "open 3; open 1", "close 0", "open 1", "get",
]  # fmt: skip


def test_there_are_three() -> None:
    assert [path.stem for path in SERVERS] == [
        "power_meter_server",
        "shutter_server",
        "wavemeter_server",
    ]


@pytest.mark.parametrize("path", SERVERS, ids=lambda path: path.stem)
def test_each_is_served_with_simulated_hardware(path: Path) -> None:
    """And says what its commands take and return, each with a sentence."""
    name = path.stem.removesuffix("_server")
    arguments = (path.name, "--simulation", "-p", "0")
    environment = {"PYTHONPATH": str(ROOT)}
    with running_python(*arguments, folder=path.parent, environment=environment) as (
        process,
        port,
    ):
        described = Link(port=port).call("link.describe")["instruments"][name]
        process.send_signal(signal.SIGTERM)
        assert finish(process)[::2] == (0, "")
    assert described["doc"]
    assert len(described["commands"]) >= 2
    for command in described["commands"].values():
        assert command["doc"]
    assert '"unit": ' in json.dumps(described) or name == "shutter"


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sketch as a program, told by its standard input."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("sketch")
    shutil.copy(INSTRUMENTS / "shutter" / "shutter" / "shutter.ino", folder)
    (folder / "Servo.h").write_text(ARDUINO, "utf-8")
    (folder / "main.cpp").write_text(PROGRAM, "utf-8")
    done = subprocess.run(
        [compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", "-I.", "-o", "sketch",
         "main.cpp"],
        cwd=folder, check=False, capture_output=True, text=True, timeout=6 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "sketch"


def test_the_sketch_does_what_its_simulation_does(
    sketch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line; its servos begin closed, and end where they were told to be."""
    monkeypatch.syspath_prepend(INSTRUMENTS / "shutter")
    from shutter_simulation import SimulatedShutter

    simulation = SimulatedShutter()
    said = subprocess.run(
        [sketch], input="".join(f"{line}\n" for line in LINES), check=False,
        capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    answers = [simulation.answer(line.rstrip("\r").encode()).decode() for line in LINES]
    assert said.stdout.splitlines() == answers
    assert len(set(answers)) == 7
    assert simulation.is_open == [False, True, False, False]
    assert said.stderr.split() == ["10"] * 4 + ["10", "60", "10", "10"]
