"""RetailCRM's failures in plain words, with what to do. The texts are gettext msgids (facts: retailcrm_api §1, §8)."""

from collections.abc import Mapping

from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError, RateLimitError
from vochi_integrations.integrations.base import Explanation, Said

ASK_PROVIDER = "Напишите в поддержку телефонии и приложите этот ответ."
SCOPES_ADVICE = (
    "В RetailCRM откройте Настройки → Интеграция → Ключи доступа к API, выберите этот ключ, отметьте разрешения"
    " и сохраните."
)
BY_REASON: Mapping[str, tuple[str, str]] = {
    Reason.NOT_CONFIGURED: ("Не хватает адреса или ключа API.", "Заполните адрес домена и API Key и сохраните."),
    Reason.BAD_KEY: (
        "RetailCRM не принимает ключ API.",
        "Скопируйте ключ заново: Настройки → Интеграция → Ключи доступа к API. Ключ должен быть активен.",
    ),
    Reason.NO_ACCOUNT: (
        "По этому адресу нет аккаунта RetailCRM.",
        "Проверьте адрес: он виден в строке браузера, когда открыта ваша RetailCRM, например demo.retailcrm.ru.",
    ),
    Reason.TELEPHONY_OFF: (
        "Телефония в RetailCRM выключена.",
        "Нажмите «Сохранить и зарегистрировать» с отметкой «Активен?».",
    ),
    Reason.CRM_UNREACHABLE: (
        "RetailCRM не отвечает: {said}.",
        "Подождите минуту и повторите. Если не помогло, проверьте адрес домена и что RetailCRM открывается в браузере.",
    ),
}
BY_TEXT: tuple[tuple[str, str, str], ...] = (
    ("access denied", "Ключу API не хватает прав.", SCOPES_ADVICE),
    (
        "account does not exist",
        "По этому адресу нет аккаунта RetailCRM.",
        "Проверьте адрес: он виден в строке браузера, когда открыта ваша RetailCRM, например demo.retailcrm.ru.",
    ),
    (
        "api method not found",
        "По этому адресу отвечает не RetailCRM.",
        "Укажите только домен аккаунта, например demo.retailcrm.ru, без пути после него.",
    ),
    (
        "failed to activate module",
        "RetailCRM не включила модуль: {said}.",
        "Чаще всего не хватает средств или тариф не допускает модуль. Проверьте баланс в RetailCRM и повторите.",
    ),
    (
        "logo",
        "RetailCRM не приняла логотип модуля: {said}.",
        "Адрес сервиса (server.public_url) должен открываться из интернета. Сообщите поддержке телефонии.",
    ),
    (
        "baseurl",
        "RetailCRM не приняла адрес сервиса: {said}.",
        "Адрес сервиса (server.public_url) должен открываться из интернета. Сообщите поддержке телефонии.",
    ),
)
RATE_LIMITED = (
    "RetailCRM просит обращаться реже.",
    "Подождите минуту и повторите: другие интеграции могли исчерпать лимит запросов.",
)
REFUSED = "RetailCRM отказала: {said}."


def explain(error: DeliveryError) -> Explanation:
    """Return what happened and what to do; the CRM's own text only gives hints, it may be in any language."""
    what, advice = _texts(error)
    return Explanation(Said(what, {"said": str(error).rstrip(".")}), Said(advice))


def _texts(error: DeliveryError) -> tuple[str, str]:
    if isinstance(error, RateLimitError):
        return RATE_LIMITED
    said = str(error).lower()
    for hint, what, advice in BY_TEXT:
        if hint in said:
            return what, advice
    return BY_REASON.get(error.reason, (REFUSED, ASK_PROVIDER))
