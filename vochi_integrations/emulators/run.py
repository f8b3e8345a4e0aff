"""The command `emulate`: a CRM that listens until it is stopped."""

from collections.abc import Mapping

from vochi_integrations.emulators.retailcrm import Account, create_app
from vochi_integrations.serve import listening, stop_signal

CODES = {"150": 16, "151": 18, "152": 19, "153": 22, "155": 25, "157": 27}  # the stand-in's own managers
MODULE = "vochi-telephony"


def connected_account(account: Account, codes: Mapping[str, int]) -> Account:
    """Register our module in an account, with an extension for every manager in `codes`, and return the account."""
    telephony = {
        "inputEventSupported": True,
        "outputEventSupported": True,
        "hangupEventSupported": True,
        "additionalCodes": [{"userId": user, "code": code} for code, user in codes.items()],
    }
    module = {"code": MODULE, "active": True, "freeze": False, "integrations": {"telephony": telephony}}
    account.put_module(MODULE, module)
    return account


async def run_retailcrm(host: str, port: int) -> int:
    """Serve the emulator until SIGTERM or SIGINT."""
    stop = stop_signal()
    async with listening(create_app([connected_account(Account(), CODES)]), host, port, "emulator", 1.0) as actual:
        print(f"RetailCRM emulator: http://{host}:{actual}/ with the API key demo-key", flush=True)  # noqa: T201
        await stop.wait()
    return 0
