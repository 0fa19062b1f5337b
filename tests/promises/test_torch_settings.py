"""What callers set in torch for the whole process changes neither fits nor answers."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from torch import nn

from sksegment import FCNSegmenter
from sksegment.augmentation import RandomFlip, RandomGamma
from sksegment.datasets import make_shapes

X, y = make_shapes(6, size=16, random_state=0)


def pointwise(n_channels, n_classes):
    return nn.Conv2d(n_channels, n_classes, 1)


NETWORKS = [
    {"width": 4, "depth": 1},
    {"width": 4, "depth": 1, "norm": None, "skip": None},
    {"network": pointwise},
]


def fit(**parameters):
    return FCNSegmenter(max_epochs=1, random_state=0, device="cpu", **parameters).fit(
        X, y
    )


@pytest.fixture
def restored():
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("parameters", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_default_dtype_changes_no_bit(parameters, dtype):
    expected = fit(**parameters)
    torch.set_default_dtype(dtype)
    found = fit(**parameters)
    assert {weight.dtype for weight in found.network_.parameters()} == {torch.float32}
    loaded = pickle.loads(pickle.dumps(found))
    for model in (found, loaded):
        np.testing.assert_array_equal(model.predict_proba(X), expected.predict_proba(X))


@pytest.mark.usefixtures("restored")
@pytest.mark.parametrize("parameters", NETWORKS)
def test_the_default_device_changes_no_bit(parameters):
    expected = fit(**parameters).predict_proba(X)
    torch.set_default_device("meta")
    found = pickle.loads(pickle.dumps(fit(**parameters)))
    np.testing.assert_array_equal(found.predict_proba(X), expected)


MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parameters", NETWORKS)
def test_gradients_switched_off_around_fit_change_no_bit(mode, parameters):
    expected = fit(**parameters)
    with MODES[mode]():
        found = fit(**parameters)
        inside = found.predict_proba(X)
    np.testing.assert_array_equal(inside, expected.predict_proba(X))
    np.testing.assert_array_equal(found.predict_proba(X), inside)
    assert all(weight.requires_grad for weight in found.network_.parameters())


@pytest.mark.parametrize("mode", MODES)
def test_gradients_switched_off_around_a_pipeline_and_single_epochs(mode):
    def train():
        pipeline = make_pipeline(
            RandomFlip(),
            RandomGamma(),
            FCNSegmenter(
                width=4,
                depth=1,
                max_epochs=2,
                random_state=0,
                early_stopping=True,
                class_weight="balanced",
                loss="cross_entropy+dice",
            ),
        )
        model = pipeline.fit(X, y)[-1]
        model.set_params(early_stopping=False, class_weight=None)
        return model.partial_fit(X, y).predict_proba(X)

    expected = train()
    with MODES[mode]():
        found = train()
    np.testing.assert_array_equal(found, expected)


def test_segmenters_loaded_in_inference_mode_are_trained_further():
    model = fit(width=4, depth=1)
    content = pickle.dumps(model)
    expected = pickle.loads(content).partial_fit(X, y).predict_proba(X)
    with torch.inference_mode():
        loaded = pickle.loads(content)
    np.testing.assert_array_equal(loaded.partial_fit(X, y).predict_proba(X), expected)
    with torch.inference_mode():
        started = FCNSegmenter(
            width=4, depth=1, max_epochs=1, random_state=0, pretrained=loaded
        ).fit(X, y)
    assert started.n_iter_ == 1


def test_the_modes_of_the_caller_stay_as_they_were():
    with torch.inference_mode():
        fit(width=4, depth=1)
        assert torch.is_inference_mode_enabled()
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
