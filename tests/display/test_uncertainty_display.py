"""UncertaintyDisplay: scikit-learn's Display contract, and what is drawn."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from sksegment import FCNSegmenter
from sksegment.datasets import make_shapes
from sksegment.display import UncertaintyDisplay
from sksegment.ensemble import predict_uncertainty

pytestmark = pytest.mark.usefixtures("pyplot")

X, y = make_shapes(5, size=16, n_classes=2, random_state=0)


@pytest.fixture(scope="module")
def model() -> FCNSegmenter:
    return FCNSegmenter(depth=1, width=4, max_epochs=2, random_state=0).fit(X, y)


@pytest.mark.parametrize("method", ["entropy", "margin", "disagreement"])
def test_the_maps_of_the_estimator_are_drawn(model: FCNSegmenter, method: str) -> None:
    display = UncertaintyDisplay.from_estimator(model, X, method=method, n_images=2)
    expected = predict_uncertainty(model, X[:2], method)
    assert display.axes_.shape == display.images_.shape == (2, 2)
    for row in range(2):
        assert_allclose(display.images_[row, 1].get_array(), expected[row], atol=1e-6)
        assert_allclose(display.images_[row, 1].norm.vmax, expected.max(), rtol=1e-6)
    assert display.ax_ is display.axes_[0, 1]
    assert display.ax_.figure is display.figure_
    assert display.colorbar_.ax.get_ylabel().startswith(
        {"margin": "1 - margin"}.get(method, method)
    )


def test_maps_of_any_source_are_drawn() -> None:
    sizes = [X[0], X[1][:9]]
    maps = [np.full((16, 16), 0.5), np.zeros((9, 16))]
    display = UncertaintyDisplay.from_predictions(sizes, maps, label="doubt")
    assert_array_equal(display.images_[1, 1].get_array(), maps[1])
    assert display.colorbar_.ax.get_ylabel() == "doubt"
    assert display.images_[0, 1].get_cmap().name == "cividis"


def test_it_draws_into_given_axes(pyplot: Any) -> None:
    figure, panels = pyplot.subplots(1, 2)
    display = UncertaintyDisplay.from_predictions(
        X[:1], np.zeros((1, 16, 16)), ax=panels
    )
    assert display.figure_ is figure
    figure, ax = pyplot.subplots()
    again = display.plot(ax=ax, cmap="magma")
    assert again is display
    assert display.figure_ is figure


def test_bad_input(model: FCNSegmenter) -> None:
    with pytest.raises(ValueError, match="5 images in X and 4 uncertainties"):
        UncertaintyDisplay.from_predictions(X, np.zeros((4, 16, 16)))
    with pytest.raises(ValueError, match=r"image 0 has shape \(8, 8\)"):
        UncertaintyDisplay.from_predictions(X, np.zeros((5, 8, 8)))
    with pytest.raises(ValueError, match="image 0 is infinite"):
        UncertaintyDisplay.from_predictions(X, np.full((5, 16, 16), np.inf))
    with pytest.raises(NotFittedError):
        UncertaintyDisplay.from_estimator(FCNSegmenter(), X)
    with pytest.raises(ValueError, match="method is 'x'"):
        UncertaintyDisplay.from_estimator(model, X, method="x")
    with pytest.raises(ValueError, match="n_images is 0"):
        UncertaintyDisplay.from_estimator(model, X, n_images=0)


def test_large_images_are_reduced(pyplot: ModuleType) -> None:
    image = np.zeros((3000, 1500, 3), np.uint8)
    values = np.zeros((3000, 1500))
    values[:1500] = 0.5
    values[2997:] = np.nan
    display = UncertaintyDisplay.from_predictions([image], [values])
    for drawn in display.images_[0]:
        assert drawn.get_array().shape[:2] == (1000, 500)
        assert [*drawn.get_extent()] == [-0.5, 1499.5, 2999.5, -0.5]
    thin = display.images_[0, 1].get_array()
    assert (thin[:500] == 0.5).all()
    assert (thin[500:-1] == 0).all()
    assert np.ma.getmaskarray(thin)[-1].all()
