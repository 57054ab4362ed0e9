"""Metrics over HTTP, as Prometheus asks for them from another computer."""

from __future__ import annotations

import urllib.error
import urllib.request

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from artiq_link import LinkServer
from tests.conftest import CONTROL_TOKEN, PATIENCE, WATCH_TOKEN
from tests.server.asking import Serve

ACCEPT = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
"""What Prometheus 3 says that it takes."""


@pytest.fixture
def server(serve: Serve, elsewhere: str, token_file: str) -> LinkServer:
    """A server that asks for a token, but on loopback."""
    return serve(host=["127.0.0.1", elsewhere], token_file=token_file)


def scrape(server: LinkServer, host: str, token: str | None) -> tuple[str, str]:
    """Its answer's type and text."""
    headers = {"Accept": ACCEPT, "X-Prometheus-Scrape-Timeout-Seconds": "10"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"http://{host}:{server.port}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


@pytest.mark.parametrize("token", [WATCH_TOKEN, CONTROL_TOKEN])
def test_a_token_that_may_watch_is_enough(server: LinkServer, elsewhere: str, token: str) -> None:
    kind, text = scrape(server, elsewhere, token)
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    found = {family.name for family in text_string_to_metric_families(text)}
    assert {"artiq_link", "artiq_link_exchanges", "artiq_link_busy"} <= found


@pytest.mark.parametrize("token", [None, "wrong-0123456789abcdef"])
def test_without_one_nothing_is_told(
    server: LinkServer, elsewhere: str, token: str | None
) -> None:
    with pytest.raises(urllib.error.HTTPError) as raised:
        scrape(server, elsewhere, token)
    with raised.value:
        assert raised.value.code == 401
        assert b"artiq_link_" not in raised.value.read()


def test_programs_of_this_computer_need_none(server: LinkServer) -> None:
    assert "artiq_link_connections" in scrape(server, "127.0.0.1", None)[1]
