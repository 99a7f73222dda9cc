"""Which names and addresses are this machine's own."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""What people and browsers call this machine. A guard accepts these and no other spelling."""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, in whatever way it is written."""
    name = host.lower().rstrip(".")
    address = parse_address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")  # RFC 6761, 6.3
    return address.is_loopback or address.is_unspecified


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, short forms such as `127.1` too; None for a name."""
    try:
        address = ip_address(host)
    except ValueError:
        try:
            return IPv4Address(socket.inet_aton(host))
        except (OSError, ValueError):
            return None
    return getattr(address, "ipv4_mapped", None) or address
