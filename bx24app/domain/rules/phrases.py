"""The phrases of `rule_words`, by language: what stands for each condition and each part of an action."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """One language. A condition's phrase: a frame (`{}`) for what is given, and, where the values are
    few, a word for each of them."""

    begin: str
    any_call: str
    separator: str
    quote: str
    conditions: dict[str, tuple[str, dict[str, str]]]
    standalone_words: dict[str, dict[str, str]]
    """Words of values outside of a sentence, where they differ."""
    create: dict[str, str]
    create_other: str
    create_parts: dict[str, str]
    todo: str
    todo_titled: str
    within: str
    until: str
    minutes: str
    working_minutes: str
    responsible: str
    if_absent: str
    comment: str
    notify: str
    nothing: str
    no_action: str
    role_names: dict[str, str]


ENGLISH = Phrases(
    begin="If a call {}: ",
    any_call="For any call: ",
    separator=" or ",
    quote="“{}”",
    conditions={
        "direction": ("{}", {"in": "comes in", "out": "goes out"}),
        "outcome": ("is {}", {"answered": "answered", "missed": "missed", "failed": "not answered by the client"}),
        "pbx": ("is on the PBX {}", {}),
        "line": ("is on the line {}", {}),
        "hours": (
            "falls {}",
            {"working": "in working hours", "off": "outside working hours", "any": "at any time"},
        ),
        "weekday": (
            "falls on a {}",
            {
                "mon": "Monday",
                "tue": "Tuesday",
                "wed": "Wednesday",
                "thu": "Thursday",
                "fri": "Friday",
                "sat": "Saturday",
                "sun": "Sunday",
            },
        ),
        "client": ("is with a {} client", {"new": "new", "known": "known"}),
        "number": ("is with a number that begins with {}", {}),
        "client_has_open": ("is with a client who has an open {}", {"deal": "deal", "lead": "lead"}),
        "repeat_within_minutes": ("follows another of the same client within {} min", {}),
        "rang": ("rang at {}", {}),
        "min_seconds": ("has a talk of at least {} s", {}),
        "moment": (
            "has {}",
            {"ring": "begun to ring", "answer": "been answered or ended", "end": "ended"},
        ),
    },
    standalone_words={"direction": {"in": "incoming", "out": "outgoing"}},
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
    todo="set a to-do due {}",
    todo_titled="set a to-do {} due {}",
    within="in {}",
    until="by {}",
    minutes="{} min",
    working_minutes="{} min of working time",
    responsible=", responsible: {}",
    if_absent=", and the next one if their working day is closed",
    comment="write in the client's timeline {}",
    notify="tell {}: {}",
    nothing="make nothing",
    no_action="no action yet",
    role_names={
        "line": "whoever answers for the line",
        "answered": "whoever answered",
        "owner": "whoever answers for the client",
        "user": "…",
    },
)

RUSSIAN = Phrases(
    begin="Если звонок {}: ",
    any_call="Для любого звонка: ",
    separator=" или ",
    quote="«{}»",
    conditions={
        "direction": ("{}", {"in": "входящий", "out": "исходящий"}),
        "outcome": ("{}", {"answered": "принят", "missed": "пропущен", "failed": "не состоялся"}),
        "pbx": ("на АТС {}", {}),
        "line": ("на линии {}", {}),
        "hours": ("{}", {"working": "в рабочее время", "off": "в нерабочее время", "any": "в любое время"}),
        "weekday": (
            "{}",
            {
                "mon": "в понедельник",
                "tue": "во вторник",
                "wed": "в среду",
                "thu": "в четверг",
                "fri": "в пятницу",
                "sat": "в субботу",
                "sun": "в воскресенье",
            },
        ),
        "client": ("с {} клиентом", {"new": "новым", "known": "известным"}),
        "number": ("с номером, который начинается на {}", {}),
        "client_has_open": ("с клиентом, у которого {}", {"deal": "открыта сделка", "lead": "открыт лид"}),
        "repeat_within_minutes": ("повторный от того же клиента за {} мин", {}),
        "rang": ("поступал на {}", {}),
        "min_seconds": ("с разговором не короче {} с", {}),
        "moment": ("уже {}", {"ring": "поступил", "answer": "принят или завершён", "end": "завершён"}),
    },
    standalone_words={
        "client": {"new": "новый", "known": "известный"},
        "client_has_open": {"deal": "сделка", "lead": "лид"},
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
    todo="поставить дело {}",
    todo_titled="поставить дело {} {}",
    within="на {}",
    until="до {}",
    minutes="{} мин",
    working_minutes="{} мин рабочего времени",
    responsible=", ответственный — {}",
    if_absent=", а если его рабочий день закрыт — следующий",
    comment="написать в ленте клиента {}",
    notify="сообщить ({}): {}",
    nothing="ничего не создавать",
    no_action="действие ещё не выбрано",
    role_names={
        "line": "тот, кто отвечает за линию",
        "answered": "тот, кто ответил",
        "owner": "тот, кто отвечает за клиента",
        "user": "…",
    },
)

LANGUAGES = {"en": ENGLISH, "ru": RUSSIAN}
