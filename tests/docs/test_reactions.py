"""docs/reactions.md says what the program does, and no row of the outside tables is without a test of its own."""

from __future__ import annotations

from bx24app.bitrix24.error_table import OAUTH_ERRORS, PORTAL_ERRORS
from bx24app.infra.messages import NEEDS_ADMIN
from bx24app.mango.code_table import CODES
from scripts import reactions_doc
from tests.bitrix24.test_error_table import AUTH_SERVER
from tests.bitrix24.test_error_table import CODES as TESTED
from tests.mango.test_codes import ANSWERS

_OFFICIAL = """
expired_token invalid_token NO_AUTH_FOUND INVALID_CREDENTIALS authorization_error APPLICATION_NOT_FOUND CONNECTION_ERROR insufficient_scope
user_access_error ACCESS_DENIED PAYMENT_REQUIRED WRONG_AUTH_TYPE WRONG_LICENSE METHOD_CONFIRM_WAITING METHOD_CONFIRM_DENIED ERROR_METHOD_NOT_FOUND
QUERY_LIMIT_EXCEEDED OPERATION_TIME_LIMIT OVERLOAD_LIMIT PORTAL_DELETED INTERNAL_SERVER_ERROR ERROR_UNEXPECTED_ANSWER INVALID_REQUEST
ERROR_BATCH_LENGTH_EXCEEDED ERROR_BATCH_METHOD_NOT_ALLOWED ERROR_ARGUMENT ERROR_CORE 100 0 WRONG_ENCODING
"""  # noqa: E501
OFFICIAL = _OFFICIAL.split()
"""The portal's error codes by its official error pages."""


def test_the_document_is_the_table() -> None:
    assert reactions_doc.FILE.read_text(encoding="utf-8") == reactions_doc.written(), (
        "run: python -m scripts.reactions_doc"
    )
    text = reactions_doc.written()
    for code in (*PORTAL_ERRORS, *OAUTH_ERRORS):
        assert f"| `{code or 'none'}` | " in text
    for number in CODES:
        assert f"\n| {number} | " in text


def test_every_official_code_has_a_row_and_a_test() -> None:
    tested = {code.lower() for code, *_ in TESTED}
    for code in [*OFFICIAL, ""]:
        assert code.lower() in PORTAL_ERRORS
        assert code.lower() in tested, code


def test_every_row_has_a_test() -> None:
    tested = {code.lower() for code, *_ in [*TESTED, *AUTH_SERVER]}
    assert {*PORTAL_ERRORS, *OAUTH_ERRORS} - tested == set()
    assert set(CODES) - {code for codes in ANSWERS.values() for code in codes} == set()


def test_every_stop_has_a_sentence() -> None:
    for row in (*PORTAL_ERRORS.values(), *OAUTH_ERRORS.values()):
        assert (row.kind == "needs_admin") == (row.message_key in NEEDS_ADMIN)
