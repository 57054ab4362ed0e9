"""COMET's own names, where programs of its users import them from: see `bridges.comet`."""

from .bridges.comet import Client, Config, ConfigError, Host, load_config, send_TCP_message

__all__ = ["Client", "Config", "ConfigError", "Host", "load_config", "send_TCP_message"]
