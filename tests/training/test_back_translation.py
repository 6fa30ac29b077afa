"""What is particular to back-translation: who teaches whom, and what no gradient and no discriminator may see."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from mr2ct.hounsfield import HuScaling
from mr2ct.training.back_translation import BackTranslation, BackTranslationWeights, Course, MrChanges
from mr2ct.training.cyclegan import Players
from mr2ct.training.learner import Learner, Schedule
from mr2ct.training.recipe import parse_recipe, read_recipe
from mr2ct.training.unpaired_assembly import SOFT_TISSUE_HU, TISSUE_HU, augments_mr_of_batches, build_unpaired

ROOT = Path(__file__).parents[2]


class Seen(nn.Module):
    """A 3-wide convolution that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)
        self.images: list[torch.Tensor] = []

    def forward(self, images):
        self.images.append(images.detach().clone())
        return self.convolution(images)


@pytest.fixture
def method(fabric):
    def make(*, play_every: int = 1, pairs_alone_steps: int = 0, changes=None, **weights: float) -> BackTranslation:
        torch.manual_seed(0)
        players = [Learner(fabric, Seen(), learning_rate=0.01, schedule=lambda step: 1.0) for _ in range(4)]
        return BackTranslation(
            Players(*players),
            weights=BackTranslationWeights(**weights),
            course=Course(total_steps=10, pairs_alone_steps=pairs_alone_steps, play_every=play_every),
            changes=changes or MrChanges(),
            pool_size=2,
            ema_decay=0.5,
        )

    return make


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    mr, ct, pair_mr, pair_ct = (torch.rand(2, 1, 8, 8, generator=generator) for _ in range(4))
    unpaired = {"mr": mr, "ct": ct, "mr_mask": mask, "ct_mask": mask.roll(1, -1)}
    return {**unpaired, "pair_mr": pair_mr, "pair_ct": pair_ct, "pair_mask": mask.roll(1, -2)}


def weights_of(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in learner.network.parameters()])


def moved_by(method: BackTranslation, batch: dict[str, torch.Tensor]) -> set[str]:
    """Which of the four networks one step changes."""
    names = ("to_ct", "to_mr", "judge_ct", "judge_mr")
    before = {name: weights_of(getattr(method, name)) for name in names}
    method.train_step(batch)
    return {name for name in names if not torch.equal(before[name], weights_of(getattr(method, name)))}


def test_pairs_come_first_then_rounds_of_all_four_between_steps_of_to_ct_alone(method, batch):
    taught = method(pairs_alone_steps=1, play_every=2)
    everyone = {"to_ct", "to_mr", "judge_ct", "judge_mr"}
    assert [moved_by(taught, batch) for _ in range(4)] == [{"to_ct", "to_mr"}, everyone, {"to_ct"}, everyone]


def test_unpaired_images_alone_are_enough(method, batch):
    unpaired = {key: image for key, image in batch.items() if not key.startswith("pair")}
    taught = method(play_every=2, pairs_alone_steps=5)
    for _ in range(2):
        assert not taught.train_step(unpaired).keys() & {"paired", "paired_mr"}


def test_the_ct_is_the_truth_of_the_mr_made_from_it_and_no_gradient_goes_round(method, batch):
    alone = dict.fromkeys(("adversarial_mr", "adversarial_ct", "structure", "outside", "paired", "paired_last"), 0.0)
    taught = method(cycle=1.0, **alone)
    expected_smr = taught.to_mr.network.convolution(batch["ct"] * batch["ct_mask"] - (1 - batch["ct_mask"]))
    taught.train_step(batch)
    real_mr, smr, _ = taught.to_ct.network.images[-1].split(2)
    torch.testing.assert_close(smr, (expected_smr * batch["ct_mask"]).detach())
    torch.testing.assert_close(real_mr, batch["mr"] * batch["mr_mask"])
    # the CT-to-MR generator learns from the real MR alone: other CT weights in the cycle leave it as it is
    other = method(cycle=1.0, gradient=50.0, **alone)
    other.train_step(batch)
    torch.testing.assert_close(weights_of(other.to_mr), weights_of(taught.to_mr))
    assert not torch.equal(weights_of(other.to_ct), weights_of(taught.to_ct))


@pytest.mark.parametrize("play_every", [1, 3])
def test_mr_are_changed_on_their_way_into_to_ct_alone(method, batch, play_every):
    taught = method(play_every=play_every, changes=MrChanges(lambda mr, generator: mr + 7))
    for _ in range(play_every):
        taught.train_step(batch)
    assert all((images > 3).all() for images in taught.to_ct.network.images)
    for network in (taught.judge_mr.network, taught.to_mr.network):
        assert all((images < 3).all() for images in network.images)


def test_the_changes_of_a_step_depend_on_seed_and_step_alone(method, batch):
    drawn: list[float] = []

    def note(mr, generator):
        drawn.append(float(torch.rand(1, generator=generator)))
        return mr

    for first_step in (0, 1):
        taught = method(changes=MrChanges(note))
        taught.steps = first_step
        for _ in range(2 - first_step):
            taught.train_step(batch)
    # twice a step: of real MR, and of those that come with a CT
    assert drawn[:2] != drawn[2:4]
    assert drawn[2:4] == drawn[4:]


def test_judges_see_outlined_images_alone(method, batch):
    taught = method()
    taught.train_step(batch)
    for judge, beyond, own, others in (
        (taught.judge_ct, -1, "ct_mask", "mr_mask"),
        (taught.judge_mr, 0, "mr_mask", "ct_mask"),
    ):
        generated, real, synthetic = judge.network.images
        assert (real[batch[own] == 0] == beyond).all()
        assert (generated[batch[others] == 0] == beyond).all()
        assert torch.equal(generated, synthetic)


def test_the_weight_of_pairs_falls_along_the_run():
    course = Course(total_steps=30, pairs_alone_steps=10)
    assert [course.along(step) for step in (5, 10, 20, 30, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert Course(total_steps=5, pairs_alone_steps=5).along(5) == 0.0


@pytest.mark.parametrize(
    ("method_section", "changed"),
    [
        ({"name": "supervised"}, True),
        ({"name": "cyclegan"}, True),
        ({"name": "cyclegan", "back_translation": {}}, False),
    ],
)
def test_only_back_translation_gets_the_mr_of_a_batch_as_they_are(method_section, changed):
    content = {
        "name": "a",
        "method": method_section,
        "network": {"name": "resnet"},
        "data": {"stores": [{"path": "x"}]},
    }
    assert augments_mr_of_batches(parse_recipe(content)) is changed


def test_texture_lies_on_soft_tissue_of_mr_that_come_with_a_ct():
    ct = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8)
    changes = MrChanges(texture=lambda mr, soft, generator: mr + soft, soft_tissue=(-0.5, 0.5))
    mr, generator = torch.zeros_like(ct), torch.Generator()
    changed = changes.of_pairs(mr, ct, torch.ones_like(ct), generator)
    torch.testing.assert_close(changed, (ct.abs() < 0.5).float())
    assert changes(mr, generator) is mr


def test_bands_lie_where_tissue_touches_the_outline_of_mr_that_come_with_a_ct():
    ct, mask = torch.linspace(-1, 1, 64).reshape(1, 1, 8, 8), torch.rand(1, 1, 8, 8).round()
    changes = MrChanges(short_field=lambda mr, tissue, mask, generator: mr + tissue + 2 * mask, tissue=0.25)
    mr, generator = torch.zeros_like(ct), torch.Generator()
    torch.testing.assert_close(changes.of_pairs(mr, ct, mask, generator), (ct > 0.25) + 2 * mask)
    assert changes(mr, generator) is mr


@pytest.mark.parametrize("hu_range", [(-1024.0, 3071.0), (-1000.0, 2000.0)])
def test_soft_tissue_is_stated_in_hu(fabric, hu_range):
    recipe = parse_recipe(
        {
            "name": "a",
            "method": {"name": "cyclegan", "back_translation": {"texture": {"folds": 0.5}, "short_field": 0.4}},
            "network": {"name": "resnet"},
            "data": {"stores": [{"path": "x"}], "intensity": None},
            "hu_range": hu_range,
        }
    )
    players = Players(*(Learner(fabric, Seen(), learning_rate=0.01, schedule=lambda step: 1.0) for _ in range(4)))
    changes = build_unpaired(recipe.method, recipe, players, seed=1).changes
    assert changes.augmentation is None
    assert changes.texture.folds == 0.5
    assert changes.short_field.share == 0.4
    in_hu = HuScaling(*hu_range).to_hu([*changes.soft_tissue, changes.tissue])
    assert in_hu.tolist() == pytest.approx([*SOFT_TISSUE_HU, TISSUE_HU], abs=0.01)


@pytest.mark.parametrize("taught", [None, {}])
def test_how_structure_is_compared_is_the_recipe_s(fabric, taught):
    recipe = parse_recipe(
        {
            "name": "a",
            "method": {"name": "cyclegan", "structure": "mind", "structure_weight": 7, "back_translation": taught},
            "network": {"name": "resnet"},
            "data": {"stores": [{"path": "x"}]},
        }
    )
    players = Players(*(Learner(fabric, Seen(), learning_rate=0.01, schedule=lambda step: 1.0) for _ in range(4)))
    weights = build_unpaired(recipe.method, recipe, players, seed=1).weights
    assert (weights.structure_kind, weights.structure) == ("mind", 7)


def test_the_reference_says_how_far_the_rates_of_the_others_fall():
    recipe = read_recipe(ROOT / "recipes" / "cyclegan.yaml")
    run, method, optimiser = recipe.run, recipe.method, recipe.optimiser
    course = Course(run.max_steps, method.pairs_alone_steps, method.back_translation.play_every)
    played = sum(course.plays(step) for step in range(method.pairs_alone_steps, run.max_steps))
    schedule = Schedule(run.max_steps, optimiser.warmup_steps, optimiser.decay, optimiser.decay_from, optimiser.final)
    steps = (method.pairs_alone_steps + played, played)
    ends = [f"{100 * schedule(taken):.0f} %" for taken in steps]
    said = f"with {steps[0]} and {steps[1]} of {run.max_steps} steps, at {ends[0]} and {ends[1]} of their peaks"
    assert said in (ROOT / "docs" / "reference" / "recipe.md").read_text(encoding="utf-8")


def test_each_network_s_schedule_counts_its_own_steps(method, batch):
    taught = method(pairs_alone_steps=1, play_every=3)
    for _ in range(6):
        taught.train_step(batch)
    players = (taught.to_ct, taught.to_mr, taught.judge_ct, taught.judge_mr)
    assert [player.state_dict()["schedule"]["last_epoch"] for player in players] == [6, 3, 2, 2]
