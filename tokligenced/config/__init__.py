"""TOML → frozen Config; errors name file, dotted path, value and reason.

sources     files → one tree of values that know their file
reading     walking that tree, every mistake gathered
values      one value as people write it → exact number, address, date
providers, models, loading      the tree's sections → settings
settings    what comes of it, with all defaults
starter     the file that `tokligenced init` writes
"""

from tokligenced.config.loading import load, restart_needed
from tokligenced.config.settings import (
    AccountSettings,
    CacheSettings,
    Config,
    DatabaseSettings,
    DemoSettings,
    Durability,
    Endpoints,
    LogFormat,
    LogLevel,
    LogSettings,
    OnDisconnect,
    ProviderSettings,
    ProviderType,
    ResponseSettings,
    Secret,
    Server,
    Signup,
)
from tokligenced.config.sources import ConfigErrors
from tokligenced.config.starter import starter
from tokligenced.config.values import host_and_port

__all__ = [
    "AccountSettings",
    "CacheSettings",
    "Config",
    "ConfigErrors",
    "DatabaseSettings",
    "DemoSettings",
    "Durability",
    "Endpoints",
    "LogFormat",
    "LogLevel",
    "LogSettings",
    "OnDisconnect",
    "ProviderSettings",
    "ProviderType",
    "ResponseSettings",
    "Secret",
    "Server",
    "Signup",
    "host_and_port",
    "load",
    "restart_needed",
    "starter",
]
