"""Issue 14: requests of the portal's seconds (F6), boxes (F7, F10), HTTP (F19, Retry-After, Cyrillic names)."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

SIZES = ("tests/domain/calls/test_batch_sizes.py",)
SECONDS = ("tests/bitrix24/test_method_seconds.py",)
SHARED = ("tests/calls/outbox/test_shared_batches.py",)
LICENCES = ("tests/portals/test_licences.py",)
OPENINGS = "tests/end_to_end/test_box_openings.py::test_"
REQUESTS = ("tests/bitrix24/test_client.py",)
PAUSES = ("tests/domain/test_retry_after.py",)
NAMES = ("tests/domain/test_host_names.py",)
CYRILLIC = (
    "tests/end_to_end/test_cyrillic_portal.py::test_a_portal_with_a_cyrillic_name_has_pages_calls_and_recordings",
)

BARRIERS = [
    Barrier("F6", "domain/calls/batch_sizes.py", "MAX_SECONDS = 25.0", "MAX_SECONDS = 2500.0", SIZES),
    Barrier("F6", "domain/calls/batch_sizes.py", "self.commands + len(seconds) > MAX_COMMANDS", "False", SIZES),
    Barrier("F6", "domain/calls/batch_sizes.py", " or (not self.commands and len(seconds) == 1)", "", SIZES),
    Barrier("F6", "domain/calls/batch_sizes.py", 'or "Finish" not in kinds', "or True", SIZES),
    Barrier("F6", "domain/calls/batch_sizes.py", " or room.commands == MAX_COMMANDS", "", SIZES),
    Barrier(
        "F6", "bitrix24/method_seconds.py",
        '"telephony.externalcall.finish": 2.3', '"telephony.externalcall.finish": 0.1', SECONDS,
    ),
    Barrier(
        "F6", "bitrix24/method_seconds.py",
        "share = SLOWER_SHARE if seconds > expected else FASTER_SHARE", "share = FASTER_SHARE", SECONDS,
    ),
    Barrier(
        "F6", "bitrix24/method_seconds.py",
        "share = SLOWER_SHARE if seconds > expected else FASTER_SHARE", "share = SLOWER_SHARE", SECONDS,
    ),
    Barrier(
        "F6", "bitrix24/method_seconds.py",
        'read_number(times.get("processing")) or read_number(times.get("duration"))',
        'read_number(times.get("duration"))',
        SECONDS,
    ),
    Barrier("F6", "bitrix24/method_seconds.py", "seconds is not None and seconds > 0", "seconds is not None", SECONDS),
    Barrier(
        "F6", "bitrix24/method_seconds.py", "if seconds < CUT_SECONDS or expected >= seconds:", "if True:", SECONDS,
    ),
    Barrier(
        "F6", "bitrix24/method_seconds.py",
        "if seconds < CUT_SECONDS or expected >= seconds:", "if expected >= seconds:", SECONDS,
    ),
    Barrier("F6", "bitrix24/method_seconds.py", "min(seconds, LONGEST_SECONDS)", "seconds", SECONDS),
    Barrier("F6", "calls/outbox/shared_batches.py", "seconds.expect(COMMAND_METHODS[kind])", "0.1", SHARED),
    Barrier(
        "F6", "calls/outbox/shared_batches.py",
        "cards = _fill([call for call in calls if call.is_card], expect, elsewhere)\n"
        "    others = [call for call in calls if not call.is_card]",
        "cards = _fill([], expect, elsewhere)\n    others = calls",
        SHARED,
    ),
    Barrier(
        "F6", "calls/outbox/call_batch.py", "if among_cards and not may_join_cards(item.command):", "if False:", SHARED,
    ),
    Barrier("F6", "calls/outbox/call_batch.py", "if not room.take([expect(row.kind)]):", "if False:", SHARED),
    Barrier("F6", "calls/outbox/pacing.py", "CARD_PLACES = 1", "CARD_PLACES = 0", SHARED),
    Barrier("F7", "portals/clients.py", 'if "selfhosted" in licence:', 'if licence == "selfhosted":', LICENCES),
    Barrier("F7", "portals/clients.py", 'return family == "ent" if family else', "return", LICENCES),
    Barrier("F7", "portals/install.py", '("LICENSE", "LICENSE_FAMILY")', '("LICENSE",)', LICENCES),
    Barrier(
        "F7", "bitrix24/budget.py",
        "if self.rate <= 0:\n            return 1000.0", "if False:\n            return 1000.0",
        ("tests/end_to_end/test_box_licence.py",),
    ),
    Barrier(
        "F10", "portals/frame_auth.py",
        "    opening_addresses.check_protocol(post, info)\n", "",
        (f"{OPENINGS}a_page_of_the_portal_without_https_is_explained",),
    ),
    Barrier(
        "F10", "portals/frame_auth.py",
        "    opening_addresses.check_second_name(post, info)\n",
        "    raise ForgedRequest('the portal has another domain')\n",
        (f"{OPENINGS}a_second_name_that_accepts_the_token_shows_the_app",),
    ),
    Barrier(
        "F10", "portals/frame_auth.py",
        "    opening_addresses.check_second_name(post, info)\n", "",
        (f"{OPENINGS}a_second_name_that_does_not_accept_it_is_named",),
    ),
    Barrier(
        "F10", "portals/opening_addresses.py",
        'or str(user.get("ID")) != str(info.user_id)', "",
        (f"{OPENINGS}a_second_name_that_takes_the_token_for_another_user_is_refused",),
    ),
    Barrier(
        "F10", "portals/opening_addresses.py",
        '        return AddressProblem("two_names", registered, opened)\n', "        return error\n",
        (f"{OPENINGS}a_registered_name_that_cannot_be_reached_is_named",),
    ),
    Barrier(
        "F10", "portals/connections.py",
        'parts._replace(scheme="https", netloc=str(parts.hostname)).geturl()', "info.client_endpoint",
        (f"{OPENINGS}a_registration_by_http_is_asked_by_https",),
    ),
    Barrier(
        "F10", "portals/connections.py",
        "Transport(adapter, config.ca_bundle, plain", "Transport(adapter, None, plain",
        (f"{OPENINGS}a_box_with_a_certificate_of_its_own_authority_takes_calls",),
    ),
    Barrier(
        "F10", "bitrix24/transport.py",
        "        if distrust is not None:\n", "        if False:\n",
        (f"{OPENINGS}a_certificate_that_is_not_trusted_is_told_apart",),
    ),
    Barrier(
        "F10", "web/base/errors.py",
        "isinstance(error, portal_errors.Later) and error.cause:", "False:",
        (f"{OPENINGS}an_authorisation_server_that_we_do_not_reach_is_named",),
    ),
    Barrier(
        "F10", "bitrix24/error_table.py",
        'cause = CUT_OFF if code.lower() == "connection_error" else ""', 'cause = ""',
        (f"{OPENINGS}a_box_that_does_not_reach_it_says_so_and_loses_no_call",),
    ),
    # HTTP.
    Barrier("F19", "bitrix24/transport.py", 'session.headers["User-Agent"] = USER_AGENT', "pass", REQUESTS),
    Barrier(
        "http", "bitrix24/error_table.py",
        "if isinstance(problem, Later) and reply.retry_after is not None:", "if False:", REQUESTS,
    ),
    Barrier(
        "http", "bitrix24/error_table.py",
        "max(problem.retry_after or 0.0, reply.retry_after)", "reply.retry_after", REQUESTS,
    ),
    Barrier(
        "http", "mango/transport.py",
        'return read_retry_after(headers.get("Retry-After"), time.time())', "return None",
        ("tests/mango/test_transport.py::test_retry_after",),
    ),
    Barrier(
        "http", "domain/retry_after.py",
        "        moment = parsedate_to_datetime(text)\n", "        return None\n", PAUSES,
    ),
    Barrier(
        "http", "domain/retry_after.py", "return min(float(text[:9]), MAX_SECONDS)", "return float(text[:9])", PAUSES,
    ),
    Barrier("http", "domain/retry_after.py", "if text.isascii() and text.isdigit():", "if text.isdigit():", PAUSES),
    Barrier(
        "http", "domain/retry_after.py",
        "    if moment.tzinfo is None:\n        moment = moment.replace(tzinfo=UTC)\n", "", PAUSES,
    ),
    Barrier("http", "domain/retry_after.py", "min(max(0.0, (moment", "min(((moment", PAUSES),
    Barrier(
        "http", "domain/host_names.py",
        'return idna.encode(host, uts46=True).decode("ascii")', "return host.lower()", NAMES,
    ),
    Barrier("http", "domain/host_names.py", "idna.encode(host, uts46=True)", "idna.encode(host)", NAMES),
    Barrier(
        "http", "web/base/headers.py",
        "parts = urlsplit(to_ascii_url(client_endpoint))", "parts = urlsplit(client_endpoint)",
        ("tests/web/launch/test_app_frame.py::test_a_cyrillic_portal_is_named_in_ascii_in_headers",),
    ),
    Barrier(
        "http", "web/base/headers.py",
        'to_ascii_netloc(request.args.get("DOMAIN", "").lower())', 'request.args.get("DOMAIN", "").lower()',
        ("tests/web/launch/test_app_frame.py::test_a_cyrillic_portal_is_named_in_ascii_in_headers",),
    ),
    Barrier(
        "http", "bitrix24/oauth.py",
        'client_endpoint=to_ascii_url(str(install["client_endpoint"]))',
        'client_endpoint=str(install["client_endpoint"])',
        CYRILLIC,
    ),
    Barrier(
        "http", "bitrix24/client.py",
        "urlsplit(to_ascii_url(self.endpoint)), urlsplit(to_ascii_url(url))", "urlsplit(self.endpoint), urlsplit(url)",
        ("tests/bitrix24/test_client_upload.py",),
    ),
]  # fmt: skip
