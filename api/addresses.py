"""Which addresses of the network are public: whom this machine may call for a stranger.

Pure: resolves nothing, connects to nothing.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# `is_global` knows most of it, but lets multicast, relays and what is reserved since pass.
_NOT_PUBLIC_4 = tuple(
    ip_network(block)
    for block in (
        "100.64.0.0/10",  # between a provider and its customers (RFC 6598)
        "192.0.0.0/24",  # protocol assignments, two of which `is_global` lets pass
        "192.88.99.0/24",  # relays of 6to4
    )
)
_UNICAST_6 = ip_network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    ip_network(block)
    for block in (
        "2001::/23",  # protocol assignments, Teredo among them, which embeds IPv4
        "2001:db8::/32",
        "2002::/16",  # 6to4, which embeds IPv4
        "3fff::/20",  # documentation (RFC 9637)
    )
)


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, and of a single machine.

    IPv6 must lie in 2000::/3: what maps, translates (NAT64) or embeds IPv4 is outside, or listed.

    Raises:
        ValueError: it is no IP address.
    """
    parsed = ip_address(address)
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved:
        return False
    return _is_public_4(parsed) if isinstance(parsed, IPv4Address) else _is_public_6(parsed)


def _is_public_4(address: IPv4Address) -> bool:
    return not any(address in block for block in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    return address in _UNICAST_6 and not any(address in block for block in _NOT_PUBLIC_6)
