"""Smart redirect decided: what is to be found out about a caller, and the answer a dialplan can cut. Pure.

The hosts' dialplan does not parse the answer, it cuts it by character offsets (facts: asterisk_hosts §5). So a body is
either made here, of parts that cannot change its shape, or it is `SAFE`.
"""

import re
import unicodedata

from msgspec import Struct
from msgspec.structs import replace

from vochi_integrations.domain import Directory, Enterprise, NamePart, SmartLine
from vochi_integrations.errors import BadRequestError
from vochi_integrations.events import is_outside
from vochi_integrations.phones import classify
from vochi_integrations.smart import PRIMARY

SAFE = b'{"Name":"","DialPlan":null}'
NAME_SIZE = 64
CUT_BY_DIALPLAN = frozenset(',"\\;${}[]()')
NO_TEXT = frozenset({"Cc", "Cs"})
CONTEXT_PART = re.compile(r"[A-Za-z0-9_.+@-]{1,48}", re.ASCII)
PHONE = re.compile(r"\+?\d{3,15}", re.ASCII)
SEPARATORS = re.compile(r"[\s().\-]+")
OWN_HISTORY = ("last_call", "first_call")


class Question(Struct, frozen=True, kw_only=True):
    """What is to be found out about a caller. `closed` says why nothing is, "" when something is.

    `phone` is "" when the number cannot be a customer's. `to_context` asks for an extension that a dialplan's context
    exists for, `algorithm` is a CRM's name or one of `OWN_HISTORY`.
    """

    phone: str = ""
    trunk: str = ""
    routes: bool = False
    to_context: bool = True
    algorithm: str = ""
    crm: str = ""
    parts: tuple[NamePart, ...] = ()
    closed: str = ""

    @property
    def by_crm(self) -> bool:
        """True when the CRM's responsible manager comes first, False when our own history does."""
        return self.routes and self.algorithm not in OWN_HISTORY

    @property
    def asks_crm(self) -> bool:
        return bool(self.phone) and not self.closed and (self.by_crm or "customer" in self.parts)

    @property
    def asks_history(self) -> bool:
        return bool(self.phone) and not self.closed and self.routes


class Decision(Struct, frozen=True, kw_only=True):
    """Who gets a call. `source` is where that is known from, or why it is not; `context` is the dialplan's."""

    source: str
    extension: str = ""
    manager: str = ""
    context: str | None = None
    name: str = ""
    cached: bool = False

    @property
    def body(self) -> bytes:
        return body(self.name, self.context)


def read_phone(text: str) -> str:
    """Return a number as a person or a service writes it, without separators. Raises BadRequestError."""
    phone = SEPARATORS.sub("", text)
    if not PHONE.fullmatch(phone):
        raise BadRequestError("phone must have 3 to 15 digits, with or without a plus")
    return phone


def question_of(enterprise: Enterprise, phone: object, trunk: str) -> Question:
    """Return what a call on a line asks for: nothing unless the line is switched on (contract, PBX)."""
    if not enterprise.active:
        return Question(closed="enterprise_inactive")
    if enterprise.smart.mode == "off":
        return Question(closed="off")
    line = line_of(enterprise, trunk)
    if line is None or not line.enabled:
        return Question(closed="line_off")
    question = open_question(enterprise, phone, trunk)
    return replace(
        question,
        routes=line.routes and enterprise.smart.mode == "routing+name",
        to_context=True,
        algorithm=line.algorithm,
        crm=enterprise.smart.primary if line.algorithm in OWN_HISTORY else line.algorithm,
        parts=line.parts,
    )


def open_question(enterprise: Enterprise, phone: object, trunk: str = "") -> Question:
    """Return what a caller asks for whose line is not known: the CRM's responsible manager, then our own history."""
    number = classify(phone, enterprise.directory, trunk)
    primary = enterprise.smart.primary
    crm = primary if primary in enterprise.integrations else next(iter(enterprise.integrations), PRIMARY)
    known = number.digits if is_outside(number) else ""
    closed = "" if enterprise.active else "enterprise_inactive"
    return Question(phone=known, trunk=trunk, routes=True, to_context=False, algorithm=crm, crm=crm, closed=closed)


def line_of(enterprise: Enterprise, trunk: str) -> SmartLine | None:
    """Find a line's settings: a SIP line's when a SIP line has this name, else a GSM line's, then the other's."""
    kinds = ("sip", "gsm") if trunk in enterprise.directory.sip else ("gsm", "sip")
    found = (enterprise.smart.lines.get(f"{kind}:{trunk}") for kind in kinds)
    return next((line for line in found if line is not None), None)


def context_of(extension: str, trunk: str, directory: Directory) -> str | None:
    """Return the dialplan's context that rings a manager's extension, None when there can be none."""
    number = _id_of(extension, directory)
    if number is None or not CONTEXT_PART.fullmatch(trunk):
        return None
    return f"mngr{number}_{trunk}_1"


def _id_of(extension: str, directory: Directory) -> int | None:
    """Find an extension's `user_internal_phones.id`; leading zeros may have been lost on the way."""
    known = directory.ids.get(extension)
    short = extension.lstrip("0")
    if known is not None or not short:
        return known
    return next((number for other, number in directory.ids.items() if other.lstrip("0") == short), None)


def shown_name(question: Question, directory: Directory, customer: str) -> str:
    """Join the parts of the name that a phone shows, in the line's own order."""
    texts: dict[NamePart, str] = {
        "line": directory.line_names.get(question.trunk, ""),
        "shop": directory.shops.get(question.trunk, ""),
        "customer": customer,
    }
    parts = (clean(texts[part]) for part in question.parts)
    return clean(" | ".join(part for part in parts if part))


def clean(text: str) -> str:
    """Drop what a dialplan would cut or run, and what is no character; one space between words, 64 characters."""
    kept = "".join(char for char in text if char not in CUT_BY_DIALPLAN and unicodedata.category(char) not in NO_TEXT)
    return " ".join(kept.split())[:NAME_SIZE].strip()


def body(name: str, context: str | None) -> bytes:
    """Write the answer byte for byte as the dialplan cuts it."""
    plan = "null" if context is None else f'"{context}"'
    return f'{{"Name":"{clean(name)}","DialPlan":{plan}}}'.encode()
