"""Panels of a figure, new or within given Axes."""

from __future__ import annotations

from itertools import chain, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._extras import check_installed
from sksegment.display._legend import legend_rows

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_WIDTH = 2.4  # inches
# Panels of many images get smaller, down to this, until the figure is this wide.
MIN_PANEL_WIDTH, FIGURE_WIDTH = 1.5, 16.0
LEGEND_ROW_HEIGHT = 0.24  # inches
TITLE_HEIGHT = 0.3  # inches
# One image above the other, up to this many.
MAX_ROWS = 4
# A character takes this share of the size of its font.
CHARACTER = 0.58
FONT_SIZES = (6.0, 10.0)  # points; where smaller ones were needed, lines are broken
SMALLEST = 3.5
# Of axes from 0 to 1, with room for markers at both ends.
UNIT_LIMITS = (-0.02, 1.02)


def draw(
    ax: Axes,
    picture: NDArray[Any],
    title: str,
    size: tuple[int, int] | None = None,
    scale: dict[str, Any] | None = None,
    has_lines: bool = False,
) -> Artist:
    """Draw a picture into axes, without ticks, and return what was drawn.

    `size` is the height and width of the image, if the picture has other ones: the axes
    count its pixels. `scale` says how numbers become colors; by default, 0 to 1 are
    shades of grey. Thin lines in a picture are smoothed where it is shrunk.
    """
    height, width = picture.shape[:2] if size is None else size
    ax.set_title(title, fontsize="medium")
    frame(ax)
    return ax.imshow(
        picture,
        **({"cmap": "gray", "vmin": 0.0, "vmax": 1.0} if scale is None else scale),
        # What is shrunk by averages loses single pixels; otherwise, lines get holes.
        interpolation="antialiased" if has_lines else "nearest",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )


def frame(ax: Axes) -> None:
    """Leave of axes a thin frame: dark pictures would merge with dark figures."""
    ax.set(xticks=[], yticks=[], frame_on=True)
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set(color="0.5", linewidth=0.5)


def fit_titles(axes: NDArray[np.object_], is_ours: bool) -> None:
    """Lower the size of the titles until none is wider than its panel.

    In a figure of our own, panels have not been laid out yet, but will fill it.
    """
    panels: list[Any] = [*axes.flat]
    titled = [panel for panel in panels if panel.get_title()]
    longest = max((len(panel.get_title()) for panel in titled), default=0)
    if not longest:
        return
    width = min(_width_in_points(panel, is_ours) for panel in titled)
    breaks = width / (CHARACTER * longest) < FONT_SIZES[0]
    if breaks:
        for panel in titled:
            panel.set_title(panel.get_title().replace(" (", "\n("))
        lines = [panel.get_title().split("\n") for panel in titled]
        longest = max(len(line) for line in chain(*lines))
    size = float(np.clip(width / (CHARACTER * longest), SMALLEST, FONT_SIZES[1]))
    for panel in titled:
        panel.title.set_fontsize(size)


def _width_in_points(panel: Axes, is_ours: bool) -> float:
    figure: Any = panel.figure
    spec = panel.get_subplotspec()
    if is_ours and spec is not None:
        return 0.97 * 72 * float(figure.get_figwidth()) / spec.get_gridspec().ncols
    return float(72 / figure.dpi * panel.get_window_extent().width)


def axes_grid(
    ax: Any, shape: tuple[int, int], aspects: list[float], entries: list[Artist]
) -> tuple[Figure, NDArray[np.object_]]:
    """Return the figure and the axes of each image, new or those given.

    The axes of an image are one row of the result. In the figure, several images may
    lie side by side.
    """
    if ax is None:
        return _new_figure(shape, aspects, entries)
    from matplotlib.axes import Axes

    if isinstance(ax, Axes):
        return _divided(ax, shape, aspects)
    given = np.asarray(ax, dtype=object)
    if not all(isinstance(panel, Axes) for panel in given.flat):
        raise TypeError(
            f"ax is {ax!r}; expected an Axes of matplotlib, an array of them, or None."
        )
    if given.size != shape[0] * shape[1]:
        raise ValueError(
            f"ax holds {given.size} axes; expected {shape[0]} x {shape[1]}, "
            f"{shape[1]} per image, or one Axes, or None."
        )
    given = given.reshape(shape)
    return given[0, 0].figure, given


def single_axes(ax: Any, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return the figure and the axes to draw in, a new one of that size if None."""
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    if ax is None:
        return plt.subplots(figsize=size, layout="constrained")
    if not isinstance(ax, Axes):
        raise TypeError(f"ax is {ax!r}; expected an Axes of matplotlib, or None.")
    figure: Any = ax.figure
    return figure, ax


def best_arrangement(
    shape: tuple[int, int], aspects: list[float], area: float, block_rows: list[int]
) -> tuple[int, int]:
    """Return how many images lie side by side, and in how many rows the panels of one.

    Those with which the panels come out largest in an area of height / width.
    """
    n_images, n_panels = shape
    height = float(np.clip(np.median(aspects), 0.25, 2.0)) + TITLE_HEIGHT / PANEL_WIDTH

    def panel_width(arrangement: tuple[int, int]) -> float:
        """Return the width of a panel, where that of the area is 1."""
        per_row, rows = arrangement
        by_width = 1.0 / (per_row * -(-n_panels // rows))
        return min(by_width, area / (-(-n_images // per_row) * rows * height))

    return max(product(range(1, n_images + 1), block_rows), key=panel_width)


def is_top_of_kind(axes: NDArray[np.object_], index: int, panel: int) -> bool:
    """Tell whether the same panel of no other image lies above this one."""
    specs = [ax.get_subplotspec() for ax in axes[:, panel]]
    if index == 0 or any(spec is None for spec in specs):
        return index == 0
    return bool(specs[index].rowspan.start == specs[0].rowspan.start)


def _new_figure(
    shape: tuple[int, int], aspects: list[float], entries: list[Artist]
) -> tuple[Figure, NDArray[np.object_]]:
    import matplotlib.pyplot as plt

    n_images, n_panels = shape
    is_column = n_images <= MAX_ROWS and n_panels > 1
    per_row, _ = (1, 1) if is_column else best_arrangement(shape, aspects, 0.8, [1])
    n_rows, n_columns = -(-n_images // per_row), per_row * n_panels
    panel_width = np.clip(FIGURE_WIDTH / n_columns, MIN_PANEL_WIDTH, PANEL_WIDTH)
    width = panel_width * n_columns
    tallest = np.full(n_rows * per_row, min(aspects))
    tallest[:n_images] = aspects
    tallest = tallest.reshape(n_rows, per_row).max(axis=1)
    heights = panel_width * np.clip(tallest, 0.25, 2.0) + TITLE_HEIGHT
    legend_height = LEGEND_ROW_HEIGHT * legend_rows(entries, width) + 0.2
    figure = plt.figure(
        figsize=(width, float(heights.sum()) + legend_height), layout="constrained"
    )
    grid = figure.add_gridspec(n_rows, n_columns, height_ratios=heights.tolist())
    return figure, _panels(figure, grid, shape, (per_row, 1))


def _divided(
    ax: Axes, shape: tuple[int, int], aspects: list[float]
) -> tuple[Figure, NDArray[np.object_]]:
    """Divide the area of one Axes into panels."""
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("ax is not in a grid of axes; make it with plt.subplots().")
    ax.set_axis_off()
    figure: Any = ax.figure
    extent = ax.get_window_extent()
    rows = [count for count in (1, 2, 4) if shape[1] % count == 0]
    found = best_arrangement(shape, aspects, extent.height / extent.width, rows)
    n_rows = -(-shape[0] // found[0]) * found[1]
    n_columns = found[0] * (shape[1] // found[1])
    grid = GridSpecFromSubplotSpec(
        n_rows, n_columns, subplot_spec=spec, wspace=0.06, hspace=0.25
    )
    return figure, _panels(figure, grid, shape, found)


def _panels(
    figure: Any, grid: Any, shape: tuple[int, int], arrangement: tuple[int, int]
) -> NDArray[np.object_]:
    """Return the axes of each image, arranged as `best_arrangement` says."""
    per_row, block_rows = arrangement
    block_columns = shape[1] // block_rows
    panels = np.empty(shape, dtype=object)
    for index, panel in np.ndindex(shape):
        row, column = divmod(index, per_row)
        down, right = divmod(panel, block_columns)
        place = grid[row * block_rows + down, column * block_columns + right]
        panels[index, panel] = figure.add_subplot(place)
    return panels


def require_matplotlib(caller: str) -> None:
    """Reject a drawing where matplotlib is not installed."""
    check_installed(caller, "plot", "matplotlib")


def count_epochs(ax: Axes) -> None:
    """Let the ticks of the x axis be whole numbers, unless its scale is the user's."""
    from matplotlib.ticker import MaxNLocator

    if ax.get_xscale() == "linear":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
