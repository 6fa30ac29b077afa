"""The networks, by name. A new one is one file and one line in `REGISTRY`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from mr2ct.errors import Mr2ctError
from mr2ct.models.attention_unet import AttentionUNet
from mr2ct.models.multiscale_attention import MultiScaleAttentionUNet
from mr2ct.models.patchgan import MultiScalePatchGAN, PatchGAN
from mr2ct.models.pix2pix_unet import Pix2PixUNet
from mr2ct.models.resnet import ResNetGenerator

REGISTRY: dict[str, type[nn.Module]] = {
    "attention_unet": AttentionUNet,
    "multiscale_attention": MultiScaleAttentionUNet,
    "pix2pix_unet": Pix2PixUNet,
    "resnet": ResNetGenerator,
}
"""MR (N, in_channels, *spatial) to sCT (N, 1, *spatial), in network units, for any spatial size."""

DISCRIMINATORS: dict[str, type[nn.Module]] = {"patchgan": PatchGAN, "multiscale_patchgan": MultiScalePatchGAN}
"""Images (N, in_channels, *spatial) to patch scores (N, 1, *fewer)."""


def build_network(
    name: str, arguments: Mapping[str, Any], *, among: Mapping[str, type[nn.Module]] | None = None
) -> nn.Module:
    """Make the network called `name` with keyword `arguments`; `among` REGISTRY, DISCRIMINATORS, or (None) both.

    Raises
    ------
    Mr2ctError : an unknown name or argument; the message names the nearest known one. An argument of a wrong kind.

    Example
    -------
    >>> type(build_network("attention_unet", {"widths": [4, 8]})).__name__
    'AttentionUNet'
    """
    known = {**REGISTRY, **DISCRIMINATORS} if among is None else among
    if name not in known:
        raise Mr2ctError("unknown network", got=repr(name), expected=", ".join(known), remedy=_nearest(name, known))
    accepted = inspect.signature(known[name]).parameters
    for argument in arguments:
        if argument not in accepted:
            raise Mr2ctError(
                f"unknown argument of network {name}",
                got=repr(argument),
                expected=", ".join(accepted),
                remedy=_nearest(argument, accepted),
            )
    try:
        return known[name](**arguments)
    except (TypeError, ValueError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise Mr2ctError(f"network {name} cannot be made", got=f"{given} ({error})") from error


def _nearest(word: str, known: Mapping[str, object]) -> str | None:
    close = get_close_matches(word, known, n=1)
    return f"did you mean {close[0]!r}?" if close else None
