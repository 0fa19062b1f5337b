"""warm_start and partial_fit: what stays, what is refused, and which classes count."""

import numpy as np
import pytest
from sklearn.model_selection import learning_curve

from sksegment import FCNSegmenter, iou_scorer
from sksegment.datasets import make_shapes
from sksegment.metrics import pixel_confusion_matrix

X, y = make_shapes(12, size=16, n_classes=3, random_state=0)
VOID = y.astype(np.uint8)
VOID[:, :3] = 255


def segmenter(**parameters):
    return FCNSegmenter(
        **{"width": 4, "depth": 1, "max_epochs": 8, "random_state": 0, **parameters}
    )


@pytest.fixture
def good():
    """Return a segmenter that the next fit spoils, but for the best epoch so far."""
    model = segmenter(early_stopping=True, warm_start=True, max_epochs=25)
    model.set_params(learning_rate=0.01, n_iter_no_change=25)
    model.fit(X, y, X_val=X[:4], y_val=y[:4])
    return model.set_params(
        learning_rate=30.0, max_epochs=3, learning_rate_schedule="constant"
    )


def test_the_best_epoch_of_all_fits_is_kept(good):
    best, epoch = good.predict_proba(X), good.best_epoch_
    score = good.score(X[:4], y[:4])
    good.fit(X, y, X_val=X[:4], y_val=y[:4])
    assert max(row["valid_iou"] for row in good.history_[25:]) < score
    assert good.best_epoch_ == epoch
    assert good.n_iter_ == 28
    assert [row["epoch"] for row in good.history_] == list(range(1, 29))
    np.testing.assert_array_equal(good.predict_proba(X), best)


def test_worse_epochs_of_a_later_fit_count_as_without_change(good):
    good.set_params(n_iter_no_change=2, max_epochs=50)
    good.fit(X, y, X_val=X[:4], y_val=y[:4])
    assert good.n_iter_ == 25 + 2


def test_a_later_fit_that_is_better_is_kept():
    model = segmenter(early_stopping=True, warm_start=True, max_epochs=1)
    model.fit(X, y, X_val=X[:4], y_val=y[:4])
    before = model.score(X[:4], y[:4])
    model.set_params(max_epochs=20, learning_rate=0.01, n_iter_no_change=20)
    model.fit(X, y, X_val=X[:4], y_val=y[:4])
    assert model.best_epoch_ > 1
    assert model.score(X[:4], y[:4]) > before
    assert model.score(X[:4], y[:4]) == pytest.approx(
        model.history_[model.best_epoch_ - 1]["valid_iou"]
    )


def test_the_last_epoch_competes_where_none_was_chosen_before():
    model = segmenter(warm_start=True, max_epochs=15, learning_rate=0.01).fit(X, y)
    kept = model.predict_proba(X)
    model.set_params(early_stopping=True, max_epochs=1, learning_rate=30.0)
    model.fit(X, y, X_val=X, y_val=y)
    assert model.best_epoch_ == 15
    np.testing.assert_array_equal(model.predict_proba(X), kept)


def test_on_other_validation_images_the_network_is_judged_anew(good):
    other = 2 - y[:4]
    good.set_params(learning_rate=0.03, max_epochs=10, n_iter_no_change=10)
    good.fit(X[:4], other, X_val=X[:4], y_val=other)
    assert good.best_epoch_ > 25


def test_a_new_fit_does_not_compete_with_the_old_one(good):
    good.set_params(warm_start=False).fit(X, y, X_val=X[:4], y_val=y[:4])
    assert good.n_iter_ == 3
    assert good.best_epoch_ <= 3


@pytest.mark.parametrize("weight", ["balanced", "median_frequency"])
def test_weights_that_follow_from_all_masks_are_refused_step_by_step(weight):
    model = segmenter(class_weight=weight)
    match = rf"class_weight '{weight}' is not supported for partial_fit"
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, y, classes=[0, 1, 2])
    fitted = segmenter(class_weight=weight).fit(X, y)
    with pytest.raises(ValueError, match=match):
        fitted.partial_fit(X, y)
    assert fitted.n_iter_ == 8


def test_the_cure_for_balanced_weights_gives_those_of_fit():
    labels = [0, 1, 2]
    pixels = pixel_confusion_matrix(y, y, labels=labels).diagonal()
    weights = dict(zip(labels, pixels.sum() / (len(labels) * pixels), strict=True))
    expected = segmenter(class_weight="balanced").fit(X, y)
    found = segmenter(class_weight=weights).fit(X, y)
    np.testing.assert_allclose(
        found.predict_proba(X), expected.predict_proba(X), atol=1e-5
    )
    segmenter(class_weight=weights).partial_fit(X, y, classes=labels)


@pytest.mark.parametrize("own", [None, [0, 1, 2]])
@pytest.mark.parametrize("passed", [np.unique(VOID), [0, 1, 2, 255], [255, 2, 0, 1]])
def test_the_ignored_label_is_no_class_that_is_passed(own, passed):
    model = segmenter(classes=own, ignore_label=255)
    model.partial_fit(X, VOID, classes=passed).partial_fit(X, VOID, classes=passed)
    assert model.classes_.tolist() == [0, 1, 2]
    assert 255 not in model.predict(X)


def test_the_ignored_label_alone_is_no_list_of_classes():
    with pytest.raises(ValueError, match="expected a list of the label values"):
        segmenter(ignore_label=255).partial_fit(X, VOID, classes=[255])


def test_the_constructor_still_refuses_an_ignored_class():
    with pytest.raises(ValueError, match="ignore_label=255 is also one of classes"):
        segmenter(classes=[0, 1, 255], ignore_label=255).fit(X, VOID)


@pytest.mark.parametrize("own", [None, [0, 1, 2]])
def test_learning_curves_train_step_by_step_with_an_ignored_label(own):
    model = segmenter(classes=own, ignore_label=255)
    _, _, scores = learning_curve(
        model,
        X,
        VOID,
        cv=2,
        train_sizes=[2, 4],
        exploit_incremental_learning=True,
        scoring=iou_scorer,
        error_score="raise",
    )
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("ignored", ["void", True])
def test_ignored_text_and_booleans_are_left_out_too(ignored):
    masks = np.where(VOID == 255, "void", VOID.astype("U4"))
    labels = np.unique(masks)
    if ignored is True:
        masks, labels = VOID == 255, np.array([False, True])
    model = segmenter(ignore_label=ignored).partial_fit(X, masks, classes=labels)
    assert ignored not in model.classes_.tolist()
