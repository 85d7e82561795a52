"""Typed keys are cleaned and looked at before Mango Office is asked; one PBX is connected once."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.mango.errors import NotPermitted, TemporaryFailure
from bx24app.models import Pbx, db
from bx24app.settings import save as use_case
from tests.support.frame_pages import API_KEY, API_SALT, FakeMango, Frame, frame, has, mango, wrong

__all__ = ["frame", "mango"]
PAGE = "/frame/pbxs"
OTHER = "k2".ljust(32, "k")


def typed(key: str = API_KEY, salt: str = API_SALT, **more: Any) -> dict[str, Any]:
    return {"name": "Moscow", "dialects": "vpbx", "api_key": key, "api_salt": salt} | more


@pytest.mark.parametrize("around", ["\u200b{}\ufeff", ' "{}" ', "«{}»\r\n", "\t{}\u00a0", "{}\u202c."])
def test_what_is_no_letter_or_digit_is_left_out(frame: Frame, mango: FakeMango, around: str) -> None:
    key, salt = around.format(API_KEY[:9] + " " + API_KEY[9:]), around.format(API_SALT)
    assert has(frame.post(PAGE, typed(key, salt)), "connected")
    assert mango.keys == (API_KEY, API_SALT)
    with frame.site.app_context():
        row = db.session.query(Pbx).one()
        assert (row.api_key, row.api_salt) == (API_KEY, API_SALT)


@pytest.mark.parametrize(
    ("key", "salt", "field"),
    [
        ("к" * 32, API_SALT, "api_key"),  # Cyrillic
        ("400012345", API_SALT, "api_key"),
        (API_KEY, "1" * 32, "api_salt"),
        (API_KEY, API_KEY, "api_salt"),
    ],
)
def test_what_cannot_be_right_is_refused_without_a_question(
    frame: Frame, mango: FakeMango, key: str, salt: str, field: str
) -> None:
    page = frame.post(PAGE, typed(key, salt))
    assert list(wrong(page)) == [field]
    assert mango.requests == []
    assert frame.number() == 0


def test_a_swap_is_seen_where_the_portal_knows_the_pair(frame: Frame, mango: FakeMango) -> None:
    frame.post(PAGE, typed())
    mango.requests.clear()
    page = frame.post(f"{PAGE}/moscow", typed(API_SALT, API_KEY))
    assert wrong(page) == {"api_key": "The code and the key for the signature are swapped."}
    assert mango.requests == []


@pytest.mark.parametrize(("key", "salt", "texts"), [(31, 32, 1), (32, 5, 1), (40, 33, 2), (27, 27, 0)])
def test_an_odd_length_is_a_warning_that_can_be_overruled(
    frame: Frame, mango: FakeMango, key: int, salt: int, texts: int
) -> None:
    form = typed("k" * key, "s" * salt)
    page = frame.post(PAGE, form)
    assert has(page, "doubts") == bool(texts)
    assert page.count("usually it has 32") == texts
    if texts:
        assert mango.requests == []
        assert f'value="{"s" * salt}"' in page, "the typed key stays"
        frame.post(PAGE, form | {"anyway": f"{key}-{salt + 1}"})
        assert mango.requests == [], "another text than the one that was warned of"
        frame.post(PAGE, form | {"anyway": f"{key}-{salt}"})
    assert mango.requests[:1] == ["check"]


def test_the_same_key_again_leads_to_the_first(frame: Frame, mango: FakeMango) -> None:
    frame.post(PAGE, typed())
    frame.post(PAGE, typed(OTHER, name="Second"))
    mango.requests.clear()
    for path, name in ((PAGE, "Third"), (f"{PAGE}/second", "Second")):
        page = frame.post(path, typed(name=name))
        assert wrong(page) == {"api_key": "This PBX is already connected as “Moscow”."}
        assert f'href="{PAGE}/moscow"' in page
        assert has(page, "same-pbx")
    assert mango.requests == []
    assert has(frame.post(f"{PAGE}/moscow", typed()), "nothing"), "its own key is no other's"
    assert [pbx.key for pbx in frame.settings().pbxs] == ["moscow", "second"]
    frame.post(f"{PAGE}/moscow/remove", {"confirm": "moscow"})
    assert has(frame.post(PAGE, typed(name="Third")), "connected"), "a removed PBX has no key"


def test_a_key_that_another_save_brought_meanwhile_leads_there(
    frame: Frame, mango: FakeMango, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's own look is too early: the save decides, and its refusal has the link too."""
    frame.post(PAGE, typed(OTHER))
    real = use_case.save_document

    def late(portal_id: int, *given: Any, **options: Any) -> Any:
        db.session.query(Pbx).filter_by(key="moscow").update({"api_key": API_KEY})
        db.session.commit()
        return real(portal_id, *given, **options)

    monkeypatch.setattr("bx24app.web.settings.saving.save_document", late)
    page = frame.post(PAGE, typed(name="Second"))
    assert wrong(page) == {"api_key": "This PBX is already connected as “Moscow”."}
    assert has(page, "same-pbx")
    assert len(frame.settings().pbxs) == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "neither numbers nor SIP trunks"),
        (NotPermitted("off", 5201), "“PBX services” is turned off"),
        (TemporaryFailure("slow down", 429), "could not be loaded from Mango Office: slow down"),
    ],
)
def test_a_pbx_without_lines_connects_and_says_why(
    frame: Frame, mango: FakeMango, error: Any, words: str
) -> None:
    mango.lines, mango.error = (), error
    page = frame.post(PAGE, typed())
    assert 'class="notice warn" role="status" data-testid="connected"' in page
    assert words in page
    assert len(frame.settings().pbxs) == 1


def test_lines_of_another_pbx_are_named_as_the_reason(frame: Frame, mango: FakeMango) -> None:
    frame.post(PAGE, typed())
    page = frame.post(PAGE, typed(OTHER, name="Second"))
    assert "All its lines already belong to Moscow." in page
    assert "Without keys" in frame.post(PAGE, typed("", "", name="Third", dialects="events"))
