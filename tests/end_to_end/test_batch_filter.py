"""An on-premise portal alters texts inside a batch; the words of rules arrive as they were written."""

from __future__ import annotations

from bx24app.sandbox.bitrix.state import CONTACT, DEAL
from tests.end_to_end.test_rules import MISSED, office, ring
from tests.support.stack import World

WORDS = "Ask <script> and <form>, then update the price and set it; from the site where style=wide"
RULE = {
    "name": "Words",
    "when": {"direction": "in"},
    "do": [
        {"create": {"entity": "deal", "title": f"Deal {WORDS}"}},
        {"todo": {"title": f"To-do {WORDS}"}},
        {"comment": {"text": f"Comment {WORDS}"}},
        {"notify": {"user": 11, "text": f"Notice {WORDS}"}},
    ],
}


def test_words_of_rules_pass_the_filter_of_batches_unchanged(earth: World) -> None:
    hook = office(earth, RULE)
    earth.portal.switches.filters_batches = True
    try:
        told = ring(earth, hook, MISSED)
    finally:
        earth.portal.switches.filters_batches = False
    [deal] = told.records(DEAL)
    assert len(told.records(CONTACT)) == 1
    assert deal.fields["title"] == f"Deal {WORDS}"
    assert f"To-do {WORDS}" in [todo.subject for todo in earth.portal.todos.values()]
    assert f"Comment {WORDS}" in [comment.text for comment in earth.portal.comments.values()]
    assert f"Notice {WORDS}" in [notice.message for notice in earth.portal.notifications.values()]
    assert {state for _, state, _ in told.commands()} == {"done"}
