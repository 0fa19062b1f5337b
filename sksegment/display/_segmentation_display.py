"""Images, masks and predictions side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.checks import check_choice, check_integer
from sksegment._inputs.labels import LabelEncoder
from sksegment._inputs.nodata import fitted_ignore_label, fitted_nodata
from sksegment._inputs.positions import first_items
from sksegment.display._class_names import (
    Names,
    _as_names,
    _found_classes,
    _names_by_label,
    _sorted_classes,
)
from sksegment.display._figure import (
    axes_grid,
    draw,
    fit_titles,
    is_top_of_kind,
    require_matplotlib,
)
from sksegment.display._legend import add_legend
from sksegment.display._missing_data import ignored_without_data
from sksegment.display._panels import (
    MODES,
    Panel,
    legend_entries,
    n_panels,
    panels_of,
)
from sksegment.display._pictures import (
    check_has_channels,
    check_shown_channels,
    class_colors,
)
from sksegment.display._shown_images import (
    ORDERS,
    checked_pairs,
    shown_images,
    worst_images,
)
from sksegment.display._thinning import (
    ThinMasks,
    thin_image,
    thin_masks,
    thinning_factor,
)

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend


def _check_number(name: str, values: Sequence[Any] | None, n_images: int) -> None:
    if values is not None and len(values) != n_images:
        raise ValueError(
            f"{name} has {len(values)} entries for {n_images} images; expected one per "
            f"image."
        )


class SegmentationDisplay:
    """Images with their masks, and where a prediction is wrong.

    By default, an image has four panels: the image, the true mask, the predicted mask,
    and the errors, which are the image in grey with the wrong pixels in red. Pixels of
    the ignored label are striped in grey and never count as errors. A truth that
    consists of strokes, with nearly all pixels ignored, is drawn as strokes over the
    image. Of images with a side above 1024 pixels a reduced picture is drawn, in which
    wrong pixels and strokes stay visible. Make one with `from_estimator` or
    `from_predictions`.

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
    indices : sequence of int, default=None
        The number of each image, to stand above it.
    scores : sequence of float, default=None
        The mean IoU of each image, to stand above it.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : ndarray of shape (n_images, n_panels), dtype object
        The axes, one row per image. As panels: image, truth, prediction, errors;
        without truth, image and prediction. As overlay: truth and prediction, or
        prediction. As contours: one. In the figure, several images may lie side by
        side.
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

    The same, as outlines over the images:

    >>> display.plot(mode="contours").axes_.shape
    (2, 1)
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
        indices: Sequence[int] | None = None,
        scores: Sequence[float] | None = None,
    ) -> None:
        self.images = images
        self.y_true = y_true
        self.y_pred = y_pred
        self.classes = classes
        self.ignore_label = ignore_label
        self.class_names = class_names
        self.indices = indices
        self.scores = scores

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        n_images: int = 4,
        order: str = "first",
        mode: str = "panels",
        channels: int | Sequence[int] | None = None,
        class_names: Names = None,
        ax: Any = None,
        cmap: str | Colormap | None = None,
    ) -> SegmentationDisplay:
        """Predict images and draw them.

        Parameters
        ----------
        estimator : estimator
            A fitted segmenter, or a Pipeline or search object that ends in one.
        X : array-like of shape (n, height, width, n_channels) or (n, height, width), \
                or list of array or path
            The images. Only those drawn are read and predicted, with order="worst" all.
        y : array-like of shape (n, height, width) or list of mask or path, default=None
            The true masks. None draws images and predictions only.
        n_images : int, default=4
            How many images are drawn.
        order : {"first", "worst"}, default="first"
            Which images are drawn: the first, or those with the lowest mean IoU,
            the lowest first.
        mode : {"panels", "overlay", "contours"}, default="panels"
            See `plot`.
        channels : int or sequence of 3 int, default=None
            See `plot`.
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
        check_choice("order", order, ORDERS)
        if y is not None:
            # All of them: their first items would hide a mismatch.
            checked_pairs(X, y)
        if order == "first":
            X = first_items(X, n_images, "X")
            y = None if y is None else first_items(y, n_images, "y")
        y_pred, nodata = estimator.predict(X), fitted_nodata(estimator)
        classes: Any = getattr(estimator, "classes_", None)
        if nodata is not None:
            y, y_pred = ignored_without_data(y, y_pred, nodata, classes)
        return cls.from_predictions(
            X,
            y,
            y_pred,
            n_images=n_images,
            order=order,
            mode=mode,
            channels=channels,
            classes=classes,
            ignore_label=fitted_ignore_label(estimator),
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
        order: str = "first",
        mode: str = "panels",
        channels: int | Sequence[int] | None = None,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        class_names: Names = None,
        ax: Any = None,
        cmap: str | Colormap | None = None,
    ) -> SegmentationDisplay:
        """Draw images with masks that have been predicted.

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
            How many images are drawn.
        order : {"first", "worst"}, default="first"
            Which images are drawn: the first, or those with the lowest mean IoU,
            the lowest first.
        mode : {"panels", "overlay", "contours"}, default="panels"
            See `plot`.
        channels : int or sequence of 3 int, default=None
            See `plot`.
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
        check_choice("order", order, ORDERS)
        names = _as_names(class_names)
        n_pairs = len(checked_pairs(X, y_pred))
        indices: Any = range(min(n_images, n_pairs))
        scores: Any = None
        if order == "worst":
            known = None if classes is None else np.sort(classes)
            indices, scores = worst_images(
                y_true, y_pred, n_images, known, ignore_label
            )
        shown, true, predicted = shown_images(X, y_true, y_pred, indices)
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
            indices=None if order == "first" else indices,
            scores=scores,
        )
        return display.plot(ax=ax, mode=mode, channels=channels, cmap=cmap)

    def plot(
        self,
        *,
        ax: Any = None,
        n_images: int | None = None,
        mode: str = "panels",
        channels: int | Sequence[int] | None = None,
        cmap: str | Colormap | None = None,
    ) -> SegmentationDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            An Axes, whose area is divided into the panels, or the axes of the panels
            themselves, as many per image as `axes_` has columns. The legend is to their
            right, where the panels make room for it. None makes a new figure.
        n_images : int, default=None
            How many images are drawn, from the first on; None draws all.
        mode : {"panels", "overlay", "contours"}, default="panels"
            "panels" draws image, masks and errors beside each other. "overlay" tints
            the image in the colors of the true and of the predicted classes. "contours"
            outlines the predicted classes in their colors, over the true outlines in
            white, which show where the two differ.
        channels : int or sequence of 3 int, default=None
            The channels to show, counted from 0: one in grey, or red, green and blue,
            as in ``channels=(3, 2, 1)`` for Sentinel-2. Out of 4 or more, each is
            stretched from its 1st to its 99th percentile. By default, of 2 channels the
            first, and of more the first three.
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
        check_choice("mode", mode, MODES)
        classes, by_class = _sorted_classes(self.classes, _as_names(self.class_names))
        names = _names_by_label(classes, by_class)
        for name in ("indices", "scores"):
            _check_number(name, getattr(self, name), len(self.images))
        colors = class_colors(len(classes), cmap)
        images, masks, sizes = self._thinned(classes, n_images)
        shown = check_shown_channels(channels)
        for index, image in enumerate(images):
            check_has_channels(image, shown, index)
        rows = [
            panels_of(image, codes, colors, mode, shown)
            for image, codes in zip(images, masks, strict=True)
        ]
        entries = legend_entries(masks, names, colors, mode)
        shape = len(rows), n_panels(mode, self.y_true is not None)
        aspects = [height / width for height, width in sizes]
        self.figure_, self.axes_ = axes_grid(ax, shape, aspects, entries)
        self.images_ = np.empty(shape, dtype=object)
        for (row, column), axes in np.ndenumerate(self.axes_):
            panel = rows[row][column]
            title = self._title(panel, row, column)
            self.images_[row, column] = draw(
                axes, panel.picture, title, sizes[row], has_lines=mode != "panels"
            )
        self.legend_ = add_legend(self.figure_, self.axes_, entries, ax is None)
        fit_titles(self.axes_, ax is None)
        return self

    def _thinned(
        self, classes: NDArray[Any], n_images: int | None
    ) -> tuple[list[NDArray[Any]], list[ThinMasks], list[tuple[int, int]]]:
        """Return images and masks at the resolution to draw, and the true sizes."""
        if n_images is not None:
            check_integer("n_images", n_images, 1)
        indices = range(len(self.images))[:n_images]
        images, y_true, y_pred = shown_images(
            self.images, self.y_true, self.y_pred, indices
        )
        encoder = LabelEncoder(classes, self.ignore_label)
        sizes = [image.shape[:2] for image in images]
        factors = [thinning_factor(*size) for size in sizes]
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
        thin = [thin_image(image, factors[i]) for i, image in enumerate(images)]
        return thin, masks, sizes

    def _title(self, panel: Panel, row: int, column: int) -> str:
        """Return what stands above a panel; what all images share only once."""
        if column == 0 and self.indices is not None:
            score = "" if self.scores is None else f" (IoU {self.scores[row]:.2f})"
            return f"Image {self.indices[row]}{score}"
        is_due = panel.is_about_one or is_top_of_kind(self.axes_, row, column)
        return panel.title if is_due else ""
