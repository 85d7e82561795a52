"""Barriers against attacks, by their number in docs/security.md: those whose test was written after its barrier."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

BARRIERS = [
    Barrier(
        "10", "bitrix24/answer_size.py",
        "if count_pieces(content) > bounds.max_pieces:", "if False:", ("tests/bitrix24/test_answer_size.py",),
    ),
    Barrier(
        "14", "calls/leases/release.py",
        "lost_requests.free_requests_of(session, name)", "{}", ("tests/calls/leases/test_dead_workers.py",),
    ),
    Barrier(
        "14", "calls/leases/release.py",
        "attempts.free_recordings_of(name)", "[]", ("tests/calls/leases/test_dead_workers.py",),
    ),
    Barrier("16", "cli/main.py", "os.umask(0o077)", "os.umask(0o022)", ("tests/cli/test_main.py",)),
    Barrier(
        "19", "infra/redis_client.py",
        "_WEB_SECONDS = 1.0", "_WEB_SECONDS = 20.0", ("tests/web/webhooks/test_waits.py",),
    ),
    Barrier(
        "21", "web/base/headers.py",
        "    if _HOST_PATTERN.match(domain):",
        "    from bx24app.models import Portal, db\n"
        "    if _HOST_PATTERN.match(domain) and db.session.query(Portal).filter_by(domain=domain).count():",
        ("tests/security/test_matrix_tabs.py",),
    ),
    Barrier(
        "22", "domain/document/parse.py",
        "too_large = find_size_faults(data, present)", "too_large = find_size_faults({}, {})",
        ("tests/domain/document/test_sizes.py",),
    ),
    Barrier("23c", "cli/portals.py", "hide_input=True", "hide_input=False", ("tests/cli/test_typed_secret.py",)),
    Barrier("23c", "cli/portals.py", "if client_secret is not None:", "if False:", ("tests/cli/test_main.py",)),
    Barrier(
        "23f", "web/monitoring/health.py",
        "database == queue == disk ==", "database == queue ==", ("tests/web/monitoring/test_health.py",),
    ),
    Barrier(
        "23g", "web/webhooks/admission.py",
        'if not is_plain_encoding(head.header("content-encoding")):', "if False:",
        ("tests/web/webhooks/test_admission.py",),
    ),
    Barrier(
        "23h", "portals/lifecycle.py",
        'queue.enqueue_background("purge_portal", portal_id)', "purge(portal_id)", ("tests/portals/test_uninstall.py",),
    ),
    Barrier(
        "23i", "calls/inbox/writer.py",
        "BUSY_MILLISECONDS = 1200", "BUSY_MILLISECONDS = 6000",
        ("tests/web/webhooks/test_waits.py::test_a_lock_on_sqlite_is_503_in_time",),
    ),
    Barrier(
        "23i", "models/base.py",
        "_WEB_BUSY_MILLISECONDS = 3000", "_WEB_BUSY_MILLISECONDS = 15000", ("tests/web/webhooks/test_waits.py",),
    ),
    Barrier(
        "23j", "infra/key_tries.py",
        "if max(waits) <= 0 and client", "if client",
        ("tests/web/pbxs/test_key_tries.py::test_a_key_and_a_portal_wait_by_themselves_too",),
    ),
]  # fmt: skip
