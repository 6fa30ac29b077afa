"""How long a training step takes by family and option, and what share of the device's peak it reaches.

    python benchmarks/training_speed.py [--device auto|cpu|cuda] [--steps 5] [--batch N] [--size N] [--compile]
                                        [--family NAME ...]

A step: forward, masked L1, backward, AdamW; of each family's generator as its recipe in recipes/ has it, without its
discriminators, on random slices. Beside them, in the same run, MONAI's AttentionUnet with the widths of
recipes/attention_unet.yaml. The order of the rows turns at each round; the fastest round is shown. The
peak: of a GPU its datasheet's dense bf16, of a CPU a matrix product, measured here. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from mr2ct.models import build_network
from mr2ct.training.losses import masked_l1
from mr2ct.training.recipe import read_recipe
from mr2ct.training.speed import peak_of

RECIPES = Path(__file__).parents[1] / "recipes"
FAMILIES = ("attention_unet", "multiscale_attention", "pix2pix", "cyclegan")
MONAI = "MONAI AttentionUnet"


@dataclass(frozen=True)
class Options:
    """Of one row."""

    bf16: bool
    channels_last: bool
    compiled: bool = False

    @property
    def words(self) -> str:
        named = {"bf16": self.bf16, "channels last": self.channels_last, "compiled": self.compiled}
        return ", ".join(name for name, on in named.items() if on) or "float32"


class Step:
    """One network with its optimiser, and slices to learn from."""

    def __init__(self, network: nn.Module, options: Options, *, device: torch.device, shape: tuple[int, ...]) -> None:
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        torch.manual_seed(0)
        self.network, self.options, self.device = network.to(device, memory_format=layout).train(), options, device
        on_gpu = True if device.type == "cuda" else None
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=1e-4, fused=on_gpu)
        self.mr, self.ct = (torch.rand(shape, device=device).to(memory_format=layout) for _ in range(2))
        if options.channels_last:
            strides = (shape[2] * shape[3], 1, shape[3], 1)
            self.mr = self.mr.as_strided(shape, strides)
        self.mask = torch.ones_like(self.ct)
        if options.compiled:
            self.network.compile(dynamic=False)

    def __call__(self) -> None:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.options.bf16):
            sct = self.network(self.mr)
        masked_l1(sct.float(), self.ct, self.mask).backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)

    def seconds(self, repeats: int) -> float:
        self._wait()
        begin = time.perf_counter()
        for _ in range(repeats):
            self()
        self._wait()
        return (time.perf_counter() - begin) / repeats

    def gflop(self) -> float:
        from torch.utils.flop_counter import FlopCounterMode

        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            self()
        return counter.get_total_flops() / 1e9

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def networks(families: list[str]) -> Iterator[tuple[str, Callable[[], nn.Module]]]:
    """Each family's generator as its recipe has it, and MONAI's attention U-Net of the same widths as ours."""
    for family in families:
        settings = read_recipe(RECIPES / f"{family}.yaml").network
        yield family, lambda settings=settings: build_network(settings.name, settings.arguments)
    yield MONAI, monai_attention_unet


def monai_attention_unet() -> nn.Module:
    from monai.networks.nets import AttentionUnet

    widths = read_recipe(RECIPES / "attention_unet.yaml").network.arguments["widths"]
    return AttentionUnet(2, 1, 1, channels=widths, strides=[2] * (len(widths) - 1))


def measure(given: argparse.Namespace, device: torch.device) -> list[tuple[str, Options, float, float, float]]:
    """Name, options, million parameters, GFLOP a step, seconds a step."""
    options = [Options(False, False), Options(False, True), Options(True, False), Options(True, True)]
    options += [Options(True, True, compiled=True)] if given.compile or device.type == "cuda" else []
    shape = (given.batch, 1, given.size, given.size)
    made = [
        (name, option, Step(make(), option, device=device, shape=shape))
        for name, make in networks(given.family)
        for option in options
    ]
    gflop = [step.gflop() for *_, step in made]
    for *_, step in made:
        step.seconds(2)
    found: list[list[float]] = [[] for _ in made]
    for turn in range(given.rounds):
        for n in range(len(made)) if turn % 2 == 0 else reversed(range(len(made))):
            found[n].append(made[n][2].seconds(given.steps))
    return [
        (name, option, sum(p.numel() for p in step.network.parameters()) / 1e6, work, min(seconds))
        for (name, option, step), work, seconds in zip(made, gflop, found, strict=True)
    ]


def main() -> None:
    given = _parser().parse_args()
    on_gpu = given.device == "cuda" or (given.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    import monai

    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {platform.platform()}")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, MONAI {monai.__version__}"
    print(f"{versions}, {torch.get_num_threads()} CPU threads; {given.batch} slices of {given.size} x {given.size}")
    peaks = {bf16: peak_of(device, dtype=torch.bfloat16 if bf16 else torch.float32) for bf16 in (False, True)}
    for bf16, peak in peaks.items():
        print(f"peak {'bf16' if bf16 else 'float32'}: {peak.tflops} TFLOP/s, {peak.source}")
    rows = measure(given, device)
    best_of_monai = min(seconds for name, *_, seconds in rows if name == MONAI)
    heads = ["network", "options", "M parameters", "GFLOP a step", "ms a step", "GFLOP/s", "of peak", "to MONAI's"]
    print(f"\n| {' | '.join(heads)} |")
    print("|---|---|---|---|---|---|---|---|")
    for name, option, millions, gflop, seconds in rows:
        rate, peak = gflop / seconds, peaks[option.bf16].tflops
        share = f"{rate / peak / 10:.1f} %" if peak else "unknown"
        cells = [f"{millions:.2f}", f"{gflop:.1f}", f"{1000 * seconds:.1f}", f"{rate:.1f}", share]
        print(f"| {name} | {option.words} | {' | '.join(cells)} | {best_of_monai / seconds:.2f} |", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--steps", type=int, default=5, help="in a row, each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--compile", action="store_true", help="compiled networks on a CPU as well")
    parser.add_argument("--family", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    return parser


if __name__ == "__main__":
    main()
