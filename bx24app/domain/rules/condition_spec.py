"""What a row of the table of conditions consists of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bx24app.domain.rules.checks import ValueCheck
from bx24app.domain.rules.facts import CallSnapshot
from bx24app.domain.settings import Settings


@dataclass(frozen=True, slots=True)
class LocalText:
    """A text in the languages of the pages."""

    en: str
    ru: str

    def in_language(self, language: str) -> str:
        """Russian for `ru`, English for everything else."""
        return self.ru if language == "ru" else self.en


@dataclass(frozen=True, slots=True)
class ConditionValue:
    """One value of a condition that has few of them."""

    phrase: LocalText
    """Within a sentence."""
    option: LocalText | None = None
    """In the form. None: the form does not offer it."""
    full_name: LocalText | None = None
    """By itself, in the dry run. None: as in the form."""

    def alone(self, language: str) -> str:
        """The value outside of a sentence."""
        return (self.full_name or self.option or self.phrase).in_language(language)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormControl:
    """How the form asks for a condition.

    `ticks`: any of some values; `list`: texts with commas; `number`: one number; `choice`: at most one of some values.
    """

    kind: Literal["ticks", "list", "number", "choice"]
    is_main: bool = False
    """Shown at once; the others stand under "More conditions"."""
    has_numbers: bool = False
    """What consists of digits is a number in the document, not a text."""
    min_options: int = 1
    """With fewer values to choose from, the form leaves an unused condition out."""
    placeholder: str = ""
    empty_option: LocalText | None = None
    """Of a `choice`: what stands for no condition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One key of `when`: the whole of what the program knows about it.

    Without `holds`, the fact must be one of the expected values. `holds(expected, actual)` answers None for "not yet":
    the fact does not fulfil the condition so far, but may grow (who rang) or advance (the moment).
    """

    check: ValueCheck
    """Judges one value of the document; its docstring's first line stands in docs/rules.md."""
    description: str
    """Holds when …: for docs/rules.md."""
    example: Any
    """A good value, for docs/rules.md."""
    fact: str
    """Field of `RuleFacts`."""
    compute: Callable[[CallSnapshot], Any]
    """The fact of a call."""
    label: LocalText
    """What the form and the dry run call the condition."""
    phrase: LocalText
    """Its part of the rule's sentence; `{}` stands for the values."""
    control: FormControl
    values: Mapping[str, ConditionValue] = field(default_factory=dict)
    """Where there are few: every value, as a text."""
    named_by: Literal["pbx", "line"] | None = None
    """Where the values are things of the settings document: which."""
    accepts_list: bool = True
    """Takes a list too: one of its values is enough."""
    wildcard: str | None = None
    """The value that fulfils the condition whatever the fact."""
    prepare: Callable[[Any, Settings], Any] = lambda value, settings: value
    """One value of the document -> what the fact is compared with."""
    holds: Callable[[Any, Any], bool | None] | None = None
