"""How the emulated CRM misbehaves, chosen while it runs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

import msgspec


class Fault(StrEnum):
    """What goes wrong with each request; the last four have stored the request before they spoil its answer."""

    ERROR_500 = "500"
    ERROR_503 = "503"
    ERROR_405 = "405"
    SUCCESS_FALSE = "success_false"
    OUTAGE = "outage"
    HANG = "hang"
    LOST_ANSWER = "lost_answer"
    INVALID_JSON = "invalid_json"
    RESET = "reset"
    DRIP = "drip"


Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=600_000)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3_600)]


class Switches(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`codes_at_root` reads modules as older accounts have them: the codes beside `integrations`, ids as strings."""

    latency_ms: Milliseconds = 0
    fault: Fault | None = None
    flap_seconds: Seconds = 0
    drip_ms: Milliseconds = 50
    rate_limit: bool = True
    one_bad_call: Literal["400", "460"] = "400"
    user_list: Literal["whole", "empty", "partial"] = "whole"
    codes_at_root: bool = False
    refuses_actions: bool = False
    activation_fails: bool = False

    def changed(self, changes: Mapping[str, object]) -> "Switches":
        """The same with some keys changed; `msgspec.ValidationError` names a key or value that does not exist."""
        return msgspec.convert(msgspec.to_builtins({**msgspec.structs.asdict(self), **changes}), Switches)

    def fault_after(self, seconds: float) -> Fault | None:
        """The fault in force so long after it was switched on: a flapping one starts at once, then comes and goes."""
        if not self.flap_seconds:
            return self.fault
        is_down = int(seconds / self.flap_seconds) % 2 == 0
        return (self.fault or Fault.OUTAGE) if is_down else None
