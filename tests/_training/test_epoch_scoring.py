"""Scoring callbacks of skorch: which score whole images, and which are refused."""

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score, jaccard_score, make_scorer
from sklearn.pipeline import make_pipeline
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    InputShapeSetter,
    PassthroughScoring,
)

from sksegment import FCNSegmenter, iou_scorer
from sksegment._training.epoch_scoring import ImageScoring
from sksegment.augmentation import RandomRotation
from sksegment.datasets import make_shapes
from sksegment.metrics import (
    dice_score,
    iou_score,
    make_segmentation_scorer,
    neg_pixel_log_loss_scorer,
)

X, y = make_shapes(8, size=16, random_state=0)
VALIDATION = {"X_val": X[:3], "y_val": y[:3]}


def segmenter(*callbacks, **parameters):
    return FCNSegmenter(
        **{"width": 4, "depth": 1, "max_epochs": 2, "random_state": 0, **parameters},
        callbacks=list(callbacks),
    )


def scoring(scorer=iou_scorer, **settings):
    return EpochScoring(
        scorer, **{"lower_is_better": False, "name": "mine", **settings}
    )


def recorded(model, name="mine"):
    return [row[name] for row in model.history_]


@pytest.mark.parametrize("caching", [True, False])
def test_the_mean_iou_of_the_validation_images_is_recorded(caching):
    model = segmenter(scoring(use_caching=caching)).fit(X, y, **VALIDATION)
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)
    assert recorded(model)[-1] == pytest.approx(model.score(X[:3], y[:3]), abs=1e-12)


def test_weights_of_the_validation_images_count():
    weights = np.random.default_rng(0).random((3, 16, 16))
    model = segmenter(scoring()).fit(X, y, **VALIDATION, sample_weight_val=weights)
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)


def test_training_images_are_scored_whole_and_without_augmentation():
    own = scoring(on_train=True)
    pipeline = make_pipeline(RandomRotation(), segmenter(own, crop_size=8))
    pipeline.fit(X, y)
    model = pipeline[-1]
    assert recorded(model)[-1] == pytest.approx(model.score(X, y), abs=1e-12)


def of_raveled(net, images, masks):
    """Score with scikit-learn, as users write it."""
    predicted = np.stack(list(net.predict(images)))
    return jaccard_score(
        np.stack(list(masks)).ravel(), predicted.ravel(), average="macro"
    )


SCORERS = {
    "a function of its own": (
        of_raveled,
        lambda model: of_raveled(model, X[:3], y[:3]),
    ),
    "none": (None, lambda model: model.score(X[:3], y[:3])),
    "probabilities": (
        neg_pixel_log_loss_scorer,
        lambda model: neg_pixel_log_loss_scorer(model, X[:3], y[:3]),
    ),
    "one that is made": (
        make_segmentation_scorer(dice_score, exclude=(0,)),
        lambda model: dice_score(y[:3], model.predict(X[:3]), exclude=(0,)),
    ),
    "scikit-learn's wrapper": (
        make_scorer(iou_score),
        lambda model: iou_score(y[:3], model.predict(X[:3])),
    ),
}


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_scorers_of_all_kinds_get_the_network_as_it_stands(scorer):
    function, expected = SCORERS[scorer]
    model = segmenter(scoring(function)).fit(X, y, **VALIDATION)
    assert recorded(model)[-1] == pytest.approx(expected(model), abs=1e-9)


def test_names_follow_from_the_scorer():
    model = segmenter(EpochScoring(iou_scorer), EpochScoring(None)).fit(
        X, y, **VALIDATION
    )
    assert {"iou_score", "score"} <= set(model.history_[0])


def test_files_and_images_of_different_sizes_are_scored(tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(8)]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray((image.clip(0, 1) * 255).astype(np.uint8)).save(path)
    model = segmenter(scoring()).fit(paths, y, X_val=paths[:3], y_val=y[:3])
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)
    images, masks = [X[0], X[1][:9], X[2]], [y[0], y[1][:9], y[2]]
    model = segmenter(scoring()).fit(X, y, X_val=images, y_val=masks)
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)


def test_ignored_pixels_do_not_count():
    masks = y.astype(int)
    masks[:, :5] = 255
    model = segmenter(scoring(), ignore_label=255)
    model.fit(X, masks, X_val=X[:3], y_val=masks[:3])
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)


@pytest.mark.parametrize("labels", [{"nodata_label": 255}, {"ignore_label": 255}])
def test_pixels_without_data_do_not_count(labels):
    images = X.copy()
    images[:, :5] = np.nan
    callbacks = (
        scoring(),
        scoring(on_train=True, name="train"),
        scoring(neg_pixel_log_loss_scorer, name="log loss"),
    )
    model = segmenter(*callbacks, nodata=np.nan, **labels)
    model.fit(images, y, X_val=images[:3], y_val=y[:3])
    held_out = images[:3], y[:3]
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)
    assert recorded(model)[-1] == pytest.approx(model.score(*held_out), abs=1e-12)
    assert recorded(model, "train")[-1] == pytest.approx(model.score(images, y))
    log_loss = neg_pixel_log_loss_scorer(model, *held_out)
    assert recorded(model, "log loss")[-1] == pytest.approx(log_loss)


def test_early_stopping_and_partial_fit_score_too():
    model = segmenter(scoring(), early_stopping=True).fit(X, y)
    assert recorded(model) == pytest.approx(recorded(model, "valid_iou"), abs=1e-12)
    model = segmenter(scoring(on_train=True))
    model.partial_fit(X, y, classes=np.unique(y))
    assert recorded(model)[-1] == pytest.approx(model.score(X, y), abs=1e-12)


def test_others_may_watch_the_score(tmp_path):
    watching = EarlyStopping("mine", lower_is_better=False, patience=3)
    saving = Checkpoint("mine_best", dirname=tmp_path, f_optimizer=None, f_history=None)
    model = segmenter(("own", scoring()), watching, saving, max_epochs=5)
    model.fit(X, y, **VALIDATION)
    assert list(tmp_path.iterdir())
    assert len(recorded(model)) == model.n_iter_


def test_scoring_changes_nothing_that_is_learned():
    with_scores = segmenter(scoring(), scoring(on_train=True, name="other"))
    with_scores.fit(X, y, **VALIDATION)
    without = segmenter().fit(X, y, **VALIDATION)
    np.testing.assert_array_equal(
        with_scores.predict_proba(X), without.predict_proba(X)
    )


def interrupt_in_the_third_epoch(self, net, **_):
    if len(net.history) == 2:
        raise InterruptedError


def test_an_interrupted_training_goes_on_with_its_scores(tmp_path, monkeypatch):
    expected = segmenter(scoring(), max_epochs=3).fit(X, y, **VALIDATION)
    model = segmenter(scoring(), max_epochs=3, checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(ImageScoring, "on_epoch_begin", interrupt_in_the_third_epoch)
        with pytest.raises(InterruptedError):
            model.fit(X, y, **VALIDATION)
    assert recorded(model.fit(X, y, **VALIDATION)) == recorded(expected)


SKLEARN = make_scorer(accuracy_score)
REFUSED = {
    "a name": (EpochScoring("accuracy"), "EpochScoring with scoring='accuracy'"),
    "a name, on training": (EpochScoring("f1", on_train=True), ".*scoring='f1'"),
    "a metric": (EpochScoring(accuracy_score), "EpochScoring with scoring=<function"),
    "a scorer of scikit-learn": (EpochScoring(SKLEARN), "EpochScoring with scoring=m"),
    "a score function": (
        EpochScoring(iou_score),
        r"EpochScoring with scoring=iou_score.*make_segmentation_scorer\(iou_score\)",
    ),
    "batches": (BatchScoring("accuracy"), "BatchScoring.*EpochScoring"),
    "batches in training": (BatchScoring(iou_scorer, on_train=True), "BatchScoring"),
    "shapes": (InputShapeSetter(), "InputShapeSetter"),
    "shapes, a class": (InputShapeSetter, "InputShapeSetter"),
    "validation of batches": (PassthroughScoring("mine"), "PassthroughScoring.*'mine'"),
    "what nobody records": (
        PassthroughScoring("mine", on_train=True),
        "PassthroughScoring.*'mine'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("named", [False, True])
def test_what_cannot_score_is_refused_by_name_before_training(case, named):
    callback, message = REFUSED[case]
    model = segmenter(("own", callback) if named else callback)
    with pytest.raises((TypeError, ValueError), match=f"^callbacks holds {message}"):
        model.fit(X, y, **VALIDATION)
    assert not hasattr(model, "network_")


def test_a_score_of_validation_images_needs_some():
    model = segmenter(scoring())
    for call in (model.fit, lambda X, y: model.partial_fit(X, y, classes=np.unique(y))):
        with pytest.raises(ValueError, match=r"EpochScoring.*Pass X_val and y_val"):
            call(X, y)


class Records(Callback):
    def on_batch_end(self, net, training, **_):
        net.history.record_batch("mine", 3.0)


def test_what_a_callback_of_ones_own_records_may_be_averaged():
    average = PassthroughScoring("mine", on_train=True)
    model = segmenter(Records(), average).fit(X, y)
    assert recorded(model) == [3.0, 3.0]


def test_errors_of_a_scoring_function_name_the_callback():
    def broken(net, images, masks):
        raise KeyError("column")

    with pytest.raises(KeyError) as error:
        segmenter(scoring(broken)).fit(X, y, **VALIDATION)
    assert error.value.__notes__ == ["This was raised by EpochScoring 'mine'."]
    with pytest.raises(TypeError, match=r"EpochScoring 'mine' got an array of shape"):
        segmenter(scoring(lambda *_: np.zeros(3))).fit(X, y, **VALIDATION)


class Halved(EpochScoring):
    def get_test_data(self, *data, **options):
        return None, None, []


def test_subclasses_that_take_the_data_themselves_are_left_alone():
    model = segmenter(Halved(iou_scorer, name="mine")).fit(X, y, **VALIDATION)
    assert "mine" not in model.history_[0]
