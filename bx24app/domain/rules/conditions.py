"""The one table of conditions.

The check at saving, the choice of a rule, the worker's and the dry run's facts, the sentences, the form and
docs/rules.md all read it. A new condition is a row here and a field of `RuleFacts`. Sentences, form and documentation
follow the order of the rows.
"""

from __future__ import annotations

from calendar import monthrange
from typing import Any

from bx24app.domain import phone
from bx24app.domain.rules import checks as check
from bx24app.domain.rules.condition_spec import Condition, ConditionValue, FormControl, LocalText
from bx24app.domain.rules.facts import CallSnapshot, RuleFacts
from bx24app.domain.settings import Settings
from bx24app.domain.working_hours import is_open, load_zone, weekday_name

MOMENTS = ("ring", "answer", "end")
"""How far a call can be, in their order."""


def compute_facts(call: CallSnapshot) -> RuleFacts:
    """The facts of a call at a moment, by the table."""
    return RuleFacts(**{condition.fact: condition.compute(call) for condition in CONDITIONS.values()})


def _line_key(call: CallSnapshot) -> str | None:
    number = call.line.number if call.line else call.raw_line
    return phone.line_key(number) or None


def _working_hours(call: CallSnapshot) -> str:
    is_working = call.line is None or is_open(call.line.working_hours, call.started_at, call.timezone)
    return "working" if is_working else "off"


def _weekday(call: CallSnapshot) -> str:
    """In the zone of the line's working hours, where they name one."""
    hours = call.line.working_hours if call.line else ()
    return weekday_name(call.started_at, (hours[0].timezone if hours else None) or call.timezone)


def _day_of_month(call: CallSnapshot) -> frozenset[str]:
    day = call.started_at.astimezone(load_zone(call.timezone)).date()
    is_last = day.day == monthrange(day.year, day.month)[1]
    return frozenset({str(day.day), "last"} if is_last else {str(day.day)})


def _has_prefix(expected: Any, actual: Any) -> bool:
    return bool(actual) and str(actual).startswith(tuple(expected))


def _is_reached(expected: Any, actual: Any) -> bool | None:
    return MOMENTS.index(actual) >= MOMENTS.index(expected) or None


def _has_overlap(expected: Any, actual: Any) -> bool:
    return not expected.isdisjoint(actual)


def _prepare_line(value: Any, settings: Settings) -> str | None:
    return check.line_key(str(value), settings)


def _prepare_prefix(value: Any, settings: Settings) -> str:
    return "+" + phone.digits_only(str(value))


def _prepare_text(value: Any, settings: Settings) -> str:
    return str(value).strip()


_Pair = tuple[str, str]
"""English, Russian."""


def _ordinal(day: int) -> str:
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _day_value(day: int) -> ConditionValue:
    return ConditionValue(LocalText(f"the {_ordinal(day)}", f"{day}-го числа"), LocalText(str(day), str(day)))


def _value(phrase: _Pair, option: _Pair | None = None, full_name: _Pair | None = None) -> ConditionValue:
    return ConditionValue(
        LocalText(*phrase), LocalText(*option) if option else None, LocalText(*full_name) if full_name else None
    )


CONDITIONS: dict[str, Condition] = {
    "direction": Condition(
        check=check.one_of("in", "out"),
        description="the call came in or went out",
        example="in",
        fact="direction",
        compute=lambda call: call.direction,
        label=LocalText("Direction", "Направление"),
        phrase=LocalText("{}", "{}"),
        values={
            "in": _value(("comes in", "входящий"), ("incoming", "входящий")),
            "out": _value(("goes out", "исходящий"), ("outgoing", "исходящий")),
        },
        control=FormControl(kind="ticks", is_main=True),
    ),
    "outcome": Condition(
        check=check.one_of("answered", "missed", "failed"),
        description="how the call ended",
        example=["missed", "failed"],
        fact="outcome",
        compute=lambda call: call.outcome,
        label=LocalText("Outcome", "Итог"),
        phrase=LocalText("is {}", "{}"),
        values={
            "answered": _value(("answered", "принят"), ("answered", "принят")),
            "missed": _value(("missed", "пропущен"), ("missed", "пропущен")),
            "failed": _value(("not answered by the client", "не состоялся"), ("not reached", "не дозвонились")),
        },
        control=FormControl(kind="ticks", is_main=True),
    ),
    "pbx": Condition(
        check=check.pbx_key,
        description="the PBX, by its key",
        example="moscow",
        fact="pbx",
        compute=lambda call: call.pbx_key,
        label=LocalText("PBX", "АТС"),
        phrase=LocalText("is on the PBX {}", "на АТС {}"),
        named_by="pbx",
        control=FormControl(kind="ticks", is_main=True, min_options=2),
    ),
    "line": Condition(
        check=check.line_number,
        description="the line, by its number",
        example="74951234567",
        fact="line",
        compute=_line_key,
        prepare=_prepare_line,
        label=LocalText("Line", "Линия"),
        phrase=LocalText("is on the line {}", "на линии {}"),
        named_by="line",
        control=FormControl(kind="ticks", is_main=True),
    ),
    "hours": Condition(
        check=check.one_of("working", "off", "any"),
        description="the line's working hours when the call began",
        example="off",
        fact="hours",
        compute=_working_hours,
        wildcard="any",
        label=LocalText("Time", "Время"),
        phrase=LocalText("falls {}", "{}"),
        values={
            "working": _value(("in working hours", "в рабочее время"), ("working hours", "рабочее время")),
            "off": _value(("outside working hours", "в нерабочее время"), ("outside working hours", "нерабочее время")),
            "any": _value(("at any time", "в любое время")),
        },
        control=FormControl(kind="ticks", is_main=True),
    ),
    "weekday": Condition(
        check=check.one_of("mon", "tue", "wed", "thu", "fri", "sat", "sun"),
        description="the day of the week on the line",
        example=["sat", "sun"],
        fact="weekday",
        compute=_weekday,
        label=LocalText("Day of the week", "День недели"),
        phrase=LocalText("falls on a {}", "{}"),
        values={
            "mon": _value(("Monday", "в понедельник"), ("Mo", "Пн"), ("Monday", "понедельник")),
            "tue": _value(("Tuesday", "во вторник"), ("Tu", "Вт"), ("Tuesday", "вторник")),
            "wed": _value(("Wednesday", "в среду"), ("We", "Ср"), ("Wednesday", "среда")),
            "thu": _value(("Thursday", "в четверг"), ("Th", "Чт"), ("Thursday", "четверг")),
            "fri": _value(("Friday", "в пятницу"), ("Fr", "Пт"), ("Friday", "пятница")),
            "sat": _value(("Saturday", "в субботу"), ("Sa", "Сб"), ("Saturday", "суббота")),
            "sun": _value(("Sunday", "в воскресенье"), ("Su", "Вс"), ("Sunday", "воскресенье")),
        },
        control=FormControl(kind="ticks"),
    ),
    "day_of_month": Condition(
        check=check.day_of_month,
        description="the day of the month on which the call began, in the portal's time zone",
        example=[1, 15, "last"],
        fact="day_of_month",
        compute=_day_of_month,
        prepare=_prepare_text,
        holds=_has_overlap,
        label=LocalText("Day of the month", "День месяца"),
        phrase=LocalText("falls on {} of the month", "{}"),
        values={str(day): _day_value(day) for day in range(1, 32)}
        | {"last": _value(("the last day", "в последний день месяца"), ("last day", "последний день"))},
        control=FormControl(kind="ticks", has_numbers=True),
    ),
    "client": Condition(
        check=check.one_of("new", "known"),
        description="the client has no record in the CRM, or has one",
        example="new",
        fact="client",
        compute=lambda call: call.client,
        label=LocalText("Client", "Клиент"),
        phrase=LocalText("is with a {} client", "с {} клиентом"),
        values={
            "new": _value(("new", "новым"), ("new", "новый")),
            "known": _value(("known", "известным"), ("known", "известный")),
        },
        control=FormControl(kind="ticks", is_main=True),
    ),
    "number": Condition(
        check=check.number_prefix,
        description="the client's number begins with these digits",
        example=["+7495", "+7812"],
        fact="number",
        compute=lambda call: call.client_number or "",
        prepare=_prepare_prefix,
        holds=_has_prefix,
        label=LocalText("The client’s number begins with", "Номер клиента начинается на"),
        phrase=LocalText("is with a number that begins with {}", "с номером, который начинается на {}"),
        control=FormControl(kind="list", placeholder="+7495, +7812"),
    ),
    "client_has_open": Condition(
        check=check.one_of("deal", "lead"),
        description="the client has an open deal or lead",
        example="deal",
        fact="open_records",
        compute=lambda call: call.open_records,
        holds=_has_overlap,
        label=LocalText("The client has an open deal or lead", "У клиента есть открытые"),
        phrase=LocalText("is with a client who has an open {}", "с клиентом, у которого {}"),
        values={
            "deal": _value(("deal", "открыта сделка"), ("deal", "сделка")),
            "lead": _value(("lead", "открыт лид"), ("lead", "лид")),
        },
        control=FormControl(kind="ticks"),
    ),
    "repeat_within_minutes": Condition(
        check=check.positive_number,
        description="the same client's previous call began at most this many minutes earlier",
        example=60,
        fact="minutes_since_last",
        compute=lambda call: call.minutes_since_last,
        accepts_list=False,
        holds=lambda expected, actual: actual <= expected,
        label=LocalText("The same client called within (minutes)", "Тот же клиент звонил за последние (минут)"),
        phrase=LocalText(
            "follows another call of the same client within {} min", "повторный от того же клиента за {} мин"
        ),
        control=FormControl(kind="number"),
    ),
    "rang": Condition(
        check=check.non_empty_text,
        description="this extension or group rang",
        example=["101", "300"],
        fact="rang",
        compute=lambda call: call.rang,
        prepare=_prepare_text,
        holds=lambda expected, actual: _has_overlap(expected, actual) or None,
        label=LocalText("Extension or group that rang", "Звонок поступал на внутренний номер или группу"),
        phrase=LocalText("rang at {}", "поступал на {}"),
        control=FormControl(kind="list", placeholder="101, 300"),
    ),
    "min_seconds": Condition(
        check=check.not_negative,
        description="the talk lasted at least this many seconds",
        example=30,
        fact="talk_seconds",
        compute=lambda call: call.talk_seconds,
        accepts_list=False,
        holds=lambda expected, actual: actual >= expected,
        label=LocalText("Talk time at least (seconds)", "Разговор не короче (секунд)"),
        phrase=LocalText("has a talk of at least {} s", "с разговором не короче {} с"),
        control=FormControl(kind="number"),
    ),
    "moment": Condition(
        check=check.one_of(*MOMENTS),
        description="the call has come at least this far",
        example="answer",
        fact="moment",
        compute=lambda call: call.moment,
        accepts_list=False,
        holds=_is_reached,
        label=LocalText("Not earlier than", "Не раньше чем"),
        phrase=LocalText("has {}", "уже {}"),
        values={
            "ring": _value(("begun to ring", "поступил"), ("the first ring", "первый вызов")),
            "answer": _value(("been answered or ended", "принят или завершён"), ("the answer", "ответ")),
            "end": _value(("ended", "завершён"), ("the end of the call", "конец звонка")),
        },
        control=FormControl(
            kind="choice", empty_option=LocalText("as early as it can be decided", "как только можно решить")
        ),
    ),
}  # fmt: skip
