"""The contents of a new portal: users, departments, pipelines, stages, sources and a smart process."""

from __future__ import annotations

from bx24app.sandbox.bitrix.state import DEAL, Category, SpaType, Status, User

SPA = 1038
"""The entityTypeId of the smart process that every portal has."""

_SOURCES = (
    ("CALL", "Звонок"),
    ("EMAIL", "Электронная почта"),
    ("WEB", "Веб-сайт"),
    ("ADVERTISING", "Реклама"),
    ("PARTNER", "Существующий клиент"),
    ("RECOMMENDATION", "По рекомендации"),
    ("TRADE_SHOW", "Выставка"),
    ("WEBFORM", "CRM-форма"),
    ("CALLBACK", "Обратный звонок"),
    ("RC_GENERATOR", "Генератор продаж"),
    ("STORE", "Интернет-магазин"),
    ("OTHER", "Другое"),
)
_LEAD_STAGES = (
    ("NEW", "Не обработан", None),
    ("IN_PROCESS", "В работе", None),
    ("PROCESSED", "Обработан", None),
    ("CONVERTED", "Качественный лид", "S"),
    ("JUNK", "Некачественный лид", "F"),
)
_DEAL_STAGES = (
    ("NEW", "Новая", None),
    ("PREPARATION", "Подготовка документов", None),
    ("EXECUTING", "В работе", None),
    ("WON", "Сделка успешна", "S"),
    ("LOSE", "Сделка провалена", "F"),
)
_SPA_STAGES = (
    ("NEW", "Начало", None),
    ("PREPARATION", "Подготовка", None),
    ("SUCCESS", "Успех", "S"),
    ("FAIL", "Провал", "F"),
)
_CONTACT_TYPES = (("CLIENT", "Клиенты"), ("SUPPLIER", "Поставщики"), ("OTHER", "Другое"))


def make_users() -> dict[int, User]:
    """One administrator and three employees with an extension."""
    users = [
        User(1, "Мария", "Соколова", "sokolova@example.ru", admin=True, work_position="Директор"),
        User(8, "Борис", "Котов", "102@example.ru", uf_phone_inner="102", personal_mobile="+79160000102"),
        User(12, "Анна", "Орлова", "101@example.ru", uf_phone_inner="101", personal_mobile="+79160000101"),
        User(15, "Вера", "Линь", "103@example.ru", uf_phone_inner="103", personal_mobile="+79160000103"),
    ]
    return {user.id: user for user in users}


def make_departments() -> list[dict[str, object]]:
    """The departments as department.get returns them."""
    return [
        {"ID": "1", "NAME": "Компания", "SORT": 500, "UF_HEAD": "1"},
        {"ID": "15", "NAME": "Отдел продаж", "SORT": 500, "PARENT": "1", "UF_HEAD": "12"},
    ]


def make_categories() -> list[Category]:
    """The general pipeline of deals (id 0), a second pipeline of deals, and that of the smart process."""
    return [
        Category(0, DEAL, "Общая", 100, default=True),
        Category(9, DEAL, "Пропущенные", 200),
        Category(12, SPA, "Заявки", 100, default=True),
    ]


def make_types() -> list[SpaType]:
    """One smart process, whose `id` differs from its entityTypeId."""
    return [SpaType(3, SPA, "Заявки")]


def make_statuses() -> list[Status]:
    """The sources, contact types and all stages."""
    statuses: list[Status] = []

    def add_statuses(
        entity: str, rows: tuple[tuple[str, str, str | None], ...], prefix: str, category: int | None
    ) -> None:
        for number, (status, name, semantics) in enumerate(rows, start=1):
            status_id = len(statuses) + 101
            statuses.append(Status(status_id, entity, prefix + status, name, number * 10, semantics, category))

    add_statuses("SOURCE", tuple((key, name, None) for key, name in _SOURCES), "", None)
    add_statuses("STATUS", _LEAD_STAGES, "", None)
    add_statuses("DEAL_STAGE", _DEAL_STAGES, "", None)
    add_statuses("DEAL_STAGE_9", _DEAL_STAGES, "C9:", 9)
    add_statuses(f"DYNAMIC_{SPA}_STAGE_12", _SPA_STAGES, f"DT{SPA}_12:", 12)
    add_statuses("CONTACT_TYPE", tuple((key, name, None) for key, name in _CONTACT_TYPES), "", None)
    return statuses
