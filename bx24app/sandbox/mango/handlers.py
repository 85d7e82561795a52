"""Maps each path of the VPBX API to the function that answers it. A path that is not listed is answered with 404."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import commands, queries, recordings, statistics
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.rest import Handler, RequestRefused

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

_MANAGEMENT = (
    "schema/set", "roles", "sips", "domains",
    "member/create", "member/update", "member/delete", "group/create", "group/update", "group/delete",
)  # fmt: skip


async def _refuse_management(_cloud: MangoCloud, _board: Board, _body: dict[str, Any]) -> dict[str, Any]:
    """Management of the product needs a paid option, which no product has here."""
    raise RequestRefused(5201, "the option is switched off")


HANDLERS: dict[str, Handler] = {
    "commands/callback": commands.order_callback,
    "commands/callback_group": commands.order_group_callback,
    "commands/call/hangup": commands.hang_up,
    "commands/route": commands.route_call,
    "commands/transfer": commands.transfer_call,
    "commands/transfer_cancel": commands.cancel_transfer,
    "commands/call/hold/on": commands.hold_call,
    "commands/recording/start": commands.start_recording,
    "commands/sms": commands.send_sms,
    "queries/recording/post": recordings.post_recording,
    "config/users/request": queries.query_users,
    "groups": queries.query_groups,
    "incominglines": queries.query_lines,
    "trunks/numbers": queries.query_trunks,
    "schemas": queries.query_schemas,
    "audiofiles": queries.query_audio_files,
    "account/balance": queries.query_balance,
    "queries/user_info_by_dct_number": queries.query_visitor,
    "queries/user_history_by_dct_number": queries.query_visits,
    "stats/request": statistics.order_rows,
    "stats/result": statistics.answer_rows,
    "stats/calls/request": statistics.order_calls,
    "stats/calls/result": statistics.answer_calls,
}
HANDLERS |= dict.fromkeys(_MANAGEMENT, _refuse_management)
