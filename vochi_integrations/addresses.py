"""Which addresses are public: a CRM is never looked for inside a network (design decision 13)."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Tell whether an IP address is one of the Internet's; one that carries an IPv4 address is as public as that is.

    Raises ValueError when it is no address.
    """
    return _is_public(ipaddress.ip_address(text))


def _is_public(address: Address) -> bool:
    carried = _carried(address)
    return address.is_global and not address.is_multicast and (carried is None or _is_public(carried))


def _carried(address: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that a 6to4 or a NAT64 address leads to."""
    if address.version == 4:
        return None
    if address in TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour
