"""Where a smart redirect knew its answer from, or why there was none, in words."""

from collections.abc import Mapping

from vochi_integrations.messages import deferred

SOURCES: Mapping[str, str] = {
    "retailcrm": deferred("ответственный в RetailCRM"),
    "last_call": deferred("говорил с клиентом последним"),
    "first_call": deferred("говорил с клиентом первым"),
    "none": deferred("ответственного за этого клиента нет"),
    "timeout": deferred("RetailCRM не ответила вовремя"),
    "error": deferred("RetailCRM ответила ошибкой или недоступна"),
    "off": deferred("умная переадресация выключена"),
    "line_off": deferred("на этой линии умная переадресация выключена"),
    "enterprise_inactive": deferred("предприятие отключено"),
}
