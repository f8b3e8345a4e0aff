"""Reading a host's JSON: times, repeats, odd types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.folding import DIRECTORY, read
from tests.kinds import GROUP, MAIN, dial, hangup
from vochi_integrations.domain import CallEvent
from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import canonical, check_unique_id, read_event, read_json, read_token, unique_id_time

EPOCH = 1757840400


def test_the_token_is_not_kept_and_the_order_of_keys_does_not_matter() -> None:
    kind, body = dial(0, GROUP)[1:]
    one = read_event(kind, MAIN, {"Token": "1", **body}, DIRECTORY, received_at=0)
    other = read_event(kind, MAIN, dict(reversed({**body, "Token": "2"}.items())), DIRECTORY, received_at=9)
    assert one.raw == other.raw
    assert b"Token" not in one.raw
    assert one.digest == other.digest


def test_the_same_body_of_another_kind_or_channel_is_another_event() -> None:
    body = {"Phone": "375290000001"}
    digests = {
        read_event(kind, uid, body, DIRECTORY, received_at=0).digest
        for kind in ("dial", "hangup")
        for uid in ("1", "2")
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("unique_id", "expected"),
    [
        ("1757840400.6", EPOCH),
        ("1757840400", EPOCH),
        ("pbx-7-1757840400.6", EPOCH),
        ("test_1757840400.abcd", None),
        ("00000000-0000-4000-8000-000000000001", None),
        ("17578404000000.6", None),
        ("", None),
    ],
)
def test_the_time_in_a_unique_id(unique_id: str, expected: float | None) -> None:
    assert unique_id_time(unique_id) == expected


class TestTimes:
    def times(self, unique_id: str, started: object, ended: object) -> tuple[float | None, float | None]:
        body = {"UniqueId": unique_id, "StartTime": started, "EndTime": ended, "CallType": 0}
        event = read_event("hangup", unique_id, body, DIRECTORY, received_at=0)
        return event.started_at, event.ended_at

    def test_the_hosts_offset_is_found_from_the_unique_id(self) -> None:
        assert self.times(MAIN, "2025-09-14 12:00:01", "2025-09-14 12:00:19") == (EPOCH + 1, EPOCH + 19)
        assert self.times(MAIN, "2025-09-14 14:30:00", "2025-09-14 14:30:19") == (EPOCH, EPOCH + 19)

    def test_without_a_start_the_companys_zone_is_the_hosts(self) -> None:
        assert self.times(MAIN, "", "2025-09-14 12:00:19") == (None, EPOCH + 19)
        assert self.times("test_1.a", "2025-09-14 12:00:00", "2025-09-14 12:00:19") == (EPOCH, EPOCH + 19)

    def test_a_start_far_from_the_unique_id_tells_no_offset(self) -> None:
        assert self.times(MAIN, "2025-09-14 12:07:00", "2025-09-14 12:08:00") == (EPOCH + 420, EPOCH + 480)

    @pytest.mark.parametrize("value", ["soon", 5, None, [], "2025-13-01 00:00:00", "9999-12-31 23:59:59"])
    def test_what_is_no_time_is_none(self, value: object) -> None:
        started, _ = self.times("x", value, "")
        assert started is None or value == "9999-12-31 23:59:59"


def test_numbers_may_be_written_as_text() -> None:
    event = read(*hangup(9, ["151"], "2"))
    assert (event.call_type, event.call_status) == (0, 2)
    odd = read_event("hangup", "1", {"CallType": "1", "CallStatus": 0}, DIRECTORY, received_at=0)
    assert (odd.call_type, odd.call_status) == (1, 0)
    unreadable: list[object] = ["x", [], True, None, 1e400, "1.5"]
    for value in unreadable:
        assert read_event("hangup", "1", {"CallStatus": value}, DIRECTORY, received_at=0).call_status is None


@pytest.mark.parametrize("value", [None, "", " ", True, [], {}, "x" * 65, "a\x00"])
def test_an_unusable_id_is_refused_by_name(value: object) -> None:
    with pytest.raises(BadRequestError, match="UniqueId"):
        check_unique_id(value, "UniqueId")


def test_tokens_are_text() -> None:
    assert read_token(" 375 ") == "375"
    assert read_token(375) == "375"
    others: list[object] = [None, True, 1.5, [], {}]
    assert [read_token(value) for value in others] == [""] * 5


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"\xff", b"{", b'{"a":1}x'])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        read_json(data)


def test_a_lone_surrogate_is_read() -> None:
    assert read_json(b'{"a": "\\udcff"}') == {"a": "?"}


text = st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
)
names = st.sampled_from(
    [
        "UniqueId",
        "Phone",
        "Extensions",
        "Extension",
        "CallType",
        "CallStatus",
        "Trunk",
        "StartTime",
        "EndTime",
        "CallerIDNum",
    ]
)
kinds = st.sampled_from(
    ["start", "dial", "bridge", "hangup", "bridge_create", "bridge_leave", "bridge_destroy", "new_callerid"]
)


@given(kinds, st.dictionaries(names, values))
def test_no_body_whatever_breaks_the_reading(kind: str, body: dict[str, object]) -> None:
    event = read_event(kind, "1.1", body, DIRECTORY, received_at=0)
    assert isinstance(event, CallEvent)
    assert b"\\u0000" not in event.raw.replace(b"\\\\u0000", b"")


def test_nul_is_dropped_wherever_it_stands() -> None:
    assert canonical({"a\x00": ["\x00b", {"c": "\x00"}]}) == b'{"a":["b",{"c":""}]}'
    assert canonical({"a": "\\u0000"}) == b'{"a":"\\\\u0000"}'
