"""What shows a server who its client is: the options for a certificate and a token."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..link_client import ServerFailed

TOKEN_VARIABLE = "ARTIQ_LINK_TOKEN_FILE"  # noqa: S105
"""The environment variable that names the token's file where the options do not."""


class Credentials(NamedTuple):
    """What a client shows."""

    ssl: Sequence[str] | None
    """The files of its certificate, its key, and the server's certificate."""
    link: dict[str, str] | None
    """The members of ``link`` with its token."""


def add_credential_options(group: argparse._ArgumentGroup | argparse.ArgumentParser) -> None:
    """Give an action that talks to a server the options for one that wants to know who it is."""
    group.add_argument(
        "--ssl",
        nargs=3,
        metavar=("CERT", "KEY", "PEER"),
        help="use TLS: own certificate, its key, and the server's certificate",
    )
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"the file with your token (default: ${TOKEN_VARIABLE})",
    )


def advice_to(options: argparse.Namespace, error: ServerFailed) -> str:
    """What to type where a server has refused a client that has shown nothing, or another one
    holds the instrument; else empty."""
    if error.code == "leased":
        return "artiq-link lease INSTRUMENT --force takes it from whoever holds it"
    if error.code != "unauthorized" or not hasattr(options, "token_file"):
        return ""
    if any(credentials_of(options)):
        return ""
    return "give your token with --token-file FILE, or your certificate with --ssl CERT KEY PEER"


def credentials_of(options: argparse.Namespace) -> Credentials:
    """What the options name; raises ValueError where a token cannot be read."""
    path = options.token_file or os.environ.get(TOKEN_VARIABLE)
    if not path:
        return Credentials(options.ssl, None)
    try:
        words = Path(path).read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"{path}: {reason}") from None
    if len(words) != 1:
        raise ValueError(f"{path}: expected one token alone; the list of all is the server's")
    return Credentials(options.ssl, {"token": words[0]})
