"""Where users import from: these paths and names stay, wherever the code behind them moves."""

from __future__ import annotations

from importlib import import_module

import pytest

import artiq_link

PATHS = {
    "artiq_link.link_client": ["Link", "send_data", "exchange", "ConnectFailed", "NoReply"],
    "artiq_link.artiq_device": ["LinkDevice", "DDSLink", "DeviceFailed"],
    "artiq_link.comet": ["Host", "Client", "load_config", "send_TCP_message"],
    "artiq_link.dds": ["DDS", "Channel"],
}


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_users_have_works(path: str) -> None:
    module = import_module(path)
    assert [name for name in PATHS[path] if not hasattr(module, name)] == []


@pytest.mark.parametrize("name", artiq_link.__all__)
def test_a_name_of_the_package_is_there(name: str) -> None:
    assert getattr(artiq_link, name) is not None


def test_a_public_name_is_no_folder() -> None:
    """A subpackage of a function's name would hide it, once it has been imported."""
    import_module("artiq_link.exchanges.dispatch")
    assert artiq_link.exchange is import_module("artiq_link.link_client").exchange
