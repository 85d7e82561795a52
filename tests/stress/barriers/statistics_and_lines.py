"""Issue 14: statistics, lines and routing at Mango Office (F9, F11, F12, F13, F14, F20)."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

SHAPES = ("tests/mango/test_statistics_shapes.py",)
USERS = ("tests/mango/test_statistics_users.py",)
LINES = ("tests/mango/test_lines.py",)
ZONES = ("tests/calls/reconciliation/test_zone_learning.py",)
PEOPLE = ("tests/calls/reconciliation/test_entry_people.py",)
CLIENT = ("tests/mango/test_client.py",)
MEMBERS = ("tests/portals/test_pbx_members.py",)

BARRIERS = [
    Barrier("F9", "mango/statistics_users.py", "    if not is_dialled or not extension or", "    if True or", USERS),
    Barrier("F9", "mango/statistics_users.py", '_PEOPLE = ("user", "number")', '_PEOPLE = ("user",)', USERS),
    Barrier("F9", "mango/statistics_users.py", 'user_id = entry.get("caller_id")', "pass", USERS),
    Barrier("F9", "mango/statistics_users.py", 'and leg.get("DirectionOutbound") is not False', "", USERS),
    Barrier("F9", "mango/statistics_users.py", '({"caller_extension": caller} if caller else {})', "{}", SHAPES),
    Barrier("F9", "mango/statistics_users.py", "or groups.get(_group_id(leg))", "", USERS),
    Barrier(
        "F9", "calls/reconciliation/statistics_requests.py",
        "entry_people.name_people(mango, order.pbx_id, entries)", "entries",
        ("tests/end_to_end/test_reconcile.py::test_employees_are_found_by_their_ids",),
    ),
    Barrier("F9", "calls/reconciliation/entry_people.py", "if users - user_extensions.keys() and", "if", PEOPLE),
    Barrier(
        "F9", "calls/reconciliation/entry_people.py",
        'return now - times.get((pbx_id, kind), float("-inf")) > ASK_SECONDS', "return True", PEOPLE,
    ),
    Barrier("F9", "calls/reconciliation/entry_people.py", "    except errors.KeyPaused:\n        raise\n", "", PEOPLE),
    Barrier(
        "F11", "mango/lines.py",
        "        if error.code == NO_SUCH_OBJECT:\n            return []\n        lines", "        lines", LINES,
    ),
    Barrier(
        "F11", "mango/lines.py",
        "        if error.code != NO_SUCH_OBJECT:\n            raise\n", "        raise\n", LINES,
    ),
    Barrier("F11", "mango/lines.py", "(_fetch_trunks(transport) if has_trunks else [])", "[]", LINES),
    Barrier(
        "F11", "mango/lines.py",
        "_fetch_numbers(transport) if has_numbers or not has_trunks else []", "_fetch_numbers(transport)", LINES,
    ),
    Barrier(
        "F11", "mango/lines.py", "(_fetch_trunks(transport) if has_trunks else [])", "_fetch_trunks(transport)", LINES,
    ),
    Barrier(
        "F11", "mango/client.py",
        "            self.fetch_balance()\n        except NotPermitted",
        "            self.fetch_lines()\n        except NotPermitted",
        LINES,
    ),
    Barrier(
        "F11", "mango/client.py",
        "        except NotPermitted:\n            pass  #", "        except ZeroDivisionError:\n            pass  #",
        LINES,
    ),
    Barrier(
        "F12", "operations/pbx_checks.py", "LOST_ROUTES = 3", "LOST_ROUTES = 300", ("tests/web/overview/test_home.py",),
    ),
    Barrier(
        "F12", "operations/pbx_checks.py",
        "return all(_is_refused_later(pbx, command_id) for command_id in accepted)", "return not accepted",
        ("tests/web/overview/test_home.py",),
    ),
    Barrier(
        "F12", "web/overview/problems.py",
        "any(line.route for line in pbx.lines) and", "", ("tests/web/overview/test_home.py",),
    ),
    Barrier(
        "F13", "calls/reconciliation/zone_learning.py",
        "    short = statistics_zone.pick_short(spans)\n", "    return None\n    short = []\n", ZONES,
    ),
    Barrier("F13", "calls/reconciliation/zone_learning.py", "        _store_zone(order.pbx_id, learnt)\n", "", ZONES),
    Barrier("F13", "calls/reconciliation/zone_learning.py", "    _store_zone(order.pbx_id, None)\n", "", ZONES),
    Barrier("F13", "calls/reconciliation/zone_learning.py", "_ask(order, NO_ZONE)", "None", ZONES),
    Barrier("F13", "mango/statistics_zone.py", "*([own] if own else []), ", "", ZONES),
    Barrier("F13", "mango/statistics_zone.py", "if span.end - span.start <= SHORT_SECONDS]", "]", ZONES),
    Barrier(
        "F13", "calls/reconciliation/statistics_requests.py",
        "    if zone_learning.is_wide(order):\n", "    if False:\n",
        ("tests/calls/reconciliation/test_wide_answers.py",),
    ),
    Barrier(
        "F14", "mango/statistics_answer.py", "days = [data] if isinstance(data, dict) else data", "days = data", CLIENT,
    ),
    Barrier(
        "F14", "mango/statistics_answer.py",
        '        raise RequestRefused("Mango\'s statistics hold no list of calls.")', "        return []", CLIENT,
    ),
    Barrier(
        "F14", "mango/statistics_answer.py", " or not all(isinstance(entry, dict) for entry in entries)", "", CLIENT,
    ),
    Barrier("F20", "sandbox/mango/rest.py", '.strip("/")', "", ("tests/sandbox/mango/test_rest.py",)),
]  # fmt: skip
