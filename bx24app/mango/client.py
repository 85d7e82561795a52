"""Mango's REST API for one PBX: commands, lines and employees, statistics, recordings. `infra.mango_clients` builds the
client."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import requests

from bx24app.domain import phone
from bx24app.mango import lines
from bx24app.mango.answer_size import STATISTICS_BOUNDS
from bx24app.mango.api_types import (
    CredentialCheck,
    MangoBalance,
    MangoGroup,
    MangoLine,
    MangoUser,
    only_dicts,
    parse_balance,
    parse_group,
    parse_user,
)
from bx24app.mango.errors import (
    AddressRefused,
    KeyPaused,
    MangoError,
    NotPermitted,
    RequestRefused,
    ResourceNotFound,
    TemporaryFailure,
    Unreachable,
    WrongKey,
    WrongSignature,
)
from bx24app.mango.key_guard import KeyGuard
from bx24app.mango.recording import MAX_BYTES, RecordingDownload, open_by_id, open_by_url
from bx24app.mango.statistics import CSV_FIELDS
from bx24app.mango.statistics_answer import read_lists
from bx24app.mango.statistics_zone import DEFAULT_ZONE, window_in
from bx24app.mango.transport import SignedTransport, Timeout, raise_for_error

PAGE_SIZES: Final = (1, 5, 10, 20, 50, 100, 500, 1000, 2000, 5000)
"""Page sizes that `calls_request` accepts."""
MAX_WINDOW: Final = 30 * 86400
"""Seconds. A window of statistics must be shorter."""

_WALL_TIME: Final = "%d.%m.%Y %H:%M:%S"
_USER_FIELDS: Final = ("general.user_id", "general.mobile", "groups")
_COMPLETE_STATUS: Final = "complete"
_RUNNING_STATUSES: Final = frozenset({"request", "work"})


class MangoClient:
    """One PBX (its key and salt) of Mango. Threads may share it; give all PBXs one `session` to share connections.

    Every method may raise a subclass of `MangoError`; `bx24app.mango.errors` says how a caller reacts to each.
    """

    def __init__(
        self,
        api_url: str,
        api_key: str,
        api_salt: str,
        session: requests.Session | None = None,
        timeout: Timeout = (5.0, 20.0),
        ca_bundle: str | None = None,
        guard: KeyGuard | None = None,
    ) -> None:
        self._transport = SignedTransport(api_url, api_key, api_salt, session, timeout, ca_bundle, guard)

    def __repr__(self) -> str:
        return f"<Mango {self._transport.api_url}>"

    # Commands. Each is sent at most once: after `AnswerLost` the same command must never be sent again. Mango's answer
    # only accepts the command; the outcome comes as a `result/*` notification and as legs that carry the command id.

    def start_callback(
        self,
        command_id: str,
        extension: str,
        to_number: str,
        line_number: str | None = None,
        from_number: str | None = None,
    ) -> None:
        """Ring the employee, then dial `to_number`. `from_number`: another device of the employee, such as a mobile."""
        caller = {"extension": extension} | ({"number": _dial_format(from_number)} if from_number else {})
        fields: dict[str, Any] = {"command_id": command_id, "from": caller, "to_number": _dial_format(to_number)}
        if line_number:
            fields["line_number"] = _line_format(line_number)
        self._transport.request_object("commands/callback", fields, command=True)

    def start_group_callback(self, command_id: str, from_number: str, to_number: str, line_number: str) -> None:
        """Ring `from_number` first, then `to_number`; one of them is a group's short number."""
        fields = {
            "command_id": command_id,
            "from": _dial_format(from_number),
            "to": _dial_format(to_number),
            "line_number": _line_format(line_number),
        }
        self._transport.request_object("commands/callback_group", fields, command=True)

    def hang_up(self, command_id: str, call_id: str) -> None:
        """End the leg `call_id`."""
        self._transport.request_object(
            "commands/call/hangup", {"command_id": command_id, "call_id": call_id}, command=True
        )

    def route_leg(self, command_id: str, call_id: str, to_number: str) -> None:
        """Send a leg that waits (IVR, queue, ringing) to `to_number`."""
        fields = {"command_id": command_id, "call_id": call_id, "to_number": _dial_format(to_number)}
        self._transport.request_object("commands/route", fields, command=True)

    # Lines and employees.

    def fetch_users(self) -> list[MangoUser]:
        """All employees, those without an extension included."""
        return [
            parse_user(user) for user in self._fetch_list("config/users/request", "users", {"ext_fields": _USER_FIELDS})
        ]

    def fetch_groups(self) -> list[MangoGroup]:
        return [parse_group(group) for group in self._fetch_list("groups", "groups", {"show_users": 1})]

    def fetch_lines(self) -> list[MangoLine]:
        """Numbers and SIP trunks (see `mango.lines`)."""
        return lines.fetch_lines(self._transport)

    def fetch_balance(self) -> MangoBalance:
        return parse_balance(self._transport.request_object("account/balance", {}))

    def check_credentials(self) -> CredentialCheck:
        """Whether Mango accepts key and salt; the result carries the lines. An error of Mango is not raised.

        The balance is asked first: only a wrong key or salt makes it a wrong request, of which two within two minutes
        lock our address out. Call it once for each attempt of a person.
        """
        try:
            self.fetch_balance()
        except NotPermitted:
            pass  # Mango checks key and signature before options and money
        except KeyPaused as error:
            return CredentialCheck("wait", wait_seconds=math.ceil(error.seconds))
        except MangoError as error:
            return CredentialCheck(_credential_state(error), (), str(error))
        try:
            return CredentialCheck("ok", tuple(self.fetch_lines()))
        except MangoError as error:
            return CredentialCheck("ok", (), str(error), lines_error=error)

    # Statistics.

    def request_calls(
        self, start: int, end: int, limit: int = 500, offset: int = 0, zones: Sequence[str] = (DEFAULT_ZONE,)
    ) -> str:
        """Order the entries that began between two epochs. Returns the key for `fetch_calls`.

        Args:
            zones: in whichever of these the PBX reads the texts, the window holds the epochs.

        Raises:
            ValueError: a window of 30 days or more, or a page size that Mango does not accept.
        """
        window = window_in(zones, start, end)
        _check_window(start, start + int((window.end - window.start).total_seconds()))
        if limit not in PAGE_SIZES:
            raise ValueError(f"limit is {limit}, wanted one of {', '.join(map(str, PAGE_SIZES))}")
        dates = {"start_date": f"{window.start:{_WALL_TIME}}", "end_date": f"{window.end:{_WALL_TIME}}"}
        fields = {**dates, "limit": limit, "offset": offset}
        return self._require_key(self._transport.request_object("stats/calls/request", fields))

    def fetch_calls(self, key: str) -> list[dict[str, Any]] | None:
        """The entries; None: not ready, ask again after 5 s.

        With the status `work` the answer may hold a part of the data; only `complete` is the whole.

        Raises:
            ResourceNotFound: the key is unknown or expired; order anew.
            RequestRefused: Mango gave the job up, or its answer has no list.
        """
        content = self.fetch_calls_answer(key)
        return None if content is None else read_lists(content.get("data"))

    def fetch_calls_answer(self, key: str) -> dict[str, Any] | None:
        """The whole of the answer to `fetch_calls` as Mango sent it; None: not ready. Raises as that does."""
        answer = self._transport.post("stats/calls/result", {"key": key}, bounds=STATISTICS_BOUNDS)
        raise_for_error(answer)
        content = answer.parse_json()
        if answer.status == 204 or not isinstance(content, dict):
            return None
        status = str(content.get("status", _COMPLETE_STATUS)).lower()
        if status in _RUNNING_STATUSES:
            return None
        if status == "not-found":
            raise ResourceNotFound("Mango has no such order of statistics any more.")
        if status != _COMPLETE_STATUS:
            raise RequestRefused(f"Mango gave the statistics up: {status[:40]}.")
        return content

    def request_legs(self, start: int, end: int, fields: Sequence[str] = CSV_FIELDS) -> str:
        """Order the legs between two epochs as CSV, from the older statistics. Returns the key for `fetch_legs`."""
        _check_window(start, end)
        order = {"date_from": str(start), "date_to": str(end), "fields": ",".join(fields)}
        return self._require_key(self._transport.request_object("stats/request", order))

    def fetch_legs(self, key: str) -> str | None:
        """The CSV (see `statistics.csv_to_entries`); None: not ready, ask again after 5 s.

        Raises:
            ResourceNotFound: the key is unknown or expired.
        """
        answer = self._transport.post("stats/result", {"key": key}, bounds=STATISTICS_BOUNDS)
        if answer.status == 200 and not answer.content.lstrip().startswith(b"{"):
            return answer.content.decode("utf-8", "replace")
        raise_for_error(answer)
        return None

    # Recordings.

    def open_recording(
        self,
        recording_id: str,
        admit: Callable[[str], None],
        byte_range: str | None = None,
        play: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> RecordingDownload:
        """Ask for the file and open it. The caller reads it with `iter_chunks` and closes it (it is a context manager).

        `admit` receives the address that Mango names, and raises if it must not be used; its error is passed on.
        `byte_range`: the value of a Range header, for playback. The address is valid for one access: one GET, no retry.

        Raises:
            ResourceNotFound, RecordingNotReady: there is no recording, or not yet.
        """
        return open_by_id(self._transport, recording_id, admit, byte_range, play, max_bytes)

    def open_url(
        self, url: str, admit: Callable[[str], None], byte_range: str | None = None, max_bytes: int = MAX_BYTES
    ) -> RecordingDownload:
        """The same for a direct link of the events dialect. `admit` checks each address of a redirect."""
        return open_by_url(self._transport, url, admit, byte_range, max_bytes)

    def _fetch_list(self, path: str, name: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
        return only_dicts(self._transport.request_object(path, fields).get(name))

    @staticmethod
    def _require_key(content: dict[str, Any]) -> str:
        key = content.get("key")
        if not isinstance(key, str) or not key:
            raise TemporaryFailure("Mango took the order of statistics but gave no key.")
        return key


def _dial_format(number: str) -> str:
    """A number as Mango expects it: digits without plus. Extensions and ``sip:`` names stay as they are."""
    return re.sub(r"\D", "", number) if re.fullmatch(r"[+\d\s()\-.]+", number) else number


def _line_format(line: str) -> str:
    """A line as Mango expects it: of a telephone the digits, the name of a SIP line or trunk as it is."""
    return phone.line_key(line).lstrip("+") if phone.normalise(line) else line


def _check_window(start: int, end: int) -> None:
    if not 0 < end - start < MAX_WINDOW:
        raise ValueError("a window of statistics must be longer than nothing and shorter than 30 days")


def _credential_state(error: MangoError) -> Any:
    match error:
        case WrongKey():
            return "wrong_key"
        case WrongSignature():
            return "wrong_salt"
        case AddressRefused():
            return "address_refused"
        case Unreachable():
            return "unreachable"
        case TemporaryFailure():
            return "busy"
    return "refused"
