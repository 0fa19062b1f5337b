"""SegmentationDisplay: overlays, contours, channels, the worst images, and layout."""

from __future__ import annotations

from itertools import combinations
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from sksegment._inputs.labels import IGNORED
from sksegment.datasets import make_shapes
from sksegment.display import (
    AugmentationDisplay,
    SegmentationDisplay,
    UncertaintyDisplay,
)
from sksegment.display._overlays import TINT, enlarged, outlined, tinted
from sksegment.display._pictures import ERROR_COLOR, class_colors, displayable
from sksegment.metrics import image_scores

pytestmark = pytest.mark.usefixtures("pyplot")
draw = SegmentationDisplay.from_predictions


@pytest.fixture
def shapes() -> tuple[Any, Any, Any]:
    """Six images, their masks, and predictions that get worse from the last on."""
    X, y = make_shapes(6, size=40, random_state=0)
    predicted = np.stack([np.roll(m, 6 - i, axis=1) for i, m in enumerate(y)])
    return X, y, predicted


def texts_and_panels(display: SegmentationDisplay) -> list[Any]:
    display.figure_.canvas.draw()
    panels: list[Any] = [*display.axes_.flat]
    titled = [panel.title for panel in panels if panel.get_title()]
    # The images themselves: axes of equal aspect are smaller than their place.
    shown = [*display.images_.flat, *titled, display.legend_]
    return [artist.get_window_extent() for artist in shown]


def assert_apart(display: SegmentationDisplay) -> None:
    """Nothing lies on anything else."""
    boxes = [box.padded(-1) for box in texts_and_panels(display)]
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize(
    "mode, with_truth, without",
    [("panels", 4, 2), ("overlay", 2, 1), ("contours", 1, 1)],
)
def test_panels_of_a_mode(
    shapes: Any, mode: str, with_truth: int, without: int
) -> None:
    X, y, predicted = shapes
    assert draw(X, y, predicted, mode=mode).axes_.shape == (4, with_truth)
    assert draw(X, None, predicted, mode=mode).axes_.shape == (4, without)


def test_unknown_mode_and_order(shapes: Any) -> None:
    with pytest.raises(ValueError, match="mode is 'lines'; expected one of 'panels'"):
        draw(*shapes, mode="lines")
    with pytest.raises(ValueError, match="order is 'best'; expected one of 'first'"):
        draw(*shapes, order="best")


def test_tint_is_a_mixture_and_ignored_pixels_stay() -> None:
    visible = np.linspace(0, 1, 600 * 600).reshape(600, 600).astype(np.float32)
    codes = np.zeros((600, 600), int)
    codes[:, 300:] = 1
    codes[:100] = IGNORED
    colors = class_colors(2)
    picture = tinted(visible, codes, colors)
    np.testing.assert_allclose(picture[50, 50], visible[50, 50], rtol=1e-6)
    for column, code in ((50, 0), (550, 1)):
        mixed = TINT * colors[code] + (1 - TINT) * visible[300, column]
        np.testing.assert_allclose(picture[300, column], mixed, rtol=1e-6)
        near = 299 + code
        np.testing.assert_array_equal(picture[300, near], colors[code])


def test_outline_is_where_the_classes_change() -> None:
    visible = np.full((500, 500), 0.5)
    predicted = np.zeros((500, 500), int)
    predicted[200:300, 200:300] = 1
    picture = outlined(visible, predicted, class_colors(2))
    rows, columns = np.nonzero((picture != 0.5).any(axis=-1))
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) == (199, 300)
    assert (picture[250, 250] == 0.5).all()


def test_truth_is_white_only_where_the_outlines_differ() -> None:
    visible = np.full((500, 500), 0.5)
    true = np.zeros((500, 500), int)
    true[:, 250:] = 1
    moved = np.roll(true, 20, axis=1)
    moved[:, :20] = 0
    white = [
        (outlined(visible, mask, class_colors(2), true) == 1).all(axis=-1).sum()
        for mask in (true, moved)
    ]
    assert white[0] == 0
    assert white[1] >= 500


def test_small_images_are_enlarged_in_whole_pixels() -> None:
    codes = np.arange(6).reshape(2, 3)
    large = enlarged(codes)
    factor = large.shape[1] // 3
    assert large.shape == (2 * factor, 3 * factor)
    np.testing.assert_array_equal(large[::factor, ::factor], codes)


def test_axes_count_the_pixels_of_the_image(shapes: Any) -> None:
    X, y, predicted = shapes
    for mode in ("panels", "overlay", "contours"):
        for image in draw(X, y, predicted, mode=mode).images_.flat:
            assert image.get_extent() == [-0.5, 39.5, 39.5, -0.5]


# The worst images


def test_worst_images_come_first(shapes: Any) -> None:
    X, y, predicted = shapes
    display = draw(X, y, predicted, order="worst", n_images=3)
    scores = image_scores(y, predicted)
    expected = np.argsort(scores)[:3]
    np.testing.assert_array_equal(display.indices, expected)
    for row, index in enumerate(expected):
        np.testing.assert_array_equal(display.images[row], X[index])
        title = display.axes_[row, 0].get_title()
        assert title == f"Image {index} (IoU {scores[index]:.2f})"


def test_worst_of_an_estimator_and_lists(shapes: Any) -> None:
    X, y, predicted = shapes

    class Known(BaseEstimator):
        def fit(self) -> Known:
            self.classes_ = np.unique(y)
            return self

        def predict(self, images: Any) -> Any:
            assert len(images) == 6
            return predicted

    display = SegmentationDisplay.from_estimator(
        Known().fit(), list(X), list(y), order="worst", n_images=2
    )
    np.testing.assert_array_equal(
        display.indices, np.argsort(image_scores(y, predicted))[:2]
    )


def test_images_without_a_class_come_last(shapes: Any) -> None:
    X, y, predicted = shapes
    y = y.copy()
    y[0] = 99
    display = draw(X, y, predicted, order="worst", n_images=6, ignore_label=99)
    assert display.indices[-1] == 0
    with pytest.raises(ValueError, match=r"ranks images by their scores.*true masks"):
        draw(X, None, predicted, order="worst")


# Channels


def test_chosen_channels_are_each_stretched() -> None:
    rng = np.random.default_rng(0)
    bands = rng.uniform(size=(30, 30, 5)) * [1, 10, 100, 1000, 10_000]
    drawn = displayable(bands, channels=(4, 2, 0))
    for shown, band in enumerate((4, 2, 0)):
        low, high = np.percentile(bands[..., band], [1, 99])
        expected = ((bands[..., band] - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(drawn[..., shown], expected, atol=1e-6)


@pytest.mark.parametrize(
    "channels, title", [((3, 2, 1), "Channels 3, 2, 1 of 4"), (3, "Channel 3 of 4")]
)
def test_title_names_the_channels(channels: Any, title: str) -> None:
    X = np.random.default_rng(0).integers(0, 900, (1, 6, 5, 4)).astype(np.uint16)
    y = np.zeros((1, 6, 5), int)
    display = draw(X, y, y, channels=channels)
    assert display.axes_[0, 0].get_title() == title


@pytest.mark.parametrize(
    "channels, error, message",
    [
        ((0, 1), ValueError, "expected the index of one channel"),
        ((0, 1, 4), ValueError, "image 0 has 4; expected indices from 0 to 3"),
        ((0, 1, -1), ValueError, "channels is -1"),
        ("rgb", TypeError, "channels is 'rgb'"),
        (1.5, TypeError, "channels is 1.5"),
    ],
)
def test_bad_channels(channels: Any, error: type[Exception], message: str) -> None:
    y = np.zeros((1, 6, 5), int)
    with pytest.raises(error, match=message):
        draw(np.zeros((1, 6, 5, 4)), y, y, channels=channels)


# Layout


@pytest.mark.parametrize("mode", ["panels", "overlay", "contours"])
def test_many_images_wrap_into_a_grid(mode: str) -> None:
    X, y = make_shapes(24, size=16, random_state=0)
    display = draw(X, y, y, n_images=24, mode=mode)
    width, height = display.figure_.get_size_inches()
    assert 0.4 < height / width < 1.6
    assert width <= 18
    assert height <= 18
    # All that is drawn is in a place of its own.
    places = [panel.get_subplotspec().num1 for panel in display.axes_.flat]
    assert len(set(places)) == display.axes_.size
    assert_apart(display)


@pytest.mark.parametrize("n_images", [1, 2, 4])
@pytest.mark.parametrize("mode", ["panels", "overlay", "contours"])
def test_plain_axes_without_overlaps(
    shapes: Any, n_images: int, mode: str, pyplot: ModuleType
) -> None:
    X, y, predicted = shapes
    names = ["background", "disk", "square", "triangle"]
    _, (left, right) = pyplot.subplots(1, 2)
    options: dict[str, Any] = {"n_images": n_images, "mode": mode}
    display = draw(X, y, predicted, ax=right, class_names=names, **options)
    assert_apart(display)
    renderer = display.figure_.canvas.get_renderer()
    other = left.get_tightbbox(renderer)
    assert not [box for box in texts_and_panels(display) if box.overlaps(other)]
    legend = display.legend_.get_window_extent()
    assert legend.x1 <= display.figure_.bbox.x1


def test_two_plain_axes_are_the_panels(shapes: Any, pyplot: ModuleType) -> None:
    X, _, predicted = shapes
    _, axes = pyplot.subplots(1, 2)
    display = draw(X, None, predicted, n_images=1, ax=axes)
    assert_apart(display)
    legend = display.legend_.get_window_extent()
    assert legend.x1 <= display.figure_.bbox.x1


@pytest.mark.parametrize("backend", ["svg", "pdf"])
def test_given_axes_of_other_backends(
    shapes: Any, backend: str, pyplot: ModuleType
) -> None:
    X, y, predicted = shapes
    pyplot.switch_backend(backend)
    _, ax = pyplot.subplots()
    display = draw(X, y, predicted, ax=ax, n_images=1)
    assert display.legend_.get_window_extent().x1 <= display.figure_.bbox.x1


def test_subfigures_are_drawn_into(shapes: Any, pyplot: ModuleType) -> None:
    X, y, predicted = shapes
    figure = pyplot.figure()
    _, right = figure.subfigures(1, 2)
    display = draw(X, y, predicted, ax=right.subplots(), n_images=1)
    figure.canvas.draw()
    assert all(panel.figure is right for panel in display.axes_.flat)


def test_each_title_stands_above_the_first_of_its_kind(shapes: Any) -> None:
    X, y, predicted = shapes
    display = draw(X, y, predicted, n_images=6)
    titles = [panel.get_title() for panel in display.axes_[:, 1]]
    tops = [panel.get_subplotspec().rowspan.start == 0 for panel in display.axes_[:, 1]]
    assert [title == "Truth" for title in titles] == tops
    assert any(tops[1:])
    assert not all(tops)


# Strokes


def strokes(side: int) -> tuple[Any, Any, Any]:
    """One image whose truth is two lines of one pixel; the second is wrong."""
    true = np.full((1, side, side), 9)
    true[0, side // 3, : side // 2] = 1
    true[0, side // 2, : side // 2] = 0
    return np.zeros((1, side, side)) + 0.5, true, np.ones_like(true)


@pytest.mark.parametrize("side", [64, 600, 3000])
def test_strokes_are_drawn_over_the_image(side: int) -> None:
    X, true, predicted = strokes(side)
    display = draw(X, true, predicted, ignore_label=9)
    truth, errors = (np.asarray(display.images_[0, i].get_array()) for i in (1, 3))
    colors = class_colors(2)
    size = len(truth)
    for code, row in ((1, size // 3), (0, size // 2)):
        drawn = (truth == colors[code]).all(axis=-1)
        # Wide enough to be seen in a panel of 240 pixels, and no wider than a brush.
        assert drawn[row - 1 : row + 2, size // 4].any()
        assert max(1, size / 250) <= drawn[:, size // 4].sum() <= 1 + size / 60
        assert not drawn[:, -size // 4 :].any()
    wrong = (errors == ERROR_COLOR).all(axis=-1)
    assert wrong[:, size // 4].any()
    assert not wrong[: size // 3 + 5, size // 4].any()
    texts = [text.get_text() for text in display.legend_.get_texts()]
    assert texts == ["0", "1", "wrong"]


def test_strokes_in_overlays() -> None:
    X, true, predicted = strokes(100)
    for mode in ("overlay", "contours"):
        display = draw(X, true, predicted, ignore_label=9, mode=mode)
        drawn = np.asarray(display.images_[0, 0].get_array())
        assert (drawn == class_colors(2)[0]).all(axis=-1).any()


# The other displays of images


def test_draws_have_the_brightness_of_the_first(pyplot: ModuleType) -> None:
    bands = np.random.default_rng(0).integers(0, 9000, (12, 12, 5)).astype(np.uint16)
    darker = (bands // 2).astype(np.float32)
    mask = np.zeros((12, 12), int)
    display = AugmentationDisplay([bands, darker], [mask, mask])
    display.plot(channels=(4, 0, 1))
    first, second = (
        np.asarray(panel.get_images()[0].get_array()) for panel in display.axes_[:, 0]
    )
    assert first.max() == 1.0
    assert second.max() < 0.6
    np.testing.assert_allclose(first, displayable(bands, None, (4, 0, 1)))
    with pytest.raises(ValueError, match="image 0 has 5"):
        display.plot(channels=5)


def test_uncertainty_without_data_and_by_channel(pyplot: ModuleType) -> None:
    X = np.random.default_rng(0).uniform(0, 50, (2, 8, 9, 4))
    X[0, :3] = np.nan
    maps = np.full((2, 8, 9), 0.5)
    maps[0, :3] = np.nan
    display = UncertaintyDisplay.from_predictions(X, maps, channels=3)
    assert display.colorbar_.vmax == 0.5
    shown = np.asarray(display.images_[0, 0].get_array())
    assert shown.shape == (8, 9)
    assert np.isfinite(shown).all()
    assert (shown[3:] > 0).any()
    # Not a pixel with data at all.
    UncertaintyDisplay.from_predictions(X * np.nan, maps * np.nan)
