"""How long a channel for alerts is let alone when it asks for it."""

import pytest

from vochi_integrations.ops.channels import LONGEST_WAIT, wanted_wait


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({}, b'{"ok":false,"parameters":{"retry_after":7}}', 7.0),
        ({"Retry-After": "5"}, b'{"ok":false,"parameters":{"retry_after":7}}', 7.0),
        ({"Retry-After": "5"}, b"", 5.0),
        ({"Retry-After": "5"}, b"[]", 5.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"", 0.0),
        ({}, b'{"parameters":{"retry_after":100000}}', LONGEST_WAIT),
        ({}, b'{"parameters":{"retry_after":-3}}', 0.0),
        ({}, b'{"parameters":{"retry_after":null}}', 0.0),
        ({"Retry-After": "nan"}, b"", 0.0),
    ],
)
def test_it_is_as_long_as_it_asks_within_bounds(headers: dict[str, str], body: bytes, seconds: float) -> None:
    assert wanted_wait(headers, body) == seconds
