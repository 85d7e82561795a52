"""USE CASE: click-to-call and form callback: what the portal asks for becomes one command to Mango, sent at most once.

A clicked call was registered by the portal itself, which opened its card: we dial and finish it, never register. A form callback has
no call yet: it is registered when the first employee rings. What became of the command is decided by Mango's answer, by
`result/*`, or by a leg that carries our command id; twenty seconds after a lost answer, without any of them, the call has failed.

`asked`: what the portal says. `places`: which PBX, line and employee dial. `starting`: the event becomes a call with a command.
`dialling`: the command leaves. `following`: what became of it, until the PBX shows a leg; from then on the fold decides.
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
from bx24app.calls.click_to_call.start import start_calls

__all__ = ["DialOrder", "DialOutcome", "claim_dial_orders", "recover_lost_dials", "send_dial_order", "start_calls", "store_dial_outcome", "update_progress"]
