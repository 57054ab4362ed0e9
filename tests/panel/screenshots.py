"""The pictures of the panel in the docs: ``python -m tests.panel.screenshots`` takes them anew."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from artiq_link import DDS, Link, ServerFailed, SimulatedDriver, serve_in_background
from tests.panel.browser import NARROW, WIDE, Panel, start_browser
from tests.programs import ROOT

RAMP = {"start": 100e6, "stop": 120e6, "duration": 60.0}
TONES = (
    ("set", {"channel": 0, "frequency": 80e6, "amplitude": 0.25}),
    ("set", {"channel": 1, "frequency": 100e6, "amplitude": 0.5}),
    ("set", {"channel": 2, "frequency": 200.25e6, "phase": 0.25, "amplitude": 0.75}),
    ("set", {"channel": 3, "frequency": 5e6, "amplitude": 1.0}),
    ("output", {"channel": 3, "on": False}),
    (
        "ramp",
        {"channel": 1, "parameter": "frequency", "start": 100e6, "stop": 120e6, "duration": 60.0},
    ),
)
TABLE = [{"dwell": 9.0, "frequency": frequency} for frequency in (80e6, 95e6, 90e6, 110e6, 85e6)]


def play(link: Link) -> None:
    """Have something to show on every channel, and in the history."""
    for rid, (command, parameters) in enumerate(TONES, 4711):
        link.send({"command_id": command, **parameters, "link": {"rid": rid}})
    link.call("play", channel=2, steps=TABLE, repeat=3)
    with contextlib.suppress(ServerFailed):
        link.call("set_frequency", channel=0, frequency=500e6)


def take(panel: Panel, folder: Path) -> None:
    """Take all pictures of a page whose server has something to show."""
    browser = panel.browser
    panel.resize(WIDE)
    panel.open_live()
    panel.until_shown("[aria-label='channel ch2'] .far", "step")
    panel.until(lambda: panel.find("[aria-label='channel ch2'] [data-kind=running] path"))
    panel.take_control("Anna")
    panel.button("Wave", "[aria-label='channel ch0']").click()
    panel.until(lambda: panel.find("[data-kind=wave] path"))
    panel.choose("set_frequency")
    panel.fill(channel="ch3", frequency="500 MHz")
    panel.until(lambda: "above the channel's limit" in panel.refusal_at("frequency"))
    browser.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    for name, theme, size in (
        ("panel", "light", (WIDE[0], 1000)),
        ("panel_dark", "dark", (WIDE[0], 820)),
        ("panel_phone", "light", NARROW),
    ):
        media = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        panel.resize(size)
        panel.until(lambda: panel.find("[data-kind=wave] path"))
        browser.save_screenshot(str(folder / f"{name}.png"))


def main() -> int:
    """Take the pictures for the docs."""
    with tempfile.TemporaryDirectory() as work:
        browser = start_browser(Path(work, "profile"))
        try:
            dds, journal = DDS(SimulatedDriver()), Path(work, "journal")
            with serve_in_background({"dds": dds}, journal=journal) as server:
                play(Link("127.0.0.1", server.port))
                take(Panel(browser, "127.0.0.1", server.port), ROOT / "docs")
        finally:
            browser.quit()
    return 0


if __name__ == "__main__":
    sys.exit(main())
