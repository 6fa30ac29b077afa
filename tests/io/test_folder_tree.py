from __future__ import annotations

from pathlib import Path

from mr2ct.io.folder_tree import files_below, walk


def test_links_are_followed_and_those_that_lead_back_are_not(tmp_path: Path):
    lake, tree = tmp_path / "lake", tmp_path / "tree"
    for name in ("one", "two"):
        (lake / name).mkdir(parents=True)
        (lake / name / "mr.nii.gz").touch()
    (tree / "plain").mkdir(parents=True)
    (tree / "b").symlink_to(lake / "one")
    (tree / "a").symlink_to(lake / "two")
    (tree / "again").symlink_to(lake / "one")
    # to above itself at once, and by way of each other
    (tree / "plain" / "up").symlink_to(tree)
    (lake / "one" / "to two").symlink_to(lake / "two")
    (lake / "two" / "to one").symlink_to(lake / "one")
    found = [str(path.relative_to(tree)) for path in files_below(tree)]
    assert found == [
        "a/mr.nii.gz",
        "a/to one/mr.nii.gz",
        "again/mr.nii.gz",
        "again/to two/mr.nii.gz",
        "b/mr.nii.gz",
        "b/to two/mr.nii.gz",
    ]


def test_folders_come_in_order_and_may_be_left_out(tmp_path: Path):
    for name in ("b/deep", "a", "c"):
        (tmp_path / name).mkdir(parents=True)
    seen = []
    for folder, subfolders, _ in walk(tmp_path):
        subfolders[:] = [name for name in subfolders if name != "b"]
        seen.append(folder.name)
    assert seen == [tmp_path.name, "a", "c"]
