"""The dialects in which a PBX can notify, one registry entry each. The inbox, the fold and the checks of keys ask the
entry.

A new dialect is one `register` call: how a POST is recognised, verified, named and identified, what it means, and its
traits. Its parser is a pure module of its own beside `vpbx` and `events_dialect`. Nothing else in the program asks for
a dialect by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bx24app.domain.calls.events import PbxEvent
from bx24app.domain.dialects import DIALECT_TRAITS, DialectTraits
from bx24app.mango import events_dialect, statistics, vpbx
from bx24app.mango.api_types import CredentialCheck
from bx24app.mango.client import MangoClient
from bx24app.mango.notification import MalformedNotification, NotificationIdentity


@dataclass(frozen=True, slots=True)
class HookPost:
    """One POST to a hook address. `suffix` follows the hook key in the path; `form` is None if the body is not a
    form."""

    suffix: str
    content_type: str
    form: Mapping[str, str] | None
    body: bytes
    query: Mapping[str, str]


def _check_by_api(client: MangoClient) -> CredentialCheck:
    return client.check_credentials()


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one dialect is read. All functions are pure."""

    traits: DialectTraits
    recognise: Callable[[HookPost], bool]
    """Whether a POST is written in this dialect."""
    is_probe: Callable[[HookPost], bool]
    """Whether a POST only tries the address. It is answered 200, whatever the settings of the PBX."""
    read_text: Callable[[HookPost], str]
    """The notification's own text, which the inbox stores."""
    find_name: Callable[[HookPost], str | None]
    """The notification's name; None: it means nothing to us and is answered 200 without being stored."""
    path_name: Callable[[HookPost], str]
    """The name under which a notification is stored that nobody can read."""
    identify: Callable[[str, str, int], NotificationIdentity]
    """(name, text, epoch seconds of receipt) -> entry or command that it belongs to. Raises MalformedNotification for
    all that `parse` refuses."""
    parse: Callable[[str, str, int], Sequence[PbxEvent]]
    """(name, text, epoch seconds of receipt) -> its events. Raises MalformedNotification."""
    verify: Callable[[HookPost, str | None, str | None], None] | None = None
    """(POST, API key, salt) -> nothing, or raises ForgedNotification. None: unsigned, the hook key alone admits."""
    check_credentials: Callable[[MangoClient], CredentialCheck] = _check_by_api
    """Asks the PBX once whether its key and salt are good."""

    @property
    def kind(self) -> str:
        """For messages: signed or unsigned."""
        return "unsigned" if self.verify is None else "signed"


DIALECTS: dict[str, Dialect] = {}


def register(name: str, dialect: Dialect) -> None:
    """Add a dialect under the name that the settings document and the inbox use for it."""
    DIALECTS[name] = dialect
    DIALECT_TRAITS[name] = dialect.traits


def recognise(post: HookPost, enabled: Collection[str]) -> str:
    """The name of the dialect in which the POST is written; the dialects that are enabled for the PBX are asked first.

    The caller must still compare the result with `enabled`: any dialect may be recognised.
    """
    ordered = sorted(DIALECTS, key=lambda name: name not in enabled)
    return next(name for name in ordered if DIALECTS[name].recognise(post))


def parse(dialect: str, name: str, text: str, received_at: int) -> tuple[PbxEvent, ...]:
    """What a stored notification means, one that came from Mango's statistics included.

    Raises:
        MalformedNotification: an unknown dialect, or not readable.
    """
    if dialect == statistics.DIALECT:
        return tuple(statistics.parse(name, text, received_at))
    if dialect not in DIALECTS:
        raise MalformedNotification(f"{dialect[:40]!r} is not a known dialect.")
    return tuple(DIALECTS[dialect].parse(name, text, received_at))


def check_credentials(enabled: Sequence[str], client: MangoClient) -> CredentialCheck:
    """Ask the PBX once whether its key and salt are good: two wrong requests within two minutes lock our address out at
    Mango."""
    check = next((DIALECTS[name].check_credentials for name in enabled if name in DIALECTS), _check_by_api)
    return check(client)


# The signed dialect.

_FORM_FIELDS = ("json", "sign", "vpbx_api_key")


def _form_field(post: HookPost, name: str) -> str | None:
    return post.form.get(name) if post.form is not None else None


def _is_vpbx(post: HookPost) -> bool:
    return not post.content_type.startswith("application/json") or bool(post.form and "sign" in post.form)


def _is_vpbx_probe(post: HookPost) -> bool:
    # Mango's account saves an address only if a ping and an empty form are answered 200.
    return post.suffix == "ping" or not any(_form_field(post, name) for name in _FORM_FIELDS)


def _read_vpbx_text(post: HookPost) -> str:
    return _form_field(post, "json") or ""


def _verify_vpbx(post: HookPost, api_key: str | None, api_salt: str | None) -> None:
    vpbx.verify_signature(
        api_key, api_salt, _form_field(post, "vpbx_api_key"), _form_field(post, "sign"), _read_vpbx_text(post)
    )


def _identify_vpbx(name: str, text: str, received_at: int) -> NotificationIdentity:
    identity = vpbx.identify_strictly(name, text, received_at)
    return replace(identity, command_id=None) if identity.entry_id else identity


# The events dialect.


def _is_events(post: HookPost) -> bool:
    return not _is_vpbx(post)


def _is_events_probe(post: HookPost) -> bool:
    return not post.body.strip()


def _read_events_text(post: HookPost) -> str:
    return post.body.decode("utf-8", errors="replace")


def _find_events_name(post: HookPost) -> str | None:
    return events_dialect.find_name(post.suffix, _read_events_text(post), post.query)


def _identify_events(name: str, text: str, received_at: int) -> NotificationIdentity:
    identity = events_dialect.identify(name, text)
    events_dialect.parse(name, text, received_at)
    return replace(identity, command_id=events_dialect.UUID_PREFIX + str(identity.alias or identity.entry_id))


register(
    "vpbx",
    Dialect(
        traits=DIALECT_TRAITS["vpbx"],
        recognise=_is_vpbx,
        is_probe=_is_vpbx_probe,
        read_text=_read_vpbx_text,
        find_name=lambda post: post.suffix if vpbx.is_stored(post.suffix) else None,
        path_name=lambda post: post.suffix,
        identify=_identify_vpbx,
        parse=vpbx.parse,
        verify=_verify_vpbx,
    ),
)
register(
    "events",
    Dialect(
        traits=DIALECT_TRAITS["events"],
        recognise=_is_events,
        is_probe=_is_events_probe,
        read_text=_read_events_text,
        find_name=_find_events_name,
        path_name=lambda post: post.suffix.rpartition("/")[2],
        identify=_identify_events,
        parse=events_dialect.parse,
    ),
)
