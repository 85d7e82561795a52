"""Which handler answers which path of the REST side."""

from __future__ import annotations

from bx24app.sandbox.mango import commands, queries, recordings, statistics
from bx24app.sandbox.mango.rest import Handler

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
