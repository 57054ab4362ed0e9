"""NDSP controllers as instruments: the link's own and sipyco's, healthy, lost and silent."""

# No "annotations" of __future__: sipyco's server wants classes in the methods of its targets.

import asyncio
import contextlib
import importlib.util
import json
import logging
import select
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artiq_link import InstrumentError, InvalidParameter, Link, LinkServer, ServerFailed
from artiq_link.bridges.ndsp_controller import NdspController, plain, remote_command
from artiq_link.cli import program as cli
from artiq_link.values import encode
from tests.conftest import PATIENCE, Probe
from tests.programs import finish, running_python
from tests.scripted_server import free_port, reset, scripted_server

Serve = Callable[..., LinkServer]


# --- without sipyco


def test_without_sipyco_one_sentence_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sipyco", None)
    monkeypatch.setitem(sys.modules, "sipyco.pc_rpc", None)
    sentence = (
        "NDSP controllers need sipyco, which is not on PyPI: "
        "pip install git+https://github.com/m-labs/sipyco.git"
    )
    with pytest.raises(ImportError) as raised:
        NdspController("127.0.0.1", 3249)
    assert str(raised.value) == sentence
    assert cli.main(["serve", "-p", "0", "--controller", "127.0.0.1:3249"]) == 2
    assert capsys.readouterr() == ("", sentence + "\n")


SPEC = {
    "args": ["self", "channel", "value", "how", "settle"],
    "varargs": None,
    "varkw": None,
    "defaults": (0, "fast", None),
    "kwonlyargs": ["dry", "unit"],
    "kwonlydefaults": {"dry": False},
    "annotations": {"channel": "int", "settle": "float", "unit": "Quantity", "return": "float"},
}


def schemas(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    described = remote_command(name, spec, None).describe()["parameters"]
    return {
        parameter["name"]: (parameter["schema"], parameter.get("default", "required"))
        for parameter in described
    }


def test_a_commands_parameters_are_those_of_the_method() -> None:
    """Typed where an annotation or a default says it, and with the defaults."""
    command = remote_command("move", SPEC, "Move.\n\n    Slowly.")
    assert (command.name, command.doc) == ("move", "Move.\n\nSlowly.")
    assert command.describe()["result"] == {"schema": {"type": "number"}}
    assert schemas("move", SPEC) == {
        "channel": ({"type": "integer"}, "required"),
        "value": ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, 0),
        "how": ({"type": "string"}, "fast"),
        "settle": ({"anyOf": [{"type": "number"}, {"type": "null"}]}, None),
        "dry": ({"type": "boolean"}, False),
        "unit": ({"description": "Quantity"}, "required"),
    }


@pytest.mark.parametrize("annotations", [None, "{'x': <class 'int'>}"])
def test_annotations_may_be_missing_or_text(annotations: Any) -> None:
    """As sipyco 1.0 and sipyco's ``terminate`` have them."""
    spec = {"args": ["self", "x"], "kwonlydefaults": [], "annotations": annotations}
    assert schemas("f", spec) == {"x": ({}, "required")}


@pytest.mark.parametrize(
    ("default", "shown"),
    [
        ((1, 2), [1, 2]),
        (float("inf"), "inf"),
        (1j, {"real": 0.0, "imag": 1.0}),
        (b"\0", "AA=="),
        (np.int32(3), 3),
        (np.array([1.0]), [1.0]),
        (slice(1, None), [1, None, None]),
    ],
)
def test_any_default_can_be_described(default: Any, shown: Any) -> None:
    spec = {"args": ["self", "x"], "defaults": (default,)}
    [parameter] = remote_command("f", spec, None).describe()["parameters"]
    assert parameter["default"] == shown
    encode(parameter)


class Recorder:
    """Stands for a controller: gives back how it is called."""

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        return name, args, kwargs


@pytest.mark.parametrize(
    ("spec", "values", "called"),
    [
        (SPEC, {"channel": 1, "unit": "V"}, ([1], {"unit": "V"})),
        (
            SPEC,
            {"channel": 1, "value": 2, "settle": 3, "unit": "V"},
            ([1, 2], {"settle": 3, "unit": "V"}),
        ),
        (SPEC, {"unit": "V", "channel": 1, "dry": True}, ([1], {"unit": "V", "dry": True})),
        ({"args": ["x"]}, {"x": 1}, ([1], {})),
        (
            {"args": ["self", "x", "y"], "defaults": (7,), "varargs": "more"},
            {"x": 1, "more": [2, 3]},
            ([1, 7, 2, 3], {}),
        ),
        (
            {"args": ["self", "x"], "varkw": "options"},
            {"x": 1, "options": {"a": 2}},
            ([1], {"a": 2}),
        ),
        # Names that the code between has as well.
        (
            {"args": ["self", "controller", "instrument", "name"]},
            {"controller": 1, "instrument": 2, "name": 3},
            ([1, 2, 3], {}),
        ),
    ],
)
def test_parameters_go_by_position_as_far_as_they_can(
    spec: dict[str, Any], values: dict[str, Any], called: Any
) -> None:
    """A method may take some by position only; what follows a gap goes by name."""
    command = remote_command("f", spec, None)
    run = command.__get__(Recorder(), Recorder)
    assert run(**command.convert(values)) == ("f", *called)


def test_a_name_among_the_others_is_not_given_twice() -> None:
    spec = {"args": ["self", "x", "y"], "defaults": (1, 2), "varkw": "options"}
    run = remote_command("f", spec, None).__get__(Recorder(), Recorder)
    with pytest.raises(InvalidParameter, match=r"^options: 'y' was given twice$"):
        run(y=1, options={"y": 2})


@pytest.mark.parametrize("name", ["link", "command_id", "no name"])
def test_a_parameter_that_no_request_can_give_is_refused(name: str) -> None:
    with pytest.raises((TypeError, ValueError), match=name):
        remote_command("f", {"args": ["self", name]}, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ((1, (2,)), [1, [2]]),
        ({3, 1, 2}, [1, 2, 3]),
        ({(2, 1), (1, 2)}, [[1, 2], [2, 1]]),
        (np.float64(1.5), 1.5),
        (np.int32(3), 3),
        (np.bool_(True), True),
        (np.complex64(1 + 2j), {"real": 1.0, "imag": 2.0}),
        ({(1, 2): {0: "a"}}, {"(1, 2)": {"0": "a"}}),
        (Fraction(1, 3), "1/3"),
        (slice(1, 2), [1, 2, None]),
        (np.array(["a", "b"]), ["a", "b"]),
        (b"ab", b"ab"),
        (None, None),
    ],
)
def test_results_are_made_plain(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_a_set_without_an_order_is_a_list_too() -> None:
    assert sorted(plain({1, "a"}), key=str) == [1, "a"]


def test_arrays_of_numbers_stay_arrays() -> None:
    array = np.arange(3)
    assert plain(array) is array


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False, allow_infinity=False)
    | st.fractions()
)
keys = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)


@given(
    st.recursive(
        scalars | st.sets(keys, max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=10,
    )
)
def test_whatever_pyon_carries_json_carries_then(value: Any) -> None:
    encode(plain(value))


# --- with sipyco


class Laser:
    """A laser at a wavelength meter."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.go_on = threading.Event()

    def ping(self):
        return True

    def set_power(self, channel: int, power: float = 0.5, *, ramp=False):
        """Set a channel's power and return all."""
        return {"channel": channel, "power": power, "ramp": ramp}

    def collect(self, first, *others, **named):
        return (first, others, named)

    def echo(self, value):
        return value

    def kinds(self):
        return {"set": {2, 1}, "number": np.float64(1.5), "array": np.array([1.0, 2.0])}

    def refuse(self, kind):
        raise {"ValueError": ValueError, "KeyError": KeyError, "own": OwnError}[kind]("no light")

    def leave(self):
        raise SystemExit(3)

    def hang(self):
        self.started.set()
        assert self.go_on.wait(PATIENCE)
        return "late"

    def close(self):
        """Reserved by the link."""

    def close_rpc(self):
        """An attribute of sipyco's own client."""

    def connect(self, link):
        """Has a parameter that no request can give."""


class OwnError(Exception):
    """A class that its client does not know."""


class SipycoServer:
    """sipyco's own server of targets, in a thread; stops with the block."""

    def __init__(self, targets: dict[str, Any], host: str = "127.0.0.1", port: int = 0) -> None:
        self._targets = targets
        self._address = (host, port)
        self.port = port

    def __enter__(self) -> "SipycoServer":
        ready = threading.Event()

        async def serve() -> None:
            pc_rpc = importlib.import_module("sipyco.pc_rpc")
            server = pc_rpc.Server(self._targets, builtin_terminate=True)
            await server.start(*self._address)
            self.port = server.server.sockets[0].getsockname()[1]
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            ready.set()
            await self._stop.wait()
            await server.stop()

        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sipyco")
        self._served = self._pool.submit(asyncio.run, serve())
        assert ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._served.result(PATIENCE)
        self._pool.shutdown()


def open_controller(*arguments: Any, **options: Any) -> NdspController:
    """The controller as everybody opens it; trusted where an old sipyco knows no other."""
    too_old = importlib.util.find_spec("sipyco.pyon_v1") is None
    return NdspController(*arguments, **{"trusted": too_old, **options})


@pytest.fixture
def laser() -> Iterator[Laser]:
    pytest.importorskip("sipyco")
    laser = Laser()
    yield laser
    laser.go_on.set()


@pytest.fixture
def port(laser: Laser) -> Iterator[int]:
    """The port of a controller with the target ``laser``."""
    with SipycoServer({"laser": laser}) as server:
        yield server.port
        laser.go_on.set()


@contextlib.contextmanager
def connected(*arguments: Any, **options: Any) -> Iterator[NdspController]:
    with contextlib.closing(open_controller(*arguments, **options)) as controller:
        yield controller


@pytest.fixture
def link(port: int, serve: Serve) -> Link:
    """A JSON client of the controller through the link."""
    return Link(port=serve({"laser": open_controller("127.0.0.1", port)}).port, timeout=PATIENCE)


def test_methods_are_commands(link: Link) -> None:
    """What `link.describe` shows: docstrings, parameters, types; without names that are taken."""
    described = link.call("link.describe")["instruments"]["laser"]
    assert described["doc"] == "A laser at a wavelength meter."
    assert list(described["commands"]) == [
        "collect",
        "echo",
        "hang",
        "kinds",
        "leave",
        "refuse",
        "set_power",
    ]
    set_power = described["commands"]["set_power"]
    assert set_power["doc"] == "Set a channel's power and return all."
    assert [parameter["name"] for parameter in set_power["parameters"]] == [
        "channel",
        "power",
        "ramp",
    ]
    assert set_power["parameters"][2] == {
        "name": "ramp",
        "required": False,
        "schema": {"type": "boolean"},
        "keyword_only": True,
        "default": False,
    }


def test_what_is_left_out_is_in_the_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), connected("127.0.0.1", port):
        pass
    where = f"laser at 127.0.0.1:{port}: left out"
    assert caplog.messages == [
        f"{where}, because the names are the link's or sipyco's own: "
        "close, close_rpc, ping, terminate",
        f"{where}: connect: parameter 'link': this name is the request's own; choose another",
    ]


def test_commands_reach_the_controller(link: Link) -> None:
    assert link.call("set_power", channel=1) == {"channel": 1, "power": 0.5, "ramp": False}
    assert link.call("set_power", channel=1, ramp=True, power=1) == {
        "channel": 1,
        "power": 1.0,
        "ramp": True,
    }
    assert link.call("collect", first=1, others=[2, 3], named={"a": 4}) == [1, [2, 3], {"a": 4}]
    assert link.call("echo", value=np.array([1.0, 2.0])).tolist() == [1.0, 2.0]
    kinds = link.call("kinds")
    assert (kinds["set"], kinds["number"], kinds["array"].tolist()) == ([1, 2], 1.5, [1.0, 2.0])


def test_parameters_are_checked_before_the_controller_is_asked(link: Link, laser: Laser) -> None:
    with pytest.raises(ServerFailed) as refused:
        link.call("set_power", channel=1, power="much")
    assert refused.value.code == "invalid_parameter"
    [verdict] = link.call("link.check", requests=[{"command_id": "hang", "value": 1}])
    assert verdict["error"] == "'hang' has no parameter 'value'"
    assert not laser.started.is_set()


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("ValueError", "no light"),
        ("KeyError", "KeyError: 'no light'"),
        ("own", f"{__name__}.OwnError: no light"),
    ],
)
def test_an_exception_of_a_method_is_an_instrument_error(
    link: Link, kind: str, sentence: str
) -> None:
    with pytest.raises(ServerFailed) as refused:
        link.call("refuse", kind=kind)
    assert (refused.value.code, refused.value.error) == ("instrument_error", sentence)
    assert link.call("echo", value=1) == 1


def test_the_remote_traceback_is_in_the_log(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with connected("127.0.0.1", port) as controller, caplog.at_level(logging.INFO):
        with pytest.raises(InstrumentError):
            controller.interact({"command_id": "refuse", "kind": "KeyError"})
    assert caplog.messages[-1].startswith(
        f"refuse failed in the controller at 127.0.0.1:{port}:\n"
    )
    assert "in refuse" in caplog.messages[-1]


def test_a_lost_controller_is_an_error_and_the_next_call_connects_again(laser: Laser) -> None:
    with SipycoServer({"laser": laser}) as server:
        controller = open_controller("127.0.0.1", server.port)
    with contextlib.closing(controller):
        address = f"127.0.0.1:{server.port}"
        with pytest.raises(InstrumentError) as down:
            controller.interact({"command_id": "echo", "value": 1})
        assert str(down.value) == (
            f"could not connect to the controller at {address}: Connection refused"
        )
        with SipycoServer({"laser": laser}, port=server.port):
            assert controller.interact({"command_id": "echo", "value": 1}) == 1
        # The controller has been started again between two calls: nothing was lost.
        with SipycoServer({"laser": laser}, port=server.port):
            assert controller.interact({"command_id": "echo", "value": 2}) == 2


IDENTIFICATION = b'{"targets": ["laser"], "description": null}\n'
METHODS = (
    b'{"status": "ok", "ret": {"docstring": null, "methods": {"f": ({"args": ["self"]}, null)}}}\n'
)


def greet(connection: Any, methods: bytes = METHODS) -> Any:
    """Be a controller with one method, in PYON v1, up to the first call."""
    lines = connection.makefile("rwb")
    for question, answer in [
        (b"ARTIQ pc_rpc\n", IDENTIFICATION),
        (b"laser\n", b'{"f"}\n'),
        (None, methods),
    ]:
        line = lines.readline()
        assert question in (None, line)
        lines.write(answer)
        lines.flush()
    return lines


@pytest.mark.parametrize("way", ["reset", "close", "noise"])
def test_a_connection_lost_during_a_call(way: str) -> None:
    """The sentence names controller and method; it is not called again by itself."""
    pytest.importorskip("sipyco")

    def lose(connection: Any) -> None:
        with greet(connection) as lines:
            assert b'"f"' in lines.readline()
            if way == "noise":
                lines.write(b"1 +\n")
                lines.flush()
            elif way == "reset":
                reset(connection)

    with scripted_server(lose) as (host, port):
        controller = NdspController(host, port, trusted=True)
        with pytest.raises(InstrumentError) as lost:
            controller.interact({"command_id": "f"})
    assert str(lost.value).startswith(
        f"lost the controller at {host}:{port} during f, which was executed perhaps: "
    )
    controller.close()


def answer_a_call(connection: Any) -> None:
    """Be a controller again; its methods are known already."""
    fresh = b'{"status": "ok", "ret": "fresh"}\n'
    with greet(connection, fresh) as lines:
        assert lines.readline() == b""


def test_what_a_broken_connection_still_says_is_nobodys_answer() -> None:
    """The next call has a connection of its own, also while the old one stays open."""
    pytest.importorskip("sipyco")

    def answer_late(connection: Any) -> None:
        with greet(connection) as lines:
            lines.readline()
            lines.write(b"1 +\n")
            lines.flush()
            assert lines.readline() == b""

    with scripted_server(answer_late, answer_a_call) as (host, port):
        with connected(host, port, trusted=True) as controller:
            with pytest.raises(InstrumentError, match="during f"):
                controller.interact({"command_id": "f"})
            assert controller.interact({"command_id": "f"}) == "fresh"


def test_a_connection_that_was_reset_between_calls_is_made_anew() -> None:
    pytest.importorskip("sipyco")

    def greet_and_reset(connection: Any) -> None:
        greet(connection).close()
        reset(connection)

    with scripted_server(greet_and_reset, answer_a_call) as (host, port):
        with connected(host, port, trusted=True) as controller:
            select.select([vars(controller._client)["_Client__socket"]], [], [], PATIENCE)
            assert controller.interact({"command_id": "f"}) == "fresh"


def test_a_controller_that_lost_its_method(laser: Laser) -> None:
    class Other:
        def ping(self):
            return True

    with SipycoServer({"laser": laser}) as server:
        controller = open_controller("127.0.0.1", server.port)
    with contextlib.closing(controller), SipycoServer({"laser": Other()}, port=server.port):
        with pytest.raises(InstrumentError) as gone:
            controller.interact({"command_id": "echo", "value": 1})
    assert str(gone.value) == f"the controller at 127.0.0.1:{server.port} no longer has 'echo'"


def test_a_method_that_ends_its_server_ends_only_that(laser: Laser) -> None:
    with SipycoServer({"laser": laser}) as server, connected("127.0.0.1", server.port) as ours:
        with pytest.raises(InstrumentError):
            ours.interact({"command_id": "leave"})


def test_a_call_that_hangs_hangs_nothing_else(
    link_server: LinkServer, laser: Laser, probe: Probe
) -> None:
    link = Link(port=link_server.port, timeout=PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(link.call, "hang")
        assert laser.started.wait(PATIENCE)
        assert link.call("count") == 0
        assert link.call("link.status")["instruments"]["laser"]["command"] == "hang"
        laser.go_on.set()
        assert hanging.result(PATIENCE) == "late"


@pytest.fixture
def link_server(port: int, serve: Serve, probe: Probe) -> LinkServer:
    return serve({"laser": open_controller("127.0.0.1", port), "dds": probe})


def test_close_gives_up_a_call_that_hangs(port: int, laser: Laser) -> None:
    controller = open_controller("127.0.0.1", port)
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(controller.interact, {"command_id": "hang"})
        assert laser.started.wait(PATIENCE)
        controller.close()
        with pytest.raises(InstrumentError) as given_up:
            hanging.result(PATIENCE)
    assert str(given_up.value) == (
        f"lost the controller at 127.0.0.1:{port} during hang, which was executed perhaps: "
        "the link was closed"
    )
    controller.close()
    with pytest.raises(InstrumentError) as closed:
        controller.interact({"command_id": "echo", "value": 1})
    assert str(closed.value) == f"the connection to the controller at 127.0.0.1:{port} is closed"


def test_a_controller_with_several_targets(laser: Laser) -> None:
    with SipycoServer({"laser": laser, "meter": Laser()}) as server:
        address = f"the controller at 127.0.0.1:{server.port}"
        with pytest.raises(InstrumentError) as several:
            open_controller("127.0.0.1", server.port)
        assert str(several.value) == f"{address} has several targets, say which: laser, meter"
        with pytest.raises(InstrumentError) as unknown:
            open_controller("127.0.0.1", server.port, "lazer")
        assert str(unknown.value) == f"{address} has no target 'lazer'; it has: laser, meter"
        with connected("127.0.0.1", server.port, "meter") as controller:
            assert controller.target == "meter"


def test_a_controller_over_ipv6(laser: Laser) -> None:
    with SipycoServer({"laser": laser}, "::1") as server:
        with connected("::1", server.port) as controller:
            assert controller.address == f"[::1]:{server.port}"
            assert controller.interact({"command_id": "echo", "value": 1}) == 1


def test_methods_that_cannot_be_listed_take_args_and_kwargs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """sipyco's server cannot where an annotation is text, and then refuses the whole list."""
    pytest.importorskip("sipyco")
    failed = (
        b'{"status": "failed", "exception": {"class": "AttributeError", '
        b'"message": "no __name__", "traceback": []}}\n'
    )

    def be(connection: Any) -> None:
        with greet(connection, failed) as lines:
            call = lines.readline()
            for part in (b'"args": (1, )', b'"kwargs": {"b": 2}'):
                assert part in call
            lines.write(b'{"status": "ok", "ret": 3}\n')
            lines.flush()

    with scripted_server(be) as (host, port), connected(host, port, trusted=True) as controller:
        assert list(controller.commands) == ["f"]
        call = {"command_id": "f", "args": [1], "kwargs": {"b": 2}}
        assert controller.interact(call) == 3
        assert controller.describe()["doc"] == (
            f"The target laser of the NDSP controller at {host}:{port}."
        )
    assert caplog.messages == [
        f"the controller at {host}:{port} cannot list its methods' parameters (no __name__): "
        "they take args and kwargs"
    ]


# --- controllers that could run code here


def test_a_controller_with_pyon_v1_only_is_refused_before_anything_of_it_is_evaluated() -> None:
    pytest.importorskip("sipyco.pyon_v1")

    def introduce(connection: Any) -> None:
        assert connection.recv(100) == b"ARTIQ pc_rpc\n"
        connection.sendall(IDENTIFICATION)
        assert connection.recv(100) == b""  # no target was chosen: no answer is awaited

    with scripted_server(introduce) as (host, port):
        with pytest.raises(InstrumentError) as refused:
            NdspController(host, port)
    assert str(refused.value) == (
        f"the controller at {host}:{port} speaks PYON v1 only, which sipyco runs as Python code: "
        "update the controller's sipyco to 1.10 or later, or trust it "
        "(--trust-controller, or trusted=True)"
    )


def test_an_old_sipyco_reads_nothing_of_a_controller_unless_it_is_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It evaluates already what the controller introduces itself with."""
    pytest.importorskip("sipyco")
    monkeypatch.setattr("sipyco.pyon.decode", eval)
    with scripted_server() as (host, port), pytest.raises(InstrumentError) as refused:
        NdspController(host, port)
    assert str(refused.value) == (
        "sipyco before 1.10 runs what controllers send as Python code: install a newer one, or "
        f"trust the controller at {host}:{port} (--trust-controller, or trusted=True)"
    )


def test_an_exception_of_a_controller_calls_nothing_else(tmp_path: Path) -> None:
    """sipyco calls the builtin of the exception's name, whichever it is."""
    pytest.importorskip("sipyco.pyon_v1")
    ran = tmp_path / "ran"
    exception = {"class": "exec", "message": f"open({str(ran)!r}, 'w')", "traceback": []}

    def be(connection: Any) -> None:
        with connection.makefile("rwb") as lines:
            for answer in (
                {"targets": ["laser"], "description": None, "features": ["pyon_v2"]},
                {"__jsonclass__": ["set", [["f"]]]},
                {"status": "ok", "ret": {"docstring": None, "methods": {"f": [{}, None]}}},
                {"status": "failed", "exception": exception},
            ):
                lines.readline()
                lines.write(json.dumps(answer).encode() + b"\n")
                lines.flush()

    with (
        scripted_server(be) as (host, port),
        contextlib.closing(NdspController(host, port)) as controller,
    ):
        with pytest.raises(InstrumentError) as lost:
            controller.interact({"command_id": "f"})
    assert str(lost.value).endswith(
        "it does not answer as NDSP does (ValueError: 'exec' is no exception)"
    )
    assert not ran.exists()


# --- what is no controller


def silent(connection: Any) -> None:
    connection.recv(100)
    connection.recv(100)


def silent_after_the_greeting(connection: Any) -> None:
    lines = connection.makefile("rwb")
    for answer in (IDENTIFICATION, b'{"f"}\n'):
        lines.readline()
        lines.write(answer)
        lines.flush()
    lines.readline()
    connection.recv(1)
    lines.close()


def echo(connection: Any) -> None:
    connection.sendall(connection.recv(100))


def be_a_web_server(connection: Any) -> None:
    connection.recv(100)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def identify_wrongly(connection: Any) -> None:
    connection.recv(100)
    connection.sendall(b'{"targets": 7, "description": null}\n')


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        (echo, "it does not answer as NDSP does ("),
        (be_a_web_server, "it does not answer as NDSP does ("),
        (identify_wrongly, "it does not answer as NDSP does ("),
        (silent, "it does not answer"),
        (silent_after_the_greeting, "it does not answer"),
        # sipyco 1.0 makes a SyntaxError of it, later releases an EOFError.
        (lambda connection: connection.recv(100), "it "),
    ],
)
def test_what_is_no_controller_is_one_sentence(script: Any, trouble: str) -> None:
    pytest.importorskip("sipyco")
    with scripted_server(script) as (host, port):
        with pytest.raises(InstrumentError) as refused:
            NdspController(host, port, connect_time=0.2, trusted=True)
    sentence = str(refused.value)
    assert sentence.startswith(f"could not connect to the controller at {host}:{port}: {trouble}")
    assert sentence.count("\n") == 0


# --- the command line


def test_serve_offers_a_controller_of_the_links_own_kind(serve: Serve, probe: Probe) -> None:
    """A server of the link is an NDSP controller too; the instrument is named as its target."""
    pytest.importorskip("sipyco.pyon_v1")
    behind = serve({"dds": probe})
    arguments = ("-m", "artiq_link", "serve", "-p", "0", "--no-localhost-bind")
    with running_python(
        *arguments, "--bind", "127.0.0.1", "--controller", f"127.0.0.1:{behind.port}"
    ) as (process, port):
        link = Link(port=port, timeout=PATIENCE)
        assert link.call("dds.set_frequency", channel=1, frequency=1e6) == {"frequency": 1e6}
        wrong = {"channel": 1, "frequency": 5e8}
        with pytest.raises(ServerFailed) as refused:
            link.call("set_frequency", **wrong)
        with pytest.raises(ServerFailed) as refused_behind:
            Link(port=behind.port, timeout=PATIENCE).call("set_frequency", **wrong)
        assert refused.value.code == "instrument_error"
        assert refused.value.error == refused_behind.value.error
        with pytest.raises(ServerFailed) as failed:
            link.call("refuse")
        assert failed.value.error == "InstrumentError: no lock"
        process.terminate()
        assert finish(process) == (0, "", "")
    assert probe.executed == [(1, 1e6)]


def test_serve_exits_with_2_where_there_is_no_controller(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("sipyco.pyon_v1")
    with free_port() as port:
        assert cli.main(["serve", "-p", "0", "--controller", f"127.0.0.1:{port}:dds"]) == 2
    sentence = f"could not connect to the controller at 127.0.0.1:{port}: Connection refused\n"
    assert capsys.readouterr() == ("", sentence)


def test_serve_names_controllers_by_their_targets(
    laser: Laser, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of one name are refused, with a way out; the first one's connection is closed."""
    pytest.importorskip("sipyco.pyon_v1")
    with SipycoServer({"laser-2": laser}) as first, SipycoServer({"laser.2": laser}) as second:
        peers = [f"127.0.0.1:{server.port}" for server in (first, second)]
        options = [option for peer in peers for option in ("--controller", peer)]
        assert cli.main(["serve", "-p", "0", *options]) == 2
    assert capsys.readouterr() == (
        "",
        f"{peers[0]} and {peers[1]} are both named 'laser_2': serve one of them on another port\n",
    )
