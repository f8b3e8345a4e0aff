"""The methods around telephony: the account itself, modules, users, customers (facts: retailcrm_api §1, §5, §6)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from vochi_integrations.emulators.retailcrm.answers import Answer, Refusal, bad_entity, bad_input, not_found
from vochi_integrations.emulators.retailcrm.module import apply, module_errors, with_codes_at_root
from vochi_integrations.emulators.retailcrm.parameters import Query, composite, filters_of, number_of, paged, scalar
from vochi_integrations.emulators.retailcrm.people import GROUPS, USER_STATUSES, Customer, User, digits
from vochi_integrations.emulators.retailcrm.validation import CHOICE

NO_FUNDS = "Your account has insufficient funds to activate integration module"

Test = Callable[[User, list[str]], bool]


def api_versions(_query: Query) -> Answer:
    return Answer({"versions": ["3.0", "4.0", "5.0"]})


def credentials(query: Query) -> Answer:
    account = query.account
    return Answer(
        {
            "credentials": [],
            "scopes": sorted(account.scopes),
            "siteAccess": "access_full",
            "sitesAvailable": list(account.sites),
        }
    )


def system_info(query: Query) -> Answer:
    return Answer({"systemVersion": "9.0.0", "publicUrl": query.origin, "technicalUrl": query.origin})


def integration_module(query: Query) -> Answer:
    module = query.account.modules.get(query.path["code"])
    if module is None:
        raise not_found()
    return Answer({"integrationModule": with_codes_at_root(module) if query.account.switches.codes_at_root else module})


def integration_module_edit(query: Query) -> Answer:
    account, code = query.account, query.path["code"]
    module = composite(query.parameters, "integrationModule")
    if errors := module_errors(module, code):
        raise bad_entity(errors)
    if account.switches.refuses_actions and "actions" in module:
        raise bad_entity({"actions": CHOICE})
    if account.switches.activation_fails and module.get("active"):
        raise Refusal(400, "Failed to activate module", [NO_FUNDS])
    status = 200 if code in account.modules else 201
    edit = apply(module, account.users, account.sites)
    account.put_module(code, edit.module)
    # PHP writes an empty object as an empty list.
    return Answer({"info": edit.info or []}, status)


def flag_of(name: str) -> Test:
    def test(user: User, values: list[str]) -> bool:
        if values[-1] not in ("0", "1"):
            raise bad_input(**{f"filter[{name}]": CHOICE})
        return bool(user.card()[name]) == (values[-1] == "1")

    return test


def has_status(user: User, values: list[str]) -> bool:
    """Only users who are online have a status to be found by."""
    if not set(values) <= set(USER_STATUSES):
        raise bad_input(**{"filter[status]": CHOICE})
    return user.online and user.status in values


USER_FILTERS: Mapping[str, Test] = {
    "active": flag_of("active"),
    "isAdmin": flag_of("isAdmin"),
    "isManager": flag_of("isManager"),
    "online": flag_of("online"),
    "status": has_status,
    "email": lambda user, values: values[-1].lower() in user.email.lower(),
    "groups": lambda user, values: bool(set(values) & set(user.groups)),
}


def users(query: Query) -> Answer:
    filters = filters_of(query.parameters, USER_FILTERS)
    tests = [(USER_FILTERS[name], values) for name, values in filters.items()]
    found = [user.card() for user in query.account.users.values() if all(test(user, values) for test, values in tests)]
    return Answer(as_switched(paged(query.parameters, "users", found), query.account.switches.user_list))


def as_switched(page: dict[str, Any], user_list: str) -> dict[str, Any]:
    """Leave users out of a page, all or the last one, as accounts do that are being moved or repaired."""
    if user_list == "empty":
        return {"users": [], "pagination": {**page["pagination"], "totalCount": 0, "totalPageCount": 0}}
    return {**page, "users": page["users"][:-1]} if user_list == "partial" else page


def user_of(query: Query) -> User:
    found = query.account.users.get(number_of(query.path["id"]) or 0)
    if found is None:
        raise not_found()
    return found


def user(query: Query) -> Answer:
    return Answer({"user": user_of(query).card()})


def user_status(query: Query) -> Answer:
    found, status = user_of(query), scalar(query.parameters, "status")
    if status not in USER_STATUSES:
        raise bad_input(status=CHOICE)
    query.account.users[found.id] = replace(found, status=status)
    query.account.tell()
    return Answer({})


def user_groups(query: Query) -> Answer:
    return Answer(paged(query.parameters, "groups", list(GROUPS.values())))


def customers(query: Query) -> Answer:
    """Found by `filter[name]`, which the CRM matches with names and phones alike."""
    wanted = filters_of(query.parameters, ("name",)).get("name", [""])[-1]
    found = [customer.card() for customer in matching(query.account.customers.values(), wanted)]
    return Answer(paged(query.parameters, "customers", found))


def matching(customers: Iterable[Customer], wanted: str) -> list[Customer]:
    number = digits(wanted)
    return [
        customer
        for customer in customers
        if (number and number in digits(customer.phone)) or (not number and wanted.lower() in customer.name.lower())
    ]
