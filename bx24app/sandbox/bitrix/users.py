"""The methods about employees: profile, user.*, department.get and timeman.status."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix import documented_keys, filters, php
from bx24app.sandbox.bitrix.registry import CommandContext, ListPage, RestError, rest_method, upper_keys
from bx24app.sandbox.bitrix.state import User
from bx24app.sandbox.clock import format_iso

ANY_USER = "user|user_basic|user_brief"


@rest_method("profile", "")
def get_profile(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    user = context.user
    return {
        "ID": str(user.id),
        "ADMIN": user.admin,
        "NAME": user.name,
        "LAST_NAME": user.last_name,
        "PERSONAL_GENDER": "",
        "TIME_ZONE": "",
    }


@rest_method("user.admin", "")
def is_admin(context: CommandContext, params: dict[str, Any]) -> bool:
    return context.user.admin


def user_row(context: CommandContext, user: User) -> dict[str, Any]:
    """A user as user.get returns it. Phones and e-mail need the scope user_basic or user."""
    base: dict[str, Any] = {
        "ID": str(user.id),
        "ACTIVE": user.active,
        "NAME": user.name,
        "LAST_NAME": user.last_name,
        "SECOND_NAME": "",
        "UF_PHONE_INNER": user.uf_phone_inner or None,
        "UF_DEPARTMENT": user.departments,
        "USER_TYPE": "employee",
        "IS_ONLINE": "Y" if user.active else "N",
        "WORK_POSITION": user.work_position,
    }
    if {"user", "user_basic"} & set(context.app.scopes):
        base |= {
            "EMAIL": user.email,
            "WORK_PHONE": user.work_phone,
            "PERSONAL_PHONE": user.personal_phone,
            "PERSONAL_MOBILE": user.personal_mobile,
            "LAST_LOGIN": format_iso(context.portal.now()),
            "DATE_REGISTER": format_iso(0),
        } | documented_keys.USER
    return base


@rest_method("user.current", ANY_USER)
def get_current_user(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    return user_row(context, context.user)


@rest_method("user.get", ANY_USER, upper=True)
def get_users(context: CommandContext, params: dict[str, Any]) -> ListPage:
    given = upper_keys(params)
    wanted = given.get("FILTER")
    wanted = upper_keys(wanted) if isinstance(wanted, dict) else {}
    if "ID" in given:
        wanted["ID"] = given["ID"]
    clean: dict[str, Any] = {}
    for key, value in wanted.items():
        name = filters.split_key(key)[1]
        if name in ("USER_TYPE", "IS_ONLINE", "NAME_SEARCH", "FIND") or name in _FILTER_FIELDS:
            clean[key] = value
        else:
            context.portal.add_violation("user.get", f"unknown key in FILTER: {key}")
    people = [user for user in context.portal.users.values() if not user.is_system]
    users = [user for user in people if _matches_user(context, user, clean)]
    sort = given.get("SORT")
    if isinstance(sort, str) and sort:
        order = {sort.upper(): str(given.get("ORDER") or "ASC")}
        rows = filters.sort_rows([user_row(context, user) for user in users], order)
        return filters.make_page(rows, given.get("START"))
    return filters.make_page(users, given.get("START"), lambda part: [user_row(context, user) for user in part])


_FILTER_FIELDS = frozenset(
    {"ID", "ACTIVE", "NAME", "LAST_NAME", "EMAIL", "WORK_PHONE", "PERSONAL_PHONE", "PERSONAL_MOBILE", "UF_PHONE_INNER",
     "UF_DEPARTMENT", "WORK_POSITION"}
)  # fmt: skip


def _matches_user(context: CommandContext, user: User, wanted: dict[str, Any]) -> bool:
    rest = dict(wanted)
    if "ACTIVE" in rest:
        # true, 1 and Y select active users; false, 0 and N select dismissed ones.
        value = rest.pop("ACTIVE")
        if (php.is_true(value) and value not in ("N", "false")) is not user.active:
            return False
    search = rest.pop("NAME_SEARCH", rest.pop("FIND", None))
    if search and str(search).lower() not in f"{user.name} {user.last_name}".lower():
        return False
    return not rest or filters.matches_filter(user_row(context, user), rest)


@rest_method("user.search", ANY_USER, upper=True)
def search_users(context: CommandContext, params: dict[str, Any]) -> ListPage:
    return get_users(context, params)


@rest_method("department.get", "department", upper=True)
def get_departments(context: CommandContext, params: dict[str, Any]) -> ListPage:
    given = upper_keys(params)
    wanted: dict[str, Any] = {key: given[key] for key in ("ID", "NAME", "PARENT", "UF_HEAD") if key in given}
    rows = [department for department in context.portal.departments if filters.matches_filter(department, wanted)]
    return filters.make_page(rows, given.get("START"))


@rest_method("timeman.status", "timeman", upper=True)
def get_timeman_status(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    user_id = php.to_int(upper_keys(params).get("USER_ID")) or context.user.id
    user = context.portal.users.get(user_id)
    if user is None:
        raise RestError("ERROR_ARGUMENT", "User not found", 400, argument="USER_ID")
    return {
        "STATUS": user.timeman,
        "TIME_START": format_iso(context.portal.now()),
        "TIME_FINISH": None,
        "TIME_FINISH_DEFAULT": format_iso(context.portal.now()),
        "DURATION": "00:00:00",
        "TIME_LEAKS": "00:00:00",
        "ACTIVE": user.timeman == "OPENED",
        "IP_OPEN": "",
        "IP_CLOSE": "",
        "LAT_OPEN": 0,
        "LON_OPEN": 0,
        "LAT_CLOSE": 0,
        "LON_CLOSE": 0,
        "TZ_OFFSET": 10800,
    }
