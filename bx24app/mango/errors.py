"""The errors of Mango: one family, with a subclass for each reaction that a caller may have.

```
MangoError
├── TemporaryFailure      busy, limited, in maintenance: ask again, not before `retry_after`; nothing was carried out
│   ├── Unreachable       no connection: the request was not sent
│   └── KeyPaused         nothing may be asked with this key for `retry_after` seconds; says nothing of the request
│       ├── KeyLocked     401 of a key that works: Mango has locked it for two minutes
│       └── QuestionPostponed  not sent: a second answer 3xxx would lock the key
├── WrongKey              3105
├── WrongSignature        3102: the salt does not fit the key
├── AddressRefused        403, or 401 of a key that has not worked lately: our address is not allowed, or locked out
├── NotPermitted          5201 …: an option of the connector is off; 2xxx: the account is restricted (administrator)
├── ResourceNotFound      3320 …, 404: there is no such recording, file or order, or not yet
│   └── RecordingNotReady the recording is known, but its file is not there yet
├── RequestRefused        this request must not be repeated: it would fail again
└── AnswerLost            a command was sent and its outcome is unknown: never send it again, events will show it
```

Messages are sentences without keys, signatures or addresses of files. `code` is Mango's code if it sent one, else the
HTTP status.
"""

from __future__ import annotations

import math

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
    """Not now. Nothing was carried out, so even a command may be sent again. `retry_after`: seconds; None: Mango did
    not say."""

    def __init__(self, message: str, code: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after


class Unreachable(TemporaryFailure):
    """No connection to Mango: the request was not sent."""


class KeyPaused(TemporaryFailure):
    """Mango takes nothing from this key for `retry_after` seconds. The request itself is not judged."""

    texts = ("", "")
    """(Russian, English), with `%d` for the seconds."""

    def __init__(self, seconds: float, code: int = 0) -> None:
        super().__init__(self.texts[1] % math.ceil(seconds), code, seconds)
        self.seconds = seconds

    def describe(self, lang: str = "ru") -> str:
        return self.texts[0 if lang == "ru" else 1] % math.ceil(self.seconds)


class KeyLocked(KeyPaused):
    """Mango has locked this key for two minutes after wrong requests, commands included."""

    texts = (
        "Mango Office на две минуты заблокировал ключ этой АТС после неверных запросов; осталось %d с",
        "Mango Office has locked the key of this PBX for two minutes after wrong requests; %d s are left",
    )


class QuestionPostponed(KeyPaused):
    """Not sent: one request with this key was wrong already, and a second one would lock it."""

    texts = (
        "чтобы Mango Office не заблокировал ключ этой АТС, следующий запрос уйдёт через %d с",
        "Mango Office would lock the key of this PBX: the next request is sent in %d s",
    )


class WrongKey(MangoError):
    """Mango does not know the key."""


class WrongSignature(MangoError):
    """Mango knows the key, but the salt does not fit it."""


class AddressRefused(MangoError):
    """Mango does not talk to this server's address, or has locked it out for two minutes after wrong requests."""


class NotPermitted(MangoError):
    """An option of the connector is switched off, or the account is restricted (no money, a limit): `code` says
    which."""


class ResourceNotFound(MangoError):
    """There is no such recording, file or order; a recording may still come."""


class RecordingNotReady(ResourceNotFound):
    """The recording is known, but its file is not there yet, or the address, valid for one access, was used."""


class RequestRefused(MangoError):
    """This request must not be repeated: it would fail again."""


class HostNotAllowed(RequestRefused):
    """Mango leads to a recording on a host that the operator has not listed."""


class AnswerLost(MangoError):
    """A command was sent and no answer came. It may have been carried out, so never repeat it."""
