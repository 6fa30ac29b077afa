"""Score a network on whole held-out cases: every slice, or a sliding window, against the CT inside the mask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mr2ct.datasets.sampling import BoxPlan, planes_of, read_box
from mr2ct.datasets.store import StoredCase
from mr2ct.errors import DataSetError
from mr2ct.geometry import PLANE_AXIS, SLICE_MARGIN_VOXELS
from mr2ct.hounsfield import BONE_ABOVE_HU, HIGHEST_HU, LOWEST_HU, HuScaling

# background round a slice goes on to a multiple of this: kernels are compiled anew for every size they meet
_SIZE_STEP = 32

Window = Callable[[nn.Module, Tensor], Tensor]


@dataclass(frozen=True)
class ScoredSlice:
    """One validated slice, for pictures: (h, w) arrays, the MR in network units, the others in HU, and the mask."""

    name: str
    mr: NDArray[np.float32]
    sct_hu: NDArray[np.float32]
    ct_hu: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @property
    def mae_hu(self) -> float:
        """Mean absolute error in HU inside the mask."""
        return float(np.abs(self.sct_hu - self.ct_hu)[self.mask].mean()) if self.mask.any() else float("nan")

    @property
    def bone_gradient_energy_percent(self) -> float:
        """Gradient energy in the CT's bone, in percent of the CT's: as `evaluation.sharpness`, on equal voxel sides.

        NaN where there is no bone.
        """
        bone = self.mask & (self.ct_hu > BONE_ABOVE_HU)
        of_sct, of_ct = (_gradient_energy(hu, bone) for hu in (self.sct_hu, self.ct_hu))
        return 100 * of_sct / of_ct if of_ct else float("nan")


class Validation:
    """Call it with a network: the mean over slices (or volumes, in 3-D) of the MAE in HU inside the mask, by plane too.

    And of the gradient energy in bone, in percent of the CT's: below 100 where bone is blurred.

    Parameters
    ----------
    cases : at most `limit` are used, spread evenly. A volume is scored on its middle slice in each plane. Without any
        case, as where no patient has both MR and CT, there are no scores.
    window : how a 3-D network sees a whole volume, (network, mr (1, 1, i, j, k)) to sCT; None for slices.

    Raises
    ------
    DataSetError : none of the cases has a slice in the plan's planes, or, when called, a voxel inside its mask.
    """

    def __init__(
        self,
        cases: Sequence[StoredCase],
        plan: BoxPlan,
        scaling: HuScaling,
        *,
        device: torch.device,
        limit: int,
        window: Window | None = None,
    ) -> None:
        usable = [case for case in cases if window is not None or planes_of(case, plan)]
        if cases and not usable:
            raise DataSetError(
                "no case to validate on", got="no slice in the planes asked for", expected=", ".join(plan.planes)
            )
        chosen = np.unique(np.linspace(0, len(usable) - 1, min(limit, len(usable))).astype(int))
        self.cases = [usable[int(n)] for n in chosen]
        self.plan, self.scaling, self.device, self.window = plan, scaling, device, window
        self.slices: list[ScoredSlice] = []

    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Return mae_hu, mae_hu_<plane> of each plane, and bone_gradient_energy_percent where the CTs show any bone.

        The slices stay in `.slices` for pictures.
        """
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            found = [(plane, scored) for case in self.cases for plane, scored in self._score(network, case)]
        network.train(was_training)
        self.slices = [scored for _, scored in found]
        if not found:
            return {}
        seen = [(plane, scored.mae_hu) for plane, scored in found if scored.mask.any()]
        if not seen:
            raise DataSetError("nothing to score", got="empty masks in all validation slices", expected="body masks")
        scores = {"mae_hu": _mean([mae_hu for _, mae_hu in seen])}
        for plane in dict.fromkeys(plane for plane, _ in seen):
            scores[f"mae_hu_{plane}"] = _mean([mae_hu for of, mae_hu in seen if of == plane])
        energies = [scored.bone_gradient_energy_percent for scored in self.slices]
        with_bone = [energy for energy in energies if not np.isnan(energy)]
        return scores | ({"bone_gradient_energy_percent": _mean(with_bone)} if with_bone else {})

    def _score(self, network: nn.Module, case: StoredCase) -> list[tuple[str, ScoredSlice]]:
        if self.window is not None:
            mr = torch.from_numpy(np.array(case.mr(), dtype=np.float32))[None, None].to(self.device)
            sct_hu = self.scaling.to_hu(self.window(network, mr)[0, 0].float().cpu().numpy())
            return [("volume", self._scored(case, sct_hu, np.array(case.mr(), dtype=np.float32), ...))]
        return [(plane, self._score_slice(network, case, plane)) for plane in planes_of(case, self.plan)]

    def _score_slice(self, network: nn.Module, case: StoredCase, plane: str) -> ScoredSlice:
        axis, context = PLANE_AXIS[plane], self.plan.context_slices or 1
        middle = case.info.shape[axis] // 2
        margin = SLICE_MARGIN_VOXELS
        start, size = [-margin] * 3, [-(-(n + 2 * margin) // _SIZE_STEP) * _SIZE_STEP for n in case.info.shape]
        start[axis], size[axis] = middle - context // 2, context
        slab = np.moveaxis(read_box(case.mr(), start, size, outside=0), axis, 0)
        sct = network(torch.from_numpy(np.ascontiguousarray(slab))[None].to(self.device))
        at = tuple(middle if other == axis else slice(None) for other in range(3))
        shown = tuple(slice(margin, margin + n) for other, n in enumerate(case.info.shape) if other != axis)
        sct_hu = self.scaling.to_hu(sct[0, 0].float().cpu().numpy())[shown]
        return self._scored(case, sct_hu, slab[context // 2][shown], at)

    @staticmethod
    def _scored(case: StoredCase, sct_hu: NDArray[np.float32], mr: NDArray[np.float32], at: Any) -> ScoredSlice:
        ct_hu, mask = np.asarray(case.ct()[at], dtype=np.float32), np.asarray(case.mask()[at]) > 0
        return ScoredSlice(case.info.case, mr, sct_hu, ct_hu, mask)


def _gradient_energy(hu: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    clipped = np.clip(hu.astype(np.float64), LOWEST_HU, HIGHEST_HU)
    along = (np.gradient(clipped, axis=axis) for axis, n in enumerate(hu.shape) if n > 1)
    return float(sum(np.square(slope[where]).sum() for slope in along))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
