"""Can we command an enterprise's PBX: does it let us in, does it take the command, does it know the extensions."""

from collections.abc import Awaitable, Sequence

from vochi_integrations.domain import Enterprise
from vochi_integrations.errors import PbxError
from vochi_integrations.integrations.findings import Finding, Verdict
from vochi_integrations.messages import deferred, say
from vochi_integrations.ops.clicks import why_no_click
from vochi_integrations.ops.patient import EnterpriseCheck, Patient, finding, listed
from vochi_integrations.pbx.commands import EXTENSION
from vochi_integrations.pbx.control import PbxControl

MOST_EXTENSIONS = 20
LOGIN = deferred("Вход на АТС (SSH)")
ORIGINATE = deferred("Команда набора на АТС")
EXTENSIONS = deferred("Добавочные на АТС")
ELSE = deferred("Смотрите docs/operators.md.")
FIXES = {
    "no_address": deferred("Укажите адрес АТС: enterprises.ip."),
    "pbx_login": deferred("Добавьте наш открытый ключ на АТС, проверьте asterisk.ssh_user, ssh_key и known_hosts."),
    "pbx_unreachable": deferred("Проверьте VPN до АТС, её адрес (enterprises.ip) и asterisk.ssh_port."),
    "pbx_timeout": deferred("АТС перегружена или Asterisk на ней не отвечает: проверьте его на самой АТС."),
    "pbx_refused": deferred(
        "Проверьте, что Asterisk запущен и пользователь asterisk.ssh_user может вызвать asterisk -rx."
    ),
    "pbx_paused": deferred("АТС только что не отвечала: повторите через полминуты."),
}


def pbx_checks(control: PbxControl) -> Sequence[EnterpriseCheck]:
    """Return the checks of an enterprise's PBX; nothing is dialled."""

    async def pbx(_: Patient, enterprise: Enterprise) -> list[Finding]:
        return await _pbx(control, enterprise)

    return (pbx,)


async def _pbx(control: PbxControl, enterprise: Enterprise) -> list[Finding]:
    try:
        channels = await control.channels(enterprise)
    except PbxError as error:
        rest = [("pbx_originate", ORIGINATE), ("pbx_extensions", EXTENSIONS)]
        skipped = [
            finding(check, say(title), "skipped", say("не проверялось: на АТС не войти")) for check, title in rest
        ]
        return [_refused("pbx_login", LOGIN, error), *skipped]
    said = say("Asterisk отвечает, каналов: {count}").format(count=len(channels))
    return [
        finding("pbx_login", say(LOGIN), "ok", said),
        await _tried("pbx_originate", ORIGINATE, _originate(control, enterprise)),
        await _tried("pbx_extensions", EXTENSIONS, _extensions(control, enterprise)),
    ]


async def _tried(check: str, title: str, work: Awaitable[Finding]) -> Finding:
    try:
        return await work
    except PbxError as error:
        return _refused(check, title, error)


async def _originate(control: PbxControl, enterprise: Enterprise) -> Finding:
    if await control.may_originate(enterprise):
        return finding("pbx_originate", say(ORIGINATE), "ok", say("разрешена"))
    fix = say("Разрешите channel originate пользователю на АТС (cli_permissions.conf).")
    return finding(
        "pbx_originate", say(ORIGINATE), "bad", say("Asterisk не знает channel originate или не разрешает её"), fix
    )


async def _extensions(control: PbxControl, enterprise: Enterprise) -> Finding:
    """Look the extensions up where a click dials them."""
    context = control.settings.context
    known = sorted(code for code in enterprise.directory.internal if EXTENSION.fullmatch(code))[:MOST_EXTENSIONS]
    missing = [code for code in known if not await control.has_extension(enterprise, code)]
    if missing:
        said = say("в контексте {context} нет: {listed}").format(context=context, listed=listed(missing))
        verdict: Verdict = "bad" if len(missing) == len(known) else "warning"
        fix = say("Исправьте диалплан АТС или asterisk.context.")
        return finding("pbx_extensions", say(EXTENSIONS), verdict, said, fix)
    return finding(
        "pbx_extensions",
        say(EXTENSIONS),
        "ok",
        say("в контексте {context} есть все {count}").format(context=context, count=len(known)),
    )


def _refused(check: str, title: str, error: PbxError) -> Finding:
    return finding(
        check, say(title), "bad", f"{why_no_click(error.reason, say)} ({error})", say(FIXES.get(error.reason, ELSE))
    )
