"""Command lines for a PBX, built from validated parts only. Pure."""

import re
import shlex
from typing import NamedTuple

from vochi_integrations.errors import BadRequestError, PbxError
from vochi_integrations.settings import Asterisk

PHONE = re.compile(r"\+?[0-9]{3,15}")
EXTENSION = re.compile(r"[0-9]{2,6}")
CONTEXT = re.compile(r"[A-Za-z0-9_-]{1,64}")
LINE = re.compile(r"[A-Za-z0-9_-]{1,32}")
CHANNEL = re.compile(r"[A-Za-z0-9_]{1,16}/[A-Za-z0-9_.@+:/;-]{1,100}")
WRITTEN = str.maketrans("", "", " -()")
FIELDS_BEFORE, FIELDS_AFTER = 6, 7


class Channel(NamedTuple):
    """A line of `core show channels concise`: what is talked of here. `data` is what its application does."""

    name: str
    context: str
    extension: str
    state: str
    application: str
    data: str
    caller: str
    bridge: str
    unique_id: str


def read_phone(text: str) -> str:
    """Return a number as a dialplan takes it, `+` kept. Raises BadRequestError."""
    return _read(text, PHONE, "Invalid phone")


def read_extension(text: str) -> str:
    """Raises BadRequestError."""
    return _read(text, EXTENSION, "Invalid code")


def _read(text: str, pattern: re.Pattern[str], complaint: str) -> str:
    """Take a number as people write it: spaces, dashes and brackets are nothing."""
    number = text.translate(WRITTEN)
    if not pattern.fullmatch(number):
        raise BadRequestError(complaint)
    return number


def originate(settings: Asterisk, code: str, phone: str, line: str = "") -> list[str]:
    """Return the CLI commands of a click: the manager's phone rings, then the customer's. Raises PbxError.

    `line` is the trunk the customer is to be dialled through, "" for the dialplan's own choice.
    """
    _check(code, EXTENSION)
    _check(phone, PHONE)
    context = outside = settings.context
    if line and settings.line_context:
        outside = settings.line_context.replace("{line}", _check(line, LINE))
    parts = {
        "manager": f"LOCAL/{code}@{context}",
        "customer": f"LOCAL/{phone}@{outside}",
        "code": code,
        "phone": phone,
        "context": context,
        "line": outside,
    }
    return [re.sub(r"{(\w+)}", lambda match: parts[match[1]], command) for command in settings.originate]


def redirect(channel: str, context: str, extension: str) -> str:
    """Raises PbxError when a part could be read as more than it is."""
    return f"channel redirect {_check(channel, CHANNEL)} {_check(context, CONTEXT)},{_check(extension, EXTENSION)},1"


def show_extension(context: str, extension: str) -> str:
    return f"dialplan show {_check(extension, EXTENSION)}@{_check(context, CONTEXT)}"


def show_phone(settings: Asterisk, extension: str) -> str:
    command = "pjsip show endpoint" if settings.technology == "PJSIP" else "sip show peer"
    return f"{command} {_check(extension, EXTENSION)}"


def _check(value: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(value):
        raise PbxError("bad_part", "the command has a part that cannot be right")
    return value


def shell(settings: Asterisk, command: str) -> str:
    """Return what is sent to the host's shell for one CLI command."""
    return f"{settings.cli} -rx {shlex.quote(command)}"


def read_channels(text: str) -> list[Channel]:
    """Read `core show channels concise`: 14 fields between `!`, of which only the application's data may have one."""
    found = []
    for line in text.splitlines():
        fields = line.split("!")
        before, after = fields[:FIELDS_BEFORE], fields[-FIELDS_AFTER:]
        if len(fields) < FIELDS_BEFORE + 1 + FIELDS_AFTER:
            continue
        name, context, extension, _, state, application = before
        data = "!".join(fields[FIELDS_BEFORE:-FIELDS_AFTER])
        found.append(Channel(name, context, extension, state, application, data, after[0], after[-2], after[-1]))
    return found
