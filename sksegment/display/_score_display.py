"""The scores of the classes with their intervals, of one model or of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.image_list import as_masks
from sksegment._inputs.labels import label_array
from sksegment._inputs.nodata import (
    fitted_ignore_label,
    fitted_nodata,
    split_off_all,
)
from sksegment._inputs.pipelines import final_estimator
from sksegment.display._class_names import (
    Names,
    _as_names,
    _found_classes,
    _names_by_label,
)
from sksegment.display._figure import (
    UNIT_LIMITS,
    require_matplotlib,
    single_axes,
)
from sksegment.display._legend import add_plot_legend
from sksegment.metrics import segmentation_report
from sksegment.metrics._accumulator import check_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

ROW_HEIGHT = 0.26  # inches
# Models are told apart by markers as well as by colors.
MARKERS = "osD^vPX*"
MEAN = "mean_iou"


class ScoreDisplay:
    """IoU of each class with its interval, of one model or of several side by side.

    Make one with `from_estimator` or `from_predictions`.

    Parameters
    ----------
    reports : dict of str to dict
        For each model, under its name, what `segmentation_report` returns with
        `output_dict=True`, of the same classes; intervals are drawn if it has a
        `confidence_level`.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes
        The axes.
    errorbars_ : dict of str to matplotlib ErrorbarContainer
        The points and intervals of each model.
    legend_ : matplotlib Legend or None
        The names of several models: below the figure, or within the axes that were
        given.

    See Also
    --------
    ScoreDisplay.from_estimator : Predict and draw.
    ScoreDisplay.from_predictions : Draw what has been predicted.
    sksegment.metrics.segmentation_report : The numbers.
    sksegment.metrics.compare_scores : Tells whether two models differ.

    Notes
    -----
    Intervals of two models that overlap do not mean that the models are alike: both see
    the same images, some of which are harder for either.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.display import ScoreDisplay
    >>> X, y = make_shapes(10, random_state=0)
    >>> predicted = {"near": np.roll(y, 1, axis=2), "far": np.roll(y, 3, axis=2)}
    >>> display = ScoreDisplay.from_predictions(y, predicted)
    >>> sorted(display.errorbars_)
    ['far', 'near']
    """

    figure_: Figure
    ax_: Axes
    errorbars_: dict[str, ErrorbarContainer]
    legend_: Legend | None

    def __init__(self, reports: Mapping[str, Mapping[str, Any]]) -> None:
        self.reports = reports

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        exclude: Sequence[Any] = (),
        sample_weight: Any = None,
        confidence_level: float | None = 0.95,
        n_resamples: int = 1000,
        random_state: int | np.random.RandomState | None = 0,
        class_names: Names = None,
        ax: Axes | None = None,
    ) -> ScoreDisplay:
        """Predict images and draw the scores.

        Parameters
        ----------
        estimator : estimator or dict of str to estimator
            A fitted segmenter, or a Pipeline or search object that ends in one; several
            of them under their names, which know the same classes.
        X : array-like of shape (n, height, width, n_channels) or (n, height, width), \
                or list of array or path
            The images.
        y : array-like of shape (n, height, width) or list of mask or path
            The true masks.
        exclude : sequence of label, default=()
            Classes to leave out of the mean. They are still drawn.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
                array-like of shape (height, width), default=None
            Weights, one per image or one per pixel.
        confidence_level : float, default=0.95
            How often an interval should hold the score; None draws none.
        n_resamples : int, default=1000
            How many times images are drawn for the intervals.
        random_state : int, RandomState instance or None, default=0
            Fixes the draws.
        class_names : sequence of str or dict of label to str, default=None
            The names at the axis, in the order of `estimator.classes_`.
        ax : matplotlib Axes, default=None
            See `plot`.

        Returns
        -------
        ScoreDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If an estimator is not fitted.
        ValueError, TypeError
            If images and masks do not match, estimators know other classes, or as in
            `segmentation_report`.

        See Also
        --------
        ScoreDisplay.from_predictions : Draw what has been predicted.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        estimators = _by_name(estimator, type(final_estimator(estimator)).__name__)
        for fitted in estimators.values():
            check_is_fitted(fitted)
        classes = _common_classes(estimators)
        ignored = _common_ignore_label(estimators)
        predictions = {}
        for name, fitted in estimators.items():
            y, predictions[name] = _predicted(fitted, X, y, ignored)
        return cls.from_predictions(
            y,
            predictions,
            classes=classes,
            ignore_label=ignored,
            exclude=exclude,
            sample_weight=sample_weight,
            confidence_level=confidence_level,
            n_resamples=n_resamples,
            random_state=random_state,
            class_names=class_names,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        exclude: Sequence[Any] = (),
        sample_weight: Any = None,
        confidence_level: float | None = 0.95,
        n_resamples: int = 1000,
        random_state: int | np.random.RandomState | None = 0,
        class_names: Names = None,
        ax: Axes | None = None,
    ) -> ScoreDisplay:
        """Draw the scores of masks that have been predicted.

        Parameters
        ----------
        y_true : array-like of shape (n, height, width) or list of mask or path
            The true masks.
        y_pred : array-like of shape (n, height, width), list of mask or path, or dict \
                of str to these
            The predicted masks; those of several models under their names.
        classes : array-like of shape (n_classes,), default=None
            All label values, in the order in which they are drawn. By default, those of
            the masks; given a list of names, 0, 1, ... where these cover all labels.
        ignore_label : object, default=None
            The label value that is not a class.
        exclude : sequence of label, default=()
            Classes to leave out of the mean. They are still drawn.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
                array-like of shape (height, width), default=None
            Weights, one per image or one per pixel.
        confidence_level : float, default=0.95
            How often an interval should hold the score; None draws none.
        n_resamples : int, default=1000
            How many times images are drawn for the intervals.
        random_state : int, RandomState instance or None, default=0
            Fixes the draws.
        class_names : sequence of str or dict of label to str, default=None
            The names at the axis, in the order of `classes`.
        ax : matplotlib Axes, default=None
            See `plot`.

        Returns
        -------
        ScoreDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If the masks do not match, or as in `segmentation_report`.

        See Also
        --------
        ScoreDisplay.from_estimator : Predict and draw.
        """
        require_matplotlib(f"{cls.__name__}.from_predictions")
        predictions = _by_name(y_pred, "model")
        names = _as_names(class_names)
        if classes is None:
            masks = (as_masks(y) for y in (y_true, *predictions.values()))
            classes = _found_classes(chain(*masks), ignore_label, names)
        labels = label_array(classes, "classes")
        reports = {
            name: segmentation_report(
                y_true,
                predicted,
                labels=labels,
                target_names=_names_by_label(labels, names),
                ignore_label=ignore_label,
                exclude=exclude,
                sample_weight=sample_weight,
                output_dict=True,
                confidence_level=confidence_level,
                n_resamples=n_resamples,
                random_state=random_state,
            )
            for name, predicted in predictions.items()
        }
        return cls(reports).plot(ax=ax)  # type: ignore[arg-type]

    def plot(self, *, ax: Axes | None = None) -> ScoreDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            The axes to draw in. None makes a new figure.

        Returns
        -------
        ScoreDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If `ax` is not an Axes, or the reports have other classes.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        rows = _rows(self.reports)
        height = ROW_HEIGHT * (len(rows) + 1) * max(1, 0.6 * len(self.reports)) + 0.9
        self.figure_, self.ax_ = single_axes(ax, (5.2, height))
        self.errorbars_ = {}
        for index, (name, report) in enumerate(self.reports.items()):
            offset = 0.6 * ((index + 0.5) / len(self.reports) - 0.5)
            self.errorbars_[name] = self._draw_model(
                report, rows, offset, marker=MARKERS[index % len(MARKERS)], label=name
            )
        # The mean is set apart from what it is the mean of.
        self.ax_.axhline(len(rows) - 1.5, color="gray", lw=0.8, alpha=0.6)
        self.ax_.set_yticks(np.arange(len(rows)), [*rows[:-1], "mean"])
        self.ax_.set(
            xlim=UNIT_LIMITS, ylim=(len(rows) - 0.5, -0.5), xlabel=self._label()
        )
        self.ax_.grid(axis="x", alpha=0.3)
        self.legend_ = None
        if len(self.reports) > 1:
            models = [*self.errorbars_.values()]
            self.legend_ = add_plot_legend(
                self.figure_, self.ax_, models, ax is None, "best"
            )
        return self

    def _draw_model(
        self, report: Mapping[str, Any], rows: list[str], offset: float, **style: Any
    ) -> ErrorbarContainer:
        values, reaches = [], []
        for row in rows:
            scores, key = (report, row) if row == MEAN else (report[row], "iou")
            value = scores[key]
            low, high = scores.get(f"{key}_interval", (value, value))
            values.append(value)
            # A percentile interval need not hold the score itself.
            reaches.append((max(0.0, value - low), max(0.0, high - value)))
        return self.ax_.errorbar(
            values,
            np.arange(len(rows)) + offset,
            xerr=np.transpose(reaches),
            linestyle="none",
            markersize=5,
            elinewidth=1.5,
            **style,
        )

    def _label(self) -> str:
        level = next(iter(self.reports.values())).get("confidence_level")
        return "IoU" if level is None else f"IoU, with intervals of {100 * level:g} %"


def _by_name(given: Any, name: str) -> dict[str, Any]:
    """Return what is given by name, as it is, or else under `name`."""
    if not isinstance(given, Mapping):
        return {name: given}
    if not given:
        raise ValueError("The dict of models is empty; expected one of them or more.")
    return {str(key): value for key, value in given.items()}


def _common_classes(estimators: Mapping[str, Any]) -> Any:
    """Return the classes of all estimators, or say which differ."""
    classes = {name: final_estimator(e).classes_ for name, e in estimators.items()}
    (first, expected), *others = classes.items()
    for name, found in others:
        if not np.array_equal(found, expected):
            raise ValueError(
                f"{name} has the classes {found.tolist()}, but {first} has "
                f"{expected.tolist()}; expected estimators of the same classes."
            )
    return expected


def _common_ignore_label(estimators: Mapping[str, Any]) -> Any:
    """Return one ignored label for all estimators, that of masks if there is one."""
    of_masks = [
        getattr(final_estimator(fitted), "ignore_label", None)
        for fitted in estimators.values()
    ]
    of_missing = map(fitted_ignore_label, estimators.values())
    return next(
        (label for label in (*of_masks, *of_missing) if label is not None), None
    )


def _predicted(estimator: Any, X: Any, y: Any, ignore_label: Any) -> tuple[Any, Any]:
    """Return true and predicted masks, to be left out where there are no data."""
    y_pred, nodata = estimator.predict(X), fitted_nodata(estimator)
    if nodata is None:
        return y, y_pred
    masks = as_masks(y)
    check_numbers(masks, y_pred)
    common = replace(nodata, ignored=ignore_label)
    return split_off_all(masks, y_pred, common, final_estimator(estimator).classes_)


def _rows(reports: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of the classes, and that of their mean."""
    if not reports:
        raise ValueError("reports is empty; expected the report of a model, or more.")
    classes = [
        [name for name, scores in report.items() if isinstance(scores, Mapping)]
        for report in reports.values()
    ]
    if any(found != classes[0] for found in classes):
        raise ValueError(
            f"The reports have the classes {classes}; expected the same in all of them."
        )
    return [*classes[0], MEAN]
