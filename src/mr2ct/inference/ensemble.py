"""Several models as one: they share the prepared volume, each that learnt with flips also sees it mirrored, and their
mean is the sCT.

Deep ensembles: Lakshminarayanan et al. 2017, arXiv:1612.01474. A median was as good on validation patients, and would
keep all answers in memory (benchmarks/ensemble.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mr2ct.bundles import Bundle, EnsembleBundle
from mr2ct.errors import InputError
from mr2ct.inference.planes import ALL_PLANES
from mr2ct.inference.translator import StageProgress, Translation, Translator, translate_together
from mr2ct.inference.views import FLIPS, PLAIN
from mr2ct.preprocessing.pipeline import Prepared
from mr2ct.volume import Volume

_VIEWS = {True: FLIPS, False: PLAIN, None: None}


@dataclass(frozen=True)
class Ensemble:
    """Models that are ready to convert volumes together.

    Parameters
    ----------
    name : for records. members : of one preprocessing, HU range and planes; each asked for its own `views`.

    Example
    -------
    >>> load_model(find_model("best")).translate(mr).sct  # doctest: +SKIP
    """

    name: str
    members: tuple[Translator, ...]

    @classmethod
    def from_bundle(
        cls, bundle: EnsembleBundle, *, device: str = "auto", precision: str = "auto", views: Sequence[str] = FLIPS
    ) -> Ensemble:
        """The ensemble on disk, with test-time flips of the members that were trained with flips.

        Raises BundleError where weights do not fit their network.
        """
        members = (
            Translator.from_bundle(member, device=device, precision=precision, views=views) for member in bundle.members
        )
        return cls(bundle.name, tuple(members))

    def translate(
        self,
        mr: Volume,
        *,
        planes: str = ALL_PLANES,
        mask: Volume | None = None,
        force: bool = False,
        progress: StageProgress | None = None,
        prepared: Prepared | None = None,
    ) -> Translation:
        """Turn an MR volume into an sCT on its own grid; parameters and errors as in `Translator.translate`."""
        return self.recorded(
            translate_together(
                self.members, mr, planes=planes, mask=mask, force=force, progress=progress, prepared=prepared
            )
        )

    def recorded(self, translation: Translation) -> Translation:
        """The translation with a record that names the ensemble and its members instead of the first of them."""
        record = {key: value for key, value in translation.record.items() if key != "weights_sha256"}
        members = [
            {"name": member.description.name, "weights_sha256": member.description.weights_sha256}
            for member in self.members
        ]
        own = {"model": self.name, "members": members}
        return replace(translation, record=record | own)


def load_model(
    model: Bundle | EnsembleBundle, *, device: str = "auto", precision: str = "auto", flips: bool | None = None
) -> Translator | Ensemble:
    """What converts volumes with a model on disk; `flips` adds the mirrored view, or not; None: as `Translator` does.

    Raises
    ------
    BundleError : weights that do not fit their network. InputError : flips of a model that was trained without.

    Example
    -------
    >>> from mr2ct.bundles import find_model
    >>> load_model(find_model("brain-attention-unet"), device="cpu", flips=True).views
    ('plain', 'mirrored')
    """
    require_flips_known(model, flips=flips)
    if isinstance(model, EnsembleBundle):
        return Ensemble.from_bundle(model, device=device, precision=precision)
    return Translator.from_bundle(model, device=device, precision=precision, views=_VIEWS[flips])


def require_flips_known(model: Bundle | EnsembleBundle, *, flips: bool | None) -> None:
    """Raise InputError where `flips` are asked for of one model that was trained without, or an ensemble without them.

    Example
    -------
    >>> from mr2ct.bundles import find_model
    >>> require_flips_known(find_model("brain-attention-unet"), flips=True)
    """
    if flips and isinstance(model, Bundle) and not model.description.flips:
        raise InputError(
            "the model was trained without flips, so it knows no mirrored body",
            got=f"flips with {model.description.name}",
            expected="the body as it is",
            remedy="leave --flips away (in Python: flips=None)",
        )
    if flips is False and isinstance(model, EnsembleBundle):
        raise InputError(
            "an ensemble always has flips",
            got=f"no flips with {model.name}",
            expected="the mean of its members' plain and mirrored answers",
            remedy="leave --no-flips away (in Python: flips=None)",
        )
