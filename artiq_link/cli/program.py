"""The command line: ``artiq-link serve | send | describe | ping | gui``."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .. import link_client
from ..instrument.schemas import type_text
from ..server.addresses import LAST_PORT
from ..server.options import add_server_options, host_name, init_logging, listen_options
from ..version import __version__

if TYPE_CHECKING:
    from rich.table import Table

SUCCESS, SERVER_FAILED, NO_CONNECTION = 0, 1, 2
"""Exit codes; argparse exits with 2 as well where the command line is wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one ``artiq-link`` command; returns its exit code."""
    # What the terminal or a pipe has no sign for is printed as its number.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _options(arguments)
    init_logging(options)
    try:
        return int(options.run(options))
    except link_client.ServerFailed as error:
        print(error, file=sys.stderr)
        return SERVER_FAILED
    # ValueError: what cannot be sent at all, such as NaN, a port 0 or a negative timeout.
    except (link_client.LinkError, ValueError) as error:
        print(error, file=sys.stderr)
        return NO_CONNECTION
    except KeyboardInterrupt:
        return 130  # as shells report a program that Ctrl-C ended


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    # argparse takes parameters only where they stand together; options may come between.
    if rest and not any(text.startswith("-") for text in rest) and "parameters" in options:
        try:
            options.parameters = [*options.parameters, *map(_parameter, rest)]
        except argparse.ArgumentTypeError as error:
            options.parser.error(f"argument NAME=VALUE: {error}")
    elif rest:
        getattr(options, "parser", parser).error(f"unrecognized arguments: {' '.join(rest)}")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="artiq-link", description="The link between experiments and a lab PC's instruments."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    actions = parser.add_subparsers(metavar="COMMAND", required=True)

    serve = actions.add_parser("serve", help="serve a simulated DDS, or NDSP controllers")
    add_server_options(serve)
    serve.add_argument(
        "--controller",
        action="append",
        default=[],
        type=_controller,
        metavar="HOST:PORT[:TARGET]",
        help="serve the methods of this NDSP controller instead of a DDS; repeatable",
    )
    serve.set_defaults(run=_serve, parser=serve)

    send = actions.add_parser(
        "send",
        help="send one command and print the reply",
        epilog="example: artiq-link send set_frequency channel=0 frequency=80e6",
    )
    send.add_argument("command_id", help="command, or instrument.command")
    send.add_argument(
        "parameters",
        nargs="*",
        default=[],  # without it, argparse says that one is required
        metavar="NAME=VALUE",
        type=_parameter,
        help="a parameter; VALUE is JSON (or True, False, None), or text where it is not; "
        "a text that looks like a number is quoted: comment='\"5\"'",
    )
    _add_client_options(send)
    send.set_defaults(run=_send, parser=send)

    describe = actions.add_parser("describe", help="list the server's commands")
    _add_client_options(describe)
    describe.set_defaults(run=_describe)

    ping = actions.add_parser("ping", help="measure exchanges with the server")
    ping.add_argument("--count", type=_positive, default=10, metavar="N", help="default: 10")
    _add_client_options(ping)
    ping.set_defaults(run=_ping)

    gui = actions.add_parser("gui", help="open the desktop client")
    gui.add_argument(
        "--host", type=host_name, help="connect to this lab PC (default: that of the last time)"
    )
    gui.add_argument("--port", type=int, help="(default: that of the last time)")
    gui.set_defaults(run=_gui, verbose=0, quiet=0)
    return parser


def _add_client_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("connection")
    group.add_argument(
        "--host",
        type=host_name,
        default=link_client.DEFAULT_HOST,
        help="the lab PC (default: %(default)s)",
    )
    group.add_argument(
        "--port", type=int, default=link_client.DEFAULT_PORT, help="default: %(default)s"
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=link_client.DEFAULT_TIMEOUT,
        metavar="S",
        help="seconds (default: %(default)s)",
    )
    group.add_argument("--json", action="store_true", help="print JSON for other programs")
    parser.set_defaults(verbose=0, quiet=0)


_PYTHON_CONSTANTS = {"True": "true", "False": "false", "None": "null"}


def _parameter(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        parameter = name, json.loads(_PYTHON_CONSTANTS.get(value, value))
    except ValueError:
        is_number = re.fullmatch(r"[+-]?(\d+\.?|\d*\.\d+)([eE][+-]?\d+)?", value)  # .5, +5
        parameter = name, float(value) if is_number else value
    if name == "link" and not isinstance(parameter[1], dict):
        raise argparse.ArgumentTypeError(f"{text!r}: the link's own members are a JSON object")
    return parameter


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


_CONTROLLER = re.compile(r"(?:\[([^]]+)\]|([^][:]+)):([0-9]{1,5})(?::(\S+))?")


def _controller(text: str) -> tuple[str, int, str | None]:
    found = _CONTROLLER.fullmatch(text)
    if found is None or not 1 <= int(found[3]) <= LAST_PORT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST:PORT or HOST:PORT:TARGET (an IPv6 address is put in brackets)"
        )
    return found[1] or found[2], int(found[3]), found[4]


def _serve(options: argparse.Namespace) -> int:
    from ..dds.dds import DDS
    from ..drivers.simulated import SimulatedDriver
    from ..server.program import start_server

    listening = listen_options(options.parser, options)
    if options.controller:
        if options.simulation:
            options.parser.error("--simulation does not go with --controller")
        return _serve_controllers(options.controller, listening)
    if not options.simulation:
        logging.getLogger(__name__).warning("no hardware is configured: the DDS is simulated")
    start_server({"dds": DDS(SimulatedDriver())}, **listening)
    return SUCCESS


def _serve_controllers(
    controllers: Sequence[tuple[str, int, str | None]], listening: dict[str, Any]
) -> int:
    from ..bridges.ndsp_controller import NdspController
    from ..errors import InstrumentError
    from ..server.program import start_server

    instruments: dict[str, NdspController] = {}
    with contextlib.ExitStack() as opened:
        try:
            for peer in controllers:
                controller = opened.enter_context(contextlib.closing(NdspController(*peer)))
                # A command is written instrument.command: the name cannot have every sign.
                name = re.sub(r"\W|^(?=\d)", "_", controller.target)
                if name in instruments:
                    raise ValueError(
                        f"{instruments[name].address} and {controller.address} are both named "
                        f"{name!r}: serve one of them on another port"
                    )
                instruments[name] = controller
        except (InstrumentError, ImportError) as error:
            print(error, file=sys.stderr)
            return NO_CONNECTION
        start_server(instruments, **listening)
    return SUCCESS


def _send(options: argparse.Namespace) -> int:
    names = ["command_id", *(name for name, _ in options.parameters)]
    for name in names:
        if names.count(name) > 1:
            options.parser.error(f"{name} is given twice")
    request = {"command_id": options.command_id, **dict(options.parameters)}
    if options.json:
        reply = _link(options).send(request)
        _print_json(reply)
        return SUCCESS if reply["status"] == "success" else SERVER_FAILED
    result = link_client.exchange(request, options.host, options.port, options.timeout)
    if isinstance(result, dict):
        for name, value in result.items():
            print(f"{name}: {_text(value)}")
    elif result is not None:
        print(_text(result))
    return SUCCESS


def _text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        from rich.pretty import pretty_repr

        return pretty_repr(value)  # on several lines where it is long
    return str(value)


def _describe(options: argparse.Namespace) -> int:
    description = _link(options).call("link.describe")
    if options.json:
        _print_json(description)
        return SUCCESS
    from rich.console import Console

    # A pipe has no width: nothing is to be cut there. Docstrings are text: "[mm]" is no markup.
    width = None if sys.stdout.isatty() else 160
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    for name, instrument in description["instruments"].items():
        console.print(_command_table(name, instrument["doc"], instrument["commands"]))
    console.print(_command_table("link", "What the server answers itself.", description["link"]))
    if description["interact"]:
        console.print("Other commands may be answered by interact(data):")
        console.print(description["interact"])
    return SUCCESS


def _command_table(name: str, doc: str, commands: dict[str, Any]) -> Table:
    from rich.table import Table

    table = Table(title=f"{name}: {doc.partition(chr(10))[0]}", title_justify="left")
    for column in ("command", "parameter", "type", "unit", "default", "what it does"):
        table.add_column(column)
    for command, details in commands.items():
        summary = details["doc"].partition("\n")[0]
        rows = [row for parameter in details["parameters"] for row in _rows(parameter)]
        for index, row in enumerate(rows or [("", "", "", "")]):
            table.add_row(*((command, *row, summary) if index == 0 else ("", *row, "")))
    return table


def _rows(parameter: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, unit and default of a parameter, and of the members where it has any."""
    name, schema = parameter["name"], parameter["schema"]
    yield _row(name, parameter | schema, parameter.get("unit"))
    path, inner = (f"{name}[]", schema["items"]) if "items" in schema else (name, schema)
    kind = schema.get("$defs", {}).get(type_text(inner), {})
    for member, its_schema in kind.get("properties", {}).items():
        yield _row(f"{path}.{member}", its_schema)


def _row(name: str, schema: dict[str, Any], unit: str | None = None) -> tuple[str, str, str, str]:
    default = json.dumps(schema["default"]) if "default" in schema else ""
    units = [kind["unit"] for kind in (schema, *schema.get("anyOf", ())) if "unit" in kind]
    return name, type_text(schema), unit or next(iter(units), ""), default


def _ping(options: argparse.Namespace) -> int:
    link = _link(options)
    times = []
    for _ in range(options.count):
        start = time.perf_counter()
        link.call("link.ping")
        times.append(time.perf_counter() - start)
    figures = {"minimum": min(times), "median": statistics.median(times), "maximum": max(times)}
    if options.json:
        _print_json(figures)
    else:
        print(", ".join(f"{name} {value * 1e3:.3f} ms" for name, value in figures.items()))
    return SUCCESS


def _gui(options: argparse.Namespace) -> int:
    from ..qt_client import main as show

    return show(options.host, options.port)


def _link(options: argparse.Namespace) -> link_client.Link:
    return link_client.Link(options.host, options.port, timeout=options.timeout)


def _print_json(value: Any) -> None:
    from ..values import encode

    print(encode(value).decode())
