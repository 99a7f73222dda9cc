"""Packages of the extra `export`, loaded when a format needs them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ih_mcp.errors import ConfigurationError


def require_package(name: str, kind: str) -> ModuleType:
    """The module of a package that may be missing.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"{kind} needs {name.partition('.')[0]}, which is not installed",
            help="Install it: pip install 'ih-mcp[export]'. csv, jsonl, vtt, srt and boris need "
            "nothing.",
            code="no_export",
        ) from None
