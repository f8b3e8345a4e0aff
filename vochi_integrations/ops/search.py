"""What an administrator types to find a call: a UniqueId, a number or its end, an extension, a day or an hour. Pure."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

EVER = float("inf")
PHONE_DIGITS = 9
SHORTEST_PHONE = 4
NUMBER = re.compile(r"[+0-9 ()-]+")
DATE = re.compile(
    r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)|(?P<d2>\d{1,2})\.(?P<m2>\d{1,2})(?:\.(?P<y2>\d{4}))?", re.ASCII
)
CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?:[-–](\d{1,2}):(\d\d))?", re.ASCII)
ABOUT = timedelta(minutes=10)
DAY = timedelta(days=1)


class Wanted(NamedTuple):
    """What to look for; all that is given applies but `unique_id`, `phone` and `extension`, of which one is enough.

    `phone` are digits, `since` and `until` UTC epoch seconds, the second excluded. `is_nonsense` is True for a text
    that names nothing there could be.
    """

    unique_id: str = ""
    phone: str = ""
    extension: str = ""
    since: float = 0.0
    until: float = EVER
    is_nonsense: bool = False

    @property
    def names_a_call(self) -> bool:
        return bool(self.unique_id or self.phone or self.extension)

    @property
    def phone_tail(self) -> str:
        """The last digits backwards, as `call_events_phone` has them."""
        return self.phone[-PHONE_DIGITS:][::-1]


def read_search(text: str, zone: tzinfo, now: float) -> Wanted:
    """Read a search box: `151`, `+375 29 000-00-01`, `1757840400.6`, `14.09`, `151 14.09 12:00-13:00`, or nothing.

    Days and hours are of `zone`; a day without its year is the latest there was, `now` UTC epoch seconds.
    """
    words = text.replace("\x00", "").split()
    times = [word for word in words if DATE.fullmatch(word) or CLOCK.fullmatch(word)]
    rest = " ".join(word for word in words if word not in times)
    try:
        since, until = _window(times, zone, now) if times else (0.0, EVER)
    except (ValueError, OverflowError):
        return Wanted(is_nonsense=True)
    return _named(rest)._replace(since=since, until=until) if rest else Wanted(since=since, until=until)


def _named(text: str) -> Wanted:
    """Tell numbers from UniqueIds; four and five digits are an extension or the end of a number."""
    if not NUMBER.fullmatch(text):
        return Wanted(unique_id=text)
    digits = "".join(char for char in text if char.isdigit())
    named = Wanted(
        unique_id=text if text == digits and len(digits) > PHONE_DIGITS else "",
        phone=digits if len(digits) >= SHORTEST_PHONE else "",
        extension=digits if 2 <= len(digits) <= 5 else "",
    )
    return named if named.names_a_call else Wanted(is_nonsense=True)


def _window(words: list[str], zone: tzinfo, now: float) -> tuple[float, float]:
    """Return the moments that days and hours mean; an hour alone is of today, and ten minutes around it."""
    today = datetime.fromtimestamp(now, UTC).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [_day(match, today) for match in map(DATE.fullmatch, words) if match]
    clocks = [match for match in map(CLOCK.fullmatch, words) if match]
    since = days[0] if days else today
    until = (days[-1] if days else today) + DAY
    if clocks:
        since, until = _hours(clocks[0], since, until - DAY)
    return since.timestamp(), until.timestamp()


def _day(match: re.Match[str], today: datetime) -> datetime:
    year = match["y"] or match["y2"]
    day = today.replace(
        year=int(year) if year else today.year, month=int(match["m"] or match["m2"]), day=int(match["d"] or match["d2"])
    )
    return day.replace(year=day.year - 1) if day > today and not year else day


def _hours(match: re.Match[str], first: datetime, last: datetime) -> tuple[datetime, datetime]:
    begins = first.replace(hour=int(match[1]), minute=int(match[2]))
    if match[3] is None:
        return begins - ABOUT, begins + ABOUT
    ends = last.replace(hour=int(match[3]), minute=int(match[4]))
    return begins, ends if ends > begins else ends + DAY
