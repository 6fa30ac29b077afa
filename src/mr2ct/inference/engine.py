"""What runs a network: arrays in, arrays out, so that slicing and blending know nothing of torch or of devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import Mr2ctError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")

# measured on two cores: more slices at once leave the cache and are slower
_BATCH_SIZE = {"cpu": 4, "cuda": 16}


class Engine(Protocol):
    """Runs a network on (N, C, *spatial) float32 arrays in network units and gives (N, 1, *spatial) float32."""

    @property
    def batch_size(self) -> int:
        """How many slices or patches at once suit the device."""

    @property
    def words(self) -> str:
        """Library, device and precision, for records."""

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's answer."""


class TorchEngine:
    """Runs a torch module in inference mode.

    Parameters
    ----------
    network : maps (N, C, *spatial) to (N, 1, *spatial); a copy in evaluation mode runs, batch norms folded in.
    device : "auto" (CUDA where there is one), "cpu" or "cuda".
    precision : "fp32", "bf16" (autocast; the networks' last layer stays float32), or "auto": bf16 where the
        hardware multiplies it itself (`models.bfloat16`), else fp32.

    Raises
    ------
    Mr2ctError : an unknown device or precision, or CUDA where there is none.

    Example
    -------
    >>> import torch
    >>> TorchEngine(torch.nn.Identity(), device="cpu")(np.ones((1, 1, 2, 2), np.float32)).shape
    (1, 1, 2, 2)
    """

    def __init__(self, network: torch.nn.Module, *, device: str = "auto", precision: str = "auto") -> None:
        import torch

        from mr2ct.models.folding import folded

        self.device = resolve_device(device)
        self.precision = resolve_precision(precision, self.device)
        in_3d = any(parameter.dim() == 5 for parameter in network.parameters())
        # halves the time of bf16 convolutions on the CPU
        layout = torch.channels_last_3d if in_3d else torch.channels_last
        self._network = folded(network).to(self.device)
        self._network.to(memory_format=layout)  # type: ignore[call-overload]

    @property
    def batch_size(self) -> int:
        """How many slices or patches at once suit the device."""
        return _BATCH_SIZE[self.device]

    @property
    def words(self) -> str:
        """Library, device and precision, for records."""
        import torch

        return f"torch {torch.__version__}, {self.device}, {self.precision}"

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's answer to (N, C, *spatial): (N, 1, *spatial) float32."""
        import torch

        batch = torch.from_numpy(np.ascontiguousarray(inputs, dtype=np.float32))
        layout = torch.channels_last if batch.dim() == 4 else torch.channels_last_3d
        batch = batch.to(self.device, memory_format=layout)
        reduced = self.precision == "bf16"
        with torch.inference_mode(), torch.autocast(self.device, dtype=torch.bfloat16, enabled=reduced):
            answer: NDArray[np.float32] = self._network(batch).float().cpu().numpy()
        return answer


def resolve_device(device: str) -> str:
    """The device that "auto", "cpu" or "cuda" stands for on this machine: "cpu" or "cuda".

    Raises
    ------
    Mr2ctError : another word, or "cuda" on a machine without it.

    Example
    -------
    >>> resolve_device("cpu")
    'cpu'
    """
    import torch

    if device not in DEVICES:
        raise Mr2ctError("unknown device", got=repr(device), expected=f"one of {', '.join(DEVICES)}")
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise Mr2ctError("no CUDA device here", got="device cuda", expected="a GPU that torch sees", remedy="use cpu")
    return ("cuda" if has_cuda else "cpu") if device == "auto" else device


def resolve_precision(precision: str, device: str) -> str:
    """What "auto", "fp32" or "bf16" stands for on a device: "fp32" or "bf16". Raises Mr2ctError on another word.

    Example
    -------
    >>> resolve_precision("fp32", "cpu")
    'fp32'
    """
    if precision not in PRECISIONS:
        raise Mr2ctError("unknown precision", got=repr(precision), expected=f"one of {', '.join(PRECISIONS)}")
    if precision != "auto":
        return precision
    from mr2ct.models.bfloat16 import has_bfloat16

    return "bf16" if has_bfloat16(device) else "fp32"
