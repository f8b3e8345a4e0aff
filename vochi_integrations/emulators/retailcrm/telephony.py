"""The telephony methods: events, upload, history, responsible manager (facts: retailcrm_api §2-§4)."""

from collections.abc import Iterable
from itertools import islice
from typing import Any
from urllib.parse import quote

from vochi_integrations.emulators.retailcrm.account import Account, Call, Event
from vochi_integrations.emulators.retailcrm.answers import Answer, Refusal, bad_entity, bad_input
from vochi_integrations.emulators.retailcrm.parameters import LIMITS, Query, choice_of, composite, number_of, scalar
from vochi_integrations.emulators.retailcrm.people import Customer, User, digits
from vochi_integrations.emulators.retailcrm.validation import INVALID, Errors, call_errors, event_errors, phone

OFF = "Telephony not enabled"
UPLOAD_OFF = "Telephony not enabled or not supports calls upload"
MOST_CALLS = 50
PARTIAL = 460


def call_event(query: Query) -> Answer:
    account, event = query.account, composite(query.parameters, "event")
    require_telephony(account, OFF)
    if errors := event_errors(event, account.sites):
        raise bad_entity(errors)
    account.receive(Event(query.at, query.tick, event))
    unknown = {
        "notExistCodes": [code for code in event.get("codes", ()) if code not in account.codes],
        "notExistUsers": [user_id for user_id in event.get("userIds", ()) if user_id not in account.users],
    }
    return Answer({name: values for name, values in unknown.items() if values})


def require_telephony(account: Account, message: str) -> None:
    # Client tests mock this message with 200; the stricter 400 is what a refusal of anything else comes with.
    if not account.is_telephony_enabled:
        raise Refusal(400, message)


def calls_upload(query: Query) -> Answer:
    account, calls = query.account, composite(query.parameters, "calls")
    query.account.totals.uploads += 1
    require_telephony(account, UPLOAD_OFF)
    if not isinstance(calls, list) or not 0 < len(calls) <= MOST_CALLS:
        raise bad_input(calls=f"From 1 to {MOST_CALLS} calls should be specified")
    wrong = {index: errors for index, call in enumerate(calls) if (errors := call_errors(call, account.sites))}
    if wrong and account.switches.one_bad_call == "400":
        raise bad_entity(flat(wrong))
    good = [call for index, call in enumerate(calls) if index not in wrong]
    duplicates = [call["externalId"] for call in good if not account.store(call, query.at, query.tick)]
    if wrong:
        raise partial(calls, good, wrong)
    return Answer({"processedCallsCount": len(good) - len(duplicates), "duplicateCalls": duplicates})


def flat(wrong: dict[int, Errors]) -> Errors:
    return {f"calls[{index}].{name}": why for index, errors in wrong.items() for name, why in errors.items()}


def partial(calls: list[Any], good: list[dict[str, Any]], wrong: dict[int, Errors]) -> Refusal:
    """460 as the sibling upload methods answer it, with names that follow theirs."""
    return Refusal(
        PARTIAL,
        "Calls are loaded with errors",
        flat(wrong),
        uploadedCalls=[{"externalId": call["externalId"]} for call in good],
        failedCalls=[
            {"externalId": calls[index].get("externalId")} for index in wrong if isinstance(calls[index], dict)
        ],
    )


def calls_list(query: Query) -> Answer:
    """The history, newest first, page by page with a cursor."""
    limit = int(choice_of(query.parameters, "limit", LIMITS, "20"))
    cursor = number_of(query.parameters.get("cursor", "0"))
    if cursor is None:
        raise bad_input(cursor=INVALID)
    calls = older(query.account.calls.values(), cursor)
    page = list(islice(calls, limit + 1))
    more = {"nextCursor": str(page[limit - 1].id)} if len(page) > limit else {}
    rows = [history_row(query.account, call) for call in page[:limit]]
    return Answer({"calls": rows, "pagination": {"limit": limit, **more}})


def older(calls: Iterable[Call], cursor: int) -> Iterable[Call]:
    newest_first = sorted(calls, key=lambda call: call.id, reverse=True)
    return (call for call in newest_first if not cursor or call.id < cursor)


def history_row(account: Account, stored: Call) -> dict[str, Any]:
    call, manager = stored.call, account.manager_of(stored.call)
    customer = account.customers.get(digits(call["phone"]))
    row = {
        "id": stored.id,
        "externalId": call["externalId"],
        "type": call["type"],
        "date": call["date"],
        "code": call.get("code"),
        "manager": name_card(manager) if manager else None,
        "phone": call["phone"],
        "customer": {"id": customer.id} if customer else None,
        "isMissed": call["type"] == "in" and call["result"] != "answered",
        "duration": call.get("duration", 0),
        "result": call["result"],
    }
    return {name: value for name, value in row.items() if value is not None}


def name_card(user: User) -> dict[str, Any]:
    return {"id": user.id, "firstName": user.first_name, "lastName": user.last_name}


def manager(query: Query) -> Answer:
    account, number = query.account, scalar(query.parameters, "phone")
    require_telephony(account, OFF)
    details = choice_of(query.parameters, "details", ("0", "1"), "0") == "1"
    ignores_status = choice_of(query.parameters, "ignoreStatus", ("0", "1"), "0") == "1"
    # A plus that was not URL-encoded arrives as a space, and is no phone.
    if complaint := phone(number):
        raise bad_input(phone=complaint)
    customer = account.customers.get(digits(number))
    responsible = responsible_for(account, customer, ignores_status=ignores_status)
    shown = {"manager": manager_card(account, responsible)} if responsible else {}
    return Answer(shown | (customer_details(customer, number, query.origin) if details else {}))


def responsible_for(account: Account, customer: Customer | None, *, ignores_status: bool) -> User | None:
    user = account.users.get(customer.manager_id) if customer and customer.manager_id else None
    if user is None or not user.active:
        return None
    return user if ignores_status or (user.online and user.status == "free") else None


def manager_card(account: Account, user: User) -> dict[str, Any]:
    code = account.code_of(user.id)
    return {**name_card(user), "email": user.email, **({"code": code} if code else {})}


def customer_details(customer: Customer | None, number: str, origin: str) -> dict[str, Any]:
    query = f"?phone={quote(number)}"
    links = {"newOrderLink": f"{origin}/orders/add{query}", "newCustomerLink": f"{origin}/customers/add{query}"}
    if customer is None:
        return {"links": links}
    return {"customer": customer.card(), "links": {**links, "customerLink": f"{origin}/customers/{customer.id}"}}
