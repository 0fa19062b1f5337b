"""The confusion matrix of pixels as a picture."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_choice
from sksegment._inputs.containers import as_array
from sksegment._inputs.image_list import as_masks
from sksegment._inputs.labels import label_array
from sksegment._inputs.nodata import fitted_ignore_label
from sksegment._inputs.pipelines import final_estimator
from sksegment.display._class_names import (
    Names,
    _as_names,
    _found_classes,
    _names_by_label,
)
from sksegment.display._figure import require_matplotlib, single_axes
from sksegment.display._pictures import check_cmap
from sksegment.metrics import pixel_confusion_matrix
from sksegment.metrics._image_counts import count_pixels
from sksegment.metrics._scorers import accumulate_predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# What the entries of the matrix are shares of, and the axis over which these sum to 1.
NORMALIZE: dict[str | None, tuple[int, ...]] = {
    "true": (1,),
    "pred": (0,),
    "all": (0, 1),
}
CELL_SIZE = 0.42  # inches
UPRIGHT = 3  # names of up to so many characters stand side by side
MARGIN = 1.9  # inches: names of classes and color bar


class ConfusionDisplay:
    """Which classes are taken for which: a confusion matrix of pixels as a picture.

    Rows are true classes, columns predicted ones. Make one with `from_estimator` or
    `from_predictions`.

    Parameters
    ----------
    confusion_matrix : ndarray of shape (n_classes, n_classes)
        Pixels by true and predicted label, as `pixel_confusion_matrix` counts them.
    classes : array-like of shape (n_classes,)
        The label values of rows and columns.
    class_names : sequence of str or dict of label to str, default=None
        The names at the axes, in the order of `classes`; by default the label values.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes
        The axes.
    im_ : matplotlib AxesImage
        The matrix as it is drawn.
    text_ : ndarray of shape (n_classes, n_classes), dtype object
        The numbers in the cells, as matplotlib Text.

    See Also
    --------
    ConfusionDisplay.from_estimator : Predict and draw.
    ConfusionDisplay.from_predictions : Draw what has been predicted.
    sksegment.metrics.pixel_confusion_matrix : The numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.display import ConfusionDisplay
    >>> X, y = make_shapes(2, random_state=0)
    >>> display = ConfusionDisplay.from_predictions(
    ...     y, np.roll(y, 2, axis=2), class_names=["-", "disk", "square", "triangle"]
    ... )
    >>> display.ax_.get_ylabel()
    'True class'
    """

    figure_: Figure
    ax_: Axes
    im_: AxesImage
    text_: NDArray[np.object_]

    def __init__(
        self,
        confusion_matrix: NDArray[Any],
        *,
        classes: ArrayLike,
        class_names: Names = None,
    ) -> None:
        self.confusion_matrix = confusion_matrix
        self.classes = classes
        self.class_names = class_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        normalize: str | None = "true",
        class_names: Names = None,
        ax: Axes | None = None,
        cmap: str | Colormap = "cividis",
    ) -> ConfusionDisplay:
        """Predict images, count the pixels, and draw the matrix.

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
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
                array-like of shape (height, width), default=None
            Weights, one per image or one per pixel.
        normalize : {"true", "pred", "all"} or None, default="true"
            See `plot`.
        class_names : sequence of str or dict of label to str, default=None
            The names at the axes, in the order of `estimator.classes_`.
        ax : matplotlib Axes, default=None
            See `plot`.
        cmap : str or Colormap, default="cividis"
            See `plot`.

        Returns
        -------
        ConfusionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError, TypeError
            If images and masks do not match, or `y` has labels that are not classes of
            the estimator.

        See Also
        --------
        ConfusionDisplay.from_predictions : Draw what has been predicted.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        check_choice("normalize", normalize, (*NORMALIZE, None))
        fitted = final_estimator(estimator)
        ignored = fitted_ignore_label(fitted)
        counted = count_pixels(fitted.classes_, ignored, by_image=False)
        accumulate_predictions(counted, estimator, "predict", X, y, sample_weight)
        display = cls(
            counted.confusion.counts, classes=fitted.classes_, class_names=class_names
        )
        return display.plot(normalize=normalize, ax=ax, cmap=cmap)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        sample_weight: Any = None,
        normalize: str | None = "true",
        class_names: Names = None,
        ax: Axes | None = None,
        cmap: str | Colormap = "cividis",
    ) -> ConfusionDisplay:
        """Count the pixels of masks that have been predicted, and draw the matrix.

        Parameters
        ----------
        y_true : array-like of shape (n, height, width) or list of mask or path
            The true masks.
        y_pred : array-like of shape (n, height, width) or list of mask or path
            The predicted masks.
        classes : array-like of shape (n_classes,), default=None
            All label values, in the order in which they are drawn. By default, those of
            the masks; given a list of names, 0, 1, ... where these cover all labels.
        ignore_label : object, default=None
            The label value that is not a class.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence of \
                array-like of shape (height, width), default=None
            Weights, one per image or one per pixel.
        normalize : {"true", "pred", "all"} or None, default="true"
            See `plot`.
        class_names : sequence of str or dict of label to str, default=None
            The names at the axes, in the order of `classes`.
        ax : matplotlib Axes, default=None
            See `plot`.
        cmap : str or Colormap, default="cividis"
            See `plot`.

        Returns
        -------
        ConfusionDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If the masks do not match, or hold labels that are not in `classes`.

        See Also
        --------
        ConfusionDisplay.from_estimator : Predict and draw.
        """
        require_matplotlib(f"{cls.__name__}.from_predictions")
        check_choice("normalize", normalize, (*NORMALIZE, None))
        names = _as_names(class_names)
        masks = as_masks(y_true, "y_true"), as_masks(y_pred, "y_pred")
        if classes is None:
            classes = _found_classes(chain(*masks), ignore_label, names)
        matrix = pixel_confusion_matrix(
            y_true,
            y_pred,
            labels=classes,
            ignore_label=ignore_label,
            sample_weight=sample_weight,
        )
        display = cls(matrix, classes=classes, class_names=names)
        return display.plot(normalize=normalize, ax=ax, cmap=cmap)

    def plot(
        self,
        *,
        normalize: str | None = "true",
        ax: Axes | None = None,
        cmap: str | Colormap = "cividis",
    ) -> ConfusionDisplay:
        """Draw the display.

        Parameters
        ----------
        normalize : {"true", "pred", "all"} or None, default="true"
            What the entries are percentages of: of the true pixels of a class (so that
            the diagonal is its accuracy), of the pixels predicted as a class (its
            precision), or of all. None draws numbers of pixels.
        ax : matplotlib Axes, default=None
            The axes to draw in. None makes a new figure.
        cmap : str or Colormap, default="cividis"
            A matplotlib color map.

        Returns
        -------
        ConfusionDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If a parameter is out of range, or `confusion_matrix` or `class_names` does
            not match `classes`.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        check_choice("normalize", normalize, (*NORMALIZE, None))
        check_cmap(cmap)
        labels = label_array(self.classes, "classes")
        names = _names_by_label(labels, _as_names(self.class_names))
        values = _shares(_square(self.confusion_matrix, len(labels)), normalize)
        side = CELL_SIZE * max(len(names), 4) + MARGIN
        self.figure_, self.ax_ = single_axes(ax, (side + 0.6, side))
        self.im_ = self.ax_.imshow(
            values, cmap=cmap, vmin=0, vmax=None if normalize is None else 100
        )
        title = "pixels" if normalize is None else "% of pixels"
        self.figure_.colorbar(self.im_, ax=self.ax_, label=title, shrink=0.8)
        self.text_ = _write_values(self.ax_, self.im_, values, normalize)
        ticks = np.arange(len(names))
        is_short = max(map(len, names)) <= UPRIGHT
        self.ax_.set_xticks(ticks, names, rotation=0 if is_short else 90)
        self.ax_.set_yticks(ticks, names)
        self.ax_.set(xlabel="Predicted class", ylabel="True class")
        return self


def _square(matrix: Any, n_classes: int) -> NDArray[Any]:
    """Return the matrix as an array with a row and a column for each class."""
    array = as_array(matrix, "confusion_matrix")
    if array.shape != (n_classes, n_classes):
        raise ValueError(
            f"confusion_matrix has shape {array.shape}, but there are {n_classes} "
            f"classes; expected {(n_classes, n_classes)}."
        )
    return array


def _shares(matrix: NDArray[Any], normalize: str | None) -> NDArray[Any]:
    """Return percentages, NaN where there is nothing to take one of."""
    if normalize is None:
        return matrix
    total = matrix.sum(axis=NORMALIZE[normalize], keepdims=True)
    shares = np.full(matrix.shape, np.nan)
    np.divide(100.0 * matrix, total, out=shares, where=total > 0)
    return shares


def _write_values(
    ax: Axes, image: AxesImage, values: NDArray[Any], normalize: str | None
) -> NDArray[np.object_]:
    """Write each value into its cell, dark on light colors and light on dark ones."""
    texts = np.empty(values.shape, dtype=object)
    for place, value in np.ndenumerate(values):
        red, green, blue, _ = image.to_rgba(value)
        is_light = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
        texts[place] = ax.text(
            place[1],
            place[0],
            _number(value, normalize),
            color="black" if is_light else "white",
            ha="center",
            va="center",
            fontsize="x-small" if normalize is None or len(values) > 12 else "small",
        )
    return texts


def _number(value: float, normalize: str | None) -> str:
    """Write a percentage, or a number of pixels with two digits."""
    if np.isnan(value) or value == 0:  # most cells: the others stand out
        return ""
    if normalize is None:
        return _rounded(value)
    # Never "0" or "100" where something was mixed up.
    if 0 < value < 0.5:
        return "<1"
    return ">99" if 99.5 <= value < 100 else f"{value:.0f}"


def _rounded(pixels: float) -> str:
    """Write a number of pixels with two or three digits: 940, 1.2k, 37k, 210M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if pixels >= unit:
            scaled = pixels / unit
            return f"{scaled:.1f}{letter}" if scaled < 10 else f"{scaled:.0f}{letter}"
    return f"{pixels:.3g}"
