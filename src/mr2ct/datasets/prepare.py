"""Prepare a data set once: read each case, run the pipeline, and put it into a store that training reads.

A preparation can be killed at any moment and started again with the same arguments: finished cases are skipped, what
was half-written is removed, and a case that fails is reported at the end while the others go on.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mr2ct.datasets.case_images import Reading, read_ct, read_mr, read_paired
from mr2ct.datasets.cases import PairedCase, UnpairedCase
from mr2ct.datasets.ct_coverage import within_ct
from mr2ct.datasets.processes import in_processes
from mr2ct.datasets.store import (
    CaseInfo,
    CaseStore,
    create_store,
    remove_unfinished,
    require_case_name,
    require_settings,
    require_store_folder,
    write_case,
)
from mr2ct.errors import DataSetError, DiskSpaceError, Mr2ctError
from mr2ct.geometry import Geometry, require_same_geometry
from mr2ct.io.atomic import make_folder, require_writable
from mr2ct.preprocessing.pipeline import Pipeline
from mr2ct.volume import Quantity

Case = PairedCase | UnpairedCase

_ALIGN = "give --resample-ct where both lie right in space, else --register"


@dataclass(frozen=True)
class Outcome:
    """How one case ended: prepared, or failed for a reason; and the share of its body that its CT does not show."""

    case: str
    reason: str | None = None
    uncovered_share: float = 0.0


@dataclass(frozen=True)
class Summary:
    """How a preparation ended: names of cases prepared now and skipped as finished, and failed case -> reason.

    `uncovered` holds, of those prepared now whose CT does not show all of the body, case -> the share left out.
    """

    prepared: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    uncovered: Mapping[str, float] = field(default_factory=dict)


def prepare(
    cases: Iterable[Case],
    pipeline: Pipeline,
    root: str | Path,
    *,
    reading: Reading | None = None,
    jobs: int = 1,
    report: Callable[[Outcome], None] | None = None,
) -> Summary:
    """Prepare the cases that the store at `root` does not hold yet.

    Parameters
    ----------
    pipeline : applied to every case; its record is the store's settings, together with `reading`.
    reading : how files are read, and how a CT is brought onto its MR's grid.
    jobs : processes; 1 works in this one. More need a main module that can be imported (`if __name__ == "__main__"`).
    report : called with each outcome as it happens.

    Returns
    -------
    What was prepared, skipped and failed. A failed case does not stop the others.

    Raises
    ------
    DataSetError : no case, two cases of one name, a store with other settings or of other patients, a store that
        another process is preparing. DiskSpaceError : the disk is full.

    Example
    -------
    >>> prepare(find_synthrad("SynthRAD/Task1/brain"), default_pipeline(), "store")  # doctest: +SKIP
    """
    wanted = _by_name(cases)
    reading = reading or Reading()
    require_store_folder(root)
    with _only_preparer(Path(root)):
        create_store(root, settings=_settings(pipeline, reading))
        remove_unfinished(root)
        finished = _finished(root, wanted)
        todo = [case for name, case in wanted.items() if name not in finished]
        work = partial(_prepare_one, record=pipeline.to_record(), root=Path(root), reading=reading)
        outcomes = []
        for outcome in in_processes(work, todo, jobs=jobs, died=_died):
            outcomes.append(outcome)
            if report is not None:
                report(outcome)
    return Summary(
        prepared=tuple(sorted(o.case for o in outcomes if o.reason is None)),
        skipped=tuple(sorted(finished)),
        failed={o.case: o.reason for o in sorted(outcomes, key=lambda o: o.case) if o.reason is not None},
        uncovered={o.case: o.uncovered_share for o in sorted(outcomes, key=lambda o: o.case) if o.uncovered_share},
    )


def require_preparable(cases: Iterable[Case], pipeline: Pipeline, root: str | Path, *, reading: Reading) -> None:
    """Raise what `prepare` would raise before it reads a case; nothing is made. To be asked before long work.

    Raises
    ------
    DataSetError : as `prepare`, but for another process at work. InputError : nothing can be written at `root`.
    """
    wanted = _by_name(cases)
    require_settings(root, _settings(pipeline, reading))
    require_writable(Path(root))
    if (Path(root) / "store.json").exists():
        _finished(root, wanted)


def _settings(pipeline: Pipeline, reading: Reading) -> dict[str, Any]:
    return {"pipeline": pipeline.to_record(), "reading": reading.to_record()}


def _by_name(cases: Iterable[Case]) -> dict[str, Case]:
    found: dict[str, Case] = {}
    for case in cases:
        if require_case_name(case.case) in found:
            raise DataSetError(f"duplicate case {case.case}", remedy="give each case a name of its own")
        found[case.case] = case
    if not found:
        raise DataSetError("no case to prepare")
    return dict(sorted(found.items()))


def _finished(root: str | Path, wanted: Mapping[str, Case]) -> set[str]:
    """Which of the wanted cases the store holds, sure that they are the same patients'."""
    finished = set()
    for stored in CaseStore.open(root).cases:
        case = wanted.get(stored.info.case)
        if case is None:
            continue
        if (stored.info.patient, stored.info.centre) != (case.patient, case.centre):
            raise DataSetError(
                f"case {case.case} is already in the store, but of another patient",
                got=f"patient {case.patient!r}, centre {case.centre!r}",
                expected=f"patient {stored.info.patient!r}, centre {stored.info.centre!r}",
                remedy="rename the case, or name a new store folder",
            )
        finished.add(case.case)
    return finished


@contextmanager
def _only_preparer(root: Path) -> Iterator[None]:
    """Hold the store's lock; the system lets go of it when this process ends, however it ends."""
    make_folder(root)
    require_writable(root)
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataSetError(
                f"another process is preparing the store {root}", remedy="wait for it, or name another folder"
            ) from error
        yield


def _prepare_one(case: Case, *, record: Mapping[str, Any], root: Path, reading: Reading) -> Outcome:
    pipeline = Pipeline.from_record(record)
    uncovered_share = 0.0
    try:
        if isinstance(case, PairedCase):
            uncovered_share = _prepare_paired(case, pipeline, root, reading=reading)
        else:
            _prepare_unpaired(case, pipeline, root, reading=reading)
    except DiskSpaceError:
        raise
    except Mr2ctError as error:
        return Outcome(case.case, str(error))
    except Exception as error:
        # one strange file must not cost the night's other cases
        return Outcome(case.case, f"{type(error).__name__}: {error}")
    return Outcome(case.case, uncovered_share=uncovered_share)


def _prepare_paired(case: PairedCase, pipeline: Pipeline, root: Path, *, reading: Reading) -> float:
    """Write the case; the share of its body that its CT does not show, and that is left out."""
    pair = read_paired(case, reading)
    require_same_geometry(pair.ct.geometry, pair.mr.geometry, names="CT and MR", remedy=_ALIGN)
    prepared, found, uncovered_share = pipeline.apply(pair.mr, ct=pair.ct, mask=pair.mask), pair.found, 0.0
    if pair.covered is not None:
        prepared, uncovered_share = within_ct(prepared, pair.covered)
        found = {**found, "uncovered_share": round(uncovered_share, 4)}
    info = _info(case, prepared.mr.geometry, {**prepared.record, **found})
    hu = None if prepared.ct is None else prepared.ct.voxels
    write_case(root, info=info, mr=prepared.mr.voxels, ct=hu, mask=prepared.mask.voxels)
    return uncovered_share


def _prepare_unpaired(case: UnpairedCase, pipeline: Pipeline, root: Path, *, reading: Reading) -> None:
    if case.quantity is Quantity.MR:
        mr, _ = read_mr(case, reading)
        prepared = pipeline.apply(mr)
        info = _info(case, prepared.mr.geometry, prepared.record)
        write_case(root, info=info, mr=prepared.mr.voxels, mask=prepared.mask.voxels)
    else:
        prepared_ct = pipeline.apply_ct(read_ct(case, reading))
        info = _info(case, prepared_ct.ct.geometry, prepared_ct.record)
        write_case(root, info=info, ct=prepared_ct.ct.voxels, mask=prepared_ct.mask.voxels)


def _info(case: Case, geometry: Geometry, record: Mapping[str, Any]) -> CaseInfo:
    return CaseInfo(case.case, case.patient, case.centre, case.source, geometry.shape, geometry.affine.tolist(), record)


def _died(case: Case) -> Outcome:
    return Outcome(case.case, "its process died, as it does when memory runs out")
