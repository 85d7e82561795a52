"""The REST queries of the configuration (employees, groups, lines, balance) and of the visitor behind a tracking
number.

Each function answers one path; `handlers` registers them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.model import Employee, Pbx
from bx24app.sandbox.mango.rest import RequestRefused, require_fields

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud


async def query_users(_cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`config/users/request`. Its answer has no `result`."""
    extension = body.get("extension")
    extra = body.get("ext_fields") or []
    people = [person for person in board.pbx.employees if extension in (None, "", person.extension)]
    return {"users": [_user_row(board, person, set(extra)) for person in people]}


def _user_row(board: Board, person: Employee, extra: set[str]) -> dict[str, Any]:
    general: dict[str, Any] = {
        "name": person.name,
        "email": person.email,
        "department": person.department,
        "position": person.position,
    }
    more = {
        "user_id": person.user_id,
        "access_role_id": 2,
        "mobile": person.mobile,
        "login": person.email.split("@")[0],
        "use_status": 0,
        "use_cc_numbers": 0,
        "sips": [{"number": device.number} for device in person.devices if device.protocol == "sip"],
    }
    general |= {key: value for key, value in more.items() if f"general.{key}" in extra}
    numbers = [(device.number, device.protocol, device.on) for device in person.devices]
    if person.mobile and all(number != person.mobile for number, _, _ in numbers):
        numbers.append((person.mobile, "tel", False))
    line = board.pbx.first_line
    telephony: dict[str, Any] = {
        "extension": person.extension,
        "outgoingline": line,
        "numbers": [
            {
                "number": number,
                "number_normalized": number,
                "protocol": protocol,
                "order": str(order),
                "wait_sec": 60,
                "status": "on" if on else "off",
            }
            for order, (number, protocol, on) in enumerate(numbers)
        ],
    }
    if "telephony.dial_alg" in extra:
        telephony["dial_alg"] = 1
    if "telephony.line_id" in extra and board.pbx.lines:
        telephony["line_id"] = board.pbx.lines[0].line_id
    user: dict[str, Any] = {"general": general, "telephony": telephony}
    if "groups" in extra:
        user["groups"] = [group.id for group in board.pbx.groups if person.extension in group.members]
    return user


async def query_groups(_cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`groups`; all filters are optional."""
    pbx = board.pbx
    out = []
    for group in pbx.groups:
        members = [pbx.find_employee(extension) for extension in group.members]
        operators = [
            {"id": person.user_id, "name": person.name, "extension": person.extension, "priority": 1, "order": order}
            for order, person in enumerate(person for person in members if person)
        ]
        if "group_id" in body and int(body["group_id"]) != group.id:
            continue
        if "operator_id" in body and all(operator["id"] != int(body["operator_id"]) for operator in operators):
            continue
        if "operator_extension" in body and str(body["operator_extension"]) not in group.members:
            continue
        out.append(
            {
                "id": group.id,
                "name": group.name,
                "description": "",
                "extension": group.extension,
                "dial_alg_group": 2 if group.parallel else 0,
                "dial_alg_users": 1,
                "auto_redirect": 0,
                "auto_dial": 0,
                "line_id": pbx.lines[0].line_id if pbx.lines else 0,
                "use_dynamic_ivr": 0,
                "use_dynamic_seq_num": 0,
                "melody_id": 1,
            }
            | ({} if str(body.get("show_users", 1)) == "0" else {"operators": operators})
        )
    return {"result": 1000, "groups": out}


async def query_lines(_cloud: MangoCloud, board: Board, _body: dict[str, Any]) -> dict[str, Any]:
    """`incominglines` (D26, 3.7.7): without the numbers of SIP trunks; 3300 where there are none."""
    if not board.pbx.lines:
        raise RequestRefused(3300, "the object does not exist")
    return {
        "result": 1000,
        "lines": [
            {
                "line_id": line.line_id,
                "number": line.number,
                "name": line.name or None,
                "comment": line.comment or None,
                "region": line.region,
                "schema_id": _schema_id(board.pbx),
                "schema_name": line.schema_name,
            }
            for line in board.pbx.lines
        ],
    }


def _schema_id(pbx: Pbx) -> int:
    return pbx.product_id * 10 + 900


async def query_trunks(_cloud: MangoCloud, board: Board, _body: dict[str, Any]) -> dict[str, Any]:
    """`trunks/numbers` (D26, 3.7.22)."""
    require_services(board)
    if not board.pbx.trunks:
        raise RequestRefused(3300, "the object does not exist")
    rows = [
        {
            "trunk_number_id": trunk.trunk_number_id,
            "trunk_id": trunk.trunk_id,
            "number": trunk.number,
            "options": trunk.options,
            "desc": trunk.name,
        }
        for trunk in board.pbx.trunks
    ]
    return {"result": 1000, "data": rows}


async def query_schemas(_cloud: MangoCloud, board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`schemas` (D26, 3.7.9): one scheme, which all lines use, and one that none uses."""
    require_services(board)
    lines, trunks = board.pbx.lines, board.pbx.trunks
    used: dict[str, Any] = {"incominglines": [line.line_id for line in lines]}
    unused: dict[str, Any] = {"incominglines": []}
    if "trunks_numbers" in (body.get("ext_fields") or ()):
        used["sip_trunks_numbers"] = [trunk.trunk_number_id for trunk in trunks]
        unused["sip_trunks_numbers"] = []
    schema_id = _schema_id(board.pbx)
    return {
        "result": 1000,
        "data": [
            {"schema_id": schema_id, "name": "Основная схема", "description": None} | used,
            {"schema_id": schema_id + 1, "name": "По умолчанию", "description": None} | unused,
        ],
    }


async def query_audio_files(_cloud: MangoCloud, board: Board, _body: dict[str, Any]) -> dict[str, Any]:
    """`audiofiles` (D26, 3.7.8): ids and names; how long a file is it does not say."""
    require_services(board)
    return {"result": 1000, "audiofiles": [{"id": 17, "name": "Приветствие"}]}


def require_services(board: Board) -> None:
    """Raises RequestRefused 5201 where the connector's option for PBX services is off."""
    if not board.pbx.services_enabled:
        raise RequestRefused(5201, "the option is switched off")


async def query_balance(_cloud: MangoCloud, board: Board, _body: dict[str, Any]) -> dict[str, Any]:
    """`account/balance` (D26, 3.7.6)."""
    at = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"result": 1000, "balance": board.pbx.balance, "currency": "RUB", "response_at": at}


async def query_visitor(_cloud: MangoCloud, _board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`queries/user_info_by_dct_number`: no visitor is ever assigned to a number here."""
    require_fields(body, "number")
    return {}


async def query_visits(_cloud: MangoCloud, _board: Board, body: dict[str, Any]) -> dict[str, Any]:
    """`queries/user_history_by_dct_number`."""
    require_fields(body, "number")
    return {"result": 1000, "data": []}
