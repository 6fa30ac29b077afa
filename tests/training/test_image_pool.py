"""The pool of past images: its statistics, and that it goes on exactly where it was."""

from __future__ import annotations

import copy

import pytest
import torch

from mr2ct.training.image_pool import ImagePool


def numbered(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def test_until_it_is_full_images_pass_through():
    pool = ImagePool(size=4, seed=0)
    for start in (0, 2):
        assert torch.equal(pool.swap(numbered(start, start + 1)), numbered(start, start + 1))


def test_a_pool_of_none_passes_everything_through():
    pool = ImagePool(size=0, seed=0)
    for n in range(5):
        assert torch.equal(pool.swap(numbered(n)), numbered(n))


def test_once_full_half_of_the_images_are_old_ones():
    pool, old = ImagePool(size=10, seed=1), 0
    pool.swap(numbered(*range(10)))
    for n in range(10, 1010):
        (shown,) = pool.swap(numbered(n)).unbind()
        old += int(shown[0, 0, 0]) != n
    assert 440 < old < 560


def test_no_image_is_lost_or_shown_twice_from_the_pool():
    pool = ImagePool(size=3, seed=2)
    shown = [int(pool.swap(numbered(n))[0, 0, 0, 0]) for n in range(200)]
    of_the_pool = [n for step, n in enumerate(shown) if n != step]
    assert len(set(of_the_pool)) == len(of_the_pool)
    assert all(n < step for step, n in enumerate(shown) if n != step)


def test_images_are_detached_copies():
    pool = ImagePool(size=2, seed=0)
    image = numbered(1).requires_grad_(True)
    assert not pool.swap(image).requires_grad
    with torch.no_grad():
        image.mul_(5)
    assert float(pool.state_dict()["images"][0].max()) == 1


def test_a_loaded_pool_goes_on_as_the_first_would_have():
    pool, other = ImagePool(size=3, seed=5), ImagePool(size=3, seed=6)
    for n in range(8):
        pool.swap(numbered(n))
    other.load_state_dict(copy.deepcopy(pool.state_dict()))
    for n in range(8, 30):
        assert torch.equal(pool.swap(numbered(n)), other.swap(numbered(n)))


def test_the_seed_decides():
    def shown(seed: int) -> list[float]:
        pool = ImagePool(size=2, seed=seed)
        return [float(pool.swap(numbered(n)).mean()) for n in range(20)]

    assert shown(1) == shown(1)
    assert shown(1) != shown(2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_old_images_come_back_as_the_new_ones_are(dtype):
    pool = ImagePool(size=2, seed=0)
    pool.load_state_dict({**pool.state_dict(), "images": [numbered(1)[0].to(dtype), numbered(2)[0].to(dtype)]})
    shown = [pool.swap(numbered(n)) for n in range(3, 33)]
    assert {image.dtype for image in shown} == {torch.float32}
    assert {1.0, 2.0} <= {float(image[0, 0, 0, 0]) for image in shown}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_pool_loaded_onto_the_cpu_serves_a_gpu():
    pool = ImagePool(size=2, seed=0)
    pool.load_state_dict({**pool.state_dict(), "images": [numbered(1)[0], numbered(2)[0]]})
    assert all(pool.swap(numbered(n).cuda()).is_cuda for n in range(10))


def test_images_of_another_size_are_forgotten():
    pool = ImagePool(size=2, seed=0)
    pool.swap(numbered(0, 1))
    larger = torch.ones(2, 1, 3, 3)
    assert all(torch.equal(pool.swap(larger), larger) for _ in range(4))
