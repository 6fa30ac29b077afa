"""Ensembles on disk: members found and fitting together, a calibration only of exactly these weights."""

from __future__ import annotations

import json

import pytest

from mr2ct.bundles import EnsembleBundle, find_bundle, find_model, shipped_ensembles, zoo
from mr2ct.bundles.ensemble_score import EnsembleScore
from mr2ct.bundles.evaluation_record import EvaluationRecord, Figure
from mr2ct.errors import BundleError


@pytest.fixture
def own_zoo(tiny_bundle, tmp_path, monkeypatch):
    for seed, name in enumerate(("one", "two")):
        tiny_bundle(tmp_path / name, seed=seed)
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", tmp_path)
    return tmp_path


def write_ensemble(own_zoo, **changes):
    (own_zoo / "both").mkdir(exist_ok=True)
    described = {"format_version": 1, "name": "both", "members": ["one", "two"]} | changes
    (own_zoo / "both" / "ensemble.json").write_text(json.dumps(described), encoding="utf-8")


def write_calibration(own_zoo, *names):
    members = [{"name": name, "weights_sha256": find_bundle(name).description.weights_sha256} for name in names]
    text = json.dumps({"variants": [{"members": members}]})
    (own_zoo / "both" / "calibration.json").write_text(text, encoding="utf-8")


def test_a_name_and_a_folder_are_found(own_zoo):
    write_ensemble(own_zoo)
    assert shipped_ensembles() == ("both",)
    for model in ("both", own_zoo / "both"):
        found = find_model(model)
        assert isinstance(found, EnsembleBundle)
        assert [member.description.name for member in found.members] == ["one", "two"]
    assert find_model("one").description.name == "one"


def test_members_may_be_folders_below_that_of_the_ensemble(own_zoo, tiny_bundle, tmp_path, monkeypatch):
    tiny_bundle(own_zoo / "both" / "models" / "own", seed=5)
    write_ensemble(own_zoo, members=["one", "models/own"])
    monkeypatch.chdir(tmp_path)
    found = find_model(own_zoo / "both")
    assert [member.description.name for member in found.members] == ["one", "own"]


def test_it_is_no_bundle(own_zoo):
    write_ensemble(own_zoo)
    with pytest.raises(BundleError, match="several models"):
        find_bundle("both")


def test_the_calibration_is_that_of_these_members_in_this_order(own_zoo):
    write_ensemble(own_zoo)
    assert find_model("both").calibration is None
    write_calibration(own_zoo, "one", "two")
    assert find_model("both").calibration is not None
    for others in (["one"], ["two", "one"], ["one", "two", "one"]):
        write_calibration(own_zoo, *others)
        assert find_model("both").calibration is None


def test_the_card_is_of_these_members(own_zoo):
    write_ensemble(own_zoo)
    (own_zoo / "both" / "MODEL_CARD.md").write_text("# written", encoding="utf-8")
    assert "| one | supervised |" in find_model("both").card
    write_calibration(own_zoo, "one", "two")
    assert find_model("both").card == "# written"


def test_the_card_says_who_is_not_shown_the_mirror_image(own_zoo, tiny_bundle):
    write_ensemble(own_zoo)
    assert "flips" not in find_model("both").card
    tiny_bundle(own_zoo / "three", flips=False)
    write_ensemble(own_zoo, members=["one", "three"])
    assert "NAME`.\nIt is not mirrored for three, trained without flips.\n\n## What" in find_model("both").card


def test_the_figures_on_the_card_are_those_of_these_weights(own_zoo):
    write_ensemble(own_zoo)
    figure = Figure(value=71.25, low=70.0, high=73.0, cases=6, patients=2)
    record = EvaluationRecord(
        protocols=("synthrad2025",), side="test", interval=0.95, resamples=9, seed=0, overall={"mae_hu": figure}
    )
    members = [(name, find_bundle(name).description.weights_sha256) for name in ("one", "two")]
    path = own_zoo / "both" / "evaluation.json"
    path.write_text(EnsembleScore(members=members, evaluation=record, citations=("Them 2023",)).model_dump_json())
    assert "71.2 (70.0 to 73.0)" in find_model("both").card
    assert "- Them 2023" in find_model("both").card
    path.write_text(EnsembleScore(members=members[::-1], evaluation=record).model_dump_json())
    assert find_model("both").scored is None
    assert "Not measured." in find_model("both").card
    path.write_text("{}")
    with pytest.raises(BundleError, match="no score of an ensemble"):
        assert find_model("both").scored


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"members": []}, "does not describe an ensemble"),
        ({"weights": [1, 2]}, "does not describe an ensemble"),
        ({"format_version": 2}, "does not describe an ensemble"),
        ({"members": ["one", "three"]}, "unknown model"),
        ({"members": ["one", "one"]}, "listed twice"),
    ],
)
def test_what_is_no_ensemble_says_so(own_zoo, changes, words):
    write_ensemble(own_zoo, **changes)
    with pytest.raises(BundleError, match=words):
        find_model("both")


def test_members_must_see_the_same_volume(own_zoo, tiny_bundle):
    tiny_bundle(own_zoo / "axial", planes=("axial",))
    write_ensemble(own_zoo, members=["one", "axial"])
    with pytest.raises(BundleError, match="axial has another planes than one"):
        find_model("both")


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_file_says_so(own_zoo, text):
    write_ensemble(own_zoo)
    (own_zoo / "both" / "ensemble.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match="ensemble.json"):
        find_model("both")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"variants": null}',
        '{"variants": [[1]]}',
        '{"variants": [{"members": [1]}]}',
        '{"variants": [{"members": null}]}',
        '{"measured": {"mae_hu": "good"}}',
        pytest.param("[" * 200_000, id="deep"),
    ],
)
def test_a_damaged_calibration_says_so(own_zoo, text):
    write_ensemble(own_zoo)
    (own_zoo / "both" / "calibration.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"calibration\.json"):
        assert find_model("both").calibration


def test_a_card_that_is_no_text_says_so(own_zoo):
    write_ensemble(own_zoo)
    write_calibration(own_zoo, "one", "two")
    (own_zoo / "both" / "MODEL_CARD.md").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md cannot be read"):
        assert find_model("both").card


@pytest.mark.parametrize("name", shipped_ensembles())
def test_every_shipped_ensemble_is_whole(name):
    found = find_model(name)
    assert found.name == name
    assert all(member.description.name in found.card for member in found.members)
