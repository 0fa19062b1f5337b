"""The edges of the classes of a mask, and how far the edges of two masks are apart.

Masks are arrays of class codes here, with `NO_CLASS` where a pixel is ignored. What
lies outside an image has no class, either.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sksegment._inputs.checks import check_number

NO_CLASS = -1
# Most edges have their counterpart within this many pixels. Trying these few positions
# takes a third of the time of a search tree, which finds the others.
NEARBY = 6
# 3 * 0.1 is more than 0.3: what rounding adds to a distance is no distance.
ROUNDING = 1 + 1e-9

SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))


def class_edges(codes: NDArray[Any]) -> NDArray[Any]:
    """Keep the codes of pixels that share a side with a pixel of another class.

    This is the mask of each class without its erosion by four neighbors.

    Examples
    --------
    >>> import numpy as np
    >>> from sksegment.metrics._edges import class_edges
    >>> class_edges(np.ones((3, 3), int))
    array([[ 1,  1,  1],
           [ 1, -1,  1],
           [ 1,  1,  1]])
    """
    return np.where(_differ(codes, SIDES), codes, NO_CLASS)


def class_bands(codes: NDArray[Any], width: int) -> NDArray[Any]:
    """Keep the codes of pixels at most `width` rows and columns from another class.

    This is the mask of each class without its erosion by a square, `width` times over.
    """
    from scipy import ndimage

    on_edge = _differ(codes, SIDES + CORNERS)
    near = ndimage.maximum_filter(on_edge, 2 * width - 1, mode="constant")
    return np.where(near, codes, NO_CLASS)


def _differ(
    codes: NDArray[Any], offsets: tuple[tuple[int, int], ...]
) -> NDArray[np.bool_]:
    """Tell which pixels have a neighbor, at one of the offsets, of another class."""
    padded = np.pad(codes, 1, constant_values=NO_CLASS)
    height, width = codes.shape
    found = np.zeros(codes.shape, np.bool_)
    for down, right in offsets:
        rows, columns = (
            slice(1 + down, 1 + down + height),
            slice(1 + right, 1 + right + width),
        )
        found |= padded[rows, columns] != codes
    return found


def edge_distances(
    edges: NDArray[Any],
    others: NDArray[Any],
    spacing: tuple[float, float] = (1.0, 1.0),
    limit: float = np.inf,
) -> NDArray[np.float64]:
    """Measure how far each edge pixel is from the nearest one of its class.

    Parameters
    ----------
    edges, others : ndarray of shape (height, width), dtype int
        What `class_edges` returns, of two masks.
    spacing : tuple of float, default=(1.0, 1.0)
        Height and width of a pixel.
    limit : float, default=inf
        The largest distance of interest.

    Returns
    -------
    ndarray of shape (n_edge_pixels,)
        The distance of each edge pixel of `edges`, row by row, to `others`; infinite if
        that has no edge of its class within `limit`.
    """
    rows, columns = np.nonzero(edges != NO_CLASS)
    distances = np.full(len(rows), np.inf)
    left = _search_nearby(edges, others, (rows, columns), spacing, limit, distances)
    if len(left) and limit * ROUNDING >= NEARBY * min(spacing):
        found = rows[left], columns[left]
        distances[left] = _search_tree(edges, others, found, spacing, limit)
    return distances


def _search_nearby(
    edges: NDArray[Any],
    others: NDArray[Any],
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    spacing: tuple[float, float],
    limit: float,
    distances: NDArray[np.float64],
) -> NDArray[np.intp]:
    """Try the positions around each edge pixel, nearest first; return who is left."""
    offsets, lengths = _nearest_offsets(spacing, limit)
    reach = int(np.abs(offsets).max())
    padded = np.pad(others, reach, constant_values=NO_CLASS)
    wanted = edges[places]
    flat, steps = padded.ravel(), offsets @ (padded.shape[1], 1)
    positions = np.ravel_multi_index(
        (places[0] + reach, places[1] + reach), padded.shape
    )
    left = np.arange(len(positions))
    for step, length in zip(steps, lengths, strict=True):
        found = flat[positions + step] == wanted
        distances[left[found]] = length
        left, positions, wanted = (part[~found] for part in (left, positions, wanted))
        if not len(left):
            break
    return left


def _nearest_offsets(
    spacing: tuple[float, float], limit: float
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the offsets up to `NEARBY` short sides of a pixel, and their lengths."""
    radius = min(limit * ROUNDING, NEARBY * min(spacing))
    down, right = (int(radius / side) for side in spacing)
    offsets = np.mgrid[-down : down + 1, -right : right + 1].reshape(2, -1).T
    lengths = np.hypot(*(offsets * spacing).T)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= radius]
    return offsets[order], lengths[order]


def _search_tree(
    edges: NDArray[Any],
    others: NDArray[Any],
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    spacing: tuple[float, float],
    limit: float,
) -> NDArray[np.float64]:
    """Search all edge pixels of the other mask.

    The class is a third coordinate in which any two classes are further apart than any
    two pixels: one tree serves all of them.
    """
    from scipy.spatial import KDTree

    apart = 1.0 + np.hypot(*np.multiply(edges.shape, spacing))
    scale = (*spacing, apart)
    there = np.nonzero(others != NO_CLASS)
    tree = KDTree(np.column_stack([*there, others[there]]) * scale)
    points = np.column_stack([*places, edges[places]]) * scale
    bound = min(limit * ROUNDING, apart)
    return tree.query(points, distance_upper_bound=bound)[0]


def pixel_sides(spacing: Any) -> tuple[float, float]:
    """Return the height and the width of a pixel, or say what is wrong with them."""
    sides = (spacing, spacing) if np.ndim(spacing) == 0 else tuple(spacing)
    if len(sides) != 2:
        raise ValueError(
            f"spacing is {spacing!r}; expected the side of a pixel, or its height and "
            f"its width."
        )
    for side in sides:
        check_number("spacing", side, 0, closed="neither")
    return float(sides[0]), float(sides[1])
