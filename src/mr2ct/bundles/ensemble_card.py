"""The card of an ensemble: what it is made of; its members' cards say what they were trained on."""

from __future__ import annotations

from collections.abc import Sequence

from mr2ct.bundles.description import BundleDescription

_TEMPLATE = """# {name}

The mean of several models' answers. An MR volume goes in, a synthetic CT in Hounsfield units comes out. **Not a medical
device**; for research only.

## The models

| model | method | MAE on held-out patients (HU) | licence |
|---|---|---|---|
{rows}

All see the same prepared volume, as it is and mirrored (left and right exchanged, the grid of the pooling moved), and
all answers count alike. What they were trained on, and where they fail, is in their own cards: `mr2ct models NAME`.

## Use

    mr2ct convert INPUT -o OUT --model {name}

Research on MR-only workflows, teaching, and comparison of methods. Never for diagnosis or treatment.

## Limits

- Models that learnt from the same patients make the same mistakes; a mean takes away what they disagree in, no more.
- A mean is smoother than each of its parts: fine bone is blurred where the models put it in different places.
- An sCT shows what is likely, not what is there. Look at it beside the MR before using any number from it.
"""


def fill_ensemble_card(name: str, members: Sequence[BundleDescription]) -> str:
    """The Markdown of MODEL_CARD.md for an ensemble of described models.

    Example
    -------
    >>> print(fill_ensemble_card("best", []))  # doctest: +ELLIPSIS
    # best
    ...
    """
    rows = [
        f"| {member.name} | {member.method} | {_mae(member.metrics.get('mae_hu'))} | {member.licence} |"
        for member in members
    ]
    return _TEMPLATE.format(name=name, rows="\n".join(rows))


def _mae(mae_hu: float | None) -> str:
    return "not measured" if mae_hu is None else f"{mae_hu:.1f}"
