"""Which of the program's two languages the people of a portal read. Pages, notices and texts in CRM records all ask
this module."""

from __future__ import annotations

from typing import Literal

Language = Literal["ru", "en"]

DEFAULT: Language = "ru"
"""The language of a portal that names none: Mango Office sells in Russia, and so does this application."""

_READ_RUSSIAN = frozenset({"ru", "be", "by", "kk", "kz", "ky", "kg", "uk", "ua", "uz"})
"""Languages whose readers get Russian, under Bitrix24's codes (`by`, `kz`, `ua`) and under those of ISO 639-1 (`be`,
`kk`, `uk`)."""


def choose_language(lang: str) -> Language:
    """The language for a portal's LANG or LANGUAGE_ID. Case and a region (`ru-RU`, `en_US`) do not matter.

    Bitrix24's own codes are not those of ISO: `la` is Spanish, `sc` and `tc` are Chinese, `br` is Portuguese, `vn` is
    Vietnamese (https://github.com/bitrix24/b24restdocs/blob/main/api-reference/crm/data-types.md, "Language
    Identifiers"). They all read English.
    """
    code = lang.strip().lower()[:2]
    return DEFAULT if not code else "ru" if code in _READ_RUSSIAN else "en"
