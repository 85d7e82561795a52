"""The phrases of `rule_words`, by language: what stands for each condition and each part of an action."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """One language. A condition's phrase: a word for each value (a dictionary), or a frame for what is given (`{}`)."""

    begin: str
    any_call: str
    either: str
    quote: str
    conditions: dict[str, dict[str, str] | str]
    create: dict[str, str]
    create_other: str
    create_parts: dict[str, str]
    todo: str
    todo_titled: str
    minutes: str
    working_minutes: str
    responsible: str
    if_absent: str
    comment: str
    notify: str
    nothing: str
    no_action: str
    who: dict[str, str]


ENGLISH = Phrases(
    begin="If a call {}: ",
    any_call="For any call: ",
    either=" or ",
    quote="“{}”",
    conditions={
        "direction": {"in": "comes in", "out": "goes out"},
        "outcome": {"answered": "is answered", "missed": "is missed", "failed": "does not get through"},
        "pbx": "is on the PBX {}",
        "line": "is on the line {}",
        "hours": {
            "working": "falls in working hours",
            "off": "falls outside working hours",
            "any": "falls at any time",
        },
        "weekday": {
            "mon": "falls on a Monday",
            "tue": "falls on a Tuesday",
            "wed": "falls on a Wednesday",
            "thu": "falls on a Thursday",
            "fri": "falls on a Friday",
            "sat": "falls on a Saturday",
            "sun": "falls on a Sunday",
        },
        "client": {"new": "is with a new client", "known": "is with a known client"},
        "number": "is with a number that begins with {}",
        "client_has_open": {
            "deal": "is with a client who has an open deal",
            "lead": "is with a client who has an open lead",
        },
        "repeat_within_minutes": "follows another of the same client within {} min",
        "rang": "rang at {}",
        "min_seconds": "has a talk of at least {} s",
        "moment": {"ring": "has begun to ring", "answer": "has been answered or is over", "end": "is over"},
    },
    create={"lead": "create a lead", "deal": "create a deal", "contact": "create a contact"},
    create_other="create an item of {}",
    create_parts={
        "category_id": " in the pipeline {}",
        "stage_id": " at the stage {}",
        "title": " named {}",
        "source_id": ", source {}",
        "fields": ", with the fields {}",
        "duplicate": ", even if the client has an open one",
    },
    todo="set a to-do due in {}",
    todo_titled="set a to-do {} due in {}",
    minutes="{} min",
    working_minutes="{} min of working time",
    responsible=", responsible: {}",
    if_absent=", and the next one if their working day is closed",
    comment="write in the client's timeline {}",
    notify="tell {}: {}",
    nothing="make nothing",
    no_action="no action yet",
    who={
        "line": "the line's responsible",
        "answered": "whoever answered",
        "owner": "the client's responsible",
    },
)

RUSSIAN = Phrases(
    begin="Если звонок {}: ",
    any_call="Для любого звонка: ",
    either=" или ",
    quote="«{}»",
    conditions={
        "direction": {"in": "входящий", "out": "исходящий"},
        "outcome": {"answered": "принят", "missed": "пропущен", "failed": "не состоялся"},
        "pbx": "на АТС {}",
        "line": "на линии {}",
        "hours": {"working": "в рабочее время", "off": "в нерабочее время", "any": "в любое время"},
        "weekday": {
            "mon": "в понедельник",
            "tue": "во вторник",
            "wed": "в среду",
            "thu": "в четверг",
            "fri": "в пятницу",
            "sat": "в субботу",
            "sun": "в воскресенье",
        },
        "client": {"new": "с новым клиентом", "known": "с клиентом из CRM"},
        "number": "с номером, который начинается на {}",
        "client_has_open": {
            "deal": "с клиентом, у которого открыта сделка",
            "lead": "с клиентом, у которого открыт лид",
        },
        "repeat_within_minutes": "повторный от того же клиента за {} мин",
        "rang": "поступал на {}",
        "min_seconds": "с разговором не короче {} с",
        "moment": {"ring": "уже поступил", "answer": "уже принят или завершён", "end": "уже завершён"},
    },
    create={"lead": "создать лид", "deal": "создать сделку", "contact": "создать контакт"},
    create_other="создать элемент {}",
    create_parts={
        "category_id": " в воронке {}",
        "stage_id": " на стадии {}",
        "title": " с названием {}",
        "source_id": ", источник {}",
        "fields": ", заполнить поля {}",
        "duplicate": ", даже если у клиента уже есть открытый",
    },
    todo="поставить дело на {}",
    todo_titled="поставить дело {} на {}",
    minutes="{} мин",
    working_minutes="{} мин рабочего времени",
    responsible=", ответственный — {}",
    if_absent=", а если его рабочий день закрыт — следующий",
    comment="написать в ленте клиента {}",
    notify="сообщить ({}): {}",
    nothing="ничего не создавать",
    no_action="действие ещё не выбрано",
    who={
        "line": "ответственный линии",
        "answered": "кто ответил",
        "owner": "ответственный за клиента",
    },
)

LANGUAGES = {"en": ENGLISH, "ru": RUSSIAN}
