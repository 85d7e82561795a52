"""Tables of the tenant: portal, grant, registration, PBX, settings versions, users, audit."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ForeignKey, Index, Table, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from bx24app.domain.dialects import DialectTraits, split_names, traits_of
from bx24app.infra.encryption import EncryptedText
from bx24app.models.append_only import protect_table
from bx24app.models.base import Base, BigId, Document, Moment, utcnow


def hash_hook_key(hook_key: str) -> str:
    """The digest by which a PBX is found from its hook key. It accepts any bytes that somebody sends as a key."""
    return hashlib.sha256(hook_key.encode(errors="surrogatepass")).hexdigest()


class Registration(Base):
    """One application as Bitrix24 knows it: the marketplace's, or a local one of one portal (`bx24app apps add`)."""

    __tablename__ = "registration"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    client_secret: Mapped[str] = mapped_column(EncryptedText)
    name: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)


class Portal(Base):
    """One Bitrix24 account: the tenant. Its key is `member_id`; its domain may change at any time."""

    __tablename__ = "portal"
    __table_args__ = (Index("ix_portal_probe_at", "probe_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[str] = mapped_column(unique=True)
    domain: Mapped[str]
    """Host (and port) as the auth server names it."""
    client_endpoint: Mapped[str]
    """REST base, `https://HOST/rest/`, verified, never from a browser."""
    server_endpoint: Mapped[str]
    """Base of this tenant's OAuth server; always one of BX24APP_OAUTH_SERVERS."""
    client_id: Mapped[str]
    """The registration under which the app is installed."""
    application_token: Mapped[str | None] = mapped_column(EncryptedText)
    """Proves Bitrix24's events; None until the installation brought it."""
    state: Mapped[str] = mapped_column(default="pending")
    """pending (page not finished), active, paused (by an administrator), needs_admin (see `trouble`), removed."""
    state_before: Mapped[str | None]
    """Where `paused` or `needs_admin` returns to."""
    trouble: Mapped[str | None]
    """Code of what an administrator must fix while `needs_admin` (PAYMENT_REQUIRED, invalid_grant …)."""
    trouble_at: Mapped[datetime | None] = mapped_column(Moment)
    probe_at: Mapped[datetime | None] = mapped_column(Moment)
    """When a `needs_admin` portal is probed again."""
    scopes: Mapped[str] = mapped_column(default="")
    """Granted scopes, comma list."""
    license: Mapped[str] = mapped_column(default="")
    """LICENSE of app.info and, behind a space, LICENSE_FAMILY; on-premise there is none."""
    crm_mode: Mapped[int] = mapped_column(default=1)
    """crm.settings.mode.get: 1 classic (leads), 2 simple (no leads)."""
    looked_at: Mapped[datetime | None] = mapped_column(Moment)
    """When licence, mode and users were last read (daily)."""
    answered_at: Mapped[datetime | None] = mapped_column(Moment, default=utcnow)
    """When the portal itself last accepted a request, or said why it did not."""
    lang: Mapped[str] = mapped_column(default="ru")
    settings_version_id: Mapped[int | None]
    installed_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    installed_by: Mapped[int | None]
    removed_at: Mapped[datetime | None] = mapped_column(Moment)
    purge_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the personal data of a removed portal is deleted."""

    grant: Mapped[Grant | None] = relationship(back_populates="portal", uselist=False)
    pbxs: Mapped[list[Pbx]] = relationship(back_populates="portal", order_by="Pbx.position")


class Grant(Base):
    """The token pair of the installing administrator, with which the app works in the background.

    Frames opened by others never replace it.
    """

    __tablename__ = "grant"

    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int]
    access_token: Mapped[str] = mapped_column(EncryptedText)
    refresh_token: Mapped[str] = mapped_column(EncryptedText)
    expires_at: Mapped[datetime] = mapped_column(Moment)
    refreshed_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    generation: Mapped[int] = mapped_column(default=1)
    """Counts refreshes: a process with an older generation reads the row again instead of refreshing a second time."""

    portal: Mapped[Portal] = relationship(back_populates="grant")


class Pbx(Base):
    """One Mango product of a portal.

    Its name and routing are in the settings document; this row holds what must not be there.
    """

    __tablename__ = "pbx"
    __table_args__ = (
        UniqueConstraint("portal_id", "key"),
        Index("ix_pbx_hook_hash", "hook_hash", unique=True),
        Index("ix_pbx_old_hook_hash", "old_hook_hash", unique=True),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    key: Mapped[str]
    position: Mapped[int] = mapped_column(default=0)
    """Place in the document; the first PBX answers for click-to-call without a line."""
    hook_sealed: Mapped[str | None] = mapped_column(EncryptedText)
    """The hook key, encrypted; shown to those who may see it."""
    hook_hash: Mapped[str | None]
    """By which the PBX is found. A key of 192 bits cannot be guessed, so a plain digest hides it."""
    old_hook_sealed: Mapped[str | None] = mapped_column(EncryptedText)
    old_hook_hash: Mapped[str | None]
    plain_hook_key: Mapped[str] = mapped_column("hook_key", unique=True)
    """The key as versions before 0014 write and read it; later its digest (`hook_keys.hide_plain_keys`)."""
    plain_old_hook_key: Mapped[str | None] = mapped_column("old_hook_key", unique=True)
    plain_until: Mapped[datetime | None] = mapped_column(Moment)
    """Until when a process of such a version may still run beside this one; None: nobody needs the plain key."""
    old_hook_until: Mapped[datetime | None] = mapped_column(Moment)
    dialects: Mapped[str] = mapped_column(default="vpbx")
    """Comma list: vpbx, events."""
    api_key: Mapped[str | None] = mapped_column(EncryptedText)
    api_salt: Mapped[str | None] = mapped_column(EncryptedText)
    removed_at: Mapped[datetime | None] = mapped_column(Moment)
    """When it left the settings document; calls under way still end, the hook address answers 404."""
    last_notification_at: Mapped[datetime | None] = mapped_column(Moment)
    refused_count: Mapped[int] = mapped_column(default=0)
    """Notifications with a wrong key or signature since the last good one."""
    refused_since: Mapped[datetime | None] = mapped_column(Moment)
    created_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    asked_at: Mapped[datetime | None] = mapped_column(Moment)
    """When its statistics were last requested."""
    ask_at: Mapped[datetime | None] = mapped_column(Moment)
    """When they are requested next, even without any calls."""
    read_until: Mapped[datetime | None] = mapped_column(Moment)
    """Up to when the statistics are compared."""
    ask_failures: Mapped[int] = mapped_column(default=0, server_default="0")
    """Failed requests in a row."""
    ask_problem: Mapped[str | None]
    """What Mango answered to the last failure, for people."""
    ask_problem_code: Mapped[str | None]
    """`problem_codes.ADDRESS_REFUSED`, for the program; None: nothing is decided by this problem."""
    statistics_zone: Mapped[str | None]
    """The zone in which it reads the window of its statistics, as its answers showed; None: not known yet."""
    lost_found: Mapped[int] = mapped_column(default=0, server_default="0")
    """Calls, ends and recordings that only the statistics showed."""
    lost_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the statistics last showed such a one."""

    portal: Mapped[Portal] = relationship(back_populates="pbxs")

    @property
    def traits(self) -> list[DialectTraits]:
        """Of each of its dialects."""
        return traits_of(split_names(self.dialects))

    @property
    def hook_key(self) -> str:
        """Unguessable part of the hook address (128 bits or more)."""
        return self.hook_sealed or self.plain_hook_key

    @hook_key.setter
    def hook_key(self, key: str) -> None:
        self.hook_sealed, self.hook_hash = key, hash_hook_key(key)
        if self.plain_until is None:
            self.plain_hook_key = self.hook_hash

    @property
    def old_hook_key(self) -> str | None:
        """The hook key before, valid until `old_hook_until`."""
        return self.old_hook_sealed or self.plain_old_hook_key

    @old_hook_key.setter
    def old_hook_key(self, key: str | None) -> None:
        self.old_hook_sealed, self.old_hook_hash, self.plain_old_hook_key = key, key and hash_hook_key(key), None


class SettingsVersion(Base):
    """One saved state of a portal's settings document, without secrets.

    Never changed: it is the history, and running calls keep theirs.
    """

    __tablename__ = "settings_version"
    __table_args__ = (UniqueConstraint("portal_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"))
    number: Mapped[int]
    document: Mapped[dict[str, Any]] = mapped_column(Document)
    author: Mapped[int | None]
    """User id at the portal; None: the command line."""
    source: Mapped[str] = mapped_column(default="cli")
    """cli, frame, install, rollback."""
    note: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)


class PortalUser(Base):
    """The last good answer of `user.get`: names for pages, and who is active.

    An empty or shorter answer never deletes rows.
    """

    __tablename__ = "portal_user"

    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    active: Mapped[bool] = mapped_column(default=True)
    name: Mapped[str] = mapped_column(default="")
    email: Mapped[str] = mapped_column(default="")
    inner_number: Mapped[str] = mapped_column(default="")
    phones: Mapped[list[str]] = mapped_column(Document, default=list)
    seen_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    day: Mapped[str | None]
    """TIMEMAN_STATUS, as the portal answered at `day_at`."""
    day_at: Mapped[datetime | None] = mapped_column(Moment)


class Dictionary(Base):
    """The last good answer about the portal's CRM dictionaries (`domain.crm_dictionaries`): for pages and rules."""

    __tablename__ = "dictionary"

    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    content: Mapped[dict[str, Any]] = mapped_column(Document)
    read_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)


class Notice(Base):
    """A notice that was sent to the administrators and still holds: it is sent once, and once more when it is over."""

    __tablename__ = "notice"

    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    """`<kind>:<what>`, such as `dismissed:42`."""
    over: Mapped[str]
    """The text to send when it is over, in the portal's language."""
    told_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)


class LineCounter(Base):
    """Round robin of a line's responsible users over all workers: each pick is one atomic increment."""

    __tablename__ = "line_counter"

    portal_id: Mapped[int] = mapped_column(ForeignKey("portal.id", ondelete="CASCADE"), primary_key=True)
    line: Mapped[str] = mapped_column(primary_key=True)
    """`<pbx key>:<line number>`."""
    picks: Mapped[int] = mapped_column(default=0)


class Audit(Base):
    """Append-only (`append_only`): who did what.

    `what` is a short verb, `facts` never holds a secret or a telephone.
    """

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_portal_id_at", "portal_id", "at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int | None]
    at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    user_id: Mapped[int | None]
    source: Mapped[str]
    """cli, frame, event, system."""
    address: Mapped[str] = mapped_column(default="")
    what: Mapped[str]
    facts: Mapped[dict[str, Any]] = mapped_column(Document, default=dict)


protect_table(cast(Table, Audit.__table__))
