"""Origins as browsers write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vochi_integrations.admin.origin import is_ours, origin_of

OWN = frozenset({"https://bot.example.com"})


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://bot.example.com", "https://bot.example.com"),
        ("https://BOT.example.com:443/a?b#c", "https://bot.example.com"),
        ("http://bot.example.com:80/", "http://bot.example.com"),
        ("http://bot.example.com:8019/", "http://bot.example.com:8019"),
        ("https://user:pw@bot.example.com/", "https://bot.example.com"),
        ("https://evil.com\\@bot.example.com/", ""),
        ("http://[2001:db8::1]:8019/x", "http://[2001:db8::1]:8019"),
        ("http://bot.example.com:99999", ""),
        ("https://[::1", ""),
        ("javascript:alert(1)", ""),
        ("//bot.example.com", ""),
        ("null", ""),
        ("", ""),
    ],
)
def test_the_origin_of_an_address(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@given(
    st.dictionaries(
        st.sampled_from(["Origin", "Referer", "Sec-Fetch-Site"]),
        st.sampled_from(
            ["null", "", "cross-site", "same-site", "none", "https://evil.com", "https://bot.example.com.ru"]
        )
        | st.text(max_size=30),
    )
)
def test_nothing_but_our_origin_or_the_browsers_word_proves_it(headers: dict[str, str]) -> None:
    said = {*headers.values()} & {"same-origin"}
    assert not is_ours(headers, OWN) or said


@given(st.text(max_size=60))
def test_no_text_breaks_it(url: str) -> None:
    assert origin_of(url) == origin_of(origin_of(url))


def test_no_origin_is_ours_when_we_have_none() -> None:
    assert not is_ours({"Referer": "nothing"}, frozenset())
    assert not is_ours({"Origin": ""}, OWN)
