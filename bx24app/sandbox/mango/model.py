"""The configuration of one product "Virtual PBX": its key and salt, lines, employees and groups.

These are plain data that tests and the demo fill in. `Board` makes a working PBX of them.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field


@dataclass
class Device:
    """One way to reach an employee. Each device that is on rings as a leg of its own."""

    number: str
    protocol: str = "sip"  # sip, tel, fmc
    on: bool = True


@dataclass
class Employee:
    """A person with an extension, or without one (`extension` is empty)."""

    extension: str
    name: str
    user_id: int
    email: str = ""
    mobile: str = ""
    department: str = ""
    position: str = ""
    devices: list[Device] = field(default_factory=list)
    recorded: bool = True


@dataclass
class Group:
    """Employees who ring together. An empty `extension` is allowed, as at Mango."""

    id: int
    extension: str
    name: str
    members: list[str] = field(default_factory=list)
    parallel: bool = True


@dataclass
class Line:
    """A number of the product. `leads_to` is the extension of the group or employee that its calls go to."""

    line_id: int
    number: str
    name: str = ""
    comment: str = ""
    region: str = "7"
    schema_name: str = "Основная схема"
    leads_to: str = ""


@dataclass
class Trunk:
    """A number of a SIP trunk (D26, 3.7.22). `options`: 2 receives calls, 4 makes calls, 6 does both."""

    trunk_number_id: int
    trunk_id: int
    number: str
    options: int = 6
    name: str = ""
    leads_to: str = ""


def _random_secret() -> str:
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(32))


@dataclass
class Pbx:
    """One product of a Mango account.

    Attributes:
        hook_url: address of the external system; the suffix of each notification is appended to it. Empty: nothing is
            sent.
        dialect: `vpbx` (signed forms) or `events` (short and unsigned).
        version: of the notifications; 2 adds the fields about transfers.
        code_style: how JSON is written: `compact` or `php`.
        numbers_as_text: whether whole numbers are sent as strings.
        suppressed_paths: notifications that the product does not send.
        trunks_as_addresses: notifications name a trunk as `sip:<number>@<domain>`, not by its number (open question).
        services_enabled: the option of the connector that the methods of schemes, files and trunks need.
        links_allowed: whether signed GET links to recordings work.
        allowed_addresses: patterns of the addresses that may use the REST API; empty: all.
    """

    name: str = "PBX"
    api_key: str = field(default_factory=_random_secret)
    api_salt: str = field(default_factory=_random_secret)
    product_id: int = 400000001
    client_id: int = 10000001
    lines: list[Line] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)
    employees: list[Employee] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    hook_url: str = ""
    balance: float = 1500.0
    dialect: str = "vpbx"
    version: int = 2
    code_style: str = "compact"  # or php
    numbers_as_text: bool = False
    sip_call_ids: bool = True
    suppressed_paths: set[str] = field(default_factory=set)
    trunks_as_addresses: bool = False
    services_enabled: bool = True
    links_allowed: bool = False
    allowed_addresses: list[str] = field(default_factory=list)

    @property
    def domain(self) -> str:
        """The SIP domain of the product. No two products share one."""
        return f"vpbx{self.product_id}.mangosip.ru"

    def add_line(self, number: str, name: str = "", leads_to: str = "") -> Line:
        """Adds a line. `leads_to` is the extension of a group or an employee; by default calls go to the first group.
        """
        line = Line(self.product_id * 10 + len(self.lines), number, name, leads_to=leads_to)
        self.lines.append(line)
        return line

    def add_trunk(self, number: str, name: str = "", *, options: int = 6, leads_to: str = "") -> Trunk:
        """Adds a number of a SIP trunk. `name` is its description in Mango's account."""
        trunk = Trunk(780 + len(self.trunks), 460, number, options, name, leads_to)
        self.trunks.append(trunk)
        return trunk

    def add_employee(
        self, extension: str, name: str, *, email: str = "", mobile: str = "", recorded: bool = True
    ) -> Employee:
        """Adds an employee with one SIP device `sip:user<extension>@<domain>`."""
        person = Employee(extension, name, self.product_id + 122 + len(self.employees), email, mobile)
        person.recorded = recorded
        person.devices.append(Device(f"sip:user{extension or len(self.employees)}@{self.domain}"))
        self.employees.append(person)
        return person

    def add_group(self, extension: str, name: str, members: list[str], *, parallel: bool = True) -> Group:
        """Adds a group of extensions."""
        group = Group(self.product_id * 10 + 500 + len(self.groups), extension, name, list(members), parallel)
        self.groups.append(group)
        return group

    def find_employee(self, party: str) -> Employee | None:
        """The employee with this extension, mobile number or device."""
        if not party:
            return None
        for person in self.employees:
            if party in (person.extension, person.mobile) or any(device.number == party for device in person.devices):
                return person
        return None

    def find_group(self, extension: str) -> Group | None:
        """The group with this extension. A group without an extension is looked up by its id."""
        return next(
            (group for group in self.groups if extension and extension in (group.extension, str(group.id))), None
        )

    def find_line(self, number: str) -> Line | Trunk | None:
        """The line or trunk with this number."""
        return next((line for line in self.all_lines if line.number == number), None)

    @property
    def all_lines(self) -> list[Line | Trunk]:
        """Lines, then trunks."""
        return [*self.lines, *self.trunks]

    @property
    def first_line(self) -> str:
        """The number of the first line, else of the first trunk; empty: there is neither."""
        return next((line.number for line in self.all_lines), "")

    def notified_line(self, number: str) -> str:
        """How notifications and statistics name the line or trunk with this number."""
        is_trunk = self.trunks_as_addresses and any(trunk.number == number for trunk in self.trunks)
        return f"sip:{number}@{self.domain}" if is_trunk else number

    def find_outgoing_line(self, named: str) -> Line | Trunk | None:
        """The line that a command names: a SIP line by its name and not by its address (D26, 3.2.1)."""
        lines = (line for line in self.lines if named == (line.name if line.region.startswith("sip") else line.number))
        return next(lines, None) or next((trunk for trunk in self.trunks if named == trunk.number), None)
