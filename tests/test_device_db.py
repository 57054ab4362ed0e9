"""The example of a device database: every entry is what ARTIQ and the link expect of it."""

from __future__ import annotations

import importlib
import runpy
import shlex
from typing import Any

import pytest

from artiq_link.artiq_device import DDSLink
from tests.programs import ROOT, running_python

EXAMPLE = ROOT / "device_db_example.py"
RUN_CONTROLLER = "import sys; from artiq_link.cli.aqctl import main; sys.exit(main())"
CORE = {
    "type": "local",
    "module": "artiq.coredevice.core",
    "class": "Core",
    "arguments": {"host": None, "ref_period": 1e-9, "target": "rv32g"},
}


@pytest.fixture
def device_db() -> dict[str, Any]:
    """The entries, read as ARTIQ reads them."""
    entries = runpy.run_path(str(EXAMPLE))["device_db"]
    assert isinstance(entries, dict)
    return entries


def controller_command(entry: dict[str, Any]) -> list[str]:
    """The command that artiq_ctlmgr makes of a controller's entry on the master's computer."""
    command = entry["command"].format(name="dds_controller", bind="127.0.0.1", **entry)
    return shlex.split(command)


def test_it_has_a_controller_a_local_device_and_an_alias(device_db: dict[str, Any]) -> None:
    kinds = {key: e if isinstance(e, str) else e["type"] for key, e in device_db.items()}
    assert kinds == {"dds_controller": "controller", "dds": "local", "cooling_dds": "dds"}


def test_controller_device_and_template_meet_on_one_port(device_db: dict[str, Any]) -> None:
    """So that experiments run alike with ``python server.py`` and with the controller."""
    controller, arguments = device_db["dds_controller"], device_db["dds"]["arguments"]
    assert (controller["host"], controller["port"]) == (arguments["host"], arguments["port"])
    assert f"port={controller['port']}" in (ROOT / "server.py").read_text(encoding="utf-8")


def test_the_controllers_command_starts_a_dds_for_the_local_device(
    device_db: dict[str, Any],
) -> None:
    program, *options = controller_command(device_db["dds_controller"])
    assert program == "aqctl_artiq_link"
    assert options == ["-p", "65432", "--bind", "127.0.0.1", "--simulation"]
    options[1] = "0"
    with running_python("-c", RUN_CONTROLLER, *options) as (_, port):
        entry = device_db["dds"]
        kind = getattr(importlib.import_module(entry["module"]), entry["class"])
        assert kind is DDSLink
        dds = kind(None, **{**entry["arguments"], "port": port})
        assert dds.set_frequency(0, 80e6) == 80000000.0745058
        dds.close()


def test_what_is_commented_out_is_valid_too() -> None:
    """A user takes the comment signs away."""
    text = EXAMPLE.read_text(encoding="utf-8")
    lines = [
        line.replace("    # ", "    ", 1) if line.startswith(("    #     ", '    # "', "    # }"))
        else line
        for line in text.splitlines()
    ]  # fmt: skip
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    entries = scope["device_db"]
    assert set(entries) >= {"core", "core_log", "core_cache", "ttl0"}
    assert entries["core"] == CORE


def test_artiq_builds_its_devices(device_db: dict[str, Any], capsys: Any) -> None:
    worker_db = pytest.importorskip("artiq.master.worker_db")
    databases = pytest.importorskip("artiq.master.databases")
    dmgr = worker_db.DeviceManager(databases.DeviceDB(str(EXAMPLE)))
    _, *options = controller_command(device_db["dds_controller"])
    options[1] = "0"
    with running_python("-c", RUN_CONTROLLER, *options) as (_, port):
        for entry in (dmgr.get_desc("dds_controller"), dmgr.get_desc("dds")["arguments"]):
            entry["port"] = port
        dds = dmgr.get("cooling_dds")
        assert dds is dmgr.get("dds")
        assert (type(dds), dds.name) == (DDSLink, "dds")
        assert dds.set_frequency(0, 80e6) == 80000000.0745058
        controller = dmgr.get("dds_controller")
        assert controller.get(channel=0)["frequency"] == 80000000.0745058
        dmgr.notify_run_end()
        dmgr.close_devices()
