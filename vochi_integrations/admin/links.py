"""Links that sign an administrator in: JSON Web Tokens, HS256 (contract, Admin API and sign-in)."""

import re
import secrets
import time
import warnings
from typing import Any
from urllib.parse import urlencode

import jwt
from msgspec import Struct

from vochi_integrations.errors import VochiError
from vochi_integrations.settings import Secret

PATH = "/retailcrm-admin/"
SOURCE = "retailcrm"
ALGORITHM = "HS256"
YEAR_SECONDS = 365 * 86400
LONGEST = 1024
NUMBER = re.compile(r"[0-9]{1,10}")
GUESSABLE = 32
warnings.filterwarnings("ignore", "The HMAC key is")  # of every link, on stderr; the log says it once at the start
REQUIRED = ["enterprise_number", "source", "jti", "iat", "exp"]


class BadTokenError(VochiError):
    """A token that nobody of ours has signed, that was revoked, or whose time is over; `code` is the problem's."""

    code = "bad_token"


class OtherTokenError(BadTokenError):
    """A good token, for another enterprise."""

    code = "other_token"


class Claims(Struct, frozen=True):
    """What a token says. `token_id` must still be the one its enterprise has, which the database knows."""

    enterprise: str
    token_id: str


def new_token_id() -> str:
    """Return an id that nobody guesses, for `integrations_config.retailcrm.token_id`."""
    return secrets.token_urlsafe(16)


def new_token(number: str, token_id: str, secret: Secret, *, seconds: float = YEAR_SECONDS) -> str:
    """Sign a token for the administrators of an enterprise, good for so many seconds."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "enterprise_number": number,
        "source": SOURCE,
        "jti": token_id,
        "iat": now,
        "exp": now + int(seconds),
    }
    return jwt.encode(claims, secret.reveal(), algorithm=ALGORITHM)


def read_token(token: str, secret: Secret) -> Claims:
    """Return what a token says. Raises BadTokenError when its signature, time or claims are not right."""
    if len(token) > LONGEST or not secret:
        raise BadTokenError("the token is not ours")
    options: Any = {"require": REQUIRED, "verify_iat": False}
    try:
        claims = jwt.decode(token, secret.reveal(), algorithms=[ALGORITHM], options=options)
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
        raise BadTokenError("the token is not ours, or its time is over") from None
    number, token_id = claims["enterprise_number"], claims["jti"]
    if claims["source"] != SOURCE or not _is_number(number) or not isinstance(token_id, str) or not token_id:
        raise BadTokenError("the token says nothing we understand")
    return Claims(number, token_id)


def _is_number(value: object) -> bool:
    return isinstance(value, str) and NUMBER.fullmatch(value) is not None


def link(public_url: str, number: str, token: str) -> str:
    """Return the address that signs in with a token: RetailCRM's `accountUrl`, and what `admin-link` prints."""
    return f"{public_url}{PATH}?{urlencode({'enterprise_number': number, 'token': token})}"
