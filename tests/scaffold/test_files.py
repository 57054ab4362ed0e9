"""The files of a new instrument: they are the project's own templates, and work."""

from __future__ import annotations

import importlib
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from artiq_link import ServerFailed
from artiq_link.artiq_device import LinkDevice
from artiq_link.scaffold.files import DRIVERS, _edited, instrument_files, write_files
from tests.programs import ROOT, finish, running, running_python

ENVIRONMENT = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
PATIENCE = 60.0

FILES = [
    "shutter_server.py",
    "shutter_client.py",
    "shutter_simulation.py",
    "shutter_device_db.py",
    "shutter_experiment.py",
    "test_shutter.py",
]

each_driver = pytest.mark.parametrize("driver", DRIVERS)


def run_tests(folder: Path) -> tuple[int, str]:
    """Run pytest in a folder, in which nothing else is known of this project's own tests."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder, env={**ENVIRONMENT}, check=False, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["server.py", "client.py"])
def test_the_templates_are_the_projects_own(name: str) -> None:
    copy = files("artiq_link.scaffold").joinpath("templates", f"{name}-tpl")
    assert copy.read_bytes() == (ROOT / name).read_bytes(), (
        f"copy it anew: cp {name} artiq_link/scaffold/templates/{name}-tpl"
    )


def test_a_passage_that_is_not_there_once_is_found() -> None:
    """So a change of server.py that the scaffold does not know fails a test."""
    with pytest.raises(ValueError, match="the template has this 0 times: 'dds'"):
        _edited("import artiq_link", {"dds": "gadget"})
    with pytest.raises(ValueError, match="the template has this 2 times: 'r'"):
        _edited("import artiq_link", {"r": "s"})


@each_driver
@pytest.mark.parametrize("name", ["shutter", "beam_shutter"])
def test_nothing_is_left_of_other_instruments(name: str, driver: str) -> None:
    texts = instrument_files(name, driver)
    assert list(texts) == [file.replace("shutter", name) for file in FILES]
    for text in texts.values():
        for other in ("gadget", "gizmo", "dds", "simulateddriver", "frequency"):
            assert other not in text.lower()


@each_driver
def test_the_server_has_both_doors_and_is_the_template_around_them(driver: str) -> None:
    server = instrument_files("shutter", driver)["shutter_server.py"]
    assert "    @command\n    def set_voltage(self, voltage: Voltage) -> Voltage:\n" in server
    assert 'ge=0, le=10, extra={"unit": "V"}' in server
    assert '    if data["command_id"] == "test_command":\n' in server
    start = '\n\ndef start_server(host="127.0.0.1", port=65432, debug=False, **options):\n'
    template = (ROOT / "server.py").read_text("utf-8")
    assert start in server
    assert start in template
    between = server.partition(start)[2].partition("    # The shutter knows")[0]
    assert between.replace("shutter", "dds") in template


@each_driver
def test_its_tests_pass_as_they_are_written(tmp_path: Path, driver: str) -> None:
    assert write_files(tmp_path, "shutter", driver) == FILES
    code, printed = run_tests(tmp_path)
    assert code == 0, printed
    assert "8 passed" in printed


@pytest.mark.parametrize("driver", ["serial", "tcp", "scpi"])
def test_a_device_that_was_away_between_two_commands_is_noticed(
    tmp_path: Path, driver: str
) -> None:
    write_files(tmp_path, "shutter", driver)
    with (tmp_path / "test_shutter.py").open("a", encoding="utf-8") as tests:
        tests.write(
            """
def test_away(link, cable, hardware):
    link.call("set_voltage", voltage=5)
    cable.unplug()
    hardware.voltage = 0.0
    cable.plug()
    with pytest.raises(ServerFailed, match="instrument_error: .* was away; it may have lost its"):
        link.call("set_voltage", voltage=2)
    assert link.call("get_voltage") == 0
"""
        )
    code, printed = run_tests(tmp_path)
    assert code == 0, printed
    assert "9 passed" in printed


@pytest.mark.parametrize(
    ("passage", "wrong"),
    [
        ("le=10", "le=11"),
        ("ge=0", "ge=-1"),
        ("        self.safe_state()\n", ""),
        ("    return shutter.interact(data)\n", ""),
        ('self._tell(f"VOLT {voltage:.4f}")', "pass"),
        ('return self._ask_number("VOLT?")', "return voltage"),
        ('identity = self._ask("*IDN?")', 'identity = self._ask("*IDN?;VOLT 0")'),
    ],
)
def test_its_tests_fail_where_the_instrument_is_wrong(
    tmp_path: Path, passage: str, wrong: str
) -> None:
    write_files(tmp_path, "shutter", "scpi")
    path = tmp_path / "shutter_server.py"
    text = path.read_text("utf-8")
    assert passage in text
    path.write_text(text.replace(passage, wrong), "utf-8")
    code, printed = run_tests(tmp_path)
    assert code == 1, printed
    assert "FAILED" in printed


@each_driver
def test_it_is_written_as_ruff_writes_it(tmp_path: Path, driver: str) -> None:
    pytest.importorskip("ruff")
    write_files(tmp_path, "shutter", driver)
    for command in (["check", "--select", "B,C4,E,F,I,N,RUF,SIM,UP,W"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--isolated", "--no-cache",
             "--line-length", "99", "--target-version", "py311", "."],
            cwd=tmp_path, check=False, capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("driver", "where"), [("serial", "PORT"), ("tcp", "ADDRESS")])
def test_a_server_that_was_not_told_where_its_device_is_asks_none(
    tmp_path: Path, driver: str, where: str
) -> None:
    """Not even one that is at some address by chance."""
    write_files(tmp_path, "shutter", driver)
    command = (sys.executable, "shutter_server.py", "-p", "0")
    with running(*command, folder=tmp_path, environment=ENVIRONMENT) as process:
        code, _, errors = finish(process)
    assert code == 1
    assert errors.startswith("shutter cannot be opened: ")
    assert where in errors
    assert errors.endswith("; nothing was sent\n")


def test_a_device_that_there_cannot_be_is_one_sentence(tmp_path: Path) -> None:
    """And nothing to the simulation."""
    write_files(tmp_path, "shutter", "serial")
    server = tmp_path / "shutter_server.py"
    text = server.read_text("utf-8")
    server.write_text(text.replace("serial:PORT?baud=9600", "COM3"), "utf-8")
    command = (sys.executable, "shutter_server.py", "-p", "0")
    with running(*command, folder=tmp_path, environment=ENVIRONMENT) as process:
        code, _, errors = finish(process)
    assert code == 1
    assert errors == "shutter cannot be opened: 'COM3' is no device: write serial:COM3\n"
    assert run_tests(tmp_path)[0] == 0


# --- the files at work --------------------------------------------------------------------------


@pytest.fixture(params=DRIVERS)
def shutter(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, int]]:
    """The folder of a new instrument, and the port of its server, which simulates."""
    write_files(tmp_path, "shutter", request.param)
    with running_python(
        "shutter_server.py", "--simulation", "-p", "0", folder=tmp_path, environment=ENVIRONMENT
    ) as (process, port):
        yield tmp_path, port
        process.send_signal(signal.SIGTERM)
        assert finish(process)[::2] == (0, "")


def test_the_client_sends_what_the_server_knows(shutter: tuple[Path, int]) -> None:
    folder, port = shutter
    done = subprocess.run(
        [sys.executable, "shutter_client.py", "--port", str(port)],
        cwd=folder, env=ENVIRONMENT, check=False, capture_output=True, text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    first, *voltages = done.stdout.splitlines()
    assert first == "success: test_command test_command was received"
    for line, command in zip(voltages, ["set_voltage", "get_voltage"], strict=True):
        assert line.startswith(f"success: {command} 1.2")


def device_db(folder: Path) -> dict[str, Any]:
    """The entries, read as ARTIQ reads them."""
    entries = runpy.run_path(str(folder / "shutter_device_db.py"))["device_db"]
    assert isinstance(entries, dict)
    return entries


def test_the_device_database_has_a_controller_and_a_local_device(tmp_path: Path) -> None:
    """On one port, which is the server's, with a command that the server takes."""
    write_files(tmp_path, "shutter", "none")
    entries = device_db(tmp_path)
    assert {key: entry["type"] for key, entry in entries.items()} == {
        "shutter_controller": "controller",
        "shutter": "local",
    }
    controller, arguments = entries["shutter_controller"], entries["shutter"]["arguments"]
    assert (controller["host"], controller["port"]) == (arguments["host"], arguments["port"])
    server = (tmp_path / "shutter_server.py").read_text("utf-8")
    assert f"port={controller['port']}" in server
    assert f'{{"{controller["target_name"]}": ' in server
    program, *command = shlex.split(controller["command"].format(port=0, bind="127.0.0.1"))
    assert program == "python"
    with running_python(*command, folder=tmp_path, environment=ENVIRONMENT):
        pass


EXPERIMENT = """
import sys, types

class EnvExperiment:
    def setattr_device(self, name):
        setattr(self, name, device)

    def setattr_argument(self, name, value):
        setattr(self, name, value)

    def set_dataset(self, name, value):
        print(f"{name}: {value:.2f}")

experiment = types.ModuleType("artiq.experiment")
experiment.EnvExperiment = EnvExperiment
experiment.NumberValue = lambda default, unit: default
sys.modules["artiq.experiment"] = experiment
"""
"""What the experiment needs of ARTIQ, which is not installed everywhere."""


def test_the_experiment_checks_its_value_and_keeps_what_was_achieved(
    shutter: tuple[Path, int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the device of the device database."""
    folder, port = shutter
    entry = device_db(folder)["shutter"]
    kind = getattr(importlib.import_module(entry["module"]), entry["class"])
    assert kind is LinkDevice
    device = kind(None, **{**entry["arguments"], "port": port}, name="shutter")
    monkeypatch.setitem(sys.modules, "artiq.experiment", None)  # put back at the test's end
    exec(EXPERIMENT, {"device": device})
    experiment = runpy.run_path(str(folder / "shutter_experiment.py"))["SetShutter"]()
    experiment.build()
    experiment.prepare()
    experiment.run()
    assert capsys.readouterr().out == "voltage: 1.25\n"
    experiment.voltage = 11.0
    with pytest.raises(ServerFailed, match="1 of 1 requests would be refused"):
        experiment.prepare()
    device.close()


# --- what is there stays ------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES)
def test_nothing_is_overwritten(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("mine", "utf-8")
    with pytest.raises(ValueError, match="already") as failure:
        write_files(tmp_path, "shutter", "none")
    assert str(failure.value) == (
        f"{file} is here already: nothing is overwritten, so choose another name or another folder"
    )
    assert [path.read_text("utf-8") for path in tmp_path.iterdir()] == ["mine"]


def test_all_files_that_are_there_are_counted(tmp_path: Path) -> None:
    write_files(tmp_path, "shutter", "none")
    with pytest.raises(ValueError, match=r"shutter_server.py is here already, and 5 more of"):
        write_files(tmp_path, "shutter", "none")


def test_what_was_written_before_a_failure_is_taken_back(tmp_path: Path) -> None:
    """A link that leads nowhere does not exist, and cannot be written all the same."""
    (tmp_path / FILES[-1]).symlink_to(tmp_path / "missing" / "test.py")
    with pytest.raises(OSError, match="File exists"):
        write_files(tmp_path, "shutter", "none")
    assert [path.name for path in tmp_path.iterdir()] == [FILES[-1]]


def test_another_instrument_goes_into_the_same_folder(tmp_path: Path) -> None:
    write_files(tmp_path, "shutter", "none")
    write_files(tmp_path, "laser", "none")
    code, printed = run_tests(tmp_path)
    assert code == 0, printed
    assert "16 passed" in printed
