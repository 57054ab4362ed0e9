"""The wheel holds the whole package: every file of the tree is in it, and every module imports."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.probe import PATIENCE
from tests.programs import ROOT

BUILD_PATIENCE = 3 * PATIENCE
"""Seconds for pip, which may have to fetch setuptools."""

IMPORT_ALL = """
import importlib, json, sys
folder, *names = sys.argv[1:]
sys.path.insert(0, folder)
print(json.dumps([importlib.import_module(name).__file__ for name in names]))
"""


def pip(*arguments: str) -> None:
    """Run pip; what it says is shown where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_PATIENCE,
    )
    assert done.returncode == 0, done.stderr


def has_setuptools() -> bool:
    """Whether the setuptools that builds the project is here, as the extra "test" has it."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False


def installed_wheel(work: Path) -> Path:
    """Build the wheel and install it: gives a folder with nothing else in it.

    It is built from a copy: in the tree, an earlier build's files would get into it.
    """
    project = work / "project"
    shutil.copytree(
        ROOT / "artiq_link", project / "artiq_link", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, project)
    # pip fetches it otherwise.
    isolation = ["--no-build-isolation"] if has_setuptools() else []
    pip("wheel", "--no-deps", *isolation, "--wheel-dir", str(work), str(project))
    [wheel] = work.glob("*.whl")
    pip("install", "--no-deps", "--no-compile", "--target", str(work / "installed"), str(wheel))
    return work / "installed"


def files_of(folder: Path) -> Iterator[Path]:
    """The package's files below a folder, as paths relative to it."""
    for path in (folder / "artiq_link").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder)


def test_the_wheel_holds_the_whole_package(tmp_path: Path) -> None:
    """Every file of the tree, also those that are no modules, and nothing else.

    Every module imports, with the installed files alone and not with the tree's beside them.
    """
    installed = installed_wheel(tmp_path)
    assert sorted(files_of(installed)) == sorted(files_of(ROOT))
    modules = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): installed / path
        for path in files_of(installed)
        if path.suffix == ".py" and path.name != "__main__.py"  # importing that runs it
    }
    if importlib.util.find_spec("PySide6") is None:
        modules = {name: path for name, path in modules.items() if ".qt_client" not in name}
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORT_ALL, str(installed), *modules],
        check=False,
        capture_output=True,
        text=True,
        timeout=BUILD_PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [str(path) for path in modules.values()]
