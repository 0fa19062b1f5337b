"""Panels of a figure, new or within given Axes, and their legend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._extras import check_installed

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

PANEL_WIDTH = 2.4  # inches
LEGEND_ROW_HEIGHT = 0.24  # inches
TITLE_HEIGHT = 0.3  # inches
MAX_LEGEND_ROWS = 10  # beside given axes


def draw(ax: Axes, picture: NDArray[Any], title: str) -> Artist:
    """Draw a picture into axes, without ticks, and return what was drawn."""
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()
    return ax.imshow(
        picture,
        cmap="gray" if picture.ndim == 2 else None,
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
    )


def axes_grid(
    ax: Any, shape: tuple[int, int], aspects: list[float], entries: list[Artist]
) -> tuple[Figure, NDArray[np.object_]]:
    """Return the figure and one Axes per panel, new or those given."""
    if ax is None:
        return _new_figure(shape, aspects, entries)
    from matplotlib.axes import Axes

    if isinstance(ax, Axes):
        return _divided(ax, shape)
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


def _new_figure(
    shape: tuple[int, int], aspects: list[float], entries: list[Artist]
) -> tuple[Figure, NDArray[np.object_]]:
    import matplotlib.pyplot as plt

    n_rows, n_columns = shape
    width = PANEL_WIDTH * n_columns
    heights = PANEL_WIDTH * np.clip(aspects, 0.25, 2.0) + TITLE_HEIGHT
    legend_height = LEGEND_ROW_HEIGHT * _legend_rows(entries, n_columns) + 0.2
    figure, axes = plt.subplots(
        n_rows,
        n_columns,
        figsize=(width, float(heights.sum()) + legend_height),
        height_ratios=heights.tolist(),
        squeeze=False,
        layout="constrained",
    )
    return figure, axes


def _divided(ax: Axes, shape: tuple[int, int]) -> tuple[Figure, NDArray[np.object_]]:
    """Divide the area of one Axes into panels."""
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("ax is not in a grid of axes; make it with plt.subplots().")
    ax.set_axis_off()
    grid = GridSpecFromSubplotSpec(*shape, subplot_spec=spec)
    figure: Any = ax.figure
    panels = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        panels[place] = figure.add_subplot(grid[place])
    return figure, panels


def _legend_columns(entries: list[Artist], n_panels: int) -> int:
    """Return how many entries fit below panels of the usual width."""
    longest = max((len(str(entry.get_label())) for entry in entries), default=0)
    # A character takes 0.085 inches, the patch and the gaps around it 0.7.
    n_fit = int(n_panels * PANEL_WIDTH / (0.7 + 0.085 * longest))
    return max(1, min(len(entries), n_fit))


def _legend_rows(entries: list[Artist], n_panels: int) -> int:
    return -(-len(entries) // _legend_columns(entries, n_panels))


def add_legend(
    figure: Figure, axes: NDArray[np.object_], entries: list[Artist], is_ours: bool
) -> Legend:
    """Put the legend below our own figure, or to the right of given panels."""
    if is_ours:
        columns = _legend_columns(entries, axes.shape[1])
        return figure.legend(
            handles=entries, loc="outside lower center", ncols=columns, frameon=False
        )
    corner: Axes = axes[0, -1]
    return corner.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        ncols=-(-len(entries) // MAX_LEGEND_ROWS),
        frameon=False,
    )


def require_matplotlib(caller: str) -> None:
    """Reject a drawing where matplotlib is not installed."""
    check_installed(caller, "plot", "matplotlib")
