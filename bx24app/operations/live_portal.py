"""`bx24app doctor --live`: what a real portal answers, beside what the program assumed. Nothing in the portal changes.

Three requests: a batch of questions, one about methods, and `app.info` of the authorisation server.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from bx24app.bitrix24 import errors
from bx24app.bitrix24.client import RestResult
from bx24app.domain.host_names import normalise_host, readable_host
from bx24app.domain.scopes import missing_scopes
from bx24app.models import Grant, Portal, db, utcnow
from bx24app.operations.findings import Finding, describe_error
from bx24app.portals import clients, tokens
from bx24app.portals.connections import oauth_servers
from bx24app.portals.install import licence_of

Answers = Mapping[str, RestResult | errors.PortalError]

QUESTIONS: Final = {
    "app": "app.info", "scope": "scope", "profile": "profile", "time": "server.time", "mode": "crm.settings.mode.get",
    "types": "crm.type.list",
}  # fmt: skip
CALL_METHODS: Final = (
    "telephony.externalCall.register", "telephony.externalCall.show", "telephony.externalCall.hide",
    "telephony.externalCall.finish", "telephony.externalCall.attachRecord", "telephony.externalLine.add",
    "crm.item.add", "crm.item.update", "crm.item.list", "crm.activity.todo.add", "crm.activity.update",
    "crm.timeline.comment.add", "im.notify.system.add", "placement.bind", "event.bind", "voximplant.statistic.get",
)  # fmt: skip
"""Methods whose absence somebody would notice; a box may be older than the documentation."""
MAX_DRIFT_SECONDS: Final = 60


def ask_portal(portal_id: int) -> Iterator[Finding]:
    """The findings about one installed portal."""
    portal, grant = db.session.get_one(Portal, portal_id), db.session.get(Grant, portal_id)
    user_id, licence, endpoint = grant.user_id if grant else None, portal.license, portal.client_endpoint
    server = oauth_servers().find_server(portal.server_endpoint) or oauth_servers().servers[0]
    subject = f"live portal {readable_host(portal.domain)}"
    db.session.rollback()
    try:
        client = clients.client_by_id(portal_id)
        answers = client.batch([(key, method, {}) for key, method in QUESTIONS.items()])
        methods = client.batch([(f"m{index}", "method.get", {"name": name}) for index, name in enumerate(CALL_METHODS)])
    except errors.PortalError as error:
        yield Finding(subject, False, f"does not answer: {describe_error(error)}")
        return
    yield from _judge_application(subject, answers, licence)
    yield _judge_scopes(subject, answers)
    yield _judge_profile(subject, answers, user_id)
    yield _judge_time(subject, answers)
    yield _judge_methods(subject, methods)
    yield _describe_crm(subject, answers)
    yield _judge_address(subject, portal_id, server, endpoint)


def _value(answers: Answers, key: str) -> Any:
    answer = answers.get(key)
    return answer.result if isinstance(answer, RestResult) else None


def _refusal(answers: Answers, key: str) -> str:
    answer = answers.get(key)
    return str(answer) if isinstance(answer, errors.PortalError) else "an answer of an unknown shape"


def _judge_application(subject: str, answers: Answers, assumed: str) -> Iterator[Finding]:
    app = _value(answers, "app")
    if not isinstance(app, dict):
        yield Finding(f"{subject}: app.info", False, _refusal(answers, "app"))
        return
    licence = licence_of(app)
    kind = "a box, without a request budget" if "selfhosted" in licence else "a cloud portal, with the plan's budget"
    yield Finding(f"{subject}: licence", licence == assumed, f"{licence} ({kind}); assumed {assumed or 'nothing yet'}")
    text = f"status {app.get('STATUS')}, installed {app.get('INSTALLED')}; assumed installed"
    yield Finding(f"{subject}: application", app.get("INSTALLED") in (True, "true", "Y", "1", 1), text)


def _judge_scopes(subject: str, answers: Answers) -> Finding:
    granted = _value(answers, "scope")
    names = ",".join(map(str, granted)) if isinstance(granted, list) else str(granted or "")
    missing = missing_scopes(names)
    text = f"{names or _refusal(answers, 'scope')}; missing: {', '.join(missing) or 'none'}"
    return Finding(f"{subject}: scopes", bool(names) and not {"telephony", "crm"} & set(missing), text)


def _judge_profile(subject: str, answers: Answers, assumed: int | None) -> Finding:
    profile = _value(answers, "profile")
    if not isinstance(profile, dict):
        return Finding(f"{subject}: user", False, _refusal(answers, "profile"))
    is_same = str(profile.get("ID")) == str(assumed)
    text = f"works as user {profile.get('ID')}, administrator {profile.get('ADMIN')}; assumed user {assumed}"
    return Finding(f"{subject}: user", is_same, text)


def _judge_time(subject: str, answers: Answers) -> Finding:
    try:
        moment = datetime.fromisoformat(str(_value(answers, "time")))
        drift = round((utcnow() - moment).total_seconds())
    except (TypeError, ValueError):
        return Finding(f"{subject}: time", False, _refusal(answers, "time"))
    text = f"zone {moment.strftime('%z')}, our clock {drift:+d} s; assumed at most {MAX_DRIFT_SECONDS} s"
    return Finding(f"{subject}: time", abs(drift) <= MAX_DRIFT_SECONDS, text)


def _judge_methods(subject: str, methods: Answers) -> Finding:
    missing = []
    for index, name in enumerate(CALL_METHODS):
        answer = _value(methods, f"m{index}")
        if not isinstance(answer, dict) or not answer.get("isExisting"):
            missing.append(f"{name} does not exist")
        elif not answer.get("isAvailable"):
            missing.append(f"{name} is not available to the application")
    return Finding(f"{subject}: methods", not missing, "; ".join(missing) or f"all {len(CALL_METHODS)} are there")


def _describe_crm(subject: str, answers: Answers) -> Finding:
    types, mode = _value(answers, "types"), _value(answers, "mode")
    rows = types.get("types") if isinstance(types, dict) else None
    staged = [row for row in rows or [] if isinstance(row, dict) and row.get("isStagesEnabled") in ("Y", True)]
    named = {"1": "classic (leads)", "2": "simple (no leads)"}.get(str(mode), _refusal(answers, "mode"))
    text = f"{named}; smart processes {len(rows or [])}, with stages {len(staged)}"
    return Finding(f"{subject}: CRM", str(mode) in ("1", "2"), text)


def _judge_address(subject: str, portal_id: int, server: str, endpoint: str) -> Finding:
    try:
        info = oauth_servers().fetch_app_info(tokens.access_token(portal_id), server)
    except errors.PortalError as error:
        text = f"{urlsplit(server).hostname} does not say: {describe_error(error)}"
        return Finding(f"{subject}: address", False, text)
    registered, stored = urlsplit(info.client_endpoint), urlsplit(endpoint)
    is_same = normalise_host(registered.netloc) == normalise_host(stored.netloc)
    text = f"registered as {registered.scheme}://{registered.netloc}; assumed {stored.scheme}://{stored.netloc}"
    return Finding(f"{subject}: address", is_same, text)
