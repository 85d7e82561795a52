"""One portal: what a person at its screen, or a test, can do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.bitrix import apps, clicks, timeline
from bx24app.sandbox.bitrix.events import EventSender
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, Application, InstalledApp, Record, User
from bx24app.sandbox.clock import Clock

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.oauth import OAuthServer


from bx24app.sandbox.bitrix.portal_state import PortalState


class Portal(PortalState):
    """A portal. Everything runs in the sandbox's loop (`Sandbox.call` is the door from other threads)."""

    def __init__(self, number: int, oauth: OAuthServer, clock: Clock) -> None:
        super().__init__(number, oauth, clock)
        self.event_sender = EventSender(self)

    # --- people ----------------------------------------------------------------------------------------------------------

    def add_user(self, user_id: int, name: str = "", last_name: str = "", **fields: Any) -> User:
        """Hires somebody; `fields` are those of `User`."""
        user = User(user_id, name, last_name, **fields)
        self.users[user_id] = user
        self.notify_watchers("user", id=user_id)
        return user

    def dismiss(self, user_id: int) -> None:
        """Dismisses a user: INVALID_CREDENTIALS for tokens in use, and they can not be refreshed."""
        self.users[user_id].active = False
        self.oauth.revoke_tokens(self, user_id=user_id, access=False)
        self.notify_watchers("user", id=user_id)

    def user_by_inner(self, number: str) -> User | None:
        """The active user with this UF_PHONE_INNER."""
        if not number:
            return None
        return next((user for user in self.users.values() if user.active and user.uf_phone_inner == number), None)

    # --- records -----------------------------------------------------------------------------------------------------------

    def add_contact(self, name: str, *phones: str, assigned: int = 1, **fields: Any) -> Record:
        """A contact that was there before."""
        return self._add_record(CONTACT, {"name": name, **fields}, phones, assigned)

    def add_company(self, title: str, *phones: str, assigned: int = 1, **fields: Any) -> Record:
        return self._add_record(COMPANY, {"title": title, **fields}, phones, assigned)

    def add_lead(self, title: str, *phones: str, assigned: int = 1, **fields: Any) -> Record:
        return self._add_record(LEAD, {"title": title, "stageId": "NEW", "stageSemanticId": "P", **fields}, phones, assigned)

    def add_deal(self, title: str, *, contact: int | None = None, assigned: int = 1, **fields: Any) -> Record:
        base = {"categoryId": 0, "stageId": "NEW", "stageSemanticId": "P", "contactIds": [contact] if contact else []}
        return self._add_record(DEAL, {"title": title, **base, "contactId": contact, **fields}, (), assigned)

    def _add_record(self, type_id: int, fields: dict[str, Any], phones: tuple[str, ...], assigned: int) -> Record:
        stamp = self.clock.format_iso()
        base = {"assignedById": assigned, "createdBy": assigned, "createdTime": stamp, "updatedTime": stamp}
        multi = [{"typeId": "PHONE", "valueType": "WORK", "value": phone} for phone in phones]
        record = self.crm.add_record(type_id, {**base, **fields}, multi)
        self.notify_watchers("record", type=type_id, id=record.id)
        return record

    def timeline(self, type_id: int, number: int) -> list[dict[str, Any]]:
        """What the record's card shows, oldest first."""
        return timeline.build_timeline(self, type_id, number)

    # --- applications and their events ------------------------------------------------------------------------------------

    def install(self, app: Application, user_id: int = 1) -> InstalledApp:
        """Puts an application into the portal, not yet INSTALLED; the same answer when it is there."""
        return apps.install_app(self, app, user_id)

    def open_form(
        self, user_id: int, app: Application, placement: str = "DEFAULT", options: dict[str, Any] | None = None
    ) -> apps.FrameForm:
        """What the portal posts into the iframe: address and fields."""
        return apps.open_form(self, user_id, app, placement, options or {})

    def finish_install(self, app: Application) -> None:
        """The effect of installFinish: INSTALLED=Y, ONAPPINSTALL to bound handlers."""
        apps.finish_install(self, app)

    def uninstall(self, app: Application, *, clean: bool = False) -> None:
        """ONAPPUNINSTALL without tokens; tokens, lines, bindings and placements are gone."""
        apps.uninstall_app(self, app, clean)

    def update_version(self, app: Application, version: int | None = None) -> None:
        """A new version: bindings and placements dropped, a new application_token, ONAPPUPDATE."""
        apps.update_version(self, app, version)

    def click_to_call(
        self,
        user_id: int,
        phone: str,
        line: str | None = None,
        mobile: bool = False,
        entity: tuple[int, int] | None = None,
        activity_id: int | None = None,
    ) -> str:
        """A click on a number: the portal registers the call and sends ONEXTERNALCALLSTART. Returns CALL_ID."""
        return clicks.click_to_call(self, user_id, phone, line, mobile, entity, activity_id)

    def form_callback(
        self,
        phone: str,
        line: str | None = None,
        text: str = "",
        voice: str = "",
        entity: tuple[int, int] | None = None,
    ) -> None:
        """A CRM form asks for a call back: ONEXTERNALCALLBACKSTART."""
        clicks.form_callback(self, phone, line, text, voice, entity)

    async def wait_until_idle(self) -> None:
        """Waits until no event is on its way."""
        await self.event_sender.wait_until_idle()
