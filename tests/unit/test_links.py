"""Sign-in links: only what we signed, unchanged and in time, is read."""

import base64
import json
import time
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vochi_integrations.admin.links import BadTokenError, Claims, link, new_token, new_token_id, read_token
from vochi_integrations.settings import Secret

KEY = Secret("a secret of at least thirty-two bytes")
TOKEN = new_token("0367", "id-1", KEY)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def signed(key: Secret = KEY, algorithm: str = "HS256", **changed: Any) -> str:
    now = int(time.time())
    claims = {"enterprise_number": "0367", "source": "retailcrm", "jti": "id-1", "iat": now, "exp": now + 60, **changed}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, key.reveal(), algorithm)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_token_is_read_as_it_was_written() -> None:
    assert read_token(TOKEN, KEY) == Claims("0367", "id-1")
    claims = jwt.decode(TOKEN, KEY.reveal(), algorithms=["HS256"])
    assert set(claims) == {"enterprise_number", "source", "jti", "iat", "exp"}
    assert claims["source"] == "retailcrm"
    assert claims["exp"] - claims["iat"] == 365 * 86400


def test_a_link_carries_the_number_and_the_token() -> None:
    assert link("https://bot.example.com", "0367", "a.b.c") == (
        "https://bot.example.com/retailcrm-admin/?enterprise_number=0367&token=a.b.c"
    )
    assert len({new_token_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1},
        {"exp": int(time.time()) - 1},
        {"exp": None},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"iat": None},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"source": None},
        {"source": "elsewhere"},
        {"enterprise_number": None},
        {"enterprise_number": 367},
        {"enterprise_number": "0367 "},
        {"enterprise_number": "٣٦٧"},
        {"enterprise_number": ["0367"]},
        {"nbf": int(time.time()) + 86_400},
    ],
)
def test_claims_that_are_missing_wrong_or_out_of_time_are_refused(changed: dict[str, Any]) -> None:
    assert read_token(signed(), KEY)
    with pytest.raises(BadTokenError):
        read_token(signed(**changed), KEY)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS384", "HS512", "RS256", "", None, 7])
def test_only_hs256_is_believed(algorithm: Any) -> None:
    _, claims, signature = TOKEN.split(".")
    head = part({"alg": algorithm, "typ": "JWT"})
    for token in (f"{head}.{claims}.{signature}", f"{head}.{claims}.", f"{head}.{claims}"):
        with pytest.raises(BadTokenError):
            read_token(token, KEY)


def test_a_stronger_algorithm_with_the_right_key_is_not_ours_either() -> None:
    long = Secret(KEY.reveal() * 3)
    with pytest.raises(BadTokenError):
        read_token(signed(long, "HS512"), long)


def test_another_key_and_no_key_at_all_are_refused() -> None:
    other = Secret("another secret of thirty-two bytes..")
    for token, key in ((signed(other), KEY), (TOKEN, other), (TOKEN, Secret()), ("x" * 5000, KEY)):
        with pytest.raises(BadTokenError):
            read_token(token, key)


@given(st.text(max_size=200))
@example("..")
@example("\ud800")
@example("a.b.c.d")
@example(f"{part({'alg': 'HS256', 'crit': ['x']})}.e30.e30")
@example(f"{part({'alg': 'HS256', 'kid': 7})}.e30.e30")
@example(f"{part([])}.e30.e30")
@example(base64.urlsafe_b64encode(b"[" * 700).decode() + ".e30.e30")
@example(f"{part({'alg': ['HS256']})}.e30.e30")
def test_anything_else_is_refused_and_breaks_nothing(text: str) -> None:
    with pytest.raises(BadTokenError):
        read_token(text, KEY)


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(ALPHABET + "."))
def test_a_changed_character_is_refused(place: int, letter: str) -> None:
    """The last character of a base64 text has bits that mean nothing; what they encode is the same token."""
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    if decoded(changed) == decoded(TOKEN):
        return
    with pytest.raises(BadTokenError):
        read_token(changed, KEY)


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 40))
def test_a_piece_cut_out_or_doubled_is_refused(place: int, length: int) -> None:
    piece = TOKEN[place : place + length]
    for changed in (TOKEN[:place] + TOKEN[place + length :], TOKEN[:place] + piece + TOKEN[place:]):
        with pytest.raises(BadTokenError):
            read_token(changed, KEY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["enterprise_number", "source", "jti", "iat", "exp", "aud", "iss", "sub"]), JSON)
)
def test_claims_under_the_old_signature_are_refused(claims: dict[str, Any]) -> None:
    head, _, signature = TOKEN.split(".")
    with pytest.raises(BadTokenError):
        read_token(f"{head}.{part(claims)}.{signature}", KEY)


@given(
    st.dictionaries(st.sampled_from(["enterprise_number", "source", "jti", "iat", "exp", "aud", "iss", "sub"]), JSON)
)
def test_odd_claims_under_our_own_signature_break_nothing(claims: dict[str, Any]) -> None:
    token = jwt.api_jws.encode(json.dumps(claims).encode(), KEY.reveal(), "HS256")
    with pytest.raises(BadTokenError):
        read_token(token, KEY)


def decoded(token: str) -> list[bytes]:
    try:
        return [base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)) for piece in token.split(".")]
    except ValueError:
        return []
