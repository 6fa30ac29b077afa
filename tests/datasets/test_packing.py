"""Packed stores: what goes in comes out bit for bit, in parts that stay small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mr2ct.datasets.packing import pack_store, packed_cases, packed_parts, slices_of, unpack_store, whole_cases
from mr2ct.datasets.sampling import SLICE_OF
from mr2ct.datasets.store import CaseInfo, CaseStore, StoredCase, create_store, write_case
from mr2ct.errors import DataSetError
from mr2ct.geometry import PLANE_AXIS

SETTINGS = {"pipeline": {"steps": [{"name": "to_canonical"}]}}


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    """A volume of many values, a slice of few with a negative zero, one with MR alone, one with CT alone."""
    root = tmp_path / "store"
    create_store(root, settings=SETTINGS)
    rng = np.random.default_rng(1)
    for case, shape, has in (
        ("volume", (24, 22, 20), "mr ct"),
        ("slice", (12, 1, 14), "mr ct"),
        ("mr only", (6, 7, 1), "mr"),
        ("ct only", (6, 7, 8), "ct"),
    ):
        affine = np.diag([1.0, 2.0, 3.0, 1.0])
        affine[:3, 3] = 7
        mr = rng.normal(size=shape) if case == "volume" else rng.integers(0, 9, shape) / 4
        mr.flat[0] = -0.0
        inside = np.zeros(shape, bool)
        inside[tuple(slice(n // 4, n - n // 4) for n in shape)] = True
        info = CaseInfo(case, f"patient of {case}", "B", "real", shape, affine.tolist(), {"steps": [1.5]})
        ct = rng.integers(-1024, 3071, shape)
        write_case(root, info=info, mr=mr if "mr" in has else None, ct=ct if "ct" in has else None, mask=inside)
    return CaseStore.open(root)


def contents(case: StoredCase) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in case.folder.iterdir()}


@pytest.mark.parametrize("part_bytes", [1000, 10**7])
def test_a_store_comes_out_bit_for_bit(store, tmp_path, part_bytes):
    parts = pack_store(
        store.root, tmp_path / "packed", cases=whole_cases(store.cases), split="{}", part_bytes=part_bytes
    )
    assert (len(parts) > 1) == (part_bytes == 1000)
    assert packed_parts(tmp_path / "packed") == parts
    assert packed_cases(tmp_path / "packed") == {case.info.case for case in store.cases}
    assert unpack_store(tmp_path / "packed", tmp_path / "back") == 4
    back = CaseStore.open(tmp_path / "back")
    assert back.settings == SETTINGS
    assert [contents(case) for case in back.cases] == [contents(case) for case in store.cases]
    assert (tmp_path / "back" / "split.json").read_text() == "{}"
    # to unpack again changes nothing, and what is missing is added
    assert unpack_store(tmp_path / "packed", tmp_path / "back") == 4


@pytest.mark.parametrize("name", ["tiny", "tiny[1]"])
def test_a_name_that_begins_alike_is_another_store(store, tmp_path, name):
    (other,) = pack_store(store.root, tmp_path / f"{name}.v2", cases=whole_cases(store.cases[:1]))
    old = pack_store(store.root, tmp_path / name, cases=whole_cases(store.cases), part_bytes=1000)
    (own,) = pack_store(store.root, tmp_path / name, cases=whole_cases(store.cases))
    assert packed_parts(tmp_path / name) == [own]
    assert packed_parts(tmp_path / f"{name}.v2") == [other]
    assert not any(part.exists() for part in old)
    assert unpack_store(tmp_path / name, tmp_path / "back") == 4


def test_of_no_store_nothing_is_packed(tmp_path):
    assert packed_parts(tmp_path / "nowhere" / "tiny") == []
    assert packed_cases(tmp_path / "nowhere" / "tiny") == set()


def test_slices_of_a_volume_are_its_slices(store, tmp_path):
    volume = next(case for case in store.cases if case.info.case == "volume")
    cut = list(slices_of([volume], count=3, planes=tuple(PLANE_AXIS), seed=0))
    assert len(cut) == 9
    for case in cut:
        plane, at = case.info.case.removeprefix("volume-").rstrip("0123456789"), 0
        axis = PLANE_AXIS[plane]
        at = int(case.info.case.removeprefix(f"volume-{plane}"))
        assert case.info.record == {"steps": [1.5], SLICE_OF: "volume"}
        assert case.info.shape[axis] == 1
        for name, image in case.images.items():
            expected = np.take(getattr(volume, name)(), [at], axis)
            assert image.dtype == expected.dtype
            assert np.array_equal(image, expected)
        assert case.images["mask"].any()
        voxel = [3, 4, 5]
        voxel[axis] = 0
        inside_volume = [at if other == axis else n for other, n in enumerate(voxel)]
        there, here = np.array(volume.info.affine), np.array(case.info.affine)
        np.testing.assert_allclose(here @ [*voxel, 1], there @ [*inside_volume, 1])
    pack_store(store.root, tmp_path / "packed", cases=cut)
    assert unpack_store(tmp_path / "packed", tmp_path / "back") == 9


def test_single_slices_are_not_cut(store):
    flat = next(case for case in store.cases if case.info.case == "slice")
    (case,) = slices_of([flat], count=3, planes=tuple(PLANE_AXIS), seed=0)
    assert case.info == flat.info


def test_a_missing_part_is_named(store, tmp_path):
    parts = pack_store(store.root, tmp_path / "packed", cases=whole_cases(store.cases), part_bytes=1000)
    parts[0].unlink()
    with pytest.raises(DataSetError, match="incomplete"):
        unpack_store(tmp_path / "packed", tmp_path / "back")


# of a part without its last bytes, a case inside it is taken for the whole
@pytest.mark.parametrize(("left", "said"), [(100, "cannot be read.*bring it again"), (-500, "is no packed store")])
@pytest.mark.parametrize("read", [packed_cases, lambda stem: unpack_store(stem, stem.with_name("back"))])
def test_a_part_that_was_cut_off_is_named(store, tmp_path, read, left, said):
    (part,) = pack_store(store.root, tmp_path / "packed", cases=whole_cases(store.cases))
    part.write_bytes(part.read_bytes()[:left])
    with pytest.raises(DataSetError, match=f"packed.1of1.npz {said}"):
        read(tmp_path / "packed")


def test_nothing_to_pack_is_an_error(store, tmp_path):
    with pytest.raises(DataSetError, match="nothing to pack"):
        pack_store(store.root, tmp_path / "packed", cases=[])
