"""One PNG that shows a person whether a conversion is good: MR | sCT | CT | difference in three planes.

Slices run through the middle of the head, in true proportions and the radiological convention. Drawn with matplotlib's
object interface on the Agg canvas: no window system, no global state, safe in threads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mr2ct.errors import InputError
from mr2ct.geometry import require_same_geometry, voxel_to_world
from mr2ct.io.atomic import atomic_file
from mr2ct.io.display import EDGE_LETTERS, Plane, as_pictures, picture_spacing_mm, picture_through, single_plane
from mr2ct.volume import Quantity, Volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HU_WINDOW = (-1000.0, 1600.0)
DIFFERENCE_WINDOW = (-500.0, 500.0)
_DIFFERENCE = "sCT − CT"
# cold below, dark at zero, warm above: on a black page agreement disappears and errors shine
_DIVERGING = ("#a8e4ff", "#2f7fe0", "#0b1a30", "#08080a", "#33120a", "#e0562f", "#ffd9a0")
_PAGE, _INK, _FAINT = "#101114", "#e8e8ea", "#9a9aa2"
_CELL_WIDTH_IN, _DPI = 2.7, 150
_ENOUGH_VOXELS = 500_000
_HEAD_HEIGHT_MM = 150.0


@dataclass(frozen=True)
class _Column:
    """One column of the picture: voxels (i, j, k), the values of its two ends, and how to colour between them."""

    name: str
    voxels: NDArray[Any]
    window: tuple[float, float]
    colour_map: Any
    unit: str | None


def write_preview(
    path: Path | str, panels: Mapping[str, Volume], *, mask: Volume | None = None, title: str | None = None
) -> Path:
    """Write `preview_figure` as a PNG, completely or not at all, and return its path.

    Example
    -------
    >>> write_preview("preview.png", {"MR": mr, "sCT": sct})  # doctest: +SKIP
    """
    figure = preview_figure(panels, mask=mask, title=title)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DPI, facecolor=_PAGE)
    return Path(path)


def preview_figure(panels: Mapping[str, Volume], *, mask: Volume | None = None, title: str | None = None) -> Figure:
    """Draw volumes of one grid side by side: axial, coronal and sagittal rows, or one row for a single slice.

    Parameters
    ----------
    panels : column name -> volume, in the order of the columns. MR is stretched to its own brightest tissue, HU to
        -1000..1600, with a colour bar. Where both `sCT` and `CT` are there, a last column shows sCT - CT.
    mask : where the head is, to find its middle, and where the difference is shown; without one the middle is found in
        the first panel, and the difference shown everywhere.

    Raises
    ------
    InputError : no panels. GeometryError : panels or mask on different grids.

    Example
    -------
    >>> preview_figure({"MR": mr, "sCT": sct}).savefig("preview.png")  # doctest: +SKIP
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not panels:
        raise InputError("nothing to draw", expected="at least one volume")
    first_name, first = next(iter(panels.items()))
    for name, volume in panels.items():
        require_same_geometry(first.geometry, volume.geometry, names=f"{first_name} and {name}")
    if mask is not None:
        require_same_geometry(first.geometry, mask.geometry, names=f"{first_name} and mask")
    single = single_plane(first.geometry)
    planes = [single] if single is not None else list(Plane)
    columns = _columns(panels, mask)
    sizes_mm = [_size_mm(first, plane) for plane in planes]
    figure = Figure(facecolor=_PAGE)
    FigureCanvasAgg(figure)
    space = (0.68 if title is not None else 0.36, 0.55 if any(column.unit for column in columns) else 0.12)
    axes, bars = _lay_out(figure, sizes_mm, len(columns), space_in=space)
    _draw(axes, columns, planes, first if mask is None else mask)
    _draw_bars(bars, columns)
    if title is not None:
        figure.suptitle(title, color=_INK, fontsize=11, y=1 - 0.12 / figure.get_figheight(), va="top")
    return figure


def _columns(panels: Mapping[str, Volume], mask: Volume | None) -> list[_Column]:
    from matplotlib.colors import LinearSegmentedColormap

    columns = [_column(name, volume) for name, volume in panels.items()]
    if {"sCT", "CT"} <= panels.keys():
        apart = panels["sCT"].voxels.astype(np.float32) - panels["CT"].voxels
        if mask is not None:
            apart[mask.voxels == 0] = 0
        colours = LinearSegmentedColormap.from_list("difference", _DIVERGING)
        columns.append(_Column(_DIFFERENCE, apart, DIFFERENCE_WINDOW, colours, "HU"))
    return columns


def _column(name: str, volume: Volume) -> _Column:
    if volume.quantity is Quantity.HU:
        return _Column(name, volume.voxels, HU_WINDOW, "gray", "HU")
    if volume.quantity is Quantity.MASK:
        return _Column(name, volume.voxels, (0, max(float(volume.voxels.max()), 1)), "gray", None)
    sample = _thinned(volume.voxels)[0]
    low, high = float(np.percentile(sample, 0.5)), float(np.percentile(sample, 99.7))
    return _Column(name, volume.voxels, (low, high if high > low else low + 1), "gray", None)


def _thinned(voxels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Every n-th voxel along each axis, so that some 500 000 are left, and n."""
    step = max(1, round((voxels.size / _ENOUGH_VOXELS) ** (1 / 3)))
    return voxels[::step, ::step, ::step], step


def _middle_of_head(volume: Volume) -> tuple[int, int, int]:
    """The voxel (i, j, k) at the centre of mass of what is brighter than air; the middle of the grid if nothing is.

    Only what lies less than a head's height below the top counts, so that a long neck does not pull it down.
    """
    sample, step = _thinned(volume.voxels)
    if volume.quantity is Quantity.MASK:
        inside = sample > 0
    elif volume.quantity is Quantity.HU:
        inside = sample > -300
    else:
        low, high = np.percentile(sample, (1, 99.5))
        inside = sample > low + 0.15 * (high - low)
    where = np.argwhere(inside) * step
    if not len(where):
        where = np.array([volume.geometry.shape]) // 2
    heights_mm = voxel_to_world(volume.geometry.affine, where)[:, 2]
    of_head = heights_mm >= np.percentile(heights_mm, 99.5) - _HEAD_HEIGHT_MM
    middle = np.minimum(np.rint(where[of_head].mean(axis=0)), np.array(volume.geometry.shape) - 1)
    return (int(middle[0]), int(middle[1]), int(middle[2]))


def _size_mm(volume: Volume, plane: Plane) -> tuple[float, float]:
    """(width, height) of a picture in that plane."""
    _, rows, columns = as_pictures(volume.voxels, volume.geometry.affine, plane).shape
    _, row_mm, column_mm = picture_spacing_mm(volume.geometry, plane)
    return columns * column_mm, rows * row_mm


def _lay_out(
    figure: Figure, sizes_mm: Sequence[tuple[float, float]], n_columns: int, *, space_in: tuple[float, float]
) -> tuple[list[list[Axes]], list[Axes]]:
    """Axes [row][column] for pictures on one scale, one below each column for its bar; `space_in` above and below."""
    inch_per_mm = _CELL_WIDTH_IN / max(width for width, _ in sizes_mm)
    heights = [height * inch_per_mm for _, height in sizes_mm]
    gap, left, (top, bottom) = 0.06, 0.36, space_in
    width = left + n_columns * (_CELL_WIDTH_IN + gap) + gap
    height = top + sum(heights) + gap * len(heights) + bottom
    figure.set_size_inches(width, height)
    axes: list[list[Axes]] = []
    y = height - top
    for cell in heights:
        y -= cell
        xs = [left + n * (_CELL_WIDTH_IN + gap) for n in range(n_columns)]
        axes.append([figure.add_axes((x / width, y / height, _CELL_WIDTH_IN / width, cell / height)) for x in xs])
        y -= gap
    bars = [
        figure.add_axes(((x + 0.3) / width, 0.36 / height, (_CELL_WIDTH_IN - 0.6) / width, 0.1 / height)) for x in xs
    ]
    return axes, bars


def _draw(axes: list[list[Axes]], columns: Sequence[_Column], planes: Sequence[Plane], seen: Volume) -> None:
    middle = _middle_of_head(seen)
    for row, plane in zip(axes, planes, strict=True):
        index = picture_through(seen.geometry, plane, middle)
        width, height = _size_mm(seen, plane)
        for axis, column in zip(row, columns, strict=True):
            axis.imshow(
                as_pictures(column.voxels, seen.geometry.affine, plane)[index],
                cmap=column.colour_map,
                vmin=column.window[0],
                vmax=column.window[1],
                extent=(0, width, height, 0),
                interpolation="bilinear",
            )
            axis.set_axis_off()
            _mark(axis, EDGE_LETTERS[plane])
            if row is axes[0]:
                axis.set_title(column.name, color=_INK, fontsize=10, pad=4)
        _name_row(row[0], plane)


def _name_row(axis: Axes, plane: Plane) -> None:
    box = axis.get_position(original=True)
    x, y = box.x0 * 0.5, (box.y0 + box.y1) / 2
    axis.figure.text(x, y, plane.value, color=_FAINT, fontsize=8, rotation=90, ha="center", va="center")


def _mark(axis: Axes, letters: tuple[str, str]) -> None:
    for letter, x, side in ((letters[0], 0.015, "left"), (letters[1], 0.985, "right")):
        axis.text(x, 0.5, letter, transform=axis.transAxes, color="#f2c14e", fontsize=8, ha=side, va="center")


def _draw_bars(bars: Sequence[Axes], columns: Sequence[_Column]) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Normalize

    for axis, column in zip(bars, columns, strict=True):
        if column.unit is None:
            axis.set_axis_off()
            continue
        bar = Colorbar(axis, ScalarMappable(Normalize(*column.window), column.colour_map), orientation="horizontal")
        spread = column.window[1] - column.window[0]
        step = 500 if spread > 1500 else 250
        bar.set_ticks([tick for tick in range(-2000, 4001, step) if column.window[0] <= tick <= column.window[1]])
        axis.tick_params(colors=_FAINT, labelsize=7, length=2, pad=2)
        axis.set_xlabel(column.unit, color=_FAINT, fontsize=7, labelpad=1)
        bar.outline.set_edgecolor(_FAINT)
        bar.outline.set_linewidth(0.4)
