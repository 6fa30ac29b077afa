"""The model card: what a person should know before using a model, filled in from the bundle's description.

The sections follow Mitchell et al., "Model Cards for Model Reporting" (2019), https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

from collections.abc import Sequence

from mr2ct.bundles.description import BundleDescription

_TEMPLATE = """# {name}

An MR volume goes in, a synthetic CT in Hounsfield units comes out. **Not a medical device**; for research only.

## The model

| | |
|---|---|
| method | {method} |
| network | {network} |
| input | {input_words}, voxels of {spacing} mm |
| output | HU from {lowest:g} to {highest:g} |
| preprocessing | {steps} |
| licence | {licence} |

## Trained on

{training_data}

## On held-out patients

{metrics}

## Use

    mr2ct convert INPUT -o OUT --model {name}

{intended_use}

## Limits

{limits}
"""

_INTENDED_USE = "Research on MR-only workflows, teaching, and comparison of methods. Never for diagnosis or treatment."
_LIMITS = (
    "It sees what its training data showed: other scanners, sequences, body parts, implants and pathology may fail "
    "without warning.",
    "Air and cortical bone are both dark in MR; thin bone, sinuses and the skull base are where errors are largest.",
    "An sCT shows what is likely, not what is there. Look at it beside the MR before using any number from it.",
)


def fill_card(
    description: BundleDescription, *, intended_use: str = _INTENDED_USE, limits: Sequence[str] = _LIMITS
) -> str:
    """The Markdown of MODEL_CARD.md for a described model.

    Example
    -------
    >>> print(fill_card(description))  # doctest: +SKIP
    # brain-attention-unet
    """
    arguments = ", ".join(f"{key}={value}" for key, value in description.network.arguments.items())
    steps = [str(step.get("name", "?")) for step in description.preprocessing.get("steps", [])]
    return _TEMPLATE.format(
        name=description.name,
        method=description.method,
        network=f"{description.network.name}({arguments})",
        input_words=input_in_words(description),
        spacing=" x ".join(f"{size:g}" for size in description.spacing_mm),
        lowest=description.hu_range[0],
        highest=description.hu_range[1],
        steps=", then ".join(steps) or "none",
        licence=description.licence,
        training_data=description.training_data,
        metrics=_metrics_table(description.metrics),
        intended_use=intended_use,
        limits="\n".join(f"- {limit}" for limit in limits),
    )


def input_in_words(description: BundleDescription) -> str:
    """What one input of the network is, such as "axial, coronal or sagittal slices"."""
    if description.patch_size is not None:
        return "patches of " + " x ".join(str(n) for n in description.patch_size) + " voxels"
    *others, last = description.planes
    planes = f"{', '.join(others)} or {last}" if others else last
    slabs = "slices" if description.context_slices == 1 else f"slabs of {description.context_slices} slices"
    return f"{planes} {slabs}"


def _metrics_table(metrics: dict[str, float]) -> str:
    if not metrics:
        return "Not measured."
    rows = [f"| {name} | {value:.4g} |" for name, value in metrics.items()]
    return "\n".join(["| metric | value |", "|---|---|", *rows])


def with_section(card: str, title: str, text: str, *, before: str) -> str:
    r"""The card with the section `title` put in or, where it is there, replaced; it stands before section `before`.

    Example
    -------
    >>> with_section("# tiny\n\n## Use\n\nNever.\n", "Speed", "Fast.", before="Use")
    '# tiny\n\n## Speed\n\nFast.\n\n## Use\n\nNever.\n'
    """
    head, *sections = card.split("\n## ")
    kept = [section for section in sections if section.splitlines()[0].strip() != title]
    place = next((n for n, section in enumerate(kept) if section.splitlines()[0].strip() == before), len(kept))
    follows = place < len(kept)
    kept.insert(place, f"{title}\n\n{text.strip()}\n" if follows else f"{title}\n\n{text.strip()}")
    return "\n## ".join([head, *kept]).rstrip("\n") + "\n"
