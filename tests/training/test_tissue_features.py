"""The segmenter on disk, and a loss that sees what it sees."""

from __future__ import annotations

import json

import pytest
import torch

from mr2ct.errors import BundleError, RecipeError
from mr2ct.models.tissue_segmenter import TissueSegmenter
from mr2ct.training.assembly import build_generator, build_method
from mr2ct.training.recipe import parse_recipe
from mr2ct.training.tissue_features import TissueFeatureLoss, read_segmenter, write_segmenter

ARGUMENTS = {"classes": 3, "widths": [4, 6]}
HU = (-1024, 3071)


def segmenter(**arguments) -> TissueSegmenter:
    torch.manual_seed(0)
    return TissueSegmenter(**{**ARGUMENTS, **arguments})


@pytest.fixture
def folder(tmp_path):
    write_segmenter(tmp_path / "s", segmenter(), arguments=ARGUMENTS, hu_range=HU, facts={"steps": 5})
    return tmp_path / "s"


def images(*size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sct, ct = (2 * torch.rand(2, 1, *size, generator=generator) - 1 for _ in range(2))
    mask = torch.zeros(2, 1, *size)
    mask[(..., *(slice(2, n - 3) for n in size))] = 1
    return sct, ct, mask


# --- the loss


@pytest.mark.parametrize("size", [(16, 24), (13, 9), (8, 8, 12)], ids=str)
def test_identical_images_look_alike_and_others_do_not(size):
    sct, ct, mask = images(*size)
    loss = TissueFeatureLoss(segmenter(dims=len(size)))
    assert float(loss(ct, ct, mask)) == 0
    near = float(loss(ct + 0.02 * (sct - ct), ct, mask))
    assert 0 < near < float(loss(sct, ct, mask))


def test_gradients_reach_the_sct_inside_the_mask_alone_and_no_weight():
    sct, ct, mask = images(16, 24)
    network = segmenter()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    sct, ct = sct.requires_grad_(True), ct.requires_grad_(True)
    TissueFeatureLoss(network)(sct, ct, mask).backward()
    assert sct.grad[mask > 0].abs().max() > 0
    assert not sct.grad[mask == 0].any()
    assert ct.grad is None
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_an_empty_mask_is_finite():
    sct, ct, mask = images(16, 16)
    assert float(TissueFeatureLoss(segmenter())(sct, ct, 0 * mask)) == 0


# --- on disk


def test_what_was_written_is_read(folder):
    ct = images(16, 16)[1]
    assert torch.equal(read_segmenter(folder, dims=2, hu_range=HU).eval()(ct), segmenter().eval()(ct))
    assert json.loads((folder / "segmenter.json").read_text())["steps"] == 5
    assert sorted(path.name for path in folder.iterdir()) == ["segmenter.json", "weights.safetensors"]


def test_one_for_other_images_is_refused(folder):
    with pytest.raises(BundleError, match="for other images; got 2 dimensions, -1024 to 3071 HU; expected 3 dim"):
        read_segmenter(folder, dims=3, hu_range=HU)
    with pytest.raises(BundleError, match="expected 2 dimensions, -1000 to 2000 HU"):
        read_segmenter(folder, dims=2, hu_range=(-1000, 2000))


def change(folder, **changes) -> None:
    path = folder / "segmenter.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 9}, "of another format"),
        ({"hu_range": None}, "is incomplete"),
        ({"hu_range": [1]}, "is incomplete"),
        ({"weights_sha256": "0"}, "was altered"),
        ({"arguments": {"classes": 3, "widths": [4, 8]}}, "cannot be built"),
        ({"arguments": {"colour": 3}}, "cannot be built"),
        ({"arguments": 7}, "is incomplete"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_description_that_is_wrong_is_named(folder, changes, words):
    change(folder, **changes)
    with pytest.raises(BundleError, match=words):
        read_segmenter(folder, dims=2, hu_range=HU)


def test_a_folder_without_one_and_broken_json_are_named(folder, tmp_path):
    with pytest.raises(BundleError, match="no tissue segmenter there"):
        read_segmenter(tmp_path, dims=2, hu_range=HU)
    (folder / "segmenter.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        read_segmenter(folder, dims=2, hu_range=HU)


# --- in a recipe


@pytest.mark.parametrize("method", ["supervised", "pix2pix"])
def test_a_recipe_with_every_loss_takes_a_step_and_reports_them(method, small_recipe, folder, fabric):
    plain = parse_recipe(small_recipe(method))
    options = {
        "ssim_weight": 0.1,
        "tissue_weights": {"bone": 2.0},
        "feature_loss": {"segmenter": str(folder), "weight": 0.2},
    }
    content = small_recipe(method)
    full = parse_recipe({**content, "method": {**content["method"], **options}})
    _, ct, mask = images(24, 24)
    terms = {}
    for name, recipe in (("plain", plain), ("full", full)):
        torch.manual_seed(0)
        method_ = build_method(recipe, build_generator(recipe), fabric)
        terms[name] = method_.train_step({"mr": (ct + 1) / 2, "ct": ct, "mask": mask})
    assert terms["full"].keys() - terms["plain"].keys() == {"ssim", "feature"}
    assert terms["full"]["gradient"] == terms["plain"]["gradient"]
    assert terms["full"]["l1"] != terms["plain"]["l1"]


def test_a_recipe_that_names_no_segmenter_is_refused_before_training(small_recipe, fabric, tmp_path):
    method = {"name": "supervised", "feature_loss": {"segmenter": str(tmp_path / "none")}}
    recipe = parse_recipe({**small_recipe(), "method": method})
    with pytest.raises(BundleError, match="no tissue segmenter there"):
        build_method(recipe, build_generator(recipe), fabric)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"tissue_weights": {"bon": 2}}, r"'method.tissue_weights.bon' \(did you mean 'bone'\?\)"),
        ({"feature_loss": {"segmentr": "x"}}, r"'method.feature_loss.segmentr' \(did you mean 'segmenter'\?\)"),
        ({"feature_loss": {"segmenter": "x", "weight": 0}}, r"method.feature_loss.weight: Input should be greater"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_key_of_a_loss_is_named_with_the_nearest(small_recipe, option, words):
    with pytest.raises(RecipeError, match=words):
        parse_recipe({**small_recipe(), "method": {"name": "supervised", **option}})
