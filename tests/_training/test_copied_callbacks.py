"""Segmenters whose callbacks pickle in a way of their own are pickled and copied."""

import copy
import pickle
from functools import partial

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, ProgressBar

from sksegment import FCNSegmenter, iou_scorer
from sksegment.datasets import make_shapes

X, y = make_shapes(4, size=16, random_state=0)


class OpensAFile(Callback):
    """Opens a file in training, and leaves it out of its state."""

    path = "/dev/null"

    def on_train_begin(self, net, **_):
        self.file_ = open(self.path)  # noqa: SIM115
        self.file_.close()

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "file_"}


class InsistsOnItsFile(OpensAFile):
    """Fails if what it leaves out is not there."""

    def __getstate__(self):
        state = dict(vars(self))
        del state["file_"]
        return state


class HasNoState(OpensAFile):
    def __getstate__(self):
        return None


class IsMadeAgain(OpensAFile):
    def __reduce__(self):
        return IsMadeAgain, ()


KINDS = [
    partial(ProgressBar, detect_notebook=False),
    OpensAFile,
    HasNoState,
    IsMadeAgain,
    partial(EarlyStopping, "train_loss"),
    partial(EpochScoring, iou_scorer, on_train=True),
]


def segmenter(kind, **parameters):
    return FCNSegmenter(
        width=4, depth=1, max_epochs=1, random_state=0, callbacks=[kind()], **parameters
    )


@pytest.fixture(params=KINDS, ids=lambda kind: getattr(kind, "func", kind).__name__)
def kind(request):
    return request.param


@pytest.mark.filterwarnings("ignore::Warning")
def test_copies_predict_what_the_segmenter_does(kind, tmp_path, capfd):
    model = segmenter(kind).fit(X, y)
    joblib.dump(model, tmp_path / "model")
    copies = [
        pickle.loads(pickle.dumps(model)),
        pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(model)))),
        copy.copy(model),
        copy.deepcopy(model),
        joblib.load(tmp_path / "model"),
        clone(model).fit(X, y),
    ]
    for other in copies:
        np.testing.assert_array_equal(other.predict(X), model.predict(X))
        assert isinstance(other.callbacks[0], Callback)


@pytest.mark.filterwarnings("ignore::Warning")
def test_searches_and_folds_hold_such_segmenters(kind, tmp_path, capfd):
    search = GridSearchCV(segmenter(kind), {"width": [4]}, cv=2).fit(X, y)
    joblib.dump(search, tmp_path / "search")
    expected = search.predict(X)
    np.testing.assert_array_equal(joblib.load(tmp_path / "search").predict(X), expected)
    folds = cross_validate(segmenter(kind), X, y, cv=2, return_estimator=True)
    assert len(pickle.loads(pickle.dumps(folds["estimator"]))) == 2
    holder = segmenter(kind, pretrained=search.best_estimator_).fit(X, y)
    assert pickle.loads(pickle.dumps(holder)).pretrained.n_iter_ == 1


def test_a_state_that_insists_on_what_training_left_is_copied_as_it_is():
    model = segmenter(InsistsOnItsFile).fit(X, y)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.predict(X), model.predict(X))


def test_what_callbacks_remember_is_left_out():
    model = segmenter(partial(EarlyStopping, "train_loss")).fit(X, y)
    restored = pickle.loads(pickle.dumps(model)).callbacks[0]
    assert "best_epoch_" in vars(model.callbacks[0])
    assert "best_epoch_" not in vars(restored)
