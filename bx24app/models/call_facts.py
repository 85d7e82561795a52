"""`Call.facts`, typed: what a call stores beside its columns for later folds, for other calls and for the dry run.

`Call.read_facts` reads them from the JSON column, `Call.write_facts` is the only way to store them. The keys in the
database are older than the names here and never change, since processes of two versions may share one database: a key
that this version does not know survives a rewrite, a missing or null key reads as the default, and a field with its
default has no key.

Three life times, named at each field:

* *set once* - by whoever creates the call, or by the first fold that knows the value;
* *replaced* - each fold writes it again from what it knows;
* *patched* - a fold writes it when an answer arrives and leaves it alone otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypedDict


class RecordRef(TypedDict):
    """A CRM record."""

    entity: str
    """lead, deal, contact, company."""
    id: int


class Refusal(TypedDict):
    """Why the program did not dial what the portal asked for."""

    status: str
    """SIP status with which the call is finished."""
    words: str
    """One sentence in the portal's language."""


class StoredCase(TypedDict, total=False):
    """What rule actions were filled with, where neither a column of the call nor `rule_facts` holds it."""

    raw_line: str | None
    extension: str
    transferred_to: int | None
    owner: int | None
    """The client manager, a user id."""
    client_name: str
    pick: int | None
    days: dict[str, str]
    """User id -> the state of that user's working day. It holds for this call to its end."""
    misses: int


@dataclass(slots=True)
class CallFacts:
    """Facts of one call. Change the fields, then give the object to `Call.write_facts`."""

    # What the creator of the call knows
    click_user_id: int | None = None
    """The user who clicked a number in the portal. Set once; read by the fold and by click-to-call."""
    is_form_callback: bool = False
    """A CRM form asked for this call. Set once; read by the fold and by click-to-call."""
    requested_line: str | None = None
    """The line that a click or a form callback leaves by, as the PBX names it. Set once; read by the fold and by
    click-to-call."""
    refusal: Refusal | None = None
    """Why a click or a form callback was not dialled. Set once; click-to-call finishes the call with it."""
    is_quiet: bool = False
    """Mango's statistics made the call known, not a notification: no card. Set once; read by the fold."""
    is_background: bool = False
    """Part of a backfill: its commands leave when the request budget has room. Set once; read by the outbox."""
    is_without_notices: bool = False
    """The call is too old for to-dos and notices. Patched when the statistics show it; read by the fold."""
    is_without_records: bool = False
    """The call is too old to create CRM records. Patched with `is_without_notices`; read by the fold."""

    joined_call_id: int | None = None
    """`Call.id` of the call that this one turned out to be: it is only closed in the portal. Set once; read by the
    fold."""

    # What the notifications show
    rang_extensions: list[str] | None = None
    """Extensions, else numbers, of employees whose phones rang. Replaced at each fold; for support."""
    groups: list[str] | None = None
    """Groups of the PBX that the call went through. Replaced at each fold; for support."""
    is_working_time: bool | None = None
    """The line was within its working hours when the call began; None without a known line. Patched; for support."""
    unmapped_extensions: list[str] | None = None
    """Extensions that rang and belong to no user. Replaced at each fold; the column `Call.unmapped` follows it."""

    # What the portal answered
    client_status: Literal["known", "new"] | None = None
    """Whether the portal knew the client when it registered the call. Patched with the answer; for support."""
    record: RecordRef | None = None
    """The CRM record of the call: of a form callback the one that the portal named, then the one in the answer to
    Register. Patched; read by the fold and by the dry run."""
    client_records: list[dict[str, Any]] | None = None
    """The client's CRM records, each with its responsible, as ReadClient answered. Patched; read by the dry run."""
    client_deals: list[dict[str, Any]] | None = None
    """The client's open deals, as ReadDeals answered. Patched; read by the dry run."""

    # What the fold decided
    pick: int | None = None
    """The call's turn in the round robin of its line. Set once, by the first fold that needs it; read by the fold."""
    chosen_rule: str | None = None
    """The rule that matched, "" where none did; None as long as none is chosen. Set when the plan is decided; read by
    the fold."""
    rule_facts: dict[str, Any] | None = None
    """`RuleFacts` of the last plan, as JSON. Replaced with each plan; read by the dry run and by the call's page."""
    rule_case: StoredCase | None = None
    """The rest of the last plan's `RuleCase`. Replaced with each plan; read by the fold and by the dry run."""

    # What other calls of the client show
    continued_call_id: int | None = None
    """`Call.id` of another office's call that this one continues. Replaced at each fold; read by related calls and by
    the call's page."""
    handed_to: int | None = None
    """The user who talked last in the calls that continue this one. Replaced at each fold; read by related calls."""
    has_made_record: bool = False
    """This call, or one that continues it, creates the client's CRM record. Replaced at each fold; read by related
    calls."""

    unknown: dict[str, Any] = field(default_factory=dict)
    """Keys of another version of the program. Never read."""

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Self:
        """The facts in a value of the column `call.facts`."""
        values: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for key, value in (document or {}).items():
            name = _FIELD_BY_KEY.get(key)
            if name is None:
                unknown[key] = value
            elif value is not None:
                values[name] = value
        return cls(**values, unknown=unknown)

    def to_json(self) -> dict[str, Any]:
        """A new value for the column `call.facts`."""
        document = dict(self.unknown)
        for key, name in _FIELD_BY_KEY.items():
            value = getattr(self, name)
            if value != _DEFAULTS[name]:
                document[key] = value
        return document


_FIELD_BY_KEY = {
    "click_user": "click_user_id",
    "form_callback": "is_form_callback",
    "line": "requested_line",
    "cannot": "refusal",
    "quiet": "is_quiet",
    "background": "is_background",
    "no_notices": "is_without_notices",
    "no_records": "is_without_records",
    "joined": "joined_call_id",
    "rang": "rang_extensions",
    "groups": "groups",
    "open": "is_working_time",
    "unmapped": "unmapped_extensions",
    "client": "client_status",
    "record": "record",
    "records": "client_records",
    "deals": "client_deals",
    "pick": "pick",
    "chosen": "chosen_rule",
    "seen": "rule_facts",
    "case": "rule_case",
    "continues": "continued_call_id",
    "handed_to": "handed_to",
    "makes": "has_made_record",
}
"""Key in the database -> field."""
_DEFAULTS = {one.name: one.default for one in fields(CallFacts)}
