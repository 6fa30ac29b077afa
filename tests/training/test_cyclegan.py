"""What is particular to the adversarial methods: who learns when, and what a discriminator may see."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mr2ct.training.cyclegan import STRUCTURE_TERMS, CycleGAN, CycleWeights, Players, anatomy_terms, outlined
from mr2ct.training.judgement import Game, JudgeWindow
from mr2ct.training.learner import Learner
from mr2ct.training.paired_loss import PairedLoss, PairWeights
from mr2ct.training.pix2pix import Pix2Pix


class Seen(nn.Module):
    """A 3-wide convolution that keeps what it was shown."""

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 1, 3, padding=1)
        self.images: list[torch.Tensor] = []

    def forward(self, images, *, layers=False):
        self.images.append(images.detach().clone())
        scores = self.convolution(images)
        return ((images, scores),) if layers else scores


@pytest.fixture
def learn(fabric):
    def make(channels: int = 1) -> Learner:
        torch.manual_seed(channels)
        return Learner(fabric, Seen(channels), learning_rate=0.01, schedule=lambda step: 1.0)

    return make


def weights_of(learner: Learner) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in learner.network.parameters()])


def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 2:6, 2:6] = 1
    mr, ct = (torch.rand(2, 1, 8, 8, generator=generator) for _ in range(2))
    paired = {"mr": mr, "ct": ct, "mask": mask, "mr_mask": mask, "ct_mask": mask.roll(1, -1)}
    return {**paired, "pair_mr": mr, "pair_ct": ct, "pair_mask": mask}


# --- Pix2Pix


def pix2pix(learn, **how) -> Pix2Pix:
    return Pix2Pix(learn(), learn(2), **{"loss": PairedLoss(PairWeights(l1=100.0, gradient=0.0, outside=20.0)), **how})


def test_pix2pix_lets_its_discriminator_wait(learn):
    method = pix2pix(learn, game=Game(begins=2))
    before = weights_of(method.discriminator)
    terms = [method.train_step(batch()).keys() for _ in range(2)]
    assert all(keys == {"l1", "gradient", "outside"} for keys in terms)
    assert torch.equal(before, weights_of(method.discriminator))
    assert method.train_step(batch()).keys() == {"l1", "gradient", "outside", "adversarial", "discriminator"}
    assert not torch.equal(before, weights_of(method.discriminator))


def test_pix2pix_shows_its_discriminator_the_mr_and_nothing_beyond_the_mask(learn):
    method, shown = pix2pix(learn), batch()
    shown["ct"] = shown["ct"] + 5 * (1 - shown["mask"])
    method.train_step(shown)
    images = method.discriminator.network.images
    # the generator's turn, then a real and a synthetic one
    assert len(images) == 3
    for pair in images:
        assert torch.equal(pair[:, :1], shown["mr"])
        assert (pair[:, 1:][shown["mask"] == 0] == -1).all()
    assert torch.equal(images[1][:, 1:][shown["mask"] > 0], shown["ct"][shown["mask"] > 0])
    # what the discriminator learns from is what the generator was judged on
    assert torch.equal(images[0], images[2])


def test_pix2pix_shows_its_discriminator_ct_through_the_window(learn):
    method, shown = pix2pix(learn, game=Game(window=JudgeWindow(-0.5, 0.5))), batch()
    method.train_step(shown)
    real = method.discriminator.network.images[1][:, 1:]
    ct = shown["ct"].clamp(-0.5, 0.5)
    expected = 2 * ct + 0.2 * (shown["ct"] - ct)
    torch.testing.assert_close(real[shown["mask"] > 0], expected[shown["mask"] > 0])


def test_pix2pix_matches_the_features_of_sct_and_ct(learn):
    method, shown = pix2pix(learn, game=Game(feature_matching=5.0)), batch()
    before = weights_of(method.discriminator)
    terms = method.train_step(shown)
    assert terms.keys() == {"l1", "gradient", "outside", "adversarial", "feature_matching", "discriminator"}
    # sCT, CT in the generator's turn; CT, sCT in the discriminator's
    images = method.discriminator.network.images
    assert len(images) == 4
    assert torch.equal(images[1], images[2])
    expected = (images[0] - images[1]).abs().mean() / images[1].abs().mean()
    assert float(terms["feature_matching"]) == pytest.approx(float(expected), rel=1e-5)
    assert not torch.equal(before, weights_of(method.discriminator))


@pytest.mark.parametrize("heavy", [{"adversarial": 1e4}, {"feature_matching": 1e4}])
def test_a_term_that_weighs_more_moves_the_generator_elsewhere(learn, heavy):
    alone, other = pix2pix(learn, game=Game(adversarial=0.0)), pix2pix(learn, game=Game(**{"adversarial": 0.0} | heavy))
    for method in (alone, other):
        for _ in range(3):
            method.train_step(batch())
    assert not torch.allclose(weights_of(alone.generator), weights_of(other.generator), atol=1e-4)


@pytest.mark.parametrize("game", [Game(), Game(feature_matching=1.0)])
def test_the_generators_turn_leaves_no_gradient_in_the_discriminator(learn, game):
    method = pix2pix(learn, game=game)
    method.train_step(batch())
    assert all(p.grad is None for p in method.discriminator.network.parameters())
    assert all(p.requires_grad for p in method.discriminator.network.parameters())


@pytest.mark.parametrize("kind", ["cross_entropy", "least_squares"])
def test_a_discriminator_that_alone_learns_tells_real_from_synthetic(learn, kind):
    method = pix2pix(learn, game=Game(kind=kind))
    fixed = batch()
    losses = [float(method.train_step(fixed)["discriminator"]) for _ in range(30)]
    assert losses[-1] < losses[0]


# --- CycleGAN


def cyclegan(learn, **how) -> CycleGAN:
    players = Players(learn(), learn(), learn(), learn())
    return CycleGAN(players, **{"weights": CycleWeights(), "pool_size": 2, **how})


def test_pairs_are_learnt_from_alone_at_first(learn):
    method = cyclegan(learn, pairs_alone_steps=1)
    judges = weights_of(method.judge_ct), weights_of(method.judge_mr)
    assert method.train_step(batch()).keys() == {"paired"}
    assert torch.equal(judges[0], weights_of(method.judge_ct))
    assert method.ct_pool.state_dict()["images"] == []
    assert {"paired", "cycle", "identity", "structure", "outside", "adversarial", "judge_ct", "judge_mr"} == (
        method.train_step(batch()).keys()
    )
    assert not torch.equal(judges[0], weights_of(method.judge_ct))
    assert not torch.equal(judges[1], weights_of(method.judge_mr))


def test_without_pairs_all_is_unpaired(learn):
    unpaired = {key: image for key, image in batch().items() if not key.startswith("pair")}
    method = cyclegan(learn)
    before = weights_of(method.to_ct), weights_of(method.to_mr)
    assert "paired" not in method.train_step(unpaired)
    assert not torch.equal(before[0], weights_of(method.to_ct))
    assert not torch.equal(before[1], weights_of(method.to_mr))


def test_identity_is_not_computed_where_it_has_no_weight(learn):
    method = cyclegan(learn, weights=CycleWeights(identity=0))
    assert "identity" not in method.train_step(batch())
    # there and back of each side, and the pair
    assert len(method.to_ct.network.images) == 3


def test_judges_see_outlined_images_alone(learn):
    method, shown = cyclegan(learn), batch()
    method.train_step(shown)
    for judge, beyond, own, others in (
        (method.judge_ct, -1, "ct_mask", "mr_mask"),
        (method.judge_mr, 0, "mr_mask", "ct_mask"),
    ):
        generated, real, synthetic = judge.network.images
        assert (real[shown[own] == 0] == beyond).all()
        assert (generated[shown[others] == 0] == beyond).all()
        assert torch.equal(generated, synthetic)


def test_a_term_without_weight_pulls_at_nothing(learn):
    def trained(**changes: float) -> torch.Tensor:
        silent = dict.fromkeys(("cycle", "identity", "adversarial", "structure", "outside", "paired"), 0.0)
        method = cyclegan(learn, weights=CycleWeights(**{**silent, **changes}))
        method.train_step(batch())
        return weights_of(method.to_ct)

    torch.testing.assert_close(trained(), weights_of(learn()))
    assert not torch.equal(trained(structure=1.0), weights_of(learn()))


@pytest.mark.parametrize("structure", sorted(STRUCTURE_TERMS))
def test_structure_is_compared_as_asked(learn, structure):
    shown = batch()
    method = cyclegan(learn, weights=CycleWeights(structure_kind=structure))
    expected = anatomy_terms(shown, structure, **_images(method, shown))["structure"].detach()
    torch.testing.assert_close(method.train_step(shown)["structure"], expected)


def test_the_ways_to_compare_structure_differ(learn):
    shown = batch()
    images = {name: image.detach() for name, image in _images(cyclegan(learn), shown).items()}
    assert len({float(anatomy_terms(shown, kind, **images)["structure"]) for kind in STRUCTURE_TERMS}) == 2


def _images(method: CycleGAN, shown: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    mr, ct = outlined(shown["mr"], shown["mr_mask"], 0.0), outlined(shown["ct"], shown["ct_mask"], -1.0)
    return {"mr": mr, "sct": method.to_ct.network(mr), "ct": ct, "smr": method.to_mr.network(ct)}
