"""The example examples/zeiss_inspect.py: it answers as ZEISS' own example does, byte for byte."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from websockets.sync.client import connect

from artiq_link import LinkServer, ServerFailed, exchange
from tests.conftest import PATIENCE
from tests.peers import conversations
from tests.programs import ROOT, finish, running, running_python

EXAMPLE = ROOT / "examples" / "zeiss_inspect.py"

CREATE = (
    "gom.script.sys.create_measurement_series_for_other_images("
    "camera_focal_length='50.0', name='other')"
)
IMPORT_IMAGE = (
    "gom.script.sys.import_other_images(image_files=['a.jpg'], measurement_series='other')"
)
IMPORT_ELEMENTS = (
    "gom.script.sys.import_gom_inspection_exchange("
    "files=['p.gxml'], import_mode='clipboard')"
)  # fmt: skip

IMAGE = {"file": "a.jpg", "name": "other", "focal_length": "50.0"}

STAND_IN = """
class RequestError(Exception):
    pass

class Commands:
    def import_gom_inspection_exchange(self, files, import_mode):
        if import_mode == "new_stage":
            raise RequestError("no project is open")
        print("imported", files, import_mode, flush=True)

class script:
    sys = Commands()

class app:
    project = None
"""
"""A module gom of which only the imports of elements work."""


RECORDED = conversations("ipc_sockets")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The example as a module."""
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    import zeiss_inspect

    yield zeiss_inspect
    del sys.modules["zeiss_inspect"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the files that the recorded requests name, as the current one."""
    (tmp_path / "a.jpg").touch()
    (tmp_path / "p.gxml").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gom(example: ModuleType) -> Any:
    """What stands in for ZEISS INSPECT."""
    return example.SimulatedGom()


@pytest.fixture
def server(
    example: ModuleType, gom: Any, files: Path, serve: Callable[..., LinkServer]
) -> LinkServer:
    """The example's instrument, served as the program serves it."""
    zeiss = example.ZeissInspect(gom)
    return serve({"zeiss": zeiss}, interact=zeiss.interact)


def answer(port: int, request: bytes) -> bytes:
    """Send a request as ZEISS' client does, half-close, and read all."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            return stream.read()


@pytest.mark.parametrize(("request_", "reply"), RECORDED)
def test_eot_text_is_answered_as_recorded(
    server: LinkServer, request_: bytes, reply: bytes
) -> None:
    assert answer(server.port, request_) == reply


def test_a_websocket_is_answered_in_the_same_words(server: LinkServer) -> None:
    """What is no JSON shows nothing of EOT text's shape; it is refused in the JSON dialect."""
    with connect(f"ws://127.0.0.1:{server.port}", open_timeout=PATIENCE) as client:
        for request, reply in RECORDED:
            client.send(request.removesuffix(b"\x04").decode() + "\n")
            text = client.recv(PATIENCE)
            if request == b"{broken\x04":
                assert json.loads(text)["code"] == "malformed"
            else:
                assert text == reply.decode().removesuffix("\r\n")
        client.send("quit\n")
        assert client.recv(PATIENCE) == "bye"


def test_the_calls_are_those_of_zeiss_example(
    server: LinkServer, gom: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A measurement series is made once, refused requests make no call."""
    for request, _ in RECORDED:
        answer(server.port, request)
    assert gom.calls == [CREATE, IMPORT_IMAGE, IMPORT_ELEMENTS]
    answer(server.port, RECORDED[0][0])
    assert gom.calls == [CREATE, IMPORT_IMAGE, IMPORT_ELEMENTS, IMPORT_IMAGE]
    assert capsys.readouterr().out.splitlines() == gom.calls


@pytest.mark.parametrize(
    ("command", "parameters", "sentence"),
    [
        ("image", {"file": ".", "name": "n", "focal_length": "1"},
         "Image file . could not be read."),
        ("elements", {"file": "missing.gxml", "import_mode": "clipboard"},
         "Elements file missing.gxml could not be read."),
        ("elements", {"file": "a\0b", "import_mode": "clipboard"},
         "Elements file a\0b could not be read."),
        ("image", {"file": "a.jpg", "name": "n"},
         "Missing parameter 'focal_length' in 'image' request."),
        ("image", {**IMAGE, "focal_length": "wide"},
         "focal_length: expected a length in mm, got 'wide'"),
        ("image", {**IMAGE, "focal_length": "nan"},
         "focal_length: expected a length in mm, got 'nan'"),
        ("image", {**IMAGE, "focal_length": "inf"},
         "focal_length: expected a length in mm, got 'inf'"),
        ("image", {**IMAGE, "focal_length": -50},
         "focal_length: expected a length in mm, got -50.0"),
        ("image", {**IMAGE, "name": 5}, "name: expected 'str', got 'int'"),
        ("image", {**IMAGE, "zoom": 5}, "'image' has no parameter 'zoom'"),
        ("elements", {"file": "p.gxml", "import_mode": "c"},
         "import_mode: 'c' is not one of 'clipboard', 'new_stage'"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused_before_any_call(
    server: LinkServer, gom: Any, command: str, parameters: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ServerFailed) as failure:
        exchange({"command_id": command, **parameters}, port=server.port, timeout=PATIENCE)
    assert (failure.value.code, failure.value.error) == ("invalid_parameter", sentence)
    assert gom.calls == []


def test_a_file_without_permission_is_refused(
    server: LinkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's answer is put in: to root, it would permit everything."""
    monkeypatch.setattr("os.access", lambda file, mode: mode != os.R_OK)
    request, _ = RECORDED[1]
    assert answer(server.port, request) == b"Error: Elements file p.gxml could not be read.\r\n"


def test_a_number_is_a_focal_length_too(server: LinkServer, gom: Any) -> None:
    """The other dialects send numbers, as the unit in the description suggests."""
    exchange({"command_id": "image", **IMAGE, "focal_length": 50.0}, port=server.port)
    assert gom.calls == [CREATE, IMPORT_IMAGE]


def test_what_zeiss_inspect_refuses_is_explained(example: ModuleType, files: Path) -> None:
    """ZEISS' sentence comes first, then the reason of ZEISS INSPECT."""
    gom: dict[str, Any] = {}
    exec(STAND_IN, gom)
    zeiss = example.ZeissInspect(type("gom", (), gom))
    request = {"command_id": "elements", "file": "p.gxml", "import_mode": "new_stage"}
    with pytest.raises(example.InstrumentError) as failure:
        zeiss.interact(request)
    assert str(failure.value) == (
        "Elements could not be imported from file p.gxml with import mode new_stage.\n"
        "no project is open"
    )


def test_the_program_serves_the_simulation_on_a_port_of_choice(files: Path) -> None:
    with running_python(str(EXAMPLE), "--simulation", "--port", "0") as (process, port):
        file = str(files / "p.gxml")
        request = json.dumps({"elements": {"file": file, "import_mode": "clipboard"}})
        assert answer(port, request.encode() + b"\x04") == b"O.k.\r\n"
        process.send_signal(signal.SIGTERM)
        code, output, errors = finish(process)
    assert (code, errors) == (0, "")
    assert f"gom.script.sys.import_gom_inspection_exchange(files=[{file!r}]" in output


def test_the_program_uses_the_module_gom_where_there_is_one(files: Path) -> None:
    (files / "gom.py").write_text(STAND_IN, encoding="utf-8")
    command = (sys.executable, str(EXAMPLE), "--port", "0")
    with running(*command, folder=files, environment={"PYTHONPATH": str(files)}) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        assert answer(port, RECORDED[1][0]) == RECORDED[1][1]
        process.send_signal(signal.SIGTERM)
        code, output, _ = finish(process)
    assert code == 0
    assert output.endswith("imported ['p.gxml'] clipboard\n")


def test_the_program_ends_with_a_sentence_without_gom_and_simulation() -> None:
    with running(sys.executable, str(EXAMPLE)) as process:
        assert finish(process) == (
            2,
            "",
            "No module named 'gom': run this inside ZEISS INSPECT, or with --simulation\n",
        )


def test_it_listens_on_port_7000_by_default() -> None:
    with running(sys.executable, str(EXAMPLE), "--help") as process:
        code, output, _ = finish(process)
    assert code == 0
    assert "0 is a free one (default: 7000)" in " ".join(output.split())
