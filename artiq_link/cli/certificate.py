"""``artiq-link certificate``: make a key and a certificate, for a server or for its clients."""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from .exit_codes import NO_CONNECTION, SUCCESS

HELP = "make a key and a certificate for --ssl"

DAYS = 3650
"""How long a certificate is good: to be forgotten, it is taken out of the files that trust it."""


class NoCertificate(Exception):
    """It could not be made; the text says why."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the action's parser its options."""
    parser.add_argument(
        "name",
        type=_name,
        metavar="NAME",
        help="of the files: NAME.pem, and NAME.key, a secret",
    )
    parser.add_argument(
        "addresses",
        type=_address,
        nargs="*",
        metavar="ADDRESS",
        help="of a server, as browsers are given it: they compare it; all other clients do not",
    )


def run(options: argparse.Namespace) -> int:
    """Make the two files; returns the exit code. Files that are there stay as they are."""
    certificate, key = Path(f"{options.name}.pem"), Path(f"{options.name}.key")
    try:
        for path in (certificate, key):
            if path.exists():
                raise NoCertificate(f"{path} is there already")
        make_certificate(options.name, certificate, key, options.addresses)
    except NoCertificate as error:
        print(error, file=sys.stderr)
        return NO_CONNECTION
    print(f"{certificate}: the certificate, for whoever is to trust {options.name}")
    print(f"{key}: its key, a secret of {options.name} alone")
    return SUCCESS


def make_certificate(
    name: str, certificate: Path, key: Path, addresses: Sequence[str] = ()
) -> None:
    """Make a key and a certificate for it, which signs itself, with cryptography or with openssl.

    It names `addresses` as its own, IP addresses and host names. Raises `NoCertificate`.
    """
    try:
        import cryptography.x509  # noqa: F401
    except ImportError:
        in_pem, key_in_pem = _from_openssl(name, addresses)
    else:
        in_pem, key_in_pem = _from_library(name, addresses)
    try:
        # Nobody else may read the key, not even in the moment before its mode could be changed.
        descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(key_in_pem)
        with certificate.open("xb") as file:
            file.write(in_pem)
    except OSError as error:
        raise NoCertificate(f"{error.filename}: {error.strerror}") from None


def _from_library(name: str, addresses: Sequence[str]) -> tuple[bytes, bytes]:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if addresses:
        names = [
            x509.DNSName(each) if (ip := _ip_of(each)) is None else x509.IPAddress(ip)
            for each in addresses
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    in_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), in_pem


def _from_openssl(name: str, addresses: Sequence[str]) -> tuple[bytes, bytes]:
    program = shutil.which("openssl")
    if program is None:
        raise NoCertificate(
            "a certificate takes the package cryptography (python -m pip install cryptography) "
            "or the program openssl, and neither is here"
        )
    curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    what = f"req -x509 {curve} -sha256 -days {DAYS} -keyout - -out - -subj"
    extensions = ["-addext", "basicConstraints=critical,CA:FALSE"]
    if addresses:
        names = [f"{'DNS' if _ip_of(each) is None else 'IP'}:{each}" for each in addresses]
        extensions += ["-addext", f"subjectAltName={','.join(names)}"]
    made = subprocess.run(  # noqa: S603
        [program, *what.split(), f"/CN={name}", *extensions], capture_output=True, check=False
    )
    found = re.findall(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n", made.stdout, re.DOTALL)
    blocks = re.findall(rb"-----BEGIN .*?-----END [A-Z ]+-----\n", made.stdout, re.DOTALL)
    by_kind = dict(zip(found, blocks, strict=True))
    if by_kind.keys() != {b"PRIVATE KEY", b"CERTIFICATE"}:
        last_line = made.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise NoCertificate(f"openssl has made none: {''.join(last_line)}")
    return by_kind[b"CERTIFICATE"], by_kind[b"PRIVATE KEY"]


def _ip_of(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _address(text: str) -> str:
    if _ip_of(text) is None and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251})", text):
        raise argparse.ArgumentTypeError(
            f"{text!r:.60} is neither an IP address nor the name of a computer"
        )
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,64}", text) or text.startswith((".", "-")):
        raise argparse.ArgumentTypeError(
            f"{text!r:.60} is no name: up to 64 letters, digits, _, - and ."
        )
    return text
