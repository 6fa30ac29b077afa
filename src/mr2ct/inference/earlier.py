"""What an earlier conversion left: whether it may stand for the one that is asked for now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mr2ct.bundles import Bundle, EnsembleBundle
from mr2ct.errors import InputError
from mr2ct.inference.worklist import WorkItem, made_by_mr2ct
from mr2ct.io.checksum import sha256, sha256_of_files
from mr2ct.io.dicom import is_dicom_path
from mr2ct.io.formats import volume_suffix
from mr2ct.io.images import FOLDER_SIDECAR, is_picture

ASKED = "asked"
"""The key of a record under which what shapes an sCT is kept: model and weights, planes, flips, series, mask, voxel
size."""

INPUT_CHECKSUM = "input_sha256"
"""The key of a record under which `input_sha256` of what was converted is kept."""

REMEDY = "give another -o, or --overwrite to convert again"


def require_as_asked(
    item: WorkItem, asked: Mapping[str, Any], *, preview: bool = False, uncertainty: bool = False
) -> None:
    """Raise InputError where the finished sCT of `item` is of another input, was asked for otherwise, or lacks a file.

    Parameters
    ----------
    asked : what shapes the sCT, as JSON holds it. Only what the record beside the sCT states is compared: an sCT
        without a readable record, or one of an older version, counts as asked for in this way.
    preview, uncertainty : whether these files have to be there, too.

    Example
    -------
    >>> require_as_asked(item, {"model": "best"})  # doctest: +SKIP
    """
    record = _record_of(item)
    if record.get("output", item.output.name) != item.output.name:
        raise InputError(
            f"{item.output} is there already, and how it was made is not known",
            got=f"{item.record.name}, of {record['output']}",
            expected="its record",
            remedy=REMEDY,
        )
    now = input_sha256(item.source)
    if record.get(INPUT_CHECKSUM, now) != now:
        raise InputError(
            f"{item.output} is there already, of another input",
            got=f"{record.get('input')} with SHA-256 {str(record[INPUT_CHECKSUM])[:12]}",
            expected=f"{item.source} with SHA-256 {now[:12]}",
            remedy=REMEDY,
        )
    earlier = record.get(ASKED, {})
    for key, wanted_now in asked.items():
        if key in earlier and earlier[key] != wanted_now:
            raise InputError(
                f"{item.output} is there already, made with another {key.replace('_', ' ')}",
                got=_in_words(earlier[key]),
                expected=_in_words(wanted_now),
                remedy=REMEDY,
            )
    for wanted, file in ((preview, item.preview), (uncertainty, item.uncertainty)):
        if wanted and not file.exists():
            raise InputError(
                f"{item.output} is there already, without {file.name}",
                got="no such file",
                expected="one made with it",
                remedy=REMEDY,
            )


def input_sha256(source: Path) -> str:
    """The SHA-256 of the files that make up one input: another patient's of the same name has another.

    Of a folder, its slices and their description; of a picture or a header, the files of the same name beside it, too.

    Raises
    ------
    InputError : files that cannot be read.

    Example
    -------
    >>> input_sha256(Path("mr.nii.gz"))  # doctest: +SKIP
    """
    try:
        if source.is_dir():
            return sha256_of_files(file for file in source.iterdir() if _is_slice(file))
        if volume_suffix(source) == ".mhd" or is_picture(source):
            return sha256_of_files(file for file in source.parent.iterdir() if _belongs_to(file, source))
        return sha256(source)
    except OSError as cause:
        raise InputError(f"cannot read {source}", got=cause.strerror or str(cause)) from cause


def weights_of(model: Bundle | EnsembleBundle) -> str:
    """The first digits of the SHA-256 of a model's weights, an ensemble's one after the other.

    Example
    -------
    >>> from mr2ct.bundles import find_model
    >>> len(weights_of(find_model("brain-attention-unet")))
    12
    """
    members = model.members if isinstance(model, EnsembleBundle) else (model,)
    return ", ".join(member.description.weights_sha256[:12] for member in members)


def _is_slice(file: Path) -> bool:
    return file.name == FOLDER_SIDECAR or is_dicom_path(file) or (is_picture(file) and not made_by_mr2ct(file))


def _belongs_to(file: Path, source: Path) -> bool:
    return file.is_file() and Path(file.name.removesuffix(".json")).stem == source.stem


def _record_of(item: WorkItem) -> dict[str, Any]:
    try:
        record = json.loads(item.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get(ASKED, {}), dict) else {}


def _in_words(value: Any) -> str:
    return "none" if value is None else str(value)
