"""Effects times a tenant's CRMs: what is to be delivered, and what is not and why. Pure."""

from collections.abc import Iterable, Mapping

from vochi_integrations.domain import ClosePopup, Delivery, Effect, Enterprise, Kind, Reason, ShowPopup, Skip
from vochi_integrations.integrations.base import Integration, config_of
from vochi_integrations.settings import Delivery as DeliverySettings


class Router:
    """Plans deliveries. Deadlines are UTC epoch seconds: `popup_ttl` and `history_max_age` after the event."""

    def __init__(self, integrations: Mapping[str, Integration], settings: DeliverySettings) -> None:
        self._integrations = integrations
        self._settings = settings

    def plan(self, effects: Iterable[Effect], enterprise: Enterprise) -> list[Delivery]:
        """Return a tenant's deliveries for `effects`, in their order; an enterprise without a CRM has none."""
        found: list[Delivery] = []
        for effect in effects:
            for name in enterprise.integrations:
                checked = self._checked(effect, enterprise, name)
                found += self._integrations[name].plan(checked, enterprise) if checked else ()
        for delivery in found:
            age = self._settings.popup_ttl if delivery.cls == "realtime" else self._settings.history_max_age
            delivery.deadline_at = delivery.event_at + age
        return found

    def _checked(self, effect: Effect, enterprise: Enterprise, name: str) -> Effect | None:
        """Turn an effect that must not go out into a skip with its reason; a card never shown needs no closing."""
        if isinstance(effect, Skip):
            return effect
        reason = why_not(enterprise, name) or self._why_not_now(effect)
        if reason is None:
            return effect
        if isinstance(effect, ClosePopup):
            return None
        kind: Kind = "popup" if isinstance(effect, ShowPopup) else "record"
        extensions = effect.extensions if isinstance(effect, ShowPopup) else ()
        return Skip(call=effect.call, at=effect.at, kind=kind, reason=reason, extensions=extensions)

    def _why_not_now(self, effect: Effect) -> Reason | None:
        """A pop-up made from a hangup helps only just after the call (design rule 11)."""
        if isinstance(effect, ShowPopup) and effect.synthetic and effect.ended_at is not None:
            return Reason.EXPIRED if effect.at - effect.ended_at > self._settings.popup_ttl else None
        return None


def why_not(enterprise: Enterprise, name: str) -> Reason | None:
    """Say why a tenant's CRM gets nothing at all, None when it does."""
    if not enterprise.active:
        return Reason.ENTERPRISE_INACTIVE
    config = config_of(enterprise, name)
    if config is None or not config.enabled:
        return Reason.INTEGRATION_OFF
    return Reason.NOT_CONFIGURED if config.problem else None
