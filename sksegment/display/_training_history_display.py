"""How a training went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.pipelines import final_estimator
from sksegment.display._figure import count_epochs, require_matplotlib, single_axes
from sksegment.display._legend import add_plot_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

# Blue, orange and green of Okabe and Ito, which any color vision tells apart.
LOSSES = {
    "train_loss": ("training loss", "#0072B2"),
    "valid_loss": ("validation loss", "#D55E00"),
}
IOU_COLOR = "#009E73"


def _is_history(history: Any) -> bool:
    is_list = isinstance(history, Sequence) and len(history) > 0
    are_rows = is_list and all(isinstance(row, Mapping) for row in history)
    return are_rows and "train_loss" in history[0]


class TrainingHistoryDisplay:
    """The losses of each epoch and, with validation images, their mean IoU.

    The losses stand on the left axis and the mean IoU on the right one. A dotted line
    marks the epoch whose weights early stopping has kept. Training images are augmented
    and validation images are not, so their losses need not meet.

    Parameters
    ----------
    history : sequence of dict
        One dict per epoch, such as `history_` of a fitted segmenter: "train_loss", and
        "valid_loss" and "valid_iou" if there were validation images.
    best_epoch : int, default=None
        The epoch to mark, counted from 1.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the losses.
    iou_ax_ : matplotlib Axes or None
        The axes of the mean IoU; None without validation images.
    figure_ : matplotlib Figure
        The figure.
    lines_ : dict
        The line of each entry of the history, by its name.
    legend_ : matplotlib Legend
        The legend: below the figure, or within the axes that were given.

    See Also
    --------
    EpochCurveDisplay : Scores after each epoch, on the held-out images of each fold.

    Examples
    --------
    >>> from sksegment.display import TrainingHistoryDisplay
    >>> history = [{"train_loss": 0.9}, {"train_loss": 0.4}, {"train_loss": 0.3}]
    >>> display = TrainingHistoryDisplay(history).plot()
    >>> display.ax_.get_ylabel()
    'Loss'
    """

    ax_: Axes
    iou_ax_: Axes | None
    figure_: Figure
    lines_: dict[str, Line2D]
    legend_: Legend

    def __init__(
        self, history: Sequence[Mapping[str, Any]], *, best_epoch: int | None = None
    ) -> None:
        self.history = history
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Axes | None = None
    ) -> TrainingHistoryDisplay:
        """Draw the history of a fitted segmenter.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`~sksegment.FCNSegmenter`, or a Pipeline or a search that
            ends in one.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        TrainingHistoryDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it keeps no history.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        segmenter = final_estimator(estimator)
        check_is_fitted(segmenter)
        if not hasattr(segmenter, "history_"):
            raise TypeError(
                f"estimator is {estimator!r}, which has no history_; expected an "
                f"FCNSegmenter, or a Pipeline that ends in one."
            )
        best = getattr(segmenter, "best_epoch_", None)
        return cls(segmenter.history_, best_epoch=best).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> TrainingHistoryDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        TrainingHistoryDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If the history is empty, or has no training loss.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        if not _is_history(self.history):
            raise ValueError(
                f"history is {self.history!r}; expected one dict per epoch, with "
                f"'train_loss'."
            )
        self.figure_, self.ax_ = single_axes(ax, (5.6, 3.6))
        self.lines_ = {}
        # Continued training may have validation images from a later epoch on.
        names = set[str]().union(*self.history)
        for name, (label, color) in LOSSES.items():
            if name in names:
                self._draw(self.ax_, name, label, color)
        self.iou_ax_ = self._draw_iou() if "valid_iou" in names else None
        if self.best_epoch is not None:
            label = f"best epoch: {self.best_epoch}"
            self.ax_.axvline(self.best_epoch, color="gray", ls=":", label=label)
        self.ax_.set(xlabel="Epoch", ylabel="Loss")
        count_epochs(self.ax_)
        self.legend_ = self._add_legend(ax is None)
        return self

    def _draw(self, ax: Axes, name: str, label: str, color: str, **style: Any) -> None:
        # An epoch that was continued without validation images has no such entry.
        values = [row.get(name, np.nan) for row in self.history]
        epochs = np.arange(1, len(values) + 1)
        marker = "o" if len(values) == 1 else ""
        (self.lines_[name],) = ax.plot(
            epochs, values, color=color, label=label, marker=marker, **style
        )

    def _draw_iou(self) -> Axes:
        ax: Axes = self.ax_.twinx()
        self._draw(ax, "valid_iou", "validation mean IoU", IOU_COLOR, ls="--")
        ax.set(ylabel="Mean IoU", ylim=(0, 1))
        return ax

    def _add_legend(self, is_ours: bool) -> Legend:
        # The axes of the mean IoU lie on top of the others.
        top = self.ax_ if self.iou_ax_ is None else self.iou_ax_
        axes = dict.fromkeys((self.ax_, top))
        entries = [line for ax in axes for line in ax.get_legend_handles_labels()[0]]
        # Losses fall, and the mean IoU rises: this place between is usually free.
        return add_plot_legend(self.figure_, top, entries, is_ours, "center right")
