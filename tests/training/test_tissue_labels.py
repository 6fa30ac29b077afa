"""Labels from the CT alone, on a drawn head whose tissues are known, in two and three dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from mr2ct.errors import Mr2ctError
from mr2ct.training.tissue_labels import (
    IGNORED,
    TissueClass,
    directions_to,
    enclosed_by,
    gaussian_blur,
    tissue_labels,
)

both_dimensions = pytest.mark.parametrize("dims", [2, 3], ids=["2-D", "3-D"])
SIDE = 59


def head(dims: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """CT in HU and mask (1, 1, *spatial), and the distance of each voxel from the middle."""
    axes = np.meshgrid(*[np.arange(SIDE) - SIDE // 2] * dims, indexing="ij")
    distance = np.sqrt(sum(axis**2 for axis in axes))
    layers = [distance < 3, distance < 10, distance < 13, distance < 17, distance < 24]
    ct = np.select(layers, [-1000, 35, 1200, 400, -100], default=-1000)
    mask = torch.from_numpy((distance < 27).astype(np.float32))[None, None]
    return torch.from_numpy(ct.astype(np.float32))[None, None], mask, distance


@both_dimensions
def test_a_drawn_head_gets_the_tissues_it_was_drawn_with(dims):
    ct, mask, distance = head(dims)
    labels = tissue_labels(ct, mask)[0].numpy()
    expected = {
        TissueClass.AIR_INSIDE: distance < 3,
        TissueClass.WITHIN_BONE: (distance >= 3) & (distance < 10),
        TissueClass.CORTICAL_BONE: (distance >= 10) & (distance < 13),
        TissueClass.SPONGY_BONE: (distance >= 13) & (distance < 17),
        TissueClass.FAT: (distance >= 17) & (distance < 19.5),
        TissueClass.OUTSIDE: distance >= 24,
    }
    for tissue, where in expected.items():
        assert (labels[where] == tissue).all(), tissue.name
    # what is within two voxels of the air may be half air
    assert (labels[(distance >= 23) & (distance < 24)] == IGNORED).all()


@both_dimensions
def test_what_lies_beyond_the_mask_is_outside_whatever_it_is(dims):
    ct, mask, _ = head(dims)
    with_table = torch.where(mask > 0, ct, torch.tensor(900.0))
    assert torch.equal(tissue_labels(with_table, mask), tissue_labels(ct, mask))


@both_dimensions
def test_muscle_beside_bone_is_not_within_it_and_an_open_skull_still_holds_the_brain(dims):
    ct, mask, distance = head(dims)
    ct[distance[None, None] >= 17] = 60
    ct[mask == 0] = -1000
    below = torch.zeros_like(ct, dtype=torch.bool)
    below[:, :, SIDE // 2 + 9 :] = True
    ct[below & torch.from_numpy(distance < 17)[None, None]] = 60
    labels = tissue_labels(ct, mask)[0].numpy()
    assert (labels[(distance > 4) & (distance < 8)] == TissueClass.WITHIN_BONE).mean() > 0.9
    assert (labels[(distance > 18) & (distance < 22)] == TissueClass.SOFT_TISSUE).mean() > 0.9


def test_samples_do_not_know_of_each_other():
    ct, mask, _ = head(2)
    both = tissue_labels(torch.cat([ct, ct.roll(4, -1)]), torch.cat([mask, mask.roll(4, -1)]))
    assert torch.equal(both[0], tissue_labels(ct, mask)[0])
    assert torch.equal(both[1], both[0].roll(4, -1))


@pytest.mark.parametrize("seed", range(5))
@both_dimensions
def test_holes_are_those_that_scipy_fills(seed, dims):
    wall = np.random.default_rng(seed).random([17] * dims) < 0.6
    found = enclosed_by(torch.from_numpy(wall)[None, None], gap=0)[0, 0].numpy()
    np.testing.assert_array_equal(found, ndimage.binary_fill_holes(wall) & ~wall)


def test_an_opening_is_closed_up_to_twice_the_gap():
    wall = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    wall[..., 5:25, 5:25] = True
    wall[..., 8:22, 8:22] = False
    wall[..., 20:25, 13:17] = False
    assert int(enclosed_by(wall, gap=1)[..., 8:22, 8:22].sum()) == 0
    assert int(enclosed_by(wall, gap=2)[..., 8:20, 8:22].sum()) == 12 * 14


def test_a_wall_at_the_images_edge_does_not_close_it():
    wall = torch.zeros(1, 1, 20, 20, dtype=torch.bool)
    wall[..., 0] = wall[..., -1] = True
    assert not enclosed_by(wall, gap=3).any()


def test_directions_count_the_axes_both_ways():
    wall = torch.zeros(1, 1, 5, 5, 5, dtype=torch.bool)
    wall[0, 0, 2, 2, 4] = wall[0, 0, 0, 2, 2] = True
    assert int(directions_to(wall)[0, 0, 2, 2, 2]) == 2
    assert int(directions_to(wall)[0, 0, 1, 1, 1]) == 0


@both_dimensions
def test_blur_is_scipys_gaussian(dims):
    image = torch.rand([1, 1, *[20] * dims])
    expected = ndimage.gaussian_filter(image[0, 0].double().numpy(), 1.3, mode="constant", radius=4)
    np.testing.assert_allclose(gaussian_blur(image, 1.3)[0, 0].numpy(), expected, atol=1e-5)
    assert gaussian_blur(image, 0.0) is image


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(Mr2ctError, match="CT and mask do not fit"):
        tissue_labels(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 5))
