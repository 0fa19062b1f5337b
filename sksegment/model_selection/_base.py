"""What the splitters share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator

from sksegment._inputs.checks import check_boolean, check_integer
from sksegment._inputs.random import own_random_state

Split = tuple[NDArray[np.intp], NDArray[np.intp]]


class _ImageKFold(BaseCrossValidator):
    """What both splitters share: the number of folds and the order of the draw."""

    n_splits: int
    shuffle: bool
    random_state: Any

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds.

        Parameters
        ----------
        X : object, default=None
            Ignored, as in scikit-learn.
        y : object, default=None
            Ignored.
        groups : object, default=None
            Ignored.

        Returns
        -------
        int
            `n_splits`.
        """
        return self.n_splits

    def _check_parameters(self) -> None:
        check_integer("n_splits", self.n_splits, 2)
        check_boolean("shuffle", self.shuffle)
        if not self.shuffle and self.random_state is not None:
            raise ValueError(
                f"Setting random_state={self.random_state!r} has no effect since "
                f"shuffle is False. Leave random_state at None, or set shuffle=True."
            )

    def _check_enough(self, n_items: int, items: str, hint: str = "") -> None:
        if self.n_splits > n_items:
            raise ValueError(
                f"Cannot have number of splits n_splits={self.n_splits} greater than "
                f"the number of {items}: {n_items}.{hint}"
            )

    def _generator(self) -> np.random.Generator:
        if not self.shuffle:
            return np.random.default_rng(0)
        drawn = own_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        return np.random.default_rng(int(drawn))
