"""Keys of answers that the documentation's examples have and the sandbox keeps no state for, with harmless values."""

from __future__ import annotations

from typing import Any

from bx24app.sandbox.bitrix.state import DEAL, LEAD, Record

ACTIVITY: dict[str, Any] = {
    **dict.fromkeys(
        ("PROVIDER_GROUP_ID", "ORIGINATOR_ID", "RESULT_VALUE", "RESULT_SUM", "RESULT_CURRENCY_ID", "RESULT_SOURCE_ID")
    ),
    "ASSOCIATED_ENTITY_ID": "0", "PRIORITY": "2", "NOTIFY_TYPE": "0", "NOTIFY_VALUE": "0", "DESCRIPTION_TYPE": "1",
    "LOCATION": "", "PROVIDER_PARAMS": [], "PROVIDER_DATA": "", "RESULT_MARK": "0", "RESULT_STATUS": "0",
    "AUTOCOMPLETE_RULE": "0",
}  # fmt: skip
CATEGORY = {"originId": "", "originatorId": ""}
USER = {
    "TIME_ZONE": "", "TIMESTAMP_X": {}, "LAST_ACTIVITY_DATE": {}, "PERSONAL_GENDER": "", "PERSONAL_WWW": "",
    "PERSONAL_BIRTHDAY": "", "PERSONAL_CITY": "",
}  # fmt: skip
_SMART_PROCESS_FLAGS = (
    "isBeginCloseDatesEnabled", "isUseInUserfieldEnabled", "isMycompanyEnabled", "isDocumentsEnabled",
    "isRecyclebinEnabled", "isAutomationEnabled", "isBizProcEnabled", "isSetOpenPermissions", "isPaymentsEnabled",
    "isCountersEnabled",
)  # fmt: skip
SMART_PROCESS: dict[str, Any] = {
    **dict.fromkeys(_SMART_PROCESS_FLAGS, "N"), "createdBy": 1, "customSectionId": None,
}  # fmt: skip
_ITEM_COMMON = ("dateCreateShort", "dateModifyShort", "productId", "searchContent")
_ITEM: dict[int, tuple[str, ...]] = {
    DEAL: (
        *_ITEM_COMMON, "begindateShort", "closedateShort", "eventDate", "eventDateShort", "eventId", "eventDescription",
        "orderStage", "isWork", "isWon", "isLose", "receivedAmount", "lostAmount", "hasProducts",
    ),
    LEAD: (
        *_ITEM_COMMON, "isConvert", "shortName", "address", "dateClosed", "login", "phoneMobile", "phoneWork",
        "phoneMailing", "emailHome", "emailWork", "emailMailing", "skype", "icq", "imol", "email", "phone",
    ),
}  # fmt: skip
_ITEM_FLAGS = {
    DEAL: ("isNew", "isReturnCustomer", "isRepeatedApproach"),
    LEAD: ("isReturnCustomer", "hasEmail", "hasImol"),
}


def complete_item(record: Record, body: dict[str, Any]) -> dict[str, Any]:
    """The body of one item as crm.item.get, add and update return it."""
    made = {"movedBy": body.get("createdBy"), "movedTime": body.get("createdTime"),
            "lastActivityBy": body.get("updatedBy"), "lastActivityTime": body.get("updatedTime")}  # fmt: skip
    flags = dict.fromkeys(_ITEM_FLAGS.get(record.type_id, ()), "N")
    return {**dict.fromkeys(_ITEM.get(record.type_id, ())), **flags, **made, **body}
