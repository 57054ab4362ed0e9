"""The experiment's devices, as ARTIQ builds and uses them, against real servers."""

from __future__ import annotations

import ast
import contextlib
import http.server
import json
import math
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artiq_link import (
    DDS,
    Calibration,
    Channel,
    Instrument,
    LinkServer,
    SimulatedDriver,
    artiq_device,
    command,
)
from artiq_link.artiq_device import DDSLink, DeviceFailed, LinkDevice, QueueFull
from artiq_link.link_client import (
    ConnectFailed,
    LeaseLost,
    Link,
    LinkError,
    NoReply,
    ServerFailed,
)
from tests.conftest import CONTROL_TOKEN, PATIENCE, Certificates, Probe
from tests.programs import running_python
from tests.scripted_server import Script, answer, free_port, read_request, reset, scripted_server

SOURCE = Path(artiq_device.__file__)
STEP = 1e9 / 2**32
"""Hz; what a frequency of the simulated DDS is a multiple of."""
STATUS = answer(status="success", result={"instruments": {"dds": {}}})

Serve = Callable[..., LinkServer]
Build = Callable[..., Any]


class Scheduler:
    """ARTIQ's virtual device, as far as a device sees it."""

    def __init__(self, rid: int) -> None:
        self.rid = rid


class DeviceManager:
    """What ARTIQ gives a device: the device database, and the other devices by name."""

    def __init__(self, device_db: dict[str, Any], **virtual_devices: Any) -> None:
        self._device_db = device_db
        self._virtual_devices = virtual_devices
        self.active: list[Any] = []

    def get_device_db(self) -> dict[str, Any]:
        return self._device_db

    def get(self, key: str) -> Any:
        if key in self._virtual_devices:
            return self._virtual_devices[key]
        entry = self._device_db[key]
        device = getattr(artiq_device, entry["class"])(self, **entry.get("arguments", {}))
        self.active.append(device)
        return device


def entry(kind: type = LinkDevice, **arguments: Any) -> dict[str, Any]:
    """A local device's entry of the device database."""
    return {
        "type": "local",
        "module": kind.__module__,
        "class": kind.__name__,
        "arguments": arguments,
    }


@pytest.fixture
def managers(serve: Serve) -> Iterator[list[DeviceManager]]:
    """The managers that `build` made; their devices are closed at the end, before the servers."""
    made: list[DeviceManager] = []
    yield made
    for dmgr in made:
        for device in dmgr.active:
            device.close()


@pytest.fixture
def build(managers: list[DeviceManager]) -> Build:
    """Build the device ``dds`` of a device database."""

    def make(kind: type = LinkDevice, **arguments: Any) -> Any:
        arguments.setdefault("host", "127.0.0.1")
        dmgr = DeviceManager({"dds": entry(kind, **arguments)}, scheduler=Scheduler(1234))
        managers.append(dmgr)
        return dmgr.get("dds")

    return make


@pytest.fixture
def device(build: Build, serve: Serve) -> LinkDevice:
    """A device whose server holds the probe."""
    made = build(port=serve().port)
    assert isinstance(made, LinkDevice)
    return made


@pytest.fixture
def dds(build: Build, serve: Serve) -> DDSLink:
    """A device for the simulated DDS."""
    made = build(DDSLink, port=serve({"dds": DDS(SimulatedDriver())}).port)
    assert isinstance(made, DDSLink)
    return made


class Answers:
    """An experiment's callbacks; remembers which were called, with what, and in which threads."""

    def __init__(self, device: LinkDevice) -> None:
        self.calls: list[Any] = []
        self.threads: set[threading.Thread] = set()
        device.server_success = lambda reply: self.note("success", reply["command_id"])
        device.server_fail = lambda reply: self.note("fail", reply["code"])
        device.fail_connect = lambda: self.note("no reply")

    def note(self, *call: Any) -> None:
        self.calls.append(call)
        self.threads.add(threading.current_thread())


Held = tuple[LinkDevice, Answers]


def hold(device: LinkDevice, probe: Probe) -> None:
    """Post a command that runs until the test says `go_on`, and wait until it has started."""
    device.post("wait")
    assert probe.started.wait(PATIENCE)


def wait_until_idle(device: LinkDevice) -> None:
    """Wait until the thread that sends has nothing to do, without flushing."""
    sender = device._sender
    with sender._changed:
        assert sender._changed.wait_for(sender._is_idle, PATIENCE)


# --- waiting calls ------------------------------------------------------------------------------


def test_a_call_waits_and_returns_the_result(device: LinkDevice) -> None:
    assert device.call("set_frequency", channel=0, frequency=80e6) == {"frequency": 80e6}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int32(3), 3),
        (np.int64(2**40), 2**40),
        (np.float64(0.5), 0.5),
        (np.bool_(True), True),
        ([np.int32(1), np.float64(2.5), np.bool_(False)], [1, 2.5, False]),
        ([[np.int64(1)], [np.int64(2)]], [[1], [2]]),
        ((np.int32(1), np.int32(2)), [1, 2]),
    ],
)
def test_what_kernels_give_arrives_as_plain_numbers(
    device: LinkDevice, value: Any, plain: Any
) -> None:
    """RPCs of kernels have NumPy's types, and lists of them."""
    assert device.call("echo", value=value) == plain
    assert type(device.call("echo", value=value)) is type(plain)


def test_an_array_arrives_as_an_array(device: LinkDevice) -> None:
    assert device.call("echo", value=np.arange(4.0)).tolist() == [0.0, 1.0, 2.0, 3.0]


def test_numpy_types_fit_typed_parameters(device: LinkDevice, probe: Probe) -> None:
    device.call("set_frequency", channel=np.int32(1), frequency=np.float64(80e6))
    device.post("set_frequency", channel=np.int64(2), frequency=np.int32(5))
    device.flush()
    assert probe.executed == [(1, 80e6), (2, 5)]


def test_a_refused_command_raises_and_names_device_and_command(device: LinkDevice) -> None:
    with pytest.raises(ServerFailed) as info:
        device.call("refuse")
    assert isinstance(info.value, DeviceFailed)
    assert str(info.value) == "instrument_error: dds: refuse: no lock"
    assert (info.value.code, info.value.error) == ("instrument_error", "dds: refuse: no lock")
    assert info.value.reply["status"] == "fail"


def test_a_refused_parameter_is_named(device: LinkDevice) -> None:
    with pytest.raises(DeviceFailed) as info:
        device.call("set_frequency", channel=0, frequency=500e6)
    assert info.value.code == "out_of_range"
    assert info.value.where == "frequency"
    assert info.value.error.startswith("dds: set_frequency: frequency: ")


def test_a_failure_survives_pickling_and_a_kernel(device: LinkDevice) -> None:
    """ARTIQ makes an exception that a kernel raises anew from its class and its text."""
    with pytest.raises(DeviceFailed) as info:
        device.call("refuse")
    error = info.value
    anew = DeviceFailed(str(error))
    assert (anew.code, anew.error, str(anew)) == (error.code, error.error, str(error))
    assert pickle.loads(pickle.dumps(error)).reply == error.reply


def test_what_cannot_be_sent_is_named_before_connecting(device: LinkDevice) -> None:
    with pytest.raises(TypeError) as info:
        device.call("echo", value=object())
    assert str(info.value) == "dds: echo: value: a value of type object cannot be sent as JSON"
    with pytest.raises(ValueError, match=r"^dds: echo: value: nan cannot be sent as JSON"):
        device.call("echo", value=math.nan)


def test_an_unknown_channel_is_named(dds: DDSLink) -> None:
    with pytest.raises(DeviceFailed) as info:
        dds.set_frequency("cooling", 80e6)
    assert info.value.code == "invalid_parameter"
    assert info.value.error.startswith(
        "dds: set_frequency: channel: there is no channel 'cooling'; the channels are 0 'ch0', "
    )


# --- posted commands ----------------------------------------------------------------------------


def test_posted_commands_are_executed_in_order(device: LinkDevice, probe: Probe) -> None:
    for number in range(200):
        device.post("set_frequency", channel=number, frequency=1e6)
    device.flush()
    assert probe.executed == [(number, 1e6) for number in range(200)]


def test_post_returns_at_once_and_flush_waits(device: LinkDevice, probe: Probe) -> None:
    hold(device, probe)
    device.post("echo", value=1)
    flushed = threading.Event()

    def flush() -> None:
        device.flush()
        flushed.set()

    waiting = threading.Thread(target=flush)
    waiting.start()
    assert probe.executed == []
    assert not flushed.is_set()
    probe.go_on.set()
    waiting.join(PATIENCE)
    assert flushed.is_set()
    assert probe.executed == ["wait", "echo"]


def test_a_call_is_executed_after_what_was_posted(device: LinkDevice) -> None:
    for number in range(20):
        device.post("set_frequency", channel=number, frequency=1e6)
    assert device.call("count") == 20


def test_what_is_posted_is_what_it_was_then(build: Build, serve: Serve, probe: Probe) -> None:
    """An experiment may go on with its list while the command waits to be sent."""
    device = build(port=serve().port, on_fail="callbacks")
    replies: list[dict[str, Any]] = []
    device.server_success = replies.append
    hold(device, probe)
    value = [[1], [2]]
    device.post("echo", value=value)
    value[0].append(3)
    probe.go_on.set()
    device.flush()
    assert replies[-1]["result"] == [[1], [2]]


def test_flush_raises_the_first_failure_and_says_how_many_were_not_sent(
    device: LinkDevice, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    hold(device, probe)
    device.post("refuse")
    device.post("set_frequency", channel=1, frequency=1e6)
    device.post("fail")
    probe.go_on.set()
    with pytest.raises(DeviceFailed) as info:
        device.flush()
    assert str(info.value) == (
        "instrument_error: dds: refuse: no lock; not sent: 2 commands posted behind it"
    )
    assert probe.executed == ["wait"]
    # The log has it when it happens: a flush may be an hour away.
    assert caplog.messages[-1] == (
        "instrument_error: dds: refuse: no lock; what is posted behind it is not sent before "
        "flush()"
    )


def test_a_failure_is_told_once_and_the_device_is_usable_again(
    device: LinkDevice, probe: Probe
) -> None:
    device.post("refuse")
    with pytest.raises(DeviceFailed, match=r"no lock$"):
        device.flush()
    device.post("set_frequency", channel=1, frequency=1e6)
    device.flush()
    device.flush()
    assert probe.executed == [(1, 1e6)]


def test_what_is_posted_after_a_failure_is_not_sent_either(
    build: Build, serve: Serve, probe: Probe
) -> None:
    """Not before the experiment has heard of it, and however much it is."""
    device = build(port=serve().port, queue_length=1)
    device.post("refuse")
    wait_until_idle(device)
    for _ in range(3):
        device.post("count")
    with pytest.raises(DeviceFailed) as info:
        device.call("count")
    assert info.value.error == (
        "dds: refuse: no lock; not sent: 3 commands posted behind it, and count"
    )
    assert probe.executed == []


def test_a_full_queue_is_an_error_and_not_a_hang(build: Build, serve: Serve, probe: Probe) -> None:
    device = build(port=serve().port, queue_length=2)
    hold(device, probe)
    device.post("echo", value=1)
    device.post("echo", value=2)
    with pytest.raises(QueueFull) as info:
        device.post("echo", value=3)
    assert isinstance(info.value, LinkError)
    assert str(info.value) == (
        "dds: echo: not posted, 2 commands are waiting already; call flush() in between, or "
        "give a larger queue_length"
    )
    probe.go_on.set()
    device.flush()
    assert probe.executed == ["wait", "echo", "echo"]


def test_a_thread_that_cannot_be_started_is_an_error_and_not_a_hang(
    device: LinkDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is not posted then, and the next one gets its thread."""

    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            device.post("count")
    device.flush()
    device.post("set_frequency", channel=0, frequency=1e6)
    assert device.call("count") == 1


def test_what_cannot_be_sent_is_raised_by_flush(device: LinkDevice) -> None:
    device.post("echo", value=object)
    with pytest.raises(TypeError) as info:
        device.flush()
    assert str(info.value) == "dds: echo: value: a value of type type cannot be sent as JSON"


def test_a_server_that_is_silent_costs_one_timeout_and_not_one_a_command(build: Build) -> None:
    """The scripted server sees a single connection after the status."""
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        read_request(connection)
        assert over.wait(PATIENCE)

    with scripted_server(STATUS, silent) as (host, port):
        device = build(host=host, port=port, timeout=0.3)
        for number in range(1000):
            device.post("set_frequency", channel=number, frequency=1e6)
        with pytest.raises(NoReply) as info:
            device.flush()
        over.set()
    assert str(info.value) == (
        f"dds: set_frequency: {host}:{port} gave no whole reply within 0.3 s (0 bytes came); "
        "whether the command was executed is not known: check the instrument before sending it "
        f"again, or ask with Link.outcome({info.value.id!r}); not sent: 999 commands posted "
        "behind it"
    )


DONE = answer(status="success", result=1)


def end_of_file(connection: socket.socket) -> None:
    """See the device's ordinary close."""
    assert connection.recv(1) == b""


def in_turn(*scripts: Script, done: threading.Event | None = None) -> Script:
    """Do one script after the other on one connection."""

    def script(connection: socket.socket) -> None:
        for one in scripts:
            one(connection)
        if done is not None:
            done.set()

    return script


def test_posted_commands_share_a_connection_until_the_device_is_closed(build: Build) -> None:
    with scripted_server(STATUS, in_turn(DONE, DONE, DONE, end_of_file)) as (host, port):
        device = build(host=host, port=port)
        device.post("count")
        device.flush()
        device.post("count")
        device.post("count")
        device.close()


def test_a_waiting_call_has_a_connection_of_its_own(build: Build) -> None:
    once = in_turn(DONE, end_of_file)
    with scripted_server(STATUS, once, once) as (host, port):
        device = build(host=host, port=port)
        device.call("count")
        device.call("count")


def test_when_nothing_is_posted_for_long_the_connection_is_closed(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artiq_device, "IDLE_TIME", 0.0)
    closed = threading.Event()
    one = in_turn(DONE, end_of_file, done=closed)
    with scripted_server(STATUS, one, one) as (host, port):
        device = build(host=host, port=port)
        for _ in range(2):
            device.post("count")
            device.flush()
            assert closed.wait(PATIENCE)
            closed.clear()


# --- batches ------------------------------------------------------------------------------------


def test_a_batch_is_one_exchange_and_returns_the_results(build: Build) -> None:
    requests = []

    def run(connection: socket.socket) -> None:
        requests.append(request := read_request(connection))
        replies = [{"status": "success", "result": n} for n in range(len(request["requests"]))]
        reply = {"status": "success", "result": replies, "id": request["link"]["id"]}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    status = answer(status="success", result={"instruments": {"laser": {}}})
    with scripted_server(status, run) as (host, port):
        device = build(host=host, port=port, instrument="laser")
        assert device.batch([{"command_id": "count"}, {"command_id": "dds.count"}]) == [0, 1]
    assert requests[0]["command_id"] == "link.batch"
    assert requests[0]["requests"] == [
        {"command_id": "laser.count"},
        {"command_id": "dds.count"},
    ]
    assert (requests[0]["on_failure"], requests[0]["check"]) == ("stop", True)


@pytest.mark.parametrize("on_fail", ["exceptions", "callbacks"])
def test_a_batch_names_the_first_that_failed(build: Build, on_fail: str) -> None:
    replies = [
        {"status": "success", "result": 1},
        {"status": "fail", "command_id": "refuse", "code": "instrument_error", "error": "no lock"},
    ]
    with scripted_server(STATUS, answer(status="success", result=replies)) as (host, port):
        device = build(host=host, port=port, on_fail=on_fail)
        with pytest.raises(DeviceFailed) as info:
            device.batch([{"command_id": "count"}, {"command_id": "refuse"}])
    assert str(info.value) == "instrument_error: dds: batch: requests[1]: refuse: no lock"
    assert info.value.reply["replies"] == replies


def test_a_batch_that_is_refused_as_a_whole_names_the_device(build: Build) -> None:
    refusal = answer(status="fail", code="out_of_range", error="requests[1]: too high")
    with scripted_server(STATUS, refusal) as (host, port):
        device = build(host=host, port=port)
        with pytest.raises(DeviceFailed) as info:
            device.batch([{"command_id": "count"}] * 2)
    assert str(info.value) == "out_of_range: dds: batch: requests[1]: too high"
    assert info.value.id


def test_a_batch_comes_after_what_was_posted_and_not_after_a_failure(
    build: Build,
) -> None:
    fail = answer(status="fail", code="busy", error="later")
    with scripted_server(STATUS, in_turn(DONE, fail)) as (host, port):
        device = build(host=host, port=port)
        device.post("count")
        device.post("count")
        with pytest.raises(DeviceFailed, match=r"^busy: dds: count: later; not sent: batch$"):
            device.batch([{"command_id": "count"}])


def test_a_batch_is_a_list_of_what_can_be_sent(device: LinkDevice) -> None:
    with pytest.raises(TypeError, match=r"^dds: batch: expected a list of requests: 'int'"):
        device.batch(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^dds: batch: requests\[0\].frequency: nan cannot be"):
        device.batch([set_frequency(math.nan)])


def test_errors_of_a_device_name_their_request(device: LinkDevice) -> None:
    with pytest.raises(DeviceFailed) as info:
        device.call("refuse")
    assert info.value.id == info.value.reply["id"]
    with free_port() as device._link.port, pytest.raises(ConnectFailed) as lost:
        device.call("count")
    assert len(bytes.fromhex(lost.value.id)) == 16


# --- callbacks ----------------------------------------------------------------------------------


@pytest.fixture
def held(build: Build, serve: Serve, probe: Probe) -> Held:
    """A device with callbacks, what they are told, and a posted command that still runs."""
    device = build(port=serve().port, on_fail="callbacks")
    answers = Answers(device)
    hold(device, probe)
    return device, answers


def test_exactly_one_callback_is_called_for_each_command(
    build: Build, serve: Serve, probe: Probe
) -> None:
    server = serve()
    device = build(port=server.port, on_fail="callbacks")
    answers = Answers(device)
    assert device.call("count") == 0
    assert device.call("refuse") is None
    assert answers.calls == [("success", "count"), ("fail", "instrument_error")]


def test_fail_connect_is_called_where_there_is_no_server(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    with scripted_server(STATUS) as (host, port):
        device = build(host=host, port=port, on_fail="callbacks")
    answers = Answers(device)
    with free_port() as port:
        device._link.port = port
        assert device.call("count") is None
    assert answers.calls == [("no reply",)]
    assert caplog.messages == [
        f"dds: count: could not connect to 127.0.0.1:{port}: Connection refused; check that the "
        "server is running, that host and port are right, and that no firewall is in the way"
    ]


def test_callbacks_of_posted_commands_are_called_by_flush_in_the_experiments_thread(
    build: Build, serve: Serve
) -> None:
    device = build(port=serve().port, on_fail="callbacks")
    answers = Answers(device)
    device.post("count")
    device.post("ask")
    device.post("count")
    device.flush()
    assert answers.calls == [("success", "count"), ("success", "ask"), ("success", "count")]
    assert answers.threads == {threading.current_thread()}
    device.flush()
    assert len(answers.calls) == 3


def test_commands_behind_a_failure_get_their_callback_too(held: Held, probe: Probe) -> None:
    device, answers = held
    device.post("refuse")
    device.post("count")
    device.post("count")
    probe.go_on.set()
    device.flush()
    assert answers.calls == [
        ("success", "wait"),
        ("fail", "instrument_error"),
        ("no reply",),
        ("no reply",),
    ]
    device.post("count")
    device.flush()
    assert answers.calls[4:] == [("success", "count")]


def test_what_a_callback_posts_is_sent_and_told_of_by_the_next_flush(
    held: Held, probe: Probe
) -> None:
    """A retry, or a safe setting; also where it fails again, flush comes to its end."""
    device, answers = held
    device.post("refuse")
    device.post("count")
    device.fail_connect = lambda: device.post("count")
    device.server_fail = lambda reply: device.post("refuse")
    probe.go_on.set()
    device.flush()
    assert answers.calls == [("success", "wait")]
    device.server_fail = lambda reply: answers.calls.append(("fail", reply["code"]))
    device.fail_connect = lambda: answers.calls.append(("no reply",))
    device.flush()
    assert answers.calls[1:] == [("fail", "instrument_error"), ("no reply",)]


def test_callbacks_of_many_commands_may_make_calls(build: Build, serve: Serve) -> None:
    """Not inside each other: a thousand of them would be too deep."""
    device = build(port=serve().port, on_fail="callbacks")
    results: list[Any] = []

    def call(reply: dict[str, Any]) -> None:
        if reply["command_id"] == "echo":
            results.append(device.call("count"))

    device.server_success = call
    for number in range(500):
        device.post("echo", value=number)
    device.flush()
    assert len(results) == 500


def test_commands_behind_one_that_cannot_be_sent_get_their_callback_by_the_next_flush(
    held: Held, probe: Probe
) -> None:
    device, answers = held
    device.post("echo", value=math.nan)
    device.post("count")
    device.post("count")
    probe.go_on.set()
    with pytest.raises(ValueError, match=r"; not sent: 2 commands posted behind it$"):
        device.flush()
    assert answers.calls == [("success", "wait")]
    device.flush()
    assert answers.calls == [("success", "wait"), ("no reply",), ("no reply",)]


def test_what_cannot_be_copied_is_not_posted(device: LinkDevice) -> None:
    with pytest.raises(TypeError, match=r"^dds: echo: not posted: cannot pickle"):
        device.post("echo", value=threading.Lock())


def test_a_plan_is_a_list(device: LinkDevice) -> None:
    with pytest.raises(TypeError, match=r"^dds: check: expected a list of requests: 'int'"):
        device.check(5)  # type: ignore[arg-type]


def test_a_parameter_may_be_named_command(build: Build, serve: Serve) -> None:
    class Scope(Instrument):
        @command
        def query(self, command: str) -> str:
            return f"answer to {command}"

    device = build(port=serve({"scope": Scope()}).port)
    assert device.call("query", command="*IDN?") == "answer to *IDN?"
    device.post("query", command="*IDN?")
    device.flush()


def test_a_plan_that_is_too_large_for_one_exchange_takes_several(
    build: Build, serve: Serve
) -> None:
    device = build(DDSLink, port=serve({"dds": DDS(SimulatedDriver())}).port)
    settings = [{"channel": channel, "frequency": 80e6} for channel in range(4)]
    plan = [{"command_id": "set_many", "settings": settings}] * 4000
    device.check(plan)
    plan.append(set_frequency(500e6))
    with pytest.raises(DeviceFailed, match=r"requests\[4000\]: set_frequency: frequency: 5e8 Hz"):
        device.check(plan)


def test_callbacks_are_looked_up_when_they_are_called(build: Build, serve: Serve) -> None:
    device = build(port=serve().port, on_fail="callbacks")
    device.call("count")  # nobody wants to know
    replies: list[Any] = []
    device.post("count")
    device.server_success = replies.append
    device.flush()
    device.server_success = None
    device.call("count")
    assert [reply["result"] for reply in replies] == [0]


def test_what_a_callback_raises_reaches_the_experiment_and_the_others_follow(
    build: Build, serve: Serve
) -> None:
    device = build(port=serve().port, on_fail="callbacks")
    calls = []

    def once(reply: dict[str, Any]) -> None:
        calls.append(reply["command_id"])
        if len(calls) == 1:
            raise ZeroDivisionError

    device.server_success = once
    device.post("count")
    device.post("ask")
    with pytest.raises(ZeroDivisionError):
        device.flush()
    device.flush()
    assert calls == ["count", "ask"]


def test_outcomes_that_nobody_has_flushed_count_as_waiting(
    build: Build, serve: Serve, probe: Probe
) -> None:
    """Otherwise an experiment that never flushes would keep replies without bounds."""
    device = build(port=serve().port, on_fail="callbacks", queue_length=2)
    device.post("count")
    device.post("wait")
    assert probe.started.wait(PATIENCE)
    probe.go_on.set()
    wait_until_idle(device)
    with pytest.raises(QueueFull):
        device.post("count")
    device.flush()
    device.post("count")


def test_typed_methods_that_failed_return_nan_false_or_none(build: Build, serve: Serve) -> None:
    port = serve({"dds": DDS(SimulatedDriver())}).port
    dds = build(DDSLink, port=port, on_fail="callbacks")
    answers = Answers(dds)
    assert math.isnan(dds.set_frequency(0, 1e12))
    assert all(map(math.isnan, dds.set(99, frequency=1e6)))
    assert all(map(math.isnan, dds.ramp(0, "frequency", 1e6, 1e12, 1.0)))
    assert dds.output(99, True) is False
    assert dds.get_output(99) is False
    assert dds.get(99) is None
    assert answers.calls == [("fail", "out_of_range")] * 6


def test_what_cannot_be_sent_is_raised_with_callbacks_too(build: Build, serve: Serve) -> None:
    device = build(port=serve().port, on_fail="callbacks")
    answers = Answers(device)
    with pytest.raises(TypeError, match=r"^dds: echo: value: "):
        device.call("echo", value=object())
    assert answers.calls == []


# --- the experiment is built --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"host": None}, "dds: no host and no port; give it among the arguments of the device "
                         "database's entry"),
        ({}, "dds: no port; give it among the arguments of the device database's entry"),
        ({"host": None, "port": 65432},
         "dds: no host; give it among the arguments of the device database's entry"),
        ({"port": "65432"}, "dds: port: expected an integer, got a value of type str"),
        ({"port": 70000}, "dds: port: expected 1 to 65535, got 70000"),
        ({"host": 127, "port": 65432}, "dds: host: expected a text, got a value of type int"),
        ({"port": 65432, "timeout": 0},
         "dds: timeout: expected more than 0 and at most 86400 s, got 0"),
        ({"port": 65432, "on_fail": "callback"},
         "dds: on_fail: expected 'exceptions' or 'callbacks', got 'callback'"),
        ({"port": 65432, "queue_length": 0},
         "dds: queue_length: expected a whole number from 1, got 0"),
        ({"port": 65432, "queue_length": "5"},
         "dds: queue_length: expected a whole number from 1, got '5'"),
        ({"port": 65432, "timeout": "soon"},
         "dds: timeout: expected a number of seconds, got 'soon'"),
    ],
)  # fmt: skip
def test_a_wrong_entry_of_the_device_database_is_one_sentence(
    build: Build, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((TypeError, ValueError)) as info:
        build(**arguments)
    assert str(info.value) == sentence


def test_a_missing_host_is_named_also_where_the_entry_has_none() -> None:
    dmgr = DeviceManager({"lattice": entry(DDSLink, port=65432)})
    with pytest.raises(ValueError, match=r"^lattice: no host; give it"):
        dmgr.get("lattice")


def test_a_server_that_is_down_is_one_sentence(build: Build) -> None:
    with free_port() as port, pytest.raises(ConnectFailed) as info:
        build(port=port)
    assert str(info.value) == (
        f"dds: could not connect to 127.0.0.1:{port}: Connection refused; check that the server "
        "is running, that host and port are right, and that no firewall is in the way"
    )


def test_an_unknown_host_is_one_sentence(build: Build) -> None:
    with pytest.raises(ConnectFailed) as info:
        build(host="lab-pc.invalid", port=65432)
    assert str(info.value).startswith("dds: unknown host 'lab-pc.invalid' (port 65432): ")
    assert str(info.value).endswith("; check the name, or give the numeric address")


def echo(connection: socket.socket) -> None:
    connection.sendall(connection.recv(65536))


def hang_up(connection: socket.socket) -> None:
    connection.recv(65536)


def answer_in_html(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    connection.recv(65536)


@pytest.mark.parametrize(
    "program",
    [answer_in_html, echo, hang_up, answer(status="success", result="hello"),
     answer(status="success", result={"instruments": 3})],
)  # fmt: skip
def test_another_programs_port_is_one_sentence(build: Build, program: Script) -> None:
    with scripted_server(program) as (host, port), pytest.raises(NoReply) as info:
        build(host=host, port=port, timeout=0.5)
    assert str(info.value) == (
        f"dds: what listens on {host}:{port} did not answer as a link server does within 0.5 s; "
        "check that host and port are those of a link server"
    )


def test_the_port_of_pythons_web_server_is_one_sentence(build: Build) -> None:
    """It waits for the line's end that requests of the link have not."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as web:
        serving = threading.Thread(target=web.handle_request)
        serving.start()
        with pytest.raises(NoReply, match=r"did not answer as a link server does within 0\.5 s; "):
            build(port=web.server_address[1], timeout=0.5)
        serving.join(PATIENCE)


def test_a_server_without_the_instrument_says_which_it_has(build: Build, serve: Serve) -> None:
    port = serve({"dds": Probe(), "laser": Probe()}).port
    with pytest.raises(ValueError, match="has no instrument") as info:
        build(port=port, instrument="shutter")
    assert str(info.value) == (
        f"dds: 127.0.0.1:{port} has no instrument 'shutter'; it has dds, laser"
    )


def test_best_effort_tolerates_a_server_that_is_down_until_it_is_up(
    build: Build, caplog: pytest.LogCaptureFixture, serve: Serve
) -> None:
    with free_port() as port:
        device = build(port=port, best_effort=True)
        assert caplog.messages == [
            f"dds: could not connect to 127.0.0.1:{port}: Connection refused; check that the "
            "server is running, that host and port are right, and that no firewall is in the way"
        ]
        with pytest.raises(ConnectFailed, match=r"^dds: count: could not connect"):
            device.call("count")
    serve(port=port)
    assert device.call("count") == 0


# --- names and run identifiers ------------------------------------------------------------------


def closed(kind: type = LinkDevice, **arguments: Any) -> dict[str, Any]:
    """An entry whose server is down, which is tolerated."""
    given = {"host": "127.0.0.1", "port": 1, "best_effort": True, **arguments}
    return entry(kind, **given)


@pytest.mark.parametrize(
    ("device_db", "name"),
    [
        ({"other": "raman", "raman": closed()}, "raman"),
        ({"a": closed(port=2), "b": closed()}, "b"),
        ({"a": closed(timeout=1.0), "b": closed()}, "b"),
        ({"a": closed(DDSLink), "b": closed()}, "b"),
        ({"c": {"type": "controller", "host": "127.0.0.1", "port": 1}, "b": closed()}, "b"),
        ({"a": closed(DDSLink), "b": closed(port=9)}, "b"),
        ({"a": closed(port=8), "b": closed(port=9)}, "LinkDevice"),
        ({}, "LinkDevice"),
    ],
)
def test_a_device_knows_its_key_in_the_device_database(
    device_db: dict[str, Any], name: str
) -> None:
    """By its arguments; where ARTIQ has overridden those, by its class if that is enough."""
    dmgr = DeviceManager(device_db)
    assert LinkDevice(dmgr, "127.0.0.1", 1, best_effort=True).name == name
    assert LinkDevice(dmgr, "127.0.0.1", 1, best_effort=True, name="mine").name == "mine"


def link_of_a_request(**virtual_devices: Any) -> dict[str, Any]:
    """The ``link`` object of a call's request, as it is on the wire."""
    requests = []

    def note(connection: socket.socket) -> None:
        requests.append(request := read_request(connection))
        reply = {"status": "success", "id": request["link"]["id"]}
        connection.sendall(json.dumps(reply).encode() + b"\n")

    with scripted_server(STATUS, note, note) as (host, port):
        dmgr = DeviceManager({"dds": entry(host=host, port=port)}, **virtual_devices)
        device = dmgr.get("dds")
        device.call("get")
        device.post("get")
        device.flush()
        device.close()
    first, second = (request["link"] for request in requests)
    assert first.keys() == second.keys() - {"keep"}
    assert isinstance(first, dict)
    return first


def test_every_request_carries_the_experiments_rid() -> None:
    assert link_of_a_request(scheduler=Scheduler(1234))["rid"] == 1234


def test_without_a_scheduler_requests_go_without_a_rid(caplog: pytest.LogCaptureFixture) -> None:
    """One warning says so."""
    assert "rid" not in link_of_a_request()
    assert caplog.messages == ["dds: there is no scheduler, so its requests go without a RID"]


def test_the_time_for_the_server_is_that_of_the_device() -> None:
    assert link_of_a_request(scheduler=Scheduler(0))["timeout"] == pytest.approx(4.9, abs=0.1)


def test_the_instrument_is_named_where_the_server_holds_several(
    build: Build, serve: Serve, probe: Probe
) -> None:
    laser = Probe()
    device = build(port=serve({"dds": probe, "laser": laser}).port, instrument="laser")
    device.call("echo", value=1)
    device.post("laser.echo", value=1)
    device.flush()
    device.check([{"command_id": "echo", "value": 1}])
    assert device.call("link.ping") is True
    assert (probe.executed, laser.executed) == ([], ["echo", "echo"])


# --- plans --------------------------------------------------------------------------------------


def set_frequency(frequency: Any, channel: Any = 0) -> dict[str, Any]:
    return {"command_id": "set_frequency", "channel": channel, "frequency": frequency}


def test_a_good_plan_is_checked_quietly_and_nothing_is_executed(
    device: LinkDevice, probe: Probe
) -> None:
    device.check([set_frequency(np.float64(number)) for number in range(1000)])
    device.check([])
    device.check([set_frequency(1.0)] * 10_001)  # more than a server checks at once
    assert probe.executed == []


def test_a_bad_plan_is_one_error_that_names_every_bad_request(dds: DDSLink) -> None:
    with pytest.raises(DeviceFailed) as info:
        dds.check(
            [
                set_frequency(80e6),
                set_frequency(500e6),
                {"command_id": "set_frequenzy"},
                set_frequency("10 MHz"),
                set_frequency(80e6, channel=99),
                "noise",  # type: ignore[list-item]
                set_frequency(np.float64(90e6)),
            ]
        )
    lines = info.value.error.split("; requests")
    assert lines[0] == (
        "dds: 5 of 7 requests would be refused: requests[1]: set_frequency: frequency: 5e8 Hz "
        "is above the channel's limit of 4e8 Hz"
    )
    assert [line.partition(": ")[0] for line in lines[1:]] == ["[2]", "[3]", "[4]", "[5]"]
    assert info.value.code == "out_of_range"
    assert dds.get_frequency(0) == 0.0


def test_what_only_the_template_knows_is_not_refused_but_named(
    build: Build, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Commands that `interact` answers have no declared parameters to check."""
    device = build(port=serve(interact=lambda data: None).port)
    device.check([{"command_id": "test_command", "param1": 42}] * 2 + [set_frequency(80e6)])
    device.check([{"command_id": f"command{number}"} for number in range(7)])
    beginning = "dds: check: not checked, because at most the server's interact knows them: "
    doubts = [f"there is no command 'command{number}'" for number in range(5)]
    assert caplog.messages == [
        beginning + "there is no command 'test_command'",
        beginning + "; ".join([*doubts, "and 2 more"]),
    ]


def test_a_plan_for_a_dds_holds_only_what_the_server_has(build: Build, serve: Serve) -> None:
    """The template's `interact` may know anything, so the server cannot refuse it."""
    port = serve({"dds": DDS(SimulatedDriver())}, interact=lambda data: None).port
    dds = build(DDSLink, port=port)
    dds.check([set_frequency(80e6)])
    with pytest.raises(DeviceFailed) as info:
        dds.check([set_frequency(80e6), {"command_id": "set_frequncy", "channel": 0}])
    assert str(info.value) == (
        "unknown_command: dds: 1 of 2 requests would be refused: requests[1]: set_frequncy: "
        "there is no command 'set_frequncy'; did you mean 'set_frequency'?"
    )
    assert info.value.reply["refused"].keys() == {1}


def test_a_plan_is_checked_in_one_exchange(build: Build) -> None:
    with scripted_server(STATUS, answer(status="success", result=[])) as (host, port):
        build(host=host, port=port).check([set_frequency(80e6)] * 1000)


def test_a_plan_that_cannot_be_checked_is_named(build: Build) -> None:
    with scripted_server(STATUS, reset) as (host, port):
        device = build(host=host, port=port)
        with pytest.raises(LinkError, match=r"^dds: check: "):
            device.check([set_frequency(80e6)])
    with pytest.raises(ValueError, match=r"^dds: check: requests\[0\].frequency: nan cannot be"):
        device.check([set_frequency(math.nan)])


@pytest.mark.parametrize(
    ("frequency", "error", "sentence"),
    [
        (math.nan, ValueError, "nan cannot be sent as JSON; expected a finite number"),
        (1j, TypeError, "a complex number cannot be sent as JSON"),
    ],
)
def test_what_cannot_be_sent_is_numbered_within_the_whole_plan(
    device: LinkDevice, frequency: Any, error: type[Exception], sentence: str
) -> None:
    """A long plan is sent in slices."""
    plan = [set_frequency(1.0)] * (artiq_device.MAX_CHECKED + 3) + [set_frequency(frequency)]
    with pytest.raises(error) as info:
        device.check(plan)
    assert str(info.value) == f"dds: check: requests[10003].frequency: {sentence}"


def test_a_plan_without_a_verdict_is_not_said_to_be_executed_perhaps(build: Build) -> None:
    with scripted_server(STATUS, hang_up) as (host, port):
        device = build(host=host, port=port, retries=0)
        with pytest.raises(NoReply) as info:
            device.check([set_frequency(80e6)])
    assert str(info.value) == (
        f"dds: check: the connection to {host}:{port} ended before the whole reply (0 bytes came)"
    )


# --- the end of the run, and dead servers -------------------------------------------------------


def test_the_end_of_the_run_flushes(device: LinkDevice, probe: Probe) -> None:
    for number in range(20):
        device.post("set_frequency", channel=number, frequency=1e6)
    device.notify_run_end()
    assert len(probe.executed) == 20
    device.post("refuse")
    with pytest.raises(DeviceFailed, match=r"no lock$"):
        device.notify_run_end()


def test_the_end_of_the_run_survives_a_dead_server(build: Build) -> None:
    """It tells what was posted and not done, once; the device can be closed afterwards."""
    with scripted_server(STATUS) as (host, port):
        device = build(host=host, port=port)
    device.notify_run_end()
    device.post("count")
    device.post("count")
    with pytest.raises(ConnectFailed, match=r"; not sent: 1 command posted behind it$"):
        device.notify_run_end()
    device.notify_run_end()
    device.close()


def test_closing_gives_what_is_posted_its_time(
    device: LinkDevice, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        device.post("set_frequency", channel=number, frequency=1e6)
    device.close()
    device.close()
    assert len(probe.executed) == 20
    assert caplog.messages == []
    with pytest.raises(RuntimeError) as info:
        device.post("count")
    assert str(info.value) == "dds: count: not posted, the device is closed"


def test_closing_never_hangs_and_logs_what_was_not_sent(
    device: LinkDevice, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    hold(device, probe)
    device.post("echo", value=1)
    device.post("echo", value=2)
    device.timeout = 0.01
    device.close()
    assert caplog.messages == ["dds: closed; not sent: 2 commands posted before"]
    probe.go_on.set()
    assert device._sender._thread is not None
    device._sender._thread.join(PATIENCE)
    assert probe.executed == ["wait"]


def test_closing_never_hangs_where_the_server_is_silent(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()

    def silent(connection: socket.socket) -> None:
        read_request(connection)
        assert over.wait(PATIENCE)

    with scripted_server(STATUS, silent) as (host, port):
        device = build(host=host, port=port, timeout=0.3)
        device.post("count")
        device.post("count")
        device.post("count")
        device.close()
        over.set()
    assert caplog.messages[0].startswith(f"dds: count: {host}:{port} gave no whole reply ")
    assert caplog.messages[1:] == ["dds: closed; not sent: 2 commands posted before"]


def test_closing_survives_a_dead_server(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    with scripted_server(STATUS) as (host, port):
        device = build(host=host, port=port)
    device.post("count")
    device.post("count")
    device.close()
    assert caplog.messages[0].startswith("dds: count: could not connect to ")
    assert caplog.messages[1:] == ["dds: closed; not sent: 1 command posted before"]


@pytest.mark.parametrize("on_fail", ["exceptions", "callbacks"])
def test_a_server_killed_in_the_middle_of_a_scan(
    managers: list[DeviceManager], on_fail: str
) -> None:
    """The experiment hears of it, also when it is back; the next run works, as it stands."""
    with running_python("server.py", "-p", "0") as (server, port):
        dmgr = DeviceManager(
            {"dds": entry(DDSLink, host="127.0.0.1", port=port, on_fail=on_fail)},
            scheduler=Scheduler(1),
        )
        managers.append(dmgr)
        dds = dmgr.get("dds")
        answers = Answers(dds)
        for number in range(10):
            assert dds.set_frequency(0, number * STEP) == number * STEP
        for number in range(500):
            dds.post_frequency(0, number * STEP)
            if number == 100:
                server.kill()
                server.wait(PATIENCE)
        if on_fail == "exceptions":
            with pytest.raises(
                (ConnectFailed, NoReply), match=r"; not sent: \d+ commands posted behind it$"
            ):
                dds.flush()
            with pytest.raises(ConnectFailed):
                dds.set_frequency(0, 80e6)
        else:
            dds.flush()
            assert len(answers.calls) == 510
            assert answers.calls[-1] == ("no reply",)
            assert math.isnan(dds.set_frequency(0, 80e6))
        dds.notify_run_end()
    with running_python("server.py", "-p", str(port)):
        if on_fail == "exceptions":
            for _ in range(2):
                with pytest.raises(DeviceFailed, match=r"^restarted: dds: set_f"):
                    dds.set_frequency(0, 1e6)
        else:
            assert math.isnan(dds.set_frequency(0, 1e6))
        following = DeviceManager(
            {"dds": entry(DDSLink, host="127.0.0.1", port=port, on_fail=on_fail)},
            scheduler=Scheduler(2),
        )
        managers.append(following)
        dds = following.get("dds")
        assert dds.get_frequency(0) == 0
        dds.post_frequency(0, 2e6)
        dds.flush()
        assert dds.get_frequency(0) == pytest.approx(2e6, abs=STEP)


# --- the DDS ------------------------------------------------------------------------------------


def test_the_setters_return_what_was_achieved(dds: DDSLink) -> None:
    assert dds.set_frequency(0, 80e6) == 80000000.0745058
    assert dds.set_phase(0, 0.25) == 0.25
    assert dds.set_amplitude(0, 0.5) == 0.5000305194408838
    assert dds.get_frequency("ch0") == 80000000.0745058
    assert dds.get_phase(0) == 0.25
    assert dds.get_amplitude(0) == 0.5000305194408838


def test_set_changes_what_is_given_in_one_update(dds: DDSLink) -> None:
    assert dds.set(1, frequency=STEP, phase=0.5, amplitude=1.0) == (STEP, 0.5, 1.0)
    assert dds.set(1, amplitude=0.0, phase_mode="absolute") == (STEP, 0.5, 0.0)
    assert dds.get(1)["phase_mode"] == "absolute"


def test_powers_are_set_posted_and_read(serve: Serve, build: Build) -> None:
    """Where a channel has some; NaN where nothing comes out of it."""
    channel = Channel("ch0", calibration=Calibration([(0.0, 10.0), (400e6, 10.0)]))
    dds = build(DDSLink, port=serve({"dds": DDS(SimulatedDriver(1), [channel])}).port)
    assert math.isnan(dds.get_power(0))
    assert dds.set_power(0, 4.0) == pytest.approx(4.0, abs=1e-3)
    dds.post_power(0, -6.0)
    dds.flush()
    assert dds.get_power(0) == pytest.approx(-6.0, abs=1e-2)


def test_outputs_are_switched(dds: DDSLink) -> None:
    assert dds.output(0, False) is False
    assert dds.get_output(0) is False
    assert dds.output(0, np.bool_(True)) is True
    assert dds.get_output(0) is True


def test_ramps_begin_and_are_stopped(dds: DDSLink) -> None:
    start, stop, duration = dds.ramp(0, "frequency", 1e6, 2e6, 100.0)
    assert (start, stop) == pytest.approx((1e6, 2e6), abs=STEP)
    assert duration == pytest.approx(100.0, rel=1e-3)
    frequency, _, _ = dds.stop(0)
    assert 1e6 - STEP <= frequency < 2e6
    dds.reset()
    assert dds.get_frequency(0) == 0.0


def test_tables_waveforms_and_several_channels(dds: DDSLink) -> None:
    played = dds.play(0, [{"dwell": 1e-3, "frequency": np.float64(STEP)}], repeat=True)
    assert played["steps"][0]["frequency"] == STEP
    tones = dds.set_many([{"channel": 0, "frequency": STEP}, {"channel": 1, "amplitude": 1.0}])
    assert [tone["frequency"] for tone in tones] == [STEP, 0.0]
    samples = dds.waveform(0, 16, 1e6)
    assert (samples.shape, samples.dtype) == ((16,), np.dtype(float))


def test_each_parameter_can_be_posted(dds: DDSLink) -> None:
    dds.post_frequency(0, 2 * STEP)
    dds.post_phase(0, 0.5)
    dds.post_amplitude(0, 1.0)
    dds.post_output(0, False)
    dds.flush()
    assert (
        dds.call("get", channel=0).items()
        >= {
            "frequency": 2 * STEP,
            "phase": 0.5,
            "amplitude": 1.0,
            "output": False,
        }.items()
    )


def test_what_kernels_get_has_their_types(dds: DDSLink) -> None:
    """ARTIQ refuses an RPC's result that is not just the annotated type."""
    assert type(dds.set_frequency(0, np.int32(0))) is float
    assert type(dds.output(0, True)) is bool
    assert [type(value) for value in dds.set(0, frequency=0)] == [float] * 3
    assert dds.reset() is None  # type: ignore[func-returns-value]


def test_kernels_may_read_all_that_is_public(dds: DDSLink) -> None:
    """And nothing of it changes, so the compiler may take it for constants."""
    public = {name for name in vars(dds) if not name.startswith("_")}
    assert public - {"instrument"} == dds.kernel_invariants


def test_every_command_of_the_dds_has_its_method(dds: DDSLink) -> None:
    commands = set(dds.call("link.describe")["instruments"]["dds"]["commands"])
    assert {name for name in commands if not hasattr(DDSLink, name)} == {"get_all"}


# --- the file -----------------------------------------------------------------------------------


def test_it_is_old_pythons_syntax() -> None:
    """Python 3.7, for ARTIQ 5: no ``:=``, no ``/``, and real annotation objects."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"), feature_version=(3, 7))
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert "__future__" not in names


def test_it_runs_beside_link_client_without_the_package(tmp_path: Path) -> None:
    """Two files, and nothing else of the package nor of ARTIQ, are enough."""
    for name in ("artiq_device.py", "link_client.py"):
        shutil.copy(SOURCE.with_name(name), tmp_path)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "before = set(sys.modules)\n"
        "import artiq_device\n"
        "print(*sorted(m for m in set(sys.modules) - before if 'artiq' in m or 'link' in m))\n"
        "print(artiq_device.DDSLink.set_frequency.__annotations__['return'])"
    )
    printed = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "artiq_device link_client\nNone\n"


def test_within_the_package_it_loads_the_client_alone() -> None:
    code = (
        "import sys, artiq_link.artiq_device\n"
        "print(*sorted(m for m in sys.modules if m.startswith(('artiq_link.', 'msgspec'))))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed == "artiq_link.artiq_device artiq_link.link_client\n"


# --- who it is


def ssl_config(certificates: Certificates, folder: str) -> dict[str, str]:
    names = {"client_cert": "client.pem", "client_key": "client.key", "server_cert": "server.pem"}
    return {key: f"{folder}/{name}" for key, name in names.items()}


def test_a_certificate_as_controllers_have_it(
    build: Build,
    serve: Serve,
    certificates: Certificates,
    elsewhere: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For what waits, what is posted, and what is checked; ARTIQ's variable for the folder too."""
    server = serve(host=elsewhere, ssl=certificates.of_server)
    monkeypatch.setenv("ARTIQ_SSL_DIR", str(certificates.folder))
    for folder in (str(certificates.folder), "{ARTIQ_SSL_DIR}"):
        device = build(
            host=elsewhere, port=server.port, simple_ssl_config=ssl_config(certificates, folder)
        )
        assert device.call("echo", value=1) == 1
        device.post("echo", value=2)
        device.flush()
        device.check([{"command_id": "echo", "value": 3}])
    with pytest.raises(ServerFailed, match=r"unauthorized: .*speaks TLS alone"):
        build(host=elsewhere, port=server.port)


def test_a_token_in_a_file(
    build: Build, serve: Serve, elsewhere: str, token_file: str, tmp_path: Path
) -> None:
    server = serve(host=elsewhere, token_file=token_file)
    mine = tmp_path / "mine"
    mine.write_text(f"{CONTROL_TOKEN}\n")
    device = build(host=elsewhere, port=server.port, token_file=str(mine))
    device.post("echo", value=2)
    assert device.call("echo", value=1) == 1
    with pytest.raises(ServerFailed, match=r"unauthorized: .*this server wants a token"):
        build(host=elsewhere, port=server.port)


def test_proofs_that_are_wrong(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is named, and what is missing."""
    monkeypatch.delenv("ARTIQ_SSL_DIR", raising=False)
    names = "client_cert, client_key, server_cert"
    files = {"client_cert": "{ARTIQ_SSL_DIR}/a", "client_key": "b", "server_cert": "c"}
    (tmp_path / "two").write_text("one two")
    for arguments, sentence in (
        ({"simple_ssl_config": {}}, f"simple_ssl_config: expected a dict of {names}"),
        ({"simple_ssl_config": ["a"]}, f"simple_ssl_config: expected a dict of {names}"),
        ({"simple_ssl_config": files}, "simple_ssl_config: the environment has no ARTIQ_SSL_DIR"),
        (
            {"token_file": str(tmp_path / "two")},
            f"token_file: {tmp_path / 'two'}: expected one token, and nothing else",
        ),
        (
            {"token_file": str(tmp_path / "no")},
            f"token_file: {tmp_path / 'no'}: No such file or directory",
        ),
    ):
        with pytest.raises(ValueError) as refused:  # noqa: PT011 the whole sentence is compared
            build(port=1, **arguments)
        assert str(refused.value) == f"dds: {sentence}"


def test_an_exclusive_device_holds_its_instrument_until_its_run_has_ended(
    build: Build, serve: Serve, probe: Probe
) -> None:
    """From the first command on: ARTIQ builds the next experiment while this one runs."""
    port = serve().port
    first, second = (build(port=port, exclusive=True) for _ in range(2))
    other = Link(port=port)
    assert other.call("count") == 0
    assert first.call("count") == 0
    assert other.call("link.status")["instruments"]["dds"]["lease"]["owner"] == "RID 1234"
    second.post("count")
    for act in (second.flush, lambda: second.call("count")):
        with pytest.raises(DeviceFailed, match="dds: count: dds is held by 'RID 1234' until") as e:
            act()
        assert e.value.code == "leased"
    with pytest.raises(ServerFailed, match="leased"):
        other.call("count")
    first.post("echo", value=1)
    assert first.batch([{"command_id": "count"}]) == [1]
    first.notify_run_end()
    assert second.call("count") == 1
    second.close()
    assert other.call("count") == 1


def test_an_exclusive_device_with_callbacks_is_told_that_it_is_refused(
    build: Build, serve: Serve
) -> None:
    port = serve().port
    device = build(port=port, exclusive=True, on_fail="callbacks")
    answers = Answers(device)
    with Link(port=port).lease("dds"):
        device.call("count")
    device.call("count")
    assert answers.calls == [("fail", "leased"), ("success", "count")]


def test_an_exclusive_device_that_lost_its_instrument_acts_no_more(
    build: Build, serve: Serve, probe: Probe
) -> None:
    port = serve().port
    device = build(port=port, exclusive=True)
    device.call("count")
    taken = {"instrument": "dds", "owner": "Anna", "seconds": PATIENCE, "force": True}
    Link(port=port).call("link.acquire", **taken)
    for _ in range(2):
        with pytest.raises(LeaseLost, match=r"^dds: count: dds: the lease was lost: "):
            device.call("count")


def test_an_exclusive_device_must_know_which_instrument(build: Build, serve: Serve) -> None:
    port = serve({"dds": Probe(), "stage": Probe()}).port
    with pytest.raises(ValueError, match=r"^dds: exclusive: .* several instruments, dds, stage"):
        build(port=port, exclusive=True)
    device = build(port=port, exclusive=True, instrument="stage")
    assert device.call("count") == 0
    with pytest.raises(ServerFailed, match="leased"):
        Link(port=port).call("stage.count")
