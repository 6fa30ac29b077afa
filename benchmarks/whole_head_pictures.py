"""Pictures of whole heads for docs/reference/whole-heads.md, from the conversions of volume_quality.py.

    python benchmarks/whole_head_pictures.py [--model NAME|PATH ...] [--cache FOLDER] [--out docs/images]

whole-head-real.png: MR and sCT of the real head at five positions in each plane. whole-head-phantom.png: MR, sCT and
true CT of a phantom. whole-head-bone.png: the bone surface of both from four sides. whole-head-planes.png: what each
plane alone makes of the real head where its slices graze the skull.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from volume_quality import print_header
from whole_heads import REAL, WholeHead, head_names, whole_head

from mr2ct.bundles import DEFAULT_MODEL
from mr2ct.evaluation.bone_surface import Camera, bone_surface
from mr2ct.geometry import PLANE_AXIS
from mr2ct.io.atomic import atomic_file

PHANTOM = "p2-t1-spin-echo"
HU_WINDOW = (-1000.0, 1600.0)
_PAGE, _GAP, _INK = 16, 4, 235
_VIEWS = {"front": (0.0, 5.0), "left": (90.0, 5.0), "behind": (155.0, 25.0), "above": (0.0, 75.0)}
_POSITIONS = {"axial": (12, 35, 65, 95, 125), "coronal": (20, 55, 90, 125, 155), "sagittal": (25, 45, 72, 100, 125)}
"""mm below the vertex, behind the front and to the right of the left side of the head's outline."""

_LARGEST_BYTES = 390_000

Picture = NDArray[np.uint8]


def main() -> None:
    arguments = _parser().parse_args()
    models = tuple(arguments.model)
    print_header(models)
    phantom = whole_head(PHANTOM, models, arguments.cache)
    pictures = {"phantom": slices_page(phantom)}
    surfaces = {"phantom, true CT": phantom.ct_hu, "phantom, sCT": phantom.fused_hu}
    heads = dict.fromkeys(surfaces, phantom)
    if REAL in head_names():
        real = whole_head(REAL, models, arguments.cache)
        pictures |= {"real": slices_page(real), "planes": planes_page(real)}
        surfaces["real head, sCT"] = real.fused_hu
        heads["real head, sCT"] = real
    pictures["bone"] = bone_page({name: (heads[name], hu) for name, hu in surfaces.items()})
    for name, picture in pictures.items():
        path = arguments.out / f"whole-head-{name}.png"
        _write(path, picture)
        print(f"{path}  {path.stat().st_size / 1000:.0f} kB")


def slices_page(head: WholeHead) -> Picture:
    """A row a plane and image (MR, sCT, true CT), five positions a row."""
    images = {"MR": mr_grey(head), "sCT": hu_grey(head.fused_hu)}
    if head.ct_hu is not None:
        images["true CT"] = hu_grey(head.ct_hu)
    return _stack(
        [
            _labelled(f"{plane}, {name}", _side_by_side([cut(image, head, plane, mm) for mm in positions]))
            for plane, positions in _POSITIONS.items()
            for name, image in images.items()
        ]
    )


def planes_page(head: WholeHead) -> Picture:
    """Grazing slices: near the vertex, the forehead and the left side; MR, each plane alone, fused."""
    images = {"MR": mr_grey(head)}
    images |= {f"from {plane}": hu_grey(hu) for plane, hu in head.by_plane_hu.items()}
    images["fused"] = hu_grey(head.fused_hu)
    places = [("axial", 10), ("axial", 20), ("coronal", 18), ("sagittal", 22), ("axial", 125), ("sagittal", 72)]
    columns = [
        _stack([_labelled(name if n == 0 else "", cut(image, head, *place)) for n, place in enumerate(places)])
        for name, image in images.items()
    ]
    return _side_by_side(columns)


def bone_page(surfaces: dict[str, tuple[WholeHead, NDArray[np.generic]]]) -> Picture:
    """A row an image, a column a view."""
    rows = []
    for name, (head, hu) in surfaces.items():
        box = _upper_box(head)
        inside = np.where(head.mask, hu, -1024)[box]
        views = [
            bone_surface(inside, head.spacing_mm, camera=Camera(*angles, pixel_mm=0.9)) for angles in _VIEWS.values()
        ]
        shown = [np.where(np.isnan(view), _PAGE, 30 + 225 * np.nan_to_num(view)).astype(np.uint8) for view in views]
        rows.append(_labelled(name, _side_by_side([_trimmed(view) for view in shown])))
    return _stack(rows)


def cut(image: Picture, head: WholeHead, plane: str, mm: int) -> Picture:
    """One slice, `mm` from the head's outline, as a radiologist sees it: the patient's left on the right."""
    axis = PLANE_AXIS[plane]
    box = _upper_box(head)
    first, last = box[axis].start, box[axis].stop - 1
    index = first + mm if plane == "sagittal" else last - mm
    flat = np.take(image, int(np.clip(index, first, last)), axis)
    rows = [side for n, side in enumerate(box) if n != axis]
    turned = np.rot90(flat[rows[0], rows[1]])
    return np.asarray(turned if plane == "sagittal" else turned[:, ::-1])


def mr_grey(head: WholeHead) -> Picture:
    low, high = np.percentile(head.mr[head.mask], (0.5, 99.5))
    return np.clip((head.mr - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)


def hu_grey(hu: NDArray[np.generic]) -> Picture:
    low, high = HU_WINDOW
    return np.clip((hu.astype(np.float32) - low) / (high - low) * 255, 0, 255).astype(np.uint8)


def _upper_box(head: WholeHead) -> tuple[slice, slice, slice]:
    """The outline's box, in the upper 170 mm."""
    vertex = np.flatnonzero(head.mask.any(axis=(0, 1)))[-1]
    lowest = max(0, int(vertex - 170 / head.spacing_mm[2]))
    box = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        along = np.flatnonzero(head.mask[:, :, lowest:].any(axis=others)) + (lowest if axis == 2 else 0)
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return box[0], box[1], box[2]


def _trimmed(picture: Picture) -> Picture:
    rows, columns = np.nonzero(picture > _PAGE)
    return picture[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def _side_by_side(pictures: list[Picture]) -> Picture:
    height = max(len(p) for p in pictures)
    padded = [np.pad(p, ((0, height - len(p)), (0, _GAP)), constant_values=_PAGE) for p in pictures]
    return np.concatenate(padded, axis=1)


def _stack(pictures: list[Picture]) -> Picture:
    width = max(p.shape[1] for p in pictures)
    return np.concatenate(
        [np.pad(p, ((0, _GAP), (0, width - p.shape[1])), constant_values=_PAGE) for p in pictures], axis=0
    )


def _labelled(words: str, picture: Picture) -> Picture:
    """The picture with its name above it."""
    if not words:
        return picture
    from PIL import Image, ImageDraw

    strip = Image.new("L", (picture.shape[1], 14), _PAGE)
    ImageDraw.Draw(strip).text((2, 1), words, fill=_INK)
    return np.concatenate([np.asarray(strip), picture], axis=0)


def _write(path: Path, picture: Picture) -> None:
    """As a PNG of 48 greys, made smaller by tenths until it is under the size that a page of the docs may load."""
    from PIL import Image

    image = Image.fromarray(picture)
    for tenths in range(10, 4, -1):
        width, height = (round(side * tenths / 10) for side in image.size)
        with atomic_file(path) as temporary:
            image.resize((width, height), Image.Resampling.LANCZOS).quantize(48).save(
                temporary, format="PNG", optimize=True
            )
        if path.stat().st_size < _LARGEST_BYTES:
            return


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mr2ct-whole-heads")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    return parser


if __name__ == "__main__":
    main()
