"""Pixels without data: left out of training and scores, marked in predictions."""

from __future__ import annotations

import ast
import math
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sksegment import FCNSegmenter, load_model, save_model
from sksegment._inputs.nodata import missing_pixels
from sksegment._inputs.nodata_marks import likely_mark, warn_of_marks
from sksegment.augmentation import RandomBrightness, RandomFlip
from sksegment.calibration import TemperatureScaling
from sksegment.datasets import check_masks, find_mask_errors, make_shapes
from sksegment.display import (
    AugmentationDisplay,
    CalibrationDisplay,
    ConfusionDisplay,
    ScoreDisplay,
    SegmentationDisplay,
)
from sksegment.ensemble import VotingSegmenter, predict_uncertainty
from sksegment.metrics import (
    iou_score,
    make_segmentation_scorer,
    neg_pixel_log_loss_scorer,
    pixel_accuracy_score,
    pixel_log_loss,
)

VOID = 255
# Values that mark missing data, and a dtype that holds them.
MARKS = [
    (math.nan, "f4"),
    (-9999, "f4"),
    (-9999, "i2"),
    (-9999.0, "f2"),
    (-3.4028235e38, "f4"),
    (-1.7976931348623157e308, "f8"),
    (0, "u1"),
]


MARKS_OF_FLOATS = (-9999.0, -3.4028235e38)


def small(**parameters: Any) -> FCNSegmenter:
    settings = {"depth": 2, "width": 4, "max_epochs": 2, "random_state": 0}
    return FCNSegmenter(**{**settings, **parameters})


def marked(value: float, dtype: str = "f4") -> tuple[Any, Any, Any]:
    """Images with a missing strip, masks with an unknown label there, and where."""
    X, y = make_shapes(6, size=28, n_classes=3, random_state=0)
    X = (X * 200 + 20).astype(dtype)
    missing = np.zeros(y.shape, bool)
    missing[:4, :, :7] = True
    missing[4, 20:, 20:] = True
    X[missing, 1] = value  # in one channel only
    return X, np.where(missing, 99, y).astype(np.uint8), missing


@pytest.fixture(scope="module")
def fitted() -> tuple[FCNSegmenter, Any, Any, Any]:
    X, y, missing = marked(math.nan)
    return small(nodata=math.nan, ignore_label=VOID).fit(X, y), X, y, missing


@pytest.mark.parametrize("value, dtype", MARKS)
def test_predictions_are_marked_there_and_nowhere_else(value: Any, dtype: str) -> None:
    X, y, missing = marked(value, dtype)
    segmenter = small(nodata=value, nodata_label=VOID, max_epochs=1).fit(X, y)
    assert_array_equal(segmenter.classes_, [0, 1, 2])
    labels, probabilities = segmenter.predict(X), segmenter.predict_proba(X)
    assert labels.dtype == np.uint8
    assert_array_equal(labels == VOID, missing)
    assert_array_equal(np.isnan(probabilities).any(axis=1), missing)
    assert_array_equal(np.isnan(probabilities).all(axis=1), missing)


@pytest.mark.parametrize(
    "value, dtype",
    [
        (2**64 - 1, "u8"),
        (np.iinfo(np.int64).max, "i8"),
        (np.int64(2**53 + 1), "i8"),
        (-(2**53) - 1, "i8"),
    ],
)
def test_whole_numbers_that_no_float_holds(
    value: Any, dtype: str, tmp_path: Path
) -> None:
    tifffile = pytest.importorskip("tifffile")
    X, y, missing = marked(value, dtype)
    neighbour = int(value) - 1 if value > 0 else int(value) + 1  # the same double
    X[5, :2, :2] = neighbour
    y[5, :2, :2] = 99
    segmenter = small(nodata=value, nodata_label=VOID, max_epochs=1, ignore_label=99)
    paths = [tmp_path / f"{index}.tif" for index in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        tifffile.imwrite(path, image, photometric="rgb")
    save_model(segmenter.fit(X, y), tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert segmenter.channel_max_.max() < 300
    assert again.nodata == value
    assert isinstance(again.nodata, int)
    for model in (segmenter, again, clone(segmenter).fit(paths, list(y))):
        assert_array_equal(model.predict(X[:5]) == VOID, missing[:5])
        labels = np.stack(list(model.predict(paths[:5])))
        assert_array_equal(labels == VOID, missing[:5])


@pytest.mark.parametrize("value, dtype", MARKS[:2])
def test_what_stands_there_changes_nothing(value: Any, dtype: str) -> None:
    # The oracle: the mean of the training pixels in all channels, and ignored masks.
    X, y, missing = marked(value, dtype)
    rest = np.where(missing[..., np.newaxis], np.nan, X.astype(np.float64))
    X_filled = np.where(np.isnan(rest), np.nanmean(rest, axis=(0, 1, 2)), rest)
    y_ignored = np.where(missing, VOID, y)
    plain = small(ignore_label=VOID).fit(X_filled, y_ignored)
    segmenter = small(nodata=value, ignore_label=VOID).fit(X, y)
    for name in ("mean", "std", "min", "max"):
        ours, theirs = (getattr(s, f"channel_{name}_") for s in (segmenter, plain))
        assert_allclose(ours, theirs)
    probabilities = np.moveaxis(segmenter.predict_proba(X), 1, -1)[~missing]
    expected = np.moveaxis(plain.predict_proba(X_filled), 1, -1)[~missing]
    assert_allclose(probabilities, expected, atol=2e-4)


@pytest.mark.parametrize("crop", [{}, {"crop_size": 16, "crop_sampling": "balanced"}])
def test_labels_and_values_there_do_not_matter(crop: Any) -> None:
    X, y, missing = marked(math.nan)
    other = X.copy()
    other[missing] = [5e6, math.nan, -3]
    relabelled = np.where(missing, np.arange(28) % 50, y)
    one, two = (
        small(nodata=math.nan, nodata_label=-1, **crop).fit(images, masks)
        for images, masks in ((X, y), (other, relabelled))
    )
    assert_array_equal(one.predict_proba(X), two.predict_proba(other))


def test_pseudo_labels_do_not_depend_on_them() -> None:
    X, y, missing = marked(math.nan)
    y[:, 8:20] = VOID
    other = X.copy()
    other[missing] = [7.0, math.nan, -3.0]
    settings = {"ignore_label": VOID, "pseudo_labels": "forest", "nodata": math.nan}
    one, two = (small(**settings).fit(images, y) for images in (X, other))
    assert_array_equal(one.predict_proba(X), two.predict_proba(other))


def test_neighbours_are_clipped_as_before(fitted: Any) -> None:
    segmenter, X, _, missing = fitted
    mean = np.broadcast_to(segmenter.channel_mean_, X.shape)
    plain = clone(segmenter).set_params(nodata=None)
    plain.__dict__.update({k: v for k, v in vars(segmenter).items() if k[-1] == "_"})
    plain._architecture, plain._seed = segmenter._architecture, segmenter._seed
    expected = plain.predict_proba(np.where(missing[..., None], mean, X))
    found = segmenter.predict_proba(X)
    assert_allclose(
        np.where(missing[:, None], 0, found),
        np.where(missing[:, None], 0, expected),
        atol=1e-5,
    )


def test_scores_leave_them_out(fitted: Any) -> None:
    segmenter, X, y, missing = fitted
    labels, probabilities = segmenter.predict(X), segmenter.predict_proba(X)
    pairs = [(y[i][~missing[i]], labels[i][~missing[i]]) for i in range(6)]
    true, predicted = (
        np.concatenate(part)[None, None] for part in zip(*pairs, strict=True)
    )
    expected = iou_score(true, predicted, labels=[0, 1, 2])
    assert segmenter.score(X, y) == pytest.approx(expected)
    assert segmenter.score(list(X), list(y)) == pytest.approx(expected)
    columns = np.moveaxis(probabilities, 1, -1)[~missing].T[None, :, None]
    assert neg_pixel_log_loss_scorer(segmenter, X, y) == pytest.approx(
        -pixel_log_loss(true, columns, labels=[0, 1, 2])
    )

    def accuracy(y_true: Any, y_pred: Any, ignore_label: Any) -> float:
        return pixel_accuracy_score(y_true, y_pred, ignore_label=ignore_label)

    scorer = make_segmentation_scorer(accuracy)
    assert scorer(segmenter, X, y) == pytest.approx((true == predicted).mean())


def test_validation_and_early_stopping(fitted: Any) -> None:
    _, X, y, _ = fitted
    segmenter = small(nodata=math.nan, ignore_label=VOID)
    segmenter.fit(X, y, X_val=X, y_val=y)
    last = segmenter.history_[-1]
    assert last["valid_iou"] == pytest.approx(segmenter.score(X, y), abs=1e-6)
    assert math.isfinite(last["valid_loss"])


def test_tiles_are_exact(fitted: Any) -> None:
    segmenter, X, _, _ = fitted
    large = np.tile(X[:1], (1, 3, 4, 1))
    whole = segmenter.predict_proba(large)
    tiled = clone(segmenter).set_params(tile_size=32)
    tiled.__setstate__({**segmenter.__getstate__(), "tile_size": 32})
    assert_allclose(tiled.predict_proba(large), whole, atol=1e-5)
    assert_array_equal(tiled.predict(large), segmenter.predict(large))
    views = small().__sklearn_clone__()
    views.__setstate__({**segmenter.__getstate__(), "test_time_augmentation": True})
    assert_array_equal(np.isnan(views.predict_proba(large)), np.isnan(whole))


def test_blocks_are_exact(fitted: Any, tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("zarr")
    from sksegment.blocks import predict_blocks, predict_to_zarr

    segmenter, X, _, _ = fitted
    large = np.tile(X[0], (2, 3, 1))
    labels = predict_blocks(segmenter, large, block_size=20)
    assert labels.dtype == np.uint8
    assert_array_equal(labels.compute(), segmenter.predict([large])[0])
    stored = predict_to_zarr(
        segmenter, large, tmp_path / "p", method="predict_proba", block_size=30
    )
    assert_allclose(stored[:], segmenter.predict_proba([large])[0], atol=1e-5)


def test_blocks_of_strings_have_a_code_for_them(tmp_path: Path) -> None:
    pytest.importorskip("dask.array")
    pytest.importorskip("zarr")
    from sksegment.blocks import predict_to_zarr

    X, y, missing = marked(-9999)
    names = np.array(["cell", "wall", "rim", "?"])[np.minimum(y, 3)]
    segmenter = small(nodata=-9999, nodata_label="a void", max_epochs=1).fit(X, names)
    stored = predict_to_zarr(segmenter, X[0], tmp_path / "codes", block_size=20)
    classes = np.array(stored.attrs["classes"])
    assert_array_equal(classes[stored[:]], segmenter.predict(X[:1])[0])
    assert_array_equal(classes[stored[:]] == "a void", missing[0])


@pytest.mark.parametrize(
    "value",
    [math.nan, *(pytest.param(v, marks=pytest.mark.slow) for v in MARKS_OF_FLOATS)],
)
def test_exported_files_mark_them(value: float, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from sksegment.export import export_onnx

    X, y, missing = marked(value)
    segmenter = small(nodata=value, nodata_label=-1, max_epochs=1).fit(X, y)
    export_onnx(segmenter, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    labels, probabilities = session.run(None, {"images": X})
    assert_array_equal(labels == -1, missing)
    assert_array_equal(labels, segmenter.predict(X))
    assert_allclose(probabilities, segmenter.predict_proba(X), atol=1e-5)


def test_ensembles_and_calibration(fitted: Any) -> None:
    segmenter, X, y, missing = fitted
    other = small(nodata=float("nan"), ignore_label=VOID, random_state=1).fit(X, y)
    voting = VotingSegmenter.from_fitted([segmenter, other])
    calibrated = TemperatureScaling(FrozenEstimator(segmenter)).fit(X, y)
    for model in (voting, calibrated):
        assert_array_equal(model.predict(X) == VOID, missing)
        assert_array_equal(np.isnan(model.predict_proba(X)).any(axis=1), missing)
        assert 0 < model.score(X, y) < 1
    maps = predict_uncertainty(voting, X, method="disagreement")
    assert_array_equal(np.isnan(maps), missing)
    third = clone(segmenter).set_params(nodata=-9999, max_epochs=1)
    X, y, _ = marked(-9999)
    third.fit(X, y)
    with pytest.raises(ValueError, match="has nodata=-9999, but"):
        VotingSegmenter.from_fitted([segmenter, third])


def test_ensembles_and_calibration_say_what_they_mark(fitted: Any) -> None:
    segmenter, X, y, _ = fitted
    calibrated = TemperatureScaling(FrozenEstimator(segmenter)).fit(X, y)
    voting = VotingSegmenter.from_fitted([segmenter, calibrated])
    for model in (calibrated, voting, VotingSegmenter([("a", segmenter)])):
        assert math.isnan(model.nodata)
        assert (model.ignore_label, model.nodata_label) == (VOID, None)
    X, y, _ = marked(-9999)
    other = small(nodata=-9999, ignore_label=VOID, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="has nodata=nan, but"):
        VotingSegmenter.from_fitted([other, calibrated])


def test_masks_of_other_sizes_are_named(fitted: Any) -> None:
    segmenter, X, y, _ = fitted
    for score in (segmenter.score, partial(neg_pixel_log_loss_scorer, segmenter)):
        with pytest.raises(ValueError, match="of image 0 has height and width"):
            score(X, y[:, :5])


def test_own_scores_get_what_the_estimator_returned(fitted: Any) -> None:
    segmenter, X, y, missing = fitted
    got: list[Any] = []

    def own(y_true: Any, y_pred: Any) -> float:
        got.append(y_pred)
        return 0.0

    scorer = make_segmentation_scorer(own)
    scorer(segmenter, X, y)
    scorer(segmenter, list(X), list(y))
    assert [predicted.dtype.kind for predicted in got] == ["u", "O"]
    for predicted in got:
        assert_array_equal(np.stack(list(predicted))[missing], 0)


def test_large_labels_stay_apart_beside_a_negative_one() -> None:
    X, y, missing = marked(-9999)
    labels = np.array([0, 2**53, 2**53 + 1], np.uint64)
    masks = labels[np.where(missing, 0, y)]  # numpy would make floats of these and -1
    segmenter = small(nodata=-9999, nodata_label=-1, max_epochs=1).fit(X, masks)
    assert segmenter.classes_.tolist() == labels.tolist()
    found = segmenter.predict(X)
    assert found.dtype == np.int64
    assert_array_equal(found == -1, missing)
    assert 0 < segmenter.score(X, masks) < 1
    masks[masks == 0] = 2**64 - 1
    with pytest.raises(ValueError, match="labels -1 and 18446744073709551615 fit into"):
        segmenter.fit(X, masks)
    segmenter.set_params(nodata_label=np.float32(255)).fit(X, masks)
    assert segmenter.predict(X).dtype == np.uint64


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f8"])
@pytest.mark.parametrize("label", [2**70, -(2**63) - 1])
@pytest.mark.parametrize("ignored", [None, VOID])
def test_a_label_that_no_dtype_holds_is_refused_before_training(
    dtype: str, label: int, ignored: int | None
) -> None:
    X, y, _ = marked(-9999)
    segmenter = small(nodata=-9999, ignore_label=ignored, nodata_label=label)
    with pytest.raises(ValueError, match=r"no dtype together.*nodata_label"):
        segmenter.fit(X, y.astype(dtype))


def test_it_is_kept_by_clone_pickle_files_and_searches(
    fitted: Any, tmp_path: Path
) -> None:
    segmenter, X, y, missing = fitted
    assert math.isnan(clone(segmenter).nodata)
    save_model(segmenter, tmp_path / "model.safetensors")
    for again in (
        pickle.loads(pickle.dumps(segmenter)),
        load_model(tmp_path / "model.safetensors"),
    ):
        assert math.isnan(again.nodata)
        assert_array_equal(again.predict(X), segmenter.predict(X))
    search = GridSearchCV(
        small(nodata=math.nan, ignore_label=VOID, max_epochs=1), {"width": [2]}, cv=2
    )
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert_array_equal(search.predict(X) == VOID, missing)


def test_older_states_open_without_it(fitted: Any) -> None:
    segmenter, X, _, _ = fitted
    state = segmenter.__getstate__()
    older = {k: v for k, v in state.items() if k not in ("nodata", "nodata_label")}
    again = FCNSegmenter()
    again.__setstate__(older)
    assert again.nodata is None
    assert again.nodata_label is None
    with pytest.raises(ValueError, match=r"NaN.*nodata= of FCNSegmenter"):
        again.predict(X)


def test_training_goes_on_with_it(fitted: Any) -> None:
    _, X, y, missing = fitted
    segmenter = small(nodata=math.nan, ignore_label=VOID)
    segmenter.partial_fit(X[:3], y[:3], classes=[0, 1, 2]).partial_fit(X, y)
    assert_array_equal(segmenter.predict(X) == VOID, missing)
    segmenter.set_params(warm_start=True, max_epochs=1).fit(X, y)
    assert segmenter.n_iter_ == 3


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        ({"nodata": 0}, ValueError, "neither ignore_label nor nodata_label"),
        ({"nodata_label": 3}, ValueError, "no effect without nodata"),
        ({"nodata": "NaN", "nodata_label": 9}, TypeError, "nodata is 'NaN'"),
        ({"nodata": True, "nodata_label": 9}, TypeError, "nodata is True"),
        ({"nodata": math.inf, "nodata_label": 9}, ValueError, "nodata is inf"),
        ({"nodata": 10**400, "nodata_label": 9}, ValueError, "a finite number"),
        ({"nodata": 0, "nodata_label": 10**400}, ValueError, "no mask may hold"),
        ({"nodata": 0, "nodata_label": 1}, ValueError, "label of pixels with data"),
        (
            {"nodata": 0, "ignore_label": 9, "nodata_label": 1},
            ValueError,
            "nodata_label=1 is one of the classes",
        ),
        ({"nodata": 0, "nodata_label": "void"}, TypeError, "labels of another kind"),
    ],
)
def test_bad_parameters(parameters: Any, error: type[Exception], message: str) -> None:
    X, y, _ = marked(0, "u1")
    with pytest.raises(error, match=message):
        small(**parameters).fit(X, np.where(y == 99, 0, y))


def test_unusual_images() -> None:
    X, y, _ = marked(math.nan)
    X[5] = math.nan  # no pixel at all
    segmenter = small(nodata=math.nan, nodata_label=-1, max_epochs=1)
    labels = segmenter.fit(list(X), list(y)).predict(list(X))
    assert labels[0].dtype == np.int16  # holds uint8 and -1
    assert (labels[5] == -1).all()
    # Whole numbers cannot be NaN; and the mark of another dtype is nowhere.
    assert (segmenter.predict(np.full((1, 9, 9, 3), 7, np.uint8)) != -1).all()
    assert not missing_pixels(np.zeros((2, 2, 1), np.uint8), -9999).any()
    assert not missing_pixels(np.full((2, 2, 1), 241, np.uint8), -9999).any()
    with pytest.raises(ValueError, match="infinity"):
        segmenter.predict(np.full((1, 9, 9, 3), np.inf))
    told = r"all are ignored \(ignore_label=-1, .* nodata marks have, too\) or"
    with pytest.raises(ValueError, match=told):
        segmenter.fit(X[5:], y[5:])


def test_files_and_brightness_warnings(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    X, y, missing = marked(-9999)
    paths = []
    for index, image in enumerate(X):
        paths.append(tmp_path / f"{index}.tif")
        tifffile.imwrite(paths[-1], image, photometric="rgb")
    segmenter = small(nodata=-9999, nodata_label=VOID, max_epochs=1).fit(paths, list(y))
    labels = segmenter.predict(paths)  # no warning of other units: an error in tests
    assert_array_equal(np.stack(list(labels)) == VOID, missing)


def test_displays_show_them_as_ignored(fitted: Any, pyplot: Any) -> None:
    segmenter, X, y, missing = fitted
    display = SegmentationDisplay.from_estimator(segmenter, X, y, n_images=1)
    for column in (1, 2):
        drawn = np.asarray(display.images_[0, column].get_array())
        grey = np.ptp(drawn, axis=-1) == 0
        assert_array_equal(grey, missing[0])
    right = (segmenter.predict(X[:1])[0] == y[0])[~missing[0]].mean()
    title = display.axes_[0, 3].get_title()
    assert title == f"Errors ({100 * right:.1f}% right)"
    SegmentationDisplay.from_estimator(segmenter, X, mode="overlay")


@pytest.mark.parametrize(
    "labels",
    [
        {"ignore_label": VOID},
        {"nodata_label": -1},
        {"ignore_label": VOID, "nodata_label": 254},
    ],
)
def test_displays_of_scores_leave_them_out(labels: Any, pyplot: Any) -> None:
    X, y, missing = marked(math.nan)
    segmenter = small(nodata=math.nan, **labels).fit(X, y)
    confusion = ConfusionDisplay.from_estimator(segmenter, X, y, normalize=None)
    assert confusion.confusion_matrix.sum() == (~missing).sum()
    scores = ScoreDisplay.from_estimator(segmenter, X, y, n_resamples=10)
    (report,) = scores.reports.values()
    assert report["mean_iou"] == pytest.approx(segmenter.score(X, y))
    CalibrationDisplay.from_estimator(segmenter, X, y)


def test_models_with_it_and_without_are_drawn_together(pyplot: Any) -> None:
    X, y, missing = marked(0, "u1")
    y[missing] = 0
    without = small(max_epochs=1).fit(X, y)
    withit = small(max_epochs=1, nodata=0, nodata_label=VOID).fit(X, y)
    for models in ({"a": without, "b": withit}, {"b": withit, "a": without}):
        display = ScoreDisplay.from_estimator(models, X, y, n_resamples=10)
        true = np.where(missing, VOID, y)
        expected = iou_score(true, without.predict(X), ignore_label=VOID)
        assert display.reports["a"]["mean_iou"] == pytest.approx(expected)
        assert display.reports["b"]["mean_iou"] == pytest.approx(withit.score(X, y))


def test_augmentation_is_drawn_as_training_sees_it(pyplot: Any) -> None:
    X, y, missing = marked(-9999)
    model = small(nodata=-9999, nodata_label=VOID)
    steps = make_pipeline(RandomFlip(p=1.0), RandomBrightness(), model)
    display = AugmentationDisplay.from_estimator(steps, X[0], y[0], n_draws=1)
    for place, shown in enumerate((missing[0], missing[0][:, ::-1])):
        assert_array_equal(np.isnan(display.images[place]).any(axis=-1), shown)
        assert_array_equal(display.masks[place] == VOID, shown)
    known = display.images[1][~np.isnan(display.images[1])]
    assert -200 < known.min() < known.max() < 500


def test_mask_errors_are_not_found_there(fitted: Any) -> None:
    segmenter, X, y, missing = fitted
    y = np.where(missing, 0, y)
    found = find_mask_errors(y, segmenter.predict_proba(X), min_pixels=1)
    inside = np.where(missing, VOID, y)
    expected = find_mask_errors(
        inside, segmenter.predict_proba(X), ignore_label=VOID, min_pixels=1
    )
    assert str(found) == str(expected)


def test_the_mask_doctor_knows_them(fitted: Any) -> None:
    _, X, y, missing = fitted
    y = np.where(missing, VOID, y)
    (finding,) = check_masks(X, y, VOID)
    assert finding.kind == "image"
    assert check_masks(X, y, VOID, nodata=math.nan) == []
    with pytest.raises(TypeError, match="nodata is '-9999'"):
        check_masks(X, y, VOID, nodata="-9999")  # type: ignore[arg-type]


# Without nodata: one warning


def spoilt(value: float, where: Any) -> tuple[Any, Any]:
    X, y = make_shapes(8, size=28, n_classes=3, random_state=0)
    X = X.astype(np.float32)
    X[where] = value
    return X, y


@pytest.mark.parametrize("value", [-9999, -3.4e38, 1e6])
@pytest.mark.parametrize(
    "where",
    [
        np.s_[2, 5:12, 3:9],
        np.s_[[1, 4], :4],
        np.s_[0, np.tril_indices(28, -14)[0], np.tril_indices(28, -14)[1]],
        np.s_[3, :, 24:, 1],
    ],
)
def test_a_value_far_outside_is_told_once(value: float, where: Any) -> None:
    X, y = spoilt(value, where)
    n_images = len(np.unique(np.argwhere(np.isclose(X, value, rtol=1e-6))[:, 0]))
    told = f"In {n_images} of 8 images .* pass nodata="
    with pytest.warns(UserWarning, match=told) as caught:
        small(max_epochs=1).fit(X, y)
    assert len([w for w in caught if "nodata" in str(w.message)]) == 1


@pytest.mark.parametrize(
    "value, dtype",
    [(2**64 - 1, "u8"), (2**53 + 1, "i8"), (-3.4028235e38, "f4"), (1e300 / 3, "f8")],
)
def test_the_value_that_is_told_is_the_one_to_pass(value: Any, dtype: str) -> None:
    image = np.arange(20, 84, dtype=dtype).reshape(8, 8, 1)
    image[:2] = value
    with pytest.warns(UserWarning, match="pass nodata=") as caught:
        warn_of_marks({0: likely_mark(image, None)}, 1, str)
    told = str(caught[0].message).partition("pass nodata=")[2].partition(",")[0]
    found = missing_pixels(image, ast.literal_eval(told))
    assert_array_equal(found, np.arange(64).reshape(8, 8) < 16)


@pytest.mark.parametrize(
    "value, where",
    [
        (3.0, np.s_[2, 5, 5]),  # a hot pixel
        (5.0, np.s_[2, ::5, ::5]),  # stars
        (0.0, np.s_[2, :4]),  # black, but no darker than the rest by much
    ],
)
def test_what_is_no_mark(value: float, where: Any) -> None:
    small(max_epochs=1).fit(*spoilt(value, where))  # a warning is an error here


@pytest.mark.parametrize(
    "shades, band",
    [([0, 1, 2], 255), (range(100, 255), 0), ([7], 255)],
    ids=["drawing", "photo with a black border", "one shade"],
)
def test_drawings_and_black_borders_are_not_told(shades: Any, band: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.choice(np.array(shades, np.uint8), (4, 16, 16, 3))
    X[:, :4] = band
    small(max_epochs=1).fit(X, rng.integers(0, 2, (4, 16, 16)))  # a warning is an error


def test_marks_that_are_ignored_or_named_are_not_told() -> None:
    X, y = spoilt(-9999, np.s_[2, :4])
    small(max_epochs=1, nodata=-9999, nodata_label=VOID).fit(X, y)
    y[2, :4] = VOID
    small(max_epochs=1, ignore_label=VOID).fit(X, y)
