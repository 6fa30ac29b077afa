"""The model card: what a person should know before using a model, filled in from the bundle's description.

The sections follow Mitchell et al., "Model Cards for Model Reporting" (2019), https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

from collections.abc import Sequence

from mr2ct.bundles.card_origin import how_made, how_to_cite, licence_in_words
from mr2ct.bundles.card_tables import (
    GROUP_COLUMNS,
    TISSUE_COLUMNS,
    figure_table,
    group_rows,
    markdown_table,
    overall_table,
    worst_table,
)
from mr2ct.bundles.description import BundleDescription
from mr2ct.bundles.evaluation_record import EvaluationRecord

FAILURES_FILE = "failures.png"
"""Beside a card: the worst cases."""

_FOLDER = "FOLDER_OF_THIS_CARD"
"""A model that does not ship is called by its folder."""

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

## What it is for, and what not

{intended_use}

{unsuited}

## Trained on

{training_data}

{licence_words}

## {measured}

{metrics}
{failures}
## Use

    mr2ct convert INPUT -o OUT --model {model}

## Limits

{limits}

## How it was made

{made}

## How to cite

{cite}
"""

INTENDED_USE = (
    "For research on MR-only workflows, teaching, and comparison of methods. Never for diagnosis or treatment."
)
UNSUITED = (
    "a decision about a patient, dose planning included: no authority has cleared it, and nobody has checked this case",
    "other parts of the body, animals, children, other contrasts and field strengths than it was trained on",
    "implants, surgery, large lesions, strong artefacts: it draws what is usual there",
    "finding anything: what the MR does not show, the sCT makes up",
)
LIMITS = (
    "It sees what its training data showed: other scanners, sequences, body parts, implants and pathology may fail "
    "without warning.",
    "Air and cortical bone are both dark in MR; thin bone, sinuses and the skull base are where errors are largest.",
    "An sCT shows what is likely, not what is there. Look at it beside the MR before using any number from it.",
)


def fill_card(
    description: BundleDescription,
    *,
    intended_use: str = INTENDED_USE,
    unsuited: Sequence[str] = UNSUITED,
    limits: Sequence[str] = LIMITS,
    failures: Sequence[str] = (),
    citations: Sequence[str] = (),
    beside: Sequence[str] = (),
) -> str:
    """The Markdown of MODEL_CARD.md for a described model.

    Parameters
    ----------
    intended_use : a sentence or two. unsuited : what the model is not for. limits : sentences.
    failures : what was seen to go wrong, sentences; shown where cases were scored.
    citations : of the data, each a line.
    beside : which of `FAILURES_FILE` and `card_origin.TRAINING_FILE`, `RECIPE_FILE` lie beside the card.

    Example
    -------
    >>> print(fill_card(description))  # doctest: +SKIP
    # brain-attention-unet
    """
    arguments = ", ".join(f"{key}={value}" for key, value in description.network.arguments.items())
    steps = [str(step.get("name", "?")) for step in description.preprocessing.get("steps", [])]
    return _TEMPLATE.format(
        name=description.name,
        model=description.name if description.evaluation is not None else _FOLDER,
        method=description.method,
        network=f"{description.network.name}({arguments})",
        input_words=input_in_words(description),
        spacing=" x ".join(f"{size:g}" for size in description.spacing_mm),
        lowest=description.hu_range[0],
        highest=description.hu_range[1],
        steps=", then ".join(steps) or "none",
        licence=description.licence,
        licence_words=licence_in_words(description.licence),
        training_data=description.training_data,
        measured="In training" if description.evaluation is None else "On held-out patients",
        metrics=_figures(description),
        failures=failures_in_words(description.evaluation, failures, beside),
        made=how_made(description, beside),
        intended_use=intended_use,
        unsuited="Not for:\n\n" + in_list(unsuited),
        limits=in_list(limits),
        cite=how_to_cite(description, citations),
    )


def input_in_words(description: BundleDescription) -> str:
    """What one input of the network is, such as "axial, coronal or sagittal slices"."""
    if description.patch_size is not None:
        return "patches of " + " x ".join(str(n) for n in description.patch_size) + " voxels"
    *others, last = description.planes
    planes = f"{', '.join(others)} or {last}" if others else last
    slabs = "slices" if description.context_slices == 1 else f"slabs of {description.context_slices} slices"
    return f"{planes} {slabs}"


def _figures(description: BundleDescription) -> str:
    if description.evaluation is not None:
        return figures_in_words(description.evaluation)
    if not description.metrics:
        return "Not measured."
    return markdown_table(["metric", "value"], [[name, f"{value:.4g}"] for name, value in description.metrics.items()])


def figures_in_words(record: EvaluationRecord) -> str:
    """Who was scored and how, and the tables: overall, by plane, by centre, by tissue."""
    parts = (
        scored_in_words(record),
        overall_table(record),
        "By plane and by centre:",
        figure_table(group_rows(record), GROUP_COLUMNS),
        "By tissue of the true CT (air below -250 HU, bone above 250 HU):",
        figure_table(record.by_tissue, TISSUE_COLUMNS),
    )
    return "\n\n".join(part for part in parts if part)


def scored_in_words(record: EvaluationRecord) -> str:
    """Who was scored, how, and what the brackets are; ends with the record's caveat."""
    patients = ", ".join(f"{n} {side}" for side, n in record.split.items() if side != "seed")
    drawn = f" (split by patient: {patients}; seed {record.split.get('seed', '?')})" if patients else ""
    held_out = {"test": "whom training never saw", "validation": "of the validation side, by which weights were chosen"}
    words = (
        f"{record.n_cases} cases of {record.n_patients} patients {held_out[record.side]}{drawn}, converted as a user "
        "would, without their masks, and scored inside them as `mr2ct evaluate --skull` does, by the protocols "
        f"{' and '.join(record.protocols)}. Mean over cases; in brackets the {record.interval:.0%} interval of the "
        f"mean, {record.resamples} resamples of patients."
    )
    return f"{words}\n\n**{record.caveat}**" if record.caveat else words


def failures_in_words(record: EvaluationRecord | None, sentences: Sequence[str], beside: Sequence[str]) -> str:
    """The section of known failures; a blank line where no case was looked at."""
    if record is None or not record.worst:
        return ""
    chosen = "The worst case of each plane" if len({case.plane for case in record.worst}) > 1 else "The worst cases"
    sentence = f"{chosen}, by MAE (HU), which is also given in each tissue of the true CT:"
    lines = ["", "## Known failures", "", sentence, "", worst_table(record.worst)]
    if FAILURES_FILE in beside:
        lines += ["", f"![The worst cases: MR, sCT, CT and their difference]({FAILURES_FILE})"]
    if sentences:
        lines += ["", in_list(sentences)]
    return "\n".join([*lines, ""])


def in_list(sentences: Sequence[str]) -> str:
    """The sentences as a Markdown list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)


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
