"""What the tables keep of a CRM's answer, which may be a megabyte or nested without end."""

import orjson

from vochi_integrations.logs import MASK, SECRET_KEYS, without_secrets

WHOLE_BYTES = 4_000
SHOWN_BYTES = 2_000


def kept(answer: object) -> object:
    """Return JSON with its secrets masked, or the beginning of a long one's text, up to the first secret's name."""
    data = _written(answer)
    if len(data) <= WHOLE_BYTES:
        return without_secrets(answer)
    text = data[:SHOWN_BYTES].decode("utf-8", "replace")
    secret = SECRET_KEYS.search(text)
    return text[: secret.start()] + MASK if secret else text


def _written(answer: object) -> bytes:
    if isinstance(answer, str):
        return answer.encode("utf-8", "replace")
    try:
        return orjson.dumps(answer)
    except orjson.JSONEncodeError:  # nested deeper than it writes
        return orjson.dumps(without_secrets(answer))
