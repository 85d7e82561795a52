"""Names of rules, as pages print them."""

from __future__ import annotations

from flask_babel import gettext

from bx24app.domain.rules import missed_matrix


def rule_label(name: str) -> str:
    """What a page calls a rule; rules of the missed-call matrix are named in the language of the page."""
    cell = missed_matrix.CELL_KEY_BY_NAME.get(name)
    if cell is None:
        return name
    labels: dict[missed_matrix.CellKey, str] = {
        ("new", "working"): gettext("Missed call: new client, working hours"),
        ("new", "off"): gettext("Missed call: new client, outside working hours"),
        ("known", "working"): gettext("Missed call: known client, working hours"),
        ("known", "off"): gettext("Missed call: known client, outside working hours"),
    }
    return labels[cell]
