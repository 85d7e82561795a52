"""What can go wrong when Mango is asked: one family, a child for each reaction that a caller may have.

```
MangoError
├── Later            busy, limited, in maintenance: ask again, not before `retry_after`; nothing was carried out
│   └── Unreachable  no connection: the request did not leave
├── WrongKey         3105
├── WrongSignature   3102: with this key the salt is another one
├── AddressRefused   401, 403: our address is not on the connector's list, or wrong requests locked us out for two minutes
├── NotPermitted     5201 …: an option of the connector is off; 2xxx: the account is restricted. An administrator's matter
├── Missing          3320 …, 404: there is no such recording, file or order - perhaps not yet
│   └── NotReady     the recording is known but its file is not there yet
├── Refused          this one request is dead; the same again would fail the same
└── AnswerLost       a command left and its outcome is unknown: never send it again, events will tell
```

Messages are sentences without keys, signatures or addresses of files. `code` is Mango's where it gave one, else the HTTP status.
"""

from __future__ import annotations

from bx24app.mango.codes import describe_code

ADDRESS_REFUSED = "Mango refuses this server's address, or has locked it out for two minutes after wrong requests."
"""The message of `AddressRefused`."""


class MangoError(Exception):
    """Base. `code`: Mango's code, else the HTTP status, else 0."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code

    def describe(self, lang: str = "ru") -> str:
        """For people: Mango's code in words; without a code, the message."""
        return describe_code(self.code, lang) if self.code >= 1000 else str(self)


class TemporaryFailure(MangoError):
    """Not now. Nothing was carried out, so even a command may be sent again. `retry_after`: seconds, None: not said."""

    def __init__(self, message: str, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after


class Unreachable(TemporaryFailure):
    """No connection to Mango: the request did not leave."""


class WrongKey(MangoError):
    """Mango does not know the key."""


class WrongSignature(MangoError):
    """Mango knows the key, but the salt is another one."""


class AddressRefused(MangoError):
    """Mango does not talk to this server's address, or has locked it out for two minutes after wrong requests."""


class NotPermitted(MangoError):
    """An option of the connector is switched off, or the account is restricted (no money, a limit): `code` tells which."""


class ResourceNotFound(MangoError):
    """There is no such recording, file or order; of a recording it may mean: not yet."""


class RecordingNotReady(ResourceNotFound):
    """The recording is known, its file is not there yet, or its one-shot address was spent."""


class RequestRefused(MangoError):
    """This one request is dead."""


class AnswerLost(MangoError):
    """A command left and no answer came: it may have been carried out. Never repeat it."""
