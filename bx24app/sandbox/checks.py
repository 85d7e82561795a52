"""A running sandbox for tests, which fails a test that broke the official parameter tables of the portal's REST
methods.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bx24app.sandbox.server import Sandbox


class UnexpectedViolations(AssertionError):
    """Requests that a real portal would reject or silently ignore, one per line."""


@contextmanager
def checked_sandbox(**options: Any) -> Iterator[Sandbox]:
    """Runs a sandbox (`options` are those of `Sandbox`) and checks at the end that no violation is left.

    An error inside the block has priority over violations.

    Raises:
        UnexpectedViolations: a request violated the tables; each line names the portal.
    """
    with Sandbox(**options) as sandbox:
        yield sandbox
        raise_violations(sandbox)


def raise_violations(sandbox: Sandbox) -> None:
    """Raises the violations so far and forgets them.

    Raises:
        UnexpectedViolations: there is at least one.
    """
    lines: list[str] = []
    for portal in sandbox.portals:
        lines += [f"portal {portal.number}: {violation}" for violation in portal.violations]
        portal.violations.clear()
    if lines:
        raise UnexpectedViolations("\n".join(lines))
