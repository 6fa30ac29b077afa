"""Where a model comes from, in words: the terms it carries, the commands that made it, and whom to cite."""

from __future__ import annotations

from collections.abc import Sequence

from mr2ct.bundles.description import BundleDescription
from mr2ct.bundles.provenance import Step

RECIPE_FILE, TRAINING_FILE = "recipe.yaml", "training.png"
"""Beside a card: the recipe of the last training, every key filled in, and the course of the training."""

NON_COMMERCIAL = "CC-BY-NC-4.0"
_NON_COMMERCIAL_WORDS = (
    "The data's licence is CC BY-NC 4.0 (https://creativecommons.org/licenses/by-nc/4.0/), and weights made from them "
    "carry the same terms: **no commercial use, and attribution** (see How to cite). mr2ct's code has its own licence."
)
_METHODS = {
    "pix2pix": "Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017",
    "cyclegan": "Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, "
    "ICCV 2017",
}
_NETWORKS = {
    "attention_unet": "Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018",
    "multiscale_attention": "Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, "
    "arXiv:1706.05587",
    "resnet": "Johnson et al., Perceptual Losses for Real-Time Style Transfer and Super-Resolution, ECCV 2016",
}
_SHOWN_DIGITS = 12


def licence_in_words(licence: str) -> str:
    """What the licence of the weights asks of a user.

    Example
    -------
    >>> licence_in_words("MIT")
    'Licence of the weights: MIT.'
    """
    words = f"Licence of the weights: {licence}."
    return f"{words} {_NON_COMMERCIAL_WORDS}" if licence.startswith(NON_COMMERCIAL) else words


def how_made(description: BundleDescription, beside: Sequence[str]) -> str:
    """The commands that trained and scored the weights, each with its code, and what lies `beside` the card of it."""
    made_with = ", ".join(f"{name} {version}" for name, version in sorted(description.created_with.items()))
    parts = [f"Made with {made_with}." if made_with else ""]
    origin = description.provenance
    if origin is None or not (origin.training or origin.scoring):
        parts.append("The commands were not recorded.")
    else:
        parts += [steps_in_words("Trained by", origin.training), steps_in_words("Scored by", origin.scoring)]
    if RECIPE_FILE in beside:
        parts.append(f"[{RECIPE_FILE}]({RECIPE_FILE}) is the recipe of the last training, with every key.")
    if TRAINING_FILE in beside:
        curve = "Terms of the loss, and the MAE on validation patients, by step, of the runs whose curves were kept"
        parts.append(f"{curve}:\n\n![The course of the training]({TRAINING_FILE})")
    return "\n\n".join(part for part in parts if part)


def steps_in_words(what: str, steps: Sequence[Step]) -> str:
    """The commands, each with its code, after a word on what they did; "" where there are none."""
    if not steps:
        return ""
    blocks = [f"    {step.command}\n\n{_code_in_words(step)}" for step in steps]
    return f"{what}\n\n" + "\n\n".join(blocks)


def _code_in_words(step: Step) -> str:
    """The code and the device of a step, in a sentence."""
    state = {True: "", False: " with changes", None: ""}[step.clean]
    code = f"commit `{step.commit[:_SHOWN_DIGITS]}`{state}" if step.commit else "a commit that was not recorded"
    sources = f", sources `{step.sources_sha256[:_SHOWN_DIGITS]}`" if step.sources_sha256 else ""
    start = f", from weights `{step.began_with[:_SHOWN_DIGITS]}`" if step.began_with else ""
    device = f", on {step.device}" if step.device else ""
    day = f", {step.day}" if step.day else ""
    note = f"; {step.note}" if step.note else ""
    return f"({code}{sources}{start}{device}{day}{note})"


def how_to_cite(description: BundleDescription, citations: Sequence[str]) -> str:
    """mr2ct with this very model, the data, the method and the network, one a line.

    Example
    -------
    >>> print(how_to_cite(description, ["The data, 2023"]))  # doctest: +SKIP
    - mr2ct 0.1.0, model brain-pix2pix, weights SHA-256 a5c0b8d9e1f2
    """
    version = description.created_with.get("mr2ct", "")
    weights = f", weights SHA-256 `{description.weights_sha256}`" if description.weights_sha256 else ""
    own = f"mr2ct{f' {version}' if version else ''}, model {description.name}{weights}."
    further = [_METHODS.get(description.method), _NETWORKS.get(description.network.name)]
    return "\n".join(f"- {line}" for line in [own, *citations, *(line for line in further if line)])
