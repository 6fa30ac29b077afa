"""A bundle comes back as it was written, and nothing altered, incomplete or newer is accepted."""

from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from mr2ct.bundles import load_bundle, load_network, write_bundle
from mr2ct.errors import BundleError


def rewrite(bundle, **changes):
    """Change keys of bundle.json; a value of None removes the key."""
    path = bundle.folder / "bundle.json"
    record = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps({key: value for key, value in record.items() if value is not None}), encoding="utf-8")


def reseal(bundle, state):
    """Other tensors under a checksum that fits them."""
    save_file(state, bundle.weights_path)
    rewrite(bundle, weights_sha256=hashlib.sha256(bundle.weights_path.read_bytes()).hexdigest())


def test_round_trip(bundle, description, network):
    loaded = load_bundle(str(bundle.folder))
    filled = loaded.description
    assert filled.model_copy(update={"weights_sha256": "", "created_with": {}}) == description
    assert filled.weights_sha256 == hashlib.sha256(bundle.weights_path.read_bytes()).hexdigest()
    assert set(filled.created_with) == {"mr2ct", "torch"}
    assert loaded.card == "# tiny\n"
    names = sorted(path.name for path in bundle.folder.iterdir())
    assert names == ["MODEL_CARD.md", "bundle.json", "weights.safetensors"]
    mr = torch.rand(1, 1, 9, 7)
    again = load_network(loaded)
    assert not again.training
    assert torch.equal(again(mr), network(mr))


def test_a_bundle_that_does_not_say_whether_it_learnt_with_flips_did(bundle, tmp_path, description, network):
    rewrite(bundle, flips=None)
    assert "flips" not in json.loads((bundle.folder / "bundle.json").read_text(encoding="utf-8"))
    assert load_bundle(bundle.folder).description.flips
    without = description.model_copy(update={"flips": False})
    written = write_bundle(tmp_path / "without", state=network.state_dict(), description=without, card="")
    assert not load_bundle(written.folder).description.flips


def test_whoever_may_read_the_description_may_read_the_weights(bundle):
    modes = {path.name: path.stat().st_mode & 0o777 for path in bundle.folder.iterdir()}
    assert len(set(modes.values())) == 1, modes


def test_half_precision_weights_become_float32(tmp_path, description, network):
    state = {name: t.half() if t.is_floating_point() else t for name, t in network.state_dict().items()}
    bundle = write_bundle(tmp_path / "half", state=state, description=description, card="")
    assert load_file(bundle.weights_path)["head.weight"].dtype == torch.float16
    loaded = load_network(bundle).state_dict()
    assert loaded["head.weight"].dtype == torch.float32
    assert torch.allclose(loaded["head.weight"], network.state_dict()["head.weight"], atol=1e-3)


def test_tensors_that_share_memory_can_be_written(tmp_path, description, network):
    state = network.state_dict()
    state["down.0.body.0.bias"] = state["down.0.body.4.bias"]
    assert write_bundle(tmp_path / "tied", state=state, description=description, card="").weights_path.is_file()


def test_nothing_is_overwritten(bundle, description, network):
    with pytest.raises(BundleError, match="something already"):
        write_bundle(bundle.folder, state=network.state_dict(), description=description, card="")


def test_a_failed_write_leaves_nothing(tmp_path, description):
    with pytest.raises(AttributeError):
        write_bundle(tmp_path / "half", state={"w": "not a tensor"}, description=description, card="")
    assert list(tmp_path.iterdir()) == []


def test_an_altered_weight_is_noticed(bundle):
    raw = bytearray(bundle.weights_path.read_bytes())
    raw[-1] ^= 1
    bundle.weights_path.write_bytes(raw)
    with pytest.raises(BundleError, match=r"not the file that was published.*SHA-256"):
        load_bundle(bundle.folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "MODEL_CARD.md", "bundle.json"])
def test_a_missing_file_is_named(bundle, name):
    (bundle.folder / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle.folder)


def test_a_newer_format_asks_for_an_upgrade(bundle):
    rewrite(bundle, format_version=2, a_key_of_the_future=1)
    with pytest.raises(BundleError, match=r"newer mr2ct.*upgrade"):
        load_bundle(bundle.folder)


@pytest.mark.parametrize(
    "key",
    ["format_version", "network", "preprocessing", "hu_range", "planes", "licence", "weights_sha256", "created_with"],
)
def test_a_missing_key_is_named(bundle, key):
    rewrite(bundle, **{key: None})
    with pytest.raises(BundleError, match=key):
        load_bundle(bundle.folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"run_this": "print(1)"}, "unknown key run_this"),
        ({"format_version": 0}, "format_version"),
        ({"hu_range": [5, 5]}, "lowest HU"),
        ({"hu_range": [-1024, 60000]}, "HU of 16 bits, -32768 to 32767"),
        ({"hu_range": [-40000, 3071]}, "HU of 16 bits"),
        ({"spacing_mm": [1, 0, 1]}, "spacing_mm"),
        ({"bone_levels": [0.0, 0.1]}, "darkest bone"),
        ({"bone_levels": [0.2, 0.1]}, "darkest bone"),
        ({"planes": ["oblique"]}, "planes"),
        ({"planes": []}, "at least one plane"),
        ({"context_slices": 2}, "odd"),
        ({"context_slices": 0}, "patch_size"),
        ({"context_slices": 1, "patch_size": [16, 16, 16]}, "no patch_size"),
        ({"name": "../../etc"}, "name"),
        ({"weights_sha256": "abc"}, "weights_sha256"),
        ({"spacing_mm": [1, float("nan"), 1]}, "spacing_mm.1: .*finite"),
        ({"hu_range": [-1024, float("inf")]}, "hu_range.1: .*finite"),
        ({"preprocessing": {}}, "preprocessing: .*list of steps"),
        ({"preprocessing": {"steps": 1}}, "preprocessing: .*list of steps"),
    ],
)
def test_an_impossible_value_is_named(bundle, changes, words):
    rewrite(bundle, **changes)
    with pytest.raises(BundleError, match=words):
        load_bundle(bundle.folder)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\ufffd\x00", pytest.param("[" * 200_000, id="deep")])
def test_what_is_not_json_is_an_error(bundle, text):
    (bundle.folder / "bundle.json").write_text(text, encoding="utf-8")
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(bundle.folder)


def test_an_unknown_network_or_argument_is_an_error(bundle):
    rewrite(bundle, network={"name": "os.system", "arguments": {}})
    with pytest.raises(BundleError, match=r"os\.system"):
        load_network(load_bundle(bundle.folder))
    rewrite(bundle, network={"name": "attention_unet", "arguments": {"depths": 1}})
    with pytest.raises(BundleError, match="depths"):
        load_network(load_bundle(bundle.folder))
    rewrite(bundle, network={"name": "attention_unet", "arguments": {"widths": [2, 4], "in_channels": -1}})
    with pytest.raises(BundleError, match="cannot be built"):
        load_network(load_bundle(bundle.folder))


@pytest.mark.parametrize(
    ("name", "arguments", "changes"),
    [
        ("attention_unet", {"in_channels": 1}, {"context_slices": 3}),
        ("attention_unet", {"dims": 3}, {}),
        ("attention_unet", {"dims": 2}, {"context_slices": 0, "planes": [], "patch_size": [16, 16, 16]}),
        ("attention_unet", {"out_channels": 2}, {}),
        ("multiscale_attention", {"dilations": []}, {}),
        ("patchgan", {}, {}),
    ],
)
def test_a_network_that_does_not_turn_what_is_described_into_one_image_is_an_error(bundle, name, arguments, changes):
    widths = {} if name == "patchgan" else {"widths": [2, 4]}
    rewrite(bundle, network={"name": name, "arguments": widths | arguments}, **changes)
    with pytest.raises(BundleError, match=f"cannot be built; got network {name}: "):
        load_network(load_bundle(bundle.folder))


def test_a_card_that_is_no_text_is_an_error(bundle):
    (bundle.folder / "MODEL_CARD.md").write_bytes(b"\xff\xfe# tiny")
    with pytest.raises(BundleError, match=r"MODEL_CARD\.md cannot be read"):
        assert load_bundle(bundle.folder).card


def test_missing_unexpected_and_misshapen_tensors_are_named(bundle):
    state = load_file(bundle.weights_path)
    del state["head.bias"]
    state["head.surplus"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(1, 3, 1, 1)
    reseal(bundle, state)
    with pytest.raises(BundleError, match=r"missing, first head\.bias.*unexpected, first head\.surplus") as caught:
        load_network(load_bundle(bundle.folder))
    assert "of another shape, first head.weight" in str(caught.value)


def test_a_pickle_is_never_opened(bundle, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    bundle.weights_path.write_bytes(pickle.dumps(Trap()))
    rewrite(bundle, weights_sha256=hashlib.sha256(bundle.weights_path.read_bytes()).hexdigest())
    with pytest.raises(BundleError, match="cannot be read"):
        load_network(load_bundle(bundle.folder))
    assert not (tmp_path / "sprung").exists()


def test_a_bundle_of_before_has_no_evaluation_and_no_provenance(bundle):
    path = bundle.folder / "bundle.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    older = {key: value for key, value in record.items() if key not in ("evaluation", "provenance")}
    path.write_text(json.dumps(older), encoding="utf-8")
    loaded = load_bundle(bundle.folder).description
    assert loaded.evaluation is None
    assert loaded.provenance is None
