"""Write the tables of docs/reference/shipped-models.md from the bundles that ship: no number is typed by hand.

    python scripts/write_model_tables.py [--check]

Between the page's marks `<!-- NAME: begin -->` and `<!-- NAME: end -->` everything is replaced; the rest is prose and
stays. With --check nothing is written, and the exit code says whether the page is what would be written.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mr2ct.bundles.bundle import DESCRIPTION_FILE, load_bundle, read_description
from mr2ct.bundles.card import FAILURES_FILE, scored_in_words
from mr2ct.bundles.card_origin import TRAINING_FILE
from mr2ct.bundles.card_tables import COLUMNS, figure_table, markdown_table, shown, worst_table
from mr2ct.bundles.ensemble import load_ensemble
from mr2ct.bundles.ensemble_score import SCORE_FILE
from mr2ct.bundles.evaluation_record import EvaluationRecord
from mr2ct.errors import BundleError, Mr2ctError
from mr2ct.evaluation.comparison import PairedTest, paired_tests
from mr2ct.io.atomic import atomic_file

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reference/shipped-models.md"
SHIPPED = ROOT / "src/mr2ct/bundles/shipped"
FIRST = ("mae_hu", "psnr_db", "ssim", "ms_ssim")
SHAPE = ("bone_dice", "bone_gradient_energy_percent", "brain_outline_moved_mm", "body_dice")


@dataclass(frozen=True)
class Scored:
    """A model or an ensemble of the page, by its folder's name."""

    name: str
    evaluation: EvaluationRecord


Models = Sequence[Scored]


def main(words: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(words)
    try:
        models = scored_models(arguments.shipped)
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
    page = arguments.page.read_text(encoding="utf-8")
    written = with_tables(page, tables(models, arguments.shipped, arguments.page.parent))
    if arguments.check:
        raise SystemExit(0 if written == page else f"{arguments.page} is not up to date: run this without --check")
    with atomic_file(arguments.page) as temporary:
        temporary.write_text(written, encoding="utf-8")
    print(f"{arguments.page}: {', '.join(model.name for model in models)}")


def scored_models(shipped: Path) -> list[Scored]:
    """What scripts/ship_bundle.py and ship_ensemble.py scored among the shipped ones, the best first.

    Raises BundleError where the figures of an ensemble are of other members or weights than it has.
    """
    found = [read_description(path.parent) for path in sorted(shipped.glob(f"*/{DESCRIPTION_FILE}"))]
    scored = [Scored(model.name, model.evaluation) for model in found if model.evaluation is not None]
    for path in sorted(shipped.glob(f"*/{SCORE_FILE}")):
        score = load_ensemble(path.parent, lambda name: load_bundle(shipped / name)).scored
        if score is None:
            raise BundleError(
                f"{path} is of other members, or other weights, than the ensemble has",
                remedy="score anew with scripts/ship_ensemble.py",
            )
        scored.append(Scored(path.parent.name, score.evaluation))
    return sorted(scored, key=lambda model: model.evaluation.overall["mae_hu"].value)


def tables(models: Models, shipped: Path, page_folder: Path) -> dict[str, str]:
    """Mark -> Markdown."""
    if not models:
        raise SystemExit("no shipped bundle holds an evaluation: run scripts/ship_bundle.py first")
    made: dict[str, Callable[[], str]] = {
        "who": lambda: scored_in_words(models[0].evaluation),
        "overall": lambda: _by_model(models, FIRST),
        "shape": lambda: f"{_by_model(models, SHAPE)}\n\n{_brains_found(models)}",
        "tissues": lambda: _mae_of(models, "by_tissue"),
        "groups": lambda: f"{_mae_of(models, 'by_plane')}\n\n{_mae_of(models, 'by_centre', 'centre ')}",
        "tests": lambda: _tests(models),
        "pictures": lambda: "\n\n".join(_pictures(model, shipped, page_folder) for model in models),
    }
    return {mark: make() for mark, make in made.items()}


def with_tables(page: str, made: Mapping[str, str]) -> str:
    """The page with what lies between its marks replaced; every mark must be there once."""
    for mark, table in made.items():
        marked = re.compile(rf"(<!-- {mark}: begin[^>]*-->\n).*?(<!-- {mark}: end -->)", flags=re.DOTALL)
        page, count = marked.subn(lambda found, table=table: f"{found[1]}{table}\n{found[2]}", page)
        if count != 1:
            raise SystemExit(f"the mark {mark} is {count} times in the page, and must be there once")
    return page


def _by_model(models: Models, columns: Sequence[str]) -> str:
    return figure_table({f"`{model.name}`": model.evaluation.overall for model in models}, columns)


def _brains_found(models: Models) -> str:
    """In how many cases both images have a brain's outline."""
    counts = [
        f"`{model.name}` {model.evaluation.overall['brain_outline_moved_mm'].cases}"
        for model in models
        if "brain_outline_moved_mm" in model.evaluation.overall
    ]
    n_cases = models[0].evaluation.n_cases
    return f"Cases, of {n_cases}, in which sCT and CT both have an outline of the brain: {', '.join(counts)}."


def _mae_of(models: Models, groups: str, before: str = "") -> str:
    """A row a model, a column a group: MAE with its interval."""
    names = list(dict.fromkeys(name for model in models for name in getattr(model.evaluation, groups)))
    rows = [
        [
            f"`{model.name}`",
            *(
                shown(getattr(model.evaluation, groups).get(name, {}).get("mae_hu"), COLUMNS["mae_hu"][1])
                for name in names
            ),
        ]
        for model in models
    ]
    return markdown_table(["", *(before + name for name in names)], rows)


def _tests(models: Models) -> str:
    """Every pair of models, by the MAE of the patients that both have."""
    if len(models) < 2:
        return "One model only: nothing to compare."
    found = paired_tests({"mae_hu": {model.name: model.evaluation.mae_hu_by_patient for model in models}})
    rows = [
        [f"`{test.one}`", f"`{test.other}`", f"{test.hodges_lehmann:+.1f}", f"{test.rank_biserial:+.2f}", _p(test)]
        for test in found
    ]
    return markdown_table(["one", "other", "typical difference (HU)", "rank-biserial", "p (Holm)"], rows)


def _p(test: PairedTest) -> str:
    return "< 0.001" if test.p_holm < 0.001 else f"{test.p_holm:.3f}".replace("nan", "")


def _pictures(model: Scored, shipped: Path, page_folder: Path) -> str:
    """The worst cases of a model, and the course of its training, as far as the pictures are there."""
    folder = Path(os.path.relpath(shipped.resolve(), page_folder.resolve()))
    parts = [f"### `{model.name}`", worst_table(model.evaluation.worst)]
    for name, words in (
        (FAILURES_FILE, "The worst cases: MR, sCT, CT and their difference"),
        (TRAINING_FILE, "Training"),
    ):
        if (shipped / model.name / name).is_file():
            parts.append(f"![{words}]({folder / model.name / name})")
    return "\n\n".join(parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--shipped", type=Path, default=SHIPPED)
    return parser


if __name__ == "__main__":
    main()
