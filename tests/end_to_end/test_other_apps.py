"""Another telephony application tells the portal the same calls: seen by the daily look, over the sandbox's own
statistics.
"""

from __future__ import annotations

from dataclasses import replace

from bx24app.models import db
from bx24app.portals import other_apps, sync
from tests.end_to_end.test_scenarios import told
from tests.support.scenarios import all_scenarios
from tests.support.stack import World

SCENARIO = next(s for s in all_scenarios() if s.folder.name == "incoming_answered_by_group")


def look(earth: World) -> dict[str, int]:
    number = earth.portal_row()["id"]
    with earth.app.app_context():
        sync.sync_portal(number)
        found = other_apps.counts(number)
        db.session.rollback()
        return found


def test_who_tells_the_same_calls_is_named(earth: World) -> None:
    told(earth, SCENARIO, "as it is")
    assert look(earth) == {}, "our own calls are not another's"
    mine = next(iter(earth.portal.statistics.values()))

    def tell(name: str, **changes: object) -> None:
        number = max(earth.portal.statistics) + 1
        row = replace(
            mine, id=number, call_id=f"externalCall.other{number}", external_id="", app_id=77, app_name=name, **changes
        )
        earth.portal.statistics[number] = row

    earth.sandbox.call(tell, "Late phones", start=mine.start - 120)
    earth.sandbox.call(tell, "Outgoing phones", type=1)
    assert look(earth) == {}, "another call of the same client is no double"
    earth.sandbox.call(tell, "Other phones", start=mine.start + 20)
    assert look(earth) == {"Other phones": 1}
    earth.portal.statistics.clear()
    assert look(earth) == {}
