"""Phone numbers: who they belong to, and how they are written for a CRM (design rules 2, 3, 14)."""

import re
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from vochi_integrations.domain import Directory, Number, Party

UNKNOWN = frozenset({"", "<unknown>", "unknown", "anonymous", "null", "none"})
SEPARATORS = re.compile(r"[\s().\-]+")
TECHNOLOGY = re.compile(r"^[A-Za-z0-9]*[A-Za-z]/", re.ASCII)
OUTSIDE_DIGITS = 6
TRANSFORM = re.compile(r"([^{}]*)\{(\d{1,2})\}", re.ASCII)
NOBODY = Number()


def last9(digits: str) -> str:
    """Return what mobiles are compared by: the last nine digits (contract, Records)."""
    return digits[-9:]


def classify(value: object, directory: Directory, trunk: str = "") -> Number:
    """Say whose number `value` of an event is; `trunk` is the event's own line, which is nobody's number.

    Accepts what hosts send: strings, ints, `SIP/150`, `150@context/n`, `<unknown>` (facts: asterisk_hosts §1.2).
    """
    text = _text(value)
    if text in directory.internal:
        return Number(Party.INTERNAL, text, text)
    if not text or text == trunk or text in directory.lines:
        return NOBODY
    digits = text.removeprefix("+")
    size = len(digits)
    if size < 2 or not (digits.isascii() and digits.isdigit()) or _is_line_id(text):
        return NOBODY
    if size >= OUTSIDE_DIGITS:
        owner = directory.mobiles.get(last9(text))
        return Number(Party.CUSTOMER, text) if owner is None else Number(Party.MOBILE, text, owner)
    return Number(Party.INTERNAL, text, text) if digits == text else NOBODY


def _is_line_id(text: str) -> bool:
    """GSM lines are called 000xxxx (facts: asterisk_hosts §1.2)."""
    return len(text) == 7 and text.startswith("000")


def classify_list(value: object, directory: Directory, trunk: str = "") -> tuple[Number, ...]:
    """Read `Extensions`: a list or one string, items joined by `&`; nobody and repeats are dropped."""
    items = value if isinstance(value, list) else [value]
    texts = [part for item in items for part in (item.split("&") if isinstance(item, str) else [item])]
    numbers = (classify(text, directory, trunk) for text in texts)
    return tuple(dict.fromkeys(number for number in numbers if number.party is not Party.NOBODY))


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value).strip()
    if text.isascii() and text.isdigit():
        return text
    if text.lower() in UNKNOWN:
        return ""
    return SEPARATORS.sub("", TECHNOLOGY.sub("", text).partition("@")[0].partition("/")[0])


def transform(phone: str, rule: str) -> str:
    """Apply a line's rule for incoming numbers: `+375{9}` is a prefix and the last nine digits."""
    match = TRANSFORM.fullmatch(rule.strip())
    if match is None:
        return phone
    prefix, count = match[1], int(match[2])
    digits = phone.lstrip("+")
    return prefix + digits[-count:] if len(digits) >= count else phone


@lru_cache(maxsize=4_096)
def e164(phone: str, region: str) -> str:
    """Return `+375290000001` for a number that is valid, at home in `region` (`BY`) or with its country code.

    An invalid number stays as sent; it gets its `+` when it starts with a country code and has ten digits or more.
    """
    digits = phone.lstrip("+")
    home = None if phone.startswith("+") else region
    for text, where in ((phone, home), ("+" + digits, None)):
        valid = _valid(text, where)
        if valid is not None:
            return valid
    if phone.startswith("+") or (len(digits) >= 10 and _has_country_code(digits)):
        return "+" + digits
    return digits


def _valid(text: str, region: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    written = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    # Some countries' rules put in a digit of their own (Norfolk Island); the customer's number stays as it was dialled.
    return written if written.endswith(text[-6:]) else None


def _has_country_code(digits: str) -> bool:
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    return not digits.startswith("0") and any(int(digits[:size]) in codes for size in (1, 2, 3))
