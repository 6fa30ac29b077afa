"""The models that ship inside the package, and how a name or a path becomes a bundle, or an ensemble of them."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from pathlib import Path

from mr2ct.bundles.bundle import DESCRIPTION_FILE, Bundle, load_bundle
from mr2ct.bundles.ensemble import ENSEMBLE_FILE, EnsembleBundle, load_ensemble
from mr2ct.errors import BundleError

DEFAULT_MODEL = "brain-multiscale-attention"
BEST = "best"
"""The ensemble of `mr2ct convert --best`; shipped/best/ensemble.json says what it is made of."""

SHIPPED_FOLDER = Path(__file__).parent / "shipped"


def shipped(folder: Path | None = None) -> tuple[str, ...]:
    """Names of the bundles in `folder` (default: those that ship with mr2ct), sorted; none is opened.

    Example
    -------
    >>> shipped(Path("no/such/folder"))
    ()
    """
    return _folders_with(DESCRIPTION_FILE, folder)


def shipped_ensembles(folder: Path | None = None) -> tuple[str, ...]:
    """Names of the ensembles in `folder` (default: those that ship with mr2ct), sorted; none is opened.

    Example
    -------
    >>> shipped_ensembles(Path("no/such/folder"))
    ()
    """
    return _folders_with(ENSEMBLE_FILE, folder)


def _folders_with(file: str, folder: Path | None) -> tuple[str, ...]:
    folder = SHIPPED_FOLDER if folder is None else folder
    return tuple(sorted(path.parent.name for path in folder.glob(f"*/{file}")))


def find_model(model: str | Path = DEFAULT_MODEL) -> Bundle | EnsembleBundle:
    """What a name or a folder stands for: one model, or an ensemble such as "best". Errors as in `find_bundle`."""
    if str(model) in shipped_ensembles():
        return find_ensemble(str(model))
    if str(model) not in shipped() and (Path(model) / ENSEMBLE_FILE).is_file():
        return load_ensemble(model, partial(_find_member, Path(model)))
    return find_bundle(model)


def _find_member(folder: Path, name: str) -> Bundle:
    """A shipped model, or a folder: below that of the ensemble, or wherever `name` leads."""
    return find_bundle(folder / name if name not in shipped() and (folder / name).is_dir() else name)


def find_ensemble(name: str) -> EnsembleBundle:
    """A shipped ensemble, its members found and verified.

    Raises
    ------
    BundleError : none of that name, or it or a member of it is altered, incomplete or damaged.

    Example
    -------
    >>> find_ensemble("no-such-ensemble")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mr2ct.errors.BundleError: not an ensemble of models; ...
    """
    return load_ensemble(SHIPPED_FOLDER / name, find_bundle)


def find_bundle(model: str | Path = DEFAULT_MODEL) -> Bundle:
    """The verified bundle of a shipped name, or of a folder.

    A shipped name wins over a folder of that name in the working directory; write `./name` for the folder.

    Raises
    ------
    BundleError : neither a shipped model nor a bundle folder; or what is there is altered or incomplete; or an
        ensemble, which is several.

    Example
    -------
    >>> find_bundle("no-such-model")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mr2ct.errors.BundleError: unknown model; got no-such-model; ...
    """
    names = shipped()
    if str(model) in names:
        return load_bundle(SHIPPED_FOLDER / str(model))
    if str(model) in shipped_ensembles():
        raise BundleError(
            f"{model} is several models",
            got=model,
            expected=f"one of {', '.join(names)}, or a bundle folder",
            remedy=f"`mr2ct convert --model {model}` runs them together; here, name one of them",
        )
    if Path(model).is_dir():
        return load_bundle(model)
    raise BundleError(
        "unknown model",
        got=model,
        expected=f"one of {', '.join(names)}, or a bundle folder" if names else "a bundle folder",
        remedy=_remedy(str(model), names),
    )


def _remedy(model: str, names: tuple[str, ...]) -> str:
    if not names:
        return "this installation has no shipped models; give the folder of your own, or install mr2ct again"
    close = get_close_matches(model, names, n=1)
    return f"did you mean {close[0]}?" if close else "`mr2ct models` lists them"
