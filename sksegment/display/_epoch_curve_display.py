"""Scores after each epoch, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sksegment.display._figure import count_epochs, require_matplotlib, single_axes
from sksegment.model_selection import epoch_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

# Blue, orange and green of Okabe and Ito, which any color vision tells apart.
CURVE, BEST, ONE_SE = "#0072B2", "#D55E00", "#009E73"


class EpochCurveDisplay:
    """The score on held-out images after each epoch.

    The mean over the folds with a band of one standard error, each fold as a thin line,
    the best epoch, and the first one within one standard error of it. Make one with
    `from_estimator`, or of what :func:`~sksegment.model_selection.epoch_curve` has
    returned: ``EpochCurveDisplay(**curve).plot()``.

    Parameters
    ----------
    scores : array-like of shape (n_folds, n_scored)
        The scores.
    epochs : array-like of shape (n_scored,)
        The epochs that were scored.
    best_epoch : int
        The one with the highest mean score.
    one_se_epoch : int
        The first one within one standard error of the best.
    score_name : str, default="Score"
        What the vertical axis says.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes.
    figure_ : matplotlib Figure
        The figure.
    line_ : matplotlib Line2D
        The mean score.
    lines_ : list of Line2D
        The score of each fold.
    band_ : matplotlib PolyCollection or None
        One standard error around the mean; None for a single fold.

    See Also
    --------
    sksegment.model_selection.epoch_curve : The scores, and what they mean.
    sklearn.model_selection.LearningCurveDisplay : Scores by the number of images.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.display import EpochCurveDisplay
    >>> scores = np.array([[0.2, 0.5, 0.6], [0.3, 0.4, 0.6]])
    >>> display = EpochCurveDisplay(scores, [1, 2, 3], best_epoch=3, one_se_epoch=3)
    >>> display.plot().ax_.get_xlabel()
    'Epoch'
    """

    ax_: Axes
    figure_: Figure
    line_: Line2D
    lines_: list[Line2D]
    band_: PolyCollection | None

    def __init__(
        self,
        scores: ArrayLike,
        epochs: ArrayLike,
        *,
        best_epoch: int,
        one_se_epoch: int,
        score_name: str = "Score",
    ) -> None:
        self.scores = scores
        self.epochs = epochs
        self.best_epoch = best_epoch
        self.one_se_epoch = one_se_epoch
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        groups: Any = None,
        cv: Any = None,
        scoring: Any = None,
        every: int = 1,
        n_jobs: int | None = None,
        score_name: str | None = None,
        ax: Axes | None = None,
    ) -> EpochCurveDisplay:
        """Train on each fold, score after each epoch, and draw the scores.

        Parameters
        ----------
        estimator : estimator
            An :class:`~sksegment.FCNSegmenter`, or a Pipeline that ends in one.
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images.
        y : array-like of shape (n, height, width), or sequence
            Their masks.
        groups : array-like, default=None
            What a splitter may need.
        cv : int, cross-validation splitter or iterable, default=None
            The folds.
        scoring : callable, default=None
            A scorer; None takes the `score` of the estimator.
        every : int, default=1
            Score after every such number of epochs.
        n_jobs : int, default=None
            Folds that are trained at the same time.
        score_name : str, default=None
            What the vertical axis says; by default the name of the scorer, or "Mean
            IoU".
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        EpochCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            As in :func:`~sksegment.model_selection.epoch_curve`.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        curve = epoch_curve(
            estimator,
            X,
            y,
            groups=groups,
            cv=cv,
            scoring=scoring,
            every=every,
            n_jobs=n_jobs,
        )
        if score_name is None:
            score_name = _name_of(scoring)
        return cls(**curve, score_name=score_name).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> EpochCurveDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.

        Returns
        -------
        EpochCurveDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError
            If `scores` and `epochs` do not fit together.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        scores = np.atleast_2d(np.asarray(self.scores, np.float64))
        epochs = np.asarray(self.epochs)
        if scores.ndim != 2 or epochs.shape != scores.shape[1:]:
            raise ValueError(
                f"scores has shape {scores.shape} and epochs {epochs.shape}; expected "
                f"(n_folds, n_scored) and (n_scored,)."
            )
        self.figure_, self.ax_ = single_axes(ax, (5.6, 4.0))
        self.lines_ = self.ax_.plot(epochs, scores.T, color=CURVE, alpha=0.3, lw=0.8)
        means = scores.mean(axis=0)
        self.band_ = None
        if len(scores) > 1:
            errors = scores.std(axis=0, ddof=1) / np.sqrt(len(scores))
            self.band_ = self.ax_.fill_between(
                epochs, means - errors, means + errors, color=CURVE, alpha=0.15, lw=0
            )
        label = f"mean of {len(scores)} folds" if len(scores) > 1 else "one fold"
        (self.line_,) = self.ax_.plot(epochs, means, color=CURVE, label=label)
        self._mark(self.best_epoch, "best", BEST, "-")
        self._mark(self.one_se_epoch, "within one standard error", ONE_SE, "--")
        self.ax_.set(xlabel="Epoch", ylabel=self.score_name)
        count_epochs(self.ax_)
        self.ax_.legend(frameon=False)
        return self

    def _mark(self, epoch: int, what: str, color: str, style: str) -> None:
        self.ax_.axvline(
            epoch, color=color, linestyle=style, lw=1, label=f"{what}: epoch {epoch}"
        )


def _name_of(scoring: Any) -> str:
    if scoring is None:
        return "Mean IoU"
    name = getattr(scoring, "__name__", scoring)
    return str(name).replace("_", " ").capitalize()
