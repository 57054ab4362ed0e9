"""The example experiments: what they ask of devices exists, and ARTIQ runs each of them."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artiq_link import DDS, Link, SimulatedDriver
from artiq_link.artiq_device import DDSLink
from tests.probe import PATIENCE
from tests.programs import ROOT, finish, first_line, running, running_python
from tests.scripted_server import free_port
from tests.test_device_db import CORE

EXAMPLES = sorted((ROOT / "examples" / "experiments").glob("*.py"))
RUN_PATIENCE = 2 * PATIENCE
"""Seconds; loading ARTIQ's compiler takes some."""

Run = Callable[..., subprocess.CompletedProcess[str]]

example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def test_all_ways_are_shown() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "applet_link",
        "checked_plan",
        "dds_fragment",
        "frequency_scan",
        "kernel_rpc",
        "send_data_style",
    ]


@example
def test_an_example_calls_what_the_device_has(path: Path) -> None:
    """Also where ARTIQ is not installed, and it cannot be run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "dds"
    }
    assert [name for name in called if not hasattr(DDSLink, name)] == []
    assert called or path.stem in {"applet_link", "dds_fragment", "send_data_style"}


def opened() -> DDS:
    dds = DDS(SimulatedDriver(2))
    dds.open_hardware()
    return dds


def test_the_applet_shows_what_a_dds_tells() -> None:
    """Its two functions without Qt, as they stand there, on the states that it gets."""
    tree = ast.parse((ROOT / "examples" / "experiments" / "applet_link.py").read_text("utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    functions: dict[str, Any] = {}
    exec(compile(tree, "applet_link.py", "exec"), functions)
    dds = opened()
    dds.set(0, 80e6, 0.25, 0.5)
    dds.output(1, False)
    shown = functions["texts_of"]
    first, second = dds.state().values()
    assert shown(first) == [
        "ch0", "80.000000 MHz", "0.2500 turns", "0.5000", "on", "single tone"
    ]  # fmt: skip
    assert shown(second)[4] == "off"
    unknown = dict.fromkeys(("frequency", "phase", "amplitude", "output", "activity"))
    assert shown({**first, **unknown})[1:] == ["?"] * 5
    dds.ramp(0, "frequency", 80e6, 90e6, 3600.0)
    assert shown(dds.state()["ch0"])[5] == "ramp, 0%"


def test_the_applet_takes_the_qt_that_artiq_has() -> None:
    """ARTIQ 8 has PyQt5 and ARTIQ 9 PyQt6; qasync, which both have, knows which."""
    tree = ast.parse((ROOT / "examples" / "experiments" / "applet_link.py").read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules = {name.name: node.module for node in imports for name in node.names}
    assert {modules["QtCore"], modules["QtWidgets"]} == {"qasync"}


def test_the_fragment_sets_what_a_dds_has() -> None:
    tree = ast.parse((ROOT / "examples" / "experiments" / "dds_fragment.py").read_text("utf-8"))
    [call] = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self.link.call"
    ]
    assert ast.literal_eval(call.args[0]) == "set"
    values: dict[str | None, Any] = dict.fromkeys((each.arg for each in call.keywords), 0)
    opened().check({"command_id": "set", **values})


# --- with ARTIQ ---------------------------------------------------------------------------------


@pytest.fixture
def artiq_run(tmp_path: Path) -> Iterator[Run]:
    """``artiq_run(file, *arguments)`` runs an example against ``python server.py``."""
    pytest.importorskip("artiq")
    with running_python("server.py", "-p", "0") as (_, port):
        for path in [*EXAMPLES, ROOT / "device_db_example.py"]:
            text = path.read_text(encoding="utf-8").replace("65432", str(port))
            (tmp_path / path.name).write_text(text, encoding="utf-8")
        with (tmp_path / "device_db_example.py").open("a", encoding="utf-8") as device_db:
            print(f'device_db["core"] = {CORE!r}', file=device_db)

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [sys.executable, "-m", "artiq.frontend.artiq_run",
                 "--device-db", "device_db_example.py", *arguments],
                cwd=tmp_path, capture_output=True, text=True, check=False, timeout=RUN_PATIENCE,
            )  # fmt: skip

        yield run


def test_send_data_style_with_artiq(artiq_run: Run) -> None:
    done = artiq_run("send_data_style.py", "frequency=80e6")
    assert (done.returncode, done.stdout) == (0, "achieved: 80000000.0745058\n"), done.stderr
    refused = artiq_run("send_data_style.py", "frequency=500e6")
    assert refused.returncode == 1
    assert refused.stderr.endswith(
        "RuntimeError: frequency: 5e8 Hz is above the channel's limit of 4e8 Hz\n"
    )


def test_frequency_scan_with_artiq(artiq_run: Run, tmp_path: Path) -> None:
    """What was achieved is in a dataset, beside what was asked for; a file is asked for by -o."""
    done = artiq_run("frequency_scan.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("achieved: [78999999.91059303 79099999.97355044 ")
    assert "\nasked: [79000000. 79100000. " in done.stdout
    assert list(tmp_path.glob("**/*.h5")) == []
    done = artiq_run("-o", "scan.h5", "frequency_scan.py")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.glob("**/*.h5")) == [tmp_path / "scan.h5"]


def test_checked_plan_with_artiq(artiq_run: Run) -> None:
    """A bad plan is refused before anything moves."""
    refused = artiq_run("checked_plan.py", "stop=401e6")
    assert refused.returncode == 1
    assert (
        "DeviceFailed: out_of_range: dds: 4 of 1000 requests would be refused: requests[996]: "
        "set_frequency: frequency: " in refused.stderr
    )
    done = artiq_run("checked_plan.py")
    assert (done.returncode, done.stdout) == (0, "last: 90000000.08381903\n"), done.stderr


def test_kernel_rpc_with_artiq(artiq_run: Run) -> None:
    """It passes the compiler for rv32g and is linked; without hardware it is not run."""
    done = artiq_run("kernel_rpc.py")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "error" not in done.stderr


SHOWN = """
import runpy, sys
from artiq.applets.simple import SimpleApplet

create = SimpleApplet.create_main_widget

def create_and_look(self):
    create(self)
    table = self.main_widget
    show = table.state_changed

    def show_and_tell(instruments):
        show(instruments)
        rows, columns = range(table.rowCount()), range(table.columnCount())
        shown = [[table.item(row, column).text() for column in columns] for row in rows]
        print(shown, flush=True)
        if shown[1][1] == "81.000000 MHz":
            self.loop.stop()

    table.state_changed = show_and_tell

SimpleApplet.create_main_widget = create_and_look
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_the_applet_with_artiq() -> None:
    """It shows the lab PC, and shows it again when its server has been away."""
    pytest.importorskip("artiq")
    pytest.importorskip("qasync", exc_type=ImportError)  # which it raises where there is no Qt

    def row(shown: str) -> list[str]:
        return ast.literal_eval(shown)[1]  # type: ignore[no-any-return]

    with contextlib.ExitStack() as applet_runs:
        with running_python("server.py", "-p", "0") as (_, port):
            Link(port=port).call("set", channel=1, frequency=80e6)
            applet = applet_runs.enter_context(
                running(
                    sys.executable, "-c", SHOWN, "examples/experiments/applet_link.py",
                    "--server", "127.0.0.1", "--port-notify", str(port),
                    environment={"QT_QPA_PLATFORM": "offscreen"}, patience=RUN_PATIENCE,
                )
            )  # fmt: skip
            tone = ["80.000000 MHz", "0.0000 turns", "0.0000", "on", "single tone"]
            assert row(first_line(applet)) == ["ch1", *tone]
        with running_python("server.py", "-p", str(port)):
            assert row(first_line(applet))[1] == "0.000000 MHz"
            Link(port=port).call("set", channel=1, frequency=81e6)
            code, output, errors = finish(applet)
    assert code == 0, errors
    assert row(output.splitlines()[-1])[1] == "81.000000 MHz"


def test_the_fragment_with_ndscan(tmp_path: Path) -> None:
    """A scan of five frequencies, with a core device that has nothing to do."""
    pytest.importorskip("artiq")
    utils = pytest.importorskip("ndscan.utils")
    axis = {
        "type": "linear",
        "range": {"start": 70e6, "stop": 90e6, "num_points": 5, "randomise_order": False},
        "fqn": "dds_fragment.DDSFragment.frequency",
        "path": "tone",
    }
    scan = {
        "axes": [axis],
        "num_repeats": 1,
        "num_repeats_per_point": 1,
        "no_axes_mode": "single",
        "randomise_order_globally": False,
        "skip_on_persistent_transitory_error": False,
    }
    parameters = {
        utils.SCHEMA_REVISION_KEY: utils.SCHEMA_REVISION,
        "overrides": {},
        "scan": scan,
    }
    core = {"type": "local", "module": "idle_core", "class": "Core"}
    (tmp_path / "device_db.py").write_text(f"device_db = {{'core': {core}}}")
    (tmp_path / "idle_core.py").write_text(
        "class Core:\n    def __init__(self, dmgr): pass\n    def close(self): pass\n"
    )
    with running_python("server.py", "-p", "0") as (_, port):
        path = ROOT / "examples" / "experiments" / "dds_fragment.py"
        text = path.read_text(encoding="utf-8").replace("65432", str(port))
        (tmp_path / path.name).write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "artiq.frontend.artiq_run", "-c", "ScanDDS", path.name,
             f"{utils.PARAMS_ARG_KEY}={json.dumps(json.dumps(parameters))}"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=RUN_PATIENCE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        )  # fmt: skip
        last = Link(port=port).call("get", channel=0)["frequency"]
    assert done.returncode == 0, done.stderr
    assert f"points.channel_achieved: [{70000000.06519258}, " in done.stdout
    assert last == 90000000.08381903


ALL_IN_A_KERNEL = """
from artiq.experiment import *


class AllInAKernel(EnvExperiment):
    def build(self):
        self.setattr_device("core")
        self.setattr_device("dds")

    @kernel
    def run(self):
        total = self.dds.set_frequency(0, 80*MHz) + self.dds.set_phase(0, 0.25)
        total += self.dds.set_amplitude("ch0", 0.5) + self.dds.timeout
        frequency, phase, amplitude = self.dds.set(0, frequency=80*MHz, phase_mode="absolute")
        start, stop, duration = self.dds.ramp(0, "frequency", 1*MHz, 2*MHz, 1*s)
        frequency, phase, amplitude = self.dds.stop(0)
        total += frequency + phase + amplitude + start + stop + duration
        total += self.dds.get_frequency(0) + self.dds.get_phase(0) + self.dds.get_amplitude(0)
        if self.dds.output(0, True) and self.dds.get_output(0):
            self.dds.reset()
        self.dds.post_frequency(0, total)
        self.dds.post_phase(0, 0.5)
        self.dds.post_amplitude(0, 0.5)
        self.dds.post_output(0, False)
        self.dds.post("set", channel=0, frequency=80*MHz, phase=0.5)
        self.dds.flush()
"""


def test_every_method_for_kernels_passes_the_compiler(artiq_run: Run, tmp_path: Path) -> None:
    """With what it returns: floats, bools, and tuples of three floats."""
    (tmp_path / "all_in_a_kernel.py").write_text(ALL_IN_A_KERNEL, encoding="utf-8")
    done = artiq_run("all_in_a_kernel.py")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "error" not in done.stderr


def test_a_method_that_is_not_for_kernels_is_refused_by_the_compiler(
    artiq_run: Run, tmp_path: Path
) -> None:
    code = (
        ALL_IN_A_KERNEL.partition("        total")[0] + "        self.dds.waveform(0, 10, 1e6)\n"
    )
    (tmp_path / "host_only.py").write_text(code, encoding="utf-8")
    done = artiq_run("host_only.py")
    assert "this function cannot be called as an RPC" in done.stderr
    assert done.returncode == 0  # as docs/artiq.md warns


def test_a_device_whose_server_is_down_with_artiq(artiq_run: Run, tmp_path: Path) -> None:
    """The sentence stands in front of ARTIQ's own last line."""
    with free_port() as port:
        device_db = tmp_path / "device_db_example.py"
        device_db.write_text(
            f"{device_db.read_text('utf-8')}\ndevice_db['dds']['arguments']['port'] = {port}\n",
            "utf-8",
        )
        done = artiq_run("frequency_scan.py")
    assert done.returncode == 1
    assert (
        f"\nartiq_link.link_client.ConnectFailed: dds: could not connect to 127.0.0.1:{port}: "
        in (done.stderr)
    )
    assert done.stderr.endswith(
        "\nartiq.master.worker_db.DeviceError: Failed to create device 'dds'\n"
    )
