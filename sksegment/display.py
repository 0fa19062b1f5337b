"""Drawings: images beside their masks, and where a prediction is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from sksegment._images import ImageList, as_images, as_masks, check_pair, check_pairs
from sksegment._labels import IGNORED, LabelEncoder, distinct, unique_labels
from sksegment._scorers import final_estimator

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

    Names = Sequence[str] | Mapping[Any, str] | None

__all__ = ["SegmentationDisplay"]

# A dark and quiet first colour, which is the background as a rule; then the palette of
# Okabe and Ito; then colours that lie far from all before them, in CIELAB, as seen
# with full and with red-green-blind colour vision.
# fmt: off
PALETTE = (
    0x2b3440, 0xe69f00, 0x56b4e9, 0x009e73, 0xf0e442, 0x0072b2,
    0xd55e00, 0xcc79a7, 0x0000ff, 0x00ff95, 0x6a6aff, 0x950015,
    0x5500bf, 0x950080, 0xea1555, 0xbfaa55, 0x8095ff, 0x40eaff,
    0xaaeabf, 0x406a40, 0x4040aa, 0xbfea6a, 0xaa2a6a, 0xff6a80,
)
# fmt: on
ERROR_COLOUR = (1.0, 0.12, 0.12)
# Ignored pixels are striped in two greys, which no class has.
STRIPES = (0.92, 0.72)
STRIPES_PER_SIDE = 24

PANEL_WIDTH = 2.4  # inches
LEGEND_ROW_HEIGHT = 0.24  # inches
TITLE_HEIGHT = 0.3  # inches
MAX_LEGEND_ROWS = 10  # beside axes that were given


def displayable(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image of any kind as something to look at.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image, of any real dtype. Of 2 channels the first is shown, of 4 or more
        the first three.

    Returns
    -------
    ndarray of shape (height, width) or (height, width, 3), dtype float32
        Values in 0 to 1. What is uint8, bool, or a float in 0 to 1 keeps its
        brightness; anything else is stretched from its 1st to its 99th percentile,
        each channel by itself where there are 4 or more.
    """
    channels = image[..., :3] if image.shape[-1] > 2 else image[..., 0]
    if image.dtype == np.uint8:
        return (channels / np.float32(255)).astype(np.float32)
    if image.shape[-1] > 3:
        # Bands measure different things: each has a brightness of its own.
        return np.stack([_stretched(channels[..., i]) for i in range(3)], axis=-1)
    return _stretched(channels)


def _stretched(channels: NDArray[Any]) -> NDArray[np.float32]:
    values = channels.astype(np.float64)
    low, high = _brightness_range(channels.dtype, values)
    if high == low:
        return np.full(values.shape, 0.5, dtype=np.float32)
    return ((values - low) / (high - low)).clip(0.0, 1.0).astype(np.float32)


def _brightness_range(
    dtype: np.dtype[Any], values: NDArray[np.float64]
) -> tuple[float, float]:
    """Return which values are drawn black and white."""
    is_unit = dtype.kind == "f" and values.min() >= 0.0 and values.max() <= 1.0
    if dtype.kind == "b" or (is_unit and values.max() > values.min()):
        return 0.0, 1.0
    low, high = np.percentile(values, [1.0, 99.0])
    if low == high:  # nearly all pixels are equal: do not clip the few others
        low, high = values.min(), values.max()
    return float(low), float(high)


def class_colours(
    n_classes: int, cmap: str | Colormap | None = None
) -> NDArray[np.float64]:
    """Return one colour a class.

    Parameters
    ----------
    n_classes : int
        How many colours.
    cmap : str or Colormap, default=None
        A colour map of matplotlib to take them from; by default a palette of 24
        distinct colours, which repeats paler.

    Returns
    -------
    ndarray of shape (n_classes, 3), dtype float64
        Red, green and blue in 0 to 1.
    """
    if cmap is not None:
        return _colours_of_map(n_classes, cmap)
    base = np.array([[code >> shift & 255 for shift in (16, 8, 0)] for code in PALETTE])
    positions = np.arange(n_classes)
    paler = (0.6 ** (positions // len(base)))[:, np.newaxis]
    colours: NDArray[np.float64] = (
        1.0 - (1.0 - base[positions % len(base)] / 255.0) * paler
    )
    return colours


def _colours_of_map(n_classes: int, cmap: str | Colormap) -> NDArray[np.float64]:
    import matplotlib as mpl
    from matplotlib.colors import ListedColormap

    _check_cmap(cmap)
    colour_map = mpl.colormaps[cmap] if isinstance(cmap, str) else cmap
    if isinstance(colour_map, ListedColormap) and colour_map.N < 256:
        # A qualitative map: its colours in turn. The others are sampled end to end.
        colours = colour_map(np.arange(n_classes) % colour_map.N)
    else:
        colours = colour_map(np.linspace(0.0, 1.0, n_classes))
    return np.asarray(colours, dtype=np.float64)[:, :3]


def _check_cmap(cmap: Any) -> None:
    import matplotlib as mpl
    from matplotlib.colors import Colormap

    expected = "expected the name of a colour map of matplotlib, or a Colormap"
    if not isinstance(cmap, (str, Colormap)):
        raise TypeError(f"cmap is {cmap!r}; {expected}.")
    if isinstance(cmap, str) and cmap not in mpl.colormaps:
        raise ValueError(f"cmap is {cmap!r}; {expected}, such as 'tab20'.")


def colour_mask(
    codes: NDArray[Any], colours: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return a mask as a picture: class codes in colours, ignored pixels striped.

    Parameters
    ----------
    codes : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.
    colours : ndarray of shape (n_classes, 3), dtype float64
        The colour of each code.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        Red, green and blue in 0 to 1.
    """
    picture: NDArray[np.float64] = colours[np.maximum(codes, 0)]
    ignored = codes == IGNORED
    picture[ignored] = _stripes(codes.shape)[ignored]
    return picture


def _stripes(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return diagonal stripes that look equally wide in images of any size."""
    width = max(1, round(max(shape) / (2 * STRIPES_PER_SIDE)))
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    grey = np.asarray(STRIPES)[(rows + columns) // width % 2]
    return np.repeat(grey[..., np.newaxis], 3, axis=2)


def error_picture(
    image: NDArray[Any], truth: NDArray[Any], prediction: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the image in pale grey, with wrong pixels red and ignored ones striped.

    Parameters
    ----------
    image : ndarray of shape (height, width, n_channels)
        The image.
    truth, prediction : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.

    Returns
    -------
    ndarray of shape (height, width, 3), dtype float64
        Red, green and blue in 0 to 1.
    """
    visible = displayable(image)
    grey = visible if visible.ndim == 2 else visible.mean(axis=-1)
    # Pale, so that dark images do not swallow the marks.
    picture = np.repeat((0.35 + 0.6 * grey)[..., np.newaxis], 3, axis=2)
    picture = picture.astype(np.float64)
    ignored = truth == IGNORED
    picture[ignored] = _stripes(truth.shape)[ignored]
    picture[wrong_pixels(truth, prediction)] = ERROR_COLOUR
    return picture


def wrong_pixels(truth: NDArray[Any], prediction: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which pixels are wrong; an ignored pixel of the truth never is.

    Parameters
    ----------
    truth, prediction : ndarray of shape (height, width), dtype int
        Class codes from 0, -1 where a pixel is ignored.

    Returns
    -------
    ndarray of shape (height, width), dtype bool
        True where the prediction is wrong.
    """
    return np.asarray((truth != prediction) & (truth != IGNORED))


def _error_title(truth: NDArray[Any], wrong: NDArray[np.bool_]) -> str:
    n_scored = int((truth != IGNORED).sum())
    if n_scored == 0:
        return "Errors (all ignored)"
    share = 100.0 * (1.0 - int(wrong.sum()) / n_scored)
    # Never "100.0% right" beside red pixels.
    share = min(share, 99.9) if wrong.any() else share
    return f"Errors ({share:.1f}% right)"


def _image_title(n_channels: int) -> str:
    if n_channels == 2:
        return "Image (channel 1 of 2)"
    return f"Image (channels 1-3 of {n_channels})" if n_channels > 3 else "Image"


def _as_names(class_names: Any) -> Names:
    """Return names as a dict or a list, whatever sequence they came as."""
    if class_names is None or isinstance(class_names, Mapping):
        return class_names
    if isinstance(class_names, str) or not np.iterable(class_names):
        raise TypeError(
            f"class_names is {class_names!r}; expected a list of names, or a dict of "
            f"label to name."
        )
    return list(class_names)


def _names_by_label(classes: NDArray[Any], class_names: Names) -> list[str]:
    """Return the name of each class, in the order of `classes`."""
    labels = classes.tolist()
    if class_names is None:
        return [str(label) for label in labels]
    if isinstance(class_names, Mapping):
        return [str(class_names.get(label, label)) for label in labels]
    if len(class_names) != len(labels):
        raise ValueError(
            f"class_names has {len(class_names)} names, but there are {len(labels)} "
            f"classes: {labels}. Expected one name a class: pass classes= with all "
            f"label values that the names stand for, or class_names as a dict of label "
            f"to name."
        )
    return [str(name) for name in class_names]


def _found_classes(
    masks: list[NDArray[Any]], ignore_label: Any, class_names: Names
) -> NDArray[Any]:
    """Return the labels of the masks; 0, 1, ... for a list of names of class ids."""
    found = unique_labels(masks, ignore_label)
    if not len(found):
        raise ValueError(
            f"All pixels of the masks to draw are ignore_label={ignore_label!r}; "
            f"expected a pixel with a class, or classes= with all label values."
        )
    is_list = class_names is not None and not isinstance(class_names, Mapping)
    if not is_list or found.dtype.kind not in "ui":
        return found
    n_names = len(class_names or ())
    is_ids = found[0] >= 0 and found[-1] < n_names
    return np.arange(n_names) if is_ids else found


def _sorted_classes(
    classes: ArrayLike, class_names: Names
) -> tuple[NDArray[Any], Names]:
    """Return the classes sorted, as `LabelEncoder` wants them, and names to match."""
    array = np.asarray(classes)
    if array.dtype == object:  # as pandas gives strings
        array = np.array(array.tolist())
    if array.ndim != 1 or len(array) == 0 or array.dtype.kind not in "buifUS":
        raise ValueError(
            f"classes has shape {array.shape} and dtype {array.dtype}; expected a list "
            f"of label values."
        )
    if len(np.unique(array)) != len(array):
        raise ValueError(f"classes holds a label twice: {array.tolist()}.")
    if class_names is None or isinstance(class_names, Mapping):
        return np.sort(array), class_names
    order = np.argsort(array)
    names = _names_by_label(array, class_names)
    return array[order], [names[i] for i in order]


def _head(data: Any, n: int) -> Any:
    """Return the first `n` items in the container that they came in."""
    return data.iloc[:n] if hasattr(data, "iloc") else data[:n]


def _check_n_images(n_images: Any) -> None:
    if isinstance(n_images, bool) or not isinstance(n_images, (int, np.integer)):
        raise TypeError(f"n_images is {n_images!r}; expected a positive integer.")
    if n_images < 1:
        raise ValueError(f"n_images is {n_images!r}; expected a positive integer.")


def _first_pairs(
    X: Any, y_true: Any, y_pred: Any, n_images: int | None
) -> tuple[list[NDArray[Any]], list[NDArray[Any]] | None, list[NDArray[Any]]]:
    """Return the first images, their true masks if any, and those predicted."""
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


def _require_matplotlib(caller: str) -> None:
    try:
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib, which is not installed. Install it with: "
            f'pip install "sksegment[plot]"'
        ) from error


class SegmentationDisplay:
    """Images beside their masks, and where a prediction is wrong.

    One row an image: the image, the true mask, the predicted mask, and the errors: the
    image in grey with the wrong pixels in red. Pixels of the ignored label are striped
    in grey and never count as errors. Make one with `from_estimator` or
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
        The label value that is no class.
    class_names : sequence of str or dict of label to str, default=None
        The names for the legend, in the order of `classes`; by default the label
        values.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    axes_ : ndarray of shape (n_images, 4) or (n_images, 2), dtype object
        The axes, a row an image: image, truth, prediction, errors; without truth
        image and prediction.
    images_ : ndarray of the shape of `axes_`, dtype object
        The `AxesImage` drawn in each.
    legend_ : matplotlib Legend
        The legend: the classes that occur in what is drawn.

    See Also
    --------
    SegmentationDisplay.from_estimator : Predict and draw.
    SegmentationDisplay.from_predictions : Draw what has been predicted.

    Examples
    --------
    The truth, moved by two pixels, as a prediction:

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
            If images and masks do not fit together, or `y` has labels that are no
            classes of the estimator.

        See Also
        --------
        SegmentationDisplay.from_predictions : Draw what has been predicted.
        """
        _require_matplotlib(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        _check_n_images(n_images)
        if y is not None:
            # Of all images, since the slices below would hide a mismatch.
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
            All label values, so that a class has the same colour in every drawing. By
            default those of the masks drawn; with a list of names, 0, 1, ... where
            these cover them.
        ignore_label : object, default=None
            The label value that is no class.
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
            If images and masks do not fit together, or a mask has a label that is not
            in `classes`.

        See Also
        --------
        SegmentationDisplay.from_estimator : Predict and draw.
        """
        _require_matplotlib(f"{cls.__name__}.from_predictions")
        _check_n_images(n_images)
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
            An Axes, whose place is divided into the panels, or the axes themselves, 4
            an image (2 without truth). None makes a figure.
        n_images : int, default=None
            How many images are drawn, from the first on; None draws all.
        cmap : str or Colormap, default=None
            A colour map of matplotlib for the classes; by default a palette of our own.

        Returns
        -------
        SegmentationDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If a parameter is out of its range, or a mask has a label that is not in
            `classes`.
        """
        _require_matplotlib(f"{type(self).__name__}.plot")
        if n_images is not None:
            _check_n_images(n_images)
        classes, by_class = _sorted_classes(self.classes, _as_names(self.class_names))
        names = _names_by_label(classes, by_class)
        colours = class_colours(len(classes), cmap)
        images, y_true, y_pred = _first_pairs(
            self.images, self.y_true, self.y_pred, n_images
        )
        encoder = LabelEncoder(classes, self.ignore_label)
        predicted = _encoded(y_pred, encoder, "y_pred")
        true = None if y_true is None else _encoded(y_true, encoder, "y_true")
        rows = [
            _row(image, None if true is None else true[i], predicted[i], colours, i)
            for i, image in enumerate(images)
        ]
        entries = _legend_entries(true, predicted, names, colours)
        aspects = [image.shape[0] / image.shape[1] for image in images]
        shape = (len(rows), len(rows[0]))
        self.figure_, self.axes_ = _axes_grid(ax, shape, aspects, entries)
        self.images_ = np.empty(shape, dtype=object)
        for place, panel in np.ndenumerate(self.axes_):
            self.images_[place] = _draw(panel, *rows[place[0]][place[1]])
        self.legend_ = _add_legend(self.figure_, self.axes_, entries, ax is None)
        return self


def _encoded(
    masks: list[NDArray[Any]], encoder: LabelEncoder, name: str
) -> list[NDArray[np.int32]]:
    return [encoder.encode(mask, f"{name}[{i}]") for i, mask in enumerate(masks)]


def _row(
    image: NDArray[Any],
    true: NDArray[Any] | None,
    predicted: NDArray[Any],
    colours: NDArray[np.float64],
    index: int,
) -> list[tuple[NDArray[Any], str]]:
    """Return the picture and the title of each panel of one image."""
    title = _once(_image_title(image.shape[-1]), index)
    row: list[tuple[NDArray[Any], str]] = [(displayable(image), title)]
    prediction = colour_mask(predicted, colours), _once("Prediction", index)
    if true is None:
        return [*row, prediction]
    row += [(colour_mask(true, colours), _once("Truth", index)), prediction]
    errors = error_picture(image, true, predicted)
    return [*row, (errors, _error_title(true, wrong_pixels(true, predicted)))]


def _legend_entries(
    true: list[NDArray[np.int32]] | None,
    predicted: list[NDArray[np.int32]],
    names: list[str],
    colours: NDArray[np.float64],
) -> list[Artist]:
    """Return a patch for each class that occurs, for ignored and wrong pixels."""
    from matplotlib.patches import Patch

    masks = [*predicted, *(true or [])]
    codes = np.unique(np.concatenate([distinct(mask) for mask in masks]))
    entries: list[Artist] = [
        Patch(facecolor=colours[code], label=names[code])
        for code in codes
        if code != IGNORED
    ]
    if IGNORED in codes:
        light, dark = map(str, STRIPES)
        stripes = {"facecolor": light, "edgecolor": dark, "hatch": "//////"}
        entries.append(Patch(linewidth=0, label="ignored", **stripes))  # type: ignore[arg-type]
    if true is not None:
        entries.append(Patch(facecolor=ERROR_COLOUR, label="wrong"))
    return entries


def _once(title: str, index: int) -> str:
    """Return a column's title in the first row, none below."""
    return title if index == 0 else ""


def _draw(ax: Axes, picture: NDArray[Any], title: str) -> Artist:
    ax.set_title(title, fontsize="medium")
    ax.set_axis_off()
    return ax.imshow(
        picture,
        cmap="gray" if picture.ndim == 2 else None,
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
    )


def _axes_grid(
    ax: Any, shape: tuple[int, int], aspects: list[float], entries: list[Artist]
) -> tuple[Figure, NDArray[np.object_]]:
    """Return the figure and one Axes a panel, new or those given."""
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
            f"{shape[1]} an image, or one Axes, or None."
        )
    given = given.reshape(shape)
    return given[0, 0].figure, given


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
    """Divide the place of one Axes into panels."""
    from matplotlib.gridspec import GridSpecFromSubplotSpec

    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError("ax lies in no grid of axes; make it with plt.subplots().")
    ax.set_axis_off()
    grid = GridSpecFromSubplotSpec(*shape, subplot_spec=spec)
    figure: Any = ax.figure
    panels = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        panels[place] = figure.add_subplot(grid[place])
    return figure, panels


def _legend_columns(entries: list[Artist], n_panels: int) -> int:
    """Return how many entries fit below panels of the usual width."""
    longest = max(len(str(entry.get_label())) for entry in entries)
    # A character takes 0.085 inches, the patch and the gaps around it 0.7.
    n_fit = int(n_panels * PANEL_WIDTH / (0.7 + 0.085 * longest))
    return max(1, min(len(entries), n_fit))


def _legend_rows(entries: list[Artist], n_panels: int) -> int:
    return -(-len(entries) // _legend_columns(entries, n_panels))


def _add_legend(
    figure: Figure, axes: NDArray[np.object_], entries: list[Artist], is_ours: bool
) -> Legend:
    """Put the legend below our own figure, or right of panels that were given."""
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
