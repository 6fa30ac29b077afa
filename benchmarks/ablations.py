"""What does each part of the recipe give? A small network from nothing, one change at a time, on the same batches.

    python benchmarks/ablations.py --store stores/brain --phantoms stores/phantom --out FOLDER [--steps 1000] [NAME ...]

Every run has the recipe of `recipes/multiscale_attention.yaml` at half its width on crops of 128, the same seed, the
same number of steps (where a change is about the batch, the same number of voxels) and its own decay. MAE in HU inside
the mask of the validation slices half-way and at the end, the L1 of training when last noted (changed slices, phantoms
among them), the gradient energy of bone in % of the CT's, and operations a step. The first row is run with three seeds:
what differs by less than they do says nothing. A finished run is not run again. What is best after few steps from
nothing need not be best in the end.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ablation_rows import SHARPNESS, kept, noted, parser, plain, rows, trained
from timed_training import machine
from torch import Tensor, nn

import mr2ct
from mr2ct.bundles import load_bundle
from mr2ct.models import REGISTRY
from mr2ct.models.attention_unet import AttentionGate
from mr2ct.models.blocks import ConvolutionBlock
from mr2ct.models.multiscale_attention import MultiScaleAttentionUNet

RECIPE = Path(__file__).parents[1] / "recipes" / "multiscale_attention.yaml"
SMALL = (
    "network.arguments={widths: [32, 64, 96, 128], norm: batch, stem: 2, dilations: [1, 2, 4]}",
    "data.size=[128, 128]",
    "data.batch_size=8",
    "optimiser.learning_rate=1.5e-3",
    "optimiser.warmup_steps=20",
    "optimiser.ema_decay=0.98",
    "run.keep=last",
)


class Nothing(nn.Module):
    """A path that is not there: it adds zero, and as an answer it is zero everywhere."""

    def __init__(self, channels: int | None = None) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor) -> Tensor:
        if self.channels is None:
            return features.new_zeros(())
        return features.new_zeros((features.shape[0], self.channels, *features.shape[2:]))


class OpenGate(nn.Module):
    """A skip connection without a gate."""

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        return skip


class SelfAttention(nn.Module):
    """Every place of the coarsest level looks at all others (Vaswani 2017); a residual, shape (N, C, *spatial)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, num_heads=4, batch_first=True)

    def forward(self, features: Tensor) -> Tensor:
        places = self.norm(features.flatten(2).transpose(1, 2))
        seen, _ = self.attention(places, places, places, need_weights=False)
        return features + seen.transpose(1, 2).reshape(features.shape)


def without_gates(network: MultiScaleAttentionUNet) -> None:
    for rise in network.up:
        assert isinstance(rise.gate, AttentionGate)
        rise.gate = OpenGate()


def without_residual_paths(network: MultiScaleAttentionUNet) -> None:
    for block in [module for module in network.modules() if isinstance(module, ConvolutionBlock)]:
        block.shortcut = Nothing()


def without_coarse_answers(network: MultiScaleAttentionUNet) -> None:
    network.heads = nn.ModuleList(Nothing(1) for _ in network.heads)


def with_self_attention(network: MultiScaleAttentionUNet) -> None:
    network.pyramid = SelfAttention(network.pyramid.join.out_channels)


def changed_network(change: Callable[[MultiScaleAttentionUNet], None]) -> type[nn.Module]:
    """The network with a part exchanged after it was built, with the same arguments."""

    class Changed(MultiScaleAttentionUNet):
        @functools.wraps(MultiScaleAttentionUNet.__init__)
        def __init__(self, *arguments: object, **named: object) -> None:
            super().__init__(*arguments, **named)  # type: ignore[arg-type]
            change(self)

    return Changed


@dataclass(frozen=True)
class Change:
    """One row: overrides of the recipe, or another network; `share` of the steps, where a step sees more or less."""

    words: tuple[str, ...] = ()
    network: Callable[[MultiScaleAttentionUNet], None] | None = None
    share: float = 1.0
    first: tuple[str, ...] = field(default=())
    """Overrides of a run that comes before, of a third of the steps; the row's own has the others."""


ON_PHANTOMS = "data.stores=[{path: PHANTOMS}]"
CHANGES = {
    "as it is": Change(),
    "as it is, another seed": Change(("seed=1",)),
    "as it is, a third seed": Change(("seed=2",)),
    "twice as wide": Change(("network.arguments.widths=[64, 128, 192, 256]",)),
    "one level more": Change(("network.arguments.widths=[32, 64, 96, 128, 160]",)),
    "no residual paths": Change(network=without_residual_paths),
    "instance norm": Change(("network.arguments.norm=instance",)),
    "group norm": Change(("network.arguments.norm=group",)),
    "no attention gates": Change(network=without_gates),
    "no answers of coarse levels": Change(network=without_coarse_answers),
    "no dilations": Change(("network.arguments.dilations=[1]",)),
    "self-attention instead of dilations": Change(network=with_self_attention),
    "voxels not folded, a quarter of the steps": Change(("network.arguments.stem=1",), share=0.25),
    "SSIM term, 0.2": Change(("method.ssim_weight=0.2",)),
    "no gradient term": Change(("method.gradient_weight=0",)),
    "no term outside the mask": Change(("method.outside_weight=0",)),
    "all voxels alike": Change(("method.images_alike=false",)),
    "no phantoms": Change(("data.stores=[{path: STORE}]",)),
    "phantoms alone at first": Change(first=(ON_PHANTOMS,)),
    "no cuts off the middle": Change(("data.off_middle=0",)),
    "thick slices, 0.3": Change(("data.intensity.thick_slices=0.3",)),
    "MR as they are": Change(("data.intensity=null",)),
    "flips alone": Change(("data.spatial={rotation_deg: 0, scaling: 0}",)),
    "elastic, 0.015": Change(("data.spatial.elastic=0.015",)),
    "crops of 192": Change(("data.size=[192, 192]", "data.batch_size=4"), share=8 / 9),
    "batches of 16": Change(("data.batch_size=16",), share=0.5),
    "batches of 4": Change(("data.batch_size=4",), share=2.0),
    "linear decay": Change(("optimiser.decay=linear",)),
    "no decay": Change(("optimiser.decay=constant",)),
    "no average of weights": Change(("optimiser.ema_decay=0",)),
}


def main() -> None:
    given = parser(__doc__, steps=1000).parse_args()
    print(f"mr2ct {mr2ct.__version__}; {machine()}; {given.steps} steps\n", flush=True)
    results = {name: kept(given.out, name, lambda row: result(row, given)) for name in rows(given, CHANGES)}
    print(
        "| | half-way | at the end | training | gradient energy in bone (%) | GFLOP a step |\n|---|---|---|---|---|---|"
    )
    for name, row in results.items():
        figures = (f"{row[key]:.1f}" for key in ("half", "end", "learnt"))
        print(f"| {name} | {' | '.join(figures)} | {row['sharp']:.0f} | {row['gflop']:.0f} |")
    seeds = [row["end"] for name, row in results.items() if name.startswith("as it is")]
    if len(seeds) > 1:
        print(f"\nas it is: {np.mean(seeds):.1f} HU, standard deviation over seeds {np.std(seeds, ddof=1):.1f}")


def result(name: str, given: argparse.Namespace) -> dict[str, float]:
    """Train one row: MAE in HU half-way, at the end and in training, gradient energy in bone, operations a step."""
    folder = given.out / plain(name)
    change = CHANGES[name]
    words, steps = list(change.words), round(given.steps * change.share)
    if change.first:
        early = round(steps / 3)
        train(folder / "before", [*change.first, *words], early, given)
        words, steps = [*words, f"init_from={folder / 'before' / 'bundle'}"], steps - early
    if change.network is not None:
        REGISTRY["changed"] = changed_network(change.network)
        words.append("network.name=changed")
    return train(folder / "run", words, steps, given)


def train(folder: Path, words: list[str], steps: int, given: argparse.Namespace) -> dict[str, float]:
    stores = f"[{{path: {given.store}, weight: 0.8}}, {{path: {given.phantoms}, weight: 0.2}}]"
    common = [f"data.stores={stores}", f"data.split={given.store / 'split.json'}", f"run.accelerator={given.device}"]
    length = [f"run.max_steps={steps}", f"run.validate_every={max(steps // 2, 1)}"]
    places = (("STORE", str(given.store)), ("PHANTOMS", str(given.phantoms)))
    own = [functools.reduce(lambda text, place: text.replace(*place), places, word) for word in words]
    summary = trained(RECIPE, [*SMALL, *common, *length, *own], folder)
    errors, learnt = noted(folder, "mae_hu"), noted(folder, "l1", kind="train")[-1]
    return {
        "half": errors[0],
        "end": errors[-1],
        "learnt": learnt * load_bundle(folder / "bundle").description.hu_scaling.hu_per_unit,
        "sharp": noted(folder, SHARPNESS)[-1],
        "gflop": summary.speed.gflop_per_step if summary.speed else 0.0,
    }


if __name__ == "__main__":
    main()
