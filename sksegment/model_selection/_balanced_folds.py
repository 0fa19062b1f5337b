"""Folds: dividing images into groups with equal shares of the classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A sweep over all images is cheap; a few sweeps find most improvements.
MAX_SWEEPS = 5
# With how many others an image is compared for an exchange. More would cost time in
# large data sets, and hardly find better exchanges.
MAX_PARTNERS = 200
# Starts from other orders if a fold still lacks a class. Small data sets need more of
# them, since every single exchange counts there, and each start costs little.
MAX_STARTS = 30
STARTS_TIMES_IMAGES = 3000
# The gain that rounding may show for an exchange that changes nothing.
ROUNDING = 1e-12


def balanced_folds(
    pixels: NDArray[np.float64], n_folds: int, rng: np.random.Generator, shuffle: bool
) -> NDArray[np.intp]:
    """Give each image a fold, so that classes are spread evenly over the folds.

    The images are dealt out class by class, the rarest first (Sechidis et al. [1]_),
    and exchanged as long as that helps. A class that is missing from a fold counts more
    than any difference in shares.

    Parameters
    ----------
    pixels : ndarray of shape (n_images, n_classes)
        Pixels of each class in each image; each class occurs.
    n_folds : int
        The number of folds, at most the number of images.
    rng : Generator
        Draws the orders to start from.
    shuffle : bool
        Whether the first order is drawn as well, rather than that of the images.

    Returns
    -------
    ndarray of shape (n_images,)
        The number of the fold of each image. Fold sizes differ by one image at most.

    References
    ----------
    .. [1] K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the Stratification of
       Multi-Label Data", ECML PKDD 2011.
    """
    n_images = len(pixels)
    n_starts = min(MAX_STARTS, 1 + STARTS_TIMES_IMAGES // n_images)
    unavoidable = _unavoidable(pixels, n_folds)
    order = rng.permutation(n_images) if shuffle else np.arange(n_images)
    best = _divided(pixels, n_folds, order, rng)
    for _ in range(n_starts - 1):
        if best.cost()[0] <= unavoidable:
            break
        other = _divided(pixels, n_folds, rng.permutation(n_images), rng)
        best = min(best, other, key=_Division.cost)
    return best.folds[:n_images]


def missing_classes(
    pixels: NDArray[np.float64], folds: NDArray[np.intp], n_folds: int
) -> NDArray[np.intp]:
    """Return the positions of the classes that not every fold holds."""
    seen = [(pixels[folds == fold] > 0).any(axis=0) for fold in range(n_folds)]
    return np.flatnonzero(~np.all(seen, axis=0))


def _unavoidable(pixels: NDArray[np.float64], n_folds: int) -> int:
    """Count unavoidable gaps: a class in only two images is in two folds at most."""
    n_holders = (pixels > 0).sum(axis=0)
    return int((n_folds - n_holders).clip(min=0).sum())


@dataclass
class _Division:
    """Images divided into folds, and what each fold holds.

    Folds with one image fewer are filled up with an empty image, so that moving an
    image into one of them is an exchange like any other.

    Parameters
    ----------
    shares : ndarray of shape (n, 2 * n_classes)
        The share of each image in the pixels, and in the images, of each class.
    present : ndarray of shape (n, n_classes)
        1 where an image holds a class, 0 elsewhere.
    folds : ndarray of shape (n,)
        The fold of each image.
    n_images : int
        The number of images without the empty ones.
    n_folds : int
        The number of folds.
    """

    shares: NDArray[np.float64]
    present: NDArray[np.int64]
    folds: NDArray[np.intp]
    n_images: int
    n_folds: int

    def __post_init__(self) -> None:
        members = [self.folds == fold for fold in range(self.n_folds)]
        self.sums = np.array([self.shares[m].sum(axis=0) for m in members])
        self.holders = np.array([self.present[m].sum(axis=0) for m in members])

    def cost(self) -> tuple[int, float]:
        """Count the classes missing from folds, and tell how uneven the shares are."""
        return int((self.holders == 0).sum()), float((self.sums**2).sum())

    def gains(self, image: int, partners: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return how much worse (below 0: better) each exchange makes the folds."""
        mine, theirs = self.folds[image], self.folds[partners]
        change = self.shares[partners] - self.shares[image]
        uneven = 2 * ((self.sums[mine] - self.sums[theirs] + change) * change).sum(1)
        swap = self.present[partners] - self.present[image]
        missing = (self.holders[mine] + swap == 0).sum(1)
        missing += (self.holders[theirs] - swap == 0).sum(1)
        missing -= (self.holders[mine] == 0).sum()
        missing -= (self.holders[theirs] == 0).sum(1)
        # No difference in shares is as large as the number of their columns.
        gains: NDArray[np.float64] = uneven + missing * (1 + self.shares.shape[1])
        gains[~self._allowed(image, partners)] = 0.0
        return gains

    def _allowed(self, image: int, partners: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Forbid exchanges within a fold, and a second empty image in a fold."""
        mine = self.folds[image]
        is_filled_up = (self.folds[self.n_images :] == mine).any()
        is_empty = partners >= self.n_images
        return (self.folds[partners] != mine) & ~(is_empty & is_filled_up)

    def exchange(self, image: int, partner: int) -> None:
        """Put each of two images into the fold of the other."""
        mine, theirs = self.folds[image], self.folds[partner]
        change = self.shares[partner] - self.shares[image]
        swap = self.present[partner] - self.present[image]
        self.sums[mine] += change
        self.sums[theirs] -= change
        self.holders[mine] += swap
        self.holders[theirs] -= swap
        self.folds[[image, partner]] = theirs, mine


def _divided(
    pixels: NDArray[np.float64],
    n_folds: int,
    order: NDArray[np.intp],
    rng: np.random.Generator,
) -> _Division:
    """Deal the images out in this order, and exchange while that helps."""
    folds = _deal_images(pixels, n_folds, order)
    sizes = np.bincount(folds, minlength=n_folds)
    small = np.flatnonzero(sizes < sizes.max())
    padded = np.vstack([pixels, np.zeros((len(small), pixels.shape[1]))])
    present = (padded > 0).astype(np.int64)
    shares = np.hstack([padded / padded.sum(axis=0), present / present.sum(axis=0)])
    division = _Division(
        shares, present, np.concatenate([folds, small]), len(pixels), n_folds
    )
    for _ in range(MAX_SWEEPS):
        if not _sweep(division, order, rng):
            break
    return division


def _sweep(
    division: _Division, order: NDArray[np.intp], rng: np.random.Generator
) -> bool:
    """Exchange each image with the partner that helps most; tell if any did."""
    partners = np.arange(len(division.folds))
    if len(partners) > MAX_PARTNERS:
        partners = rng.choice(partners, MAX_PARTNERS, replace=False)
    improved = False
    for image in order:
        gains = division.gains(image, partners)
        best = int(gains.argmin())
        if gains[best] < -ROUNDING:
            division.exchange(image, int(partners[best]))
            improved = True
    return improved


def _deal_images(
    pixels: NDArray[np.float64], n_folds: int, order: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Deal the images out: those of the rarest class first, the largest areas first."""
    folds = np.full(len(pixels), -1)
    for label in np.argsort((pixels > 0).sum(axis=0), kind="stable"):
        holders = order[(pixels[order, label] > 0) & (folds[order] < 0)]
        largest = holders[np.argsort(-pixels[holders, label], kind="stable")]
        _deal(largest, pixels[:, label], folds, n_folds)
    _deal(order[folds[order] < 0], np.zeros(len(pixels)), folds, n_folds)
    return folds


def _deal(
    images: NDArray[np.intp],
    area: NDArray[np.float64],
    folds: NDArray[np.intp],
    n_folds: int,
) -> None:
    """Give each image to the fold with the fewest images, then pixels, of a class."""
    for image in images:
        sizes, holders, areas = (
            np.bincount(folds[folds >= 0], weights, n_folds)
            for weights in (
                None,
                (area > 0)[folds >= 0].astype(np.float64),
                area[folds >= 0],
            )
        )
        preferred = np.lexsort((sizes, areas, holders))
        folds[image] = preferred[_has_room(sizes, len(folds))[preferred]][0]


def _has_room(sizes: NDArray[np.int64], n_images: int) -> NDArray[np.bool_]:
    """Tell which folds have room for an image if final sizes may differ by one."""
    floor, n_larger = divmod(n_images, len(sizes))
    if np.count_nonzero(sizes > floor) < n_larger:
        return np.asarray(sizes <= floor)
    return np.asarray(sizes < floor)
