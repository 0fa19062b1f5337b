"""Images, masks and predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_integer
from sksegment._inputs.image_list import (
    ImageList,
    as_images,
    as_masks,
    check_pair,
    check_pairs,
)
from sksegment._inputs.labels import IGNORED, LabelEncoder
from sksegment._inputs.pipelines import final_estimator
from sksegment.display._class_names import (
    Names,
    _as_names,
    _found_classes,
    _names_by_label,
    _sorted_classes,
)
from sksegment.display._figure import add_legend, axes_grid, draw, require_matplotlib
from sksegment.display._pictures import (
    ERROR_COLOR,
    STRIPES,
    class_colors,
    color_mask,
    displayable,
    error_picture,
)
from sksegment.display._thinning import (
    ThinMasks,
    thin_image,
    thin_masks,
    thinning_factor,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend


def _error_title(n_scored: int, n_wrong: int) -> str:
    if n_scored == 0:
        return "Errors (all ignored)"
    share = 100.0 * (1.0 - n_wrong / n_scored)
    # Never "100.0% right" beside red pixels.
    share = min(share, 99.9) if n_wrong else share
    return f"Errors ({share:.1f}% right)"


def _image_title(n_channels: int) -> str:
    if n_channels == 2:
        return "Image (channel 1 of 2)"
    return f"Image (channels 1-3 of {n_channels})" if n_channels > 3 else "Image"


def _head(data: Any, n: int) -> Any:
    """Return the first `n` items in the container that they came in."""
    return data.iloc[:n] if hasattr(data, "iloc") else data[:n]


def _first_pairs(
    X: Any, y_true: Any, y_pred: Any, n_images: int | None
) -> tuple[list[NDArray[Any]], list[NDArray[Any]] | None, list[NDArray[Any]]]:
    """Return the first images, their true masks if any, and predicted masks."""
    images = as_images(X)
    n_shown = len(images) if n_images is None else min(n_images, len(images))
    shown = list(images.take(range(n_shown)))
    predicted = _first_masks(images, shown, y_pred)
    true = None if y_true is None else _first_masks(images, shown, y_true)
    return shown, true, predicted


def _first_masks(
    images: ImageList, shown: list[NDArray[Any]], y: Any
) -> list[NDArray[Any]]:
    """Return the masks of the first images, each as large as its image."""
    masks = as_masks(y)
    check_pairs(images, masks)
    first = list(masks.take(range(len(shown))))
    for index, (image, mask) in enumerate(zip(shown, first, strict=True)):
        check_pair(image, mask, masks, index)
    return first


class SegmentationDisplay:
    """Images beside their masks, and where a prediction is wrong.

    One row per image: the image, the true mask, the predicted mask, and the errors: the
    image in grey with the wrong pixels in red. Pixels of the ignored label are striped
    in grey and never count as errors. Of images with a side above 1024 pixels a reduced
    picture is drawn, in which a wrong pixel stays visible. Make one with
    `from_estimator` or `from_predictions`.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width[, n_channels])
        The images, of any real dtype; sizes may differ.
    y_true : sequence of ndarray of shape (height, width) or None
        The true masks. None draws images and predictions only.
    y_pred : sequence of ndarray of shape (height, width)
        The predicted masks.
    classes : array-like of shape (n_classes,)
        The label values.
    ignore_label : object, default=None
        The label value that is not a class.
    class_names : sequence of str or dict of label to str, default=None
        The names for the legend, in the order of `classes`; by default the label
        values.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : ndarray of shape (n_images, 4) or (n_images, 2), dtype object
        The axes, one row per image: image, truth, prediction, errors; without truth,
        only image and prediction.
    images_ : ndarray of the shape of `axes_`, dtype object
        The `AxesImage` drawn in each of the axes.
    legend_ : matplotlib Legend
        The legend: the classes that occur in what is drawn.

    See Also
    --------
    SegmentationDisplay.from_estimator : Predict and draw.
    SegmentationDisplay.from_predictions : Draw what has been predicted.

    Examples
    --------
    The truth, shifted by two pixels, as a prediction:

    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.display import SegmentationDisplay
    >>> X, y = make_shapes(2, random_state=0)
    >>> display = SegmentationDisplay.from_predictions(
    ...     X, y, np.roll(y, 2, axis=2), class_names=["-", "disk", "square", "triangle"]
    ... )
    >>> display.axes_.shape
    (2, 4)
    """

    figure_: Figure
    axes_: NDArray[np.object_]
    images_: NDArray[np.object_]
    legend_: Legend

    def __init__(
        self,
        images: Sequence[NDArray[Any]],
        y_true: Sequence[NDArray[Any]] | None,
        y_pred: Sequence[NDArray[Any]],
        *,
        classes: ArrayLike,
        ignore_label: Any = None,
        class_names: Names = None,
    ) -> None:
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.classes = classes
        self.ignore_label = ignore_label
        self.class_names = class_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        n_images: int = 4,
        class_names: Names = None,
        ax: Any = None,
        cmap: str | Colormap | None = None,
    ) -> SegmentationDisplay:
        """Predict the first images and draw them.

        Parameters
        ----------
        estimator : estimator
            A fitted segmenter, or a Pipeline or search object that ends in one.
        X : array-like of shape (n, height, width, n_channels) or (n, height, width), \
                or list of array or path
            The images. Only those drawn are read and predicted.
        y : array-like of shape (n, height, width) or list of mask or path, default=None
            The true masks. None draws images and predictions only.
        n_images : int, default=4
            How many images are drawn, from the first on.
        class_names : sequence of str or dict of label to str, default=None
            The names for the legend, in the order of `estimator.classes_`.
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        cmap : str or Colormap, default=None
            See `plot`.

        Returns
        -------
        SegmentationDisplay
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
        SegmentationDisplay.from_predictions : Draw what has been predicted.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        check_integer("n_images", n_images, 1)
        if y is not None:
            # All images are checked: the slices below would hide a mismatch.
            check_pairs(as_images(X), as_masks(y))
        return cls.from_predictions(
            _head(X, n_images),
            None if y is None else _head(y, n_images),
            estimator.predict(_head(X, n_images)),
            n_images=n_images,
            classes=getattr(estimator, "classes_", None),
            ignore_label=getattr(final_estimator(estimator), "ignore_label", None),
            class_names=class_names,
            ax=ax,
            cmap=cmap,
        )

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        y_true: Any,
        y_pred: Any,
        *,
        n_images: int = 4,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        class_names: Names = None,
        ax: Any = None,
        cmap: str | Colormap | None = None,
    ) -> SegmentationDisplay:
        """Draw the first images with masks that have been predicted.

        Parameters
        ----------
        X : array-like of shape (n, height, width, n_channels) or (n, height, width), \
                or list of array or path
            The images. Only those drawn are read.
        y_true : array-like of shape (n, height, width), list of mask or path, or None
            The true masks. None draws images and predictions only.
        y_pred : array-like of shape (n, height, width) or list of mask or path
            The predicted masks.
        n_images : int, default=4
            How many images are drawn, from the first on.
        classes : array-like of shape (n_classes,), default=None
            All label values, so that a class has the same color in every drawing. By
            default, those of the masks drawn; given a list of names, 0, 1, ... where
            these cover all labels of the masks.
        ignore_label : object, default=None
            The label value that is not a class.
        class_names : sequence of str or dict of label to str, default=None
            The names for the legend, in the order of `classes`.
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        cmap : str or Colormap, default=None
            See `plot`.

        Returns
        -------
        SegmentationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If images and masks do not match, or a mask has a label that is not in
            `classes`.

        See Also
        --------
        SegmentationDisplay.from_estimator : Predict and draw.
        """
        require_matplotlib(f"{cls.__name__}.from_predictions")
        check_integer("n_images", n_images, 1)
        names = _as_names(class_names)
        shown, true, predicted = _first_pairs(X, y_true, y_pred, n_images)
        if classes is None:
            masks = [*predicted, *(true or [])]
            classes = _found_classes(masks, ignore_label, names)
        labels, names = _sorted_classes(classes, names)
        display = cls(
            shown,
            true,
            predicted,
            classes=labels,
            ignore_label=ignore_label,
            class_names=names,
        )
        return display.plot(ax=ax, cmap=cmap)

    def plot(
        self,
        *,
        ax: Any = None,
        n_images: int | None = None,
        cmap: str | Colormap | None = None,
    ) -> SegmentationDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            An Axes, whose area is divided into the panels, or the axes of the panels
            themselves, 4 per image (2 without truth). The legend is to their right;
            ``plt.subplots(layout="constrained")`` makes room for it. None makes a new
            figure.
        n_images : int, default=None
            How many images are drawn, from the first on; None draws all.
        cmap : str or Colormap, default=None
            A matplotlib color map for the classes; by default, a palette of this
            package.

        Returns
        -------
        SegmentationDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If a parameter is out of range, or a mask has a label that is not in
            `classes`.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        if n_images is not None:
            check_integer("n_images", n_images, 1)
        classes, by_class = _sorted_classes(self.classes, _as_names(self.class_names))
        names = _names_by_label(classes, by_class)
        colors = class_colors(len(classes), cmap)
        images, y_true, y_pred = _first_pairs(
            self.images, self.y_true, self.y_pred, n_images
        )
        encoder = LabelEncoder(classes, self.ignore_label)
        factors = [thinning_factor(*image.shape[:2]) for image in images]
        masks = [
            thin_masks(
                None if y_true is None else y_true[i],
                mask,
                encoder,
                factors[i],
                (f"y_true[{i}]", f"y_pred[{i}]"),
            )
            for i, mask in enumerate(y_pred)
        ]
        rows = [
            _row(thin_image(image, factors[i]), masks[i], colors, i)
            for i, image in enumerate(images)
        ]
        entries = _legend_entries(masks, names, colors)
        aspects = [image.shape[0] / image.shape[1] for image in images]
        shape = (len(rows), len(rows[0]))
        self.figure_, self.axes_ = axes_grid(ax, shape, aspects, entries)
        self.images_ = np.empty(shape, dtype=object)
        for place, panel in np.ndenumerate(self.axes_):
            self.images_[place] = draw(panel, *rows[place[0]][place[1]])
        self.legend_ = add_legend(self.figure_, self.axes_, entries, ax is None)
        return self


def _row(
    image: NDArray[Any],
    masks: ThinMasks,
    colors: NDArray[np.float64],
    index: int,
) -> list[tuple[NDArray[Any], str]]:
    """Return the picture and the title of each panel of one image."""
    title = _once(_image_title(image.shape[-1]), index)
    true = masks.true
    counted = None if true is None else true != IGNORED
    row: list[tuple[NDArray[Any], str]] = [(displayable(image, counted), title)]
    prediction = color_mask(masks.predicted, colors), _once("Prediction", index)
    if true is None or masks.pair is None:
        return [*row, prediction]
    row += [(color_mask(true, colors), _once("Truth", index)), prediction]
    errors = error_picture(image, *masks.pair)
    return [*row, (errors, _error_title(masks.n_scored, masks.n_wrong))]


def _legend_entries(
    masks: list[ThinMasks],
    names: list[str],
    colors: NDArray[np.float64],
) -> list[Artist]:
    """Return a patch for each class that occurs, for ignored and wrong pixels."""
    from matplotlib.patches import Patch

    codes = sorted(set[int]().union(*(mask.codes for mask in masks)))
    entries: list[Artist] = [
        Patch(facecolor=colors[code], label=names[code])
        for code in codes
        if code != IGNORED
    ]
    if IGNORED in codes:
        light, dark = map(str, STRIPES)
        stripes = {"facecolor": light, "edgecolor": dark, "hatch": "//////"}
        entries.append(Patch(linewidth=0, label="ignored", **stripes))  # type: ignore[arg-type]
    if masks[0].true is not None:
        entries.append(Patch(facecolor=ERROR_COLOR, label="wrong"))
    return entries


def _once(title: str, index: int) -> str:
    """Return a column's title in the first row, an empty one below."""
    return title if index == 0 else ""
