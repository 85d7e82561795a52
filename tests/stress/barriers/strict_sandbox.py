"""Issue 14: "The sandbox, strict": each is as strict as its source only where a test of the sandbox says so."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

CRM = ("tests/sandbox/bitrix/test_crm.py",)
SECONDS = ("tests/sandbox/bitrix/test_work_seconds.py",)
DOCUMENTED = ("tests/sandbox/bitrix/test_documented.py",)
REGISTER = ("tests/sandbox/bitrix/test_register.py",)
MANGO_LINES = ("tests/sandbox/mango/test_lines.py",)
MANGO_STATISTICS = ("tests/sandbox/mango/test_statistics.py",)
MANGO_REST = ("tests/sandbox/mango/test_rest.py",)
MANGO_RECORDINGS = ("tests/sandbox/mango/test_recordings.py",)

BARRIERS = [
    # The portal.
    Barrier("sandbox", "sandbox/bitrix/fields.py", '"stageSemanticId": (LEAD, DEAL), ', "", CRM),
    Barrier(
        "sandbox", "sandbox/bitrix/fields.py",
        'return name.removeprefix("parentId") in map(str, parents)', "return True", CRM,
    ),
    Barrier("sandbox", "sandbox/bitrix/fields.py", " or type_id in _READ_ONLY_NOT_OF.get(name, ())", "", CRM),
    Barrier(
        "sandbox", "sandbox/bitrix/crm_items.py",
        "    _check_filter(type_id, wanted, parents)\n    stored", "    stored", CRM,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/todos.py",
        'activity.settings = {**color, "PING_OFFSETS": [', 'activity.settings |= {**color, "PING_OFFSETS": [', CRM,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/todos.py",
        '    activity.settings["PING_OFFSETS"] = [php', '    activity.settings["PING_OFFSETS"] = [0, 15] or [php', CRM,
    ),
    Barrier("sandbox", "sandbox/bitrix/system.py", 'if license_type != "selfhosted":', "if True:", DOCUMENTED),
    Barrier(
        "sandbox", "sandbox/bitrix/system.py", ', "LICENSE_FAMILY": license_type.rstrip("0123456789")', "", DOCUMENTED,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/dispatch.py",
        "    _check_scope(context, method)\n    app_id", "    app_id", DOCUMENTED,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/statistics.py",
        'if not context.user.rights.get("statistics", True):', "if False:", DOCUMENTED,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/lines.py",
        '    if not context.user.rights.get("lines", context.user.admin):', "    if False:", DOCUMENTED,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/dictionaries.py",
        '    if not context.user.rights.get("crm_settings", context.user.admin):', "    if False:", DOCUMENTED,
    ),
    Barrier("sandbox", "sandbox/bitrix/dictionaries.py", '        "SEMANTICS": status.semantics,\n', "", CRM),
    Barrier(
        "sandbox", "sandbox/bitrix/work_seconds.py",
        "return bool(limit) and self.spent + seconds > limit", "return False", SECONDS,
    ),
    Barrier("sandbox", "sandbox/bitrix/work_seconds.py", "cut_after: float = 60.0", "cut_after: float = 90.0", SECONDS),
    Barrier(
        "sandbox", "sandbox/bitrix/work_seconds.py",
        '"telephony.externalcall.finish": (1.41, 2.30)', '"telephony.externalcall.finish": (0.10, 0.10)', SECONDS,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/work_seconds.py",
        '"telephony.externalcall.register": (0.22, 1.12)', '"telephony.externalcall.register": (0.10, 0.10)', SECONDS,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/work_seconds.py",
        '"telephony.externalcall.show": (0.29, 1.20)', '"telephony.externalcall.show": (0.10, 0.10)', SECONDS,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/work_seconds.py",
        '"telephony.externalcall.attachrecord": (1.94, 2.40)', '"telephony.externalcall.attachrecord": (0.10, 0.10)',
        SECONDS,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/work_seconds.py",
        '"crm.item.add": (1.83, 2.31)', '"crm.item.add": (0.10, 0.10)', SECONDS,
    ),
    Barrier("sandbox", "sandbox/bitrix/work_seconds.py", "scale: float = 0.0", "scale: float = 0.01", SECONDS),
    Barrier(
        "sandbox", "sandbox/bitrix/calls.py",
        '.encode(errors="replace")[:MAX_LINE_BYTES].decode(errors="replace")', "[:MAX_LINE_BYTES]", REGISTER,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/telephony.py",
        'if len(line.encode(errors="replace")) > calls.MAX_LINE_BYTES:', "if False:", REGISTER,
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/lines.py",
        'if len(number.encode(errors="replace")) > MAX_LINE_BYTES:', "if False:",
        ("tests/sandbox/bitrix/test_people.py",),
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/batch.py",
        "given = security_filter.filter_value(given)", "pass", ("tests/sandbox/bitrix/test_batch.py",),
    ),
    Barrier(
        "sandbox", "sandbox/bitrix/users.py",
        "if not user.is_system]", "]", ("tests/operations/alerts/test_system_user.py",),
    ),
    # Mango Office.
    Barrier(
        "sandbox", "sandbox/mango/limits.py",
        "3000 <= code < 4000 if self.every_3xxx_counts else is_malformed", "is_malformed", MANGO_REST,
    ),
    Barrier(
        "sandbox", "sandbox/mango/limits.py",
        "if not count or self.clock() - first >= self.lockout_seconds:", "if True:", MANGO_REST,
    ),
    Barrier(
        "sandbox", "sandbox/mango/recordings.py",
        "not recording.is_there(cloud.recording_delay)", "not recording.is_stored", MANGO_RECORDINGS,
    ),
    Barrier("sandbox", "sandbox/mango/queries.py", "    if not board.pbx.lines:\n", "    if False:\n", MANGO_LINES),
    Barrier("sandbox", "sandbox/mango/queries.py", "    if not board.pbx.trunks:\n", "    if False:\n", MANGO_LINES),
    Barrier(
        "sandbox", "sandbox/mango/commands.py",
        "call.plan.greeting_waits and call.plan.ivr >= GREETING_SECONDS", "True", MANGO_LINES,
    ),
    Barrier("sandbox", "sandbox/mango/commands.py", "call.plan.ivr >= GREETING_SECONDS", "True", MANGO_LINES),
    Barrier(
        "sandbox", "sandbox/mango/commands.py",
        "if isinstance(line, Trunk) and not line.options & 4:", "if False:", MANGO_LINES,
    ),
    Barrier(
        "sandbox", "sandbox/mango/entry_report.py",
        'person.user_id if person else None,\n        "call_abonent_info"',
        'person.user_id if person and not is_dialled else None,\n        "call_abonent_info"',
        MANGO_STATISTICS,
    ),
    Barrier(
        "sandbox", "sandbox/mango/entry_report.py",
        "if not at or not board.statistics_shape.has_bridge_leg:", "if True:", MANGO_STATISTICS,
    ),
    Barrier(
        "sandbox", "sandbox/mango/entry_report.py",
        "    if shape.has_extensions:\n", "    if True:\n", MANGO_STATISTICS,
    ),
    Barrier(
        "sandbox", "sandbox/mango/statistics.py",
        'days.setdefault("" if shape.is_object else day', "days.setdefault(day", MANGO_STATISTICS,
    ),
    Barrier(
        "sandbox", "sandbox/mango/statistics.py",
        "_parse_wall_clock(name, value, ZoneInfo(board.statistics_shape.zone))",
        '_parse_wall_clock(name, value, ZoneInfo("Europe/Moscow"))',
        MANGO_STATISTICS,
    ),
    Barrier(
        "sandbox", "sandbox/mango/statistics.py",
        'return (written[0] if written else {"list": []}) if shape.is_object else written', "return written",
        MANGO_STATISTICS,
    ),
]  # fmt: skip
