"""The one table: a row of the test for each row of the official error pages."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bx24app.bitrix24 import error_table
from bx24app.bitrix24.errors import (
    CALL_NOT_FINISHED,
    CALL_UNKNOWN,
    AccessDenied,
    AnswerLost,
    Gone,
    NeedsAdmin,
    NotSent,
    PortalError,
    PortalMoved,
    Refused,
    TokenExpired,
)
from bx24app.domain.calls.ledger import USER_INACTIVE
from bx24app.infra import messages

CODES: list[tuple[str, int, type[PortalError], str]] = [
    ("expired_token", 401, TokenExpired, ""),
    ("invalid_token", 401, TokenExpired, ""),
    ("NO_AUTH_FOUND", 401, TokenExpired, ""),
    ("INVALID_CREDENTIALS", 403, AccessDenied, "INVALID_CREDENTIALS"),
    ("INVALID_CREDENTIALS", 401, AccessDenied, "INVALID_CREDENTIALS"),
    ("authorization_error", 401, NeedsAdmin, "authorise"),
    ("APPLICATION_NOT_FOUND", 401, Gone, "APPLICATION_NOT_FOUND"),
    ("CONNECTION_ERROR", 401, NotSent, ""),
    ("insufficient_scope", 403, NeedsAdmin, "scope"),
    ("insufficient_scope", 401, NeedsAdmin, "scope"),
    ("user_access_error", 403, NeedsAdmin, "access"),
    ("ACCESS_DENIED", 403, AccessDenied, "ACCESS_DENIED"),
    ("ACCESS_DENIED", 401, AccessDenied, "ACCESS_DENIED"),
    ("ACCESS_DENIED", 400, AccessDenied, "ACCESS_DENIED"),
    ("PAYMENT_REQUIRED", 401, NeedsAdmin, "payment"),
    ("WRONG_AUTH_TYPE", 403, NeedsAdmin, "registration"),
    ("WRONG_LICENSE", 403, NeedsAdmin, "tariff"),
    ("METHOD_CONFIRM_WAITING", 401, NeedsAdmin, "confirm"),
    ("METHOD_CONFIRM_DENIED", 403, NeedsAdmin, "confirm"),
    ("ERROR_METHOD_NOT_FOUND", 404, NeedsAdmin, "scope"),
    ("QUERY_LIMIT_EXCEEDED", 503, NotSent, ""),
    ("OPERATION_TIME_LIMIT", 429, NotSent, ""),
    ("OVERLOAD_LIMIT", 503, NeedsAdmin, "overload"),
    ("OVERLOAD_LIMIT", 401, NeedsAdmin, "overload"),
    ("PORTAL_DELETED", 500, NeedsAdmin, "closed"),
    ("PORTAL_DELETED", 403, NeedsAdmin, "closed"),
    ("PORTAL_DELETED", 410, NeedsAdmin, "closed"),
    ("INTERNAL_SERVER_ERROR", 500, AnswerLost, ""),
    ("ERROR_UNEXPECTED_ANSWER", 500, AnswerLost, ""),
    ("INVALID_REQUEST", 400, Refused, "INVALID_REQUEST"),
    ("ERROR_BATCH_LENGTH_EXCEEDED", 400, Refused, "ERROR_BATCH_LENGTH_EXCEEDED"),
    ("ERROR_BATCH_METHOD_NOT_ALLOWED", 405, Refused, "ERROR_BATCH_METHOD_NOT_ALLOWED"),
    ("ERROR_ARGUMENT", 400, Refused, "ERROR_ARGUMENT"),
    ("INVALID_ARGUMENT", 400, Refused, "INVALID_ARGUMENT"),
    ("ERROR_CORE", 400, Refused, "ERROR_CORE"),
    ("ERROR_CORE", 500, AnswerLost, ""),
    ("", 400, Refused, "ERROR_CORE"),
    ("100", 400, Refused, "100"),
    ("0", 400, Refused, "0"),
    ("WRONG_ENCODING", 200, Refused, "WRONG_ENCODING"),
    ("NOT_FOUND", 400, Refused, "NOT_FOUND"),
    ("CREATE_DYNAMIC_ITEM_RESTRICTED", 400, Refused, "CREATE_DYNAMIC_ITEM_RESTRICTED"),
    ("CRM_FIELD_ERROR_REQUIRED", 400, Refused, "CRM_FIELD_ERROR_REQUIRED"),
    ("SOMETHING_NEW", 502, AnswerLost, ""),
    ("allowed_only_intranet_user", 403, AccessDenied, "allowed_only_intranet_user"),
]


def code_of(error: PortalError) -> str:
    return str(getattr(error, "code", ""))


@pytest.mark.parametrize(("code", "status", "kind", "named"), CODES)
def test_a_code_has_one_reaction(code: str, status: int, kind: type[PortalError], named: str) -> None:
    for written in (code, code.lower(), code.upper()):
        met = error_table.classify_answer(
            status, {"error": written, "error_description": "words"}, "telephony.externalCall.show"
        )
        assert type(met) is kind
        assert code_of(met).lower() == named.lower()


AUTH_SERVER: list[tuple[str, int, type[PortalError], str]] = [
    ("invalid_request", 400, NeedsAdmin, "authorise"),
    ("invalid_client", 401, NeedsAdmin, "registration"),
    ("invalid_client", 400, NeedsAdmin, "registration"),
    ("invalid_grant", 400, NeedsAdmin, "authorise"),
    ("wrong_client", 200, NeedsAdmin, "registration"),
    ("NOT_INSTALLED", 401, Gone, "NOT_INSTALLED"),
    ("PAYMENT_REQUIRED", 401, NeedsAdmin, "payment"),
    ("invalid_scope", 403, NeedsAdmin, "scope"),
    ("insufficient_scope", 403, NeedsAdmin, "scope"),
    ("NO_AUTH_FOUND", 401, NeedsAdmin, "authorise"),
    ("expired_token", 401, NeedsAdmin, "authorise"),
    ("invalid_token", 401, NeedsAdmin, "authorise"),
    ("ERROR_OAUTH", 400, NotSent, ""),
]


@pytest.mark.parametrize(("code", "status", "kind", "named"), AUTH_SERVER)
def test_the_auth_server_has_meanings_of_its_own(code: str, status: int, kind: type[PortalError], named: str) -> None:
    met = error_table.classify_answer(status, {"error": code, "error_description": ""}, oauth=True)
    assert type(met) is kind
    assert code_of(met) == named


DESCRIBED = [
    ("User is not found or is not active", Refused, USER_INACTIVE),
    ("USER_ID or USER_PHONE_INNER should be set", Refused, USER_INACTIVE),
    ("Call is not found (call should be registered prior to finishing", Refused, CALL_UNKNOWN),
    (
        "Call is not found in the statistic table. Looks like it is not finished yet.",
        Refused,
        CALL_NOT_FINISHED,
    ),
    ("Not enough free space on the Drive. Free up some space and try again.", NeedsAdmin, "disk"),
    ("Disk quota exceeded", NeedsAdmin, "disk"),
    ("Unsupported phone number format", Refused, "ERROR_CORE"),
]


@pytest.mark.parametrize("code", ["", "ERROR_CORE"])
@pytest.mark.parametrize(("text", "kind", "named"), DESCRIBED)
def test_where_the_code_tells_nothing_the_description_does(code: str, text: str, kind: type, named: str) -> None:
    for status in (400, 500) if kind is not Refused or named != "ERROR_CORE" else (400,):
        met = error_table.classify_answer(status, {"error": code, "error_description": text})
        assert type(met) is kind
        assert code_of(met) == named


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, AnswerLost),
        (401, NotSent),
        (403, NotSent),
        (404, NotSent),
        (410, NotSent),
        (413, Refused),
        (429, NotSent),
        (500, AnswerLost),
        (502, AnswerLost),
        (503, AnswerLost),
        (504, AnswerLost),
    ],
)
def test_a_page_of_html_never_decides_anything_for_good(status: int, kind: type[PortalError]) -> None:
    assert type(error_table.classify_answer(status, None)) is kind


def test_a_list_or_a_map_without_result_cannot_be_read() -> None:
    for body in ([], "text", 7, {}, {"time": {}}):
        assert type(error_table.classify_answer(200, body)) is AnswerLost
    assert error_table.classify_answer(200, {"result": None}) is None
    assert error_table.classify_answer(200, {"result": []}) is None


def test_a_redirect_is_a_move() -> None:
    met = error_table.classify_answer(302, None, location="https://new.example/rest/profile")
    assert isinstance(met, PortalMoved)
    assert met.location == "https://new.example/rest/profile"
    assert type(error_table.classify_answer(302, None)) is NotSent


def test_a_tariff_without_rest_is_told_by_its_words() -> None:
    for text in ("REST is available only on commercial plans.", "REST API is available by subscription"):
        met = error_table.classify_error({"error": "ACCESS_DENIED", "error_description": text}, 401, "profile")
        assert code_of(met) == "tariff"


def test_a_method_that_we_can_do_without_is_one_commands_matter() -> None:
    error = {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}
    assert type(error_table.classify_error(error, 404, "tasks.task.add")) is Refused
    assert type(error_table.classify_error(error, 404, "telephony.externalCall.finish")) is NeedsAdmin


def test_the_portals_own_reset_time_is_obeyed() -> None:
    def after(**more: Any) -> float:
        met = error_table.classify_error({"error": "OPERATION_TIME_LIMIT", "error_description": "", **more}, 429)
        assert isinstance(met, NotSent)
        assert met.retry_after is not None
        return met.retry_after

    assert 170 < after(operating_reset_at=time.time() + 180) <= 180
    assert 170 < after(time={"operating_reset_at": int(time.time()) + 180}) <= 180
    assert after(operating_reset_at=time.time() - 5) == 1.0
    assert after(operating_reset_at=time.time() + 10**9) == 3600.0
    for nonsense in ("soon", None, [], float("nan")):
        assert after(operating_reset_at=nonsense) == 60.0


def test_only_the_request_limit_is_the_budgets_matter() -> None:
    limit = error_table.classify_error({"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}, 503)
    assert isinstance(limit, NotSent)
    assert (limit.is_rate_limited, limit.retry_after) == (True, 1.0)
    other = error_table.classify_error({"error": "OPERATION_TIME_LIMIT", "error_description": ""}, 429)
    assert isinstance(other, NotSent)
    assert not other.is_rate_limited


def test_every_trouble_has_a_sentence_in_both_languages() -> None:
    troubles = {
        row.message_key
        for row in [*error_table.PORTAL_ERRORS.values(), *error_table.OAUTH_ERRORS.values()]
        if row.kind == "needs_admin"
    }
    for trouble in troubles | {"tariff", "rights", "disk", "address"}:
        russian, english = messages.NEEDS_ADMIN[trouble]
        assert messages.needs_admin_message("ru", trouble) == russian
        assert messages.needs_admin_message("de", trouble) == english
        assert russian != english
    assert messages.needs_admin_message("en", "no such trouble") == messages.NEEDS_ADMIN["authorise"][1]
