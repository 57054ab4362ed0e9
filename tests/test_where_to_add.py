"""What docs/architecture.md says under "Where to add" is done as it stands there, and works."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.programs import ROOT, finish, running
from tests.test_docs import Block, blocks_of

PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
ADDED = [block for block in blocks_of(PAGE) if block.kind == "py"]
EVENT = next(block for block in blocks_of(PAGE) if "def tell_temperature" in block.text)


def add_line(path: Path, table: str, line: str, module: str) -> None:
    """Put a line at the end of a table, and the import that it needs at the top."""
    text = path.read_text("utf-8")
    opening = re.search(rf"^{table}\b.*= \($", text, re.MULTILINE)
    assert opening is not None, f"{path.name} has no table {table}"
    closing = text.index("\n)\n", opening.end())
    text = f"{text[:closing]}\n{line.rstrip()}{text[closing:]}"
    (name,) = re.findall(r"\b[A-Z]\w*[a-z]\w*", line.replace("Dialect(", ""))
    first_import = text.index("\nfrom .")
    text = f"{text[:first_import]}\nfrom .{module} import {name}{text[first_import:]}"
    path.write_text(text, "utf-8")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package with everything added that the page adds."""
    copy = tmp_path / "artiq_link"
    shutil.copytree(ROOT / "artiq_link", copy, ignore=shutil.ignore_patterns("__pycache__"))
    written: Block | None = None
    for block in ADDED:
        name, _, table = block.target.partition(" ")
        if table:
            assert written is not None
            add_line(copy / name, table, block.text, Path(written.target).stem)
        else:
            assert not (copy / name).exists()
            (copy / name).write_text(
                f"from __future__ import annotations\n\n{block.text}", "utf-8"
            )
            written = block
    return tmp_path


PROGRAM = f"""
import json, socket
import artiq_link
from artiq_link.wire import DIALECT_NAMES

{EVENT.text}

def ask(port, request):
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request)
        return client.makefile().read().strip()

dds = artiq_link.DDS(artiq_link.SimulatedDriver())
kept = {{"command_id": "link.subscribe", "kinds": ["log"], "link": {{"keep": True}}}}

with artiq_link.serve_in_background({{"dds": dds}}) as server:
    print(ask(server.port, b"# link.ping!"))
    print(ask(server.port, b"# nothing!"))
    print(artiq_link.Link(port=server.port).call("link.greet").partition(",")[0])
    print("greet" in artiq_link.Link(port=server.port).call("link.describe")["link"])
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        lines = client.makefile()
        client.sendall(json.dumps(kept).encode())
        lines.readline()
        server.loop.call_soon_threadsafe(tell_temperature, server.dispatch.feed, 300.0)
        print(lines.readline(), end="")
with artiq_link.serve_in_background({{}}, interact=print, dialects=["shout"]) as server:
    print(json.loads(ask(server.port, b"{{}}"))["error"])
"""


def test_what_is_added_works(package: Path) -> None:
    """A dialect, a command of the link's own, and an event."""
    with running(
        sys.executable, "-c", PROGRAM, folder=package, environment={"PYTHONPATH": str(package)}
    ) as process:
        code, output, errors = finish(process)
    assert code == 0, errors
    assert output.splitlines() == [
        "TRUE!",
        "THERE IS NO COMMAND 'NOTHING'!",
        "good day",
        "True",
        '{"event":"log","instrument":"oven","text":"300.0 K"}',
        "this server does not speak eot or json; it speaks shout",
    ]


def test_the_page_adds_one_file_and_one_line_for_each() -> None:
    tables = [block for block in ADDED if " " in block.target]
    assert len(tables) == len(ADDED) / 2
    assert [len(block.text.splitlines()) for block in tables] == [1] * len(tables)
