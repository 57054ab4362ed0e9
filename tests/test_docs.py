"""Every command and every Python block of README and docs is run, and what they show compared.

A page is run from its top to its end in an empty folder, beside a copy of the project named
``artiq_link``. The copy and the page have a free port in place of the default 65432, so that
everything runs as it stands. The first word behind a block's fence says what the block is, a
second one what becomes of it:

================== ============================================================================
``console``        ``$`` lines are run, one after the other; below each stands what it prints
``console server`` the same for one command that goes on, until another such block or the end
``text server``    what that server prints next
``python``         runs in the page's one Python session
``python NAME.py`` is written to that file; the same for ``yaml`` and ``csv``
``text``           what the Python block right before it prints; without it, it prints nothing
``json request``   goes to the port as it stands
``json reply``     what is answered; white space may differ
``labview sent``   goes to the port, written in LabVIEW's ``\\`` codes
``labview received`` what is answered, to the last byte
``sh``, ``bat``    setting up, on Windows too: installing takes the network, and the tests cannot
                   run themselves, so these lines are checked against Makefile, pyproject.toml
                   and the command line instead
``py FILE [TABLE]`` what is added to the package: test_where_to_add.py does it
================== ============================================================================

In what is shown ``...`` stands for anything. Lines about [::1] are dropped where IPv6 is missing.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from artiq_link import DDS, Link, SimulatedDriver, serve_in_background
from artiq_link.cli.program import ACTIONS
from artiq_link.errors import ExchangeError
from tests.conftest import PATIENCE
from tests.programs import ROOT, running

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples" / "clients").glob("*.md")),
]
PORT = "65432"
PAGE_PATIENCE = 5 * PATIENCE

page_of = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)


ANSWERS = {("text", ""), ("json", "reply"), ("labview", "received")}
"""Blocks that show what comes of the one before."""


class Block(NamedTuple):
    """One fenced block of a page."""

    line: int
    kind: str
    target: str
    text: str


def blocks_of(text: str) -> list[Block]:
    found = re.finditer(r"^```(\w*) ?(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return [Block(text.count("\n", 0, m.start()) + 2, m[1], m[2], m[3]) for m in found]


def matches(shown: str, real: str) -> bool:
    """Whether `real` is what the page shows; ``...`` stands for anything."""
    if not has_ipv6():
        shown, real = (re.sub(r".*\[::1\].*\n", "", text) for text in (shown, real))
    shown, real = (re.sub(r" +$", "", text, flags=re.MULTILINE).strip() for text in (shown, real))
    pattern = ".*".join(map(re.escape, shown.split("...")))
    return re.fullmatch(pattern, real, re.DOTALL) is not None


LINE_ENDS = {"\\n": "\n", "\\r": "\r", "\\04": "\x04"}
"""LabVIEW's codes for what ends a message; the page has no other backslashes."""


def from_codes(text: str) -> str:
    """What LabVIEW sends for a string that it shows so; the block's own newline is not part."""
    text = text.rstrip("\n")
    for code, character in LINE_ENDS.items():
        text = text.replace(code, character)
    return text


def in_codes(text: str) -> str:
    """A received string as LabVIEW shows it."""
    for code, character in LINE_ENDS.items():
        text = text.replace(character, code)
    return text


def one_line(message: str) -> str:
    """A JSON text without its white space, wherever that is."""
    return "".join(message.split())


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


# --- running a page -----------------------------------------------------------------------------

SESSION = """
import contextlib, io, json, sys, traceback, types
main = sys.modules["__main__"] = types.ModuleType("__main__")
for line in sys.stdin:
    code, where = json.loads(line)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(compile(code, where, "exec"), vars(main))
        except BaseException:
            traceback.print_exc(file=printed)
    print(json.dumps(printed.getvalue()), flush=True)
"""


class Page:
    """One page that is being run: its folder, its Python session, its server in the background."""

    def __init__(self, name: str, clone: Path, port: str) -> None:
        self.name = name
        self.port = port
        self.folder = clone.parent / "lab"
        self.folder.mkdir()
        self._open = contextlib.ExitStack()
        self._server = contextlib.ExitStack()
        self._serving: subprocess.Popen[str] | None = None
        self._session: subprocess.Popen[str] | None = None
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(clone),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONUTF8": "1",
            "XDG_STATE_HOME": str(self.folder.parent / "state"),
        }

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close()
        self._open.close()
        shutil.rmtree(self.folder)

    def run(self, block: Block, shown: str) -> None:
        """Run one block; `shown` is what its Python prints, or what its request is answered."""
        where = f"{self.name}:{block.line}"
        match block.kind, block.target:
            case "console", "":
                for command, printed in commands_of(block.text):
                    self.expect(f"{where}: {command}", printed, self.command(command))
            case "console", "server":
                [(command, printed)] = commands_of(block.text)
                self.start(command)
                self.expect_from_server(where, printed)
            case "text", "server":
                self.expect_from_server(where, block.text)
            case "python", "":
                self.expect(where, shown, self.python(block.text, where))
            case (("python" | "yaml" | "csv"), name):
                (self.folder / name).write_text(block.text, encoding="utf-8")
            case "json", "request":
                self.expect(where, one_line(shown), one_line(self.exchange(block.text)))
            case "labview", "sent":
                self.expect(where, shown.rstrip(), in_codes(self.exchange(from_codes(block.text))))

    def expect(self, where: str, shown: str, real: str) -> None:
        assert matches(shown, real), f"{where} shows\n{shown}\nbut it is\n{real}"

    def command(self, command: str) -> str:
        """Run a command to its end; gives what a terminal shows of it."""
        return subprocess.run(
            command,
            shell=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=PAGE_PATIENCE,
        ).stdout

    def start(self, command: str) -> None:
        """Run a command in the background in place of the one before."""
        self._server.close()
        self._serving = self._server.enter_context(
            running(*command.split(), folder=self.folder, environment=self.environment,
                    patience=PAGE_PATIENCE)
        )  # fmt: skip

    def expect_from_server(self, where: str, shown: str) -> None:
        """Wait until the server has printed what is shown."""
        assert self._serving is not None, f"{where}: no server is running"
        assert self._serving.stdout is not None
        real = ""
        while not matches(shown, real):
            line = self._serving.stdout.readline()
            assert line, f"{where} shows\n{shown}\nbut the server ended with\n{real}"
            real += line

    def python(self, code: str, where: str) -> str:
        """Run code in the page's session; gives what it prints."""
        if self._session is None:
            self._session = self._open.enter_context(
                running(
                    sys.executable,
                    "-c",
                    SESSION,
                    folder=self.folder,
                    environment=self.environment,
                    patience=PAGE_PATIENCE,
                )
            )
        session = self._session
        assert session.stdin is not None
        assert session.stdout is not None
        print(json.dumps([code, where]), file=session.stdin, flush=True)
        return str(json.loads(session.stdout.readline()))

    def exchange(self, request: str) -> str:
        """Send text as it stands; gives all that comes until the server closes."""
        with socket.create_connection(("127.0.0.1", int(self.port)), PATIENCE) as client:
            client.sendall(request.encode())
            return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def copy_of_the_project(folder: Path, port: str) -> Path:
    """Copy what a user runs of the project, with `port` in place of the default one."""
    for path in [
        *ROOT.glob("*.py"),
        *(ROOT / "examples").glob("*"),
        *ROOT.glob("artiq_link/**/*"),
    ]:
        if path.is_file() and "__pycache__" not in path.parts:
            copy = folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text(encoding="utf-8").replace(PORT, port), encoding="utf-8")
    return folder


def commands_of(text: str) -> list[tuple[str, str]]:
    """The ``$`` lines of a console block, each with what stands below it."""
    assert text.startswith("$ "), f"a console block begins with a command, not with\n{text}"
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


@pytest.fixture(scope="module")
def port() -> Iterator[str]:
    """A port that is held until the tests end, but on which a server may listen."""
    with socket.socket() as holder:
        # Two sockets may have one port where both say so and only one listens (socket(7)).
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield str(holder.getsockname()[1])


@pytest.fixture(scope="module")
def clone(port: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy of the project, which Python compiles once for all pages."""
    return copy_of_the_project(tmp_path_factory.mktemp("pages") / "artiq_link", port)


@page_of
def test_a_page_shows_what_happens(page: Path, clone: Path, port: str) -> None:
    """Its blocks run, in order, and print what it shows."""
    with Page(page.name, clone, port) as running_page:
        blocks = blocks_of(page.read_text(encoding="utf-8").replace(PORT, port))
        for block, after in zip(blocks, [*blocks[1:], Block(0, "", "", "")], strict=False):
            is_shown = (after.kind, after.target) in ANSWERS
            running_page.run(block, after.text if is_shown else "")


@page_of
def test_a_page_has_only_blocks_that_are_known(page: Path) -> None:
    """Each block is of a kind that is run or checked, and each answer stands behind its cause."""
    text = page.read_text(encoding="utf-8")
    blocks = blocks_of(text)
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(blocks)
    for before, block in zip([Block(0, "", "", ""), *blocks], blocks, strict=False):
        where = f"{page.name}:{block.line}"
        match block.kind, block.target:
            case ("console" | "python" | "sh" | "bat", "") | ("console" | "text", "server"):
                pass
            case (("python" | "yaml" | "csv"), name):
                assert re.fullmatch(r"\w+\.(py|yaml|csv)", name), where
            case "py", target:
                assert page.name == "architecture.md", where
                assert re.fullmatch(r"\w+/\w+\.py( [A-Z_]+)?", target), where
            case "text", "":
                assert (before.kind, before.target) == ("python", ""), where
            case ("json", "request") | ("labview", "sent"):
                pass
            case "json", "reply":
                assert (before.kind, before.target) == ("json", "request"), where
            case "labview", "received":
                assert (before.kind, before.target) == ("labview", "sent"), where
            case _:
                pytest.fail(f"{where}: nobody checks a block '{block.kind} {block.target}'")


@pytest.mark.parametrize(
    ("shown", "real", "same"),
    [
        ("a ... c\n", "a b c  \n", True),
        ("a\n...", "a\nb\nc\n", True),
        ("a", "ab", False),
        ("a...", "b a", False),
        ("1.5", "1x5", False),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_the_notation_of_what_is_shown(shown: str, real: str, same: bool) -> None:
    """A page that shows something else than what happens is found out."""
    assert matches(shown, real) == same


def test_one_line_keeps_all_but_white_space() -> None:
    assert one_line('{\n  "a": [\n    1, {}\n  ]\n}\n') == '{"a":[1,{}]}'


# --- what is checked without running ------------------------------------------------------------


def setup_lines(page: Path) -> list[str]:
    """The lines of the page's ``sh`` and ``bat`` blocks, the latter with slashes."""
    blocks = blocks_of(page.read_text(encoding="utf-8"))
    text = "".join(block.text for block in blocks if block.kind in {"sh", "bat"})
    return [line.replace("\\", "/") for line in text.splitlines()]


def is_right(line: str) -> bool:
    """Whether a line for setting up is what Makefile and pyproject.toml provide."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if found := re.fullmatch(r"make (\w+)", line):
        return re.search(rf"^{found[1]}: ", makefile, re.MULTILINE) is not None
    if re.fullmatch(r"python3? -m venv \.venv", line):
        return "$(PYTHON) -m venv $(VENV)" in makefile
    python = r"(?:\.venv/(?:bin|Scripts)/)?python"
    if found := re.fullmatch(
        rf'{python} -m pip install "?(?:\.|\.\./artiq_link)(\[.*\])?"?', line
    ):
        extras = re.findall(r"\w+", found[1] or "")
        return all(extra in project["optional-dependencies"] for extra in extras)
    if re.fullmatch(rf"{python} -m pytest", line):
        return any(need.startswith("pytest>") for need in project["optional-dependencies"]["test"])
    if found := re.fullmatch(rf"{python} (\S+\.py)", line):
        return (ROOT / found[1]).is_file() and f"$(BIN)/python {found[1]}" in makefile
    if found := re.fullmatch(r"artiq-link (\w+)", line):  # such as one that opens a window
        return found[1] in ACTIONS
    if re.fullmatch(r"(apt-get|python -m pip) install( [a-z0-9.+-]+)+", line):
        return True  # another project's packages
    if found := re.fullmatch(r"(?:cc -std=c99 -o \w+|cl) (\w+\.c)(?: ws2_32\.lib)?", line):
        return (ROOT / "examples" / "clients" / found[1]).is_file()
    return line in {". .venv/bin/activate", ".venv/Scripts/activate"}


@page_of
def test_the_lines_for_setting_up_are_what_there_is(page: Path) -> None:
    """They are not run: see the top of this file."""
    assert [line for line in setup_lines(page) if not is_right(line)] == []


@pytest.mark.parametrize(
    "line",
    ["make dmo", "artiq-link ui", "python -m venv venv", "python -m pip install .[tests]",
     "python example/demo.py", "cc -std=c99 -o send send.c", "rm -rf .venv"],
)  # fmt: skip
def test_a_wrong_line_for_setting_up_is_found(line: str) -> None:
    assert not is_right(line)


def anchors_of(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@page_of
def test_links_lead_to_what_exists(page: Path) -> None:
    """Files of the project, and headings in its pages."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors_of(path), f"{page.name}: {target}"


def rows_of(page: Path, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    text = page.read_text(encoding="utf-8").partition(f"\n{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert table is not None, f"{page.name} has no table below '{heading}'"
    return [[c.strip() for c in row.strip("|").split("|")] for row in table[0].splitlines()[2:]]


UNITS = {"MiB": 1024 * 1024, "KiB": 1024, "s": 1, "h": 3600, "": 1}


def test_the_limits_are_the_codes() -> None:
    """Each limit's value is that of the constant that the table names."""
    rows = rows_of(ROOT / "docs" / "protocol.md", "## Limits")
    assert len(rows) >= 8
    for _, shown, name, *_ in rows:
        module, _, constant = name.strip("`").rpartition(".")
        number, _, unit = shown.partition(" ")
        value = float(number.replace(",", "")) * UNITS.get(unit, 1)
        assert getattr(importlib.import_module(f"artiq_link.{module}"), constant) == value, name


def test_the_codes_are_the_codes() -> None:
    """The table has every code that there is, and no other."""
    rows = rows_of(ROOT / "docs" / "protocol.md", "## Codes")
    codes = [code.strip("`") for code, *_ in rows]
    assert len(codes) == len(set(codes))
    assert set(codes) == {error.code for error in ExchangeError.__subclasses__()}


# --- the DDS, as its server describes it --------------------------------------------------------


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    """What ``artiq-link serve --simulation`` answers to link.describe."""
    with serve_in_background({"dds": DDS(SimulatedDriver())}) as server:
        result = Link(port=server.port).call("link.describe")
    assert isinstance(result, dict)
    return result


def test_the_whole_description_is_the_servers(description: dict[str, Any]) -> None:
    """But for the version."""
    shown = json.loads((ROOT / "docs" / "describe.json").read_text(encoding="utf-8"))
    assert shown | {"version": "..."} == description | {"version": "..."}, (
        "write it anew: artiq-link describe --json"
        " | python -m json.tool --no-ensure-ascii --indent 1 > docs/describe.json"
    )


def words_of(schema: Any) -> set[str]:
    """The words of JSON Schema in a schema and in all that it contains."""
    if not isinstance(schema, dict):
        return set()
    inner = [*schema.get("anyOf", ()), schema.get("items"), schema.get("additionalProperties")]
    for named in ("properties", "$defs"):
        inner += schema.get(named, {}).values()
    return set(schema).union(*map(words_of, inner))


def test_the_words_of_schemas_are_told(description: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    told = page.partition("The words of JSON Schema in it are")[2].partition("\n\n")[0]
    dds = description["instruments"]["dds"]["commands"]
    used: set[str] = set()
    for command in [*dds.values(), *description["link"].values()]:
        for described in [*command["parameters"], command["result"]]:
            used |= words_of(described["schema"])
    assert len(used) > 10
    assert used <= set(re.findall(r"`(\S+)`", told))


def test_the_commands_of_the_dds_are_its_commands(description: dict[str, Any]) -> None:
    """The table has each with its parameters, in their order."""
    shown = {
        row[0].strip("`"): [re.findall(r"`(\w+)`", cell) for cell in row[1:3]]
        for row in rows_of(ROOT / "docs" / "dds.md", "## Commands")
    }
    assert shown == {
        name: [
            [each["name"] for each in command["parameters"] if each["required"] is required]
            for required in (True, False)
        ]
        for name, command in description["instruments"]["dds"]["commands"].items()
    }
