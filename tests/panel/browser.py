"""A real browser without a screen, and the panel in it as a person finds things there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.conftest import PATIENCE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "needs a browser: apt-get install chromium chromium-driver"

OPTIONS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "hide-scrollbars",
    "force-prefers-reduced-motion",
)

WIDE, NARROW = (1280, 900), (375, 812)
"""Sizes in pixels: of a desk's screen, and of a phone's."""

NOT_YET = (
    NoSuchElementException,
    StaleElementReferenceException,
    ElementNotInteractableException,
    AssertionError,
    IndexError,
)
"""What says that the page is not there yet."""

T = TypeVar("T")


def start_browser(profile: Path) -> webdriver.Chrome:
    """Start Chromium with a profile of its own in this folder, which keeps its console's lines."""
    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"user-data-dir={profile}", f"window-size={WIDE[0]},{WIDE[1]}"):
        options.add_argument(f"--{option}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(DRIVER))


class Panel:
    """The page of one server."""

    def __init__(self, browser: webdriver.Chrome, host: str, port: int) -> None:
        self.browser = browser
        self.address = f"http://{host}:{port}/"

    def open(self, path: str = "") -> None:
        self.browser.get(self.address + path)

    def until(self, condition: Callable[[], T]) -> T:
        """Wait until a condition holds, and give what it gave."""
        wait = WebDriverWait(self.browser, PATIENCE, 0.02, ignored_exceptions=NOT_YET)
        try:
            return wait.until(lambda _: condition())
        except TimeoutException:
            page = self.browser.find_element(By.TAG_NAME, "body").text
            raise AssertionError(f"waited in vain; the page shows:\n{page}") from None

    def open_live(self) -> None:
        """Open the page, and wait until it is up to date."""
        self.open()
        self.until_shown("header.page .badge", "live")

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def until_shown(self, selector: str, text: str) -> None:
        """Wait until an element has this in its text."""
        self.until(lambda: text in self.text(selector))

    def entry(self, label: str, within: str = "form.command") -> WebElement:
        """The entry with this label."""
        labels = self.find(within).find_elements(By.TAG_NAME, "label")
        names = {each.text.split("\n")[0].strip(): each for each in labels}
        found = next((each for name, each in names.items() if name == label), None)
        if found is None:  # a unit stands behind the name
            found = next(each for name, each in names.items() if name.startswith(f"{label} "))
        return self.browser.find_element(By.ID, found.get_attribute("for") or "")

    def button(self, text: str, within: str = "body") -> WebElement:
        """The button with this text, where it can be seen."""
        buttons = self.find(within).find_elements(By.TAG_NAME, "button")
        return [each for each in buttons if each.is_displayed() and each.text == text][0]  # noqa: RUF015

    def take_control(self, name: str, instrument: str = "dds") -> None:
        """Take control of an instrument, and wait until it is had."""
        card = f"[data-instrument={instrument}]"
        self.find(f"{card} .control > button").click()
        entry = self.until(lambda: self.find(f"{card} dialog[open] input[type=text]"))
        entry.clear()
        entry.send_keys(name)
        self.button("Take control", f"{card} dialog").click()
        self.until_shown(f"{card} .holder", f"You have control as {name}.")

    def choose(self, command: str, instrument: str = "dds") -> None:
        """Open a command's form."""
        Select(self.find(f"[data-instrument={instrument}] .chooser select")).select_by_value(
            command
        )

    def fill(self, **entries: str) -> None:
        """Type into the entries of the form that is open, over what stands there."""
        for label, text in entries.items():
            entry = self.entry(label.replace("_", " "))
            if entry.tag_name == "select":
                Select(entry).select_by_visible_text(text)
            else:
                entry.clear()
                entry.send_keys(text)

    def refusal_at(self, label: str) -> str:
        """What is said to be wrong at an entry."""
        return self.find(f"#{self.entry(label).get_attribute('id')}-error").text

    def send(self) -> None:
        self.find("form.command button[type=submit]").click()

    def resize(self, size: tuple[int, int]) -> None:
        """Give the page another size than the window has; a window is at least 500 pixels wide."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def evaluate(self, module: str, expression: str, *values: Any) -> Any:
        """The value of an expression in which `m` is a module of the page, and `v` the values."""
        script = (
            "const [path, values, done] = arguments;"
            "import(path).then((m) => ((v) => " + expression + ")(values))"
            ".then((value) => done({value}), (error) => done({error: error.message}));"
        )
        answer = self.browser.execute_async_script(script, f"/{module}", values)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]
