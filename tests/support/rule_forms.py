"""Reads the form of the rules page as a browser would send it.

A test takes the HTML of a page, changes fields with `with_fields`, and posts the result.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from werkzeug.datastructures import MultiDict


class _Fields(HTMLParser):
    """Collects the names and values of the form's fields."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: list[tuple[str, str]] = []
        self._select: str | None = None
        self._area: str | None = None
        self._chosen: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "input" and attributes.get("name"):
            if attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes:
                self.fields.append((attributes["name"], attributes.get("value", "")))
        elif tag == "select":
            self._select, self._chosen = attributes["name"], None
        elif tag == "option" and self._select and (self._chosen is None or "selected" in attributes):
            self._chosen = attributes.get("value", "")
        elif tag == "textarea":
            self._area = attributes["name"]
            self.fields.append((self._area, ""))

    def handle_data(self, data: str) -> None:
        if self._area:
            self.fields[-1] = (self._area, self.fields[-1][1] + data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "select" and self._select:
            self.fields.append((self._select, self._chosen or ""))
            self._select = None
        if tag == "textarea":
            self._area = None


def form(page: str) -> MultiDict[str, str]:
    """The fields that the page would send unchanged, without those in `<template>` elements."""
    parser = _Fields()
    parser.feed(re.sub(r"<template.*?</template>", "", page, flags=re.DOTALL))
    return MultiDict(parser.fields)


def with_fields(page: str | MultiDict[str, str], **changes: Any) -> MultiDict[str, str]:
    """The page's form with changed fields. A list gives several values, None removes a field."""
    fields = form(page) if isinstance(page, str) else MultiDict(page)
    for name, value in changes.items():
        key = name.replace("__", "-")
        if value is None:
            fields.poplist(key)
        else:
            fields.setlist(key, list(value) if isinstance(value, list) else [value])
    return fields
