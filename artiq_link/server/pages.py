"""Pages: the panel's files, read once at the start, by the paths under which browsers get them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from ..wire.responses import Page

PANEL = "artiq_link.panel"
"""The package that holds the files, in its folder ``static``."""


def read_pages() -> dict[str, Page]:
    """The panel's files: ``index.html`` is ``/``, ``sign-in.html`` is ``/sign-in``."""
    found = _files_in(files(PANEL) / "static", "/")
    return {_path_of(name): Page.of(name, body) for name, body in found}


def _path_of(name: str) -> str:
    return name.removesuffix(".html").removesuffix("/index") or "/"


def _files_in(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    """All files below a folder, with their names from there."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files_in(each, f"{path}{each.name}/")
        else:
            yield path + each.name, each.read_bytes()
