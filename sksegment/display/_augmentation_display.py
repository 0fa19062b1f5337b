"""What augmentation makes of one image and its mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_integer
from sksegment._inputs.image_list import as_images, as_masks, check_pair
from sksegment._inputs.labels import LabelEncoder, unique_labels
from sksegment._inputs.nodata import fitted_ignore_label, fitted_nodata
from sksegment.augmentation._base import BaseAugmenter
from sksegment.augmentation._plan import PlannedStep, without_plan
from sksegment.augmentation._preview import draw_pairs
from sksegment.display._figure import (
    axes_grid,
    draw,
    fit_titles,
    require_matplotlib,
)
from sksegment.display._pictures import (
    check_has_channels,
    check_shown_channels,
    class_colors,
    color_mask,
    displayable,
)

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def _planned_steps(estimator: Any) -> list[PlannedStep]:
    """Return the augmenters of a Pipeline, or those that are passed, as a plan."""
    given = getattr(estimator, "steps", estimator)
    items = given if isinstance(given, (list, tuple)) else [given]
    steps = [step[1] if isinstance(step, tuple) else step for step in items]
    augmenters = [step for step in steps if isinstance(step, BaseAugmenter)]
    if not augmenters:
        raise TypeError(
            f"estimator is {estimator!r}, which has no augmenter; expected a Pipeline "
            f"with steps of sksegment.augmentation, or a list of them."
        )
    plan: Any = []
    for augmenter in augmenters:
        plan = augmenter.fit_transform(plan)
    return list(without_plan(plan)[1])


class AugmentationDisplay:
    """One image and its mask, and what training may see of them.

    The first row shows the pair as it is, each other row a draw. Make one with
    `from_estimator`.

    Parameters
    ----------
    images : sequence of array-like of shape (height, width[, n_channels])
        The image, and what was drawn of it.
    masks : sequence of array-like of shape (height, width)
        Their masks.
    ignore_label : object, default=None
        The label of pixels without a class, which are grey.

    Attributes
    ----------
    axes_ : ndarray of shape (n_rows, 2) of matplotlib Axes
        The panels.
    ax_ : matplotlib Axes
        The first panel.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    sksegment.augmentation : The steps.
    SegmentationDisplay : Images, masks and predictions.

    Examples
    --------
    >>> from sksegment.augmentation import RandomFlip, RandomRotation
    >>> from sksegment.datasets import make_shapes
    >>> from sksegment.display import AugmentationDisplay
    >>> X, y = make_shapes(1, size=16, random_state=0)
    >>> steps = [RandomFlip(), RandomRotation(30)]
    >>> display = AugmentationDisplay.from_estimator(steps, X[0], y[0], n_draws=2)
    >>> display.axes_.shape
    (3, 2)
    """

    axes_: NDArray[np.object_]
    ax_: Any
    figure_: Figure

    def __init__(
        self, images: Sequence[Any], masks: Sequence[Any], *, ignore_label: Any = None
    ) -> None:
        self.images = images
        self.masks = masks
        self.ignore_label = ignore_label

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        image: Any,
        mask: Any,
        *,
        n_draws: int = 4,
        ignore_label: Any = None,
        random_state: int = 0,
        ax: Any = None,
        cmap: str | Colormap | None = None,
        channels: int | Sequence[int] | None = None,
    ) -> AugmentationDisplay:
        """Draw from the augmenters of a Pipeline, and show what comes out.

        All geometric steps make one resampling, as in training. Strengths of the other
        steps are in units of the range of this image; in training, of the range of all
        training images.

        Parameters
        ----------
        estimator : Pipeline, augmenter, or sequence of augmenter
            The steps; those of a Pipeline that are no augmenters are left out. It need
            not be fitted.
        image : array-like of shape (height, width[, n_channels]), or path
            The image.
        mask : array-like of shape (height, width), or path
            Its mask.
        n_draws : int, default=4
            How many draws are shown.
        ignore_label : object, default=None
            The label of pixels without a class. By default that of the segmenter at the
            end of the Pipeline, whose `nodata` counts, too.
        random_state : int, default=0
            Seeds the draws.
        ax : matplotlib Axes or array-like of Axes, default=None
            An Axes, whose area is divided into the panels, or the axes of the panels
            themselves, 2 per row. None makes a new figure.
        cmap : str or Colormap, default=None
            Colors of the classes.
        channels : int or sequence of 3 int, default=None
            The channels to show, counted from 0: one in grey, or red, green and blue.
            By default, of 2 channels the first, and of more the first three.

        Returns
        -------
        AugmentationDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib or torch is not installed.
        ValueError, TypeError
            If there is no augmenter, or image and mask do not match.
        """
        require_matplotlib(f"{cls.__name__}.from_estimator")
        check_integer("n_draws", n_draws, 1)
        check_integer("random_state", random_state, 0)
        steps = _planned_steps(estimator)
        nodata = fitted_nodata(estimator)
        if ignore_label is None:
            ignore_label = fitted_ignore_label(estimator)
        elif nodata is not None:
            nodata = replace(nodata, ignored=ignore_label, is_own=False)
        pairs = draw_pairs(
            steps, image, mask, n_draws, ignore_label, random_state, nodata
        )
        images, masks = zip(*pairs, strict=True)
        display = cls(images, masks, ignore_label=ignore_label)
        return display.plot(ax=ax, cmap=cmap, channels=channels)

    def plot(
        self,
        *,
        ax: Any = None,
        cmap: str | Colormap | None = None,
        channels: int | Sequence[int] | None = None,
    ) -> AugmentationDisplay:
        """Draw the display.

        All images have the brightness of the first, so that changes of it show.

        Parameters
        ----------
        ax : matplotlib Axes or array-like of Axes, default=None
            As in `from_estimator`.
        cmap : str or Colormap, default=None
            Colors of the classes.
        channels : int or sequence of 3 int, default=None
            The channels to show, counted from 0: one in grey, or red, green and blue.
            By default, of 2 channels the first, and of more the first three.

        Returns
        -------
        AugmentationDisplay
            This display, with the attributes that end in an underscore.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        ValueError, TypeError
            If images and masks do not match, or `ax` does not fit.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        images = as_images(list(self.images), nodata=np.nan)  # drawn, too
        masks = as_masks(list(self.masks))
        classes = unique_labels(masks, self.ignore_label)
        encoder = LabelEncoder(classes, self.ignore_label)
        colors = class_colors(max(1, len(classes)), cmap)  # all may be ignored
        shown = check_shown_channels(channels)
        check_has_channels(images[0], shown, 0)
        shape = (len(images), 2)
        aspects = [image.shape[0] / image.shape[1] for image in images]
        self.figure_, self.axes_ = axes_grid(ax, shape, aspects, [])
        for row in range(len(images)):
            image, mask = images[row], masks[row]
            check_pair(image, mask, masks, row)
            codes = encoder.encode(mask, masks.name(row))
            title = f"draw {row}" if row else "as it is"
            picture = displayable(image, None, shown, reference=images[0])
            draw(self.axes_[row, 0], picture, title)
            draw(self.axes_[row, 1], color_mask(codes, colors), "")
        fit_titles(self.axes_, ax is None)
        self.ax_ = self.axes_[0, 0]
        return self
