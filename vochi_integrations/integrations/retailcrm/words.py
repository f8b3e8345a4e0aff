"""RetailCRM's failures in plain words, with what to do. The texts are gettext msgids (facts: retailcrm_api §1, §8)."""

from collections.abc import Mapping

from vochi_integrations.domain import Reason
from vochi_integrations.errors import DeliveryError, RateLimitError
from vochi_integrations.integrations.base import Explanation, Said
from vochi_integrations.messages import deferred as _

ASK_PROVIDER = _("Напишите в поддержку телефонии и приложите этот ответ.")
SCOPES_ADVICE = _(
    "В RetailCRM откройте Настройки → Интеграция → Ключи доступа к API, выберите этот ключ, отметьте разрешения"
    " и сохраните."
)
WHERE_THE_ADDRESS_IS = _(
    "Проверьте адрес: он виден в строке браузера, когда открыта ваша RetailCRM, например demo.retailcrm.ru."
)
NO_ACCOUNT = _("По этому адресу нет аккаунта RetailCRM.")
OUR_ADDRESS = _("Адрес сервиса (server.public_url) должен открываться из интернета. Сообщите поддержке телефонии.")
BY_REASON: Mapping[str, tuple[str, str]] = {
    Reason.NOT_CONFIGURED: (_("Не хватает адреса или ключа API."), _("Заполните адрес домена и API Key и сохраните.")),
    Reason.BAD_KEY: (
        _("RetailCRM не принимает ключ API."),
        _("Скопируйте ключ заново: Настройки → Интеграция → Ключи доступа к API. Ключ должен быть активен."),
    ),
    Reason.PRIVATE_ADDRESS: (
        _("Этот адрес ведёт во внутреннюю сеть, а не к RetailCRM."),
        WHERE_THE_ADDRESS_IS,
    ),
    Reason.NO_ACCOUNT: (NO_ACCOUNT, WHERE_THE_ADDRESS_IS),
    Reason.NO_MAPPING: (
        _("RetailCRM не знает этого добавочного номера."),
        _("Нажмите «Сохранить» у сотрудника ещё раз: номер будет передан в RetailCRM."),
    ),
    Reason.TELEPHONY_OFF: (
        _("Телефония в RetailCRM выключена."),
        _("Нажмите «Сохранить и зарегистрировать» с отметкой «Активен?»."),
    ),
    Reason.CRM_UNREACHABLE: (
        _("RetailCRM не отвечает: {said}."),
        _(
            "Подождите минуту и повторите. Если не помогло, проверьте адрес домена и то, что RetailCRM"
            " открывается в браузере."
        ),
    ),
}
BY_TEXT: tuple[tuple[str, str, str], ...] = (
    ("access denied", _("Ключу API не хватает прав."), SCOPES_ADVICE),
    ("account does not exist", NO_ACCOUNT, WHERE_THE_ADDRESS_IS),
    (
        "api method not found",
        _("По этому адресу отвечает не RetailCRM."),
        _("Укажите только домен аккаунта, например demo.retailcrm.ru, без пути после него."),
    ),
    (
        "failed to activate module",
        _("RetailCRM не включила модуль: {said}."),
        _("Чаще всего не хватает средств или тариф не допускает модуль. Проверьте баланс в RetailCRM и повторите."),
    ),
    (
        "logo",
        _("RetailCRM не приняла логотип модуля: {said}."),
        OUR_ADDRESS,
    ),
    (
        "baseurl",
        _("RetailCRM не приняла адрес сервиса: {said}."),
        OUR_ADDRESS,
    ),
)
RATE_LIMITED = (
    _("RetailCRM просит обращаться реже."),
    _("Подождите минуту и повторите: другие интеграции могли исчерпать лимит запросов."),
)
REFUSED = _("RetailCRM отказала: {said}.")


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
