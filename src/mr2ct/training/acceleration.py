"""What makes a GPU busy: compiled networks, cases that lie on the device, batches made beside the training step.

Each can be asked for or left out by a recipe's `run` section; "auto" is on where the run is on a GPU and off elsewhere,
where a step is as it was without them, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mr2ct.datasets.resident import ResidentCutter
from mr2ct.datasets.sampling import BoxCutter, BoxPlan
from mr2ct.datasets.store import StoredCase
from mr2ct.hounsfield import HuScaling
from mr2ct.models.bfloat16 import has_bfloat16
from mr2ct.training.recipe import Precision, RunSettings

Switch = bool | Literal["auto"]

_BYTES_A_VOXEL = 5
# what the networks and their gradients need is not known before they run: half of the memory is left to them
_SHARE_FOR_CASES = 0.5


def on_gpu(fabric: Fabric) -> bool:
    """Whether the run is on a CUDA device."""
    return bool(fabric.device.type == "cuda")


def is_on(switch: Switch, fabric: Fabric) -> bool:
    """What a switch of the recipe says on this run's device: "auto" is on for a GPU alone."""
    return on_gpu(fabric) if switch == "auto" else switch


def precision_of(settings: RunSettings) -> Precision:
    """The precision that `settings` stand for here: "auto" is bf16-mixed where the device has it, else 32-true.

    Example
    -------
    >>> precision_of(RunSettings(precision="32-true"))
    '32-true'
    """
    if settings.precision != "auto":
        return settings.precision
    device = "cuda" if settings.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    return "bf16-mixed" if has_bfloat16(device) else "32-true"


def prepare_device(fabric: Fabric) -> None:
    """Let matrix products use TF32, and let a GPU's convolutions be chosen by trial."""
    torch.set_float32_matmul_precision("high")
    if on_gpu(fabric):
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True


def prepare_compiler(switch: Switch) -> None:
    """With "auto", a network that cannot be compiled here (no C compiler, say) runs as it is."""
    # one network is compiled anew for training, for judging, and with its weights held still
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 32)
    torch._dynamo.config.suppress_errors = switch == "auto"


def make_cutter(
    plan: BoxPlan, scaling: HuScaling, cases: Sequence[StoredCase], *, resident: Switch, fabric: Fabric
) -> BoxCutter:
    """A cutter that reads from the device where that is wanted and, for "auto", half its free memory holds `cases`."""
    if not is_on(resident, fabric):
        return BoxCutter(plan, scaling)
    if resident == "auto" and _bytes_of(cases) > _SHARE_FOR_CASES * torch.cuda.mem_get_info(fabric.device)[0]:
        return BoxCutter(plan, scaling)
    return ResidentCutter(plan, scaling, cases, fabric.device)


def _bytes_of(cases: Iterable[StoredCase]) -> int:
    shapes = {case.folder: case.info.shape for case in cases}.values()
    return sum(_BYTES_A_VOXEL * i * j * k for i, j, k in shapes)


class Beside:
    """Call it with what makes a batch: on a GPU that runs in a stream of its own, beside the step before.

    Making a batch copies small tables to the device again and again, and each copy waits for all work in its stream.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._stream = torch.cuda.Stream(fabric.device) if on_gpu(fabric) else None  # type: ignore[no-untyped-call]
        if self._stream is not None:
            torch.cuda.synchronize(fabric.device)

    def __call__(self, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The batch, ready for the stream that trains."""
        if self._stream is None:
            return make()
        with torch.cuda.stream(self._stream):
            batch = make()
        training = torch.cuda.current_stream(self._stream.device)
        training.wait_stream(self._stream)
        for images in batch.values():
            if images.is_cuda:
                images.record_stream(training)
        return batch
