"""Is everything that the app needs in order? `bx24app doctor` prints the findings, each ok or with what to do.

The checks are independent: what is wrong for one does not stop the others, except that stored things are not checked
without a database. Nothing is changed, except that an expired access token is refreshed,
and that deliveries to a portal that accepts requests again resume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import redis
import requests
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from bx24app.bitrix24.errors import PortalError
from bx24app.domain.database_life import Owner
from bx24app.domain.dialects import split_names, traits_of
from bx24app.domain.host_names import readable_host
from bx24app.infra import embedded_redis, mango_clients
from bx24app.infra.encryption import UndecryptableSecret, is_undecryptable
from bx24app.infra.runtime import runtime
from bx24app.mango import dialects
from bx24app.models import Pbx, Portal, Registration, db, utcnow
from bx24app.operations import adoption, live_pbx, live_portal, proxy_check, secret_checks
from bx24app.operations.findings import Finding, describe_error
from bx24app.portals import clients

MAX_CLOCK_DRIFT_SECONDS = 60
"""How far the clock may be off: the lifetime of tokens and the times of calls depend on it."""
TIMEOUT = (3.05, 10.0)


def run_checks() -> Iterator[Finding]:
    """All checks, in the order in which an operator fixes things."""
    database = list(_check_database())
    yield from database
    yield _check_redis()
    yield from _check_public_address()
    yield _check_clock()
    if all(finding.is_ok for finding in database):
        yield from _check_stored("secrets", _check_secrets)
        yield from _check_stored("registrations", _check_registrations)
        yield from _check_stored("portals", _check_portals)
        yield from _check_stored("pbxs", _check_pbxs)


def run_live_checks(member_id: str | None) -> Iterator[Finding]:
    """What one portal and its PBXs answer, beside what the program assumed.

    `member_id`: None: the only installed portal.
    """
    query = select(Portal.id).where(Portal.state != "removed")
    portals = list(db.session.scalars(query.where(Portal.member_id == member_id) if member_id else query))
    if len(portals) != 1:
        many = f"{len(portals)} portals are installed: choose one by --portal"
        text = "the portal was removed" if member_id else many
        yield Finding("live", False, f"{text} (bx24app portals list)")
        return
    yield from _check_stored("live portal", lambda: live_portal.ask_portal(portals[0]))
    yield from _check_stored("live pbxs", lambda: _ask_pbxs(portals[0]))


def _ask_pbxs(portal_id: int) -> Iterator[Finding]:
    columns = (Pbx.key, Pbx.api_key, Pbx.api_salt, Pbx.statistics_zone)
    query = select(*columns).where(Pbx.portal_id == portal_id, Pbx.removed_at.is_(None))
    rows = db.session.execute(query.order_by(Pbx.position)).all()
    db.session.rollback()
    for row in rows:
        if row.api_key and row.api_salt and not is_undecryptable(row.api_key) and not is_undecryptable(row.api_salt):
            client = mango_clients.build_client(row.api_key, row.api_salt)
            yield from live_pbx.ask_pbx(f"live pbx {row.key}", client, row.statistics_zone)


def _check_stored(subject: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Run a check of stored things, any of which may be encrypted with a key that is missing."""
    try:
        yield from check()
    except UndecryptableSecret as error:
        yield Finding(
            subject, False, f"{error}: give the key that encrypted them as well, then run `bx24app keys rotate`"
        )
    except SQLAlchemyError as error:
        yield Finding(subject, False, f"the database does not answer: {_first_line(error)}")
    finally:
        db.session.rollback()


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _check_database() -> Iterator[Finding]:
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from flask import current_app

    name = db.engine.url.render_as_string(hide_password=True)
    try:
        with db.engine.connect().execution_options(read_only=True) as connection:
            present = MigrationContext.configure(connection).get_current_revision()
    except SQLAlchemyError as error:
        yield Finding("database", False, f"{name} does not answer: {_first_line(error)}; see BX24APP_DATABASE_URL")
        return
    config = current_app.extensions["migrate"].migrate.get_config()
    head = ScriptDirectory.from_config(config).get_current_head()
    if present != head:
        yield Finding(
            "database", False, f"{name} is at migration {present or 'none'}, not {head}: run `bx24app db upgrade`"
        )
    else:
        yield Finding("database", True, f"{name}, at migration {head}")


def _check_redis() -> Finding:
    config = runtime().config
    is_embedded = config.redis_url == embedded_redis.socket_url(config.data_dir)
    name = "the embedded Valkey" if is_embedded else _without_password(config.redis_url)
    try:
        runtime().redis.ping()
    except redis.RedisError as error:
        remedy = (
            "it runs only while `bx24app up` runs" if is_embedded else f"{_first_line(error)}; see BX24APP_REDIS_URL"
        )
        return Finding("redis", False, f"{name} does not answer: {remedy}")
    with suppress(SQLAlchemyError):  # the database's own line says so
        if adoption.find_redis_owner() is Owner.IN_USE:
            text = f"{name} is used by another installation, or by another copy of this database: give each its own"
            return Finding("redis", False, text)
    return Finding("redis", True, name)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _check_public_address() -> Iterator[Finding]:
    config = runtime().config
    url = config.public_url
    if urlsplit(url).scheme != "https" and not config.allow_loopback:
        text = f"{url} is not https: Bitrix24 and Mango reach the app by https only; set BX24APP_PUBLIC_URL"
        yield Finding("public address", False, text)
    try:
        answer = _http_session().get(f"{url}/healthz", timeout=TIMEOUT, allow_redirects=False)
    except requests.RequestException as error:
        text = (
            f"{url} cannot be reached from here ({type(error).__name__}): is `bx24app up` running, does the proxy lead "
            "to it?"
        )
        yield Finding("public address", False, text)
        return
    if answer.status_code == 200 and answer.text.strip() == "ok":
        yield Finding("public address", True, f"{url} leads to this app")
        yield _check_proxy(url)
    else:
        text = (
            f"{url}/healthz answers {answer.status_code}, and not as this app does: see BX24APP_PUBLIC_URL and the "
            "proxy"
        )
        yield Finding("public address", False, text)


def _check_proxy(url: str) -> Finding:
    try:
        return Finding("proxy", *proxy_check.check_proxy(url, runtime().config.ca_bundle))
    except OSError as error:
        return Finding("proxy", False, f"{url} cannot be reached from here by a socket ({type(error).__name__})")


def _http_session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    if runtime().config.ca_bundle is not None:
        session.verify = str(runtime().config.ca_bundle)
    return session


def _check_clock() -> Finding:
    """Compare our clock with that of the authorisation server, which issues the tokens."""
    server = runtime().config.oauth_servers[0]
    try:
        answer = _http_session().head(server, timeout=TIMEOUT, allow_redirects=False)
        server_time = parsedate_to_datetime(answer.headers.get("Date", ""))
    except requests.RequestException as error:
        text = (
            f"{server} cannot be reached ({type(error).__name__}): without it no token can be refreshed; see the "
            "firewall"
        )
        return Finding("clock", False, text)
    except ValueError:
        return Finding("clock", True, f"{server} answers, but does not send the time")
    offset = round((utcnow() - server_time.replace(tzinfo=server_time.tzinfo or UTC)).total_seconds())
    if abs(offset) > MAX_CLOCK_DRIFT_SECONDS:
        return Finding(
            "clock", False, f"{offset:+d} s against {server}: synchronise it by NTP (timedatectl set-ntp true)"
        )
    return Finding("clock", True, f"{offset:+d} s against {server}")


def _check_secrets() -> Iterator[Finding]:
    """Each secret that no key decrypts: its portal stands still, all others go on."""
    for secret in secret_checks.find_undecryptable():
        text = "no key of BX24APP_ENCRYPTION_KEYS decrypts it: add the one that encrypted it, run `bx24app keys rotate`"
        yield Finding(f"secret {secret}", False, text)


def _check_registrations() -> Iterator[Finding]:
    config = runtime().config
    count = len(db.session.scalars(select(Registration)).all()) + bool(config.client_id)
    if config.client_id and not config.client_secret:
        yield Finding("applications", False, "BX24APP_CLIENT_ID is set without BX24APP_CLIENT_SECRET")
    elif count:
        yield Finding("applications", True, f"{count} known")
    else:
        yield Finding("applications", False, "none known: set BX24APP_CLIENT_ID and _SECRET, or `bx24app apps add`")


def _check_portals() -> Iterator[Finding]:
    rows = db.session.execute(
        select(Portal.id, Portal.domain, Portal.state, Portal.trouble, Portal.trouble_at)
        .where(Portal.state != "removed")
        .order_by(Portal.id)
    ).all()
    db.session.rollback()
    if not rows:
        yield Finding("portals", True, "none installed yet")
    for portal_id, host, state, code, since in rows:
        domain = readable_host(host)
        try:
            clients.client_by_id(portal_id).probe_access()
        except (PortalError, redis.RedisError, UndecryptableSecret) as error:
            yield Finding(
                f"portal {domain}", False, f"{state}; its token was not accepted: {describe_error(error)}"
            )
        else:
            if state == "needs_admin":
                text = (
                    f"needed an administrator since {_format_time(since)} ({code}); it answers now, and "
                    "deliveries resume"
                )
                yield Finding(f"portal {domain}", False, text)
            else:
                yield Finding(f"portal {domain}", True, f"{state}, its token is accepted")


def _format_time(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if at is not None else "some time"


_VERDICTS = {
    "ok": "key and salt are accepted",
    "wrong_key": "Mango does not know the API key: copy it from the account's VPBX API page",
    "wrong_salt": "Mango knows the key, but the salt is wrong: copy it from the account's VPBX API page",
    "address_refused": (
        "Mango refuses this server's address: allow it in the API connector's settings, or wait two minutes"
    ),
    "unreachable": "Mango cannot be reached: see BX24APP_MANGO_API_URL and the firewall",
    "busy": "Mango is busy; try again in a minute",
    "wait": "not asked: Mango refused a request with this key within two minutes, and a second one would lock it",
    "refused": "Mango refuses the request",
}


def _check_pbxs() -> Iterator[Finding]:
    rows = db.session.execute(
        select(Portal.domain, Pbx.key, Pbx.api_key, Pbx.api_salt, Pbx.dialects, Pbx.refused_count, Pbx.refused_since)
        .join(Portal, Portal.id == Pbx.portal_id)
        .where(Pbx.removed_at.is_(None), Portal.state != "removed")
        .order_by(Pbx.portal_id, Pbx.position)
    ).all()
    db.session.rollback()
    for row in rows:
        subject, enabled = f"pbx {row.key} of {readable_host(row.domain)}", split_names(row.dialects)
        if is_undecryptable(row.api_key) or is_undecryptable(row.api_salt):
            continue  # `_check_secrets` names it
        if not row.api_key or not row.api_salt:
            needs_keys = any(traits.needs_keys for traits in traits_of(enabled))
            text = "has no API key: enter key and salt" if needs_keys else "sends unsigned events, needs no key"
            yield Finding(subject, not needs_keys, text)
            continue
        result = dialects.check_credentials(enabled, mango_clients.build_client(row.api_key, row.api_salt))
        detail = f" ({result.detail})" if result.detail else ""
        yield Finding(subject, result.state == "ok", _VERDICTS[result.state] + detail)
        if row.refused_count:
            since = _format_time(row.refused_since)
            text = (
                f"{row.refused_count} notifications with a wrong key or signature since {since}: was the key "
                "regenerated in Mango Office?"
            )
            yield Finding(subject, False, text)
