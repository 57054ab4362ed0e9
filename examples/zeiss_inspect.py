"""ZEISS INSPECT loads images and elements on request: an instrument adapted to the link.

python examples/zeiss_inspect.py                 inside ZEISS INSPECT, whose module gom it needs
python examples/zeiss_inspect.py --simulation    anywhere: prints the calls that would be made

It understands the requests, and gives the answers, of ZEISS INSPECT's own examples of
inter-process communication by sockets and WebSocket, and all the link's other dialects.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

from msgspec import Meta

from artiq_link import (
    Instrument,
    InstrumentError,
    InvalidParameter,
    UnknownCommand,
    command,
    parse_server_options,
    start_server,
)

PORT = 7000
"""Where ZEISS' example by sockets listens; the one by WebSocket has 40010."""

Millimetres = Annotated[float | str, Meta(extra={"unit": "mm"})]
"""A length; ZEISS' clients send it as text."""


class ZeissInspect(Instrument):
    """ZEISS INSPECT, with a project open."""

    def __init__(self, gom: Any) -> None:
        self.gom = gom

    @command
    def image(self, file: Path, name: str, focal_length: Millimetres) -> None:
        """Load an image into the measurement series `name`, which is made if it is missing."""
        with self._explained(f"Image could not be imported from file {file}."):
            script, project = self.gom.script.sys, self.gom.app.project
            try:
                project.measurement_series[name]
            except self.gom.RequestError:
                script.create_measurement_series_for_other_images(
                    camera_focal_length=str(focal_length), name=name
                )
            script.import_other_images(
                image_files=[self.gom.File(str(file))],
                measurement_series=project.measurement_series[name],
            )

    @image.checker
    def _check_image(self, file: Path, name: str, focal_length: Millimetres) -> None:
        check_readable("Image", file)
        with contextlib.suppress(ValueError):
            if 0 < float(focal_length) < math.inf:
                return
        raise InvalidParameter(
            f"focal_length: expected a length in mm, got {focal_length!r:.60}", "focal_length"
        )

    @command
    def elements(self, file: Path, import_mode: Literal["clipboard", "new_stage"]) -> None:
        """Import the elements of an inspection exchange file."""
        what = f"Elements could not be imported from file {file} with import mode {import_mode}."
        with self._explained(what):
            self.gom.script.sys.import_gom_inspection_exchange(
                files=[str(file)], import_mode=import_mode
            )

    @elements.checker
    def _check_elements(self, file: Path, import_mode: str) -> None:
        check_readable("Elements", file)

    def interact(self, data: Mapping[str, Any]) -> Any:
        """Run a command; ZEISS' clients know these sentences for what is wrong with a request."""
        parameters = dict(data)
        name = parameters.pop("command_id")
        try:
            return super().interact(data)
        except UnknownCommand:
            request = {name: parameters}
            raise UnknownCommand(f"Unknown request:\n{request}") from None
        except InvalidParameter as error:
            if error.where in parameters:
                raise
            sentence = f"Missing parameter {error.where!r} in {name!r} request."
            raise InvalidParameter(sentence, error.where) from None

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Say `what` failed before ZEISS INSPECT's own reason."""
        try:
            yield
        except self.gom.RequestError as error:
            raise InstrumentError(f"{what}\n{error}") from error


def check_readable(kind: str, file: Path) -> None:
    """Raise InvalidParameter unless `file` is one that can be read."""
    if not file.is_file() or not os.access(file, os.R_OK):
        raise InvalidParameter(f"{kind} file {file} could not be read.", "file")


class SimulatedGom:
    """Stands in for the module gom: prints the calls that would be made, and keeps them."""

    RequestError = KeyError
    File = str

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._series: dict[str, str] = {}
        self.app = SimpleNamespace(project=SimpleNamespace(measurement_series=self._series))
        self.script = SimpleNamespace(
            sys=SimpleNamespace(
                create_measurement_series_for_other_images=self._create_series,
                import_other_images=partial(self._call, "import_other_images"),
                import_gom_inspection_exchange=partial(
                    self._call, "import_gom_inspection_exchange"
                ),
            )
        )

    def _create_series(self, **parameters: str) -> None:
        self._call("create_measurement_series_for_other_images", **parameters)
        self._series[parameters["name"]] = parameters["name"]

    def _call(self, function: str, **parameters: Any) -> None:
        arguments = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        self.calls.append(f"gom.script.sys.{function}({arguments})")
        print(self.calls[-1], flush=True)


def load_gom(simulation: bool) -> Any:
    """The module gom, or what stands in for it; ends the program where there is neither."""
    if simulation:
        return SimulatedGom()
    try:
        return importlib.import_module("gom")
    except ImportError as error:
        print(f"{error}: run this inside ZEISS INSPECT, or with --simulation", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    options = parse_server_options(__doc__, PORT)
    zeiss = ZeissInspect(load_gom(options.simulation))
    start_server(
        {"zeiss": zeiss},
        interact=zeiss.interact,
        host=options.host,
        port=options.port,
        debug=options.debug,
        **options.more,
    )
