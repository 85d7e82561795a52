"""A Mango Office cloud PBX to play with: REST, statistics, recordings, notifications, simulated calls."""

from bx24app.sandbox.mango import simulation
from bx24app.sandbox.mango.board import Board, Played
from bx24app.sandbox.mango.cloud import MangoCloud
from bx24app.sandbox.mango.faults import Faults
from bx24app.sandbox.mango.model import Device, Employee, Group, Line, Pbx
from bx24app.sandbox.mango.plans import Party, Plan, Signal
from bx24app.sandbox.mango.rest import RestFault
from bx24app.sandbox.mango.sequences import Cast, Notice

__all__ = ["Board", "Cast", "Device", "Employee", "Faults", "Group", "Line", "MangoCloud", "Notice", "Party", "Pbx", "Plan", "Played", "RestFault", "Signal", "simulation"]
