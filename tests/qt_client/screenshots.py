"""The pictures of docs/gui.md, made of the window as it is::

    python -m tests.qt_client.screenshots docs

With ``--dark`` or ``--small`` they show the window as it is then, for those who change it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"  # before Qt is imported

from PySide6.QtCore import QSettings
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from artiq_link import DDS, SimulatedDriver, link_client, serve_in_background
from artiq_link.qt_client.table_editor import TableEditor
from artiq_link.qt_client.window import MainWindow
from tests.qt_client.using import click, connect, show_form, transmit, wait

STEPS = (
    '[{"dwell": 1e-3, "frequency": 80e6, "amplitude": 0.2},'
    ' {"dwell": 2e-3, "frequency": 900e6, "amplitude": 1},'
    ' {"dwell": 1e-3, "frequency": 70e6}]'
)


def show(opened: MainWindow, port: int, save: Callable[[str], None]) -> None:
    """Use the window, and save what it shows."""
    connect(opened, port)
    opened.owner = "Anna"
    wait(opened.leases.changed, lambda: click(opened.instruments.rows["dds"].button))
    transmit(opened, "dds.set_amplitude", channel="0", amplitude="0.5")
    transmit(opened, "dds.set_frequency", channel="0", frequency="500 MHz")
    transmit(opened, "dds.set_frequency", channel="0", frequency="80 MHz")
    transmit(opened, "dds.waveform", channel="0", samples="200", rate="1 GHz")
    form = show_form(opened, "dds.ramp")
    form.fields["parameter"].set_text("frequency")
    transmit(opened, "dds.ramp", channel="0", start="70e6", stop="90e6", duration="30 s")
    wait(opened.refreshed, lambda: None, opened.instruments.rows["dds"].bar.isVisible)
    save("gui.png")
    opened.tabs.setCurrentWidget(opened.states)
    model = opened.journal.model
    wait(
        model.failed,
        lambda: opened.past.setCurrentWidget(opened.journal),
        lambda: model.rowCount() > 0,
    )
    wait(opened.refreshed, lambda: None)
    save("gui_state.png")
    form = show_form(opened, "dds.play")
    form.fields["channel"].set_text("0")
    field = form.fields["steps"]
    field.set_text(STEPS)
    click(field.edit)  # type: ignore[attr-defined]
    [editor] = opened.findChildren(TableEditor)
    wait(editor.judged, lambda: None)
    save("gui_table.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    application = QApplication([])
    if options.dark:
        application.setPalette(QPalette(QColor(45, 45, 48)))
    with (
        tempfile.TemporaryDirectory() as folder,
        serve_in_background(
            {"dds": DDS(SimulatedDriver())}, journal=Path(folder) / "journal.sqlite"
        ) as server,
    ):
        link = link_client.Link("127.0.0.1", server.port, link={"rid": 1234, "owner": "a scan"})
        for frequency in (80e6, 80.5e6, 81e6):
            link.call("set_frequency", channel=1, frequency=frequency)
        settings = QSettings(str(Path(folder) / "settings.ini"), QSettings.Format.IniFormat)
        opened = MainWindow(settings)
        if options.small:
            opened.resize(700, 480)
        opened.show()

        def save(name: str) -> None:
            application.processEvents()
            shown = opened.findChild(TableEditor) if name == "gui_table.png" else opened
            shown.grab().save(str(options.folder / name))

        show(opened, server.port, save)
        opened.close()


if __name__ == "__main__":
    main()
