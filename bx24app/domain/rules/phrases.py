"""The phrases of a rule's sentence, by language: its frame and its actions. The table of conditions holds those of
conditions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """One language. `{}` stands for a value of the rule."""

    begin: str
    any_call: str
    separator: str
    quote: str
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
