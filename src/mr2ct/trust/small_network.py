"""A network of two small layers in NumPy: features of a voxel in, probabilities of its HU bins out.

Small enough to be stored as numbers in `bundle.json` and to be run without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import BundleError

Float32 = NDArray[np.float32]

_FARTHEST = 4.0
"""Standard deviations at which a feature stops counting more: nothing is known of what lies beyond."""


@dataclass(frozen=True)
class SmallNetwork:
    """Standardised features, layers with rectifiers between, and a softmax.

    Parameters
    ----------
    mean, scale : (features,), of the training voxels.
    weights, offsets : of each layer, (inputs, outputs) and (outputs,).

    Example
    -------
    >>> net = SmallNetwork(np.zeros(1, np.float32), np.ones(1, np.float32), (np.zeros((1, 2), np.float32),),
    ...                    (np.zeros(2, np.float32),))
    >>> net.probabilities(np.ones((1, 1), np.float32)).tolist()
    [[0.5, 0.5]]
    """

    mean: Float32
    scale: Float32
    weights: tuple[Float32, ...]
    offsets: tuple[Float32, ...]

    def probabilities(self, features: Float32) -> Float32:
        """(voxels, features) to (voxels, outputs), rows that sum to 1."""
        return _softmax(_activations(self, features)[-1])

    def to_record(self) -> dict[str, Any]:
        """JSON values; a row of numbers is one string, or bundle.json would have a line for each."""
        return {
            "mean": _words(self.mean),
            "scale": _words(self.scale),
            "weights": [[_words(row) for row in layer] for layer in self.weights],
            "offsets": [_words(layer) for layer in self.offsets],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> SmallNetwork:
        """The network of `to_record`'s values. Raises BundleError where they do not fit each other."""
        try:
            network = cls(
                _numbers(record["mean"]),
                _numbers(record["scale"]),
                tuple(np.stack([_numbers(row) for row in layer]) for layer in record["weights"]),
                tuple(_numbers(layer) for layer in record["offsets"]),
            )
            network.probabilities(np.zeros((1, len(network.mean)), np.float32))
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            raise BundleError(
                "the calibration's network cannot be read", got=error, remedy="calibrate again"
            ) from error
        return network


def fit_network(
    features: Float32,
    targets: NDArray[np.intp],
    *,
    hidden: Sequence[int] = (32, 32),
    outputs: int,
    steps: int = 4000,
    seed: int = 0,
) -> SmallNetwork:
    """Fit the probabilities of classes by cross-entropy with Adam (Kingma 2015, arXiv:1412.6980), cosine-annealed.

    Parameters
    ----------
    features : (voxels, features). targets : (voxels,), below `outputs`.

    Example
    -------
    >>> x = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    >>> net = fit_network(x, (x[:, 0] > 0).astype(np.intp), hidden=(4,), outputs=2, steps=200)
    >>> bool(net.probabilities(np.float32([[0.9]]))[0, 1] > 0.8)
    True
    """
    rng = np.random.default_rng(seed)
    mean, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-3)
    sizes = (features.shape[1], *hidden, outputs)
    network = SmallNetwork(
        mean,
        scale,
        tuple(rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32) for a, b in pairwise(sizes)),
        tuple(np.zeros(b, np.float32) for b in sizes[1:]),
    )
    parameters = [*network.weights, *network.offsets]
    first, second = [np.zeros_like(p) for p in parameters], [np.zeros_like(p) for p in parameters]
    for step in range(1, steps + 1):
        batch = rng.integers(0, len(features), min(2048, len(features)))
        rate = 3e-3 * 0.5 * (1 + np.cos(np.pi * step / steps))
        for n, gradient in enumerate(_gradients(network, features[batch], targets[batch])):
            first[n] += 0.1 * (gradient - first[n])
            second[n] += 0.001 * (gradient**2 - second[n])
            size = np.sqrt(second[n] / (1 - 0.999**step)) + 1e-8
            parameters[n] -= (rate * (first[n] / (1 - 0.9**step)) / size).astype(np.float32)
    return network


def _activations(network: SmallNetwork, features: Float32) -> list[Float32]:
    """The standardised input, then each layer's output; the last without a rectifier."""
    standard = np.clip((features - network.mean) / network.scale, -_FARTHEST, _FARTHEST)
    found = [standard.astype(np.float32)]
    last = len(network.weights) - 1
    for layer, (weights, offsets) in enumerate(zip(network.weights, network.offsets, strict=True)):
        output = found[-1] @ weights + offsets
        found.append(output if layer == last else np.maximum(output, 0))
    return found


def _gradients(network: SmallNetwork, features: Float32, targets: NDArray[np.intp]) -> list[Float32]:
    """Of the mean cross-entropy: to the weights of every layer, then to the offsets."""
    activations = _activations(network, features)
    back = _softmax(activations[-1])
    back[np.arange(len(targets)), targets] -= 1
    back /= len(targets)
    of_weights: list[Float32] = []
    of_offsets: list[Float32] = []
    for layer in range(len(network.weights) - 1, -1, -1):
        of_weights.insert(0, activations[layer].T @ back)
        of_offsets.insert(0, back.sum(axis=0))
        if layer:
            back = (back @ network.weights[layer].T) * (activations[layer] > 0)
    return [*of_weights, *of_offsets]


def _softmax(logits: Float32) -> Float32:
    grown = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=1, keepdims=True), dtype=np.float32)


def _words(row: Float32) -> str:
    return " ".join(f"{value:.5g}" for value in row)


def _numbers(row: str) -> Float32:
    return np.array(row.split(), dtype=np.float32)
