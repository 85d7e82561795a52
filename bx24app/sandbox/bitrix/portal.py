"""A portal: everything that a person at its screen, or a test, can do in it.

`portal_state.py` holds the state. Tests, the demo, the pages and the control API call the methods of `Portal`;
applications reach the portal over REST only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.bitrix import apps, clicks, timeline
from bx24app.sandbox.bitrix.events import EventSender
from bx24app.sandbox.bitrix.portal_state import PortalState
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, Application, InstalledApp, Record, User
from bx24app.sandbox.clock import Clock

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.oauth import OAuthServer


class Portal(PortalState):
    """A portal. All methods run in the event loop of the sandbox; other threads call them through `Sandbox.call`."""

    def __init__(self, number: int, oauth: OAuthServer, clock: Clock) -> None:
        super().__init__(number, oauth, clock)
        self.event_sender = EventSender(self)

    # --- people ---

    def add_user(self, user_id: int, name: str = "", last_name: str = "", **fields: Any) -> User:
        """Adds an employee. `fields` are those of `User`."""
        user = User(user_id, name, last_name, **fields)
        self.users[user_id] = user
        self.notify_watchers("user", id=user_id)
        return user

    def dismiss(self, user_id: int) -> None:
        """Dismisses a user. Their access tokens get INVALID_CREDENTIALS, their refresh tokens are refused."""
        self.users[user_id].active = False
        self.oauth.revoke_tokens(self, user_id=user_id, access=False)
        self.notify_watchers("user", id=user_id)

    def transfer_integrations(self, user_id: int) -> User:
        """Dismisses a user and preserves the integrations: the applications of the Market go on as a clone of the user.
        """
        source = self.users[user_id]
        clone = User(self.next_id("system_user", 9001), admin=source.admin, rights=dict(source.rights), is_system=True)
        self.users[clone.id] = clone
        for token in [*self.oauth.access_tokens.values(), *self.oauth.refresh_tokens.values()]:
            if token.portal is self and token.user_id == user_id and self.apps[token.client_id].status != "L":
                token.user_id = clone.id
        self.dismiss(user_id)
        return clone

    def user_by_inner(self, number: str) -> User | None:
        """The active user with this UF_PHONE_INNER, or None."""
        if not number:
            return None
        return next((user for user in self.users.values() if user.active and user.uf_phone_inner == number), None)

    # --- records ---

    def add_contact(self, name: str, *phones: str, assigned: int = 1, **fields: Any) -> Record:
        """Adds a contact, as if a person had created it in the portal. No event is sent."""
        return self._add_record(CONTACT, {"name": name, **fields}, phones, assigned)

    def add_company(self, title: str, *phones: str, assigned: int = 1, **fields: Any) -> Record:
        return self._add_record(COMPANY, {"title": title, **fields}, phones, assigned)

    def add_lead(self, title: str, *phones: str, assigned: int = 1, **fields: Any) -> Record:
        base = {"title": title, "stageId": "NEW", "stageSemanticId": "P"}
        return self._add_record(LEAD, {**base, **fields}, phones, assigned)

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
        """The entries on the card of a record, oldest first."""
        return timeline.build_timeline(self, type_id, number)

    # --- applications and their events ---

    def install(self, app: Application, user_id: int = 1) -> InstalledApp:
        """Installs an application, not yet INSTALLED. Returns the existing installation if there is one."""
        return apps.install_app(self, app, user_id)

    def open_form(
        self, user_id: int, app: Application, placement: str = "DEFAULT", options: dict[str, Any] | None = None
    ) -> apps.FrameForm:
        """The form that the portal posts into the iframe when the user opens the application."""
        return apps.open_form(self, user_id, app, placement, options or {})

    def finish_install(self, app: Application) -> None:
        """The effect of installFinish: sets INSTALLED=Y and sends ONAPPINSTALL to bound handlers."""
        apps.finish_install(self, app)

    def uninstall(self, app: Application, *, clean: bool = False) -> None:
        """Removes an application with its tokens, lines, bindings and placements. Sends ONAPPUNINSTALL."""
        apps.uninstall_app(self, app, clean)

    def update_version(self, app: Application, version: int | None = None) -> None:
        """Installs a new version: changes the application_token, sends ONAPPUPDATE, drops bindings and placements."""
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
        """A click on a number: the portal registers the call and sends ONEXTERNALCALLSTART. Returns the CALL_ID."""
        return clicks.click_to_call(self, user_id, phone, line, mobile, entity, activity_id)

    def form_callback(
        self,
        phone: str,
        line: str | None = None,
        text: str = "",
        voice: str = "",
        entity: tuple[int, int] | None = None,
    ) -> None:
        """A call-back request in a CRM form: the portal sends ONEXTERNALCALLBACKSTART."""
        clicks.form_callback(self, phone, line, text, voice, entity)

    async def wait_until_idle(self) -> None:
        """Waits until no event is on its way."""
        await self.event_sender.wait_until_idle()
