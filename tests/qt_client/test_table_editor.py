"""The table editor: typed, pasted, from and to CSV, and checked by a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artiq_link import DDS, LinkServer, SimulatedDriver

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from artiq_link.qt_client import table_editor
from artiq_link.qt_client.appearance import Tone
from artiq_link.qt_client.fields import RowsField
from artiq_link.qt_client.table_editor import TableEditor
from artiq_link.qt_client.table_model import TableModel, cells_of, members_of
from artiq_link.qt_client.window import MainWindow
from tests.qt_client.using import click, connect, fill, show_form, wait


def schema_of(command: str, parameter: str) -> dict[str, Any]:
    parameters = DDS(SimulatedDriver()).describe()["commands"][command]["parameters"]
    return next(p["schema"] for p in parameters if p["name"] == parameter)


@pytest.fixture
def model(application: QApplication) -> TableModel:
    return TableModel("steps", members_of(schema_of("play", "steps")), [])


def texts(model: TableModel) -> list[list[str]]:
    columns = range(model.columnCount())
    return [[model.index(r, c).data() for c in columns] for r in range(model.rowCount())]


def test_columns_are_the_members_with_their_units_what_is_needed_first() -> None:
    headings = [member.heading for member in members_of(schema_of("play", "steps"))]
    assert headings == [
        "dwell (s)",
        "frequency (Hz)",
        "phase (turns)",
        "amplitude (of full scale)",
        "power (dBm)",
    ]
    assert members_of(schema_of("set_many", "settings"))[0].name == "channel"


def test_rows_are_shown_as_they_are_typed() -> None:
    rows = [{"dwell": 1e-3, "frequency": 80e6, "amplitude": 0.5}, {"dwell": None}]
    model = TableModel("steps", members_of(schema_of("play", "steps")), rows)
    assert texts(model) == [["1 ms", "80 MHz", "", "0.5", ""], ["null", "", "", "", ""]]
    assert model.read() == rows
    assert model.errors == {}


def test_a_spreadsheet_with_headings_goes_to_its_columns_in_its_units(model: TableModel) -> None:
    model.paste("frequency (MHz)\tdwell/us\n80\t25\n90 kHz\t1e3\n", 0, 0)
    assert model.read() == [
        {"frequency": 80e6, "dwell": 25e-6},
        {"frequency": 90e3, "dwell": 1e-3},
    ]


def test_cells_without_headings_go_from_the_current_one_on(model: TableModel) -> None:
    model.paste("1ms;80MHz\n2ms;81MHz", 0, 0)
    model.paste("0.25\n0.5", 1, 2)
    assert texts(model) == [
        ["1ms", "80MHz", "", "", ""],
        ["2ms", "81MHz", "0.25", "", ""],
        ["", "", "0.5", "", ""],
    ]


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("a\tb,c\r\nd\te\r\n", [["a", "b,c"], ["d", "e"]]),
        ('"a;1";b\n\n;\n', [["a;1", "b"]]),
        ("a,b", [["a", "b"]]),
        ("", []),
    ],
)
def test_cells_are_separated_as_spreadsheets_do(text: str, cells: list[list[str]]) -> None:
    assert cells_of(text) == cells


def test_what_cannot_be_read_is_marked_in_its_cell(model: TableModel) -> None:
    model.paste("fast\t80MHz\n\t90MHz\n\t\n1ms\t5 V", 0, 0)
    model.read()
    assert model.errors == {
        (0, 0): "dwell: expected float such as 25us, got 'fast'",
        (1, 0): "dwell: a value is needed",
        (2, 1): "frequency: expected float such as 80MHz, got '5 V'",
    }
    shown = model.index(0, 0).data(Qt.ItemDataRole.BackgroundRole)
    assert shown is not None
    assert model.index(0, 1).data(Qt.ItemDataRole.BackgroundRole) is None
    assert "such as 25us" in model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)


def test_an_error_of_the_server_is_found_beyond_empty_rows(model: TableModel) -> None:
    model.paste("1ms\t1e6", 0, 0)
    model.paste("1ms\t9e9", 3, 0)
    model.read()
    assert model.mark("steps[1].frequency", "too high")
    assert model.errors == {(3, 1): "too high"}
    assert not model.mark("channel", "no such channel")
    assert not model.mark("steps[7].dwell", "a row that is not there")


def test_csv_is_read_as_it_was_written(model: TableModel) -> None:
    model.paste("1 ms\t80 MHz\t\t0.5\n2.5us\t81000000.125", 0, 0)
    rows, text = model.read(), model.csv()
    assert text == (
        "dwell (s),frequency (Hz),phase (turns),amplitude (of full scale),power (dBm)\n"
        "0.001,80000000.0,,0.5,\n"
        "2.5e-06,81000000.125,,,\n"
    )
    model.replace(text)
    assert model.read() == rows


# --- with a window and a server -----------------------------------------------------------------


@pytest.fixture
def open_editor(
    main_window: MainWindow, serve: Callable[..., LinkServer], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., TableEditor]:
    monkeypatch.setattr(table_editor, "CHECK_DELAY", 0)
    connect(main_window, serve({"dds": DDS(SimulatedDriver())}).port)

    def open_one(steps: str = "") -> TableEditor:
        form = show_form(main_window, "dds.play")
        fill(form, channel="0", steps=steps)
        field = form.fields["steps"]
        assert isinstance(field, RowsField)
        click(field.edit)
        [editor] = main_window.findChildren(TableEditor)
        return editor

    return open_one


def checked(editor: TableEditor, act: Callable[[], object]) -> str:
    """Act, and return what is said of the rows once the server was asked."""
    wait(editor.judged, act)
    return editor.verdict.text()


def test_the_server_says_which_cell_is_wrong_before_anything_is_sent(
    main_window: MainWindow, open_editor: Callable[..., TableEditor]
) -> None:
    steps = '[{"dwell": 1, "frequency": 1e6}, {"dwell": 1, "frequency": 9e9}]'
    editor = open_editor(steps)
    sentence = "steps[1].frequency: 9e9 Hz is above the channel's limit of 4e8 Hz"
    assert checked(editor, lambda: None) == sentence
    assert editor.verdict.tone is Tone.BAD
    assert editor.model.errors == {(1, 1): sentence}
    right = "2 rows, as the server would take them"
    assert (
        checked(editor, lambda: editor.model.setData(editor.model.index(1, 1), "90 MHz")) == right
    )
    assert editor.verdict.tone is Tone.GOOD
    click(editor.ok)
    form = main_window.forms["dds.play"]
    assert form.fields["steps"].read() == {
        "steps": [{"dwell": 1, "frequency": 1e6}, {"dwell": 1, "frequency": 90e6}]
    }
    wait(main_window.exchanged, lambda: click(form.button))
    assert main_window.answer.headline.text().startswith("dds.play: success in ")


def test_what_a_spreadsheet_copied_is_pasted_with_the_keyboard(
    open_editor: Callable[..., TableEditor],
) -> None:
    editor = open_editor()
    QGuiApplication.clipboard().setText("dwell\tfrequency (MHz)\n1e-3\t80\n2e-3\t81")
    editor.activateWindow()
    assert QTest.qWaitForWindowActive(editor)
    editor.table.setFocus()
    control = Qt.KeyboardModifier.ControlModifier
    QApplication.processEvents()  # it has its focus afterwards
    said = checked(editor, lambda: QTest.keyClick(editor.table, Qt.Key.Key_V, control))
    assert said == "2 rows, as the server would take them"
    editor.table.selectAll()
    QTest.keyClick(editor.table, Qt.Key.Key_C, control)
    assert QGuiApplication.clipboard().text() == "1e-3\t80 MHz\t\t\t\n2e-3\t81 MHz\t\t\t"


def test_rows_are_added_and_removed(open_editor: Callable[..., TableEditor]) -> None:
    editor = open_editor('[{"dwell": 1}, {"dwell": 2}]')
    click(editor.buttons["Add row"])
    assert editor.table.currentIndex().row() == 1
    editor.model.setData(editor.table.currentIndex(), "5")
    assert [row["dwell"] for row in editor.model.read()] == [1, 5, 2]
    editor.table.selectRow(0)
    click(editor.buttons["Remove rows"])
    assert [row["dwell"] for row in editor.model.read()] == [5, 2]


def test_files_are_opened_and_saved_and_what_is_none_is_told(
    open_editor: Callable[..., TableEditor], tmp_path: Path
) -> None:
    editor = open_editor('[{"dwell": 1, "frequency": 1e6}]')
    path = tmp_path / "table.csv"
    editor.save_file(str(path))
    assert editor.verdict.text() == f"saved in {path}"
    path.write_text("\ufeff" + path.read_text() + "2,2e6,,,\n", encoding="utf-8")
    editor.open_file(str(path))
    assert [row["frequency"] for row in editor.model.read()] == [1e6, 2e6]
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\xfe")
    editor.open_file(str(tmp_path / "picture"))
    assert editor.verdict.text().startswith("not opened: 'utf-8' codec can't decode byte 0x89")
    editor.save_file(str(tmp_path / "no folder" / "table.csv"))
    assert editor.verdict.text().startswith("not saved: [Errno 2] No such file or directory")
    assert [row["frequency"] for row in editor.model.read()] == [1e6, 2e6]


def test_what_is_no_list_of_objects_opens_no_table(
    main_window: MainWindow, open_editor: Callable[..., TableEditor]
) -> None:
    with pytest.raises(ValueError, match="not enough values"):
        open_editor("[1, 2]")
    error = main_window.forms["dds.play"].fields["steps"].error
    assert error.text() == "steps: expected a list of objects"
