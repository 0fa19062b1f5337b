"""How often probabilities of pixels come true, as a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.nodata import fitted_ignore_label
from sksegment._inputs.pipelines import final_estimator
from sksegment.display._figure import (
    UNIT_LIMITS,
    require_matplotlib,
    single_axes,
)
from sksegment.metrics._calibration import (
    CalibrationAccumulator,
    calibration_counts,
    calibration_error,
)
from sksegment.metrics._scorers import accumulate_predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

PERFECT = "perfectly calibrated"


class CalibrationDisplay:
    """How often probabilities of pixels come true, as a curve (reliability diagram).

    Each point stands for the pixels whose probability is in one bin. Bars show how the
    pixels are spread over the bins. Make one with `from_estimator` or
    `from_predictions`.

    Parameters
    ----------
    prob_true : ndarray of shape (n_bins,)
        The share of the pixels of each bin that are correct, NaN if it is empty.
    prob_pred : ndarray of shape (n_bins,)
        The mean probability of the pixels of each bin, NaN if it is empty.
    share : ndarray of shape (n_bins,), default=None
        The share of all pixels in each bin. None draws no bars.
    error : float, default=None
        The expected calibration error, for the legend.
    name : str, default=None
        The name of the model, for the legend.
    label : object, default=None
        The class that the probabilities are of; None stands for the likeliest class of
        each pixel.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes
        The axes.
    line_ : matplotlib Line2D
        The curve.
    bars_ : matplotlib BarContainer or None
        The bars, if there are any.

    See Also
    --------
    CalibrationDisplay.from_estimator : Predict and draw.
    CalibrationDisplay.from_predictions : Draw what has been predicted.
    sksegment.metrics.expected_calibration_error : One number for it.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.display import CalibrationDisplay
    >>> X, y = make_shapes(2, random_state=0)
    >>> y_proba = 0.6 * np.moveaxis(np.eye(4)[y], -1, 1) + 0.1  # right, and not sure
    >>> display = CalibrationDisplay.from_predictions(y, y_proba, classes=range(4))
    >>> round(display.error, 2)
    0.3
    """

    figure_: Figure
    ax_: Axes
    line_: Line2D
    bars_: BarContainer | None

    def __init__(
        self,
        prob_true: NDArray[np.float64],
        prob_pred: NDArray[np.float64],
        *,
        share: NDArray[np.float64] | None = None,
        error: float | None = None,
        name: str | None = None,
        label: Any = None,
    ) -> None:
        self.prob_true = prob_true
        self.prob_pred = prob_pred
        self.share = share
        self.error = error
        self.name = name
        self.label = label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        label: Any = None,
        n_bins: int = 15,
        sample_weight: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> CalibrationDisplay:
        """Predict images, and draw the curve.

        Images are predicted in chunks: memory does not grow with their number.

        Parameters
        ----------
        estimator : estimator
            A fitted segmenter, or a Pipeline or search object that ends in one.
        X : array-like of shape (n, height, width, n_channels) or (n, height, width), \
                or list of array or path
            The images.
        y : array-like of shape (n, height, width) or list of mask or path
            The true masks.
        label : object, default=None
            The class whose probability is compared with how often pixels belong to it;
            by default, the likeliest class of each pixel.
        n_bins : int, default=15
            The number of bins of equal width.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
                array-like of shape (height, width), default=None
            Weights, one per image or one per pixel.
        name : str, default=None
            The name of the model, for the legend; by default that of its class.
        ax : matplotlib Axes, default=None
            See `plot`.

        Returns
        -------
        CalibrationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError, TypeError
            If images and masks do not match, or a parameter is out of range.

        See Also
        --------
        CalibrationDisplay.from_predictions : Draw what has been predicted.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        fitted = final_estimator(estimator)
        ignored = fitted_ignore_label(fitted)
        counted = CalibrationAccumulator(
            fitted.classes_, ignored, n_bins=n_bins, label=label
        )
        accumulate_predictions(counted, estimator, "predict_proba", X, y, sample_weight)
        name = type(fitted).__name__ if name is None else name
        return cls._of_counts(counted.class_counts(), name, label).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_proba: Any,
        *,
        label: Any = None,
        n_bins: int = 15,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        sample_weight: Any = None,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> CalibrationDisplay:
        """Draw the curve of probabilities that have been predicted.

        Parameters
        ----------
        y_true : array-like of shape (n, height, width) or list of mask or path
            The true masks.
        y_proba : array-like of shape (n, n_classes, height, width) or sequence of \
                array-like of shape (n_classes, height, width)
            Probabilities, as `predict_proba` returns them.
        label : object, default=None
            The class whose probability is compared with how often pixels belong to it;
            by default, the likeliest class of each pixel.
        n_bins : int, default=15
            The number of bins of equal width.
        classes : array-like of shape (n_classes,), default=None
            The class of each entry of the class axis, in order: the estimator's
            `classes_`. By default the labels in `y_true`, sorted.
        ignore_label : object, default=None
            The label value that is not a class.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
                array-like of shape (height, width), default=None
            Weights, one per image or one per pixel.
        name : str, default=None
            The name of the model, for the legend.
        ax : matplotlib Axes, default=None
            See `plot`.

        Returns
        -------
        CalibrationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If masks and probabilities do not match, or a parameter is out of range.

        See Also
        --------
        CalibrationDisplay.from_estimator : Predict and draw.
        """
        require_matplotlib(f"{cls.__name__}.from_predictions")
        counts = calibration_counts(
            y_true, y_proba, label, n_bins, classes, ignore_label, sample_weight
        )
        return cls._of_counts(counts, name, label).plot(ax=ax)

    @classmethod
    def _of_counts(
        cls, counts: NDArray[np.float64], name: str | None, label: Any
    ) -> CalibrationDisplay:
        correct, weights, confidence = np.where(counts[1] > 0, counts, np.nan)
        return cls(
            correct / weights,
            confidence / weights,
            share=counts[1] / counts[1].sum(),
            error=calibration_error(counts),
            name=name,
            label=label,
        )

    def plot(self, *, ax: Axes | None = None) -> CalibrationDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw in, such as the `ax_` of another display, which puts two
            models into one picture. None makes a new figure.

        Returns
        -------
        CalibrationDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If `ax` is not an Axes.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        self.figure_, self.ax_ = single_axes(ax, (4.8, 5.2))
        self._draw_diagonal()
        (self.line_,) = self.ax_.plot(
            self.prob_pred, self.prob_true, marker="o", ms=4, label=self._legend_entry()
        )
        self.bars_ = None if self.share is None else self._draw_bars(self.share)
        of = "of the likeliest class" if self.label is None else f"of {self.label!r}"
        self.ax_.set(
            xlabel=f"Predicted probability {of}",
            ylabel="Share of pixels for which it is true",
            xlim=UNIT_LIMITS,
            ylim=UNIT_LIMITS,
            aspect="equal",
        )
        # Within the axes, where the curves of other models join in.
        self.ax_.legend(loc="best", fontsize="small")
        return self

    def _draw_diagonal(self) -> None:
        """Draw the diagonal, unless another display has drawn it."""
        if PERFECT not in self.ax_.get_legend_handles_labels()[1]:
            color = self.ax_.xaxis.label.get_color()
            self.ax_.plot([0, 1], [0, 1], ":", color=color, alpha=0.7, label=PERFECT)

    def _draw_bars(self, share: NDArray[np.float64]) -> BarContainer:
        """Draw the share of the pixels in each bin, in the color of the line."""
        width = 1 / len(share)
        left = width * np.arange(len(share))
        color: Any = self.line_.get_color()
        return self.ax_.bar(
            left, share, width, align="edge", color=color, alpha=0.2, zorder=0
        )

    def _legend_entry(self) -> str:
        name = "share of pixels" if self.name is None else self.name
        return name if self.error is None else f"{name} (error {self.error:.3f})"
