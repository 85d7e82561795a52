"""The lines of a PBX: its numbers and the numbers of its SIP trunks, which Mango lists by two methods.

Each of the two answers 3300 where it has nothing to list, and by Mango's manual every answer 3xxx counts for the lock
of two minutes (D26, 1.4.1). So the call schemes are asked first: they name the lines and trunks that are in use, and
only what is there is asked for. `MangoClient` calls this.
"""

from __future__ import annotations

from typing import Any, Final

from bx24app.mango.api_types import MangoLine, only_dicts, parse_line, parse_trunk
from bx24app.mango.errors import NotPermitted, RequestRefused, ResourceNotFound
from bx24app.mango.transport import SignedTransport

NO_SUCH_OBJECT: Final = 3300
"""Mango's code for a list without entries; the key is right all the same (D26, 3.7.7 and 3.7.22)."""


def fetch_lines(transport: SignedTransport) -> list[MangoLine]:
    """The numbers and SIP trunks of the PBX. Where the schemes are refused, trunks are left out.

    Raises:
        NotPermitted, RequestRefused: there are no numbers, and Mango refuses to say whether there are trunks.
        MangoError: as usual.
    """
    try:
        has_numbers, has_trunks = _find_used(transport)
    except (NotPermitted, RequestRefused, ResourceNotFound) as error:
        if error.code == NO_SUCH_OBJECT:
            return []
        lines = _fetch_numbers(transport)
        if not lines:
            raise
        return lines
    numbers = _fetch_numbers(transport) if has_numbers or not has_trunks else []
    return numbers + (_fetch_trunks(transport) if has_trunks else [])


def _find_used(transport: SignedTransport) -> tuple[bool, bool]:
    """Whether call schemes name numbers, and trunks (D26, 3.7.9)."""
    answer = transport.request_object("schemas", {"ext_fields": ["trunks_numbers"]})
    schemas = only_dicts(answer.get("data"))
    return any(row.get("incominglines") for row in schemas), any(row.get("sip_trunks_numbers") for row in schemas)


def _fetch_numbers(transport: SignedTransport) -> list[MangoLine]:
    rows = _fetch_list(transport, "incominglines", "lines")
    return [line for row in rows if (line := parse_line(row)) is not None]


def _fetch_trunks(transport: SignedTransport) -> list[MangoLine]:
    rows = _fetch_list(transport, "trunks/numbers", "data")
    return [line for row in rows if (line := parse_trunk(row)) is not None]


def _fetch_list(transport: SignedTransport, path: str, name: str) -> list[dict[str, Any]]:
    try:
        return only_dicts(transport.request_object(path, {}).get(name))
    except (RequestRefused, ResourceNotFound) as error:
        if error.code != NO_SUCH_OBJECT:
            raise
        return []
