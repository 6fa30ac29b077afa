"""Which devices multiply bfloat16 themselves; elsewhere it is emulated, and several times slower than float32."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_CPU_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


def has_bfloat16(device: str) -> bool:
    """Whether networks run faster in bfloat16 on "cuda" or "cpu".

    A GPU does from compute capability 8 on; a CPU with AMX or AVX512-BF16, as far as Linux tells.

    Example
    -------
    >>> has_bfloat16("cpu")  # doctest: +SKIP
    True
    """
    if device != "cuda":
        return bool(_CPU_FLAGS & cpu_flags())
    import torch

    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


@cache
def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The CPU's feature flags as Linux lists them; empty on other systems.

    Example
    -------
    >>> cpu_flags(Path("no/such/file"))
    frozenset()
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    flags = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return frozenset(next(flags, ()))
