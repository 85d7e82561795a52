"""Which handler answers which path of the REST side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import commands, queries, recordings, statistics
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.rest import Handler, Refused

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

_MANAGEMENT = (
    "schemas", "schema/set", "audiofiles", "roles", "sips", "domains", "trunks/numbers", "member/create", "member/update",
    "member/delete", "group/create", "group/update", "group/delete",
)  # fmt: skip


async def _switched_off(_cloud: MangoCloud, _board: Board, _body: dict[str, Any]) -> dict[str, Any]:
    """Management needs an option of the product that nobody has bought here."""
    raise Refused(5201, "the option is switched off")


HANDLERS: dict[str, Handler] = {
    "commands/callback": commands.callback,
    "commands/callback_group": commands.callback_group,
    "commands/call/hangup": commands.hangup,
    "commands/route": commands.route,
    "commands/transfer": commands.transfer,
    "commands/transfer_cancel": commands.transfer_cancel,
    "commands/call/hold/on": commands.hold,
    "commands/recording/start": commands.record,
    "commands/sms": commands.sms,
    "queries/recording/post": recordings.post,
    "config/users/request": queries.users,
    "groups": queries.groups,
    "incominglines": queries.lines,
    "account/balance": queries.balance,
    "queries/user_info_by_dct_number": queries.visitor,
    "queries/user_history_by_dct_number": queries.visits,
    "stats/request": statistics.order_rows,
    "stats/result": statistics.rows,
    "stats/calls/request": statistics.order_calls,
    "stats/calls/result": statistics.calls,
}
HANDLERS |= dict.fromkeys(_MANAGEMENT, _switched_off)
