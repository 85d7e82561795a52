"""Issue 14: Mango's keys and recordings (F2, F8, fault 11), codes (F17), typed keys, one PBX once."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

GUARD = ("tests/infra/test_key_guard.py",)
TYPED = ("tests/domain/test_mango_keys.py",)
KEYS = ("tests/web/pbxs/test_typed_keys.py",)
OUTCOMES = ("tests/calls/recordings/test_outcomes.py",)
CODES = ("tests/mango/test_codes.py",)

BARRIERS = [
    # Questions and commands after an answer 3xxx.
    Barrier("F2", "infra/key_guard.py", "            if seconds > 0:\n", "            if False:\n", GUARD),
    Barrier("F2", "infra/key_guard.py", "LOCK_SECONDS = 120.0", "LOCK_SECONDS = 12.0", GUARD),
    Barrier("F2", "infra/key_guard.py", "has_turn = is_alone and self._take_turn()", "has_turn = False", GUARD),
    Barrier("F2", "infra/key_guard.py", "self._ask(lambda client: client.delete(self._turn))", "pass", GUARD),
    Barrier("F2", "infra/key_guard.py", "client.set(self._wrong, 1, nx=True,", "client.set(self._wrong, 1,", GUARD),
    Barrier("F2", "infra/key_guard.py", "client.set(self._worked, 1, ex=WORKED_SECONDS)", "None", GUARD),
    Barrier(
        "F2", "infra/key_guard.py", "if now - noted.get(self._name, -NOTE_SECONDS) >= NOTE_SECONDS:", "if True:", GUARD,
    ),
    Barrier(
        "F2", "infra/key_guard.py",
        "if not is_noted and not self._ask(lambda client: client.exists(self._worked)):", "if False:", GUARD,
    ),
    Barrier("F2", "infra/key_guard.py", "        self.record_wrong()  #", "        #", GUARD),
    Barrier(
        "F2", "infra/key_guard.py", "except redis.RedisError as error:", "except ZeroDivisionError as error:", GUARD,
    ),
    Barrier(
        "F2", "mango/transport.py",
        "is_wrong = code is not None and 3000 <= code < 4000", "is_wrong = code in KEY_CODES", GUARD,
    ),
    Barrier(
        "F2", "mango/transport.py",
        "if code not in KEY_CODES and (code is not None or answer.status < 400):", "if True:", GUARD,
    ),
    Barrier(
        "F2", "mango/transport.py",
        "            if seconds is not None:\n", "            if False:\n",
        ("tests/end_to_end/test_key_lock.py::test_a_lock_is_told_in_its_own_words_and_passes",),
    ),
    Barrier(
        "F2", "calls/recordings/outcomes.py",
        "return FailedTry(str(error), NOT_YET_RETRY_SECONDS, is_not_yet=True)",
        "return FailedTry(str(error), None, is_not_yet=True)",
        OUTCOMES,
    ),
    Barrier(
        "F2", "calls/recordings/outcomes.py", "if isinstance(error, mango_errors.KeyPaused):", "if False:", OUTCOMES,
    ),
    Barrier(
        "F2", "calls/click_to_call/dial.py",
        "elif isinstance(error, mango.KeyLocked):", "elif False:",
        ("tests/end_to_end/test_key_lock.py::test_a_lock_is_told_in_its_own_words_and_passes",),
    ),
    Barrier(
        "F2", "calls/reconciliation/statistics_requests.py",
        "except errors.KeyPaused as error:", "except ZeroDivisionError as error:",
        ("tests/end_to_end/test_reconcile.py::test_statistics_wait_for_the_end_of_a_lock_and_not_for_an_hour",),
    ),
    Barrier(
        "F2", "calls/recordings/unconfirmed.py",
        "    if not attempt.is_unconfirmed or attempt.noticed_at is None:", "    if True:",
        ("tests/calls/recordings/test_unconfirmed.py",),
    ),
    Barrier(
        "F2", "calls/recordings/turns.py",
        "is_due & (Recording.tries > 0), ", "", ("tests/calls/recordings/test_turns.py",),
    ),
    Barrier(
        "F2", "domain/calls/recording_facts.py",
        "return not self.is_added and ((self.code is not None and self.code != 1000) or not self.is_in_cloud)",
        "return False",
        ("tests/domain/calls/test_recording_facts.py",),
    ),
    Barrier(
        "F2", "domain/calls/recording_facts.py",
        " or not self.is_in_cloud)", ")", ("tests/domain/calls/test_recording_facts.py",),
    ),
    Barrier(
        "F2", "mango/vpbx.py",
        'is_in_cloud=(recording.recipient or "").lower() != "mail",', "", ("tests/mango/test_vpbx.py",),
    ),
    # Hosts of recordings, and bytes before labels.
    Barrier(
        "F8", "calls/recordings/outcomes.py",
        "return Postponed(str(error), UNLISTED_HOST_RETRY_SECONDS, RecordingProblem.HOST)", "return Lost(str(error))",
        ("tests/security/test_recordings.py",),
    ),
    Barrier(
        "F8", "calls/recordings/download.py",
        'return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern', "return host == pattern",
        ("tests/security/test_recordings.py",),
    ),
    Barrier(
        "fault-11", "mango/recording.py",
        "        detected = detect_format(first)\n        if detected is None:",
        "        detected = detect_format(first)\n        if True:",
        ("tests/mango/test_transport.py",),
    ),
    Barrier(
        "fault-11", "mango/recording.py",
        "self.content_type = detected.content_type", "pass", ("tests/mango/test_transport.py",),
    ),
    Barrier(
        "fault-11", "mango/audio.py",
        "    return detect_format(first) is not None or not plain", "    return not plain",
        ("tests/security/test_recordings.py",),
    ),
    Barrier(
        "fault-11", "calls/recordings/attempts.py",
        "detected = detect_format(file.read(HEAD_BYTES)) or MP3", "detected = MP3",
        ("tests/security/test_recordings.py",),
    ),
    Barrier(
        "fault-11", "calls/recordings/download.py",
        "if size == 0 and not is_audio(chunk):", "if False:", ("tests/security/test_recordings.py",),
    ),
    Barrier(
        "fault-11", "calls/recordings/download.py",
        "    if not size:\n", "    if False:\n", ("tests/security/test_recordings.py",),
    ),
    # The table of codes.
    Barrier(
        "F17", "mango/code_table.py",
        '    1310: ("ответил автоответчик", "an answering machine picked up"),\n', "", CODES,
    ),
    Barrier("F17", "mango/code_table.py", '"the plan allows no more voice menus"', '"the group limit"', CODES),
    Barrier("F17", "mango/code_table.py", '"the search request is too large"', '"not found"', CODES),
    Barrier("F17", "mango/code_table.py", '"an error of a contact centre session"', '"the call ended"', CODES),
    Barrier(
        "F17", "mango/code_table.py",
        '    5010: ("не хватает денег, чтобы подключить услугу", "not enough money to add the service"),\n', "", CODES,
    ),
    # Typed keys.
    Barrier("keys", "domain/mango_keys.py", "if sign.isalnum())", "if not sign.isspace())", TYPED),
    Barrier("keys", "domain/mango_keys.py", 'unicodedata.normalize("NFKC", text)', "text", TYPED),
    Barrier("keys", "domain/mango_keys.py", "if not value.isascii():", "if False:", TYPED),
    Barrier("keys", "domain/mango_keys.py", "elif value.isdigit():", "elif False:", TYPED),
    Barrier("keys", "domain/mango_keys.py", "if api_key and api_key == api_salt:", "if False:", TYPED),
    Barrier("keys", "domain/mango_keys.py", "if api_key == known_salt:", "if False:", TYPED),
    Barrier("keys", "domain/mango_keys.py", "elif api_salt == known_key:", "elif False:", TYPED),
    Barrier("keys", "domain/mango_keys.py", "USUAL_LENGTHS = (27, 32)", "USUAL_LENGTHS = (32,)", TYPED),
    Barrier("keys", "domain/mango_keys.py", "return len(value) not in USUAL_LENGTHS", "return False", TYPED),
    Barrier(
        "keys", "web/pbxs/typed_keys.py",
        'request.form.get("anyway") != form.oddity', 'not request.form.get("anyway")', KEYS,
    ),
    Barrier("one-pbx", "web/pbxs/typed_keys.py", "    if owner is None:\n", "    if True:\n", KEYS),
    Barrier("one-pbx", "web/pbxs/typed_keys.py", "and name != form.own_key", "", KEYS),
    Barrier(
        "one-pbx", "web/pbxs/pbxs.py",
        "        typed_keys.mark_same_pbx(form)\n        return _render_form(form, None,",
        "        return _render_form(form, None,",
        KEYS,
    ),
    Barrier(
        "one-pbx", "settings/api_keys.py",
        '    if "pbxs" not in draft.sections:', "    if True:", ("tests/settings/test_api_keys.py",),
    ),
    Barrier(
        "no-lines", "mango/client.py",
        'return CredentialCheck("ok", (), str(error), lines_error=error)',
        "return CredentialCheck(_credential_state(error), (), str(error))",
        ("tests/mango/test_lines.py",),
    ),
    Barrier(
        "no-lines", "web/pbxs/pbxs.py", "why_no_lines=explain_missing_lines(check, [*owners])", 'why_no_lines=""', KEYS,
    ),
    Barrier(
        "countdown", "infra/key_tries.py",
        "        pause = LOCK_SECONDS\n", "        return 0\n", ("tests/web/pbxs/test_key_tries.py",),
    ),
]  # fmt: skip
