"""`make audit` never calls silence a verdict."""

from __future__ import annotations

import json

import pytest

from scripts import audit


def answer(*packages: dict[str, object]) -> str:
    return json.dumps({"dependencies": list(packages)})


KNOWN = {"name": "flask", "version": "3.1", "vulns": []}
HOLE = {"name": "jinja2", "version": "2.0", "vulns": [{"id": "CVE-1"}]}
UNKNOWN = {"name": "rq", "skip_reason": "not found"}


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", answer(), answer(UNKNOWN)])
def test_an_index_that_does_not_answer_gives_no_verdict(text: str) -> None:
    assert audit.judged_python(text) == (True, audit.UNANSWERED)
    assert audit.judged_npm(text) == (True, audit.UNANSWERED)


def test_holes_are_named() -> None:
    assert audit.judged_python(answer(KNOWN, HOLE, UNKNOWN)) == (False, "jinja2 2.0: CVE-1")
    assert audit.judged_python(answer(KNOWN, UNKNOWN)) == (True, "1 packages without a known hole, 1 not looked at")
    assert audit.judged_npm('{"metadata": {"vulnerabilities": {"total": 2}}}') == (False, "2 known holes")
    assert audit.judged_npm('{"metadata": {"vulnerabilities": {"total": 0}}}') == (True, "0 known holes")
