"""Two offices on one portal whose PBXs dial what the portal requests: clicks on numbers and callbacks of web forms.

A test gets an `Offices` from `offices(world)`. It clicks or fills in a form, and then reads the result on both sides:
the commands that Mango accepted, and the calls that the portal and the journal have.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bx24app.domain.settings import EmployeeSettings, LineResponsible, LineSettings, PbxSettings, Settings
from bx24app.infra import queue
from bx24app.models import Call, Delivery, db, utcnow
from bx24app.portals import external_lines
from bx24app.sandbox.bitrix.state import Statistic
from bx24app.sandbox.mango import Board, Plan
from bx24app.sandbox.mango.plans import Party, Signal
from bx24app.sandbox.mango.rest import RestFault
from tests.support.stack import World, until

MOSCOW, KRASNODAR = "74950000001", "78610000001"
MOBILE = "79031112233"
ANNA, BORIS, VERA, NOBODY = 11, 12, 13, 22
KEYS = {"moscow": ("m" * 32, "s" * 32), "krasnodar": ("k" * 32, "t" * 32)}
_numbers = itertools.count(1)

DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow",
            name="Moscow office",
            dialects=("vpbx",),
            default_user_id=9,
            lines=(
                LineSettings(
                    number=MOSCOW, name="Moscow", callback_to="500", responsible=LineResponsible(users=(VERA,))
                ),
                LineSettings(number="74950000002", name="Moscow, shop", callback_to="101"),
            ),
            employees=(
                EmployeeSettings(extension="101", user_id=ANNA, numbers=(MOBILE,)),
                EmployeeSettings(extension="102", user_id=BORIS),
            ),
        ),
        PbxSettings(
            key="krasnodar",
            name="Krasnodar office",
            dialects=("vpbx",),
            lines=(LineSettings(number=KRASNODAR, name="Krasnodar"),),
            employees=(
                EmployeeSettings(extension="201", user_id=VERA),
                EmployeeSettings(extension="202", user_id=BORIS),
            ),
        ),
    )
)


def number() -> str:
    """The number (E.164) of a client that no earlier test used."""
    return f"+7917{next(_numbers):07d}"


PICKS_UP_LATER = Party(9_000.0)
"""A party who does not pick up before the test says so."""


@dataclass
class Offices:
    """Both PBXs, and the portal whose users click."""

    earth: World
    moscow: Board
    krasnodar: Board

    def plan(self, **how: Any) -> None:
        """Set how the next calls proceed on both PBXs."""
        for board in (self.moscow, self.krasnodar):
            board.plan = Plan(**{"speed": float("inf"), "talk": 7.0} | how)

    def click(self, user: int, client: str, **how: Any) -> str:
        """A user clicks on a number in the portal. Returns the portal's CALL_ID."""
        return str(self.earth.sandbox.call(lambda: self.earth.portal.click_to_call(user, client, **how)))

    def form(self, client: str, **how: Any) -> None:
        self.earth.sandbox.call(lambda: self.earth.portal.form_callback(client, **how))

    def dialled(self, client: str) -> list[dict[str, Any]]:
        """The commands that Mango accepted for this client."""
        digits = client.removeprefix("+")
        return [body for _, body in self.earth.mango.commands if digits in (body.get("to_number"), body.get("to"))]

    def rows(self, client: str) -> list[Statistic]:
        """The portal's finished calls with this client."""
        digits = client.removeprefix("+")
        return [row for row in list(self.earth.portal.statistics.values()) if row.phone.lstrip("+") == digits]

    def notices_to(self, user: int, client: str) -> list[str]:
        """The portal's notices to this user that name this client."""
        notes = list(self.earth.portal.notifications.values())
        return [note.message for note in notes if note.user_id == user and client in note.message]

    def finished(self, client: str, calls: int = 1) -> list[Statistic]:
        """Wait until the portal has `calls` finished calls with this client and nothing is pending; return them."""
        until(lambda: len(self.rows(client)) >= calls, lambda: f"not finished: {self.state(client)}", 60)
        self.rest()
        digits = client.removeprefix("+")
        assert not [call for call in self.earth.portal.calls.values() if call.phone.lstrip("+") == digits]
        return self.rows(client)

    def wait_for_notifications(self) -> None:
        """Wait until the app has folded every notification that Mango sent."""
        self.earth.sandbox.call(self.earth.mango.wait_until_idle)
        until(lambda: "notifications" not in self.earth.pending(), lambda: str(self.earth.pending()))

    def rest(self) -> None:
        self.earth.sandbox.call(self.earth.mango.wait_until_idle)
        self.earth.settle(45)

    def call(self, client: str) -> dict[str, Any]:
        """The newest call with this client in the journal."""
        return self.calls(client)[-1]

    def calls(self, client: str) -> list[dict[str, Any]]:
        with self.earth.app.app_context():
            rows = db.session.query(Call).filter_by(client_number=client).order_by(Call.id).all()
            names = ("id", "state", "outcome", "direction", "pbx_key", "entry_id", "user_id", "problem", "command_id")
            calls = [{name: getattr(row, name) for name in names} for row in rows]
            db.session.rollback()
            return calls

    def state(self, client: str) -> list[dict[str, Any]]:
        """The calls of this client with their deliveries, for the message of a failed test."""
        with self.earth.app.app_context():
            calls = []
            for call in self.calls(client):
                rows = db.session.query(Delivery).filter_by(call_id=call["id"]).all()
                calls.append({**call, "deliveries": [(row.key, row.state, row.code, row.reason) for row in rows]})
            db.session.rollback()
            return calls

    def dial(self, client: str) -> tuple[str, dict[str, Any] | None]:
        """State and answer of the command to Mango; ("", None) if there is none."""
        with self.earth.app.app_context():
            row = (
                db.session.query(Delivery)
                .join(Call, Call.id == Delivery.call_id)
                .filter(Call.client_number == client, Delivery.kind == "Dial")
                .one_or_none()
            )
            dial = (row.state, row.answer) if row else ("", None)
            db.session.rollback()
            return dial

    def later(self, client: str, seconds: float) -> None:
        """Make the call with this client and its command older by `seconds`, and wake the portal."""
        ago = timedelta(seconds=seconds)
        with self.earth.app.app_context():
            for call in db.session.query(Call).filter_by(client_number=client):
                call.due_at = utcnow()
                call.started_at -= ago
                for row in db.session.query(Delivery).filter_by(call_id=call.id, kind="Dial"):
                    row.sent_at = row.sent_at - ago if row.sent_at else None
            db.session.commit()
            queue.wake_portal(self.earth.portal_row()["id"])

    def ringing(self, client: str) -> None:
        """Wait until telephones of employees ring for this call."""
        until(lambda: self._live(client), lambda: f"nothing rings: {self.state(client)}")

    def pick_up(self, client: str, extension: str) -> None:
        """The employee with this extension answers."""
        self.earth.sandbox.call(lambda: self._live(client)[0].signals.put_nowait(Signal("answer", to=extension)))

    def _live(self, client: str) -> list[Any]:
        running = [*self.moscow.calls.values(), *self.krasnodar.calls.values()]
        return [call for call in running if call.plan.client == client.removeprefix("+") and call.legs]

    @contextmanager
    def broken(self, path: str, kind: str, value: float = 0, times: int = -1) -> Iterator[None]:
        """Break Mango's answers to this path, `times` times; -1: until the end of the block."""
        self.earth.mango.rest_faults[path] = RestFault(kind, value, times)
        try:
            yield
        finally:
            self.earth.mango.rest_faults.pop(path, None)


def offices(earth: World) -> Offices:
    """Connect both offices and wait until the portal knows their lines."""
    earth.sandbox.call(earth.add_users, sorted({9, ANNA, BORIS, VERA, NOBODY} - set(earth.portal.users)))
    hooks = earth.connect(DOCUMENT, KEYS)
    boards = [earth.sandbox.call(_board, earth, key, hooks[key]) for key in ("moscow", "krasnodar")]
    wanted = {line.bitrix_number for pbx in DOCUMENT.pbxs for line in pbx.lines}
    with earth.app.app_context():
        external_lines.sync_lines(earth.portal_row()["id"])
        db.session.remove()
    until(lambda: wanted <= {line.number for line in list(earth.portal.lines.values())}, "the portal has no lines")
    return Offices(earth, *boards)


def _board(earth: World, key: str, hook: str) -> Board:
    api_key, salt = KEYS[key]
    if api_key in earth.mango.boards:
        return earth.mango.boards[api_key]
    board = earth.mango.add_pbx(name=key, api_key=api_key, api_salt=salt, hook_url=hook)
    document = next(pbx for pbx in DOCUMENT.pbxs if pbx.key == key)
    for line in document.lines:
        board.pbx.add_line(line.number, line.name)
    for employee in document.employees:
        mobile = employee.numbers[0] if employee.numbers else ""
        board.pbx.add_employee(employee.extension, f"Worker {employee.extension}", mobile=mobile, recorded=False)
    if key == "moscow":
        board.pbx.add_group("500", "Sales", ["101", "102"])
    return board
