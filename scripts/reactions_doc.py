"""Writes docs/reactions.md from the tables that the program itself uses.

Usage: python -m scripts.reactions_doc     (tests/docs/test_reactions.py fails when the file is out of date)
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bx24app.bitrix24.error_table import (
    DISK_FULL_PHRASES,
    OAUTH_ERRORS,
    PER_METHOD,
    PORTAL_ERRORS,
    TARIFF_PHRASES,
    ErrorRule,
)
from bx24app.infra.messages import NEEDS_ADMIN
from bx24app.mango import codes
from bx24app.mango.code_table import CODES

FILE = Path(__file__).resolve().parent.parent / "docs" / "reactions.md"

KINDS: Final = {
    "expired": "refresh the token once and repeat",
    "not_sent": "repeat after a back-off with jitter; it was not executed",
    "unsure": "repeat after a back-off with jitter, but check first: it may have been executed",
    "denied": "ask `profile`: the tariff or the rights are missing, so notify the administrators and stop the drain; of a method that calls can do without: refused",  # noqa: E501
    "gone": "the installation is over: remove it, keep the data for 30 days",
    "refused": "needs a person: the command is moved to the dead list with its reason, the others continue",
}
MANGO: Final = {
    "ok": "done",
    "later": "repeat after a back-off with jitter; a command only where the code says that it was not begun",
    "wrong_key": "needs a person: the overview and the PBX's page say that the key is wrong",
    "wrong_signature": "needs a person: the overview and the PBX's page say that the salt is wrong",
    "not_permitted": "needs a person: an option of the connector is off, the overview says so",
    "no_money": "needs a person: the account is restricted, the overview says so",
    "missing": "of a recording: repeat after a minute or by BX24APP_RECORDING_RETRY, it may not be there yet; of anything else: it does not exist",  # noqa: E501
    "refused": "needs a person: this request is dead, with its reason",
}
INTRODUCTION = """# What is done about each error

Written by `python -m scripts.reactions_doc` from the tables that decide (`bx24app/bitrix24/error_table.py`, `bx24app/mango/codes.py`); a test compares.
The tests of single rows are `tests/bitrix24/test_error_table.py` and `tests/mango/test_codes.py`.

There are four reactions:

- **repeat**: with a back-off and jitter, or at the time that the portal itself names, at most an hour away;
- **check, then repeat**: where an answer was lost;
- **notify the administrators and stop the drain**: everything is kept, the portal is asked every 35 s, and the work resumes by itself;
- **the dead list**: a person sees it under *Calls → Undelivered* and retries one action or all of them.

Every portal and every PBX also has a circuit breaker. After three connection failures in a row it opens: one request tries, the others wait, at growing
intervals up to five minutes. Administrators get a notice in Bitrix24, and one more when it is over, about a circuit that has been open for ten minutes
(for their own portal only when it is over), deliveries on the dead list, a full disk, a PBX that leaves three requests in a row unanswered, and a dead
authorisation.

A worker that dies is one of the causes of a lost answer. What it had in hand is freed at once on the same machine, within 45 s on another one
(docs/reliability.md); a dead worker's trial of a circuit ends with it, and those who wait for a trial look again every 10 s.

After an answer 3xxx Mango Office is asked nothing more with the same key for two minutes, because a second one would lock the key; clicks still leave. If the
key is locked all the same (401, though it worked within the hour), recordings and statistics wait until the lock ends, and an employee who clicks is told
the minute in which to call again. A 401 of a key that has not worked lately means that Mango Office refuses this server's address.

A full disk stops recordings only: they are tried again every 15 minutes and never given up for it.
"""  # noqa: E501


def of_row(row: ErrorRule) -> str:
    """Return one row's reaction in words."""
    if row.kind == "needs_admin":
        stop = f"notify the administrators and stop the drain: “{NEEDS_ADMIN[row.message_key][1]}”"
        return f"{stop} Of a method that calls can do without: refused" if row.message_key in PER_METHOD else stop
    if row.retry_after:
        return f"repeat after {row.retry_after:g} s with jitter, or at `operating_reset_at`; it was not executed"
    return KINDS[row.kind]


def _portal(table: dict[str, ErrorRule]) -> list[str]:
    return [
        "| Code | Reaction |",
        "|---|---|",
        *(f"| `{code or 'none'}` | {of_row(row)} |" for code, row in table.items()),
    ]


def _mango() -> list[str]:
    rows = [
        f"| {code} | {pair[1]} | {MANGO[codes.reaction_to(code)]} | {codes.sip_status(code)} |"
        for code, pair in CODES.items()
    ]
    return [
        "| Code | Meaning | As an answer of the API | As the reason of an unanswered outgoing call |",
        "|---|---|---|---|",
        *rows,
    ]


def written() -> str:
    """Return the whole file."""
    parts = [
        INTRODUCTION,
        "## Bitrix24: the portal\n",
        "The code is compared regardless of case and before the HTTP status. A code that is not here is the method's own: dead list below status 500, check and repeat from 500 on.\n",  # noqa: E501
        *_portal(PORTAL_ERRORS),
        "\nBy the description, where the code says nothing (none, `ERROR_CORE`, `100`, `0`) or denies access:\n",
        "| Words | Reaction |",
        "|---|---|",
        *(f"| {text} | recordings wait: “{NEEDS_ADMIN['disk'][1]}” |" for text in DISK_FULL_PHRASES),
        *(f"| {text} | {of_row(ErrorRule('needs_admin', 'tariff'))} |" for text in TARIFF_PHRASES),
        "\n## Bitrix24: codes that mean something else at the OAuth server\n",
        *_portal(OAUTH_ERRORS),
        "\n## Mango Office\n",
        "A code that is not here has the meaning of its subclass, then of its class.\n",
        *_mango(),
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
