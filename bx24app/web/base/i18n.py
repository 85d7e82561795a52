"""Language, time zone and formats of pages: Russian or English by the portal, else by the browser; dates in the
portal's time zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from flask import Flask, g, has_request_context, request
from flask_babel import Babel, format_date, format_decimal, format_time, get_locale, gettext, ngettext

from bx24app.domain.languages import choose_language
from bx24app.models import utcnow

_SURROGATE = re.compile("[\ud800-\udfff]")


def init_babel(app: Flask, translations: Path) -> None:
    """Set up Babel and the template filters for moments, durations, numbers and phones."""
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = str(translations)
    app.config["BABEL_DEFAULT_LOCALE"] = "en"
    Babel(app, locale_selector=current_language, timezone_selector=current_timezone)
    app.jinja_env.filters.update(
        moment=format_moment,
        duration=format_duration,
        span=format_span,
        count=format_count,
        ago=format_ago,
        phone=format_phone,
    )
    app.jinja_env.globals.update(language=lambda: str(get_locale() or "en")[:2])
    app.jinja_env.add_extension("jinja2.ext.i18n")


def current_language() -> str:
    """The language of the answer to the current request: ru or en."""
    if not has_request_context():
        return "en"
    if "lang" in g:
        return choose_language(g.lang)
    if "frame" in g:
        return choose_language(g.frame.lang)
    lang = request.args.get("LANG") or request.args.get("lang")
    return choose_language(lang) if lang else (request.accept_languages.best_match(["ru", "en"]) or "en")


def current_timezone() -> str:
    """The portal's IANA zone; UTC until the view has loaded the settings."""
    name = str(g.get("timezone", "UTC")) if has_request_context() else "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return "UTC"
    return name


def format_moment(at: datetime | None) -> str:
    """`14:05:09` today, else with the date: `3 Feb, 14:05`."""
    if at is None:
        return ""
    here = ZoneInfo(current_timezone())
    if at.astimezone(here).date() == utcnow().astimezone(here).date():
        return str(format_time(at, "HH:mm:ss"))
    if at.astimezone(here).year == utcnow().astimezone(here).year:
        return f"{format_date(at.astimezone(here), 'd MMM', rebase=False)}, {format_time(at, 'HH:mm')}"
    return f"{format_date(at.astimezone(here), 'd MMM y', rebase=False)}, {format_time(at, 'HH:mm')}"


def format_duration(seconds: float | None) -> str:
    """`3:05`, `1:02:03`."""
    if seconds is None:
        return ""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def format_span(seconds: float | None) -> str:
    """Roughly how long: `25 s`, `4 min`, `3 h 20 min`."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 100:
        return str(gettext("%(seconds)d s", seconds=whole))
    minutes = round(seconds / 60)
    if minutes < 100:
        return str(gettext("%(minutes)d min", minutes=minutes))
    hours, rest = divmod(minutes, 60)
    if hours < 24 and rest:
        return str(gettext("%(hours)d h %(minutes)d min", hours=hours, minutes=rest))
    return str(gettext("%(hours)s h", hours=format_count(hours)))


def replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates by question marks: JSON can contain them, UTF-8 cannot."""
    is_broken = isinstance(value, str) and _SURROGATE.search(value)
    return value.encode("utf-8", "replace").decode() if is_broken else value


def format_count(number: int) -> str:
    """A number with the thousands separator of the language."""
    return str(format_decimal(number))


def format_ago(at: datetime | None) -> str:
    """How long ago, in words."""
    if at is None:
        return str(gettext("never"))
    passed = max(timedelta(0), utcnow() - at)
    seconds = int(passed.total_seconds())
    if seconds < 60:
        return str(gettext("just now"))
    if seconds < 3600:
        return str(ngettext("%(num)d minute ago", "%(num)d minutes ago", seconds // 60))
    if seconds < 86400:
        return str(ngettext("%(num)d hour ago", "%(num)d hours ago", seconds // 3600))
    return str(ngettext("%(num)d day ago", "%(num)d days ago", seconds // 86400))


def format_phone(number: str | None) -> str:
    """`+7 495 123-45-67`; text that is no phone number stays as it is."""
    if not number:
        return ""
    try:
        parsed = phonenumbers.parse(number if number.startswith("+") else f"+{number}")
    except phonenumbers.NumberParseException:
        return number
    if not phonenumbers.is_possible_number(parsed):
        return number
    return str(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL))
