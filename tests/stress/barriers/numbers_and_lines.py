"""Issue 14: "Numbers and lines as telephones" (faults 02 to 10)."""

from __future__ import annotations

from tests.stress.barriers.barrier import Barrier

PHONE = ("tests/domain/test_phone.py",)
LINES = ("tests/domain/document/test_lines.py",)
CLICK = ("tests/calls/click_to_call/test_portal_event.py",)
ORIGIN = ("tests/calls/click_to_call/test_origin.py",)
SCENARIOS = ("tests/mango/test_scenarios.py",)
LONG = ("tests/end_to_end/test_long_lines.py",)

BARRIERS = [
    Barrier(
        "fault-02", "domain/phone.py",
        "return (normalise(text) if _TELEPHONE.fullmatch(text) else None) or text",
        'return re.sub(r"\\D", "", text) or text',
        LINES,
    ),
    Barrier(
        "fault-02", "domain/phone.py",
        "normalise(text) if _TELEPHONE.fullmatch(text) else None", "normalise(text)", PHONE,
    ),
    Barrier(
        "fault-02", "calls/click_to_call/origin.py",
        "    key = phone.line_key(line_number)\n", "    key = phone.digits_only(line_number)\n", ORIGIN,
    ),
    Barrier("fault-03", "domain/phone.py", 'if bare.startswith("810") and len(bare) > 11:', "if False:", PHONE),
    Barrier(
        "fault-03", "domain/phone.py",
        "phonenumbers.is_valid_number(parsed)", "phonenumbers.is_possible_number(parsed)", PHONE,
    ),
    Barrier("fault-03", "domain/phone.py", 'unicodedata.category(sign) not in ("Cf", "Cc") or', "True or", PHONE),
    Barrier("fault-03", "domain/phone.py", 'unicodedata.normalize("NFKC", raw).translate(_DASHES)', "raw", PHONE),
    Barrier("fault-03", "domain/phone.py", 'yield "+375" + bare[2:]', 'yield "+7" + bare[1:]', PHONE),
    Barrier("fault-03", "domain/phone.py", 'has_plus = has_plus or digits.startswith("00")', "pass", PHONE),
    Barrier("fault-03", "domain/phone.py", "if len(bare) == 10 and not has_plus:", "if False:", PHONE),
    Barrier(
        "fault-04", "domain/phone.py",
        "return None if has_letters else Number(NumberKind.SHORT, digits)\n    candidates",
        "return None\n    candidates",
        PHONE,
    ),
    Barrier(
        "fault-04", "domain/phone.py",
        "return number.text if number.kind in (NumberKind.TELEPHONE, NumberKind.SHORT) else None",
        "return number.text if number.kind is NumberKind.TELEPHONE else None",
        SCENARIOS,
    ),
    Barrier("fault-04", "domain/phone.py", 'if digits and not digits.strip("0"):', "if False:", PHONE),
    Barrier(
        "fault-04", "domain/phone.py",
        "    if not text or text.lower() in _ANONYMOUS_NAMES:", "    if not text:", PHONE,
    ),
    Barrier(
        "fault-05", "calls/click_to_call/portal_event.py",
        "    if phone.read_number(raw).kind is phone.NumberKind.SHORT:\n        return phone.number_to_dial(raw)\n"
        "    return phone.number_to_dial(international) or phone.number_to_dial(raw)",
        "    return phone.normalise(international) or phone.normalise(raw)",
        CLICK,
    ),
    Barrier(
        "fault-05", "mango/client.py",
        "def _dial_format(number: str) -> str:\n",
        'def _dial_format(number: str) -> str:\n    number = phone.normalise(number) or ""\n',
        ("tests/end_to_end/test_clicks.py::test_an_extension_or_a_city_number_is_dialled_as_written",),
    ),
    Barrier(
        "fault-05", "calls/click_to_call/start.py",
        "request.number is None or phone.is_inner_number(request.number):  #", "request.number is None:  #",
        ("tests/end_to_end/test_callbacks.py::test_a_number_that_cannot_be_dialled_is_told",),
    ),
    Barrier(
        "fault-06", "domain/calls/entry_assembly.py",
        "    employee = _exclude_client(legs, end, direction, employee)\n", "", SCENARIOS,
    ),
    Barrier(
        "fault-06", "domain/calls/call_view.py",
        "return None if number in self.policy.pbx.by_mobile else number", "return number", SCENARIOS,
    ),
    Barrier(
        "fault-07", "domain/calls/policy.py",
        "lines.get(raw) or lines.get(phone.line_key(raw))", "lines.get(raw)", LINES,
    ),
    Barrier(
        "fault-07", "domain/settings.py",
        "            lines.setdefault(phone.line_key(line.number), line)\n", "", LINES,
    ),
    Barrier(
        "fault-07", "domain/document/checks.py",
        "own, path = phone.line_key(line.number), ", "own, path = line.number, ", LINES,
    ),
    Barrier(
        "fault-07", "calls/click_to_call/origin.py",
        "return next(exact, None) or next(alike, None)", "return next(exact, None)", ORIGIN,
    ),
    Barrier(
        "fault-07", "domain/calls/policy.py", 'if line is None and raw.lower().startswith("sip:"):', "if False:", LINES,
    ),
    Barrier(
        "fault-08", "calls/click_to_call/origin.py",
        "        return self.line.name or number.sip_user", "        return self.line.number", ORIGIN,
    ),
    Barrier(
        "fault-08", "calls/click_to_call/origin.py",
        "self.line.name or number.sip_user", "self.line.name or self.line.number", ORIGIN,
    ),
    Barrier(
        "fault-08", "mango/client.py",
        'return phone.line_key(line).lstrip("+") if phone.normalise(line) else line', 'return re.sub(r"\\D", "", line)',
        ("tests/end_to_end/test_trunks.py::test_a_click_leaves_by_the_trunk",),
    ),
    Barrier(
        "fault-09", "domain/settings.py",
        "return cut_line_number(self.line_number or self.number)", "return self.line_number or self.number", LINES,
    ),
    Barrier(
        "fault-09", "domain/settings.py",
        'text.strip().encode(errors="ignore")[:MAX_LINE_NUMBER].decode(errors="ignore").strip()',
        "text.strip()[:MAX_LINE_NUMBER].strip()",
        LONG,
    ),
    Barrier("fault-09", "domain/calls/policy.py", "(cut_line_number(raw) if raw else None)", "raw", LINES),
    Barrier(
        "fault-09", "portals/external_lines.py",
        "line.bitrix_number: ((line.name", "(line.line_number or line.number): ((line.name", LONG,
    ),
    Barrier(
        "fault-09", "calls/click_to_call/origin.py",
        "line_number in (pair[1].bitrix_number, pair[1].number))\n    key = phone.line_key(line_number)\n"
        "    alike = (pair for pair in lines if key in (phone.line_key(pair[1].bitrix_number), phone.line_key("
        "pair[1].number)))",
        "line_number == pair[1].number)\n    key = phone.line_key(line_number)\n"
        "    alike = (pair for pair in lines if key == phone.line_key(pair[1].number))",
        ("tests/end_to_end/test_long_line_clicks.py",),
    ),
    Barrier(
        "fault-09", "domain/settings.py",
        "return cut_line_number(self.line_number or self.number)",
        "return (self.line_number or self.number)[:MAX_LINE_NUMBER]",
        ("tests/end_to_end/test_long_line_clicks.py",),
    ),
    Barrier(
        "fault-10", "domain/phone.py", "_read_digits(_first_number(text), region)", "_read_digits(text, region)", CLICK,
    ),
    Barrier("fault-10", "domain/phone.py", "first = _SECOND_NUMBER.split(text)[0]", "first = text", CLICK),
    Barrier(
        "fault-10", "domain/phone.py", "    extension = _EXTENSION.search(text)\n", "    extension = None\n", CLICK,
    ),
    Barrier(
        "fault-10", "domain/phone.py",
        'return number if number is None or len(number.lstrip("+")) <= MAX_DIGITS else None', "return number", CLICK,
    ),
]  # fmt: skip
