"""Blocks: large images cut into tiles, and the distance between tiles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import height_and_width
from sksegment._inputs.containers import check_ordered
from sksegment._inputs.image_list import as_images, as_masks, check_pair, check_pairs

# A block of this side holds any image; numpy could not divide by a much larger number.
MAX_SIDE = 2**62


def cut_blocks(
    X: Any, y: Any, block_size: int | tuple[int, int]
) -> tuple[list[NDArray[Any]], list[NDArray[Any]], NDArray[np.int64]]:
    """Cut large images and their masks into blocks, and note where each came from.

    The blocks lie side by side from the upper left corner on and cover the images
    without overlap; those at the right and the lower edge may be smaller. Blocks of an
    array (or of a `numpy.memmap`) are views: nothing is copied.

    Parameters
    ----------
    X : array-like of shape (n, height, width[, n_channels]) or sequence of image or \
            of path
        Large images; `image[np.newaxis]` for one.
    y : array-like of shape (n, height, width) or sequence of mask or of path
        Their masks; `mask[np.newaxis]` for one.
    block_size : int or tuple of (int, int)
        The side of the blocks, or their (height, width), in pixels.

    Returns
    -------
    X_blocks : list of ndarray of shape (height, width, n_channels)
        The blocks of the images, row by row, in the dtype of the images.
    y_blocks : list of ndarray of shape (height, width)
        The blocks of the masks.
    positions : ndarray of shape (n_blocks, 3), dtype int64
        The number of the image, and the row and column of the block's upper left
        pixel in it: the `groups` of `SpatialBlockKFold`.

    Raises
    ------
    ValueError, TypeError
        If `X` and `y` are not images and masks that belong together, or `block_size`
        is not a positive integer or a pair of them.

    See Also
    --------
    SpatialBlockKFold : Folds of neighbouring blocks.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.model_selection import cut_blocks
    >>> image, mask = np.zeros((5, 8, 3)), np.zeros((5, 8), dtype=int)
    >>> X, y, positions = cut_blocks(image[np.newaxis], mask[np.newaxis], 4)
    >>> [block.shape for block in X]
    [(4, 4, 3), (4, 4, 3), (1, 4, 3), (1, 4, 3)]
    >>> positions.tolist()
    [[0, 0, 0], [0, 0, 4], [0, 4, 0], [0, 4, 4]]
    """
    height, width = height_and_width("block_size", block_size)
    # NaN may mark pixels without data: `fit` decides.
    images, masks = as_images(X, nodata=np.nan), as_masks(y)
    check_pairs(images, masks)
    X_blocks, y_blocks, positions = [], [], []
    for index in range(len(images)):
        image, mask = images[index], masks[index]
        check_pair(image, mask, masks, index)
        for row, column in _corners(mask.shape, height, width):
            X_blocks.append(image[row : row + height, column : column + width])
            y_blocks.append(mask[row : row + height, column : column + width])
            positions.append((index, row, column))
    return X_blocks, y_blocks, np.array(positions, dtype=np.int64)


def _corners(
    size: tuple[int, ...], height: int, width: int
) -> Iterator[tuple[int, int]]:
    """Yield the upper left pixels of the blocks, row by row."""
    for row in range(0, size[0], height):
        for column in range(0, size[1], width):
            yield row, column


def as_positions(groups: Any, n_samples: int) -> NDArray[np.int64]:
    """Return where samples lie: (image, row, column), one row per sample.

    Raises
    ------
    ValueError, TypeError
        If `groups` does not hold such positions.
    """
    expected = (
        "an array of shape (n_samples, 3), the image, row and column of the upper left "
        "pixel of each sample, or (n_samples, 2), its row and column in one image. "
        "cut_blocks returns it"
    )
    if groups is None:
        raise ValueError(
            f"The 'groups' parameter should not be None; expected {expected}."
        )
    check_ordered("groups", groups)
    try:
        positions = np.asarray(groups)
    except ValueError as error:
        raise ValueError(
            f"groups holds positions of different lengths; expected {expected}."
        ) from error
    if positions.ndim != 2 or positions.shape[1] not in (2, 3):
        raise ValueError(f"groups has shape {positions.shape}; expected {expected}.")
    if len(positions) != n_samples:
        raise ValueError(
            f"groups has {len(positions)} positions for {n_samples} samples; expected "
            f"{expected}."
        )
    return _whole(positions, expected)


def _whole(positions: NDArray[Any], expected: str) -> NDArray[np.int64]:
    if positions.dtype.kind not in "iuf":
        raise TypeError(f"groups has dtype {positions.dtype}; expected {expected}.")
    whole = positions.astype(np.int64)
    if not np.array_equal(whole, positions) or whole[:, -2:].min() < 0:
        raise ValueError(
            f"groups holds fractions or negative numbers; expected pixels: {expected}."
        )
    if whole.shape[1] == 3:
        return whole
    return np.column_stack([np.zeros(len(whole), np.int64), whole])


def block_numbers(
    positions: NDArray[np.int64],
    sizes: NDArray[np.int64],
    block_size: tuple[int, int],
) -> NDArray[np.intp]:
    """Return the number of the block in which the centre of each sample lies.

    Parameters
    ----------
    positions : ndarray of shape (n, 3)
        Image, row and column of the upper left pixel of each sample.
    sizes : ndarray of shape (n, 2)
        Height and width of each sample.
    block_size : tuple of (int, int)
        Height and width of a block.

    Returns
    -------
    ndarray of shape (n,)
        0, 1, ..., by image, then row by row; blocks without a sample have no number.
    """
    centres = positions[:, 1:] + sizes // 2
    sides = [min(side, MAX_SIDE) for side in block_size]
    blocks = np.column_stack([positions[:, :1], centres // np.array(sides)])
    _, numbers = np.unique(blocks, axis=0, return_inverse=True)
    return np.asarray(numbers.ravel())


def is_near(
    positions: NDArray[np.int64],
    sizes: NDArray[np.int64],
    chosen: NDArray[np.intp],
    margin: int,
) -> NDArray[np.bool_]:
    """Tell which samples overlap a chosen one, or have fewer pixels between them.

    Parameters
    ----------
    positions : ndarray of shape (n, 3)
        Image, row and column of the upper left pixel of each sample.
    sizes : ndarray of shape (n, 2)
        Height and width of each sample.
    chosen : ndarray
        Indices of the samples to keep away from.
    margin : int
        The pixels that must lie between two samples, along the rows or the columns.

    Returns
    -------
    ndarray of shape (n,), dtype bool
        True for the chosen samples, too.
    """
    image, first = positions[:, 0], positions[:, 1:]
    end = first + sizes
    near = np.zeros(len(positions), np.bool_)
    for index in chosen:
        gaps = np.maximum(first - end[index], first[index] - end).max(axis=1)
        near |= (gaps < margin) & (image == image[index])
    return near
