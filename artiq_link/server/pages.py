"""Pages: the panel's files, by the paths under which browsers get them, read once at the start."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from os import PathLike
from pathlib import Path, PurePosixPath

from ..wire.responses import TYPES, Page

PANEL = "artiq_link.panel"
"""The package that holds the files, in its folder ``static``."""

TILE = "/tile.js"
"""The lab's own part of the panel, where it has one."""

HEALTH = "/health"
"""For programs that look whether the server answers."""


def read_pages(tile: str | PathLike[str] | None = None) -> dict[str, Page]:
    """The panel's files: ``index.html`` is ``/``, ``sign-in.html`` is ``/sign-in``.

    What is no such file, as an editor's copies, is none of it. `tile` is the path of a lab's own
    script for it. Raises ValueError where that cannot be read.
    """
    found = _files_in(files(PANEL) / "static", "/")
    pages = {
        _path_of(name): Page.of(name, body)
        for name, body in found
        if PurePosixPath(name).suffix in TYPES
    }
    pages[HEALTH] = Page.of("health.txt", b"ok\n")
    if tile is not None:
        try:
            pages[TILE] = Page.of(TILE, Path(tile).read_bytes())
        except OSError as error:
            raise ValueError(f"panel_tile: {tile}: {error.strerror}") from None
    return pages


def _path_of(name: str) -> str:
    return name.removesuffix(".html").removesuffix("/index") or "/"


def _files_in(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    """All files below a folder, with their names from there."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files_in(each, f"{path}{each.name}/")
        else:
            yield path + each.name, each.read_bytes()
