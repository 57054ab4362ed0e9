"""One browser for all tests of the panel that run in a process, and pages of servers in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from artiq_link import DDS, LinkServer, SimulatedDriver

if TYPE_CHECKING:
    from selenium import webdriver

    from tests.panel.browser import Panel


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """Chromium, headless."""
    from tests.panel.browser import CHROMIUM, DRIVER, MISSING, start_browser

    if CHROMIUM is None or DRIVER is None:
        pytest.skip(MISSING)
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def open_panel(browser: webdriver.Chrome) -> Iterator[Callable[..., Panel]]:
    """Pages of servers; at the end nothing of them is left in the browser, and none complained."""
    from tests.panel.browser import WIDE, Panel

    def open_panel(server: LinkServer, host: str = "127.0.0.1") -> Panel:
        return Panel(browser, host, server.port)

    yield open_panel
    lines = [line["message"] for line in browser.get_log("browser")]
    browser.get("about:blank")
    browser.delete_all_cookies()
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    browser.set_window_size(*WIDE)
    assert [line for line in lines if "Content Security Policy" in line] == []


@pytest.fixture
def panel(
    serve: Callable[..., LinkServer], open_panel: Callable[..., Panel], tmp_path: Path
) -> Panel:
    """The page of a server with a simulated DDS, and a journal."""
    return open_panel(serve({"dds": DDS(SimulatedDriver())}, journal=tmp_path / "journal"))
