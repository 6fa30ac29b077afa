"""`mr2ct.convert`: one MR volume to one sCT in a line of Python."""

from __future__ import annotations

from pathlib import Path

from mr2ct.bundles import DEFAULT_MODEL, find_model
from mr2ct.inference.ensemble import load_model
from mr2ct.inference.planes import ALL_PLANES
from mr2ct.volume import Volume


def convert(
    mr: Volume,
    model: str | Path = DEFAULT_MODEL,
    *,
    planes: str = ALL_PLANES,
    device: str = "auto",
    mask: Volume | None = None,
    force: bool = False,
    flips: bool | None = None,
) -> Volume:
    """Turn one MR volume into an sCT: HU, int16, on the grid of the MR. For many volumes keep a `Translator`.

    Only a CT and an empty or constant image are refused here; whether an MR is as in training is for
    `mr2ct.trust.input_check.check_input` to say.

    Parameters
    ----------
    model : the name of a shipped model, a bundle folder, or "best": the shipped ensemble, slower and nearer to the CT.
    flips : also convert the head mirrored, and take the mean: twice the time. None: where one plane alone is converted,
        and then a whole head of cubic voxels tilted, too; "best" always does. False also shows a single slice once
        instead of at three places. A model that was trained without flips is never shown the mirror image.
    The others are those of `Translator.translate`.

    Raises
    ------
    BundleError : no such model, or an altered one. InputError : flips of a model that was trained without. And what
        `Translator.translate` raises.

    Example
    -------
    >>> sct = convert(mr2ct.read_volume("mr.nii.gz"), "best")  # doctest: +SKIP
    """
    translator = load_model(find_model(model), device=device, flips=flips)
    return translator.translate(mr, planes=planes, mask=mask, force=force).sct
