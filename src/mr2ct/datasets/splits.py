"""Which patients train, validate and test: drawn once, by patient, stratified by centre, and kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mr2ct.errors import DataSetError
from mr2ct.io.atomic import atomic_file

FORMAT_VERSION = 1
SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Patients by side, sorted; no patient stands twice.

    Raises
    ------
    DataSetError : a patient on two sides, or twice on one.

    Example
    -------
    >>> Split(train=("p2", "p1"), validation=("p3",), test=()).side_of("p1")
    'train'
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        for side in SIDES:
            object.__setattr__(self, side, tuple(sorted(getattr(self, side))))
        require_disjoint(train=self.train, validation=self.validation, test=self.test)

    @property
    def patients(self) -> frozenset[str]:
        """Every patient of the split."""
        return frozenset(self.train + self.validation + self.test)

    def side_of(self, patient: str) -> str:
        """Return "train", "validation" or "test"; DataSetError for a patient the split does not know."""
        for side in SIDES:
            if patient in getattr(self, side):
                return side
        raise DataSetError(f"patient {patient} is in no side of the split", remedy="make a new split file")


def require_disjoint(**sides: Iterable[str]) -> None:
    """Raise DataSetError, naming the patients, where one stands on two sides or twice on one.

    Example
    -------
    >>> require_disjoint(train=["p1"], test=["p2"])
    """
    home: dict[str, str] = {}
    clashes: dict[str, str] = {}
    for side, patients in sides.items():
        for patient in patients:
            if patient in home:
                clashes[patient] = f"{patient} ({home[patient]} and {side})"
            home[patient] = side
    if clashes:
        raise DataSetError(
            "patients on more than one side of the split",
            got=", ".join(clashes[patient] for patient in sorted(clashes)),
            expected="each patient once",
            remedy="mend the split file, or delete it and split again",
        )


def require_covers(split: Split, patients: Iterable[str]) -> None:
    """Raise DataSetError unless the split says for each of `patients` on which side it is."""
    unknown = sorted(set(patients) - split.patients)
    if unknown:
        raise DataSetError(
            f"{len(unknown)} patient(s) of the data are in no side of the split",
            got=", ".join(unknown[:10]) + (", ..." if len(unknown) > 10 else ""),
            remedy="add them to the split file, or write a new one",
        )


def make_split(patients_with_centres: Mapping[str, str], *, seed: int, test: int, validation: int) -> Split:
    """Draw `test` and `validation` patients, from each centre in proportion to its size.

    A patient's place in the draw is a SHA-256 of seed and name, so the split is the same with every version of every
    library, and whatever the order of the mapping.

    Parameters
    ----------
    patients_with_centres : patient -> centre. seed : recorded in the split.
    test, validation : how many patients, 0 or more; at least one patient must be left to train on.

    Example
    -------
    >>> make_split({f"p{n}": "AB"[n % 2] for n in range(10)}, seed=1, test=2, validation=2).seed
    1
    """
    n_patients = len(patients_with_centres)
    if test < 0 or validation < 0 or test + validation >= n_patients:
        raise DataSetError(
            "impossible split",
            got=f"test={test}, validation={validation} of {n_patients} patients",
            expected="counts of 0 or more that leave a patient to train on",
            remedy="ask for fewer: --split test=N,validation=N, or data.test_patients and data.validation_patients",
        )
    drawn = sorted(patients_with_centres, key=lambda patient: _place(seed, patient))
    held_out = _draw(drawn, patients_with_centres, count=test)
    left = [patient for patient in drawn if patient not in held_out]
    validating = _draw(left, patients_with_centres, count=validation)
    training = [patient for patient in left if patient not in validating]
    return Split(train=tuple(training), validation=tuple(validating), test=tuple(held_out), seed=seed)


def leave_centre_out(split: Split, patients_with_centres: Mapping[str, str], centre: str) -> Split:
    """The split for a model that never sees `centre`: its patients leave training and validation for the test.

    The test patients of the other centres stay in the test, so that whoever was held out before is held out still.

    Parameters
    ----------
    patients_with_centres : patient -> centre, of every patient of the split; others are passed over.

    Raises
    ------
    DataSetError : a patient whose centre is not known, nobody of that centre, nobody of another one to train on.

    Example
    -------
    >>> split = Split(train=("a1", "b1"), validation=("a2", "b2"), test=("b3",))
    >>> leave_centre_out(split, {"a1": "A", "a2": "A", "b1": "B", "b2": "B", "b3": "B"}, "A").test
    ('a1', 'a2', 'b3')
    """
    unknown = sorted(split.patients - patients_with_centres.keys())
    if unknown:
        raise DataSetError(f"{len(unknown)} patient(s) of the split have no centre", got=", ".join(unknown[:10]))
    left_out = {patient for patient in split.patients if patients_with_centres[patient] == centre}
    train, validation = (tuple(p for p in side if p not in left_out) for side in (split.train, split.validation))
    if not left_out or not train:
        raise DataSetError(
            f"centre {centre} cannot be left out",
            got=", ".join(sorted({patients_with_centres[p] or "unknown" for p in split.train})) or "no patient",
            expected="that centre among two or more that train",
        )
    return Split(train, validation, tuple(left_out | set(split.test)), split.seed)


def settle_split(
    path: str | Path,
    patients_with_centres: Mapping[str, str],
    *,
    seed: int,
    test: int,
    validation: int,
    given: Mapping[str, Sequence[str]] | None = None,
) -> Split:
    """The split in the file at `path` where there is one, else a new one; nothing is written (see `write_split`).

    Parameters
    ----------
    test, validation : how many patients of the others to hold out.
    given : patients whom the data set itself holds out, "test" and "validation" -> patients; they stay there.

    Raises
    ------
    DataSetError : the file's split is another than asked for, or does not know all the patients.
    """
    held = {side: tuple((given or {}).get(side, ())) for side in ("test", "validation")}
    free = {p: centre for p, centre in patients_with_centres.items() if p not in held["test"] + held["validation"]}
    if not Path(path).exists():
        drawn = make_split(free, seed=seed, test=test, validation=validation)
        return Split(drawn.train, drawn.validation + held["validation"], drawn.test + held["test"], seed)
    split = read_split(path)
    require_covers(split, patients_with_centres)
    wanted = (test + len(held["test"]), validation + len(held["validation"]))
    if (len(split.test), len(split.validation)) != wanted or not set(held["test"]) <= set(split.test):
        raise DataSetError(
            f"the split file {path} is another than asked for",
            got=f"test={wanted[0]}, validation={wanted[1]}",
            expected=f"test={len(split.test)}, validation={len(split.validation)}",
            remedy="ask for the file's numbers, or delete it and split again",
        )
    return split


def given_split(source: str | Path, path: str | Path, *, patients: Iterable[str]) -> Split:
    """The split in the file `source`, which must know all `patients` and contradict none at `path`; nothing is written.

    Raises
    ------
    DataSetError : an unusable file, a patient it does not know, another split at `path`.
    """
    split = read_split(source)
    require_covers(split, patients)
    if Path(path).exists() and read_split(path) != split:
        raise DataSetError(f"{path} is another split than {source}", remedy="keep one of them")
    return split


def write_split(split: Split, path: str | Path) -> Path:
    """Write a split as JSON, whole or not at all."""
    sides = {side: list(getattr(split, side)) for side in SIDES}
    content = {"format_version": FORMAT_VERSION, "seed": split.seed, **sides}
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return Path(path)


def read_split(path: str | Path) -> Split:
    """Read a split file; DataSetError where it is missing, not a split, newer, or has a patient on two sides."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataSetError(f"no split file {path}", remedy="make one with `mr2ct preprocess --split ...`") from None
    except ValueError as error:
        raise DataSetError("unreadable split file", got=f"{path}: {error}") from error
    sides = {side: content.get(side) for side in SIDES} if isinstance(content, dict) else {}
    if not sides or not all(_is_list_of_names(names) for names in sides.values()):
        raise DataSetError(f"{path} is not a split file", expected='"train", "validation", "test": lists of patients')
    if content.get("format_version") != FORMAT_VERSION:
        raise DataSetError(
            f"the split file {path} has another format version",
            got=content.get("format_version"),
            expected=FORMAT_VERSION,
            remedy="update mr2ct",
        )
    return Split(**{side: tuple(names or ()) for side, names in sides.items()}, seed=int(content.get("seed", 0)))


def _is_list_of_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _place(seed: int, patient: str) -> bytes:
    return hashlib.sha256(f"{seed}:{patient}".encode()).digest()


def _draw(drawn: list[str], centres: Mapping[str, str], *, count: int) -> set[str]:
    """The first patients of each centre, shared out by largest remainder (Hamilton's method)."""
    of_centre: dict[str, list[str]] = {}
    for patient in drawn:
        of_centre.setdefault(centres[patient], []).append(patient)
    shares = {centre: count * len(patients) / len(drawn) for centre, patients in of_centre.items()}
    seats = {centre: int(share) for centre, share in shares.items()}
    by_remainder = sorted(shares, key=lambda centre: (seats[centre] - shares[centre], centre))
    for centre in by_remainder[: count - sum(seats.values())]:
        seats[centre] += 1
    return {patient for centre, patients in of_centre.items() for patient in patients[: seats[centre]]}
