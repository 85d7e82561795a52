"""A draft of many rules costs little: the work grows with its length, and its length is bounded."""

from __future__ import annotations

import json
import time

import pytest
from werkzeug.datastructures import MultiDict

from bx24app.domain.document.sizes import MAX_RULES
from bx24app.domain.settings import Settings
from bx24app.web.rules import rule_form, rules
from bx24app.web.rules.rule_form import RuleItem
from tests.support.frame_pages import Frame, frame

__all__ = ["frame"]
PAGE = "/frame/rules"


def draft(count: int) -> dict[str, list[str]]:
    """A form with this many closed rules."""
    fields = {"rule": [f"r{number}" for number in range(count)], "whole": ["1"], "preset": ["leads"]}
    return fields | {
        f"r{number}-json": [json.dumps({"name": f"R{number}", "when": {}, "do": [{"nothing": {}}]})]
        for number in range(count)
    }


@pytest.mark.parametrize("path", ["", "/body", "/rule", "/try", "/numbers", "/why"])
def test_more_rules_than_any_document_may_have_are_refused_as_a_whole(frame: Frame, path: str) -> None:
    before = time.process_time()
    frame.post(PAGE + path, {**draft(14_000), "call": ["1"], "op": ["add"]}, 413)
    assert time.process_time() - before < 10


def test_a_few_too_many_are_told_on_the_page(frame: Frame) -> None:
    frame.save(Settings())
    page = frame.post(PAGE, {**draft(MAX_RULES + 1), "version": [str(frame.number())]})
    assert f"At most {MAX_RULES} are possible here." in page
    assert frame.settings().rules == ()


def test_the_rules_of_a_changed_draft_keep_their_tokens_without_a_search_for_each() -> None:
    count = 4000
    form = MultiDict[str, str]((name, value) for name, values in draft(count).items() for value in values)
    items = [rule_form.read_rule(form, f"r{number}") for number in range(count)]
    items[7].is_open = True
    wanted = [*(item.rule for item in reversed(items)), {"name": "new"}, {"name": "newer"}]
    before = time.process_time()
    rebuilt = rules._rebuild_items(items, wanted)
    assert time.process_time() - before < 2
    assert [item.token for item in rebuilt] == [*(item.token for item in reversed(items)), "r4000", "r4001"]
    assert [item.token for item in rebuilt if item.is_open] == ["r7"]


def test_rules_of_one_name_are_told_apart_by_their_order() -> None:
    items = [RuleItem("r0", {"name": "A"}), RuleItem("r5", {"name": "A"}, is_open=True), RuleItem("r2", {})]
    rebuilt = rules._rebuild_items(items, [{"name": "A"}, {"name": "A"}, {"name": "A"}, {}])
    assert [(item.token, item.is_open) for item in rebuilt] == [
        ("r0", False), ("r5", True), ("r1", False), ("r2", False),
    ]  # fmt: skip
