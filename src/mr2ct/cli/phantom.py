"""`mr2ct phantom`: digital heads as a data set, an MR and its true CT on one grid, in the SynthRAD layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mr2ct.phantom import Contrast

RANDOM = "random"
RECORD = "phantoms.json"


def phantom(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the cases.", show_default=False)],
    count: Annotated[int, typer.Option(min=1, help="How many heads.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same heads.")] = 0,
    spacing_mm: Annotated[float, typer.Option(help="Edge of the cubic voxels, 0.4 to 8 mm.")] = 1.0,
    contrast: Annotated[str, typer.Option(help="A contrast by name, such as t1_mprage, or random.")] = RANDOM,
    t1_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of random contrasts: share that is T1-weighted; others: T2, FLAIR, PD.")
    ] = 1.0,
    operated: Annotated[float, typer.Option(min=0, max=1, help="Share of heads with a bone flap and a lesion.")] = 0.0,
) -> None:
    """Write digital head phantoms: an MR and its true CT, as a data set.

    Each case is a folder 1BP001, 1BP002, ... with mr.nii.gz, ct.nii.gz and mask.nii.gz. Cases that are there already
    are kept. phantoms.json records seed, voxel size and contrast of each; cases.csv names them as phantoms.
    """
    chosen = _contrast(contrast)
    settings = {
        "seed": seed,
        "spacing_mm": spacing_mm,
        "contrast": contrast,
        "t1_share": t1_share,
        "operated": operated,
    }
    _require_same_settings(output, settings)
    for number in range(1, count + 1):
        folder = output / f"1BP{number:03d}"
        if folder.exists():
            _require_recorded(output, folder)
            typer.echo(f"{folder.name} is there already")
            continue
        used = write_case(
            folder,
            seed=(seed, number),
            spacing_mm=spacing_mm,
            contrast=chosen,
            t1_share=t1_share,
            operated=operated,
        )
        _write_record(output, {**settings, "cases": {folder.name: used}})
        typer.echo(f"{folder.name}  {used}")


def write_case(
    folder: Path,
    *,
    seed: tuple[int, int],
    spacing_mm: float,
    contrast: Contrast | None,
    t1_share: float = 1.0,
    operated: float = 0.0,
) -> str:
    """Make one head, image it, write mr, ct and mask into `folder` at once, and return the contrast used, in words.

    Where `contrast` is None it is drawn, T1-weighted with probability `t1_share`.
    """
    import numpy as np

    from mr2ct.io import write_volume
    from mr2ct.io.atomic import atomic_folder
    from mr2ct.phantom import head_mask, head_phantom, random_contrast, simulate_ct, simulate_mr

    generator = np.random.default_rng(seed)
    head = head_phantom(generator, spacing_mm=spacing_mm, operated=operated)
    sequence = random_contrast(generator, t1_share=t1_share) if contrast is None else contrast
    volumes = {
        "mr": simulate_mr(head, sequence, seed=generator),
        "ct": simulate_ct(head, generator),
        "mask": head_mask(head),
    }
    with atomic_folder(folder) as temporary:
        for name, volume in volumes.items():
            write_volume(volume, temporary / f"{name}.nii.gz")
    return str(sequence)


def _contrast(name: str) -> Contrast | None:
    from mr2ct.errors import InputError
    from mr2ct.phantom import CONTRASTS

    if name == RANDOM:
        return None
    if name not in CONTRASTS:
        raise InputError("unknown contrast", got=repr(name), expected=", ".join([RANDOM, *CONTRASTS]))
    return CONTRASTS[name]


def _read_record(output: Path) -> dict[str, Any]:
    import json

    from mr2ct.errors import DataSetError

    path = output / RECORD
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as cause:
        raise DataSetError(
            f"unreadable record {path}", got=str(cause), remedy="remove it or choose another folder"
        ) from cause
    return record if isinstance(record, dict) else {}


def _require_same_settings(output: Path, settings: dict[str, Any]) -> None:
    """Raise DataSetError where `output` holds phantoms made with other settings."""
    from mr2ct.errors import DataSetError

    record = _read_record(output)
    for name, value in settings.items():
        if name in record and record[name] != value:
            raise DataSetError(
                f"{output} holds phantoms made with another {name}",
                got=value,
                expected=record[name],
                remedy="choose another output folder",
            )


def _require_recorded(output: Path, folder: Path) -> None:
    """Raise DataSetError where `folder` is not known as a phantom: cases.csv would not say so, and it pass for real."""
    from mr2ct.errors import DataSetError

    if folder.name not in _read_record(output).get("cases", {}):
        raise DataSetError(
            f"{folder} is there, but not in {RECORD}",
            got="another data set, or the leftover of an interruption",
            expected="a phantom made by this command",
            remedy="remove that folder, or choose another output folder",
        )


def _write_record(output: Path, record: dict[str, Any]) -> None:
    import json

    from mr2ct.io.atomic import atomic_file

    cases = {**_read_record(output).get("cases", {}), **record["cases"]}
    with atomic_file(output / RECORD) as temporary:
        temporary.write_text(json.dumps({**record, "cases": cases}, indent=1) + "\n", encoding="utf-8")
    rows = ["case,patient,centre,source", *(f"{case},{case},P,phantom" for case in sorted(cases))]
    with atomic_file(output / "cases.csv") as temporary:
        temporary.write_text("\n".join(rows) + "\n", encoding="utf-8")
