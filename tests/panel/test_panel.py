"""The panel as people use it: a real browser, a real server, and other clients beside them."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

pytest.importorskip("selenium", reason='needs selenium: pip install ".[test]"')

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from artiq_link import (
    DDS,
    Instrument,
    InstrumentError,
    LinkServer,
    SimulatedDriver,
    command,
    current_exchange,
    reading,
    serve_in_background,
)
from artiq_link.exchanges import dispatch, hardware
from artiq_link.exchanges.feed_commands import States
from artiq_link.link_client import Link
from artiq_link.transports import Protocol
from artiq_link.transports.fake import FakeTcp
from tests.conftest import CONTROL_TOKEN, PATIENCE, WATCH_TOKEN, Probe
from tests.exchanges.test_hardware import Plug
from tests.panel.browser import NARROW, WIDE, Panel
from tests.programs import PROGRAM, ROOT, first_line, running

TILE = ROOT / "examples" / "instruments" / "shutter" / "shutter_tile.js"

Serve = Callable[..., LinkServer]
Open = Callable[..., Panel]


def client(panel: Panel) -> Link:
    """Another client of the panel's server."""
    host, _, port = panel.address.removeprefix("http://").strip("/").partition(":")
    return Link(host, int(port))


# The instruments, live


def test_a_change_made_by_another_client_is_seen(panel: Panel) -> None:
    """With its unit, in engineering notation, and all digits where the pointer rests."""
    panel.open_live()
    panel.until_shown("[aria-label='channel ch0'] .frequency", "0 Hz")
    client(panel).call("set_frequency", channel=0, frequency=80e6)
    panel.until_shown("[aria-label='channel ch0'] .frequency", "80.00000007 MHz")
    value = panel.find("[aria-label='channel ch0'] .frequency .value")
    assert value.get_attribute("title") == "80.0000000745058 MHz"
    assert "changed" in (value.get_attribute("class") or "")
    client(panel).call("output", channel=0, on=False)
    panel.until_shown("[aria-label='channel ch0'] .lamp", "output off")


def test_what_is_unknown_is_shown_as_unknown(serve: Serve, open_panel: Open) -> None:
    class Oven(Instrument):
        """An oven."""

        def state(self) -> dict[str, Any]:
            return {"temperature": None, "door": "closed"}

    panel = open_panel(serve({"oven": Oven()}))
    panel.open_live()
    panel.until_shown("[data-instrument=oven] .state", "temperature\nunknown\ndoor\nclosed")


def test_a_measured_value_has_its_unit(serve: Serve, open_panel: Open) -> None:
    class Meter(Instrument):
        """A power meter."""

        @reading(period=60.0)
        def power(self) -> Annotated[float, msgspec.Meta(extra={"unit": "W"})]:
            """Measure."""
            return 1.2e-3

    panel = open_panel(serve({"meter": Meter()}))
    panel.open_live()
    panel.until_shown("[data-instrument=meter] .state", "power\n1.2 mW")


def test_a_ramp_shows_how_far_it_is_and_its_picture(panel: Panel) -> None:
    panel.open_live()
    client(panel).call(
        "ramp", channel="ch1", parameter="frequency", start=1e6, stop=2e6, duration=600.0
    )
    channel = "[aria-label='channel ch1']"
    panel.until_shown(f"{channel} .activity", "ramp")
    panel.until_shown(f"{channel} .far", "of 600")
    bar = panel.find(f"{channel} progress")
    first = float(bar.get_property("value"))  # type: ignore[arg-type]
    panel.until(lambda: float(bar.get_property("value")) > first)  # type: ignore[arg-type]
    picture = "svg[aria-label='frequency against time']"
    panel.until(lambda: panel.find(f"{channel} [data-kind=running] {picture} path"))
    panel.until_shown("[data-instrument=dds] .doing", "ch1: ramp")
    client(panel).call("stop", channel="ch1")
    panel.until_shown(f"{channel} .activity", "tone")
    panel.until(lambda: not panel.find(f"{channel} [data-kind=running]").is_displayed())


def test_a_table_is_drawn_from_the_reply_that_started_it(panel: Panel) -> None:
    """Also one that was started before the page was opened."""
    steps = [{"dwell": 300.0, "frequency": 1e6}, {"dwell": 300.0, "frequency": 3e6}]
    client(panel).call("play", channel=0, steps=steps)
    panel.open_live()
    channel = "[aria-label='channel ch0']"
    panel.until_shown(f"{channel} .far", "step 1 of 2")
    panel.until(lambda: panel.find(f"{channel} [data-kind=running] svg path"))


def test_the_wave_is_the_instruments_own(panel: Panel) -> None:
    client(panel).call("set", channel=0, frequency=10e6, amplitude=0.5)
    panel.open_live()
    panel.until_shown("[aria-label='channel ch0'] .frequency", "MHz")
    panel.button("Wave", "[aria-label='channel ch0']").click()
    wave = "svg[aria-label='wave of ch0, of full scale, against time']"
    panel.until(lambda: panel.find(f"[data-kind=wave] {wave} path"))
    panel.button("Wave", "[aria-label='channel ch0']").click()
    panel.until(lambda: not panel.find("[data-kind=wave]").is_displayed())


def test_what_an_instrument_does_and_who_waits(
    serve: Serve, open_panel: Open, probe: Probe
) -> None:
    """A command's progress, and the queue behind it."""
    panel = open_panel(serve())
    panel.open_live()
    panel.take_control("Anna")
    panel.choose("wait")
    panel.send()
    panel.until_shown(".health", "busy with wait")
    panel.until_shown(".card > header .far", "12.0 of 60.0 s")
    assert panel.find(".card > header progress").get_property("value") == 0.2
    probe.go_on.set()
    panel.until_shown(".reply", "wait: done")
    panel.until_shown(".health", "idle")


def test_a_failure_stays_in_sight(panel: Panel) -> None:
    """The last one; also one from before the page was opened."""
    with pytest.raises(Exception, match="there is no channel 7"):
        client(panel).call("get", channel=7)
    panel.open_live()
    panel.until_shown(".failure", "get: channel: there is no channel 7")
    with pytest.raises(Exception, match="there is no channel 9"):
        client(panel).call("get", channel=9)
    panel.until_shown(".failure", "get: channel: there is no channel 9")


def test_lost_hardware_is_opened_again_by_a_button(
    serve: Serve, open_panel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By who has control; where it fails, it is said."""
    monkeypatch.setattr(hardware, "FIRST_PAUSE", 3600.0)
    plug = Plug()
    panel = open_panel(serve({"plug": plug}))
    panel.open_live()
    plug.is_in = False
    with pytest.raises(Exception, match="the cable is out"):
        client(panel).call("use")
    panel.until_shown(".health", "hardware lost since")
    again = panel.button("Open again")
    assert not again.is_enabled()
    panel.take_control("Anna", "plug")
    panel.until(again.is_enabled)
    again.click()
    panel.until_shown(".control > .refusal", "no such port")
    plug.is_in = True
    again.click()
    panel.until_shown(".health", "idle")
    assert not again.is_displayed()
    assert panel.text(".control > .refusal") == ""


# Commands


def test_a_command_by_its_form(panel: Panel) -> None:
    """A quantity as people type it; the reply stands beside the request."""
    panel.open_live()
    panel.take_control("Anna")
    panel.choose("set_frequency")
    panel.fill(channel="ch2", frequency="80 MHz")
    panel.send()
    panel.until_shown(".reply.success", "set_frequency: done")
    panel.until_shown(".reply .value", "80.00000007 MHz")
    panel.until_shown("[aria-label='channel ch2'] .frequency", "80.00000007 MHz")
    lines = [line.get_attribute("value") for line in panel.all(".copy-line input")]
    place = f'host="127.0.0.1", port={panel.address.split(":")[2].strip("/")}'
    request = '{"command_id": "set_frequency", "channel": "ch2", "frequency": 80e6}'
    assert lines[0] == f"send_data({request}, {place})"


def test_a_number_alone_has_its_unit(serve: Serve, open_panel: Open) -> None:
    class Supply(Instrument):
        """A supply."""

        @command
        def set_current(
            self, current: Annotated[float, msgspec.Meta(extra={"unit": "A"})]
        ) -> Annotated[float, msgspec.Meta(extra={"unit": "A"})]:
            """Set the current."""
            return current

    panel = open_panel(serve({"supply": Supply()}))
    panel.open_live()
    panel.take_control("Anna", "supply")
    panel.choose("set_current", "supply")
    panel.fill(current="800 mA")
    panel.send()
    panel.until_shown(".reply .value", "800 mA")


def test_a_refusal_is_shown_at_its_field_before_anything_is_sent(panel: Panel) -> None:
    panel.open_live()
    panel.choose("set_frequency")
    panel.fill(channel="0", frequency="500 MHz")
    panel.until(lambda: "above the channel's limit of 4e8 Hz" in panel.refusal_at("frequency"))
    assert panel.refusal_at("channel") == ""
    assert panel.entry("frequency").get_attribute("aria-invalid") is not None
    panel.fill(frequency="50 MHz")
    panel.until_shown(".verdict", "can be sent")
    assert panel.refusal_at("frequency") == ""
    panel.fill(frequency="fast")
    assert panel.refusal_at("frequency") == "expected float such as 80MHz, got 'fast'"


def test_what_is_missing_is_said_when_it_is_sent(panel: Panel) -> None:
    panel.open_live()
    panel.take_control("Anna")
    panel.choose("set_frequency")
    panel.send()
    assert panel.refusal_at("frequency") == "this has to be given"


def test_rows_are_typed_into_a_table(panel: Panel) -> None:
    """A list of objects has a row for each; what is wrong is marked where it stands."""
    panel.open_live()
    panel.take_control("Anna")
    panel.choose("set_many")
    panel.button("Add a row", "form.command").click()
    for number, frequency in enumerate(("10 MHz", "900 MHz")):
        panel.find(f"[aria-label='channel of row {number}']").send_keys(str(number))
        panel.find(f"[aria-label='frequency of row {number}']").send_keys(frequency)
    wrong = panel.find("[aria-label='frequency of row 1']")
    panel.until(lambda: wrong.get_attribute("aria-invalid") is not None)
    wrong.clear()
    wrong.send_keys("20 MHz")
    panel.send()
    panel.until_shown(".reply.success", "set_many: done")
    panel.until_shown("[aria-label='channel ch1'] .frequency", "20.00000002 MHz")


def test_a_command_that_takes_long_can_be_aborted(serve: Serve, open_panel: Open) -> None:
    """And nothing else on the page waits for it."""

    class Press(Instrument):
        """A press."""

        @command
        def hold(self) -> None:
            """Hold the sample for an hour."""
            current_exchange().sleep(3600.0)

    panel = open_panel(serve({"press": Press()}))
    panel.open_live()
    panel.take_control("Anna", "press")
    panel.choose("hold", "press")
    panel.send()
    panel.until_shown(".health", "busy with hold")
    panel.button("Abort").click()
    panel.until_shown(".reply.fail", "hold was aborted while it ran")
    panel.until_shown(".health", "idle")


def test_commands_of_an_adapted_function(serve: Serve, open_panel: Open) -> None:
    """What nobody declares is sent as JSON."""

    def interact(data: dict[str, Any]) -> Any:
        """Echo the first parameter."""
        return data["param1"]

    panel = open_panel(serve({}, interact=interact))
    panel.open_live()
    panel.until(lambda: panel.find("[data-instrument=interact]"))
    panel.take_control("Anna", "interact")
    panel.fill(command="test_command", parameters_in_JSON='{"param1": 42}')
    panel.send()
    panel.until_shown(".reply.success", "42")


def test_commands_of_a_function_beside_an_instrument(serve: Serve, open_panel: Open) -> None:
    """As in the template: what the DDS has not is asked for in JSON, on the first card."""

    def interact(data: dict[str, Any]) -> Any:
        """Do what the lab wrote."""
        return data["param1"] if data["command_id"] == "test_command" else dds.interact(data)

    dds = DDS(SimulatedDriver())
    panel = open_panel(serve({"dds": dds}, interact=interact))
    panel.open_live()
    panel.take_control("Anna")
    panel.choose("*")
    panel.fill(command="test_command", parameters_in_JSON='{"param1": 42}')
    panel.send()
    panel.until_shown(".reply.success", "42")
    panel.until(lambda: panel.find("[aria-label='Use test_command again']")).click()
    assert panel.entry("command").get_attribute("value") == "test_command"


# Control


def test_nothing_is_sent_by_who_only_watches(panel: Panel) -> None:
    panel.open_live()
    panel.choose("reset")
    send = panel.find("form.command button[type=submit]")
    assert not send.is_enabled()
    assert send.get_attribute("title") == "Take control of the instrument first"
    panel.take_control("Anna")
    panel.until(send.is_enabled)
    panel.button("Give back control").click()
    panel.until(lambda: not send.is_enabled())
    panel.until_shown(".holder", "Nobody holds dds.")
    assert "lease" not in client(panel).call("link.status")["instruments"]["dds"]


def test_somebody_elses_lease_is_shown_and_not_driven_over(panel: Panel) -> None:
    """It is taken from him only where that is ticked; what he does then is refused."""
    lease = client(panel).call("link.acquire", instrument="dds", owner="Rabi scan", seconds=600)
    panel.open_live()
    panel.until_shown(".holder", "Rabi scan holds dds until")
    panel.button("Take control…").click()
    name = panel.until(lambda: panel.find("dialog[open] input[type=text]"))
    name.send_keys("Anna", Keys.ENTER)
    take = panel.button("Take control", "dialog")
    assert not take.is_enabled()
    panel.find("dialog input[type=checkbox]").click()
    assert "Take it from Rabi scan" in panel.text("dialog .force")
    take.click()
    panel.until_shown(".holder", "You have control as Anna.")
    with pytest.raises(Exception, match="has ended"):
        client(panel).call("link.renew", lease=lease["lease"])


def test_control_that_was_taken_away_is_told(panel: Panel) -> None:
    panel.open_live()
    panel.take_control("Anna")
    client(panel).call("link.acquire", instrument="dds", owner="Bob", seconds=600, force=True)
    panel.until_shown(".holder", "You have lost control. Bob holds dds until")


def test_control_is_given_back_when_the_page_is_left(panel: Panel) -> None:
    panel.open_live()
    panel.take_control("Anna")
    panel.browser.get("about:blank")
    link = client(panel)
    panel.until(lambda: "lease" not in link.call("link.status")["instruments"]["dds"])


# The history


def rows(panel: Panel) -> list[str]:
    return [row.text for row in panel.all(".exchanges tbody tr")]


def test_the_history_is_live_and_filtered(panel: Panel) -> None:
    link = client(panel)
    link.call("set_phase", channel=0, phase=0.25)
    panel.open_live()
    panel.until(lambda: "set_phase" in rows(panel)[0])
    with pytest.raises(Exception, match="channel"):
        link.call("set_phase", channel=9, phase=0.5)
    panel.until(lambda: "failed: channel: there is no channel 9" in rows(panel)[0])
    link.call("set_frequency", channel=0, frequency=1e6)
    panel.until(lambda: "set_frequency" in rows(panel)[0])
    panel.find("#history-failed").click()
    panel.until(lambda: len(rows(panel)) == 1 and "there is no channel 9" in rows(panel)[0])
    panel.find("#history-failed").click()
    panel.find("#history-command").send_keys("set_frequency", Keys.TAB)
    panel.until(lambda: len(rows(panel)) == 1 and "frequency=1000000" in rows(panel)[0])
    link.call("set_phase", channel=0, phase=0.5)
    link.call("set_frequency", channel=0, frequency=2e6)
    panel.until(lambda: len(rows(panel)) == 2 and "frequency=2000000" in rows(panel)[0])
    file = panel.find(".filters a").get_attribute("href")
    assert file == f"{panel.address}history.csv?command=set_frequency"


def test_the_filters_are_those_of_the_file(panel: Panel) -> None:
    """What the page asks the server for as CSV is what it shows."""
    link = client(panel)
    link.call("set_phase", channel=0, phase=0.25)
    link.call("set_frequency", channel=0, frequency=1e6)
    panel.open_live()
    panel.find("#history-command").send_keys("set_phase", Keys.TAB)
    Select(panel.find("#history-since")).select_by_visible_text("the last day")
    panel.until(lambda: len(rows(panel)) == 1)
    script = "fetch(arguments[0]).then((r) => r.text()).then(arguments[1])"
    file = panel.find(".filters a").get_attribute("href")
    text = panel.browser.execute_async_script(script, file)
    assert text.count("set_phase") == 1
    assert "set_frequency" not in text


def test_a_request_is_taken_from_the_history_into_its_form(panel: Panel) -> None:
    client(panel).call("set_frequency", channel=0, frequency=25e6)
    panel.open_live()
    panel.until(lambda: panel.find("[aria-label='Use set_frequency again']")).click()
    assert panel.entry("frequency").get_attribute("value") == "25 MHz"
    assert panel.entry("channel").get_attribute("value") == "0"


def test_numbers_are_plotted_over_time(panel: Panel) -> None:
    """The time of exchanges, and any number of a parameter, a result or a state."""
    link = client(panel)
    for frequency in (1e6, 2e6, 3e6):
        link.call("set_frequency", channel=0, frequency=frequency)
    panel.open_live()
    panel.until(lambda: len(panel.all(".plotted circle")) == 3)
    quantity = Select(panel.find("#history-quantity"))
    quantity.select_by_value("set_frequency: result.frequency")
    panel.until(lambda: "MHz" in panel.find(".plotted svg").text)
    quantity.select_by_value("dds: state.ch0.frequency")
    link.call("set_frequency", channel=0, frequency=5e6)
    panel.until(lambda: panel.find(".plotted path.line"))


# The connection


def test_a_restart_of_the_server(open_panel: Open) -> None:
    """It is said; what is shown meanwhile is marked as old; afterwards the page goes on."""
    with serve_in_background({"dds": DDS(SimulatedDriver())}) as first:
        panel = open_panel(first)
        panel.open_live()
        panel.until_shown("[aria-label='channel ch0'] .frequency", "0 Hz")
        panel.take_control("Anna")
    panel.until_shown("header.page .badge", "reconnecting")
    panel.until_shown("header.page .notice", "There is no connection to the server")
    panel.until_shown("[data-instrument=dds] .heard", "Not up to date: last heard")
    assert "stale" in (panel.find("[data-instrument=dds]").get_attribute("class") or "")
    driver = SimulatedDriver()
    with serve_in_background({"dds": DDS(driver)}, port=first.port):
        panel.until_shown("header.page .badge", "live")
        panel.until_shown("header.page .notice", "The server was restarted")
        assert "stale" not in (panel.find("[data-instrument=dds]").get_attribute("class") or "")
        client(panel).call("set_frequency", channel=0, frequency=80e6)
        panel.until_shown("[aria-label='channel ch0'] .frequency", "80.00000007 MHz")
    panel.until_shown("header.page .badge", "reconnecting")


def test_a_connection_is_made_at_once_where_one_says_so(open_panel: Open) -> None:
    with serve_in_background({"dds": DDS(SimulatedDriver())}) as first:
        panel = open_panel(first)
        panel.open_live()
        # From now on the page does not try again by itself.
        panel.browser.execute_script("window.setTimeout = () => 0")
    panel.until_shown("header.page .badge", "reconnecting")
    with serve_in_background({"dds": DDS(SimulatedDriver())}, port=first.port):
        panel.button("Try now").click()
        panel.until_shown("header.page .badge", "live")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot suspend a program")
@pytest.mark.usefixtures("open_panel")
def test_a_server_that_does_not_answer(browser: webdriver.Chrome) -> None:
    """It is seen after some seconds; as soon as it answers, all is up to date again."""
    with running(sys.executable, "-c", PROGRAM, "0", patience=3 * PATIENCE) as process:
        port = int(first_line(process).rpartition(":")[2])
        panel = Panel(browser, "127.0.0.1", port)
        panel.open_live()
        process.send_signal(signal.SIGSTOP)
        panel.until_shown("header.page .badge", "no answer")
        panel.until_shown("[data-instrument=dds] .heard", "Not up to date")
        process.send_signal(signal.SIGCONT)
        panel.until_shown("header.page .badge", "live")
        panel.until(lambda: not panel.find("header.page .notice").is_displayed())


# Signing in


def test_a_token_is_asked_for(
    serve: Serve, open_panel: Open, elsewhere: str, token_file: str
) -> None:
    """A wrong one is refused; with the right one the page goes on, until one signs out."""
    server = serve({"dds": DDS(SimulatedDriver())}, host=elsewhere, token_file=token_file)
    panel = open_panel(server, elsewhere)
    panel.open()
    entry = panel.until(lambda: panel.find("#token"))
    entry.send_keys("wrong", Keys.ENTER)
    panel.until(lambda: panel.text("#refusal"))
    assert panel.browser.get_cookies() == []
    entry.clear()
    entry.send_keys(CONTROL_TOKEN, Keys.ENTER)
    panel.until_shown("header.page .badge", "live")
    [cookie] = panel.browser.get_cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert CONTROL_TOKEN not in cookie["value"]
    panel.take_control("Anna")
    panel.button("Sign out").click()
    panel.until(lambda: panel.find("#token"))
    panel.open()
    panel.until(lambda: panel.find("#token"))


def signed_in(panel: Panel, token: str) -> None:
    """Show a token, and wait for the page."""
    panel.open("sign-in")
    panel.until(lambda: panel.find("#token")).send_keys(token, Keys.ENTER)
    panel.until_shown("header.page .badge", "live")


def buttons_of(panel: Panel) -> list[str]:
    """What can be pressed, by the words on it."""
    return [button.text for button in panel.all("button") if button.is_displayed()]


def test_who_may_only_watch_sees_no_button_that_would_be_refused(
    serve: Serve, open_panel: Open, elsewhere: str, token_file: str
) -> None:
    """But all else: values, as they change, who holds the instrument, and the history."""
    dds = DDS(SimulatedDriver())
    server = serve({"dds": dds}, host=["127.0.0.1", elsewhere], token_file=token_file)
    near, panel = Link(port=server.port), open_panel(server, elsewhere)
    signed_in(panel, WATCH_TOKEN)
    panel.until_shown(".holder", "Nobody holds dds. Your token may only watch it.")
    near.call("set_frequency", channel=0, frequency=80e6)
    panel.until_shown("[aria-label='channel ch0'] .frequency", "80.00000007 MHz")
    panel.until_shown(".exchanges tbody", "set_frequency")
    with near.lease("dds", owner="Bert"):
        panel.until_shown(".holder", "Bert holds dds until")
    panel.until_shown(".holder", "Nobody holds dds.")
    assert buttons_of(panel) == ["Sign out"]
    assert panel.all("form.command, .chooser") == []
    tile = "new m.TileContext({instrument: {name: 'dds', mayControl: false}})"
    told = panel.evaluate("tiles.js", f"{tile}.send('stop').catch((error) => error.message)")
    assert told == "Your token may only watch dds."


def test_who_may_control_one_instrument_takes_that_one(
    serve: Serve, open_panel: Open, elsewhere: str, tmp_path: Path
) -> None:
    """Also what was commanded of the other is not to be used again."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"desk {WATCH_TOKEN} watch plug=control\n")
    tokens.chmod(0o600)
    instruments = {"dds": DDS(SimulatedDriver()), "plug": Plug()}
    server = serve(instruments, host=["127.0.0.1", elsewhere], token_file=str(tokens))
    panel = open_panel(server, elsewhere)
    Link(port=server.port).call("get", channel=0)
    signed_in(panel, WATCH_TOKEN)
    panel.until_shown("[data-instrument=dds] .holder", "Your token may only watch it.")
    panel.take_control("Anna", "plug")
    panel.choose("use", "plug")
    panel.send()
    panel.until_shown(".reply.success", "use: done")
    panel.until_shown(".exchanges tbody", "use")
    assert [button.accessible_name for button in panel.all(".exchanges button")] == [
        "Use use again"
    ]
    panel.button("Give back control", "[data-instrument=plug]").click()
    panel.until_shown("[data-instrument=plug] .holder", "Nobody holds plug.")


# Everybody


def test_a_phone_has_to_scroll_downwards_alone(panel: Panel) -> None:
    client(panel).call("set_frequency", channel=0, frequency=80e6)
    panel.resize(NARROW)
    panel.open_live()
    for form in ("play", "set", "ramp"):
        panel.choose(form)
        width = panel.browser.execute_script("return document.documentElement.scrollWidth")
        assert width == NARROW[0], form


def test_a_keyboard_is_enough(panel: Panel) -> None:
    """From the page's top to the reply, without a pointer; where one is can be seen."""

    def press(*keys: str) -> None:
        ActionChains(panel.browser).send_keys(*keys).perform()

    def focused() -> Any:
        return panel.browser.switch_to.active_element

    def tab_to(text: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            names = (focused().text, focused().accessible_name)
            if any(name.startswith(text) for name in names):
                assert focused().value_of_css_property("outline-style") != "none"
                return
        raise AssertionError(f"no key leads to {text!r}")

    panel.open_live()
    panel.until_shown("[aria-label='channel ch0'] .frequency", "0 Hz")
    tab_to("Skip to the instruments")
    tab_to("Take control…")
    press(Keys.ENTER)
    panel.until(lambda: panel.find("dialog[open]"))
    press("Anna", Keys.ENTER)
    panel.until_shown(".holder", "You have control as Anna.")
    tab_to("Command of dds")
    press("set frequency")
    tab_to("channel")
    press("1")
    tab_to("frequency")
    press("80 MHz")
    tab_to("Send")
    press(Keys.ENTER)
    panel.until_shown(".reply.success", "set_frequency: done")


def test_what_has_the_focus_does_not_lie_beneath_the_header(panel: Panel) -> None:
    """Where it comes to what lies there."""
    panel.resize((WIDE[0], 400))
    panel.open_live()
    panel.until_shown("[aria-label='channel ch3'] .frequency", "0 Hz")
    header, above, button = panel.browser.execute_script(
        "const button = document.querySelector('.chooser select');"
        "const top = () => button.getBoundingClientRect().top;"
        "scrollTo(0, top() - 5);"
        "const above = top();"
        "button.focus();"
        "const header = document.querySelector('header.page');"
        "return [header.getBoundingClientRect().bottom, above, top()];"
    )
    assert above < header <= button


def test_dark_where_the_system_is_dark(panel: Panel) -> None:
    def ground() -> list[int]:
        color = panel.find("body").value_of_css_property("background-color")
        return [int(part) for part in color.strip("rgba()").split(", ")[:3]]

    panel.open_live()
    assert min(ground()) > 200
    media = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    panel.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    assert max(ground()) < 60


def test_the_page_asks_nobody_else_for_anything(panel: Panel) -> None:
    """What it is made of comes from the server itself, and is less than 150 kB."""
    panel.open_live()
    script = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    names = panel.browser.execute_script(script)
    assert names
    assert all(name.startswith(panel.address) for name in names)
    static = Path(__file__).parents[2] / "artiq_link/panel/static"
    assert sum(file.stat().st_size for file in static.iterdir()) < 150_000


# What a lab adds


def test_a_labs_own_tile(serve: Serve, open_panel: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the example: lamps, and buttons that need control."""
    monkeypatch.syspath_prepend(TILE.parent)
    from shutter_server import Shutter
    from shutter_simulation import SimulatedShutter

    with FakeTcp(SimulatedShutter()) as arduino:
        shutter = Shutter(arduino.device_string, Protocol())
        panel = open_panel(serve({"shutter": shutter}, panel_tile=TILE))
        panel.open_live()
        panel.until_shown(".shutters", "shutter 2: closed")
        assert not panel.button("Open 2").is_enabled()
        panel.take_control("Anna", "shutter")
        panel.button("Open 2").click()
        panel.until_shown(".shutters", "shutter 2: open")
        client(panel).call(
            "link.acquire", instrument="shutter", owner="Bob", seconds=600, force=True
        )
        panel.until(lambda: not panel.button("Close 2").is_enabled())


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("export default {", "The lab's own tile cannot be shown: "),
        (
            "export default {dds: () => { throw new Error('no lamp'); }};",
            "The lab's own tile of dds cannot be shown: no lamp",
        ),
        (
            "export default {dds: ({el}) => ({element: el('p'), show(s) { s.oven.lit; }})};",
            "The lab's own tile of dds cannot be shown: ",
        ),
    ],
)
def test_a_broken_tile_breaks_nothing_else(
    serve: Serve, open_panel: Open, tmp_path: Path, script: str, sentence: str
) -> None:
    """It is said, and what is known of the instrument is shown without it."""
    tile = tmp_path / "tile.js"
    tile.write_text(script)
    panel = open_panel(serve({"dds": DDS(SimulatedDriver())}, panel_tile=tile))
    panel.open_live()
    panel.until_shown("main", sentence)
    panel.until_shown(".live", "400 MHz")


def test_a_tile_sends_nothing_without_control(
    serve: Serve, open_panel: Open, tmp_path: Path
) -> None:
    tile = tmp_path / "tile.js"
    tile.write_text(
        "export default {dds: ({el, send}) => {"
        "const said = el('p', {class: 'said'});"
        "send('reset').then(() => {}, ({message}) => { said.textContent = message; });"
        "return {element: said, show() {}}; }};"
    )
    panel = open_panel(serve({"dds": DDS(SimulatedDriver())}, panel_tile=tile))
    panel.open_live()
    panel.until_shown(".said", "Take control of dds first.")


# What goes wrong


def test_texts_of_others_are_shown_and_never_obeyed(serve: Serve, open_panel: Open) -> None:
    """Whatever names, states, errors and results say, it is text."""
    evil = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"

    class Evil(Instrument):
        __doc__ = evil

        def state(self) -> dict[str, Any]:
            return {evil: evil, "list": [evil], "__proto__": {"constructor": evil}}

        @command
        def fail(self, text: str) -> None:
            """Say something."""
            raise InstrumentError(text)

    panel = open_panel(serve({"evil": Evil()}))
    panel.open_live()
    panel.take_control(evil, "evil")
    panel.choose("fail", "evil")
    panel.fill(text=evil)
    panel.send()
    panel.until_shown(".reply.fail", evil)
    panel.until_shown(".live", evil)
    panel.until_shown(".exchanges", evil)
    assert panel.all("img, main script") == []
    assert panel.browser.title.endswith("artiq_link")


def test_a_state_that_cannot_be_read_is_told(serve: Serve, open_panel: Open) -> None:
    class Broken(Instrument):
        """An instrument with a bug."""

        def state(self) -> Any:
            raise RuntimeError("the bug's text")

    panel = open_panel(serve({"broken": Broken()}))
    panel.open_live()
    panel.until_shown("[data-instrument=broken] .heard", "The state cannot be read: ")


def test_warnings_of_the_log_are_shown(panel: Panel) -> None:
    panel.open_live()
    logging.getLogger("lab").warning("the oven is hot")
    panel.until_shown(".warnings", "the oven is hot")


def test_a_newer_server_tells_of_more(panel: Panel) -> None:
    """Events and members that the page does not know are ignored."""
    keep = (
        "window.sockets = []; const Plain = WebSocket; window.WebSocket = class extends Plain {"
        "constructor(...more) { super(...more); sockets.push(this); } };"
    )
    command = "Page.addScriptToEvaluateOnNewDocument"
    script = panel.browser.execute_cdp_cmd(command, {"source": keep})
    try:
        panel.open_live()
        for text in ('{"event": "tide", "height": 3}', '{"event": "lease", "moon": null}', "[]"):
            told = "sockets[0].dispatchEvent(new MessageEvent('message', {data: arguments[0]}))"
            panel.browser.execute_script(told, text)
        client(panel).call("set_frequency", channel=0, frequency=80e6)
        panel.until_shown("[aria-label='channel ch0'] .frequency", "80.00000007 MHz")
    finally:
        command = "Page.removeScriptToEvaluateOnNewDocument"
        panel.browser.execute_cdp_cmd(command, script)


def test_an_older_server_is_asked_once_a_second(
    serve: Serve, open_panel: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One that tells nothing by itself: what it has is shown, and its exchanges are fetched."""
    older = tuple(commands for commands in dispatch.LINK_COMMANDS if commands is not States)
    monkeypatch.setattr(dispatch, "LINK_COMMANDS", older)
    panel = open_panel(serve({"dds": DDS(SimulatedDriver())}, journal=tmp_path / "journal"))
    panel.open()
    panel.until_shown("header.page .badge", "live, asked once a second")
    panel.until_shown(".heard", "it tells no live state")
    panel.take_control("Anna")
    panel.choose("set_phase")
    panel.fill(channel="0", phase="0.25")
    panel.send()
    panel.until_shown(".reply.success", "0.25 turns")
    panel.until(lambda: "set_phase" in rows(panel)[0])
