"""Issue 14: records, to-dos, scopes and rights in the portal (F1, F3, F4, F5, F15, F16, F18, fault 01)."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

BARRIERS = [
    Barrier(
        "F1", "bitrix24/crm.py",
        "    if not is_smart_process(command.entity):\n        conditions", "    if True:\n        conditions",
        ("tests/end_to_end/test_rules.py::test_no_second_open_item_of_a_smart_process",),
    ),
    Barrier(
        "F1", "bitrix24/crm.py",
        'return "contactIds" if command', 'return "contactId" if command', ("tests/end_to_end/test_second_contact.py",),
    ),
    Barrier(
        "F1", "bitrix24/crm.py",
        '    field = "contactIds" if', '    field = "contactId" if', ("tests/end_to_end/test_second_contact.py",),
    ),
    Barrier(
        "F1", "domain/crm_dictionaries.py",
        'return row["semantics"] in ("S", "F")', 'return is_final_stage(str(row["id"]))',
        ("tests/domain/test_crm_dictionaries.py",),
    ),
    Barrier(
        "F1", "bitrix24/crm.py",
        'if not is_final_stage(str(item.get("stageId") or ""))', "if True",
        ("tests/end_to_end/test_refused_lookups.py",),
    ),
    Barrier(
        "F1", "domain/calls/crm_records.py",
        "if plans.is_lookup_refused(_open_lookup(view, planned)):", "if False:",
        ("tests/domain/calls/test_refused_lookups.py",),
    ),
    Barrier(
        "F1", "domain/calls/crm_records.py",
        'if lookup is not None and lookup.state == "done" and not', "if False and not",
        ("tests/domain/calls/test_refused_lookups.py",),
    ),
    Barrier(
        "F3", "bitrix24/crm.py",
        '"pingOffsets": list(REMINDER_MINUTES),', "",
        ("tests/end_to_end/test_rules.py::test_repeated_misses_fold_into_one_todo_and_an_answered_call_closes_it",),
    ),
    Barrier(
        "F3", "bitrix24/crm.py",
        '{"id": command.activity_id, "fields": {"SUBJECT": command.title}}',
        '{"id": command.activity_id, "fields": {"SUBJECT": command.title, "DESCRIPTION": ""}}',
        ("tests/end_to_end/test_rules.py::test_repeated_misses_fold_into_one_todo_and_an_answered_call_closes_it",),
    ),
    Barrier(
        "F3", "sandbox/bitrix/todos.py",
        'activity.description = str(params.get("description") or "")\n    color', "color",
        ("tests/sandbox/bitrix/test_crm.py",),
    ),
    Barrier(
        "F3", "sandbox/bitrix/todos.py",
        "        _notify_former_user(context, activity)\n", "", ("tests/sandbox/bitrix/test_crm.py",),
    ),
    Barrier(
        "F4", "bitrix24/error_table.py",
        "if row.message_key in PER_METHOD and not is_required_method(method):", "if False:",
        ("tests/end_to_end/test_few_permissions.py",),
    ),
    Barrier(
        "F4", "web/overview/problems.py",
        "missing = missing_scopes(g.portal.scopes)", "missing = ()", ("tests/web/overview/test_scopes.py",),
    ),
    Barrier(
        "F4", "portals/frame_auth.py",
        "portal.scopes = post.scope or info.scope or portal.scopes", "pass", ("tests/portals/test_granted_scopes.py",),
    ),
    Barrier(
        "F4", "portals/frame_auth.py",
        "    if admin:\n        portal.scopes", "    if True:\n        portal.scopes",
        ("tests/portals/test_granted_scopes.py",),
    ),
    Barrier(
        "F4", "portals/install.py",
        '_scopes_of(app.result.get("SCOPE")) or portal.scopes', '_scopes_of(app.result.get("SCOPE"))',
        ("tests/portals/test_granted_scopes.py",),
    ),
    Barrier(
        "F4", "bitrix24/error_table.py",
        'NeedsAdmin("scope", f"{code}: {text}") if is_required_method(method) else Refused(code, text)',
        'NeedsAdmin("scope", f"{code}: {text}")',
        ("tests/bitrix24/test_error_table.py",),
    ),
    Barrier(
        "F5", "bitrix24/error_table.py",
        "_CALL_METHODS)}\n)", '_CALL_METHODS), "voximplant.statistic.get"}\n)',
        ("tests/end_to_end/test_few_permissions.py",),
    ),
    Barrier(
        "fault-01", "bitrix24/error_table.py",
        "    if is_required_method(method):\n        return NeedsAdmin", "    if True:\n        return NeedsAdmin",
        ("tests/end_to_end/test_few_permissions.py",),
    ),
    Barrier(
        "F15", "operations/alerts/notices.py",
        "if user and people.get(user))\n    return recipients or", "if user)\n    return recipients or",
        ("tests/operations/alerts/test_system_user.py",),
    ),
    Barrier(
        "F16", "bitrix24/batch_filter.py",
        "    return any(_ALTERED", "    return False and any(_ALTERED", ("tests/end_to_end/test_batch_filter.py",),
    ),
    Barrier(
        "F16", "calls/outbox/call_batch.py",
        "if is_altered_in_batch(item.command) or (chain", "if (chain", ("tests/end_to_end/test_batch_filter.py",),
    ),
    Barrier(
        "F16", "bitrix24/batch_filter.py",
        '_SKIPPED.sub("", text).replace("\\\\", "/")', "text", ("tests/bitrix24/test_batch_filter.py",),
    ),
    Barrier(
        "F18", "domain/scopes.py", 're.split(r"[\\s,]+", text', 're.split(r",", text', ("tests/domain/test_scopes.py",),
    ),
]  # fmt: skip
