"""Tolerances: a default and a reason for each, a YAML file that may change any, and words for what is wrong in it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, asdict
from pathlib import Path

import pytest

from mr2ct.errors import InputError
from mr2ct.trust.commissioning_tolerances import (
    DEFAULT_TOLERANCES,
    ENTRIES,
    Rule,
    Tolerances,
    parse_tolerances,
    read_tolerances,
)

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "commission-a-model.md"


def test_every_default_has_a_name_and_a_reason():
    assert ENTRIES.keys() == asdict(DEFAULT_TOLERANCES).keys()
    for key, entry in ENTRIES.items():
        assert len(entry.name) > 5, key
        assert len(entry.why) > 10, key
        assert DEFAULT_TOLERANCES.limit_of(key) is not None
        assert key.endswith({"%": "_percent", "HU": "_hu", "mm": "_mm", "": ""}[entry.unit])


def test_the_guide_lists_every_key_with_its_default():
    text = GUIDE.read_text(encoding="utf-8")
    for key, entry in ENTRIES.items():
        sign = {Rule.AT_MOST: "at most ", Rule.AT_LEAST: "at least ", Rule.WITHIN: "within ±"}[entry.rule]
        limit = f"{sign}{DEFAULT_TOLERANCES.limit_of(key):g} {entry.unit}".strip()
        assert f"| `{key}` | {limit} |" in text, key


def test_they_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        DEFAULT_TOLERANCES.mae_hu = 1


def test_a_file_changes_what_it_names(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("mae_hu: 80  # ours\nbone_dice: 0.75\nmae_lung_hu: null\n", encoding="utf-8")
    found = read_tolerances(path)
    assert (found.mae_hu, found.bone_dice, found.limit_of("mae_lung_hu")) == (80, 0.75, None)
    assert found.mae_bone_hu == DEFAULT_TOLERANCES.mae_bone_hu


def test_an_empty_file_changes_nothing(tmp_path):
    (tmp_path / "site.yaml").write_text("# nothing\n", encoding="utf-8")
    assert read_tolerances(tmp_path / "site.yaml") == DEFAULT_TOLERANCES


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mae_bnoe_hu: 3", "unknown key 'mae_bnoe_hu' (did you mean 'mae_bone_hu'?)"),
        ("MAE: 3", "did you mean"),
        ("mae_hu: -3", "mae_hu: Input should be greater than or equal to 0"),
        ("mae_hu: many", "mae_hu: Input should be a valid number"),
        ("mae_hu: true", "mae_hu: Input should be a valid number"),
        ("mae_hu: .nan", "mae_hu: "),
        ("mae_hu: .inf", "mae_hu: Input should be a finite number"),
        ("- mae_hu", "is not a mapping"),
        ("mae_hu: [", "are not YAML"),
        ("7: 3", "7: Keys should be strings"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_tolerances(tmp_path / "site.yaml")
    assert words in str(caught.value)
    assert "site.yaml" in str(caught.value)


def test_what_was_stored_comes_back():
    changed = Tolerances(mae_hu=90, bone_dice=None)
    assert parse_tolerances(asdict(changed), source="stored") == changed
