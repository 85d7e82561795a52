"""Texts that an on-premise portal alters inside a batch are recognised before they leave."""

from __future__ import annotations

import pytest

from bx24app.bitrix24.batch_filter import is_altered_in_batch
from bx24app.domain.calls.commands import AddComment, AddTodo, CreateRecord, Record
from bx24app.sandbox.bitrix.security_filter import filter_value

ALTERED = (
    "<script>alert(1)</script>", "</ScRiPt>", "< b>bold</b> <iframe src=x>", "<s\tcript>", "<style>a{}</style>",
    "<form action=x>", "<svg/onload=x>", "say onclick=1", "style=red", "javascript:void(0)", "java script : x",
    "vbscript=x", "behavior: url(x)", "expression (1)", "a UNION all SELECT b", "select the line from the list",
    "from the site where they asked", "from the price limit 5", "create table", "drop table x",
    "update the deal, set",
    "insert it into the list", "C:\\..\\file", "see /docs/../x", "<!DOCTYPE html>", "<base href=x>", "<xml>",
)  # fmt: skip
PLAIN = (
    "Call back +7 916 000-00-01", "Перезвонить: пропущенный звонок", "Missed call from +79160000001", "a < b and c > d",
    "Price = 5", "https://example.com/a/b?x=1&y=2", "100 % sure", "Заявка с сайта «Окна»", "select a manager",
    "Update the deal", "Клиент: {Иванов}", "", "on = off",
)  # fmt: skip


@pytest.mark.parametrize("text", ALTERED)
def test_what_the_filter_alters_is_recognised(text: str) -> None:
    """Not every portal alters all of them: a match too many costs one request."""
    assert is_altered_in_batch(text)
    assert is_altered_in_batch({"fields": [{"COMMENT": f"Client: {text}"}]})


def test_most_of_the_samples_are_altered_by_the_sandbox() -> None:
    altered = [text for text in ALTERED if filter_value(text) != text]
    assert len(altered) >= len(ALTERED) - 3, set(ALTERED) - set(altered)


@pytest.mark.parametrize("text", PLAIN)
def test_plain_texts_are_neither_altered_nor_recognised(text: str) -> None:
    assert filter_value({"a": [text]}) == {"a": [text]}
    assert not is_altered_in_batch(text)


@pytest.mark.parametrize(
    "command",
    [
        AddComment(key="comment-0", record=Record("deal", 5), text="<script>"),
        AddTodo(key="todo", record=Record("deal", 5), responsible=1, title="<script>", deadline_at=9),
        CreateRecord(key="c", entity="deal", responsible=1, title="t", origin="o", fields=(("comments", "<script>"),)),
    ],
)
def test_every_text_of_a_command_counts(command: AddComment | AddTodo | CreateRecord) -> None:
    assert is_altered_in_batch(command)
