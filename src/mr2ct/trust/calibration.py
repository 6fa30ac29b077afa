"""What a bundle knows of its own errors: the key `calibration` of bundle.json, read and written.

A calibration belongs to weights, not to a name: it names the models whose answers it was made from, with their
checksums, and is not used with others. It has one variant for the model with companions and one for the model alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mr2ct.errors import BundleError
from mr2ct.inference.translator import Translator
from mr2ct.inference.views import VIEWS
from mr2ct.trust.hu_distribution import N_BINS, Float32, expected_error_hu
from mr2ct.trust.levels import Levels
from mr2ct.trust.small_network import SmallNetwork
from mr2ct.trust.uncertainty_features import FEATURES

FORMAT_VERSION = 1
INTERVAL = 0.9

OWN, MEAN = "own", "mean"
"""Which sCT a calibration is about: the mean of the first model's own views, or of all models and views."""


@dataclass(frozen=True)
class Variant:
    """A calibration for one set of models.

    Parameters
    ----------
    members : (name, weights_sha256) of the models, the one whose sCT it is first.
    network : features to probabilities of HU bins. levels : probabilities to half-widths.
    outside_half_width_hu : where the sCT is air because the body is far.
    mae_offset, mae_slope : from the mean expected error of a case to the MAE that such cases had, HU and HU per HU.
    """

    members: tuple[tuple[str, str], ...]
    network: SmallNetwork
    levels: Levels
    outside_half_width_hu: float
    mae_offset: float = 0.0
    mae_slope: float = 1.0

    def half_widths_hu(self, features: Float32, sct_hu: Float32) -> tuple[Float32, Float32]:
        """Half-widths and expected absolute errors in HU of voxels: (voxels, features), (voxels,) to (voxels,) each."""
        probabilities = self.network.probabilities(features)
        return self.levels.half_widths_hu(probabilities, sct_hu), expected_error_hu(probabilities, sct_hu)

    def to_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "members": [{"name": name, "weights_sha256": sha256} for name, sha256 in self.members],
            "network": self.network.to_record(),
            "tissue_weights": list(self.levels.tissue_weights),
            "shares": list(self.levels.shares),
            "outside_half_width_hu": self.outside_half_width_hu,
            "mae_offset": self.mae_offset,
            "mae_slope": self.mae_slope,
        }


@dataclass(frozen=True)
class Calibration:
    """All variants of one model, the one with most members first, and what was measured with them.

    Parameters
    ----------
    sct : `OWN`, or `MEAN` for an ensemble.

    Example
    -------
    >>> Calibration.from_record({})
    Traceback (most recent call last):
    mr2ct.errors.BundleError: the model holds no calibration; ...
    """

    variants: tuple[Variant, ...]
    interval: float = INTERVAL
    measured: Mapping[str, Any] = field(default_factory=dict)
    sct: str = OWN

    def to_record(self) -> dict[str, Any]:
        """JSON values for the key `calibration` of bundle.json; `models` names the models to hand to
        `predict_uncertainty`, in order.
        """
        return {
            "format_version": FORMAT_VERSION,
            "interval": self.interval,
            "sct": self.sct,
            "models": [name for name, _ in self.variants[0].members],
            "features": list(FEATURES),
            "views": list(VIEWS),
            "variants": [variant.to_record() for variant in self.variants],
            "measured": dict(self.measured),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Calibration:
        """The calibration of JSON values.

        Raises
        ------
        BundleError : none there, of a newer format, of other features or views, or damaged.
        """
        if not record or not record.get("variants"):
            raise BundleError(
                "the model holds no calibration",
                got="none in bundle.json",
                expected="one made on held-out patients",
                remedy="run scripts/calibrate.py, or choose a shipped model",
            )
        made_with = {key: record.get(key) for key in ("format_version", "features", "views")}
        ours = {"format_version": FORMAT_VERSION, "features": list(FEATURES), "views": list(VIEWS)}
        if made_with != ours:
            raise BundleError(
                "the calibration was made by another version of mr2ct",
                got=f"other {' and other '.join(key for key in ours if made_with[key] != ours[key])}",
                expected=f"format {FORMAT_VERSION}, the features of this version, views {', '.join(VIEWS)}",
                remedy="run scripts/calibrate.py again",
            )
        try:
            variants = tuple(_variant(entry) for entry in record["variants"])
            sct = str(record.get("sct", OWN))
            if sct not in (OWN, MEAN):
                raise ValueError(f"sct is {sct!r}, not {OWN} or {MEAN}")
            return cls(variants, float(record["interval"]), record.get("measured", {}), sct)
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("the calibration cannot be read", got=error, remedy="calibrate again") from error

    def choose(self, translators: Sequence[Translator]) -> tuple[Variant, tuple[Translator, ...]]:
        """The variant with most members that are all there, and its members in order; others are left out.

        Raises
        ------
        BundleError : no translator, or the first is not the model that was calibrated, with the same weights.
        """
        first = translators[0].description if translators else None
        own = self.variants[0].members[0]
        if first is None or (first.name, first.weights_sha256) != own:
            raise BundleError(
                "the calibration is of another model",
                got="no model" if first is None else f"{first.name}, weights {first.weights_sha256[:12]}",
                expected=f"{own[0]}, weights {own[1][:12]}, first",
                remedy="run scripts/calibrate.py after each training",
            )
        there = {
            (t.description.name, t.description.weights_sha256): t
            for t in translators
            if t.description.preprocessing == first.preprocessing and set(first.planes) <= set(t.description.planes)
        }
        for variant in sorted(self.variants, key=lambda v: -len(v.members)):
            if set(variant.members) <= there.keys():
                return variant, tuple(there[member] for member in variant.members)
        raise BundleError(
            "these models were not calibrated together",
            got=", ".join(t.description.name for t in translators),
            expected=" or ".join(" + ".join(name for name, _ in v.members) for v in self.variants),
        )


def _variant(entry: Mapping[str, Any]) -> Variant:
    network = SmallNetwork.from_record(entry["network"])
    if network.weights[0].shape[0] != len(FEATURES) or network.weights[-1].shape[1] != N_BINS:
        raise ValueError(f"a network of {network.weights[0].shape[0]} features and {network.weights[-1].shape[1]} bins")
    air, soft, bone = (float(value) for value in entry["tissue_weights"])
    in_air, in_soft, in_bone = (float(value) for value in entry["shares"])
    outside = float(entry["outside_half_width_hu"])
    if not np.isfinite([air, soft, bone, in_air, in_soft, in_bone, outside]).all():
        raise ValueError("numbers that are not finite")
    return Variant(
        tuple((str(member["name"]), str(member["weights_sha256"])) for member in entry["members"]),
        network,
        Levels((air, soft, bone), (in_air, in_soft, in_bone)),
        outside,
        float(entry["mae_offset"]),
        float(entry["mae_slope"]),
    )
