"""Score a trained bundle on held-out patients and put it among the shipped ones, with its card and pictures.

    python scripts/ship_bundle.py runs/attention_unet --data DATA --split stores/brain/split.json

DATA is the data set the store was prepared from (SynthRAD layout). The weights are halved first, so that what is scored
is what ships. Every case of a held-out patient is converted as a user would, without its mask, and scored inside it by
the functions of `mr2ct evaluate --skull` themselves. Written to the bundle's folder: the weights, bundle.json with
`metrics`, `evaluation` and `provenance`, MODEL_CARD.md, failures.png and training.png. What people are told in words
(data, limits, citations, commands that a run did not record, the method of a student's teachers) comes from
scripts/cards/<name>.yaml.

Weights that go on from shipped ones whose run folders are gone: --after a copy of that bundle's folder. Its commands
come first, and its picture of the training stays above the new one.

A folder with nothing but `bundle/`, a copy of shipped weights, is scored anew; curve, calibration and commands of
training stay.

Before, where it takes the place of other weights: scripts/learn_bone_levels.py --store STORE RUN/bundle. Afterwards:
scripts/calibrate.py (it adds its section to the card), then scripts/write_model_tables.py.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
import yaml

from mr2ct import read_volume, write_volume
from mr2ct.bundles import Bundle, BundleDescription, EnsembleBundle, load_bundle, load_network, write_bundle
from mr2ct.bundles.bundle import DESCRIPTION_FILE, read_description
from mr2ct.bundles.card import FAILURES_FILE, LIMITS, fill_card, with_section
from mr2ct.bundles.card_origin import RECIPE_FILE, TRAINING_FILE
from mr2ct.bundles.evaluation_record import EvaluationRecord
from mr2ct.bundles.provenance import Provenance, Step, read_steps, this_step, with_short_paths
from mr2ct.datasets.cases import find_synthrad
from mr2ct.datasets.splits import SIDES, Split, read_split
from mr2ct.errors import BundleError, Mr2ctError
from mr2ct.evaluation.failure_sheet import write_failure_sheet
from mr2ct.evaluation.held_out_record import HeldOutSide, held_out_record, planes_of, worst_cases
from mr2ct.evaluation.pairing import Sources, find_pairs, of_patients
from mr2ct.evaluation.scoring import Evaluation, ScoringOptions, score_pairs
from mr2ct.evaluation.training_curve import write_training_curve
from mr2ct.inference import load_model
from mr2ct.io.atomic import atomic_folder
from mr2ct.trust.uncertainty_card import CARD_TITLE, RELIABILITY_FILE, uncertainty_section

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "src/mr2ct/bundles/shipped"
WORDS = ROOT / "scripts/cards"
PROTOCOLS = ("synthrad2025", "synthrad2023")
CURVES = "metrics.csv"
Side = Literal["test", "validation"]
MAKER = ".made_by"
SCT_KEYS = {"weights_sha256", "network", "preprocessing", "hu_range", "planes", "context_slices", "bone_levels"}
"""What a model's sCTs depend on."""


def main(words: Sequence[str] | None = None) -> None:
    arguments = _parser().parse_args(words)
    split = read_split(arguments.split)
    with work_folder(arguments.keep) as work:
        bundle = halved(load_bundle(arguments.run / "bundle"), work / "bundle")
        known = with_kept_keys(bundle.description, arguments.into / bundle.description.name)
        bundle = replace(bundle, description=known)
        convert(bundle, arguments.data, getattr(split, arguments.side), work / "sct")
        name, patients = bundle.description.name, getattr(split, arguments.side)
        evaluations = score(name, arguments.data, patients, work / "sct", jobs=arguments.jobs)
        said = words_of(name, arguments.words)
        record = record_of(evaluations, split, arguments.side, caveat=said.get("caveat", ""), seed=arguments.seed)
        if not arguments.dry_run:
            origin = provenance([*arguments.after, arguments.run], said)
            described = described_as(bundle.description, record, origin, said)
            print(f"written to {ship(bundle, described, evaluations[0], arguments, said)}")


@contextmanager
def work_folder(kept: Path | None) -> Iterator[Path]:
    """Where the halved bundle and the sCTs lie: `kept`, or a folder that is gone afterwards."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def halved(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle in half precision, in `folder`."""
    state = load_network(bundle).state_dict()
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    shutil.rmtree(folder, ignore_errors=True)
    return write_bundle(folder, state=halves, description=bundle.description, card=bundle.card)


def convert(model: Bundle | EnsembleBundle, data: Path, patients: Sequence[str], out: Path) -> None:
    """Write `out`/<case>/mr_sct.nii.gz of every case of `patients`, as `mr2ct convert` does.

    Done ones stay, if this model and this code made them.
    """
    translator = load_model(model)
    members = model.members if isinstance(model, EnsembleBundle) else (model,)
    maker = "\n".join([this_step().sources_sha256, *(m.description.model_dump_json(include=SCT_KEYS) for m in members)])
    if not (out / MAKER).is_file() or (out / MAKER).read_text(encoding="utf-8") != maker:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / MAKER).write_text(maker, encoding="utf-8")
    for case in find_synthrad(data):
        path = out / case.case / "mr_sct.nii.gz"
        if case.patient in patients and not path.exists():
            write_volume(translator.translate(read_volume(case.mr)).sct, path)


def score(name: str, data: Path, patients: Sequence[str], scts: Path, *, jobs: int = 1) -> tuple[Evaluation, ...]:
    """By each protocol, what `mr2ct evaluate SCTS DATA --split SPLIT --skull` finds."""
    pairing = of_patients(find_pairs(Sources(scts, data)), patients)
    done = []
    for number, protocol in enumerate(PROTOCOLS):
        # the skull is the same in both
        cases, failed = score_pairs(pairing.pairs, ScoringOptions(protocol, skull=number == 0), jobs=jobs)
        if pairing.excluded or failed:
            raise SystemExit(f"not all cases could be scored: {[*pairing.excluded, *failed]}")
        done.append(Evaluation(name, protocol, cases))
    return tuple(done)


def record_of(
    evaluations: Sequence[Evaluation], split: Split, side: Side, *, caveat: str, seed: int
) -> EvaluationRecord:
    """What a card says of the evaluations; its plain figures are printed."""
    sides = {name: len(getattr(split, name)) for name in SIDES} | {"seed": split.seed}
    record = held_out_record(evaluations, HeldOutSide(side, sides, caveat), seed=seed)
    for name, value in plain_figures(record).items():
        print(f"{name:32} {value:8.2f}")
    return record


def words_of(name: str, path: Path | None) -> dict[str, Any]:
    """What the card says in words; scripts/cards/<name>.yaml unless another file is named."""
    path = path or WORDS / f"{name}.yaml"
    known = {
        "training_data",
        "licence",
        "method",
        "caveat",
        "intended_use",
        "unsuited",
        "limits",
        "failures",
        "citations",
        "commands",
    }
    said = (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}
    if said.keys() - known:
        raise SystemExit(f"{path}: unknown keys {sorted(said.keys() - known)}; known: {sorted(known)}")
    return said


def provenance(runs: Sequence[Path], said: dict[str, Any]) -> Provenance:
    """The commands that the runs recorded, after those that the words name, and this one."""
    steps = [_short(Step.model_validate(step)) for step in said.get("commands", [])]
    steps += [step for run in runs for step in map(_short, steps_of(run)) if step not in steps]
    scoring = this_step("CPU" if not torch.cuda.is_available() else torch.cuda.get_device_name())
    return Provenance(training=tuple(steps), scoring=(_short(scoring),))


def steps_of(run: Path) -> tuple[Step, ...]:
    """The commands that a run recorded, or those that made the weights where `run` is a bundle's folder."""
    if not (run / DESCRIPTION_FILE).is_file():
        return read_steps(run)
    origin = read_description(run).provenance
    return origin.training if origin is not None else ()


def _short(step: Step) -> Step:
    return step.model_copy(update={"command": with_short_paths(step.command)})


def plain_figures(record: EvaluationRecord) -> dict[str, float]:
    """The figures of the key `metrics`: `mae_hu` overall, by plane, tissue and centre, and those of the goals."""
    prefix = "" if record.side == "test" else f"{record.side}_"
    wanted = ("mae_hu", "psnr_db", "ms_ssim", "ssim", "bone_dice", "bone_gradient_energy_percent")
    found = {key: record.overall[key].value for key in (*wanted, "brain_outline_moved_mm") if key in record.overall}
    groups = {**record.by_plane, **{f"centre_{centre}": own for centre, own in record.by_centre.items()}}
    groups |= {tissue.replace(" ", "_"): own for tissue, own in record.by_tissue.items()}
    found |= {f"mae_hu_{group}": own["mae_hu"].value for group, own in groups.items()}
    found |= {"cases": float(record.n_cases), "patients": float(record.n_patients)}
    return {prefix + name: value for name, value in found.items()}


def described_as(
    description: BundleDescription, record: EvaluationRecord, origin: Provenance, said: dict[str, Any]
) -> BundleDescription:
    """The description with its figures, its origin and the words for people."""
    given = {key: str(said[key]).strip() for key in ("training_data", "licence", "method") if key in said}
    return description.model_copy(
        update={"metrics": plain_figures(record), "evaluation": record, "provenance": origin, **given}
    )


def ship(
    bundle: Bundle,
    described: BundleDescription,
    scored: Evaluation,
    arguments: argparse.Namespace,
    said: dict[str, Any],
) -> Path:
    """Write the bundle with card and pictures, whole or not at all, in place of the one of that name."""
    target = arguments.into / described.name
    described = with_all_steps(described, target)
    runs = [run / CURVES for run in (*arguments.after, arguments.run) if (run / CURVES).is_file()]
    keeps_curve = not runs and (target / TRAINING_FILE).is_file() and is_of(bundle.description.weights_sha256, target)
    of_same_weights = target if keeps_curve else None
    recipe = recipe_text([arguments.run, *reversed(arguments.after)], of_same_weights, described)
    card = fill_card(
        described,
        **{key: said[key] for key in ("intended_use", "unsuited", "failures", "citations") if key in said},
        limits=(*LIMITS, *said.get("limits", ())),
        beside=(
            FAILURES_FILE,
            *([TRAINING_FILE] if runs or keeps_curve else []),
            *([RECIPE_FILE] if recipe is not None else []),
        ),
    )
    if described.calibration is not None:
        card = with_section(card, CARD_TITLE, uncertainty_section(described.calibration), before="Use")
    with atomic_folder(target, replace=True) as unfinished:
        write_bundle(unfinished, state=load_network_halves(bundle), description=described, card=card)
        worst = worst_cases(scored.cases, planes_of(scored.cases))
        write_failure_sheet(unfinished / FAILURES_FILE, [case for case, _ in worst])
        if runs:
            earlier = [after / TRAINING_FILE for after in arguments.after if (after / TRAINING_FILE).is_file()]
            write_training_curve(unfinished / TRAINING_FILE, runs, title=described.name, below=earlier)
        if keeps_curve:
            shutil.copy2(target / TRAINING_FILE, unfinished / TRAINING_FILE)
        if recipe is not None:
            (unfinished / RECIPE_FILE).write_text(recipe, encoding="utf-8")
        if described.calibration is not None and (target / RELIABILITY_FILE).is_file():
            shutil.copy2(target / RELIABILITY_FILE, unfinished / RELIABILITY_FILE)
    return load_bundle(target).folder


def is_of(weights_sha256: str, folder: Path) -> bool:
    """Whether the bundle in `folder` holds these very weights."""
    return (folder / DESCRIPTION_FILE).is_file() and read_description(folder).weights_sha256 == weights_sha256


def recipe_text(runs: Sequence[Path], shipped: Path | None, described: BundleDescription) -> str | None:
    """The resolved recipe of the first of the runs that has one, else that of `shipped`.

    Paths go by their names alone, and of the bundle it says what the description does.
    """
    for path in (folder / RECIPE_FILE for folder in (*runs, *([shipped] if shipped is not None else []))):
        if path.is_file():
            recipe = _with_names_of_paths(yaml.safe_load(path.read_text(encoding="utf-8")))
            recipe["bundle"] = {"licence": described.licence, "training_data": described.training_data}
            return yaml.safe_dump(recipe, sort_keys=False, width=120)
    return None


def _with_names_of_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_names_of_paths(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_with_names_of_paths(own) for own in value]
    return Path(value).name if isinstance(value, str) and value.startswith("/") else value


def load_network_halves(bundle: Bundle) -> dict[str, torch.Tensor]:
    """The tensors as they lie in the file."""
    from safetensors.torch import load_file

    return load_file(bundle.weights_path)


def with_kept_keys(description: BundleDescription, shipped: Path) -> BundleDescription:
    """With what the bundle that it replaces knows and a copy of it has lost.

    Where the weights are the same, its `calibration` and `bone_levels`; and the `input_reference` of that one or of a
    neighbour, where both prepare an MR in the same way: new weights on the same data need no new one
    (`scripts/learn_input_reference.py` makes it).

    Raises
    ------
    BundleError : other weights that do not say how they see bone, in the place of some that do.
    """
    kept: dict[str, Any] = {}
    old = read_description(shipped) if (shipped / DESCRIPTION_FILE).is_file() else None
    if old is not None and old.weights_sha256 == description.weights_sha256:
        kept |= {"calibration": old.calibration, "bone_levels": description.bone_levels or old.bone_levels}
    else:
        print("other weights than before: calibrate anew with scripts/calibrate.py")
        if old is not None and old.bone_levels and not description.bone_levels:
            raise BundleError(
                f"{description.name}: how dark bone was in training is known of the weights that ship, not of these",
                remedy="ask them with scripts/learn_bone_levels.py --store STORE RUN/bundle",
            )
    if description.input_reference is None:
        kept["input_reference"] = _reference_for(description, shipped)
    return description.model_copy(update=kept)


def with_all_steps(description: BundleDescription, shipped: Path) -> BundleDescription:
    """With the commands that made the same weights, where the bundle that it replaces knows more of them."""
    old = read_description(shipped) if (shipped / DESCRIPTION_FILE).is_file() else None
    now, before = description.provenance, old.provenance if old else None
    if old is None or now is None or before is None or old.weights_sha256 != description.weights_sha256:
        return description
    longer = max(now.training, before.training, key=len)
    return description.model_copy(update={"provenance": now.model_copy(update={"training": longer})})


def _reference_for(description: BundleDescription, shipped: Path) -> dict[str, Any] | None:
    others = sorted(path.parent for path in shipped.parent.glob(f"*/{DESCRIPTION_FILE}") if path.parent != shipped)
    for folder in (shipped, *others):
        known = read_description(folder) if (folder / DESCRIPTION_FILE).is_file() else None
        if known is not None and known.input_reference and known.preprocessing == description.preprocessing:
            return known.input_reference
    print("another preprocessing than before: learn the input reference with scripts/learn_input_reference.py")
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run folder of mr2ct train")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--side", choices=("test", "validation"), default="test", help="whose figures")
    parser.add_argument(
        "--after", type=Path, action="append", default=[], help="an earlier run, or bundle, it began from, in order"
    )
    parser.add_argument("--words", type=Path, help="YAML for the card; default: scripts/cards/<name>.yaml")
    parser.add_argument("--into", type=Path, default=SHIPPED, help="folder of the bundles")
    parser.add_argument("--keep", type=Path, help="keep the sCTs here, and use them again for the same weights")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--jobs", type=int, default=1, help="processes for scoring")
    parser.add_argument("--dry-run", action="store_true", help="score only")
    return parser


if __name__ == "__main__":
    try:
        main()
    except Mr2ctError as error:
        raise SystemExit(f"error: {error}") from error
