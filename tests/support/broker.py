"""The insurance broker: three offices in three cities, with three PBXs on one portal and one group of operators.

Everything that may repeat across PBXs does: extensions, groups, and the ids of entries, legs and recordings.
A test creates a `Broker` on a `World`, gives it settings with `rule`, plays calls with `ring`, and reads the results
from the sandbox portal and from the journal.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bx24app.domain.settings import Settings
from bx24app.models import Call, db
from bx24app.sandbox.bitrix.state import TODO_PROVIDER, Record, Statistic
from bx24app.sandbox.mango import Board, Party, Pbx, PbxNotification, Plan, Signal, simulation
from bx24app.sandbox.mango.calls import Call as SandboxCall
from bx24app.sandbox.mango.ids import IdFactory
from tests.support.stack import World, until

SPEED = 100.0
NEW = "104"
"""The extension of an employee who is not in the mapping yet."""
SILENT = Party(None, 20.0)
OfficeNotification = tuple[str, PbxNotification]
"""The key of a PBX and a notification that it sends."""


@dataclass(frozen=True)
class Office:
    """The office of one city. `staff`: extension -> user id; `manager`: the user responsible for the line."""

    key: str
    name: str
    line: str
    line_number: str
    manager: int
    default: int
    staff: dict[str, int] = field(default_factory=dict)


MOSCOW = Office("moscow", "Москва", "74951234567", "MSK", 21, 41, {"101": 11, "102": 12})
KRASNODAR = Office("krasnodar", "Краснодар", "78612345678", "KRD", 22, 42, {"101": 13, "102": 14, "201": 22})
SIBERIA = Office("novosibirsk", "Новосибирск", "73832345678", "NSK", 23, 43, {"101": 15, "102": 16, "301": 23})
OFFICES = (MOSCOW, KRASNODAR, SIBERIA)
_clients = itertools.count(79_161_000_000)


def document(responsible: bool = True, **calls: Any) -> Settings:
    """The broker's settings. Without `responsible` the lines name nobody, so the talker becomes responsible."""
    return Settings.model_validate(
        {
            "calls": calls,
            "pbxs": [
                {
                    "key": office.key,
                    "name": office.name,
                    "default_user_id": office.default,
                    "lines": [
                        {
                            "number": office.line,
                            "line_number": office.line_number,
                            "name": f"{office.name}, офис",
                            "responsible": {"users": [office.manager] if responsible else []},
                        }
                    ],
                    "employees": [{"extension": e, "user_id": user} for e, user in office.staff.items()],
                }
                for office in OFFICES
            ],
        }
    )


def _collect(notifications: list[OfficeNotification], key: str, notification: PbxNotification) -> None:
    notifications.append((key, notification))


class Broker:
    """The three running PBXs, and access to what the portal stores about their calls."""

    def __init__(self, earth: World) -> None:
        self.earth = earth
        self.boards: dict[str, Board] = {}
        earth.sandbox.call(earth.add_users, [11, 12, 13, 14, 15, 16, 21, 22, 23, 41, 42, 43])
        for office in OFFICES:
            self.boards[office.key] = earth.sandbox.call(self._open, office)

    def _open(self, office: Office) -> Board:
        pbx = Pbx(name=office.name, client_id=10_000_001, product_id=400_000_001)
        board = self.earth.mango.add_pbx(pbx)
        board.ids = IdFactory(26_000_000_001)  # every product counts from the same number
        pbx.add_line(office.line, office.name, leads_to="300")
        for extension in [*office.staff, NEW]:
            pbx.add_employee(extension, f"{office.name} {extension}")
        pbx.add_group("300", "Operators", ["101", "102"])
        return board

    def rule(self, settings: Settings) -> None:
        """Save these settings in the portal and give every PBX its hook address."""
        keys = {office.key: (self.pbx(office).api_key, self.pbx(office).api_salt) for office in OFFICES}
        for key, hook in self.earth.connect(settings, keys).items():
            self.boards[key].pbx.hook_url = hook

    def pbx(self, office: Office) -> Pbx:
        return self.boards[office.key].pbx

    def ring(self, office: Office, **plan: Any) -> tuple[str, str]:
        """Play an incoming call to its end, as `plan` says. Returns the client's number (E.164) and the entry id."""
        client = plan.pop("client", None) or str(next(_clients))
        call_plan = Plan(client=client, **{"ivr": 0, "speed": SPEED, "record_delay": 2.0, **plan})
        call: SandboxCall = self.earth.sandbox.call(self._run_call, self.boards[office.key], call_plan)
        return f"+{client}", call.entry_id

    async def _run_call(self, board: Board, plan: Plan) -> SandboxCall:
        call = simulation.incoming(board, plan)
        while any(running.tasks for running in self.boards.values()):
            await asyncio.sleep(0.01)
        for running in self.boards.values():
            await running.sender.wait_until_idle()
        return call

    def ring_unsent(self, office: Office, **plan: Any) -> tuple[str, str, list[OfficeNotification]]:
        """As `ring`, but the app receives nothing. Also returns the notifications, sorted by time, for `send`."""
        notifications: list[OfficeNotification] = []
        for key, board in self.boards.items():
            collect = partial(_collect, notifications, key)
            board.sender.submit = collect  # type: ignore[method-assign]
        try:
            client, entry = self.ring(office, **plan)
        finally:
            for board in self.boards.values():
                del board.sender.submit  # type: ignore[method-assign]
        return client, entry, sorted(notifications, key=lambda pair: pair[1].at)

    def send(self, notifications: list[OfficeNotification]) -> None:
        """Send these notifications one after the other, in this order."""
        self.earth.sandbox.call(self._send, notifications)

    def send_slowly(self, notifications: list[OfficeNotification]) -> None:
        """As `send`, but wait after each notification until the portal has answered.

        On a real PBX seconds pass between two notifications, too.
        """
        for notification in notifications:
            self.send([notification])
            until(
                lambda: not {"notifications", "deliveries"} & self.earth.pending().keys(), "the portal did not answer"
            )

    async def _send(self, notifications: list[OfficeNotification]) -> None:
        for key, notice in notifications:
            await self.boards[key].sender._post_notification(notice)

    # --- what the portal stores ---------------------------------------------------------------------------------------

    def rows(self, client: str) -> dict[str, Statistic]:
        """The portal's statistics rows of one client, by EXTERNAL_CALL_ID."""
        rows = [row for row in self.earth.portal.statistics.values() if row.phone.lstrip("+") == client[1:]]
        return {row.external_id or "": row for row in sorted(rows, key=lambda row: row.id)}

    def journal(self, external_id: str) -> Call:
        """The journal's row of a call, by `<pbx key>:<entry id>`."""
        key, _, entry = external_id.partition(":")
        with self.earth.app.app_context():
            call = db.session.query(Call).filter_by(pbx_key=key, entry_id=entry).one()
            db.session.expunge_all()
            db.session.rollback()
            return call

    def records(self, client: str) -> list[Record]:
        """All CRM records with this telephone number."""
        records = [record for table in self.earth.portal.crm.records.values() for record in table.values()]
        return [record for record in records if any(client[1:] == phone.lstrip("+") for phone in record.phones)]

    def responsible(self, client: str) -> list[int]:
        """The responsible user of each of the client's records."""
        return [record.assigned_by_id for record in self.records(client)]

    def todos(self, client: str) -> list[int]:
        """The responsible users of the to-dos on the client's records."""
        keys = {item.key for item in self.records(client)}
        activities = [item for item in self.earth.portal.activities.values() if keys & set(item.bindings)]
        return [item.responsible_id for item in activities if item.provider_id == TODO_PROVIDER]

    def recording_size(self, office: Office, entry_id: str, extension: str) -> int:
        """Size in bytes of the recording that this PBX stores of an employee's talk."""
        facts = self.boards[office.key].call_log.entries[entry_id]
        return next(recording.file_size for recording in facts.recordings.values() if recording.extension == extension)

    def file_size(self, row: Statistic) -> int | None:
        """Size in bytes of the file attached to a portal call; None if there is no file."""
        return self.earth.portal.files[row.file_id].size if row.file_id is not None else None


def blind(to: str, **how: Any) -> Signal:
    """A blind transfer, after eight seconds of talk, to an extension or to another office's line."""
    return Signal("blind", after=8.0, to=to, **how)


__all__ = [
    "KRASNODAR",
    "MOSCOW",
    "NEW",
    "OFFICES",
    "SIBERIA",
    "SILENT",
    "Broker",
    "Office",
    "OfficeNotification",
    "Party",
    "blind",
    "document",
]
