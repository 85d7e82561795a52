"""The program decides by codes beside the texts of problems; codes are filled in from today's texts while others write.

The fill takes rows in small steps and skips rows that somebody else holds. What it leaves without a code, and what
older versions go on writing beside this one, is understood by its text: see `bx24app.models.problem_codes`.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0017"
down_revision = "0016"

_COLUMNS = (("recording", "problem_code"), ("call", "problem_delivery"), ("pbx", "ask_problem_code"))
_STEP = 500
_RECORDING_TEXTS = {
    "portal_budget": "the portal's request budget is used up",
    "portal_disk": "the portal's disk is full",
}
_ADDRESS_REFUSED = "Mango refuses this server's address, or has locked it out for two minutes after wrong requests."


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        _add_columns()
        _fill()
        return
    # Each statement is a transaction of its own: locks on several tables at once could meet a sweep's in the other
    # order.
    with op.get_context().autocommit_block():
        _add_columns(if_not_exists=True)
        if not context.is_offline_mode():
            _fill()


def downgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        _drop_columns()
        return
    with op.get_context().autocommit_block():
        _drop_columns(if_exists=True)


def _add_columns(**options: bool) -> None:
    for table, name in _COLUMNS:
        op.add_column(table, sa.Column(name, sa.String(), nullable=True), **options)


def _drop_columns(**options: bool) -> None:
    for table, name in _COLUMNS:
        op.drop_column(table, name, **options)


def _fill() -> None:
    _fill_recordings()
    _fill_calls()
    pbx = sa.table("pbx", sa.column("ask_problem"), sa.column("ask_problem_code"))
    op.execute(pbx.update().where(pbx.c.ask_problem == _ADDRESS_REFUSED).values(ask_problem_code="address_refused"))


def _fill_recordings() -> None:
    """Those that wait: of the others nobody asks why they once waited."""
    names = ("id", "due_at", "problem", "problem_code")
    recording = sa.table("recording", *(sa.column(name) for name in names))
    for code, problem in _RECORDING_TEXTS.items():
        waiting = sa.select(recording.c.id).where(
            recording.c.due_at.is_not(None), recording.c.problem == problem, recording.c.problem_code.is_(None)
        )
        step = waiting.limit(_STEP).with_for_update(skip_locked=True)
        fill = recording.update().where(recording.c.id.in_(step)).values(problem_code=code)
        while op.get_bind().execute(fill).rowcount:
            pass


def _fill_calls() -> None:
    """Calls whose problem is the refusal of a delivery name that delivery.

    One row a statement, so that no two locks are held together.
    """
    call = sa.table("call", *(sa.column(name) for name in ("id", "problem", "problem_delivery")))
    delivery = sa.table("delivery", *(sa.column(name) for name in ("id", "call_id", "key", "kind", "state", "reason")))
    refused = (
        sa.select(delivery.c.id, delivery.c.call_id, delivery.c.key, delivery.c.reason)
        .join(call, call.c.id == delivery.c.call_id)
        .where(delivery.c.state == "dead", delivery.c.kind.in_(("Register", "Finish")))
        .where(delivery.c.reason == call.c.problem)
        .order_by(delivery.c.id)
        .limit(_STEP)
    )
    last = 0
    while rows := op.get_bind().execute(refused.where(delivery.c.id > last)).all():
        for row in rows:
            same = (call.c.id == row.call_id, call.c.problem == row.reason, call.c.problem_delivery.is_(None))
            op.get_bind().execute(call.update().where(*same).values(problem_delivery=row.key))
        last = rows[-1].id
