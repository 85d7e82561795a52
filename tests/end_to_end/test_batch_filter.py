"""An on-premise portal alters texts inside a batch; the words of rules arrive as they were written."""

from __future__ import annotations

from bx24app.domain.settings import Settings
from bx24app.models import Portal, db
from bx24app.portals import external_lines
from bx24app.sandbox.bitrix.state import CONTACT, DEAL
from tests.conftest import KEY, SALT
from tests.end_to_end.test_rules import MISSED, office, ring
from tests.end_to_end.test_scenarios import connect
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


def test_names_of_lines_pass_it_too(earth: World) -> None:
    """A name that came back altered would be written again at every save."""
    connect(earth, MISSED)
    document = MISSED.settings.model_dump(by_alias=True, mode="json")
    document["pbxs"][0]["lines"][0]["name"] = "Line <form>"
    earth.connect(Settings.model_validate(document), {"moscow": (KEY, SALT)})
    earth.portal.switches.filters_batches = True
    try:
        with earth.app.app_context():
            external_lines.sync_lines(db.session.scalars(db.select(Portal.id)).one())
            db.session.remove()
    finally:
        earth.portal.switches.filters_batches = False
    assert "Line <form>" in [line.name for line in earth.portal.lines.values()]


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
