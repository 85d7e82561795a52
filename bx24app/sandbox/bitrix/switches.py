"""Faults of a portal or the OAuth server, and switchable settings of a portal.

A fault strikes the next N requests or all of them, at every method or at some. Tests and the control API turn faults
on; `rest.py`, `dispatch.py`, `batch.py` and `oauth.py` ask `take_fault` whether one strikes, `faults.py` makes the
answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

BEFORE_KINDS = frozenset(
    {
        "http500", "http502", "http503", "html", "too_many", "hang", "close_before", "garbage", "query_limit",
        "deleted", "closed",
    }
)
"""The request has no effect: the fault answers before the work."""
REFUSE_KINDS = frozenset(
    {
        "expired_token",
        "invalid_token",
        "no_auth",
        "payment_required",
        "wrong_license",
        "no_rest",
        "overload",
        "scope_removed",
        "right_removed",
        "access_removed",
        "grant_revoked",
        "internal_error",
        "unexpected_answer",
        "operation_time",
        "invalid_grant",
        "wrong_client",
        "not_installed",
        "cut_off",
    }
)
"""The command is refused with a JSON error, also inside a batch if the fault names a method."""
AFTER_KINDS = frozenset({"close_after", "hang_after", "http502_after", "garbage_after"})
"""The work is done, but the answer is lost."""
SAVE_KINDS = frozenset({"disk_full"})
"""The fault strikes when a file is saved."""
FAULT_KINDS = BEFORE_KINDS | REFUSE_KINDS | AFTER_KINDS | SAVE_KINDS


@dataclass
class Fault:
    """A fault that is switched on.

    Attributes:
        times: the number of requests that it still strikes; None means no limit.
        method: a pattern of method names in lower case; None means every request.
        seconds: the duration of a hanging answer or of a block.
    """

    kind: str
    times: int | None = None
    method: str | None = None
    seconds: float = 3600.0
    skip: int = 0
    """The number of matching requests that pass before the fault strikes."""
    hits: int = 0


@dataclass
class Switches:
    """The faults that are on, and settings that a portal's administrator could change."""

    faults: list[Fault] = field(default_factory=list)
    repeat_leads: bool = False
    """CRM_CREATE creates a repeat lead or deal for a known client without an open deal."""
    bind_open_deals: bool = False
    """A call of a known client is also bound to the client's open deals."""
    empty_error_codes: bool = False
    """Errors of telephony methods have `"error": ""` instead of ERROR_CORE."""
    filters_batches: bool = False
    """The values of a batch's commands run through the filter of the security module, as on-premise."""
    number_blacklist: list[str] = field(default_factory=list)
    """The exclusion list of the CRM, as digits: CRM_CREATE creates nothing for these numbers."""

    def switch_on(self, kind: str, *, times: int | None = None, method: str | None = None, seconds: float = 3600.0,
           skip: int = 0) -> Fault:  # fmt: skip
        """Turns a fault on.

        Raises:
            ValueError: there is no such kind.
        """
        if kind not in FAULT_KINDS:
            raise ValueError(f"no fault {kind!r}; there are: {', '.join(sorted(FAULT_KINDS))}")
        fault = Fault(kind, times, method.lower() if method else None, seconds, skip)
        self.faults.append(fault)
        return fault

    def switch_off(self, kind: str | None = None) -> None:
        """Turns off the faults of a kind, or all faults."""
        self.faults = [fault for fault in self.faults if kind is not None and fault.kind != kind]

    def take_fault(self, kinds: frozenset[str], methods: list[str], *, general: bool = True) -> Fault | None:
        """The first fault of these kinds that strikes one of these methods, or None. Taking it counts as one strike.

        Args:
            general: whether faults without a method count. They do not inside a batch: they struck the whole request.
        """
        for fault in self.faults:
            if fault.kind not in kinds or fault.times == 0:
                continue
            if fault.method is None:
                if not general:
                    continue
            elif not any(fnmatchcase(name.lower(), fault.method) for name in methods):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
                if not fault.times:
                    self.faults.remove(fault)
            return fault
        return None
