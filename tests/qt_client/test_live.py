"""What the window shows by itself: states, progress, leases and exchanges as they happen."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from artiq_link import Instrument, LinkServer, command, link_client
from artiq_link.exchanges import hardware
from tests.conftest import PATIENCE, Probe
from tests.exchanges.asking import end_time_of_running
from tests.exchanges.test_hardware import Plug
from tests.scripted_server import answer, scripted_server

pytest.importorskip("PySide6.QtWidgets", exc_type=ImportError)

from artiq_link.qt_client import session
from artiq_link.qt_client.appearance import Tone
from artiq_link.qt_client.session import summary_of
from artiq_link.qt_client.window import MainWindow
from tests.qt_client.using import click, connect, fill, history, show_form, transmit, wait

NEVER = 24 * 3600 * 1000
"""Milliseconds: in a test whose window does not look by itself."""


class Oven(Instrument):
    """An oven."""

    def __init__(self) -> None:
        self.temperature: float | None = 300.0

    @command
    def heat(
        self, temperature: Annotated[float, msgspec.Meta(extra={"unit": "K"})]
    ) -> Annotated[float, msgspec.Meta(extra={"unit": "K"})]:
        """Heat; see `cool`."""
        self.temperature = temperature
        return temperature

    @command
    def forget(self) -> None:
        """Know nothing."""
        self.temperature = None

    def state(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "on": True,
            "zones": [{"name": "top", "temperature": 12.5}, {"name": "door", "open": False}],
        }


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch, main_window: MainWindow) -> None:
    monkeypatch.setattr(session, "REFRESH", NEVER)


def test_a_state_that_another_client_changes_is_shown_with_its_units(
    main_window: MainWindow, serve: Callable[..., LinkServer], never_looks: None
) -> None:
    port = serve({"oven": Oven()}).port
    states = main_window.states
    wait(
        main_window.stated,
        lambda: connect(main_window, port),
        lambda: states.text_at("oven", "temperature") == "300 K",
    )
    assert states.text_at("oven", "on") == "yes"
    assert states.text_at("oven", "zones", "0: top", "temperature") == "12.5 K"
    assert states.text_at("oven", "zones", "1: door", "open") == "no"

    def change(name: str, **parameters: float) -> None:
        link_client.Link("127.0.0.1", port).call(name, **parameters)

    wait(
        main_window.stated,
        lambda: change("heat", temperature=0.004),
        lambda: states.text_at("oven", "temperature") == "4 mK",
    )
    wait(
        main_window.stated,
        lambda: change("forget"),
        lambda: states.text_at("oven", "temperature") == "unknown",
    )


def test_a_command_of_another_client_is_shown_with_how_far_it_is(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe, never_looks: None
) -> None:
    port = serve().port
    connect(main_window, port)
    row = main_window.instruments.rows["dds"]
    height = row.sizeHint().height()
    assert not row.bar.isVisible()
    link = link_client.Link("127.0.0.1", port, timeout=PATIENCE)
    with ThreadPoolExecutor() as pool:
        wait(
            main_window.refreshed,
            lambda: pool.submit(link.call, "wait"),
            lambda: row.bar.isVisible() and row.bar.value() == 200,
        )
        assert row.summary.text() == "dds: busy with wait, 12.0 of 60.0 s"
        assert row.sizeHint().height() == height
        wait(main_window.refreshed, probe.go_on.set, lambda: row.summary.text() == "dds: idle")
    assert not row.bar.isVisible()


def test_lost_hardware_is_opened_again_by_a_button(
    main_window: MainWindow, serve: Callable[..., LinkServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by who holds the instrument; where that fails, it is said."""
    monkeypatch.setattr(hardware, "FIRST_PAUSE", 3600.0)
    plug = Plug()
    connect(main_window, serve({"plug": plug}).port)
    row = main_window.instruments.rows["plug"]
    assert not row.reopen_button.isVisible()
    wait(main_window.leases.changed, lambda: click(row.button))
    plug.is_in = False
    wait(
        main_window.refreshed,
        lambda: transmit(main_window, "plug.use"),
        row.reopen_button.isVisible,
    )
    wait(main_window.exchanged, lambda: click(row.reopen_button))
    assert "no such port" in main_window.answer.headline.text()
    assert row.reopen_button.isVisible()
    plug.is_in = True
    wait(
        main_window.refreshed,
        lambda: click(row.reopen_button),
        lambda: not row.reopen_button.isVisible(),
    )
    assert row.summary.text() == "plug: idle"


def test_a_timeout_in_the_history_tells_what_became_of_it(
    main_window: MainWindow, serve: Callable[..., LinkServer], probe: Probe
) -> None:
    server = serve()

    def let_its_time_end() -> None:
        """As soon as it has started, which may take any time."""
        assert probe.started.wait(PATIENCE)
        end_time_of_running(server)

    connect(main_window, server.port)
    main_window.timeout.setValue(PATIENCE)
    with ThreadPoolExecutor() as pool:
        pool.submit(let_its_time_end)
        transmit(main_window, "dds.wait")
    assert history(main_window) == [("dds.wait", "timeout")]
    wait(
        main_window.refreshed,
        probe.go_on.set,
        lambda: history(main_window) == [("dds.wait", "timeout, then done")],
    )
    headline = main_window.answer.headline
    assert headline.text() == "dds.wait: timeout, then done"
    assert headline.tone is Tone.GOOD
    assert '"waited"' in main_window.answer.text.toPlainText()


def test_a_server_that_tells_nothing_by_itself_is_looked_at(main_window: MainWindow) -> None:
    """One from before there were subscriptions."""
    description = {
        "version": "0.0.1",
        "instruments": {"old": {"doc": "An old one.", "commands": {}}},
        "interact": None,
        "link": {"status": {"doc": "Tell.", "parameters": [], "result": {"schema": {}}}},
    }
    looks = [
        answer(status="success", result={"instruments": {"old": {"summary": text}}})
        for text in ("old: idle", "old: busy")
    ]
    with scripted_server(answer(status="success", result=description), *looks) as (_, port):
        main_window.port.setValue(port)
        wait(
            main_window.refreshed,
            lambda: click(main_window.connect_button),
            lambda: main_window.instruments.text == "old: busy",
        )
    assert main_window.states.tree.topLevelItemCount() == 0


def test_what_is_lost_is_shown_as_it_was_when_last_heard(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    server = serve({"oven": Oven()})
    states = main_window.states
    wait(
        main_window.stated,
        lambda: connect(main_window, server.port),
        lambda: states.text_at("oven", "temperature") == "300 K",
    )
    main_window._show_failure("gone")
    assert main_window.state.text() == "● gone"
    assert main_window.instruments.text == "oven: idle (as it was told last)"
    assert states.notice.isVisibleTo(states)
    assert states.notice.tone is Tone.BAD
    assert states.text_at("oven", "temperature") == "300 K"


def test_a_summary_is_that_of_the_status() -> None:
    activity = {"text": "ch0: ramp, 1.0 of 2.0 s", "fraction": 0.5}
    assert summary_of("dds", {"command": None, "activity": activity}) == {
        "state": "idle",
        "summary": "dds: idle; ch0: ramp, 1.0 of 2.0 s",
    }
    assert summary_of("dds", {"command": "get", "text": "for 0.1 s"}) == {
        "state": "busy",
        "summary": "dds: busy with get, for 0.1 s",
    }
    assert summary_of("dds", {"command": None, "lost": "no answer"}) == {}


# --- the journal --------------------------------------------------------------------------------


def commands_in(opened: MainWindow) -> list[tuple[str, str]]:
    model = opened.journal.model
    rows = range(model.rowCount())
    return [(model.index(r, 1).data(), model.index(r, 2).data()) for r in rows]


def test_the_exchanges_of_all_clients_are_listed_and_come_by_themselves(
    main_window: MainWindow,
    serve: Callable[..., LinkServer],
    tmp_path: Path,
    never_looks: None,
) -> None:
    port = serve(journal=tmp_path / "journal.sqlite").port
    link = link_client.Link("127.0.0.1", port, link={"rid": 17, "owner": "a scan"})
    link.call("set_frequency", channel=0, frequency=1e6)
    with pytest.raises(link_client.ServerFailed):
        link.call("refuse")
    connect(main_window, port)
    journal = main_window.journal
    both = [("dds.refuse", "instrument_error"), ("dds.set_frequency", "done")]
    wait(
        journal.model.failed,
        lambda: main_window.past.setCurrentWidget(journal),
        lambda: commands_in(main_window) == both,
    )
    who = journal.model.index(0, 4).data()
    assert who.startswith("a scan, RID 17, 127.0.0.1:")
    wait(
        journal.model.failed,
        lambda: link.call("count"),
        lambda: commands_in(main_window) == [("dds.count", "done"), *both],
    )
    wait(
        journal.model.failed,
        lambda: click(journal.failed),
        lambda: commands_in(main_window) == both[:1],
    )
    journal.rid.setText("none")
    journal.restart()
    assert journal.problem.text() == "RID: expected a whole number, got 'none'"


def test_the_journal_is_asked_for_page_by_page(
    main_window: MainWindow,
    serve: Callable[..., LinkServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("artiq_link.qt_client.journal_model.PAGE", 2)
    port = serve(journal=tmp_path / "journal.sqlite").port
    link = link_client.Link("127.0.0.1", port)
    for index in range(5):
        link.call("set_frequency", channel=index, frequency=1e6)
    connect(main_window, port)
    model = main_window.journal.model
    wait(
        model.failed,
        lambda: main_window.past.setCurrentWidget(main_window.journal),
        lambda: model.rowCount() == 5 and not model.canFetchMore(),
    )
    channels = [model.entry(model.index(row, 0)) for row in range(5)]
    assert [entry and entry["parameters"]["channel"] for entry in channels] == [4, 3, 2, 1, 0]


def test_a_form_is_filled_again_from_the_journal_and_from_this_window(
    main_window: MainWindow, serve: Callable[..., LinkServer], tmp_path: Path
) -> None:
    port = serve(journal=tmp_path / "journal.sqlite").port
    link_client.Link("127.0.0.1", port).call("set_frequency", channel=3, frequency=80e6)
    connect(main_window, port)
    form = show_form(main_window, "dds.set_frequency")
    fill(form, channel="1", frequency="1kHz")
    model = main_window.journal.model
    wait(
        model.failed,
        lambda: main_window.past.setCurrentWidget(main_window.journal),
        lambda: model.rowCount() == 1,
    )
    main_window.journal.view.setCurrentIndex(model.index(0, 0))
    assert main_window.answer.headline.text() == "dds.set_frequency: done"
    click(main_window.answer.refill)
    texts = [form.fields[name].text() for name in ("channel", "frequency")]
    assert texts == ["3", "80 MHz"]
    wait(main_window.exchanged, lambda: click(form.button))
    fill(form, channel="7", frequency="")
    click(main_window.answer.refill)
    assert [form.fields[name].text() for name in ("channel", "frequency")] == ["3", "80 MHz"]


def test_a_server_without_a_journal_in_a_file_says_so(
    main_window: MainWindow, serve: Callable[..., LinkServer]
) -> None:
    connect(main_window, serve().port)
    main_window.past.setCurrentWidget(main_window.journal)
    assert main_window.journal.problem.text() == (
        "This server keeps no journal in a file, so it lists nothing."
    )


def test_an_outcome_that_is_not_known_is_asked_for_until_it_is(application: object) -> None:
    """`Exchange.learn` takes each of the words that ``link.outcome`` has."""
    from artiq_link.qt_client.exchanges import Exchange, PlainJson

    said = {}
    for told in (
        {"outcome": "running"},
        {"outcome": "failed", "reply": {"code": "instrument_error", "error": "no lock"}},
        {"outcome": "never_arrived"},
        {"outcome": "unknown"},
    ):
        exchange = Exchange(PlainJson("127.0.0.1", 1), "dds.set", {"command_id": "dds.set"})
        exchange.outcome = "no reply"
        assert exchange.may_go_on
        last = exchange.learn(told)
        said[told["outcome"]] = (last, exchange.outcome, exchange.failure)
    assert said == {
        "running": (False, "no reply", ""),
        "failed": (True, "no reply, then instrument_error", "no lock"),
        "never_arrived": (
            True,
            "no reply: never arrived",
            "it never arrived at the server, so it was not executed",
        ),
        "unknown": (
            True,
            "no reply: unknown",
            "the server ended while it ran: whether it was executed is not known",
        ),
    }
