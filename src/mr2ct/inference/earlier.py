"""What an earlier conversion left: whether it may stand for the one that is asked for now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mr2ct.errors import InputError
from mr2ct.inference.worklist import WorkItem

ASKED = "asked"
"""The key of a record under which what shapes an sCT is kept: model, planes, flips, series, mask, voxel size."""

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
    made_of = record.get("input")
    if made_of is not None and Path(made_of).resolve() != item.source.resolve():
        raise InputError(
            f"{item.output} is there already, of another input", got=made_of, expected=str(item.source), remedy=REMEDY
        )
    earlier = record.get(ASKED, {})
    for key, now in asked.items():
        if key in earlier and earlier[key] != now:
            raise InputError(
                f"{item.output} is there already, made with another {key.replace('_', ' ')}",
                got=_in_words(earlier[key]),
                expected=_in_words(now),
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


def _record_of(item: WorkItem) -> dict[str, Any]:
    try:
        record = json.loads(item.record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and isinstance(record.get(ASKED, {}), dict) else {}


def _in_words(value: Any) -> str:
    return "none" if value is None else str(value)
