"""The losses against torch's own and against plain loops over pixels."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import jaccard_score
from torch import nn

from sksegment.losses import (
    CombinedLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszLoss,
)
from sksegment.losses._factory import LOSSES, make_loss

CLASS_WEIGHT = np.array([0.5, 3.0, 1.0, 0.25], np.float32)
NAMES = sorted(LOSSES)


def batch(seed=0, ignored=0.3):
    """Return scores, codes without class 3, and weights, some of them zero."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.normal(0, 2, (2, 4, 5, 3)).astype(np.float32))
    codes = rng.integers(0, 3, (2, 5, 3))
    codes[rng.random(codes.shape) < ignored] = -1
    weights = rng.uniform(0, 3, codes.shape).astype(np.float32)
    weights[rng.random(codes.shape) < 0.2] = 0
    return scores.requires_grad_(), torch.from_numpy(codes), torch.from_numpy(weights)


def pixels(scores, codes, weights, class_weight):
    """Yield class, probabilities, class weight and weight of each labelled pixel."""
    for n, i, j in np.ndindex(*codes.shape):
        code = int(codes[n, i, j])
        if code < 0:
            continue
        exponentials = np.exp(scores.detach().double().numpy()[n, :, i, j])
        weight = 1.0 if weights is None else float(weights[n, i, j])
        share = 1.0 if class_weight is None else float(class_weight[code])
        yield code, exponentials / exponentials.sum(), share, weight


def mean_of(found):
    """Weights multiply losses; only class weights divide, and weight 0 leaves out."""
    losses, shares, weights = (np.array(column) for column in zip(*found, strict=True))
    return (losses * shares * weights).sum() / shares[weights > 0].sum()


def cross_entropy_by_hand(*arguments):
    return mean_of([(-np.log(p[code]), c, w) for code, p, c, w in pixels(*arguments)])


def focal_by_hand(*arguments):
    return mean_of(
        [
            (-((1 - p[code]) ** 2) * np.log(p[code]), c, w)
            for code, p, c, w in pixels(*arguments)
        ]
    )


def dice_by_hand(scores, codes, weights, class_weight):
    found = list(pixels(scores, codes, weights, None))
    losses, importances = [], []
    for label in range(scores.shape[1]):
        truth = sum(w for code, _, _, w in found if code == label)
        if truth == 0:
            continue
        shared = sum(w * p[label] for code, p, _, w in found if code == label)
        predicted = sum(w * p[label] for _, p, _, w in found)
        losses.append(1 - 2 * shared / (truth + predicted))
        importances.append(1 if class_weight is None else class_weight[label])
    return np.average(losses, weights=importances)


def lovasz_by_hand(scores, codes, weights, class_weight):
    """The definition: errors times what the Jaccard set function gains by each."""
    found = list(pixels(scores, codes, weights, None))
    losses, importances = [], []
    for label in range(scores.shape[1]):
        if not any(w for code, _, _, w in found if code == label):
            continue
        errors = [
            1 - p[label] if code == label else p[label] for code, p, _, _ in found
        ]
        wrong, loss = set(), 0.0
        for pixel in np.argsort(errors)[::-1]:
            before = jaccard_loss(wrong, label, found)
            wrong.add(pixel)
            loss += errors[pixel] * (jaccard_loss(wrong, label, found) - before)
        losses.append(loss)
        importances.append(1 if class_weight is None else class_weight[label])
    return np.average(losses, weights=importances)


def jaccard_loss(wrong, label, found):
    """1 - IoU of a class where the pixels of the set `wrong` are mispredicted."""
    shared = union = 0.0
    for pixel, (code, _, _, weight) in enumerate(found):
        is_class = code == label
        is_predicted = is_class != (pixel in wrong)
        shared += weight * (is_class and is_predicted)
        union += weight * (is_class or is_predicted)
    return 1 - shared / union


def sum_by_hand(*functions):
    return lambda *arguments: sum(function(*arguments) for function in functions)


BY_HAND = {
    "cross_entropy": cross_entropy_by_hand,
    "focal": focal_by_hand,
    "dice": dice_by_hand,
    "cross_entropy+dice": sum_by_hand(cross_entropy_by_hand, dice_by_hand),
    "cross_entropy+lovasz": sum_by_hand(cross_entropy_by_hand, lovasz_by_hand),
    "lovasz": lovasz_by_hand,
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("class_weight", [None, CLASS_WEIGHT])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_loss_equals_loops_over_pixels(name, class_weight, weighted, seed):
    scores, codes, weights = batch(seed)
    weights = weights if weighted else None
    loss = make_loss(name, class_weight)(scores, codes, weights)
    expected = BY_HAND[name](scores, codes, weights, class_weight)
    assert loss.shape == ()
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("class_weight", [None, CLASS_WEIGHT])
def test_cross_entropy_and_its_gradient_equal_torch(class_weight):
    scores, codes, _ = batch()
    weight = None if class_weight is None else torch.from_numpy(class_weight)
    loss = make_loss("cross_entropy", class_weight)(scores, codes)
    expected = F.cross_entropy(scores, codes, weight, ignore_index=-1)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(
        *(torch.autograd.grad(value, scores)[0] for value in (loss, expected))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("class_weight", [None, CLASS_WEIGHT])
def test_batch_without_a_labelled_pixel_costs_nothing(name, class_weight):
    scores, codes, weights = batch()
    nothing = [
        (torch.full_like(codes, -1), weights),
        (codes, torch.zeros_like(weights)),
    ]
    for some_codes, some_weights in nothing:
        loss = make_loss(name, class_weight)(scores, some_codes, some_weights)
        (gradient,) = torch.autograd.grad(loss, scores)
        assert loss.item() == 0
        assert not gradient.any()  # NaN counts as true


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("factor", [1e-6, 0.1, 1e6])
def test_common_factor_of_the_class_weights_does_not_matter(name, factor):
    scores, codes, _ = batch()
    loss = make_loss(name, CLASS_WEIGHT)(scores, codes)
    scaled = make_loss(name, np.float32(factor) * CLASS_WEIGHT)(scores, codes)
    torch.testing.assert_close(scaled, loss)


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_is_ignored(name):
    scores, codes, weights = batch()
    loss = make_loss(name, CLASS_WEIGHT)
    ignored = torch.where(weights == 0, -1, codes)
    assert not torch.equal(ignored, codes)
    torch.testing.assert_close(
        loss(scores, codes, weights), loss(scores, ignored, weights)
    )


@pytest.mark.parametrize("name", NAMES)
def test_whole_weights_count_like_repeated_images(name):
    scores, codes, _ = batch()
    weights = torch.tensor([1.0, 3.0])[:, None, None].expand(codes.shape)
    repeats = torch.tensor([1, 3])
    # In units of their mean, as training counts them.
    unit = weights[codes >= 0].mean()
    torch.testing.assert_close(
        make_loss(name, None)(scores, codes, weights / unit),
        make_loss(name, None)(
            scores.repeat_interleave(repeats, dim=0),
            codes.repeat_interleave(repeats, dim=0),
        ),
    )


@pytest.mark.parametrize("name", ["cross_entropy", "focal"])
def test_weights_keep_their_meaning_in_a_batch_of_one_image(name):
    scores, codes, _ = batch()
    loss = make_loss(name, CLASS_WEIGHT)
    plain = loss(scores, codes, torch.ones(codes.shape))
    heavy = loss(scores, codes, torch.full(codes.shape, 7.0))
    torch.testing.assert_close(heavy, 7 * plain)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_labelled_pixels_and_no_others(name):
    scores, codes, weights = batch()
    loss = make_loss(name, CLASS_WEIGHT)(scores, codes, weights)
    (gradient,) = torch.autograd.grad(loss, scores)
    reached = gradient.abs().sum(dim=1) > 0
    assert torch.equal(reached, (codes >= 0) & (weights > 0))


@pytest.mark.parametrize("make", [CrossEntropyLoss, DiceLoss, FocalLoss, LovaszLoss])
def test_analytic_gradient_equals_finite_differences(make):
    scores, codes, weights = batch()
    scores = scores.detach().double().requires_grad_()
    loss = make(torch.from_numpy(CLASS_WEIGHT).double())
    assert torch.autograd.gradcheck(lambda s: loss(s, codes, weights.double()), scores)


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_any_size_give_finite_losses(name):
    scores, codes, weights = batch()
    scores = (1e4 * scores.detach()).requires_grad_()
    loss = make_loss(name, None)(scores, codes, weights)
    (gradient,) = torch.autograd.grad(loss, scores)
    assert loss.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("n_classes", [2, 5])
@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_lovasz_of_certain_predictions_is_one_minus_the_mean_iou(n_classes, ignored):
    rng = np.random.default_rng(n_classes)
    # The last class is predicted, but does not occur.
    y_true = rng.integers(0, n_classes - (n_classes > 2), (3, 8, 9))
    guessed = rng.integers(0, n_classes, y_true.shape)
    y_pred = np.where(rng.random(y_true.shape) < 0.6, y_true, guessed)
    left_out = rng.random(y_true.shape) < ignored
    certain = F.one_hot(torch.from_numpy(y_pred), n_classes).movedim(-1, 1)
    codes = torch.from_numpy(np.where(left_out, -1, y_true))
    present = np.unique(y_true)
    expected = jaccard_score(
        y_true[~left_out], y_pred[~left_out], labels=present, average="macro"
    )
    loss = LovaszLoss()(200.0 * certain, codes)
    assert loss.item() == pytest.approx(1 - expected, rel=1e-5)


def test_lovasz_counts_weights_as_areas():
    scores, codes, weights = batch()
    heavy = LovaszLoss()(scores, codes, 1000 * weights)
    torch.testing.assert_close(heavy, LovaszLoss()(scores, codes, weights))
    certain = 200.0 * torch.tensor([[1.0, 0.0], [1.0, 0.0]]).T[None, :, None]
    codes, areas = torch.tensor([[[0, 1]]]), torch.tensor([[[3.0, 1.0]]])
    # Class 0: 3 of 4 areas are right; class 1: none.
    assert LovaszLoss()(certain, codes, areas).item() == pytest.approx(1 - 3 / 8)


def test_lovasz_stands_areas_of_all_sizes():
    scores = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).T[None, :, None]
    codes, areas = torch.tensor([[[0, 1]]]), torch.tensor([[[1e-30, 1.0]]])
    # Each class loses what its most wrong pixel that matters does: in class 0 its own
    # pixel, and in class 1 the large one.
    expected = (1 / (1 + np.exp(-1)) + 0.5) / 2
    assert LovaszLoss()(scores, codes, areas).item() == pytest.approx(expected)
    # Now the large pixel is the more wrong one: it alone takes all IoU from class 0.
    assert LovaszLoss()(-scores, codes, areas).item() == pytest.approx(0.5)


def test_lovasz_keeps_its_digits_in_a_large_batch():
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(size=(1, 2, 700, 700)))
    codes = torch.from_numpy(rng.integers(0, 2, (1, 700, 700)))
    weights = torch.ones(codes.shape)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        inputs = scores.to(dtype).requires_grad_()
        loss = LovaszLoss()(inputs, codes, weights.to(dtype))
        gradients.append(torch.autograd.grad(loss, inputs)[0].double())
    # Neighbours in the order may change places where float32 cannot tell them apart.
    single, double = gradients
    assert (single - double).abs().sum() < 1e-4 * double.abs().sum()


def test_combined_loss_is_the_sum():
    arguments = batch()
    parts = [CrossEntropyLoss(), FocalLoss(), DiceLoss()]
    expected = sum(part(*arguments) for part in parts)
    torch.testing.assert_close(CombinedLoss(*parts)(*arguments), expected)


@pytest.mark.parametrize("make", [CrossEntropyLoss, DiceLoss, FocalLoss, LovaszLoss])
@pytest.mark.parametrize("n_weights", [1, 3, 5])
def test_class_weights_must_be_as_many_as_classes(make, n_weights):
    loss = CombinedLoss(make(torch.ones(n_weights)))
    told = rf"{make.__name__} has shape \({n_weights},\), but there are 4 classes"
    with pytest.raises(ValueError, match=told):
        loss(*batch())


def test_class_weights_move_with_the_loss():
    loss = make_loss("cross_entropy", CLASS_WEIGHT).to("meta")
    assert loss.class_weight.device.type == "meta"


def test_user_function_gets_the_batch_and_returns_one_number():
    scores, codes, weights = batch()
    received = []

    def function(*arguments):
        received.extend(arguments)
        return arguments[0].mean()[None]

    loss = make_loss(function, CLASS_WEIGHT)(scores, codes, weights)
    assert received == [scores, codes, weights]
    assert loss.shape == ()
    torch.testing.assert_close(loss, scores.mean())


@pytest.mark.parametrize(
    "answer, told",
    [(3.0, "3.0"), (None, "None"), (torch.zeros(2), r"a tensor of shape \(2,\)")],
)
def test_user_function_that_returns_no_number_is_refused(answer, told):
    with pytest.raises(TypeError, match=f"loss returned {told}; .* one number"):
        make_loss(lambda *_: answer, None)(*batch())


@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(), nn.CrossEntropyLoss, CrossEntropyLoss, lambda a, b: a],
    ids=["module", "class", "own class", "two arguments"],
)
def test_loss_that_is_not_called_with_three_arguments_is_refused(loss):
    with pytest.raises(TypeError, match=r"^loss is .*\(scores, codes, weights\)"):
        make_loss(loss, None)


@pytest.mark.parametrize(
    "loss", [DiceLoss(), lambda *batch: batch[0].mean(), partial(max, key=None)]
)
def test_loss_that_takes_three_arguments_is_accepted(loss):
    assert make_loss(loss, None).function is loss


def test_loss_without_a_gradient_is_refused_in_training_only():
    scores, codes, weights = batch()
    loss = make_loss(lambda scores, *_: scores.detach().mean(), None)
    assert loss(scores.detach(), codes, weights) == scores.mean()
    with pytest.raises(ValueError, match=r"loss returned .* without a gradient"):
        loss(scores, codes, weights)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    "codes, class_weight", [(-1, None), (0, np.array([0.0, 1.0], np.float32))]
)
def test_where_nothing_counts_the_gradient_is_zero(name, codes, class_weight):
    # Of weights above 4, a gradient of 1 / tiny times them overflowed.
    scores = torch.randn(2, 2, 4, 4, requires_grad=True)
    weights = torch.full((2, 4, 4), 9.0)
    loss = make_loss(name, class_weight)
    value = loss(scores, torch.full((2, 4, 4), codes), weights)
    value.backward()
    if codes < 0 or name in ("cross_entropy", "focal"):
        assert value.item() == 0
        assert scores.grad.abs().max() == 0
    assert torch.isfinite(scores.grad).all()
