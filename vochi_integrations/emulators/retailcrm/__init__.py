"""A strict stand-in for RetailCRM's API v5, for the demo, the tests and the benchmarks."""

from vochi_integrations.emulators.retailcrm.account import Account, Call, Event, Request
from vochi_integrations.emulators.retailcrm.app import create_app
from vochi_integrations.emulators.retailcrm.crm import CRM, Crm
from vochi_integrations.emulators.retailcrm.people import Customer, User
from vochi_integrations.emulators.retailcrm.screens import Popup
from vochi_integrations.emulators.retailcrm.switches import Fault, Switches

__all__ = [
    "CRM",
    "Account",
    "Call",
    "Crm",
    "Customer",
    "Event",
    "Fault",
    "Popup",
    "Request",
    "Switches",
    "User",
    "create_app",
]
