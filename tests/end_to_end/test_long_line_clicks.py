"""A click on a line whose name is longer than the portal's field: the portal names its cut form, Mango its own name."""

from __future__ import annotations

import pytest

from bx24app.domain.settings import MAX_LINE_NUMBER, LineSettings
from bx24app.portals import external_lines
from tests.support.click_offices import ANNA, DOCUMENT, KEYS, Offices, number, offices
from tests.support.stack import World, until

TRUNK = "sip:calltracking-moscow-office-2@vpbx400000001.mangosip.ru"
CYRILLIC = "Линия колл-центра на Тверской"


def _add_line(made: Offices, line: LineSettings) -> str:
    """Give the Moscow office this line too. Returns the portal's name of it."""
    earth, [moscow, *others] = made.earth, DOCUMENT.pbxs
    wider = moscow.model_copy(update={"lines": (*moscow.lines, line)})
    earth.connect(DOCUMENT.model_copy(update={"pbxs": (wider, *others)}), KEYS)
    at_mango = earth.sandbox.call(lambda: made.moscow.pbx.add_line(line.number, line.name))
    at_mango.region = "sip" if line.number.startswith("sip:") else at_mango.region
    before = {known.number for known in list(earth.portal.lines.values())}
    with earth.app.app_context():
        external_lines.sync_lines(earth.portal_row()["id"])
    until(lambda: len(earth.portal.lines) > len(before), "the portal has not got the line", 30)
    [shown] = {known.number for known in list(earth.portal.lines.values())} - before
    return shown


@pytest.mark.parametrize(
    ("line", "dialled"),
    [
        (LineSettings(number=TRUNK, name="calltracking-moscow-office-2"), "calltracking-moscow-office-2"),
        (LineSettings(number=CYRILLIC, name="Tverskaya"), CYRILLIC),
    ],
    ids=["more than 50 characters", "more than 50 bytes"],
)
def test_the_click_leaves_by_the_line_that_the_portal_shows(earth: World, line: LineSettings, dialled: str) -> None:
    made = offices(earth)
    made.plan()
    assert len(line.number.encode()) > MAX_LINE_NUMBER
    shown = _add_line(made, line)
    assert line.number.startswith(shown)
    assert len(shown.encode()) <= MAX_LINE_NUMBER
    client = number()
    call_id = made.click(ANNA, client, line=shown)
    (row,) = made.finished(client)
    assert (row.call_id, row.portal_number, row.user_id, row.failed_code) == (call_id, shown, ANNA, "200")
    (sent,) = made.dialled(client)
    assert (sent["from"], sent["line_number"]) == ({"extension": "101"}, dialled)
    assert made.call(client)["outcome"] == "answered"
