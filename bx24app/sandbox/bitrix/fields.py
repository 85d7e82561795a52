"""The fields of CRM records by entity type, under the names of crm.item.* and of the older methods.

The tables follow the documentation of crm.item.add, which has one table per type.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD

_UTM = ("utmSource", "utmMedium", "utmCampaign", "utmContent", "utmTerm")
_COMMON = {
    "opened": "boolean", "comments": "text", "assignedById": "user", "originatorId": "string", "originId": "string",
    "observers": "user[]", **dict.fromkeys(_UTM, "string"),
}  # fmt: skip
_MONEY = {"currencyId": "crm_currency", "isManualOpportunity": "boolean", "opportunity": "double"}
_PERSON = {
    "honorific": "crm_status", "name": "string", "secondName": "string", "lastName": "string", "birthdate": "date",
    "post": "string",
}  # fmt: skip
_SOURCE = {"sourceId": "crm_status", "sourceDescription": "text"}
_CLIENT = {"companyId": "crm_company", "contactId": "crm_contact", "contactIds": "crm_contact[]"}
WRITABLE: dict[int, dict[str, str]] = {
    LEAD: {
        "title": "string", **_PERSON, "companyTitle": "string", **_SOURCE, "stageId": "crm_status",
        "statusDescription": "text", **_MONEY, **_CLIENT, "webformId": "integer", **_COMMON, "fm": "multifield[]",
    },
    DEAL: {
        "title": "string", "typeId": "crm_status", "categoryId": "integer", "stageId": "crm_status",
        "isRecurring": "boolean", "probability": "integer", **_MONEY, "taxValue": "double", **_CLIENT,
        "quoteId": "crm_quote", "begindate": "date", "closedate": "date", **_SOURCE, "leadId": "crm_lead",
        "additionalInfo": "string", "locationId": "location", "webformId": "integer", **_COMMON,
    },
    CONTACT: {
        **_PERSON, "photo": "file", "typeId": "crm_status", **_SOURCE, "export": "boolean", "companyId": "crm_company",
        "companyIds": "crm_company[]", "leadId": "crm_lead", "originVersion": "string", "webformId": "integer",
        **_COMMON, "fm": "multifield[]",
    },
    COMPANY: {
        "title": "string", "typeId": "crm_status", "logo": "file", "bankingDetails": "string", "industry": "crm_status",
        "employees": "crm_status", "currencyId": "crm_currency", "revenue": "double", "isMyCompany": "boolean",
        "contactIds": "crm_contact[]", "leadId": "crm_lead", "originVersion": "string", **_COMMON, "fm": "multifield[]",
    },
}  # fmt: skip
_SPA = {
    "title": "string", "xmlId": "string", "categoryId": "integer", "stageId": "crm_status", **_SOURCE, **_CLIENT,
    **_MONEY, "taxValue": "double", "begindate": "datetime", "closedate": "datetime", "mycompanyId": "crm_company",
    "webformId": "integer", "locationId": "location",
    **{name: kind for name, kind in _COMMON.items() if name not in ("originatorId", "originId", "comments")},
}  # fmt: skip
READ_ONLY = {
    "id": "integer", "createdTime": "datetime", "updatedTime": "datetime", "movedTime": "datetime", "createdBy": "user",
    "updatedBy": "user", "movedBy": "user", "stageSemanticId": "string", "previousStageId": "crm_status",
    "closed": "boolean", "isReturnCustomer": "boolean", "lastActivityTime": "datetime", "hasPhone": "boolean",
    "hasEmail": "boolean", "entityTypeId": "integer",
}  # fmt: skip
_READ_ONLY_OF = {
    "stageSemanticId": (LEAD, DEAL), "closed": (DEAL,), "isReturnCustomer": (LEAD, DEAL),
    "hasPhone": (LEAD, CONTACT, COMPANY), "hasEmail": (LEAD, CONTACT, COMPANY), "entityTypeId": (),
}  # fmt: skip
"""Read-only fields that only these types have."""
_READ_ONLY_NOT_OF = {
    "movedTime": (CONTACT, COMPANY), "movedBy": (CONTACT, COMPANY), "previousStageId": (LEAD, CONTACT, COMPANY),
}  # fmt: skip
"""Read-only fields that all types but these have."""
_MULTIPLE = ("contactIds", "observers", "companyIds")
WITH_MULTI = (LEAD, CONTACT, COMPANY)
_UPPER = {"stageId": {LEAD: "STATUS_ID"}, "typeId": {COMPANY: "COMPANY_TYPE"}, "createdTime": {0: "DATE_CREATE"},
          "updatedTime": {0: "DATE_MODIFY"}, "createdBy": {0: "CREATED_BY_ID"}, "updatedBy": {0: "MODIFY_BY_ID"},
          "stageSemanticId": {LEAD: "STATUS_SEMANTIC_ID", 0: "STAGE_SEMANTIC_ID"}}  # fmt: skip


def writable_fields(type_id: int) -> dict[str, str]:
    """The fields that crm.item.add and crm.item.update accept for a type."""
    return WRITABLE.get(type_id, _SPA)


def is_accepted(type_id: int, name: str) -> bool:
    """Whether a type has this writable field. Every type has user fields and parents."""
    return name in writable_fields(type_id) or bool(re.match(r"(ufCrm|UF_CRM_|parentId\d)", name))


def is_filterable(type_id: int, name: str, parents: tuple[int, ...] = ()) -> bool:
    """Whether crm.item.list accepts a field in the filter.

    S: only fields of the type's own table (object-fields.md). `parents`: types to which the type is bound, whose
    parentId<type> it has.
    """
    if name.startswith("parentId"):
        return name.removeprefix("parentId") in map(str, parents)
    is_lacking = type_id not in _READ_ONLY_OF.get(name, (type_id,)) or type_id in _READ_ONLY_NOT_OF.get(name, ())
    return is_accepted(type_id, name) or (name in READ_ONLY and not is_lacking)


def default_value(kind: str) -> Any:
    """The value of a field that was never set."""
    if kind.endswith("[]"):
        return []
    return {"boolean": "N", "double": 0, "user": 0, "crm_company": 0}.get(kind)


@cache
def upper_names(type_id: int) -> dict[str, str]:
    """The names of the older methods (crm.lead.add …) by camelCase name."""
    names = {}
    for name in (*writable_fields(type_id), *READ_ONLY):
        special = _UPPER.get(name, {})
        names[name] = special.get(type_id) or special.get(0) or re.sub(r"([A-Z])", r"_\1", name).upper()
    return names


@cache
def camel_names(type_id: int) -> dict[str, str]:
    """The camelCase names by name of the older methods."""
    return {old: name for name, old in upper_names(type_id).items()}


def is_multiple(name: str) -> bool:
    """Whether a field holds a list of ids."""
    return name in _MULTIPLE
