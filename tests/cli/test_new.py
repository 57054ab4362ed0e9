"""``artiq-link new``: what it says, and what it does not do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_the_files_and_says_what_to_try(run: Run, folder: Path) -> None:
    code, printed, errors = run("new", "beam_shutter")
    assert (code, errors) == (0, "")
    first, *tries = printed.splitlines()
    assert sorted(first.split()[1:]) == sorted(path.name for path in folder.iterdir())
    assert [line.split("python ")[1].split()[0] for line in tries] == [
        "beam_shutter_server.py",
        "beam_shutter_client.py",
        "-m",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Shutter",), "'Shutter' cannot be an instrument's name: it begins with a small letter, "
         "and has small letters, digits and single underscores, such as 'shutter'"),
        (("data",), "'data' means something else in an instrument's files: choose another name, "
         "such as 'my_data'"),
        (("command",), "'command' means something else in an instrument's files: choose another "
         "name, such as 'my_command'"),
        ((), "the following arguments are required: NAME"),
        (("a", "b"), "unrecognized arguments: b"),
    ],
)  # fmt: skip
def test_a_wrong_name_is_one_sentence_and_nothing_is_written(
    run: Run, folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    code, printed, errors = run("new", *arguments)
    assert (code, printed) == (2, "")
    assert errors.splitlines()[-1] == f"artiq-link new: error: {sentence}"
    assert list(folder.iterdir()) == []


def test_what_is_there_is_not_overwritten(run: Run, folder: Path) -> None:
    (folder / "test_shutter.py").write_text("mine", "utf-8")
    code, _, errors = run("new", "shutter")
    assert code == 2
    assert errors.endswith(
        "test_shutter.py is here already: nothing is overwritten, so choose another name or "
        "another folder\n"
    )
    assert [path.read_text("utf-8") for path in folder.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_written_to(run: Run, folder: Path) -> None:
    """Also to root, whom permissions do not stop: it was taken away."""
    folder.rmdir()
    code, _, errors = run("new", "shutter")
    assert code == 2
    assert errors.endswith(
        "error: shutter_server.py cannot be written: No such file or directory\n"
    )
