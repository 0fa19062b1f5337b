"""Legends, in places where they cover nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

MAX_ENTRIES = 12  # in a column beside given axes
# Where a legend beside given axes leaves them less than this share of their width, it
# goes on over the edge of the figure.
MIN_SHARE = 0.3
GAP = 0.01  # between axes and legend, as a share of the figure


def legend_columns(entries: list[Artist], width: float) -> int:
    """Return how many entries fit side by side into a width in inches."""
    longest = max((len(str(entry.get_label())) for entry in entries), default=0)
    # A character takes 0.085 inches, the patch and the gaps around it 0.7.
    n_fit = int(width / (0.7 + 0.085 * longest))
    return max(1, min(len(entries), n_fit))


def legend_rows(entries: list[Artist], width: float) -> int:
    """Return how many rows a legend below a figure of that width in inches has."""
    return -(-len(entries) // legend_columns(entries, width))


def add_legend(
    figure: Figure, axes: NDArray[np.object_], entries: list[Artist], is_ours: bool
) -> Legend:
    """Put the legend below our own figure, or to the right of given panels."""
    if is_ours:
        columns = legend_columns(entries, figure.get_figwidth())
        return figure.legend(
            handles=entries, loc="outside lower center", ncols=columns, frameon=False
        )
    # Beside the panels in the upper right corner.
    panels: list[Any] = [*axes.flat]
    corner: Axes = max(panels, key=lambda ax: ax.get_position().corners()[3].sum())
    legend = corner.legend(
        handles=entries,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        ncols=-(-len(entries) // MAX_ENTRIES),
        fontsize="small",
        handlelength=1.2,
        frameon=False,
    )
    if figure.get_layout_engine() is None:
        _make_room(figure, panels, legend)
    return legend


def add_plot_legend(
    figure: Figure, ax: Axes, entries: list[Any], is_ours: bool, inside: Any
) -> Legend:
    """Put the legend of a plot below our own figure, or at a place in given axes.

    Not above the axes: there goes the title, and there may be other axes.
    """
    if is_ours:
        columns = legend_columns(entries, figure.get_figwidth())
        return figure.legend(
            handles=entries,
            loc="outside lower center",
            ncols=columns,
            frameon=False,
            fontsize="small",
        )
    return ax.legend(handles=entries, loc=inside, fontsize="small")


def _make_room(figure: Figure, panels: list[Any], legend: Legend) -> None:
    """Press given panels together, as a color bar does, so that a legend has room."""
    width = legend.get_window_extent().width / figure.bbox.width + GAP
    # Their places: equal aspect makes of them what is drawn.
    boxes = [panel.get_position(original=True) for panel in panels]
    left, right = min(box.x0 for box in boxes), max(box.x1 for box in boxes)
    share = 1.0 - width / (right - left)
    if share < MIN_SHARE:
        return
    for panel, box in zip(panels, boxes, strict=True):
        x0 = left + (box.x0 - left) * share
        panel.set_position([x0, box.y0, box.width * share, box.height])
