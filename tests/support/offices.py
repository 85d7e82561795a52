"""A portal with three PBXs, and a second implementation of section 7 of the contract that predicts a call's outcome.

`predict` says what the portal must have after a call of `tests.support.pbx_model`; property tests and stress tests
compare that with the sandbox portal. The module shares no code with bx24app. Extensions and entry ids repeat across
the PBXs; one extension is mapped in one PBX only, and one in none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.pbx_model import Scene

PORTAL_DEFAULT = 1
PLACEHOLDER = "00000000000"
TODO_SECONDS = 30 * 60
LOST_REASONS = {
    1110: "603-S",
    1121: "486",
    1122: "603",
    1123: "603",
    1124: "603",
    1131: "480",
    1132: "404",
    1133: "404",
}
"""Mango's code -> STATUS_CODE of an unanswered outgoing call (contract, section 7); 2xxx gives 402, others 304."""


@dataclass(frozen=True)
class Office:
    """A PBX of the portal."""

    key: str
    users: dict[str, int]
    """extension -> user."""
    lines: dict[str, tuple[str, int | None]]
    """Number in notifications -> (LINE_NUMBER, responsible user). The first one is the PBX's first line."""
    default: int | None = None
    unnamed: tuple[str, ...] = ()
    """Lines that the settings do not name."""
    group: str = "300"
    strangers: tuple[str, ...] = ()
    """Extensions of this PBX that are not in its mapping."""


OFFICES = (
    Office(
        "moscow",
        {"101": 11, "102": 12, "103": 13},
        {"74950000001": ("74950000001", None), "74950000002": ("moscow-two", 41)},
        default=9,
        strangers=("201", "404"),
    ),
    Office(
        "krasnodar",
        {"101": 21, "102": 22, "103": 11, "201": 23},
        {"78610000001": ("78610000001", 42), "78610000002": ("78610000002", None)},
        default=19,
        unnamed=("78610000009",),
        strangers=("404",),
    ),
    Office("perm", {"101": 31, "102": 31, "103": 12}, {"73420000001": ("perm", None)}, strangers=("404",)),
)
USERS = sorted({1, 9, 19, 41, 42, *(user for office in OFFICES for user in office.users.values())})


def document(calls: dict[str, Any]) -> dict[str, Any]:
    """The settings document of this portal (contract, section 6)."""
    return {
        "version": 1,
        "portal": {"default_user_id": PORTAL_DEFAULT},
        "calls": calls,
        "pbxs": [
            {
                "key": office.key,
                "name": office.key,
                **({"default_user_id": office.default} if office.default else {}),
                "lines": [
                    {
                        "number": number,
                        "line_number": line,
                        "responsible": {"users": [user] if user else [], "strategy": "first"},
                    }
                    for number, (line, user) in office.lines.items()
                ],
                "employees": [{"extension": name, "user_id": user} for name, user in office.users.items()],
            }
            for office in OFFICES
        ],
    }


def user_of(office: Office, extension: str) -> int | None:
    """The mapped user of an extension. One that only a single other PBX maps is looked up there."""
    if extension in office.users:
        return office.users[extension]
    others = [other.users[extension] for other in OFFICES if other.key != office.key and extension in other.users]
    return others[0] if len(others) == 1 and office in OFFICES else None


@dataclass(frozen=True)
class Known:
    """The client's record before the call."""

    kind: str
    """lead or contact."""
    owner: int


@dataclass(frozen=True)
class PortalCall:
    """A row of the statistics, and the activity that belongs to it."""

    user: int
    type: int
    seconds: int
    code: str
    line: str | None
    missed: bool
    recording: str | None
    activity: bool


@dataclass(frozen=True)
class Outcome:
    """What the portal must have of one call and its client in the end."""

    own: PortalCall | None = None
    """The portal's call of the entry; None if the portal gets none."""
    further: tuple[PortalCall, ...] = ()
    records: tuple[tuple[str, int], ...] = ()
    """(kind, responsible) of every record with the client's number or bound to one, including an earlier record."""
    todos: tuple[tuple[int, int], ...] = ()
    """(responsible, deadline)."""
    responsible: int | None = None
    """The responsible user of new records; also set if the call creates none."""
    journal: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ways:
    """The `calls` section of the settings, and whether the portal uses the simple CRM mode (without leads)."""

    answered: str = "lead"
    missed: str = "lead"
    outgoing: str = "nothing"
    transfer_responsible: str = "created"
    card: str = "ring"
    hidden_number: str = "placeholder"
    internal_calls: str = "skip"
    simple_crm: bool = False

    def section(self) -> dict[str, Any]:
        names = ("answered", "missed", "outgoing", "transfer_responsible", "card", "hidden_number", "internal_calls")
        return {name: getattr(self, name) for name in names}


def predict(scene: Scene, ways: Ways, known: Known | None) -> Outcome:
    """Section 7 of the contract for one call."""
    journal = journal_of(scene)
    hidden = scene.number is None
    if scene.direction == 0 or (hidden and ways.hidden_number == "skip"):
        return Outcome(records=((known.kind, known.owner),) if known else (), journal=journal)
    answered, talker = bool(scene.talk_at), journal["user_id"]
    responsible = _responsible(scene, ways, talker)
    kinds = [] if hidden or known else _makes(scene, ways)
    records = [(kind, responsible) for kind in kinds]
    if known:
        follows = ways.transfer_responsible == "always" and _handed_to(scene) is not None
        records.append((known.kind, responsible if follows else known.owner))
    code = "200" if answered else "304" if scene.direction == 1 else _failed(scene.last_reason)
    line = scene.office.lines.get(scene.line, (scene.line, None))[0]
    own = PortalCall(
        talker, 2 if scene.direction == 1 else 1, journal["talk_seconds"], code, line,
        scene.direction == 1 and not answered, scene.own_recording(), bool(records),
    )  # fmt: skip
    further = tuple(
        PortalCall(
            _recorded(scene, rec), 3 if scene.direction == 1 else 1, rec["ended"] - rec["started"], "200", line,
            False, rec["id"], bool(records),
        )
        for rec in scene.recordings if rec["id"] != own.recording
    )  # fmt: skip
    wants = own.missed and ways.missed == "activity" and not hidden
    todos = ((responsible, scene.now + TODO_SECONDS),) if wants else ()
    return Outcome(own, further, tuple(sorted(records)), todos, responsible, journal)


def journal_of(scene: Scene) -> dict[str, Any]:
    """The fields of the journal (contract, section 8) that follow from the call alone."""
    office, answered = scene.office, bool(scene.talk_at)
    users = [user for extension in scene.talked if (user := user_of(office, extension)) is not None]
    fallback = office.default or PORTAL_DEFAULT
    if answered:
        talker = users[-1] if users else fallback
    elif scene.direction == 1:
        talker = office.lines.get(scene.line, ("", None))[1] or fallback
    else:
        talker = next((u for name in scene.rung if (u := user_of(office, name)) is not None), None) or fallback
    return {
        "outcome": "answered" if answered else "missed" if scene.direction == 1 else "failed",
        "user_id": talker,
        "users": list(dict.fromkeys(users)),
        "talk_seconds": scene.now - scene.talk_at if answered else 0,
    }


def _handed_to(scene: Scene) -> int | None:
    """The mapped user who received the client by the last completed transfer."""
    user = None
    for before, after in zip(scene.talked, scene.talked[1:], strict=False):
        if after != before:
            user = user_of(scene.office, after) or user
    return user


def _responsible(scene: Scene, ways: Ways, talker: int) -> int:
    handed = _handed_to(scene)
    if handed is not None and ways.transfer_responsible != "never":
        return handed
    line = scene.office.lines.get(scene.line, ("", None))[1]
    if line is not None:
        return line
    if ways.transfer_responsible == "never":  # the records stay with the user before the transfer
        return next((u for name in scene.talked if (u := user_of(scene.office, name)) is not None), talker)
    return talker


def _makes(scene: Scene, ways: Ways) -> list[str]:
    """The kinds of records created for an unknown client."""
    if scene.direction != 1:
        what = ways.outgoing
    elif scene.talk_at:
        what = ways.answered
    else:
        what = "contact" if ways.missed == "activity" else ways.missed
    if what == "lead" and ways.simple_crm:
        return ["contact", "deal"]
    return [] if what == "nothing" else [what]


def _failed(reason: int) -> str:
    return "402" if 2000 <= reason < 3000 else LOST_REASONS.get(reason, "304")


def _recorded(scene: Scene, rec: dict[str, Any]) -> int:
    """The user of a further recording: the recorded employee, or the default user of the office or portal."""
    return user_of(scene.office, rec["extension"]) or scene.office.default or PORTAL_DEFAULT
