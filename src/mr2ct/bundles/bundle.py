"""A bundle is a folder: `weights.safetensors`, `bundle.json`, `MODEL_CARD.md`. Reading one executes nothing from it.

Weights are safetensors (https://huggingface.co/docs/safetensors), never pickle; the rest is JSON and text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import mr2ct
from mr2ct.bundles.description import BundleDescription, parse_description
from mr2ct.errors import BundleError, Mr2ctError
from mr2ct.io.atomic import atomic_folder
from mr2ct.io.checksum import sha256

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE, DESCRIPTION_FILE, CARD_FILE = "weights.safetensors", "bundle.json", "MODEL_CARD.md"

_PROBE_VOXELS = 32


@dataclass(frozen=True)
class Bundle:
    """A model on disk whose files were found complete and unaltered.

    Example
    -------
    >>> from mr2ct.bundles import load_bundle
    >>> load_bundle("my-model").description.planes  # doctest: +SKIP
    ('axial', 'coronal', 'sagittal')
    """

    description: BundleDescription
    folder: Path

    @property
    def weights_path(self) -> Path:
        """The safetensors file."""
        return self.folder / WEIGHTS_FILE

    @property
    def card(self) -> str:
        """The model card, Markdown. Raises BundleError where it is no text."""
        return read_card(self.folder)


def load_bundle(folder: Path | str) -> Bundle:
    """Read and verify the bundle in `folder`: its files, format version, keys, and the SHA-256 of its weights.

    Raises
    ------
    BundleError : no such folder, a missing file, unreadable JSON, a newer format, a wrong key, a wrong checksum.

    Example
    -------
    >>> load_bundle("no/such/model") # doctest: +ELLIPSIS
    Traceback (most recent call last):
    mr2ct.errors.BundleError: no model bundle there; got no/such/model; ...
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BundleError("no model bundle there", got=folder, expected=f"a folder with {DESCRIPTION_FILE}")
    description = read_description(folder)
    absent = [name for name in (WEIGHTS_FILE, CARD_FILE) if not (folder / name).is_file()]
    if absent:
        raise BundleError(
            f"the model in {folder} is incomplete",
            got=f"no {' and no '.join(absent)}",
            expected=f"{WEIGHTS_FILE}, {DESCRIPTION_FILE}, {CARD_FILE}",
            remedy="copy the whole folder again",
        )
    _require_checksum(folder / WEIGHTS_FILE, description.weights_sha256)
    return Bundle(description, folder)


def read_description(folder: Path) -> BundleDescription:
    """Read `bundle.json` in `folder` without looking at the weights. Raises BundleError where it is no good."""
    path = folder / DESCRIPTION_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError("not a model bundle", got=f"no {path}", expected=f"{DESCRIPTION_FILE} in it") from error
    except (ValueError, OSError, RecursionError) as error:
        raise BundleError(f"{path} cannot be read", got=error, expected="JSON", remedy="copy it again") from error
    return parse_description(record, source=str(path))


def read_card(folder: Path) -> str:
    """Read `MODEL_CARD.md` in `folder`. Raises BundleError where it is no text."""
    path = folder / CARD_FILE
    try:
        return path.read_text(encoding="utf-8")
    except (ValueError, OSError) as error:
        raise BundleError(f"{path} cannot be read", got=error, expected="UTF-8", remedy="copy it again") from error


def write_bundle(
    folder: Path | str, *, state: Mapping[str, torch.Tensor], description: BundleDescription, card: str
) -> Bundle:
    """Write a bundle whole or not at all, and return it; the checksum and the versions are filled in here.

    Parameters
    ----------
    folder : must not exist yet, or be empty.
    state : the network's `state_dict()`; float tensors may be half precision. card : Markdown.

    Raises
    ------
    BundleError : something is already there.

    Example
    -------
    >>> write_bundle("my-model", state=net.state_dict(), description=d, card=c)  # doctest: +SKIP
    """
    import torch
    from safetensors.torch import save

    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BundleError("there is something already", got=folder, expected="a new folder", remedy="another name")
    with atomic_folder(folder) as unfinished:
        weights = unfinished / WEIGHTS_FILE
        # not save_file, which lets nobody but the owner read
        weights.write_bytes(save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}))
        versions = {"mr2ct": mr2ct.__version__, "torch": str(torch.__version__)}
        filled = description.model_copy(
            update={"weights_sha256": sha256(weights), "created_with": {**versions, **description.created_with}}
        )
        (unfinished / DESCRIPTION_FILE).write_text(filled.model_dump_json(indent=1) + "\n", encoding="utf-8")
        (unfinished / CARD_FILE).write_text(card, encoding="utf-8")
    return load_bundle(folder)


def load_network(bundle: Bundle) -> torch.nn.Module:
    """Build the bundle's network, load its weights as float32, and return it in evaluation mode on the CPU.

    Raises
    ------
    BundleError : a network or arguments this mr2ct does not know, missing or unexpected tensors, other shapes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from mr2ct.models import REGISTRY, build_network

    wanted = bundle.description.network
    try:
        network = build_network(wanted.name, dict(wanted.arguments), among=REGISTRY).eval()
        _require_image_to_image(network, bundle.description)
    except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError, Mr2ctError) as error:
        raise BundleError(
            f"the model {bundle.description.name} cannot be built", got=f"network {wanted.name}: {error}"
        ) from error
    try:
        state = load_file(bundle.weights_path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{bundle.weights_path} cannot be read", got=error, expected="a safetensors file") from error
    _require_same_tensors(state, network.state_dict(), name=bundle.description.name)
    network.load_state_dict(state)
    return network


def _require_image_to_image(network: torch.nn.Module, description: BundleDescription) -> None:
    """ValueError, or what torch raises, unless the network answers what is described by one image of the same size."""
    import torch

    size = (_PROBE_VOXELS,) * description.dimensions
    channels = max(description.context_slices, 1)
    with torch.inference_mode():
        answer = network(torch.zeros(1, channels, *size))
    if answer.shape != (1, 1, *size):
        raise ValueError(f"{channels} channels of size {size} became {tuple(answer.shape)}")


def _require_same_tensors(
    stored: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], *, name: str
) -> None:
    other_shape = [k for k in expected.keys() & stored.keys() if expected[k].shape != stored[k].shape]
    differing = {
        "missing": sorted(expected.keys() - stored.keys()),
        "unexpected": sorted(stored.keys() - expected.keys()),
        "of another shape": sorted(other_shape),
    }
    words = [f"{len(keys)} tensors {how}, first {keys[0]}" for how, keys in differing.items() if keys]
    if words:
        raise BundleError(
            f"the weights of {name} do not fit its network", got="; ".join(words), expected="the tensors of the network"
        )


def _require_checksum(path: Path, expected: str) -> None:
    found = sha256(path)
    if found != expected:
        raise BundleError(
            f"{path} is not the file that was published",
            got=f"SHA-256 {found}",
            expected=expected,
            remedy="copy the bundle again; do not use altered weights",
        )
