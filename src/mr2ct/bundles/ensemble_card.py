"""The card of an ensemble: what it is made of, and how good it is; its members' cards say what they were trained on."""

from __future__ import annotations

from collections.abc import Sequence

from mr2ct.bundles.card import FAILURES_FILE, INTENDED_USE, UNSUITED, failures_in_words, figures_in_words, in_list
from mr2ct.bundles.card_origin import licence_in_words, steps_in_words
from mr2ct.bundles.description import BundleDescription
from mr2ct.bundles.ensemble_score import EnsembleScore

_TEMPLATE = """# {name}

The mean of several models' answers. An MR volume goes in, a synthetic CT in Hounsfield units comes out. **Not a medical
device**; for research only.

## The models

| model | method | MAE on held-out patients (HU) | licence |
|---|---|---|---|
{rows}

All see the same prepared volume, as it is and mirrored (left and right exchanged, the grid of the pooling moved), and
all answers count alike. What they were trained on, and where they fail, is in their own cards: `mr2ct models NAME`.
{not_mirrored}
## What it is for, and what not

{intended_use}

{unsuited}

{licences}

## On held-out patients

{figures}
{failures}
## Use

    mr2ct convert INPUT -o OUT --model {name}

## Limits

- Models that learnt from the same patients make the same mistakes; a mean takes away what they disagree in, no more.
- A mean is smoother than each of its parts: fine bone is blurred where the models put it in different places.
- What was not tested for its members was not tested for it: see the limits in their cards.
- An sCT shows what is likely, not what is there. Look at it beside the MR before using any number from it.

## How it was made

{made}

## How to cite

{cite}
"""


def fill_ensemble_card(
    name: str, members: Sequence[BundleDescription], scored: EnsembleScore | None = None, *, pictured: bool = False
) -> str:
    """The Markdown of MODEL_CARD.md for an ensemble of described models.

    Parameters
    ----------
    scored : its figures, where it has any. pictured : whether `FAILURES_FILE` lies beside the card.

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
    unflipped = ", ".join(member.name for member in members if not member.flips)
    weights = ", ".join(f"{member.name} `{member.weights_sha256[:12]}`" for member in members)
    scoring = steps_in_words("Scored by", scored.scoring) if scored else ""
    record = scored.evaluation if scored else None
    beside = (FAILURES_FILE,) if pictured else ()
    return _TEMPLATE.format(
        name=name,
        rows="\n".join(rows),
        not_mirrored=f"It is not mirrored for {unflipped}, trained without flips.\n" if unflipped else "",
        intended_use=INTENDED_USE,
        unsuited="Not for:\n\n" + in_list(UNSUITED),
        licences="\n\n".join(licence_in_words(licence) for licence in sorted({member.licence for member in members})),
        figures=figures_in_words(record) if record else "Not measured.",
        failures=failures_in_words(record, scored.failures if scored else (), beside),
        made=f"It has no weights of its own; those of its members: {weights}.\n\n{scoring}".strip(),
        cite=in_list([f"mr2ct, ensemble {name} of {weights}.", *(scored.citations if scored else ())]),
    )


def _mae(mae_hu: float | None) -> str:
    return "not measured" if mae_hu is None else f"{mae_hu:.1f}"
