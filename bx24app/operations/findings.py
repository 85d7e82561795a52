"""One line of the doctor's report, and what to do about errors that only an operator can remove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bx24app.bitrix24 import errors

_REMEDIES: Final = {
    errors.AUTH_SERVER: "allow outgoing https to BX24APP_OAUTH_SERVERS",
    errors.CUT_OFF: "the portal's own server must reach the authorisation server by https",
    errors.CERTIFICATE: "see BX24APP_CA_BUNDLE",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was checked, whether it is in order, and how it is or what to do."""

    subject: str
    is_ok: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok   ' if self.is_ok else 'WRONG'} {self.subject}: {self.message}"


def describe_error(error: Exception) -> str:
    """The error's text, with what to do where the cause is known."""
    remedy = _REMEDIES.get(error.cause) if isinstance(error, errors.Later) else None
    return (str(error) or type(error).__name__) + (f": {remedy}" if remedy else "")
