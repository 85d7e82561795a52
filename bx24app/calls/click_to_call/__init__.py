"""Click-to-call and form callbacks: the portal asks for a call, and the app sends one command to Mango, at most once.

The portal registers a clicked call itself and opens its card, so the app dials and finishes it but never registers it.
A form callback has no call in the portal yet: the fold registers it when the first employee's phone rings. Mango's
answer, a `result/*` notification or a leg with our command id shows what happened to the command. If none of them comes
within twenty seconds after a lost answer, the call has failed.

The way of a call, in the order of the modules: `portal_event` parses the portal's event; `origin` finds the PBX, the
line and the employee; `start` creates the call with its command; `dial` sends the command; `progress` watches it until
the PBX shows a leg. From then on the fold decides.
"""

from bx24app.calls.click_to_call.dial import (
    DialOrder,
    DialOutcome,
    claim_dial_orders,
    recover_lost_dials,
    send_dial_order,
    store_dial_outcome,
)
from bx24app.calls.click_to_call.progress import update_progress
from bx24app.calls.click_to_call.start import COMMAND_ID_PREFIX, report_failure, start_calls

__all__ = [
    "COMMAND_ID_PREFIX",
    "DialOrder",
    "DialOutcome",
    "claim_dial_orders",
    "recover_lost_dials",
    "report_failure",
    "send_dial_order",
    "start_calls",
    "store_dial_outcome",
    "update_progress",
]
