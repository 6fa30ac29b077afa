"""Names and paths become bundles; what ships is whole."""

from __future__ import annotations

import shutil

import pytest

from mr2ct.bundles import DEFAULT_MODEL, find_bundle, load_network, shipped, zoo
from mr2ct.errors import BundleError


@pytest.fixture
def own_zoo(bundle, tmp_path, monkeypatch):
    folder = tmp_path / "zoo"
    for name in ("brain-one", "brain-two"):
        shutil.copytree(bundle.folder, folder / name)
    (folder / "half-copied").mkdir()
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", folder)
    return folder


def test_names_are_those_with_a_description(own_zoo):
    assert shipped() == ("brain-one", "brain-two")
    assert shipped(own_zoo) == ("brain-one", "brain-two")


def test_a_name_and_a_path_are_found(own_zoo, bundle):
    assert find_bundle("brain-one").folder == own_zoo / "brain-one"
    assert find_bundle(bundle.folder).folder == bundle.folder


def test_an_unknown_name_gets_the_nearest(own_zoo):
    with pytest.raises(BundleError, match="did you mean brain-two"):
        find_bundle("brain-too")
    with pytest.raises(BundleError, match="mr2ct models"):
        find_bundle("zzz")


def test_an_installation_without_models_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "SHIPPED_FOLDER", tmp_path)
    assert shipped() == ()
    with pytest.raises(BundleError, match="no shipped models"):
        find_bundle(DEFAULT_MODEL)


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_model_is_whole_small_and_licensed(name):
    bundle = find_bundle(name)
    assert bundle.description.name == name
    assert bundle.weights_path.stat().st_size < 15e6
    assert bundle.description.licence
    assert bundle.description.licence in bundle.card
    load_network(bundle)
