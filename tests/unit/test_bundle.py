"""What is masked in the archive for support, and what must stay readable in it."""

from typing import Any

import pytest

from vochi_integrations.ops.bundle import clean


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"Phone": "+375 (29) 000-00-01"}, {"Phone": "+37529****001"}),
        ({"Phone": "200-00-01", "externalPhone": "2000001"}, {"Phone": "****", "externalPhone": "****"}),
        ({"Phone": 375290000001}, {"Phone": "37529****001"}),
        ({"CallerIDNum": " 220001 "}, {"CallerIDNum": "****"}),
        ({"Extensions": ["151", "375290000001"]}, {"Extensions": ["151", "37529****001"]}),
        ({"text": "позвонить на 8 (029) 000-00-01"}, {"text": "позвонить на 8029****001"}),
        ({"lines": {"sip:375290000001": {"mode": "off"}}}, {"lines": {"sip:37529****001": {"mode": "off"}}}),
    ],
)
def test_phones_are_masked_however_they_are_written(value: Any, shown: Any) -> None:
    assert clean(value) == shown


@pytest.mark.parametrize(
    "value",
    [
        {"UniqueId": "1757000000.123456", "received_at": 1757000000.25, "id": 375290000001},
        {"StartTime": "2026-11-25 10:00:00", "EndTime": "", "duration": 12},
        {"Trunk": "0001363", "enterprise_number": "0367", "Extensions": ["150", "SIP/151"], "CallerIDNum": "<unknown>"},
        {"phone": None, "internal_phone": True, "exten": 151},
    ],
)
def test_everything_else_stays(value: Any) -> None:
    assert clean(value) == value
