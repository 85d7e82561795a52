"""What can be made to go wrong, for the next N requests or for good, everywhere or for one method."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase

BEFORE_KINDS = frozenset(
    {"http500", "http502", "http503", "html", "too_many", "hang", "close_before", "garbage", "query_limit", "deleted"}
)
"""Answered before anything happens."""
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
        "internal_error",
        "unexpected_answer",
        "operation_time",
        "invalid_grant",
        "wrong_client",
        "not_installed",
    }
)
"""A JSON error; limited to a method it hits that command, also inside a batch."""
AFTER_KINDS = frozenset({"close_after", "hang_after", "http502_after", "garbage_after"})
"""The effect takes place, the answer is lost."""
SAVE_KINDS = frozenset({"disk_full"})
"""Met by whoever saves a file."""
FAULT_KINDS = BEFORE_KINDS | REFUSE_KINDS | AFTER_KINDS | SAVE_KINDS


@dataclass
class Fault:
    """`times` None: for good. `method` is a pattern of method names in lower case; None: every request."""

    kind: str
    times: int | None = None
    method: str | None = None
    seconds: float = 3600.0
    skip: int = 0
    """So many matching requests pass first."""
    hits: int = 0


@dataclass
class Switches:
    """Faults, and the portal's own settings."""

    faults: list[Fault] = field(default_factory=list)
    repeat_leads: bool = False
    """CRM_CREATE makes a repeat lead (deal) for a known client without an open deal."""
    bind_open_deals: bool = False
    """A call of a known contact is bound to its open deals too."""
    empty_error_codes: bool = False
    """Telephony failures carry `"error": ""`."""
    number_blacklist: list[str] = field(default_factory=list)
    """The CRM's exclusion list (digits): nothing is created for them."""

    def switch_on(self, kind: str, *, times: int | None = None, method: str | None = None, seconds: float = 3600.0,
           skip: int = 0) -> Fault:  # fmt: skip
        """Turns a fault on.

        Raises:
            ValueError: no such kind.
        """
        if kind not in FAULT_KINDS:
            raise ValueError(f"no fault {kind!r}; there are: {', '.join(sorted(FAULT_KINDS))}")
        fault = Fault(kind, times, method.lower() if method else None, seconds, skip)
        self.faults.append(fault)
        return fault

    def switch_off(self, kind: str | None = None) -> None:
        """Turns a kind of fault off, or all."""
        self.faults = [fault for fault in self.faults if kind is not None and fault.kind != kind]

    def take_fault(self, kinds: frozenset[str], methods: list[str], *, general: bool = True) -> Fault | None:
        """The first fault of these kinds that hits one of these methods; it is used up by one.

        Args:
            general: also faults without a method (False inside a batch: the whole request met them already).
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
