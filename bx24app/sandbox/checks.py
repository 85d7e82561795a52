"""For tests: a running sandbox that fails the test which broke the official parameter tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bx24app.sandbox.server import Sandbox


class UnexpectedViolations(AssertionError):
    """Requests that a real portal would not understand, or silently swallow."""


@contextmanager
def checked_sandbox(**options: Any) -> Iterator[Sandbox]:
    """Runs a sandbox (`options` are Sandbox's); at the end every violation that nobody expected is raised.

    Raises:
        Violations: one sentence a violation, with its portal. Not after an error inside the block: that one counts.
    """
    with Sandbox(**options) as sandbox:
        yield sandbox
        raise_violations(sandbox)


def raise_violations(sandbox: Sandbox) -> None:
    """Raises what has gathered so far, and forgets it.

    Raises:
        Violations: there were some.
    """
    lines: list[str] = []
    for portal in sandbox.portals:
        lines += [f"portal {portal.number}: {violation}" for violation in portal.violations]
        portal.violations.clear()
    if lines:
        raise UnexpectedViolations("\n".join(lines))
