"""Images beside maps of how uncertain a model is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_integer
from sksegment._inputs.containers import as_array
from sksegment._inputs.image_list import as_images
from sksegment._inputs.positions import first_items, n_items
from sksegment.display._figure import (
    axes_grid,
    draw,
    fit_titles,
    is_top_of_kind,
    require_matplotlib,
)
from sksegment.display._pictures import (
    check_cmap,
    check_has_channels,
    check_shown_channels,
    displayable,
)
from sksegment.display._thinning import thin_image, thinning_factor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

COLORBAR_WIDTH = 0.9  # inches
# What the scale of the colors says of each method.
LABELS = {
    "entropy": "entropy (nats)",
    "margin": "1 - margin",
    "disagreement": "disagreement (nats)",
}


class UncertaintyDisplay:
    """Images beside maps of how uncertain a model is about each pixel.

    One row per image: the image, and its map. All maps share one scale of colors. Of
    images with a side above 1024 pixels, averages of squares are drawn. Make one with
    `from_estimator` or `from_predictions`.

    Parameters
    ----------
    images : sequence of ndarray of shape (height, width[, n_channels])
        The images, of any real dtype; sizes may differ.
    uncertainties : sequence of ndarray of shape (height, width)
        One map per image.
    label : str, default="uncertainty"
        What the scale of the colors says.

    Attributes
    ----------
    figure_ : matplotlib Figure
        The figure.
    ax_ : matplotlib Axes
        The axes of the first map.
    axes_ : ndarray of shape (n_images, 2), dtype object
        The axes, one row per image: the image, and its map.
    images_ : ndarray of shape (n_images, 2), dtype object
        The `AxesImage` drawn in each of the axes.
    colorbar_ : matplotlib Colorbar
        The scale of the colors.

    See Also
    --------
    sksegment.ensemble.predict_uncertainty : The maps.
    SegmentationDisplay : Images, masks and errors.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.display import UncertaintyDisplay
    >>> X, y = make_shapes(2, random_state=0)
    >>> display = UncertaintyDisplay.from_predictions(X, np.where(y > 0, 0.1, 0.6))
    >>> display.axes_.shape
    (2, 2)
    """

    figure_: Figure
    ax_: Axes
    axes_: NDArray[np.object_]
    images_: NDArray[np.object_]
    colorbar_: Colorbar

    def __init__(
        self,
        images: Sequence[NDArray[Any]],
        uncertainties: Sequence[NDArray[Any]],
        *,
        label: str = "uncertainty",
    ) -> None:
        self.images = images
        self.uncertainties = uncertainties
        self.label = label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        method: str = "entropy",
        n_images: int = 4,
        ax: Any = None,
        cmap: str | Colormap = "cividis",
        channels: int | Sequence[int] | None = None,
    ) -> UncertaintyDisplay:
        """Compute the uncertainty about the first images, and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted segmenter, or a Pipeline or search object that ends in one.
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            The images. Only those drawn are read and predicted.
        method : {"entropy", "margin", "disagreement"}, default="entropy"
            See :func:`~sksegment.ensemble.predict_uncertainty`.
        n_images : int, default=4
            How many images are drawn, from the first on.
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        cmap : str or Colormap, default="cividis"
            See `plot`.
        channels : int or sequence of 3 int, default=None
            See `plot`.

        Returns
        -------
        UncertaintyDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError, TypeError
            If a parameter or an image is invalid.

        See Also
        --------
        UncertaintyDisplay.from_predictions : Draw maps that have been computed.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        # Imported here, because it loads torch.
        from sksegment._prediction.uncertainty import predict_uncertainty

        check_integer("n_images", n_images, 1)
        first = first_items(X, n_images, "X")
        return cls.from_predictions(
            first,
            predict_uncertainty(estimator, first, method),
            n_images=n_images,
            label=LABELS[method],
            ax=ax,
            cmap=cmap,
            channels=channels,
        )

    @classmethod
    def from_predictions(
        cls,
        X: Any,
        uncertainties: Any,
        *,
        n_images: int = 4,
        label: str = "uncertainty",
        ax: Any = None,
        cmap: str | Colormap = "cividis",
        channels: int | Sequence[int] | None = None,
    ) -> UncertaintyDisplay:
        """Draw the first images with maps that have been computed.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            The images. Only those drawn are read.
        uncertainties : array-like of shape (n, height, width), or sequence of array
            One map per image, as `predict_uncertainty` returns them.
        n_images : int, default=4
            How many images are drawn, from the first on.
        label : str, default="uncertainty"
            What the scale of the colors says.
        ax : matplotlib Axes or array of them, default=None
            See `plot`.
        cmap : str or Colormap, default="cividis"
            See `plot`.
        channels : int or sequence of 3 int, default=None
            See `plot`.

        Returns
        -------
        UncertaintyDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If images and maps do not match.

        See Also
        --------
        UncertaintyDisplay.from_estimator : Compute the maps and draw them.
        """
        require_matplotlib(f"{cls.__name__}.from_predictions")
        check_integer("n_images", n_images, 1)
        images = as_images(X, nodata=np.nan)  # pixels without data are drawn, too
        _check_numbers(len(images), n_items(uncertainties, "uncertainties"))
        maps = [*first_items(uncertainties, n_images, "uncertainties")]
        display = cls(list(images.take(range(len(maps)))), maps, label=label)
        return display.plot(ax=ax, cmap=cmap, channels=channels)

    def plot(
        self,
        *,
        ax: Any = None,
        cmap: str | Colormap = "cividis",
        channels: int | Sequence[int] | None = None,
    ) -> UncertaintyDisplay:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            An Axes, whose area is divided into the panels, or the axes of the panels
            themselves, 2 per image. None makes a new figure.
        cmap : str or Colormap, default="cividis"
            A matplotlib color map. The default reads the same with any color vision.
        channels : int or sequence of 3 int, default=None
            The channels to show, counted from 0: one in grey, or red, green and blue.
            By default, of 2 channels the first, and of more the first three.

        Returns
        -------
        UncertaintyDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If images and maps do not match, or `ax` does not fit.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        images = list(as_images(list(self.images), nodata=np.nan))
        shown = check_shown_channels(channels)
        check_cmap(cmap)
        for index, image in enumerate(images):
            check_has_channels(image, shown, index)
        maps = _checked_maps(images, self.uncertainties)
        aspects = [image.shape[0] / image.shape[1] for image in images]
        shape = (len(images), 2)
        self.figure_, self.axes_ = axes_grid(ax, shape, aspects, [])
        if ax is None:
            self.figure_.set_figwidth(self.figure_.get_figwidth() + COLORBAR_WIDTH)
        self.images_ = np.empty(shape, dtype=object)
        highest = max(map(_highest, maps)) or 1.0
        scale = {"cmap": cmap, "vmin": 0.0, "vmax": highest}
        for row, (image, values) in enumerate(zip(images, maps, strict=True)):
            is_first = is_top_of_kind(self.axes_, row, 0)
            titles = ("Image", "Uncertainty") if is_first else ("", "")
            self.images_[row] = _draw_pair(
                self.axes_[row], image, values, titles, shown, scale
            )
        fit_titles(self.axes_, ax is None)
        self.ax_ = self.axes_[0, 1]
        self.colorbar_ = self.figure_.colorbar(
            self.images_[0, 1], ax=self.axes_[:, 1].tolist(), label=self.label
        )
        return self


def _draw_pair(
    axes: NDArray[np.object_],
    image: NDArray[Any],
    values: NDArray[np.float64],
    titles: tuple[str, str],
    channels: tuple[int, ...] | None,
    scale: dict[str, Any],
) -> list[Any]:
    """Draw an image and its map into two axes, and return what was drawn."""
    size = image.shape[0], image.shape[1]
    factor = thinning_factor(*size)
    picture = displayable(thin_image(image, factor), None, channels)
    thin = thin_image(values[..., np.newaxis], factor)[..., 0]
    left = draw(axes[0], picture, titles[0], size)
    right = draw(axes[1], thin, titles[1], size, scale)
    return [left, right]


def _highest(values: NDArray[Any]) -> float:
    return float(values.max(initial=0.0, where=~np.isnan(values)))


def _check_numbers(n_images: int, n_maps: int) -> None:
    if n_images != n_maps:
        raise ValueError(
            f"There are {n_images} images in X and {n_maps} uncertainties; expected "
            f"one map per image."
        )


def _checked_maps(
    images: Sequence[NDArray[Any]], uncertainties: Sequence[Any]
) -> list[NDArray[Any]]:
    """Return one map per image, each as large as its image and finite."""
    _check_numbers(len(images), n_items(uncertainties, "uncertainties"))
    maps = []
    for index, (image, given) in enumerate(zip(images, uncertainties, strict=True)):
        values = as_array(given, f"The uncertainty of image {index}")
        if values.dtype.kind not in "biuf":
            raise TypeError(
                f"The uncertainty of image {index} has dtype {values.dtype}; expected "
                f"numbers."
            )
        if values.shape != image.shape[:2]:
            raise ValueError(
                f"The uncertainty of image {index} has shape {values.shape}, but the "
                f"image has height and width {image.shape[:2]}; expected the same."
            )
        if np.isinf(values).any():
            raise ValueError(
                f"The uncertainty of image {index} is infinite somewhere; expected "
                f"finite numbers, and NaN where there is no data."
            )
        maps.append(values.astype(np.float64))
    return maps
