"""Channels in a YAML file: names, limits, levels and set-points, each mistake named with its line.

    channels:
      - name: cooling
        min_frequency: 60MHz
        max_frequency: 110MHz
        calibration: cooling.csv
        attenuator: 3dB
        max_power: 5dBm
        default: {frequency: 80MHz, power: -10dBm, output: off}
        safe: {output: off}
      - name: repump
        max_amplitude: 0.5

The keys are the members of `Channel` and `SetPoint`. Numbers may have a unit; without it they are
in Hz, turns, fractions of full scale, dBm and dB. The path of a calibration is from the file's
folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..instrument.typed_text import read_text
from ..text import nearest_hint, shown
from .calibration import Calibration
from .channel import Channel, SetPoint
from .types import DBM, HZ

_Read = Callable[[yaml.Node, Path], Any]


class _Mistake(ValueError):
    """What is wrong with a node of the file."""

    def __init__(self, node: yaml.Node, sentence: str) -> None:
        super().__init__(sentence)
        self.line = node.start_mark.line + 1


def read_channels(path: str | Path) -> list[Channel]:
    """Read the channels of a YAML file, in the order of their numbers.

    Raises ValueError that names file and line, and OSError where the file cannot be read.
    """
    path = Path(path)
    try:
        node = yaml.compose(path.read_text("utf-8-sig"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text, at byte {error.start}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        found = ", ".join(filter(None, (error.context, error.problem)))
        raise ValueError(f"{path}{line}: not YAML: {found}") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deep for a list of channels") from None
    try:
        if node is None:
            raise ValueError(f"{path}: expected 'channels:' and a list, and the file is empty")
        members = _members(node, {"channels": _channels}, "the file", path)
        if "channels" not in members:
            raise _Mistake(node, "expected 'channels:' and a list")
        channels: list[Channel] = members["channels"]
    except _Mistake as mistake:
        raise ValueError(f"{path}, line {mistake.line}: {mistake}") from None
    return channels


def _channels(node: yaml.Node, path: Path) -> list[Channel]:
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        raise _Mistake(node, "expected a list of channels, each with '- name: ...'")
    channels: dict[str, Channel] = {}
    for each in node.value:
        members = _members(each, _CHANNEL, "a channel", path)
        if "name" not in members:
            raise _Mistake(each, "the channel has no name")
        if members["name"] in channels:
            raise _Mistake(each, f"there is a channel {members['name']!r} already")
        channels[members["name"]] = Channel(**members)
    return list(channels.values())


def _members(
    node: yaml.Node, readers: Mapping[str, _Read], what: str, path: Path
) -> dict[str, Any]:
    """What a mapping has, each read by its key; raises `_Mistake` at the first wrong one."""
    if not isinstance(node, yaml.MappingNode):
        raise _Mistake(node, f"expected keys of {what}, such as '{next(iter(readers))}: ...'")
    members: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, yaml.ScalarNode) else "?"
        if key not in readers:
            hint = nearest_hint(key, readers)
            raise _Mistake(key_node, f"{what} has no {shown(key, 60)!r}{hint}")
        if key in members:
            raise _Mistake(key_node, f"{key!r} is there twice")
        try:
            members[key] = readers[key](value_node, path)
        except _Mistake:
            raise
        except OSError as error:
            sentence = f"{key}: {error.filename}: {error.strerror}"
            raise _Mistake(value_node, sentence) from None
        except ValueError as error:
            raise _Mistake(value_node, f"{key}: {error}") from None
    return members


def _text(node: yaml.Node, path: Path) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise ValueError("expected a text")
    return str(node.value)


def _number(unit: str = "") -> _Read:
    def read(node: yaml.Node, path: Path) -> float:
        if not isinstance(node, yaml.ScalarNode):
            raise ValueError("expected a number")
        return float(read_text(node.value, {"number"}, unit))

    return read


def _switch(node: yaml.Node, path: Path) -> bool:
    return bool(read_text(_text(node, path), {"boolean"}))


def _calibration(node: yaml.Node, path: Path) -> Calibration:
    return Calibration.read(path.parent / _text(node, path))


def _set_point(node: yaml.Node, path: Path) -> SetPoint:
    return SetPoint(**_members(node, _SET_POINT, "a set-point", path))


_SET_POINT: Mapping[str, _Read] = {
    "frequency": _number(HZ),
    "phase": _number("turns"),
    "amplitude": _number(),
    "power": _number(DBM),
    "output": _switch,
}
_CHANNEL: Mapping[str, _Read] = {
    "name": _text,
    "min_frequency": _number(HZ),
    "max_frequency": _number(HZ),
    "max_amplitude": _number(),
    "min_power": _number(DBM),
    "max_power": _number(DBM),
    "calibration": _calibration,
    "attenuator": _number("dB"),
    "default": _set_point,
    "safe": _set_point,
}
