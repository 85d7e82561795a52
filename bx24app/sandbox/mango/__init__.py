"""A simulated Mango Office: PBX products with the REST API, statistics, recordings, notifications and calls.

The package stands for the VPBX API as Mango's documentation describes it. It checks requests as strictly as the real
service. Tests, benchmarks and the demo create a `MangoCloud`, add products to it and let calls happen.
"""

from bx24app.sandbox.mango import simulation
from bx24app.sandbox.mango.board import Board, PlayedSequence
from bx24app.sandbox.mango.cloud import MangoCloud
from bx24app.sandbox.mango.faults import Faults
from bx24app.sandbox.mango.model import Device, Employee, Group, Line, Pbx
from bx24app.sandbox.mango.plans import Party, Plan, Signal
from bx24app.sandbox.mango.rest import RestFault
from bx24app.sandbox.mango.sequences import Participants, PbxNotification

__all__ = [
    "Board", "Device", "Employee", "Faults", "Group", "Line", "MangoCloud", "Participants", "Party", "Pbx",
    "PbxNotification", "Plan", "PlayedSequence", "RestFault", "Signal", "simulation",
]  # fmt: skip
