"""A server announces itself on the local network: DNS-SD (RFC 6763) over multicast DNS (RFC 6762).

That is what ``artiq-link find`` finds. It needs the package zeroconf, and is done where the keeper
asks for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..loggers import get_logger
from ..text import sentence_of

SERVICE = "_artiq-link._tcp.local."
"""The kind of service, as DNS-SD names it."""

MAX_LABEL = 63
"""Bytes of a part of a name (RFC 1035, 2.3.4)."""

MAX_TEXT = 255
"""Bytes of one text that goes with it, ``key=value`` (RFC 6763, 6.1)."""

MAX_NUMBER = 5
"""Bytes of the number that is put to a name that another server has."""

END_TIME = 2.0
"""Seconds that a stop gives to say that the server is there no more."""

logger = get_logger(__name__)


def zeroconf_package() -> Any:
    """The package zeroconf; raises ImportError with what to do where it is missing."""
    try:
        import zeroconf
        import zeroconf.asyncio
    except ImportError:
        raise ImportError(
            "to announce and to find lab PCs needs zeroconf: install it with "
            "'python -m pip install zeroconf', or artiq-link with its extra 'discovery'"
        ) from None
    # It warns with a traceback of a network that is away; -vv shows that.
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        logging.getLogger("zeroconf").setLevel(logging.ERROR)
    return zeroconf


def reachable(listened: Iterable[str]) -> list[str]:
    """The addresses at which other computers reach who listens on these; a wildcard is all.

    An address of a link alone (fe80::) is none, because it means nothing elsewhere.
    """
    import ifaddr  # comes with zeroconf

    texts = [str(ip.ip if ip.is_IPv4 else ip.ip[0]) for a in ifaddr.get_adapters() for ip in a.ips]
    found: list[str] = []
    for address in map(_parsed, listened):
        if address.is_unspecified:
            own = map(_parsed, texts)
            found += [str(each) for each in own if each.version == address.version]
        else:
            found.append(str(address))
    return [each for each in dict.fromkeys(found) if not _is_near(_parsed(each))]


class Announcement:
    """Says that a server is there, at these addresses of this computer, from `begin` to `end`.

    `texts` go with it, for everyone to read.
    """

    def __init__(self, addresses: Sequence[str], port: int, texts: Mapping[str, str]) -> None:
        self._addresses = addresses
        self._port = port
        self._texts = {key: _cut(text, MAX_TEXT - len(key) - 1) for key, text in texts.items()}
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Begin, in the running event loop; where that is impossible, the log says why."""
        if self._addresses:
            self._task = asyncio.get_running_loop().create_task(self._announce())
        else:
            logger.warning("not announced: no other computer can reach it, see --bind")

    async def end(self) -> None:
        """Say that it is there no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=END_TIME)

    async def _announce(self) -> None:
        zeroconf = zeroconf_package()
        v4 = [address for address in self._addresses if ":" not in address]
        # Over IPv4 where there is any: what is said there names addresses of both kinds.
        how = (v4, "V4Only") if v4 else (zeroconf.InterfaceChoice.All, "V6Only")
        try:
            speaker = zeroconf.asyncio.AsyncZeroconf(how[0], ip_version=zeroconf.IPVersion[how[1]])
        except (OSError, RuntimeError) as error:
            _warn(error)
            return
        try:
            # Where another server has the name, it gets a number.
            said = await speaker.async_register_service(self._info(), allow_name_change=True)
            await said
            logger.info("announced at %s", ", ".join(self._addresses))
            await asyncio.Event().wait()
        except (OSError, zeroconf.Error) as error:
            _warn(error)
        finally:
            with contextlib.suppress(OSError, zeroconf.Error):
                await speaker.async_unregister_all_services()
            await speaker.async_close()

    def _info(self) -> Any:
        host = _cut(socket.gethostname().partition(".")[0], MAX_LABEL)
        port = f" {self._port}"
        name = _cut(host, MAX_LABEL - len(port) - MAX_NUMBER) + port
        return zeroconf_package().asyncio.AsyncServiceInfo(
            SERVICE,
            f"{name}.{SERVICE}",
            port=self._port,
            parsed_addresses=list(self._addresses),
            properties=self._texts,
            server=f"{host}.local.",
        )


def _warn(error: Exception) -> None:
    reason = error.strerror if isinstance(error, OSError) else None
    logger.warning("not announced: %s", reason or sentence_of(error))


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address.partition("%")[0])


def _is_near(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it is of use to this computer or this link alone."""
    return address.is_loopback or (address.version == 6 and address.is_link_local)


def _cut(text: str, most: int) -> str:
    """As much of a text as has so many bytes."""
    return text.encode()[:most].decode(errors="ignore")
