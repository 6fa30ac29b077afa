"""The card says what the description says, and the warnings that every model needs."""

from __future__ import annotations

from mr2ct.bundles.card import fill_card, input_in_words


def test_the_card_holds_what_a_person_should_know(description):
    card = fill_card(description, limits=["Only phantoms."])
    for words in (
        "# tiny",
        "Not a medical device",
        "supervised",
        "attention_unet(widths=[2, 4])",
        "HU from -1024 to 3071",
        "to_canonical",
        "| mae_hu | 83.25 |",
        "nothing",
        "MIT",
        "- Only phantoms.",
        "--model tiny",
    ):
        assert words in card


def test_unmeasured_models_say_so(description):
    assert "Not measured." in fill_card(description.model_copy(update={"metrics": {}}))


def test_inputs_in_words(description):
    assert input_in_words(description) == "axial, coronal or sagittal slices"
    one = description.model_copy(update={"planes": ("axial",), "context_slices": 5})
    assert input_in_words(one) == "axial slabs of 5 slices"
    patches = description.model_copy(update={"context_slices": 0, "patch_size": (64, 64, 32), "planes": ()})
    assert input_in_words(patches) == "patches of 64 x 64 x 32 voxels"
    assert patches.dimensions == 3
