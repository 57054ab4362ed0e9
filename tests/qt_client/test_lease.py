"""Leases in the window: taken and released by clicks, kept for all that it sends, and others'."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from artiq_link import LinkServer, link_client
from tests.conftest import Probe, until

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from artiq_link.qt_client.appearance import Tone
from artiq_link.qt_client.exchanges import DIALECTS
from artiq_link.qt_client.instruments import InstrumentRow
from artiq_link.qt_client.window import MainWindow
from tests.qt_client.using import click, connect, history, transmit, transmit_free, wait


def row_of(opened: MainWindow) -> InstrumentRow:
    return opened.instruments.rows["dds"]


def take(opened: MainWindow) -> None:
    opened.owner = "Anna"
    wait(opened.leases.changed, lambda: click(row_of(opened).button))


def holder(server: LinkServer) -> str | None:
    held = server.dispatch.leases.holder("dds")
    return None if held is None else held.describe()["owner"]


def test_an_instrument_that_is_taken_is_held_until_it_is_released(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    server = serve()
    connect(main_window, server.port)
    row = row_of(main_window)
    assert (row.holder.text(), row.button.text()) == ("held by nobody", "Take")
    take(main_window)
    assert (row.holder.text(), row.button.text()) == ("held by you", "Release")
    with pytest.raises(link_client.ServerFailed, match=r"^leased: dds is held by 'Anna' until "):
        link_client.Link("127.0.0.1", server.port).call("count")
    for dialect in DIALECTS:
        main_window.dialect.setCurrentText(dialect)
        transmit(main_window, "dds.set_frequency", channel="0", frequency="1 kHz")
    main_window.dialect.setCurrentIndex(0)
    transmit_free(main_window, '{"command_id": "count"}')
    assert history(main_window) == [("count", "success"), *[("dds.set_frequency", "success")] * 3]
    wait(main_window.leases.changed, lambda: click(row.button))
    assert holder(server) is None
    link_client.Link("127.0.0.1", server.port).call("count")
    wait(main_window.refreshed, lambda: None, lambda: row.holder.text() == "held by nobody")


def test_what_somebody_else_holds_is_shown_and_cannot_be_taken(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    port = serve().port
    connect(main_window, port)
    row = row_of(main_window)
    with link_client.Link("127.0.0.1", port).lease("dds", "a scan", 60):
        wait(main_window.refreshed, lambda: None, lambda: not row.button.isEnabled())
        assert row.holder.text().startswith("held by 'a scan' until ")
        transmit(main_window, "dds.set_frequency", channel="0", frequency="1 kHz")
        assert main_window.answer.headline.text().startswith("leased: dds is held by 'a scan' ")
    assert probe.executed == []
    wait(main_window.refreshed, lambda: None, row.button.isEnabled)


def test_a_lease_that_cannot_be_had_is_told(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    """Somebody was faster than the click."""
    port = serve().port
    connect(main_window, port)
    with link_client.Link("127.0.0.1", port).lease("dds", "a scan", 60):
        wait(main_window.leases.changed, lambda: main_window.leases.take("dds", "Anna"))
    headline = main_window.answer.headline
    assert headline.text().startswith(
        "not sent: dds could not be taken: leased: dds is held by 'a scan' "
    )
    assert headline.tone is Tone.BAD
    assert "dds" not in main_window.leases


def test_a_lease_that_was_taken_away_is_told_and_nothing_is_sent_under_it(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    port = serve().port
    connect(main_window, port)
    take(main_window)
    link = link_client.Link("127.0.0.1", port)
    taken = link.call("link.acquire", instrument="dds", owner="Bo", seconds=60, force=True)
    transmit(main_window, "dds.count")
    link.call("link.release", lease=taken["lease"])
    assert history(main_window) == [("dds.count", "stale")]
    assert probe.executed == []


def test_the_end_of_the_window_releases_what_it_holds(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    server = serve()
    connect(main_window, server.port)
    take(main_window)
    assert holder(server) == "Anna"
    main_window.close()
    until(lambda: holder(server) is None)
