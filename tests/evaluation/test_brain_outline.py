"""The brain's outline: rings of bone whose distance is known, and what must not disturb it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mr2ct.errors import GeometryError
from mr2ct.evaluation.brain_outline import brain_outline_moved_mm, skull_inside
from mr2ct.hounsfield import BONE_ABOVE_HU

ONE_MM = (1.0, 1.0, 1.0)
X, Y = np.mgrid[-64:65, -64:65].astype(float)
EVERYWHERE = np.ones((129, 129, 1))


def head(*, radius: float = 45, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
    """A round slice: brain, a skull 6 mm thick, 6 mm of scalp, air; (129, 129, 1)."""
    r = np.hypot(X - shift[0], Y - shift[1])
    layers = [r < radius, r < radius + 6, r < radius + 12]
    return np.select(layers, [35.0, 900.0, 0.0], default=-1000.0)[..., None]


def test_a_skull_that_is_wider_by_3_mm_moves_the_outline_by_3_mm():
    assert brain_outline_moved_mm(head(radius=48), head(), EVERYWHERE, ONE_MM) == pytest.approx(3, abs=0.3)


def test_a_shift_moves_it_by_two_over_pi_of_the_shift():
    moved = brain_outline_moved_mm(head(shift=(4, 3)), head(), EVERYWHERE, ONE_MM)
    assert moved == pytest.approx(5 * 2 / np.pi, abs=0.3)


def test_millimetres_count_and_not_voxels():
    there = brain_outline_moved_mm(head(radius=48), head(), EVERYWHERE, ONE_MM)
    assert brain_outline_moved_mm(head(radius=48), head(), EVERYWHERE, (2, 2, 5)) == pytest.approx(2 * there, rel=0.05)


@settings(max_examples=8, deadline=None)
@given(radius=st.integers(40, 48), shift=st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
def test_it_is_symmetric_and_nothing_for_the_image_itself(radius: int, shift: tuple[int, int]):
    sct, ct = head(radius=radius, shift=shift), head()
    assert brain_outline_moved_mm(sct, sct, EVERYWHERE, ONE_MM) == 0
    there, back = (brain_outline_moved_mm(*pair, EVERYWHERE, ONE_MM) for pair in ((sct, ct), (ct, sct)))
    assert there == pytest.approx(back)


def test_a_hole_in_the_skull_is_bridged_and_not_compared():
    open_skull = head()
    open_skull[60:70, :64][open_skull[60:70, :64] > BONE_ABOVE_HU] = 20
    found = skull_inside(open_skull, EVERYWHERE != 0, ONE_MM, gap_mm=14)
    assert found is not None
    assert not found.whole[64, :15].any()
    assert found.share_walled < 1
    assert brain_outline_moved_mm(open_skull, head(), EVERYWHERE, ONE_MM) < 0.3


def test_calcifications_and_the_outside_of_the_mask_do_not_matter():
    sct = head()
    sct[60:66, 60:66] = 500
    inside = EVERYWHERE.copy()
    inside[np.hypot(X, Y) > 58] = 0
    sct[inside == 0] = 900
    assert brain_outline_moved_mm(sct, head(), inside, ONE_MM) == 0


def test_a_skull_half_of_which_is_missing_has_no_outline():
    half = head()
    half[:64][half[:64] > BONE_ABOVE_HU] = 20
    assert np.isnan(brain_outline_moved_mm(half, head(), EVERYWHERE, ONE_MM))
    assert np.isnan(brain_outline_moved_mm(head(), np.full((129, 129, 1), -1000.0), EVERYWHERE, ONE_MM))


def test_a_volume_has_one_too():
    grid = np.stack(np.meshgrid(*[np.arange(-20.0, 21)] * 3, indexing="ij"))
    r = np.sqrt((grid**2).sum(axis=0))
    ct, sct = (np.select([r < rim, r < rim + 3], [35.0, 900.0], default=-1000.0) for rim in (14, 15))
    spacing_mm = (4.0, 4.0, 4.0)
    assert brain_outline_moved_mm(sct, ct, np.ones(ct.shape), spacing_mm) == pytest.approx(4, abs=1)


def test_images_must_fit():
    with pytest.raises(GeometryError):
        brain_outline_moved_mm(head(), head()[:-1], EVERYWHERE, ONE_MM)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_real_ct_has_a_brain(shared_data, plane: str):
    from mr2ct import Quantity, read_volume

    folder = shared_data / "brain-slices" / f"1BB079-{plane}"
    ct = read_volume(folder / "ct.nii.gz", quantity=Quantity.HU)
    inside = read_volume(folder / "mask.nii.gz", quantity=Quantity.MASK).voxels != 0
    found = skull_inside(ct.voxels, inside, ct.geometry.spacing_mm, gap_mm=14)
    assert found is not None
    assert found.share_walled > 0.8
    assert 100e2 < found.whole.sum() < 220e2
    assert np.median(ct.voxels[found.whole]) == pytest.approx(35, abs=25)
