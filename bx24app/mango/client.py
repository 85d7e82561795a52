"""Mango's REST API for one PBX: commands, what the PBX consists of, statistics, recordings."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

import requests

from bx24app.mango.api_types import (
    Check,
    MangoBalance,
    MangoGroup,
    MangoLine,
    MangoUser,
    as_balance,
    as_group,
    as_line,
    as_user,
)
from bx24app.mango.errors import (
    AddressRefused,
    Later,
    MangoError,
    Missing,
    NotPermitted,
    Refused,
    Unreachable,
    WrongKey,
    WrongSignature,
)
from bx24app.mango.events_schema import MOSCOW
from bx24app.mango.recording import MAX_BYTES, RecordingDownload, by_id, by_url
from bx24app.mango.statistics import CSV_FIELDS
from bx24app.mango.transport import Timeout, Wire, judge

LIMITS: Final = (1, 5, 10, 20, 50, 100, 500, 1000, 2000, 5000)
"""Page sizes that `calls_request` accepts."""
WINDOW: Final = 30 * 86400
"""Seconds; a window of statistics must be shorter."""

_USER_FIELDS: Final = ("general.user_id", "general.mobile", "groups")
_DONE: Final = "complete"
_RUNNING: Final = frozenset({"request", "work"})


class Mango:
    """One PBX (its key and salt) of Mango. Threads may share it; give all PBXs one `session` to share connections.

    Every method raises a child of `MangoError`; see `bx24app.mango.errors` for what each asks of the caller.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str,
        api_salt: str,
        session: requests.Session | None = None,
        timeout: Timeout = (5.0, 20.0),
        ca_bundle: str | None = None,
    ) -> None:
        self._wire = Wire(api_url, api_key, api_salt, session, timeout, ca_bundle)

    def __repr__(self) -> str:
        return f"<Mango {self._wire.api_url}>"

    # Commands. Each is sent at most once: `AnswerLost` must never be followed by the same command. Accepted means only that;
    # the outcome comes as `result/*` and as legs that carry the command id.

    def callback(
        self,
        command_id: str,
        extension: str,
        to_number: str,
        line_number: str | None = None,
        from_number: str | None = None,
    ) -> None:
        """Ring the employee, then dial `to_number`. `from_number`: another device of the employee (a mobile, say)."""
        caller = {"extension": extension} | ({"number": _dialled(from_number)} if from_number else {})
        fields: dict[str, Any] = {"command_id": command_id, "from": caller, "to_number": _dialled(to_number)}
        if line_number:
            fields["line_number"] = _dialled(line_number)
        self._wire.ask("commands/callback", fields, command=True)

    def callback_group(self, command_id: str, from_number: str, to_number: str, line_number: str) -> None:
        """Ring `from_number` first, then `to_number`; one of them is a group's short number."""
        fields = {
            "command_id": command_id,
            "from": _dialled(from_number),
            "to": _dialled(to_number),
            "line_number": _dialled(line_number),
        }
        self._wire.ask("commands/callback_group", fields, command=True)

    def hangup(self, command_id: str, call_id: str) -> None:
        """End the leg `call_id`."""
        self._wire.ask("commands/call/hangup", {"command_id": command_id, "call_id": call_id}, command=True)

    def route(self, command_id: str, call_id: str, to_number: str) -> None:
        """Send a leg that waits (IVR, queue, ringing) to `to_number`."""
        fields = {"command_id": command_id, "call_id": call_id, "to_number": _dialled(to_number)}
        self._wire.ask("commands/route", fields, command=True)

    # What the PBX consists of.

    def users(self) -> list[MangoUser]:
        """All employees, those without an extension too."""
        return [as_user(user) for user in self._list("config/users/request", "users", {"ext_fields": _USER_FIELDS})]

    def groups(self) -> list[MangoGroup]:
        return [as_group(group) for group in self._list("groups", "groups", {"show_users": 1})]

    def lines(self) -> list[MangoLine]:
        return [line for raw in self._list("incominglines", "lines", {}) if (line := as_line(raw)) is not None]

    def balance(self) -> MangoBalance:
        return as_balance(self._wire.ask("account/balance", {}))

    def check(self) -> Check:
        """Do key and salt fit? Asks for the lines, which come with the answer. Never raises for what Mango says.

        Ask once per attempt of a person: two wrong requests within two minutes lock the address out.
        """
        try:
            return Check("ok", tuple(self.lines()))
        except NotPermitted as error:
            return Check("ok", (), str(error))  # signature and key were accepted before the option was looked at
        except MangoError as error:
            return Check(_verdict(error), (), str(error))

    # Statistics.

    def calls_request(self, start: int, end: int, limit: int = 500, offset: int = 0) -> str:
        """Order the entries that began between two epochs; returns the key for `calls_result`.

        Raises:
            ValueError: a window of 30 days or more, or a page size that Mango does not know.
        """
        _check_window(start, end)
        if limit not in LIMITS:
            raise ValueError(f"limit is {limit}, wanted one of {', '.join(map(str, LIMITS))}")
        fields = {"start_date": _wall(start), "end_date": _wall(end), "limit": limit, "offset": offset}
        return self._key(self._wire.ask("stats/calls/request", fields))

    def calls_result(self, key: str) -> list[dict[str, Any]] | None:
        """The entries; None: not ready, ask again after 5 s.

        `work` may already hold a part of the data: only `complete` is an answer.

        Raises:
            Missing: the key is unknown or expired; order anew.
            Refused: Mango gave the job up.
        """
        answer = self._wire.post("stats/calls/result", {"key": key})
        judge(answer)
        content = answer.json()
        if answer.status == 204 or not isinstance(content, dict):
            return None
        status = str(content.get("status", _DONE)).lower()
        if status in _RUNNING:
            return None
        if status == "not-found":
            raise Missing("Mango has no such order of statistics any more.")
        if status != _DONE:
            raise Refused(f"Mango gave the statistics up: {status[:40]}.")
        return [entry for day in _dicts(content.get("data")) for entry in _dicts(day.get("list"))]

    def legs_request(self, start: int, end: int, fields: Sequence[str] = CSV_FIELDS) -> str:
        """The older pair: order the legs between two epochs as CSV; returns the key for `legs_result`."""
        _check_window(start, end)
        order = {"date_from": str(start), "date_to": str(end), "fields": ",".join(fields)}
        return self._key(self._wire.ask("stats/request", order))

    def legs_result(self, key: str) -> str | None:
        """The CSV (see `statistics.csv_to_entries`); None: not ready, ask again after 5 s.

        Raises:
            Missing: the key is unknown or expired.
        """
        answer = self._wire.post("stats/result", {"key": key})
        if answer.status == 200 and not answer.content.lstrip().startswith(b"{"):
            return answer.content.decode("utf-8", "replace")
        judge(answer)
        return None

    # Recordings.

    def recording(
        self,
        recording_id: str,
        admit: Callable[[str], None],
        byte_range: str | None = None,
        play: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> RecordingDownload:
        """Ask for the file and open it; read it with `chunks`, close it (it is a context manager).

        `admit` is given the address that Mango names and raises if we must not go there; whatever it raises passes through.
        `byte_range`: a Range header's value, passed on for playback. The address is good for one access: one GET, no retry.

        Raises:
            Missing, NotReady: no recording, or not yet.
        """
        return by_id(self._wire, recording_id, admit, byte_range, play, max_bytes)

    def fetch_url(
        self,
        url: str,
        admit: Callable[[str], None],
        byte_range: str | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> RecordingDownload:
        """The same for a direct link of the short dialect. Redirects are followed by hand, each address through `admit`."""
        return by_url(self._wire, url, admit, byte_range, max_bytes)

    def _list(self, path: str, name: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
        return _dicts(self._wire.ask(path, fields).get(name))

    @staticmethod
    def _key(content: dict[str, Any]) -> str:
        key = content.get("key")
        if not isinstance(key, str) or not key:
            raise Later("Mango took the order of statistics but gave no key.")
        return key


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _dialled(number: str) -> str:
    """As Mango wants a number: digits without plus; extensions and ``sip:`` names as they are."""
    return re.sub(r"\D", "", number) if re.fullmatch(r"[+\d\s()\-.]+", number) else number


def _wall(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, MOSCOW).strftime("%d.%m.%Y %H:%M:%S")


def _check_window(start: int, end: int) -> None:
    if not 0 < end - start < WINDOW:
        raise ValueError("a window of statistics must be longer than nothing and shorter than 30 days")


def _verdict(error: MangoError) -> Any:
    match error:
        case WrongKey():
            return "wrong_key"
        case WrongSignature():
            return "wrong_salt"
        case AddressRefused():
            return "address_refused"
        case Unreachable():
            return "unreachable"
        case Later():
            return "busy"
    return "refused"
