"""SegmentationDisplay: scikit-learn's Display contract, and what is drawn."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sksegment._inputs.image_files import read_mask
from sksegment._inputs.palette import PALETTE
from sksegment.datasets import load_image_pairs, load_voc, make_shapes
from sksegment.display import SegmentationDisplay
from sksegment.display._pictures import (
    ERROR_COLOR,
    class_colors,
    displayable,
    error_picture,
)

pytestmark = pytest.mark.usefixtures("pyplot")


class Threshold(ClassifierMixin, BaseEstimator):
    """Bright pixels get the last class, the others the first."""

    def __init__(self, level: float = 0.5, ignore_label: Any = None) -> None:
        self.level = level
        self.ignore_label = ignore_label

    def fit(self, X: Any, y: Any) -> Threshold:
        labels = np.unique(np.asarray(y))
        self.classes_ = labels[labels != self.ignore_label]
        self.n_features_in_ = 1
        return self

    def predict(self, X: Any) -> Any:
        self.n_predicted_ = len(X)
        bright = np.asarray(X) > self.level
        return np.where(bright, self.classes_[-1], self.classes_[0])

    def score(self, X: Any, y: Any) -> float:
        return float((self.predict(X) == y).mean())


@pytest.fixture
def grey() -> tuple[Any, Any]:
    """Five grey images whose bright half is labelled 7, the other 3, a corner 255."""
    X = np.random.default_rng(0).uniform(0, 0.4, (5, 6, 8))
    X[:, :, 4:] += 0.6
    y = np.where(X > 0.5, 7, 3)
    y[:, :2, :2] = 255
    return X, y


def picture(display: SegmentationDisplay, row: int, column: int) -> Any:
    return np.asarray(display.images_[row, column].get_array())


def titles(display: SegmentationDisplay) -> list[list[str]]:
    return [[panel.get_title() for panel in row] for row in display.axes_]


def legend_texts(display: SegmentationDisplay) -> list[str]:
    return [text.get_text() for text in display.legend_.get_texts()]


def legend_colors(display: SegmentationDisplay) -> dict[str, Any]:
    """The colors of the legend by its texts."""
    patches: Any = display.legend_.get_patches()
    colors = [patch.get_facecolor()[:3] for patch in patches]
    return dict(zip(legend_texts(display), colors, strict=True))


# The contract


def test_init_stores_and_does_nothing(pyplot: ModuleType) -> None:
    parts = {name: object() for name in ("images", "y_true", "y_pred", "classes")}
    display = SegmentationDisplay(**parts)  # type: ignore[arg-type]
    for name, value in parts.items():
        assert getattr(display, name) is value
    assert not [name for name in vars(display) if name.endswith("_")]
    assert pyplot.get_fignums() == []


def test_plot_returns_self_and_stores_what_it_drew(grey: Any) -> None:
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

    X, y = grey
    display = SegmentationDisplay.from_predictions(X, y, y, n_images=2)
    before = display.figure_
    assert display.plot() is display
    assert display.figure_ is not before
    assert isinstance(display.figure_, Figure)
    assert isinstance(display.legend_, Legend)
    assert display.axes_.shape == display.images_.shape == (2, 4)
    assert all(panel.figure is display.figure_ for panel in display.axes_.flat)


def test_one_row_an_image_with_titles(grey: Any) -> None:
    X, y = grey
    display = SegmentationDisplay.from_predictions(X, y, y, n_images=2)
    assert titles(display) == [
        ["Image", "Truth", "Prediction", "Errors (100.0% right)"],
        ["", "", "", "Errors (100.0% right)"],
    ]


@pytest.mark.parametrize("n_images, n_rows", [(1, 1), (4, 4), (99, 5)])
def test_n_images(grey: Any, n_images: int, n_rows: int) -> None:
    X, y = grey
    display = SegmentationDisplay.from_predictions(X, y, y, n_images=n_images)
    assert display.axes_.shape == (n_rows, 4)
    assert display.plot(n_images=1).axes_.shape == (1, 4)


@pytest.mark.parametrize("n_images, error", [(0, ValueError), (1.5, TypeError)])
def test_bad_n_images(grey: Any, n_images: Any, error: type[Exception]) -> None:
    X, y = grey
    with pytest.raises(error, match=f"n_images is {n_images}"):
        SegmentationDisplay.from_predictions(X, y, y, n_images=n_images)


@pytest.mark.parametrize("contain", [np.asarray, list])
def test_a_display_made_by_hand_is_drawn(grey: Any, contain: Any) -> None:
    X, y = grey
    usual = SegmentationDisplay.from_predictions(X, y, y[:, :, ::-1])
    by_hand = SegmentationDisplay(
        contain(X), contain(y), contain(y[:, :, ::-1]), classes=contain([7, 3, 255])
    )
    by_hand.plot(n_images=4)
    for first, second in zip(usual.images_.flat, by_hand.images_.flat, strict=True):
        assert_array_equal(first.get_array(), second.get_array())
    assert legend_texts(by_hand) == legend_texts(usual)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch, grey: Any) -> None:
    X, y = grey
    display = SegmentationDisplay([X], None, [y], classes=np.array([3, 7]))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for call in (
        display.plot,
        lambda: SegmentationDisplay.from_predictions(X, y, y),
        lambda: SegmentationDisplay.from_estimator(Threshold().fit(X, y), X),
    ):
        with pytest.raises(ImportError, match=r'pip install "sksegment\[plot\]"'):
            call()


# Estimators


def test_estimator_and_predictions_draw_the_same(grey: Any) -> None:
    X, y = grey
    model = Threshold(0.8, ignore_label=255).fit(X, y)
    one = SegmentationDisplay.from_estimator(model, X, y)
    two = SegmentationDisplay.from_predictions(X, y, model.predict(X), ignore_label=255)
    for first, second in zip(one.images_.flat, two.images_.flat, strict=True):
        assert_array_equal(first.get_array(), second.get_array())
    assert legend_texts(one) == legend_texts(two) == ["3", "7", "ignored", "wrong"]


def test_only_images_that_are_shown_are_predicted(grey: Any) -> None:
    X, y = grey
    model = Threshold(ignore_label=255).fit(X, y)
    SegmentationDisplay.from_estimator(model, X, y, n_images=3)
    assert model.n_predicted_ == 3


@pytest.mark.parametrize("kind", ["pipeline", "search", "search of pipeline"])
def test_labels_are_found_inside_pipelines_and_searches(grey: Any, kind: str) -> None:
    X, y = grey
    model: Any = Threshold(ignore_label=255)
    if kind != "search":
        model = make_pipeline(FunctionTransformer(), model)
    if kind != "pipeline":
        level = "level" if kind == "search" else "threshold__level"
        model = GridSearchCV(model, {level: [0.8, 0.5]}, cv=2)
    display = SegmentationDisplay.from_estimator(model.fit(X, y), X, y, n_images=1)
    assert display.ignore_label == 255
    assert_array_equal(display.classes, [3, 7])
    assert titles(display)[0][3] == "Errors (100.0% right)"


def test_truth_may_be_missing(grey: Any) -> None:
    X, y = grey
    model = Threshold(ignore_label=255).fit(X, y)
    display = SegmentationDisplay.from_estimator(model, X, n_images=2)
    assert display.axes_.shape == (2, 2)
    assert titles(display)[0] == ["Image", "Prediction"]
    assert legend_texts(display) == ["3", "7"]


def test_unfitted_estimator(grey: Any) -> None:
    with pytest.raises(NotFittedError):
        SegmentationDisplay.from_estimator(Threshold(), *grey)


def test_label_that_the_estimator_does_not_know(grey: Any) -> None:
    X, y = grey
    model = Threshold(ignore_label=255).fit(X, y)
    y[0, 5, 5] = 9
    with pytest.raises(ValueError, match="label 9, expected the classes 3, 7"):
        SegmentationDisplay.from_estimator(model, X, y)


def test_mismatch_beyond_the_images_shown_is_noticed(grey: Any) -> None:
    X, y = grey
    model = Threshold(ignore_label=255).fit(X, y)
    with pytest.raises(ValueError, match="5 images and y has 4 masks"):
        SegmentationDisplay.from_estimator(model, X, y[:4], n_images=2)
    with pytest.raises(ValueError, match="5 images and y has 4 masks"):
        SegmentationDisplay.from_predictions(X, y, y[:4], n_images=2)


def test_mask_of_another_size_than_its_image(grey: Any) -> None:
    X, y = grey
    with pytest.raises(ValueError, match=r"mask 0 has height and width \(6, 7\)"):
        SegmentationDisplay.from_predictions(X, y, y[:, :, 1:])


# What is drawn


def test_masks_are_drawn_in_the_colors_of_the_legend(grey: Any) -> None:
    X, y = grey
    display = SegmentationDisplay.from_predictions(X, y, y[:, :, ::-1], n_images=1)
    colors = legend_colors(display)
    assert list(colors) == ["3", "7", "255", "wrong"]
    for column, mask in ((1, y[0]), (2, y[0, :, ::-1])):
        for label in (3, 7, 255):
            drawn = (picture(display, 0, column) == colors[str(label)]).all(axis=-1)
            assert_array_equal(drawn, mask == label)


def test_errors_are_exactly_the_wrong_pixels(grey: Any) -> None:
    X, y = grey
    predicted = y.copy()
    predicted[0, 3, 1] = predicted[0, 5, 2] = 7
    predicted[:, :2, :2] = 7  # ignored: no error whatever is predicted
    display = SegmentationDisplay.from_predictions(
        X, y, predicted, ignore_label=255, n_images=2
    )
    marked = [(picture(display, i, 3) == ERROR_COLOR).all(axis=-1) for i in (0, 1)]
    assert np.argwhere(marked[0]).tolist() == [[3, 1], [5, 2]]
    assert not marked[1].any()
    right = 100 * (1 - 2 / (6 * 8 - 4))
    assert titles(display)[0][3] == f"Errors ({right:.1f}% right)"
    assert titles(display)[1][3] == "Errors (100.0% right)"


def test_all_else_of_the_error_panel_is_the_image_in_grey() -> None:
    X, y = make_shapes(1, random_state=0)
    display = SegmentationDisplay.from_predictions(X, y, y)
    drawn = picture(display, 0, 3)
    assert_array_equal(drawn[..., 0], drawn[..., 1])
    assert_array_equal(drawn[..., 0], drawn[..., 2])
    correlation = np.corrcoef(drawn[..., 0].ravel(), X[0].mean(axis=-1).ravel())[0, 1]
    assert correlation > 0.999


def test_few_errors_are_not_rounded_away() -> None:
    y = np.zeros((1, 100, 100), int)
    predicted = y.copy()
    predicted[0, 0, 0] = 1
    display = SegmentationDisplay.from_predictions(y / 1.0, y, predicted)
    assert titles(display)[0][3] == "Errors (99.9% right)"


def test_ignored_pixels_are_grey_in_truth_and_errors_only(grey: Any) -> None:
    X, y = grey
    predicted = np.where(y == 255, 3, y)
    display = SegmentationDisplay.from_predictions(X, y, predicted, ignore_label=255)
    ignored = y[0] == 255
    for column, expected in ((1, ignored), (2, np.zeros_like(ignored))):
        drawn = picture(display, 0, column)
        assert_array_equal(np.ptp(drawn, axis=-1) == 0, expected)
    assert_array_equal(picture(display, 0, 3)[ignored], picture(display, 0, 1)[ignored])
    assert "255" not in legend_texts(display)


def test_image_without_a_scored_pixel(grey: Any) -> None:
    X, y = grey
    y[:] = 255
    display = SegmentationDisplay.from_predictions(
        X, y, np.full_like(y, 3), ignore_label=255, n_images=1
    )
    assert titles(display)[0][3] == "Errors (all ignored)"


def test_no_pixel_with_a_class(grey: Any) -> None:
    X, y = grey
    y[:] = 255
    with pytest.raises(ValueError, match=r"All pixels .* ignore_label=255; .*classes="):
        SegmentationDisplay.from_predictions(X, y, y, ignore_label=255)
    display = SegmentationDisplay.from_predictions(
        X, y, y, ignore_label=255, classes=[3, 7]
    )
    assert legend_texts(display) == ["ignored", "wrong"]


@pytest.mark.parametrize(
    "labels",
    [(0, 255), (False, True), (-1, 4), ("cell", "wall"), (0.0, 2.0), (205, 70_000)],
)
def test_any_label_values(labels: tuple[Any, Any]) -> None:
    y = np.array(labels)[np.random.default_rng(0).integers(0, 2, (2, 6, 5))]
    X = np.zeros((2, 6, 5))
    display = SegmentationDisplay.from_predictions(X, y, y[::-1])
    assert legend_texts(display) == [*map(str, labels), "wrong"]
    marked = (picture(display, 0, 3) == ERROR_COLOR).all(axis=-1)
    assert_array_equal(marked, y[0] != y[1])


def test_sizes_may_differ_and_paths_are_read(tmp_path: Path) -> None:
    paths: dict[str, list[Path]] = {"image": [], "mask": []}
    for i, size in enumerate([(4, 9), (12, 5)]):
        mask = np.tri(*size, dtype=np.uint8)
        for kind, pixels in (("image", mask * 99), ("mask", mask)):
            paths[kind].append(tmp_path / f"{kind}{i}.png")
            Image.fromarray(pixels).save(paths[kind][-1])
    display = SegmentationDisplay.from_predictions(
        paths["image"], paths["mask"], [np.tri(4, 9), np.tri(12, 5)]
    )
    shapes = [picture(display, i, 1).shape for i in range(2)]
    assert shapes == [(4, 9, 3), (12, 5, 3)]
    assert "wrong" in legend_texts(display)
    assert titles(display)[1][3] == "Errors (100.0% right)"


def test_pixels_are_drawn_crisp(grey: Any) -> None:
    X, y = grey
    display = SegmentationDisplay.from_predictions(X, y, y, n_images=1)
    modes = {image.get_interpolation() for image in display.images_.flat}
    assert modes == {"nearest"}


def test_texts_do_not_overlap() -> None:
    X, y = make_shapes(3, n_classes=8, size=(24, 64), random_state=0)
    names = [f"a rather long name {i}" for i in range(8)]
    display = SegmentationDisplay.from_predictions(X, y, y, class_names=names)
    display.figure_.canvas.draw()
    boxes = [panel.title.get_window_extent() for panel in display.axes_[0]]
    boxes += [panel.get_window_extent() for panel in display.axes_.flat]
    legend = display.legend_.get_window_extent()
    figure = display.figure_.bbox
    assert not any(legend.overlaps(box) for box in boxes)
    assert not any(a.overlaps(b) for a, b in pairwise(boxes[:4]))
    assert legend.x0 >= figure.x0
    assert legend.x1 <= figure.x1


# Names, colors, axes


def test_class_names_follow_classes_in_any_order(grey: Any) -> None:
    X, y = grey
    for names in (["seven", "three"], {7: "seven", 3: "three"}):
        display = SegmentationDisplay.from_predictions(
            X, y, y, classes=[7, 3], class_names=names, ignore_label=255
        )
        assert legend_texts(display) == ["three", "seven", "ignored", "wrong"]


@pytest.mark.parametrize("contain", [np.array, pd.Series, pd.Index, tuple, iter])
def test_names_come_in_any_sequence(contain: Any) -> None:
    y = np.array([[[0, 1]]])
    names = contain(["zero", "one"])
    display = SegmentationDisplay.from_predictions(y * 1.0, y, y, class_names=names)
    assert legend_texts(display.plot()) == ["zero", "one", "wrong"]


@pytest.mark.parametrize("names", [5, "sky"])
def test_names_that_are_no_sequence(grey: Any, names: Any) -> None:
    X, y = grey
    with pytest.raises(TypeError, match=f"class_names is {names!r}; expected a list"):
        SegmentationDisplay.from_predictions(X, y, y, class_names=names)


def test_classes_of_strings_may_be_objects() -> None:
    y = np.array([[["a", "c"]]])
    classes = pd.Series(["c", "b", "a"], dtype=object)
    display = SegmentationDisplay.from_predictions(
        np.zeros((1, 1, 2)), y, y, classes=classes
    )
    assert legend_texts(display) == ["a", "c", "wrong"]
    assert legend_colors(display)["c"] == pytest.approx(class_colors(3)[2])


def test_names_without_classes_are_those_of_class_ids() -> None:
    y = np.array([[[1, 3]]])
    names = ["zero", "one", "two", "three"]
    display = SegmentationDisplay.from_predictions(y * 1.0, y, y, class_names=names)
    assert legend_texts(display) == ["one", "three", "wrong"]
    assert legend_colors(display)["three"] == pytest.approx(class_colors(4)[3])
    # Names that cannot be those of ids are those of the labels found, in order.
    two = SegmentationDisplay.from_predictions(y * 1.0, y, y, class_names=names[:2])
    assert legend_texts(two) == ["zero", "one", "wrong"]


def test_classes_keep_their_color_and_absent_ones_stay_out(grey: Any) -> None:
    X, y = grey
    display = SegmentationDisplay.from_predictions(
        X, y, y, classes=range(21), ignore_label=255
    )
    assert legend_texts(display) == ["3", "7", "ignored", "wrong"]
    assert legend_colors(display)["7"] == pytest.approx(class_colors(21)[7])


def test_too_few_names(grey: Any) -> None:
    X, y = grey
    with pytest.raises(ValueError, match=r"class_names has 2 names.*3 classes.*dict"):
        SegmentationDisplay.from_predictions(X, y, y, class_names=["a", "b"])


@pytest.mark.parametrize(
    "classes, message",
    [
        ([3, 3], "a label twice"),
        (5, r"classes has shape \(\)"),
        ([None, 3], "dtype object; expected a list of label values"),
    ],
)
def test_bad_classes(grey: Any, classes: Any, message: str) -> None:
    X, y = grey
    with pytest.raises(ValueError, match=message):
        SegmentationDisplay.from_predictions(X, y, y, classes=classes)


def test_colors_are_distinct() -> None:
    colors = class_colors(2 * len(PALETTE))
    assert colors.min() >= 0
    assert colors.max() <= 1
    assert len(np.unique(colors.round(3), axis=0)) == 2 * len(PALETTE)
    apart = np.linalg.norm(colors[:21, None] - colors[None, :21], axis=-1)
    assert apart[~np.eye(21, dtype=bool)].min() > 0.12
    assert np.linalg.norm(colors[:21] - ERROR_COLOR, axis=1).min() > 0.12
    # Classes are no greys: those are for ignored pixels and the error panel.
    assert (np.ptp(colors[:21], axis=1) > 0.05).all()


@pytest.mark.parametrize("cmap", ["tab10", "viridis"])
def test_color_map_by_name_or_object(cmap: str) -> None:
    import matplotlib as mpl

    colors = class_colors(3, cmap)
    places = [0, 1, 2] if cmap == "tab10" else [0.0, 0.5, 1.0]
    assert_array_equal(colors, mpl.colormaps[cmap](places)[:, :3])
    assert_array_equal(class_colors(3, mpl.colormaps[cmap]), colors)


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        ({"cmap": "nosuch"}, ValueError, "cmap is 'nosuch'; .* such as 'tab20'"),
        ({"cmap": 5}, TypeError, "cmap is 5; expected the name of a color map"),
        ({"ax": [1, 2]}, TypeError, r"ax is \[1, 2\]; expected an Axes"),
        ({"ax": [None] * 4}, TypeError, "expected an Axes"),
        ({"ax": "left"}, TypeError, "ax is 'left'; expected an Axes"),
    ],
)
def test_what_is_no_color_map_and_no_axes(
    grey: Any, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    X, y = grey
    with pytest.raises(error, match=message):
        SegmentationDisplay.from_predictions(X, y, y, n_images=1, **parameters)


def test_color_map_is_used(grey: Any) -> None:
    X, y = grey
    display = SegmentationDisplay.from_predictions(X, y, y, cmap="tab10")
    assert legend_colors(display)["3"] == pytest.approx(class_colors(1, "tab10")[0])


def test_axes_that_are_given_are_used(pyplot: ModuleType, grey: Any) -> None:
    X, y = grey
    figure, axes = pyplot.subplots(2, 4)
    display = SegmentationDisplay.from_predictions(X, y, y, n_images=2, ax=axes)
    assert display.figure_ is figure
    assert_array_equal(display.axes_, axes)
    assert display.legend_.axes is axes[0, 3]
    assert pyplot.get_fignums() == [figure.number]
    with pytest.raises(ValueError, match="ax holds 8 axes; expected 1 x 4"):
        SegmentationDisplay.from_predictions(X, y, y, n_images=1, ax=axes)


def test_one_axes_is_divided(pyplot: ModuleType, grey: Any) -> None:
    X, y = grey
    figure, (left, right) = pyplot.subplots(1, 2)
    display = SegmentationDisplay.from_predictions(X, y, y, n_images=2, ax=right)
    assert display.figure_ is figure
    assert display.axes_.shape == (2, 4)
    place = right.get_position()
    for panel in display.axes_.flat:
        assert panel.get_position().x0 >= place.x0 - 1e-9
        assert panel.get_position().x1 <= place.x1 + 1e-9
    assert left.axison
    assert not right.axison


# Images of any kind


@pytest.mark.parametrize(
    "image, shown",
    [
        (np.uint8([[0, 51]]), [[0.0, 0.2]]),
        (np.array([[False, True]]), [[0.0, 1.0]]),
        (np.array([[0.25, 0.75]]), [[0.25, 0.75]]),
        (np.array([[0.25, 0.25]]), [[0.5, 0.5]]),
        (np.uint16([[7, 7]]), [[0.5, 0.5]]),
        (np.float32([[-3.0, 5.0]]), [[0.0, 1.0]]),
    ],
)
def test_brightness(image: Any, shown: Any) -> None:
    drawn = displayable(np.asarray(image)[..., np.newaxis])
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn, shown, atol=1e-6)


@pytest.mark.parametrize("dtype", ["u2", "i2", "i8", "f2", "f8"])
def test_few_extreme_pixels_do_not_darken_the_rest(dtype: str) -> None:
    image = np.linspace(100, 300, 1000).astype(dtype).reshape(20, 50, 1)
    image[0, 0] = 30_000
    drawn = displayable(image)
    assert drawn.min() == 0
    assert drawn.max() == 1
    assert 0.4 < np.median(drawn) < 0.6


def test_rare_bright_pixels_on_black_stay_visible() -> None:
    image = np.zeros((100, 100, 1), np.uint16)
    image[5, 5] = 900
    assert displayable(image)[5, 5] == 1


@pytest.mark.parametrize(
    "n_channels, shape, title",
    [
        (1, (6, 5), "Image"),
        (2, (6, 5), "Channel 0 of 2"),
        (3, (6, 5, 3), "Image"),
        (4, (6, 5, 3), "Channels 0, 1, 2 of 4"),
        (13, (6, 5, 3), "Channels 0, 1, 2 of 13"),
    ],
)
def test_channels(n_channels: int, shape: tuple[int, ...], title: str) -> None:
    X = np.random.default_rng(0).integers(0, 5000, (1, 6, 5, n_channels))
    y = np.zeros((1, 6, 5), int)
    display = SegmentationDisplay.from_predictions(X.astype(np.uint16), y, y)
    assert picture(display, 0, 0).shape == shape
    assert titles(display)[0][0] == title


def test_bands_are_stretched_one_by_one_colors_together() -> None:
    image = np.random.default_rng(0).uniform(0, 1, (9, 9, 4)) * [1, 10, 100, 5]
    assert (displayable(image).max(axis=(0, 1)) > 0.98).all()
    dimmest, middle, brightest = displayable(image[..., :3]).max(axis=(0, 1))
    assert dimmest < middle < 0.2 < 0.98 < brightest


# Real images


def test_missing_values_that_are_ignored_leave_the_brightness_alone():
    image = np.random.default_rng(0).uniform(100, 200, (20, 20, 1))
    truth = np.zeros((20, 20), int)
    truth[:3] = -1
    marked = np.where(truth[..., np.newaxis] < 0, -9999.0, image)
    kept = truth >= 0
    assert_array_equal(displayable(marked, kept)[kept], displayable(image, kept)[kept])
    prediction = np.zeros((20, 20), int)
    assert_array_equal(
        error_picture(marked, truth, prediction),
        error_picture(image, truth, prediction),
    )
    assert_array_equal(displayable(image, kept & False), displayable(image))


def test_voc_sample(shared_data: Path) -> None:
    val = load_voc(shared_data / "voc_sample", "val")
    masks = [read_mask(path) for path in val.target[:2]]
    predicted = [np.where(mask == 255, 0, mask) for mask in masks]
    display = SegmentationDisplay.from_predictions(
        val.data[:2],
        val.target[:2],
        predicted,
        classes=range(21),
        ignore_label=val.ignore_label,
        class_names=val.target_names,
    )
    assert titles(display)[1][3] == "Errors (100.0% right)"
    assert {"background", "ignored"} <= set(legend_texts(display))


def test_membranes_and_satellite_images(shared_data: Path) -> None:
    for name, labels in (
        ("membrane/train", ["0", "255"]),
        ("sentinel2_13band", ["0", "1", "2", "3", "4", "8"]),
    ):
        folder = shared_data / name
        pairs = load_image_pairs(folder / "images", folder / "masks")
        display = SegmentationDisplay.from_predictions(
            pairs.data, pairs.target, pairs.target, n_images=1
        )
        assert legend_texts(display) == [*labels, "wrong"]
