"""The gamma index against pymedphys, against a plain implementation, and against what it must be by its definition."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import gaussian_filter

from mr2ct.errors import DataSetError, GeometryError, InputError
from mr2ct.evaluation.gamma import gamma_index, gamma_pass_rate
from mr2ct.evaluation.gamma_shells import shell_points

# spacings of which no sphere's radius is a multiple: pymedphys loses points on the grid's faces to rounding
GRIDS = {
    "3-D, cubic": ((9, 8, 7), (2.03, 2.03, 2.03), 2.0),
    "3-D, anisotropic": ((8, 9, 7), (1.03, 1.57, 2.51), 3.0),
    "2-D": ((30, 26), (1.23, 2.03), 2.0),
    "1-D": ((60,), (1.57,), 2.0),
}


def doses(shape: tuple[int, ...], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random dose and the same, shifted by a voxel, scaled and with noise."""
    rng = np.random.default_rng(seed)
    reference = gaussian_filter(rng.random(shape) * 4, 2)
    reference -= 0.9 * reference.min()
    noise = gaussian_filter(rng.normal(0, 0.1, shape), 1)
    return reference, np.roll(reference, 1, 0) * 1.01 + noise * reference.max()


def plain_gamma(reference, evaluated, spacing_mm, *, dose_percent, distance_mm, max_gamma):
    """Voxel by voxel and sphere by sphere with SciPy's interpolator; global, no cutoff."""
    axes = [np.arange(n) * mm for n, mm in zip(reference.shape, spacing_mm, strict=True)]
    at = RegularGridInterpolator(axes, evaluated, bounds_error=False, fill_value=np.inf)
    gamma = np.full(reference.shape, np.inf)
    for index in np.ndindex(reference.shape):
        here = np.array(index) * spacing_mm
        for n in range(int(10 * max_gamma) + 1):
            points = here + shell_points(n * distance_mm / 10, distance_mm / 10, reference.ndim)
            off = np.abs(at(points) - reference[index]).min() / (dose_percent / 100 * reference.max())
            gamma[index] = min(gamma[index], np.hypot(off, n / 10))
    return np.minimum(gamma, max_gamma)


@pytest.mark.parametrize("local", [False, True], ids=["global", "local"])
@pytest.mark.parametrize("grid", GRIDS)
def test_agrees_with_pymedphys(grid: str, local: bool):
    pymedphys = pytest.importorskip("pymedphys", reason="pymedphys is not installed (pip install 'mr2ct[dev]')")
    shape, spacing_mm, distance_mm = GRIDS[grid]
    reference, evaluated = doses(shape)
    ours = gamma_index(
        reference, evaluated, spacing_mm, dose_percent=3, distance_mm=distance_mm, cutoff_percent=30, local=local
    )
    axes = tuple(np.arange(n) * mm for n, mm in zip(shape, spacing_mm, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pymedphys.gamma(
            axes, reference, axes, evaluated, 3, distance_mm, 30, max_gamma=2, local_gamma=local, interp_algo="scipy"
        )
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    inner = tuple(slice(1, -1) for _ in shape)
    np.testing.assert_allclose(ours[inner], theirs[inner], atol=2e-5)
    # on the faces of the grid themselves pymedphys may miss a point, and so be higher
    assert (np.nan_to_num(ours - theirs) < 2e-5).all()


@pytest.mark.parametrize(("shape", "spacing_mm"), [((5, 4, 4), (2.0, 1.5, 3.0)), ((9, 7), (1.0, 2.5)), ((40,), (0.7,))])
def test_agrees_with_a_plain_implementation(shape, spacing_mm):
    reference, evaluated = doses(shape, seed=3)
    criteria = {"dose_percent": 2, "distance_mm": 2, "max_gamma": 1.2}
    ours = gamma_index(reference, evaluated, spacing_mm, cutoff_percent=0, **criteria)
    plain = plain_gamma(reference, evaluated, spacing_mm, **criteria)
    inner = tuple(slice(1, -1) for _ in shape)
    np.testing.assert_allclose(ours[inner], plain[inner], atol=2e-5)
    assert (ours - plain < 2e-5).all()


def test_a_shifted_ramp_is_off_in_distance_and_a_scaled_plateau_in_dose():
    ramp = np.tile(np.linspace(0, 200, 41)[:, None, None], (1, 5, 5))
    shifted = ramp + 5.0  # 1 mm along a ramp of 5 per mm
    oblique = gamma_index(ramp, shifted, (1.0, 1.0, 1.0), dose_percent=1, distance_mm=2, cutoff_percent=50)[:, 2, 2]
    # 2.5 criteria off in dose, 5 criteria of dose a criterion of distance: Ju et al. 2008's distance to a line
    continuous = 2.5 / np.sqrt(1 + 5**2)
    assert (oblique[21:] >= continuous - 1e-5).all()
    assert (oblique[21:] <= continuous + 0.1).all()
    in_dose = gamma_index(ramp, shifted, (1.0, 1.0, 1.0), dose_percent=1000, distance_mm=2, cutoff_percent=0)
    np.testing.assert_allclose(in_dose, 5 / 2000, rtol=1e-5)


def test_voxels_below_the_cutoff_are_not_scored():
    reference = np.array([0.0, 9.0, 10.0, 100.0])
    gamma = gamma_index(reference, reference, (1.0,), cutoff_percent=10)
    assert np.isnan(gamma).tolist() == [True, True, False, False]
    assert gamma_pass_rate(gamma) == 100
    assert np.isfinite(gamma_index(reference, reference, (1.0,), cutoff_percent=0)).all()


def test_local_gamma_is_relative_to_the_voxel():
    reference = np.array([10.0, 10.0, 10.0, 100.0])
    off = np.array([10.2, 10.2, 10.2, 100.0])
    assert gamma_index(reference, off, (50.0,), local=True)[0] == pytest.approx(1, abs=1e-5)
    assert gamma_index(reference, off, (50.0,))[0] == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize("arranged", [np.asfortranarray, lambda a: a.T.copy().T, lambda a: a[::-1].copy()[::-1]])
def test_the_order_in_memory_is_of_no_account(arranged):
    reference, evaluated = doses((6, 7, 8))
    spacing = (2.0, 1.5, 2.5)
    expected = gamma_index(reference, evaluated, spacing)
    np.testing.assert_array_equal(gamma_index(arranged(reference), arranged(evaluated), spacing), expected)


def test_volumes_one_voxel_thick_are_scored_in_their_plane():
    reference, evaluated = doses((12, 11))
    flat = gamma_index(reference, evaluated, (2.0, 1.0))
    thin = gamma_index(reference[:, None], evaluated[:, None], (2.0, 5.0, 1.0))
    np.testing.assert_array_equal(thin[:, 0], flat)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 4), st.floats(0.5, 2.5), st.floats(1.01, 100))
def test_properties(seed: int, percent: float, mm: float, factor: float):
    """Identity, unit of dose, and a wider criterion that never fails what a tighter one passed."""
    reference, evaluated = doses((6, 5, 4), seed)
    spacing, criteria = (
        (2.0, 1.0, 1.5),
        {"dose_percent": percent, "distance_mm": mm, "cutoff_percent": 0.0, "max_gamma": 1.0},
    )
    assert (gamma_index(reference, reference, spacing, **criteria) == 0).all()
    gamma = gamma_index(reference, evaluated, spacing, **criteria)
    assert (gamma >= 0).all()
    assert (gamma <= 1).all()
    # no search can do worse than staying at the voxel
    assert (gamma <= np.abs(evaluated - reference) / (percent / 100 * reference.max()) + 1e-5).all()
    np.testing.assert_allclose(gamma_index(7 * reference, 7 * evaluated, spacing, **criteria), gamma, atol=1e-4)
    looser = gamma_index(reference, evaluated, spacing, **criteria | {"dose_percent": percent * factor})
    assert (looser <= gamma + 1e-5).all()


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (GeometryError, {"evaluated": np.ones((3, 4))}),
        (GeometryError, {"spacing_mm": (1.0, 1.0)}),
        (GeometryError, {"spacing_mm": (1.0, 1.0, 0.0)}),
        (InputError, {"reference": np.full((3, 3, 3), np.nan)}),
        (InputError, {"reference": np.zeros((3, 3, 3))}),
        (InputError, {"dose_percent": 0}),
        (InputError, {"distance_mm": -1}),
        (InputError, {"max_gamma": np.inf}),
    ],
)
def test_bad_input_is_refused(error, arguments):
    good = {"reference": np.ones((3, 3, 3)), "evaluated": np.ones((3, 3, 3)), "spacing_mm": (1.0, 1.0, 1.0)}
    with pytest.raises(error):
        gamma_index(**good | arguments)


def test_nothing_scored_has_no_pass_rate():
    with pytest.raises(DataSetError, match="no voxel was scored"):
        gamma_pass_rate(np.full(3, np.nan))
