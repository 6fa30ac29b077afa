"""The preview draws the right slices, columns and colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mr2ct.errors import GeometryError, InputError
from mr2ct.geometry import Geometry
from mr2ct.io.preview import DIFFERENCE_WINDOW, HU_WINDOW, preview_figure, write_preview
from mr2ct.volume import Quantity, Volume


def pictures(figure) -> list:
    return [axis.images[0] for axis in figure.axes if axis.images]


def titles(figure) -> list[str]:
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


@pytest.fixture
def panels(small_mr: Volume, small_ct: Volume) -> dict[str, Volume]:
    return {"MR": small_mr, "sCT": small_ct.with_voxels(small_ct.voxels + np.int16(100)), "CT": small_ct}


def test_three_planes_and_a_difference(panels: dict[str, Volume]):
    figure = preview_figure(panels, title="a head")
    assert titles(figure) == ["MR", "sCT", "CT", "sCT − CT"]
    assert len(pictures(figure)) == 12
    texts = [text.get_text() for text in figure.texts]
    assert texts[:3] == ["axial", "coronal", "sagittal"]
    assert figure.get_suptitle() == "a head"
    assert pictures(figure)[1].get_clim() == HU_WINDOW
    difference = pictures(figure)[3]
    assert difference.get_clim() == DIFFERENCE_WINDOW
    np.testing.assert_array_equal(difference.get_array(), 100)


def test_the_difference_is_shown_in_the_mask_alone(panels: dict[str, Volume], small_mr: Volume):
    inside = small_mr.voxels > np.median(small_mr.voxels)
    mask = small_mr.with_voxels(inside, quantity=Quantity.MASK)
    shown = [picture.get_array() for picture in pictures(preview_figure(panels, mask=mask))[3::4]]
    assert len(shown) == 3
    assert all(set(np.unique(difference)) == {0, 100} for difference in shown)


def test_columns_that_are_not_there_are_left_out(panels: dict[str, Volume]):
    assert titles(preview_figure({"MR": panels["MR"], "sCT": panels["sCT"]})) == ["MR", "sCT"]
    assert titles(preview_figure({"MR": panels["MR"]})) == ["MR"]


def test_proportions_are_those_of_the_body(small_mr: Volume):
    for picture in pictures(preview_figure({"MR": small_mr})):
        left, right, bottom, top = picture.get_extent()
        rows, columns = picture.get_array().shape
        spacing = {round((right - left) / columns, 6), round((bottom - top) / rows, 6)}
        assert spacing <= {round(mm, 6) for mm in small_mr.geometry.spacing_mm}
        assert picture.axes.get_aspect() == 1


@pytest.mark.parametrize(("thin", "plane"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
def test_a_single_slice_is_one_row(thin: int, plane: str):
    shape = [6, 5, 4]
    shape[thin] = 1
    geometry = Geometry((shape[0], shape[1], shape[2]), np.diag([-1.0, -2.0, 3.0, 1.0]))
    figure = preview_figure({"MR": Volume(np.arange(np.prod(shape)).reshape(shape), geometry, Quantity.MR)})
    assert len(pictures(figure)) == 1
    assert figure.texts[0].get_text() == plane


def test_slices_run_through_the_middle_of_the_head(awkward_affine: np.ndarray):
    voxels = np.zeros((20, 18, 16), np.float32)
    voxels[12:17, 3:8, 9:12] = 100
    voxels[14, 5, 10] = 200
    mr = Volume(voxels, Geometry((20, 18, 16), awkward_affine), Quantity.MR)
    mask = mr.with_voxels(voxels > 50, quantity=Quantity.MASK)
    for figure in (preview_figure({"MR": mr}), preview_figure({"MR": mr}, mask=mask)):
        assert [picture.get_array().max() for picture in pictures(figure)] == [200] * 3
    hu = mr.with_voxels(voxels - 1000 + 10 * (voxels > 0) * voxels, quantity=Quantity.HU)
    assert [picture.get_array().max() for picture in pictures(preview_figure({"CT": hu}))] == [1200] * 3


def test_a_neck_does_not_pull_the_middle_down():
    voxels = np.zeros((10, 10, 40), np.float32)
    voxels[2:8, 2:8, 2:38] = 100
    voxels[:, :, 30] += 50
    mr = Volume(voxels, Geometry((10, 10, 40), np.diag([20, 20, 10.0, 1])), Quantity.MR)
    # the head ends at slice 37, the 150 mm below it reach down to slice 22
    assert pictures(preview_figure({"MR": mr}))[0].get_array().max() == 150


def test_an_image_of_nothing_is_still_drawn(small_mr: Volume):
    assert len(pictures(preview_figure({"MR": small_mr.with_voxels(np.zeros((9, 8, 7)))}))) == 3
    mask = small_mr.with_voxels(np.zeros((9, 8, 7)), quantity=Quantity.MASK)
    assert len(pictures(preview_figure({"mask": mask}))) == 3


def test_one_grid_for_all(panels: dict[str, Volume], small_mr: Volume):
    other = Volume(small_mr.voxels, Geometry((9, 8, 7), np.eye(4)), Quantity.MASK)
    with pytest.raises(GeometryError, match="MR and sCT lie on different grids"):
        preview_figure({"MR": panels["MR"], "sCT": other})
    with pytest.raises(GeometryError, match="MR and mask lie on different grids"):
        preview_figure(panels, mask=other)
    with pytest.raises(InputError, match="nothing to draw"):
        preview_figure({})


def test_a_png_is_written(tmp_path: Path, panels: dict[str, Volume]):
    path = write_preview(tmp_path / "new" / "preview.png", panels)
    assert list(path.parent.iterdir()) == [path]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.width > image.height / 2 > 200


def test_a_large_volume_is_thinned_to_find_its_middle():
    voxels = np.zeros((120, 120, 120), np.float32)
    voxels[60:100, 20:60, 40:80] = 100
    mr = Volume(voxels, Geometry((120, 120, 120), np.eye(4)), Quantity.MR)
    assert all(picture.get_array().max() == 100 for picture in pictures(preview_figure({"MR": mr})))
