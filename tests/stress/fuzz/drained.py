"""After each input that was taken: a drain, which leaves nothing and sets nothing aside, and a good call that goes on.

Answers of the portal and entries of the statistics are given to the program here, as the drain and the reconciliation
give them.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import delete, func, select

from bx24app.calls import drain
from bx24app.calls.outbox.batch import Batch, BatchItem
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.calls.reconciliation import missing_calls
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, Recording, SetAside, db, utcnow
from tests.conftest import KEY, SALT
from tests.stress.fuzz.target import FuzzTarget, Shot, Wrong

_numbers = itertools.count()


class DrainedTarget:
    """A target whose portal is drained after each input. Nothing leaves: the drain only stores and folds."""

    def __init__(self, target: FuzzTarget) -> None:
        self.target, self.inputs = target, 0

    def fire(self, shot: Shot) -> None:
        """Send a notification or an event, then drain. Raises `Wrong`."""
        self.target.fire(shot)
        self._drain_and_judge(shot)

    def answer(self, result: Any) -> None:
        """The portal answers this to every command that waits, in one batch. Raises `Wrong`."""
        with self.target.app.app_context():
            at = utcnow()
            waiting = select(Delivery).where(Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS))
            rows = db.session.scalars(waiting.order_by(Delivery.id.desc()).limit(6)).all()
            items = [BatchItem(row.id, row.call_id, from_json(row.kind, row.command)) for row in rows]
            for row in rows:
                row.state, row.sent_at, row.attempts, row.due_at = "sent", at, 1, None
            db.session.commit()
            outcome = BatchOutcome(Batch(items, is_shared=True, claimed_at=at))
            outcome.answers = {item.delivery_id: result for item in items}
        self._drain_and_judge(result, outcome)

    def compare(self, entry: dict[str, Any]) -> None:
        """The statistics name this entry. Raises `Wrong`."""
        with self.target.app.app_context():
            pbx_id = db.session.scalars(select(Pbx.id)).one()
            db.session.rollback()
            try:
                missing_calls.store_missing(self.target.portal_id, pbx_id, missing_calls.read_calls([entry]))
            except Exception as error:
                raise Wrong(f"{type(error).__name__} in the reconciliation\n{entry!r:.2000}") from error
        self._drain_and_judge(entry)

    def _drain_and_judge(self, what: Any, *outcomes: BatchOutcome) -> None:
        self.inputs += 1
        try:
            self._drain(what, outcomes)
            self._demand_a_good_call(what)
        except Wrong:
            raise
        except Exception as error:
            raise Wrong(f"{type(error).__name__} {error} in the drain\n{what!r:.2000}") from error

    def _drain(self, what: Any, outcomes: tuple[BatchOutcome, ...] = ()) -> None:
        with self.target.app.app_context():
            while drain._run_step(self.target.portal_id, outcomes, None).has_more:
                outcomes = ()
            waiting = db.session.scalar(select(func.count()).where(Notification.state == "new"))
            aside = db.session.scalars(select(SetAside)).first()
            reason = aside.reason if aside is not None else ""
            db.session.remove()
        if waiting or aside is not None:
            raise Wrong(f"{waiting} left, set aside: {reason}\n{what!r:.2000}")

    def _demand_a_good_call(self, what: Any) -> None:
        entry = f"good-{next(_numbers)}"
        leg = {"entry_id": entry, "call_id": entry, "timestamp": 1776060000, "seq": 1, "call_state": "Appeared",
               "location": "abonent", "from": {"number": "79169999999"}, "to": {"extension": "101"}}  # fmt: skip
        raw = json.dumps(leg)
        sign = hashlib.sha256(f"{KEY}{raw}{SALT}".encode()).hexdigest()
        body = urlencode({"vpbx_api_key": KEY, "sign": sign, "json": raw}).encode()
        kind = "application/x-www-form-urlencoded"
        status = self.target.fire(Shot("POST", f"{self.target.hook}/events/call", "", body, kind), is_bad=False)
        self._drain(what)
        with self.target.app.app_context():
            call = db.session.scalars(select(Call).where(Call.entry_id == entry)).one_or_none()
            kinds = set(db.session.scalars(select(Delivery.kind).where(Delivery.call_id == call.id))) if call else set()
            db.session.execute(delete(Call).where(Call.entry_id == entry))  # else each drain would read it again
            db.session.execute(delete(Notification).where(Notification.entry_id == entry))
            db.session.commit()
            db.session.remove()
        if status != 200 or "Register" not in kinds:
            raise Wrong(f"a good call did not get through: {status}, {kinds}\n{what!r:.2000}")
        self.target.figures.good_calls += 1

    def count_rows(self) -> dict[str, int]:
        """How much the inputs left in the tables, so that a run shows that they got far."""
        with self.target.app.app_context():
            tables = {"calls": Call, "deliveries": Delivery, "notifications": Notification, "recordings": Recording}
            counts: dict[str, int] = {}
            for name, table in tables.items():
                counts[name] = db.session.scalar(select(func.count()).select_from(table)) or 0
            joined = select(func.count()).where(Call.entry_id.like("joined:%"))
            counts["hidden"] = db.session.scalar(joined) or 0
            assert db.session.get_one(Portal, self.target.portal_id).state == "active"
            db.session.remove()
        return counts
