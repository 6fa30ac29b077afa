"""What a conversion finds in files, folders and trees, and where each sCT goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from mr2ct.errors import InputError
from mr2ct.inference.worklist import WorkItem, worklist

DICOM = b"\0" * 128 + b"DICM"


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "study"
    for name in (
        "p1/mr.nii.gz",
        "p1/ct.nii.gz",
        "p1/mask.nii.gz",
        "p1/mr_sct.nii.gz",
        "p1/.mr2ct-tmp-1-mr.nii.gz",
        "p2/t1.mha",
        "p2/t2.NRRD",
        "p2/notes.txt",
        "p2/t1_preview.png",
        "slices/1.png",
        "slices/2.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"?")
    for name in ("p3/t1/0001.dcm", "p3/t1/0002.dcm", "p3/t2/IM0001", "DICOMDIR"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(DICOM)
    return root


def outputs(items, out):
    return {str(item.output.relative_to(out)) for item in items}


def test_a_tree_is_mirrored(tree, tmp_path):
    out = tmp_path / "out"
    items = worklist([tree], out)
    assert outputs(items, out) == {
        "p1/mr_sct.nii.gz",
        "p2/t1_sct.nii.gz",
        "p2/t2_sct.nii.gz",
        "p3/t1_sct.nii.gz",
        "p3/t2_sct.nii.gz",
    }
    assert {item.source.name for item in items if item.source.is_dir()} == {"t1", "t2"}
    assert items == worklist([tree], out)


def test_structure_sets_plans_doses_and_reports_beside_the_images_are_left_out(tmp_path):
    size = {"Rows": 4, "Columns": 4}
    for name, modality, more in (
        ("MR", "MR", size),
        ("RTSTRUCT", "RTSTRUCT", {}),
        ("RTPLAN", "RTPLAN", {}),
        ("RTDOSE", "RTDOSE", size),
        ("SR", "SR", {}),
    ):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        for keyword, value in {"Modality": modality, **more}.items():
            setattr(file, keyword, value)
        (tmp_path / "study" / name).mkdir(parents=True)
        file.save_as(tmp_path / "study" / name / "1.dcm")
    found = worklist([tmp_path / "study"], tmp_path / "out")
    assert [item.source.name for item in found] == ["MR"]
    # named by the user, it is tried, and the error says what it is
    assert [item.source.name for item in worklist([tmp_path / "study" / "SR"], tmp_path / "out")] == ["SR"]


def test_folders_that_are_links_are_converted_too(tree, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("p1", "p3"):
        (linked / name).symlink_to(tree / name)
    out = tmp_path / "out"
    assert outputs(worklist([linked], out), out) == {"p1/mr_sct.nii.gz", "p3/t1_sct.nii.gz", "p3/t2_sct.nii.gz"}


def test_the_output_folder_inside_the_tree_is_not_an_input(tree):
    inside = tree / "made"
    (inside / "p9").mkdir(parents=True)
    (inside / "p9" / "other.nii.gz").write_bytes(b"?")
    assert not any("made" in str(item.source) for item in worklist([tree], inside))


def test_files_and_series_named_by_hand_are_taken_as_they_are(tree):
    out = Path("o")
    given = [tree / "p1/ct.nii.gz", tree / "p3/t1", tree / "nowhere.mha", tree / "p3/t2/IM0001"]
    assert [item.output for item in worklist(given, out)] == [
        out / "ct_sct.nii.gz",
        out / "t1_sct.nii.gz",
        out / "nowhere_sct.nii.gz",
        out / "IM0001_sct.nii.gz",
    ]


def test_pictures_in_a_tree_count_once_their_spacing_is_known(tree):
    assert not any(item.source.name == "slices" for item in worklist([tree], Path("o")))
    found = [item for item in worklist([tree], Path("o"), pictures=True) if item.source.name == "slices"]
    assert [item.output for item in found] == [Path("o/slices_sct.nii.gz")]
    assert [item.source for item in worklist([tree / "slices"], Path("o"))] == [tree / "slices"]


def test_a_folder_with_nothing_in_it_is_left_for_the_reader_to_refuse(tmp_path):
    assert [item.source for item in worklist([tmp_path], Path("o"))] == [tmp_path]


def test_an_input_given_twice_is_converted_once(tree):
    file = tree / "p1/mr.nii.gz"
    assert len(worklist([file, tree / "p2" / ".." / "p1" / "mr.nii.gz"], Path("o"))) == 1


def test_two_inputs_for_one_output_are_refused(tree, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mr.mha").write_bytes(b"?")
    with pytest.raises(InputError, match=r"2 inputs would all become.*mr_sct"):
        worklist([tree / "p1/mr.nii.gz", tmp_path / "other" / "mr.mha"], Path("o"))


@pytest.mark.parametrize(("output_format", "name"), [("mha", "mr_sct.mha"), ("nrrd", "mr_sct.nrrd"), ("png", "mr_sct")])
def test_formats(output_format, name):
    (item,) = worklist([Path("mr.nii")], Path("o"), output_format=output_format)
    assert item.output.name == name
    assert item.preview.name == "mr_preview.png"


def test_an_unknown_format_is_an_error():
    with pytest.raises(InputError, match="jpeg"):
        worklist([Path("mr.nii")], Path("o"), output_format="jpeg")


def test_done_means_the_output_is_there(tmp_path):
    item = WorkItem(Path("mr.nii"), tmp_path / "mr_sct.nii.gz")
    assert not item.is_done
    item.output.write_bytes(b"")
    assert item.is_done
