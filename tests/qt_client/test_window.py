"""The desktop client: real clicks in a window without a screen, and a real server behind it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest
import websockets.sync.server

from artiq_link import (
    DDS,
    Instrument,
    LinkServer,
    SimulatedDriver,
    command,
    qt_client,
    serve_in_background,
)
from artiq_link.link_client import ConnectFailed
from tests.conftest import CONTROL_TOKEN, PATIENCE, Certificates, Probe
from tests.scripted_server import answer, free_port, scripted_server

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel

from artiq_link.qt_client import exchanges, fields, forms
from artiq_link.qt_client import history as history_module
from artiq_link.qt_client.appearance import Tone
from artiq_link.qt_client.background import THREAD_NAME
from artiq_link.qt_client.exchanges import DIALECTS, EotText, PlainJson, WebSocket
from artiq_link.qt_client.history import HistoryItem
from artiq_link.qt_client.window import MainWindow
from tests.qt_client.using import (
    click,
    connect,
    fill,
    history,
    show_form,
    transmit,
    transmit_free,
    wait,
    websocket_server,
    write,
)

Gate = Annotated[float, msgspec.Meta(gt=0, extra={"unit": "s"})]
Level = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Point(msgspec.Struct):
    time: float
    level: Level = 0.5


class Counter(Instrument):
    """An event counter.

    It counts clicks.
    """

    @command
    def measure(
        self,
        mode: Literal["fast", "slow"],
        gate: Gate,
        level: Level,
        samples: Annotated[int, msgspec.Meta(ge=1, le=4194304)],
        name: str,
        verbose: bool,
        points: list[Point],
        trace: np.ndarray[Any, Any],
        anything: Any,
        source: int | str = 0,
        average: bool = True,
        invert: bool | None = None,
        edge: Literal["rising", "falling"] | None = None,
        offset: Annotated[float, msgspec.Meta(extra={"unit": "V"})] | None = None,
        table: Path | None = None,
    ) -> dict[str, Any]:
        """Count.

        For as long as the gate is open.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        return {**given, "table": None if table is None else str(table)}


# --- the forms ----------------------------------------------------------------------------------


@pytest.fixture
def counter_form(main_window: MainWindow, serve: Callable[..., LinkServer]) -> forms.CommandForm:
    connect(main_window, serve({"counter": Counter()}).port)
    return show_form(main_window, "counter.measure")


def test_each_instrument_shows_its_docstring_and_each_command_its_first_line(
    main_window: MainWindow, counter_form: forms.CommandForm
) -> None:
    [group] = main_window.commands.tree.findItems("counter", Qt.MatchFlag.MatchExactly)
    assert group.text(1) == "An event counter."
    assert group.toolTip(0) == "<p>An event counter.</p><p>It counts clicks.</p>"
    assert [group.child(i).text(1) for i in range(group.childCount())] == ["Count."]
    assert group.child(0).toolTip(1) == "<p>Count.</p><p>For as long as the gate is open.</p>"


def test_the_names_of_commands_are_shown_whole(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    name = "a_counter_whose_name_takes_more_than_its_part"
    connect(main_window, serve({name: Counter()}).port)
    [group] = main_window.commands.tree.findItems(name, Qt.MatchFlag.MatchExactly)
    needed = main_window.commands.tree.fontMetrics().horizontalAdvance(name)
    assert main_window.commands.tree.visualItemRect(group).isValid()
    assert main_window.commands.tree.columnWidth(0) > needed


def test_the_documentation_of_interact_is_shown(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    def interact(data: dict[str, Any]) -> str:
        """Answer test_command."""
        return "answered"

    connect(main_window, serve(interact=interact).port)
    [item] = main_window.commands.tree.findItems("interact", Qt.MatchFlag.MatchExactly)
    assert item.text(1) == "Answer test_command."
    transmit_free(main_window, '{"command_id": "test_command"}')
    assert '"result": "answered"' in main_window.answer.text.toPlainText()


def test_units_bounds_and_defaults_stand_in_the_form(counter_form: forms.CommandForm) -> None:
    assert {name: field.hint.text() for name, field in counter_form.fields.items()} == {
        "mode": "",
        "gate": "s, above 0",
        "level": "from 0 to 1",
        "samples": "from 1 to 4194304",
        "name": "",
        "verbose": "",
        "points": "",
        "trace": "",
        "anything": "",
        "source": "",
        "average": "",
        "invert": "",
        "edge": "",
        "offset": "V",
        "table": "",
    }
    lines = {
        name: field.line.placeholderText()
        for name, field in counter_form.fields.items()
        if isinstance(field, fields.TextField)
    }
    assert lines == {
        "gate": "such as 25us",
        "level": "",
        "samples": "",
        "name": "",
        "points": '[{"time": …, "level": …}, …]',
        "trace": "[…, …]",
        "anything": "JSON",
        "source": "default: 0",
        "offset": "optional",
        "table": "optional",
    }


def test_each_type_has_its_editor(counter_form: forms.CommandForm) -> None:
    kinds = {name: type(field) for name, field in counter_form.fields.items()}
    assert {name: kind for name, kind in kinds.items() if kind is not fields.TextField} == {
        "mode": fields.ChoiceField,
        "points": fields.RowsField,
        "edge": fields.ChoiceField,
        "verbose": fields.CheckField,
        "average": fields.CheckField,
        "invert": fields.CheckField,
        "table": fields.PathField,
    }


def test_the_values_arrive_as_their_types_and_what_is_left_out_is_not_sent(
    main_window: MainWindow, counter_form: forms.CommandForm
) -> None:
    given = counter_form.fields
    QTest.keyClick(given["mode"].editor, Qt.Key.Key_End)
    QTest.keyClick(given["verbose"].editor, Qt.Key.Key_Space)
    fill(
        counter_form,
        gate=".5",
        level="1",
        samples="1e3",
        name="12",
        points='[{"time": 1, "level": 0.25}]',
        trace="[1, 2.5]",
        anything="null",
        source="in 1",
    )
    wait(main_window.exchanged, lambda: click(counter_form.button))
    [item] = main_window.history.selectedItems()
    assert isinstance(item, HistoryItem)
    assert item.exchange.message == {
        "command_id": "counter.measure",
        "mode": "slow",
        "gate": 0.5,
        "level": 1,
        "samples": 1000,
        "name": "12",
        "verbose": True,
        "points": [{"time": 1, "level": 0.25}],
        "trace": [1, 2.5],
        "anything": None,
        "source": "in 1",
        "average": True,
    }
    assert item.exchange.failure == ""
    assert item.exchange.result["source"] == "in 1"
    assert item.exchange.result["trace"].tolist() == [1, 2.5]


def test_a_required_choice_is_the_users(counter_form: forms.CommandForm) -> None:
    mode = counter_form.fields["mode"]
    assert isinstance(mode, fields.ChoiceField)
    assert [mode.box.itemText(i) for i in range(mode.box.count())] == ["", "fast", "slow"]
    with pytest.raises(ValueError, match=r"^a value is needed$"):
        mode.read()
    QTest.keyClick(mode.editor, Qt.Key.Key_Down)
    assert mode.read() == {"mode": "fast"}


def test_an_optional_choice_and_a_box_in_between_can_be_given_and_left_out(
    counter_form: forms.CommandForm,
) -> None:
    edge, invert = counter_form.fields["edge"], counter_form.fields["invert"]
    assert [edge.read(), invert.read()] == [{}, {}]
    QTest.keyClick(edge.editor, Qt.Key.Key_Down)
    QTest.keyClick(invert.editor, Qt.Key.Key_Space)
    assert [edge.read(), invert.read()] == [{"edge": "falling"}, {"invert": True}]
    QTest.keyClick(edge.editor, Qt.Key.Key_Up)
    QTest.keyClick(invert.editor, Qt.Key.Key_Space)
    assert [edge.read(), invert.read()] == [{}, {"invert": False}]


def test_a_text_is_sent_as_it_is_typed(counter_form: forms.CommandForm) -> None:
    """A blank may be meant; around a number or a file's name it is a slip."""
    for name, value in {"name": " a ", "gate": 5, "table": "a b.csv"}.items():
        field = counter_form.fields[name]
        field.set_text(f" {value} " if name != "name" else " a ")
        assert field.read() == {name: value}


def test_a_file_can_be_picked(counter_form: forms.CommandForm, tmp_path: Path) -> None:
    """The dialog does not block the window, and what is picked stands in the field."""
    path = tmp_path / "table.csv"
    path.touch()
    field = counter_form.fields["table"]
    assert isinstance(field, fields.PathField)
    click(field.browse)
    dialog = field.editor.findChild(QFileDialog)
    assert isinstance(dialog, QFileDialog)
    dialog.selectFile(str(path))
    wait(dialog.fileSelected, dialog.accept)
    assert field.read() == {"table": str(path)}


def test_wrong_input_is_shown_at_its_fields_and_nothing_is_sent(
    main_window: MainWindow, counter_form: forms.CommandForm
) -> None:
    fill(counter_form, gate="long", points='[{"time": }]', name="", trace="[]", anything="1")
    click(counter_form.button)
    shown = {
        name: field.error.text()
        for name, field in counter_form.fields.items()
        if field.error.isVisible()
    }
    assert shown == {
        "mode": "mode: a value is needed",
        "gate": "gate: expected float such as 25us, got 'long'",
        "level": "level: a value is needed",
        "samples": "samples: a value is needed",
        "points": "points: not JSON: Expecting value (line 1, column 11)",
    }
    assert history(main_window) == []


def test_a_refusal_takes_the_place_of_the_former_answer(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    """The history has the answer still, and a click shows it again."""
    connect(main_window, serve().port)
    form = transmit(main_window, "dds.set_frequency", channel="0", frequency="1e6")
    answered = main_window.answer.text.toPlainText()
    fill(form, frequency="fast")
    click(form.button)
    assert (
        main_window.answer.headline.text()
        == "not sent: frequency: expected float such as 80MHz, got 'fast'"
    )
    assert main_window.answer.headline.tone is Tone.BAD
    assert main_window.answer.text.toPlainText() == ""
    assert probe.executed == [(0, 1e6)]
    item = main_window.history.topLevelItem(0)
    assert item is not None
    position = main_window.history.visualItemRect(item).center()
    QTest.mouseClick(main_window.history.viewport(), Qt.MouseButton.LeftButton, pos=position)
    assert main_window.answer.headline.text().startswith("dds.set_frequency: success in ")
    assert main_window.answer.text.toPlainText() == answered


# --- the exchanges ------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_command_goes_over_the_chosen_dialect(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe, dialect: str
) -> None:
    main_window.dialect.setCurrentText(dialect)
    connect(main_window, serve().port)
    form = transmit(main_window, "dds.set_frequency", channel="1", frequency="80e6")
    assert probe.executed == [(1, 80e6)]
    assert history(main_window) == [("dds.set_frequency", "success")]
    assert f"sent in {dialect} at" in main_window.answer.text.toPlainText()
    fill(form, frequency="5e8")
    wait(main_window.exchanged, lambda: click(form.button))
    sentence = "frequency: 5e8 Hz is above the limit of 4e8 Hz"
    code = "" if dialect == EotText.name else "out_of_range: "
    assert main_window.answer.headline.text() == code + sentence
    assert main_window.answer.headline.tone is Tone.BAD
    assert form.fields["frequency"].error.text() == code + sentence
    assert form.fields["frequency"].error.isVisible()
    assert not form.fields["channel"].error.isVisible()
    fill(form, frequency="81e6")
    wait(main_window.exchanged, lambda: click(form.button))
    assert not form.fields["frequency"].error.isVisible()
    assert probe.executed == [(1, 80e6), (1, 81e6)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_certificate_and_a_token_are_shown(
    serve: Callable[..., LinkServer],
    probe: Probe,
    certificates: Certificates,
    elsewhere: str,
    token_file: str,
    dialect: str,
) -> None:
    """With the user's own messages as well, whatever they are."""
    speaks = DIALECTS[dialect]
    secured = serve(host=elsewhere, ssl=certificates.of_server)
    guarded = serve(host=elsewhere, token_file=token_file)
    client = speaks(elsewhere, secured.port, certificates.of())
    client.exchange(client.message("set_frequency", {"channel": 1, "frequency": 1.0}), PATIENCE)
    client.close()
    client = speaks(elsewhere, guarded.port, None, {"token": CONTROL_TOKEN})
    client.exchange(client.message("set_frequency", {"channel": 2, "frequency": 2.0}), PATIENCE)
    client.close()
    assert probe.executed == [(1, 1.0), (2, 2.0)]
    client = speaks(elsewhere, guarded.port)
    refused = client.exchange(client.message("count", {}), PATIENCE)
    assert "this server wants a token" in refused["error"]
    client.close()
    client = speaks(elsewhere, secured.port, certificates.of("stranger"))
    with pytest.raises(ConnectFailed):
        client.exchange(client.message("count", {}), PATIENCE)
    client.close()


def test_the_achieved_value_is_shown(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve({"dds": DDS(SimulatedDriver())}).port)
    transmit(main_window, "dds.set_frequency", channel="ch0", frequency="80e6")
    assert '"frequency": 80000000.0745058' in main_window.answer.text.toPlainText()
    assert main_window.answer.headline.text().startswith("dds.set_frequency: success in ")
    assert main_window.answer.headline.tone is Tone.GOOD


def test_an_error_inside_a_list_is_shown_at_the_list(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve({"dds": DDS(SimulatedDriver())}).port)
    steps = '[{"dwell": 1, "frequency": 1e6}, {"dwell": 1, "frequency": 9e9}]'
    form = transmit(main_window, "dds.play", channel="0", steps=steps)
    assert form.fields["steps"].error.text() == (
        "out_of_range: steps[1].frequency: 9e9 Hz is above the channel's limit of 4e8 Hz"
    )


@pytest.mark.parametrize("dialect", [PlainJson.name, WebSocket.name])
def test_a_long_array_is_shown_without_its_middle(
    main_window: MainWindow, serve: Callable[..., LinkServer], dialect: str
) -> None:
    connect(main_window, serve({"dds": DDS(SimulatedDriver())}).port)
    main_window.dialect.setCurrentText(dialect)
    transmit(main_window, "dds.waveform", channel="0", samples="100000", rate="1e6")
    assert '"result": "[0. 0. 0. ... 0. 0. 0.]"' in main_window.answer.text.toPlainText()


def test_a_long_text_is_cut() -> None:
    text = exchanges.pretty("x" * 30_000)
    assert text.endswith("x\n… and 10002 characters more")


def test_free_json_is_sent_as_it_is_written(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve().port)
    transmit_free(main_window, '{"command_id": "echo", "value": [1, "ä"]}')
    assert '"ä"' in main_window.answer.text.toPlainText()
    main_window.dialect.setCurrentText(EotText.name)
    transmit_free(main_window, '{"echo": {"value": 1}}')
    assert main_window.answer.text.toPlainText().endswith("ms:\nO.k.\n")
    transmit_free(main_window, '{"command_id": "nonsense"}')
    assert main_window.answer.headline.text().startswith("unknown_command: ")
    assert history(main_window) == [
        ("nonsense", "unknown_command"),
        ("echo", "success"),
        ("echo", "success"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"command_id": ', "not JSON: Expecting value (line 1, column 16)"),
        ("[1]", "expected an object: {…}"),
    ],
)
def test_free_text_that_is_no_object_is_refused_below_it(
    main_window: MainWindow, serve: Callable[..., LinkServer], text: str, sentence: str
) -> None:
    connect(main_window, serve().port)
    main_window.tabs.setCurrentWidget(main_window.free)
    main_window.free_text.setPlainText(text)
    click(main_window.free_button)
    assert main_window.free_error.isVisible()
    assert main_window.free_error.text() == sentence
    assert main_window.answer.headline.text() == f"not sent: {sentence}"
    assert history(main_window) == []
    transmit_free(main_window, '{"command_id": "link.ping"}')
    assert not main_window.free_error.isVisible()


def test_enter_in_a_field_and_control_enter_in_the_free_text_transmit(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    connect(main_window, serve().port)
    form = show_form(main_window, "dds.set_frequency")
    fill(form, channel="0", frequency="1e6")
    frequency = form.fields["frequency"].editor
    wait(main_window.exchanged, lambda: QTest.keyClick(frequency, Qt.Key.Key_Return))
    assert probe.executed == [(0, 1e6)]
    main_window.activateWindow()
    main_window.tabs.setCurrentWidget(main_window.free)
    main_window.free_text.setFocus()
    control = Qt.KeyboardModifier.ControlModifier
    wait(
        main_window.exchanged,
        lambda: QTest.keyClick(main_window.free_text, Qt.Key.Key_Return, control),
    )
    assert history(main_window)[0] == ("link.ping", "success")


def test_enter_on_a_command_goes_to_its_first_field(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve().port)
    form = show_form(main_window, "dds.set_frequency")
    main_window.activateWindow()
    main_window.commands.tree.setFocus()
    QTest.keyClick(main_window.commands.tree, Qt.Key.Key_Return)
    assert form.fields["channel"].editor.hasFocus()


def test_a_choice_in_the_history_shows_the_exchange_again(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve().port)
    transmit(main_window, "dds.refuse")
    transmit(main_window, "dds.count")
    assert history(main_window) == [("dds.count", "success"), ("dds.refuse", "instrument_error")]
    items = [main_window.history.topLevelItem(i) for i in (0, 1)]
    for item in items:
        assert item is not None
        assert item.text(3).endswith(" ms")
        assert len(item.text(0).split(":")) == 3
    position = main_window.history.visualItemRect(items[1]).center()
    QTest.mouseClick(main_window.history.viewport(), Qt.MouseButton.LeftButton, pos=position)
    assert main_window.answer.headline.text() == "instrument_error: no lock"
    assert '"code": "instrument_error"' in main_window.answer.text.toPlainText()


def test_the_history_forgets_the_oldest(
    main_window: MainWindow, serve: Callable[..., LinkServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "LONGEST_HISTORY", 2)
    connect(main_window, serve().port)
    for command_id in ("dds.count", "dds.refuse", "dds.ask"):
        transmit(main_window, command_id)
    assert [command for command, _ in history(main_window)] == ["dds.ask", "dds.refuse"]


def test_the_window_goes_on_while_a_command_runs(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    """A timer of its thread fires, the status is refreshed, other commands are answered."""
    connect(main_window, serve().port)
    assert main_window.instruments.text == "dds: idle"
    form = show_form(main_window, "dds.wait")
    busy = "dds: busy with dds.wait, 12.0 of 60.0 s"
    wait(
        main_window.refreshed,
        lambda: click(form.button),
        lambda: main_window.instruments.text == busy,
    )
    ticks = QTimer()
    ticks.setInterval(0)
    fired: list[bool] = []
    ticks.timeout.connect(lambda: fired.append(True))
    wait(ticks.timeout, ticks.start, lambda: len(fired) >= 100)
    ticks.stop()
    assert history(main_window) == [("dds.wait", "running")]
    transmit(main_window, "link.ping")
    assert history(main_window) == [("link.ping", "success"), ("dds.wait", "running")]
    assert probe.executed == []
    wait(main_window.exchanged, probe.go_on.set)
    assert history(main_window) == [("link.ping", "success"), ("dds.wait", "success")]
    assert '"waited"' in main_window.answer.text.toPlainText()


# --- the connection -----------------------------------------------------------------------------


def test_nothing_is_sent_before_a_server_is_chosen(main_window: MainWindow) -> None:
    assert main_window.state.text() == "● not connected"
    assert not main_window.free_button.isEnabled()


def test_a_server_that_is_down_is_told_and_the_window_lives(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    write(main_window.host, "127.0.0.1")
    with free_port() as port:
        main_window.port.setValue(port)
        wait(main_window.refreshed, lambda: click(main_window.connect_button))
    assert main_window.state.text() == (
        f"● could not connect to 127.0.0.1:{port}: Connection refused; check that the server is "
        "running, that host and port are right, and that no firewall is in the way"
    )
    assert main_window.state.tone is Tone.BAD
    for dialect in DIALECTS:
        main_window.dialect.setCurrentText(dialect)
        transmit_free(main_window, '{"command_id": "link.ping"}')
        assert f"could not connect to 127.0.0.1:{port}: " in main_window.answer.headline.text()
    assert history(main_window) == [("link.ping", "not sent")] * 3
    connect(main_window, serve().port)
    assert main_window.state.text().startswith("● connected to 127.0.0.1:")


def test_an_unknown_host_is_told_and_the_window_lives(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    host = "x" * 64 + ".invalid"  # no label of a name is so long, so no name server is asked
    write(main_window.host, host)
    wait(main_window.refreshed, lambda: click(main_window.connect_button))
    assert f"unknown host '{host}'" in main_window.state.text()
    for dialect in DIALECTS:
        main_window.dialect.setCurrentText(dialect)
        transmit_free(main_window, '{"command_id": "link.ping"}')
        assert host in main_window.answer.headline.text()
    connect(main_window, serve().port)


def test_a_server_that_comes_back_with_other_commands_gets_other_forms(
    main_window: MainWindow, probe: Probe
) -> None:
    with serve_in_background({"dds": probe}) as server:
        port = server.port
        connect(main_window, port)
        fill(show_form(main_window, "dds.set_frequency"), frequency="3e6")
    wait(
        main_window.refreshed,
        lambda: None,
        lambda: "connection lost" in main_window.state.text(),
    )
    assert main_window.instruments.text == "dds: idle (as it was told last)"
    form = transmit(main_window, "dds.count")
    assert history(main_window) == [("dds.count", "not sent")]
    assert form.isVisible()
    instruments: dict[str, Instrument] = {"counter": Counter(), "dds": Probe()}
    with serve_in_background(instruments, port=port):
        wait(main_window.described, lambda: None)
        assert "counter.measure" in main_window.forms
        assert main_window.forms["dds.count"].isVisible()
        assert main_window.forms["dds.set_frequency"].fields["frequency"].text() == "3e6"


def test_a_server_without_a_description_is_told(main_window: MainWindow) -> None:
    with scripted_server(answer(status="success", result="pong")) as (_, port):
        main_window.port.setValue(port)
        wait(main_window.refreshed, lambda: click(main_window.connect_button))
    assert main_window.state.text() == (
        f"● 127.0.0.1:{port} answers, but does not say what commands it has: only free JSON can "
        "be sent"
    )


def test_a_server_that_speaks_only_websocket_has_forms_and_a_status(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    """The status does not wait behind a command on the user's WebSocket."""
    main_window.dialect.setCurrentText(WebSocket.name)
    connect(main_window, serve(dialects=["websocket"]).port)
    form = show_form(main_window, "dds.wait")
    wait(
        main_window.refreshed,
        lambda: click(form.button),
        lambda: main_window.instruments.text == "dds: busy with dds.wait, 12.0 of 60.0 s",
    )
    wait(main_window.exchanged, probe.go_on.set)
    assert history(main_window) == [("dds.wait", "success")]


def test_a_server_that_speaks_only_eot_text_gets_free_json(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    main_window.dialect.setCurrentText(EotText.name)
    port = serve(dialects=["eot"]).port
    main_window.port.setValue(port)
    wait(main_window.refreshed, lambda: click(main_window.connect_button))
    assert main_window.state.text() == (
        f"● 127.0.0.1:{port} does not say in plain JSON what commands it has, and EOT text "
        "cannot: only free JSON can be sent"
    )
    transmit_free(main_window, '{"echo": {"value": 1}}')
    assert history(main_window) == [("echo", "success")]
    assert probe.executed == ["echo"]


def test_an_answer_of_a_server_left_meanwhile_is_not_shown(
    application: QApplication, main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    left, go_on = threading.Event(), threading.Event()

    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        left.set()
        assert go_on.wait(PATIENCE)

    with scripted_server(script) as (_, port):
        main_window.port.setValue(port)
        click(main_window.connect_button)
        assert left.wait(PATIENCE)
        [asking] = [t for t in threading.enumerate() if t.name == THREAD_NAME]
        connect(main_window, serve().port)
        go_on.set()
    asking.join(PATIENCE)
    application.processEvents()
    assert main_window.state.text().startswith("● connected to ")


def test_nothing_goes_to_a_server_that_the_fields_do_not_name_any_more(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    port = serve().port
    connect(main_window, port)
    form = show_form(main_window, "dds.count")
    connected = main_window.state.text()
    other = port - 1
    main_window.port.setValue(other)
    sentence = (
        f"host and port were changed to 127.0.0.1:{other}, and this window is connected to "
        f"127.0.0.1:{port}: press Connect first"
    )
    assert main_window.state.text() == f"● {sentence}"
    click(form.button)
    assert main_window.answer.headline.text() == f"not sent: {sentence}"
    assert history(main_window) == []
    main_window.port.setValue(port)
    assert main_window.state.text() == connected
    wait(main_window.exchanged, lambda: click(form.button))
    assert history(main_window) == [("dds.count", "success")]


def test_the_forms_of_another_server_go_with_it(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve({"dds": DDS(SimulatedDriver())}).port)
    transmit(main_window, "dds.waveform", channel="0", samples="100", rate="1 MHz")
    with free_port() as port:
        main_window.port.setValue(port)
        wait(main_window.refreshed, lambda: click(main_window.connect_button))
    assert main_window.forms == {}
    assert main_window.commands.tree.topLevelItemCount() == 0
    assert main_window.instruments.text == ""
    assert main_window.picture.picture is None


def test_a_long_summary_moves_nothing(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    main_window.resize(700, 480)
    connect(main_window, serve().port)
    row = main_window.instruments.rows["dds"]
    assert main_window.session is not None
    main_window.session.told.disconnect()  # what comes live would take the place of the summary
    QApplication.processEvents()
    before = main_window.size(), row.size()
    row.show_status({"state": "busy", "summary": "dds: busy with " + "x" * 5000, "fraction": 0.5})
    QApplication.processEvents()
    assert (main_window.size(), row.size()) == before
    assert row.button.geometry().right() <= row.width()
    assert row.summary.toolTip().startswith("<p>dds: busy with xxx")


def test_docstrings_are_shown_without_their_backticks_and_as_no_markup(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    class Lamp(Instrument):
        """Light with `set`, <b>not</b> bold."""

        @command
        def set(self) -> None:
            """Set it; see ``get``."""

    connect(main_window, serve({"lamp": Lamp()}).port)
    [group] = main_window.commands.tree.findItems("lamp", Qt.MatchFlag.MatchExactly)
    assert group.text(1) == "Light with set, <b>not</b> bold."
    assert group.child(0).text(1) == "Set it; see get."
    shown = [label.text() for label in show_form(main_window, "lamp.set").findChildren(QLabel)]
    assert "<p>Set it; see <code>get</code>.</p>" in shown
    assert "<b>" not in group.toolTip(0)


def test_an_answer_that_can_be_drawn_is_a_picture_first_and_numbers_on_request(
    main_window: MainWindow, serve: Callable[..., LinkServer], tmp_path: Path
) -> None:
    connect(main_window, serve({"dds": DDS(SimulatedDriver())}).port)
    view = main_window.picture
    assert not view.numbers.isEnabled()
    transmit(main_window, "dds.set", channel="0", frequency="1 MHz", amplitude="1")
    transmit(main_window, "dds.waveform", channel="0", samples="1000", rate="100 MHz")
    assert view.isVisible()
    assert view.plot.isVisible()
    assert view.picture is not None
    assert view.picture.x == ("t", "s")
    click(view.numbers)
    assert view.table.isVisible()
    assert view.table.model().rowCount() == 1000
    view.write(tmp_path / "numbers.csv")
    lines = (tmp_path / "numbers.csv").read_text().splitlines()
    assert lines[0] == "value"
    assert len(lines) == 1001


def test_quantities_are_typed_with_their_units(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    connect(main_window, serve().port)
    form = transmit(main_window, "dds.set_frequency", channel="0", frequency=" 80.5 kHz")
    assert probe.executed == [(0, 80.5e3)]
    fill(form, frequency="80 V")
    click(form.button)
    error = form.fields["frequency"].error.text()
    assert error == "frequency: expected float such as 80MHz, got '80 V'"
    assert probe.executed == [(0, 80.5e3)]


# --- what is kept, and the end ------------------------------------------------------------------


def test_a_new_window_has_the_values_of_the_last_one(
    open_window: Callable[[], MainWindow], serve: Callable[..., LinkServer]
) -> None:
    port = serve({"counter": Counter(), "dds": Probe()}).port
    first = open_window()
    connect(first, port, "localhost")
    first.dialect.setCurrentText(WebSocket.name)
    first.timeout.setValue(12.5)
    first.resize(790, 640)
    first.free_text.setPlainText('{"a": "b"}')
    fill(show_form(first, "counter.measure"), gate="0.25", points="[]", table="/tmp/a b.csv")
    form = first.forms["counter.measure"]
    QTest.keyClick(form.fields["mode"].editor, Qt.Key.Key_Down)
    QTest.keyClick(form.fields["edge"].editor, Qt.Key.Key_Down)
    QTest.keyClick(form.fields["average"].editor, Qt.Key.Key_Space)
    fill(show_form(first, "dds.set_frequency"), channel="2", frequency="80e6")
    first.close()

    second = open_window()
    assert second.host.text() == "localhost"
    assert second.port.value() == port
    assert second.dialect.currentText() == WebSocket.name
    assert second.timeout.value() == 12.5
    assert (second.width(), second.height()) == (790, 640)
    assert second.free_text.toPlainText() == '{"a": "b"}'
    wait(second.described, lambda: click(second.connect_button))
    assert second.forms["dds.set_frequency"].isVisible()
    texts = {name: f.text() for name, f in second.forms["counter.measure"].fields.items()}
    assert texts == {name: field.text() for name, field in form.fields.items()}
    assert (texts["gate"], texts["average"]) == ("0.25", "Unchecked")
    assert (texts["mode"], texts["edge"]) == ("fast", "falling")
    assert second.forms["dds.set_frequency"].fields["frequency"].text() == "80e6"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_window_can_be_closed_while_an_exchange_runs(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe, dialect: str
) -> None:
    """It closes at once; the exchange's thread ends with the exchange."""
    connect(main_window, serve().port)
    main_window.dialect.setCurrentText(dialect)
    form = show_form(main_window, "dds.wait")
    click(form.button)
    assert probe.started.wait(PATIENCE)
    main_window.close()
    assert not main_window.isVisible()
    probe.go_on.set()


def test_nothing_follows_the_end_of_the_window(
    application: QApplication, main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    """Also where the reply had come, and only was not shown yet."""
    connect(main_window, serve().port)
    shown: list[object] = []
    main_window.exchanged.connect(shown.append)
    form = show_form(main_window, "dds.count")
    before = threading.enumerate()  # with the thread that watches the server, which goes on
    click(form.button)
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME and thread not in before:
            thread.join(PATIENCE)
    main_window.close()
    application.processEvents()
    assert shown == []


def test_the_end_of_the_window_closes_its_websockets(main_window: MainWindow) -> None:
    """Here of a server without a description: free JSON can be sent to it."""
    messages: list[str | bytes] = []
    closed = threading.Semaphore(0)

    def script(connection: websockets.sync.server.ServerConnection) -> None:
        for message in connection:
            messages.append(message)
            connection.send("O.k.")
        closed.release()

    with websocket_server(script) as port:
        main_window.port.setValue(port)
        main_window.dialect.setCurrentText(WebSocket.name)
        wait(main_window.refreshed, lambda: click(main_window.connect_button))
        transmit_free(main_window, '{"image": {}}')
        assert history(main_window) == [("image", "success")]
        main_window.close()
        for _ in messages:
            assert closed.acquire(timeout=PATIENCE)
    assert json.loads(messages[0])["command_id"] == "link.describe"
    assert messages[1:] == ['{"image": {}}']


def run_program(program: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code as a user without a screen would, with settings of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)},
    )


SHOW = """
import sys
from PySide6.QtCore import QTimer
from artiq_link import qt_client
from artiq_link.qt_client import window

class Window(window.MainWindow):
    def __init__(self, settings):
        super().__init__(settings)
        self.timeout.setValue(3600)
        self.described.connect(self.use)

    def use(self):
        {use}

window.MainWindow = Window
sys.exit(qt_client.main("127.0.0.1", {port}))
"""


def test_main_connects_and_returns_when_the_window_is_closed(
    serve: Callable[..., LinkServer], tmp_path: Path
) -> None:
    done = run_program(SHOW.format(use="self.close()", port=serve().port), tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert [path for path in tmp_path.rglob("*.conf") if "127.0.0.1" in path.read_text()]


def test_the_program_ends_while_an_exchange_waits(
    serve: Callable[..., LinkServer], tmp_path: Path, probe: Probe
) -> None:
    """With an hour of timeout left, nothing waits for the reply."""
    use = "self.forms['dds.wait'].button.click(); QTimer.singleShot(0, self.close)"
    done = run_program(SHOW.format(use=use, port=serve().port), tmp_path)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("port", [-1, 0, 65536])
def test_a_port_that_is_none_is_refused(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert qt_client.main("127.0.0.1", port) == 2
    assert capsys.readouterr() == ("", f"port: expected 1 to 65535, got {port}\n")


def test_without_a_screen_main_says_so(tmp_path: Path) -> None:
    program = (
        "import os, sys; sys.platform = 'linux'\n"
        "os.environ |= dict.fromkeys(['DISPLAY', 'WAYLAND_DISPLAY', 'QT_QPA_PLATFORM'], '')\n"
        "from artiq_link import qt_client; sys.exit(qt_client.main())"
    )
    done = run_program(program, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "the desktop client needs a screen, and neither DISPLAY nor WAYLAND_DISPLAY names one: "
        "start it on a desktop, or over ssh -X\n"
    )


def test_without_pyside_main_says_how_to_install_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['PySide6'] = None\n"
        "from artiq_link import qt_client; sys.exit(qt_client.main())"
    )
    done = run_program(program, tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("the desktop client needs PySide6 (")
    assert done.stderr.endswith('): install it with pip install ".[gui]" in the project\n')
    assert done.stderr.count("\n") == 1
