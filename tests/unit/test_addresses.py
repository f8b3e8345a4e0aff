"""What is public: the Internet's addresses, and nothing that leads inside by a detour."""

import pytest

from vochi_integrations.addresses import is_public


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "178.172.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:c0a8:101::1",
        "2001::1",
    ],
)
def test_inside(address: str) -> None:
    assert not is_public(address)


def test_no_address() -> None:
    with pytest.raises(ValueError, match="does not appear"):
        is_public("crm.example")
