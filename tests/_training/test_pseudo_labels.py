"""Pixels without labels get those of a forest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from skorch.callbacks import EpochTimer

from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.labels import IGNORED
from sksegment._inputs.samples import as_samples
from sksegment._inputs.training_set import TrainingSet, training_set
from sksegment._training import pixel_forest, pseudo_labels
from sksegment._training.image_store import Codes
from sksegment._training.pixel_forest import PixelForest, filter_rows
from sksegment._training.pseudo_labels import make_pseudo_labels
from sksegment.metrics import iou_score

VOID = 255
N_PLAIN = np.array([0.0]), np.array([1.0]), np.array([-1e3]), np.array([1e3])


def disks(size: int = 64) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return a noisy image of disks, its mask, and a few strokes."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:size, :size]
    mask = (np.hypot(rows % 32 - 16, columns % 32 - 16) < 9).astype(np.uint8)
    image = rng.normal(mask, 0.4)
    strokes = np.full(mask.shape, VOID, np.uint8)
    strokes[16, 9:24] = strokes[16, 41:56] = 1
    strokes[32, 4:28] = strokes[0, 30:60] = 0
    return image, mask, strokes


def survey_of(X: Any, y: Any, nodata: Any = None, weight: Any = None) -> TrainingSet:
    return training_set(as_samples(X, y, weight, nodata), None, VOID)


def made(X: Any, y: Any, **options: Any) -> list[Codes | None]:
    training = survey_of(X, y, **options)
    found = make_pseudo_labels(training, training.scale, seed=0)
    return [found.get(index) for index in range(len(X))]


def segmenter(**parameters: Any) -> FCNSegmenter:
    defaults = {
        "network": "filter_bank",
        "crop_size": 32,
        "batch_size": 2,
        "max_epochs": 8,
        "learning_rate": 0.01,
        "pseudo_labels": "forest",
        "ignore_label": VOID,
        "random_state": 0,
    }
    return FCNSegmenter(**{**defaults, **parameters})


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many labelled and other pixels each forest gets."""
    counts = []
    fit = PixelForest.fit.__func__  # type: ignore[attr-defined]

    def counting(cls: Any, rows: Any, codes: Any, unlabelled: Any, *rest: Any) -> Any:
        assert len(rows) == len(codes)
        counts.append((len(rows), len(unlabelled)))
        return fit(cls, rows, codes, unlabelled, *rest)

    monkeypatch.setattr(PixelForest, "fit", classmethod(counting))
    return counts


def test_the_filters_are_those_of_scikit_image() -> None:
    image = np.random.default_rng(0).random((70, 50))
    ((rows, answers),) = filter_rows(image[..., None], Scale(*N_PLAIN))
    theirs = multiscale_basic_features(image)
    assert rows == slice(0, 70)
    # The same maps in another order; differences at the border are taken otherwise.
    ours = answers.reshape(theirs.shape)[3:-3, 3:-3].reshape(-1, 24)
    inside = theirs[3:-3, 3:-3].reshape(-1, 24)
    distance = np.abs(ours.T[:, None] - inside.T[None]).max(axis=2)
    assert (distance.min(axis=1) < 1e-4).all()
    assert (distance.min(axis=0) < 1e-4).all()


def test_strips_do_not_change_the_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).random((90, 20, 2))
    scale = Scale(*(np.repeat(values, 2) for values in N_PLAIN))
    ((_, whole),) = filter_rows(image, scale)
    monkeypatch.setattr(pixel_forest, "STRIP_VALUES", 20 * 48 * 7)
    strips = list(filter_rows(image, scale))
    assert len(strips) == 13
    joined = np.concatenate([answers for _, answers in strips])
    np.testing.assert_allclose(joined, whole, atol=1e-4)


def test_unlabelled_pixels_get_labels_and_the_others_keep_theirs() -> None:
    image, mask, strokes = disks()
    (found,) = made([image], [strokes])
    assert found is not None
    labelled = strokes != VOID
    np.testing.assert_array_equal(found == IGNORED, labelled)
    taken = np.where(labelled, strokes, found)
    assert iou_score([mask], [taken]) > 0.8


def test_images_that_are_labelled_all_over_get_none() -> None:
    image, mask, strokes = disks()
    found = made([image, image], [mask, strokes])
    assert found[0] is None
    assert found[1] is not None
    training = survey_of([image], [mask])
    assert make_pseudo_labels(training, training.scale, seed=0) == {}


def test_weights_of_zero_are_no_labels_for_the_forest() -> None:
    image, _, strokes = disks()
    wrong = strokes.copy()
    wrong[48:, :16] = 1 - (image[48:, :16] > 0.5)
    weight = np.ones(image.shape)
    weight[48:, :16] = 0
    (found,) = made([image], [wrong], weight=[weight])
    (expected,) = made([image], [strokes])
    assert found is not None
    assert expected is not None
    inside = np.s_[:40, 30:]
    np.testing.assert_array_equal(found[inside], expected[inside])


def test_beyond_the_limit_images_are_left_out_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, _, strokes = disks()
    monkeypatch.setattr(pseudo_labels, "MAX_PIXELS", 2 * image.size + 1)
    with pytest.warns(UserWarning, match="1 of 3 images get no pseudo-labels"):
        found = made([image] * 3, [strokes] * 3)
    assert sum(labels is not None for labels in found) == 2
    large, sparse = np.tile(image, (2, 2)), np.tile(strokes, (2, 2))
    with pytest.warns(UserWarning, match="1 of 2 images get no pseudo-labels"):
        assert made([large, image], [sparse, strokes])[0] is None
    monkeypatch.setattr(pseudo_labels, "MAX_PIXELS", image.size - 1)
    with pytest.raises(ValueError, match="expected smaller images"):
        made([image], [strokes])


@pytest.mark.parametrize("place", [0, 1])
def test_an_image_beyond_the_limit_leaves_room_for_the_others(
    place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, _, strokes = disks()
    images, masks = [image[:32]] * 2, [strokes[:32]] * 2
    images[place], masks[place] = image, strokes
    monkeypatch.setattr(pseudo_labels, "MAX_PIXELS", image.size - 1)
    with pytest.warns(UserWarning, match="1 of 2 images get no pseudo-labels"):
        found = made(images, masks)
    assert [labels is None for labels in found] == [index == place for index in (0, 1)]


def test_images_that_are_left_out_do_not_thin_the_sample(
    monkeypatch: pytest.MonkeyPatch, sampled: list[tuple[int, int]]
) -> None:
    image, _, strokes = disks()
    monkeypatch.setattr(pseudo_labels, "MAX_PIXELS", image.size)
    monkeypatch.setattr(pseudo_labels, "MAX_SAMPLE", 40)
    with pytest.warns(UserWarning, match="3 of 4 images"):
        made([image] * 4, [strokes] * 4)
    assert sampled == [(40, 40)]


def test_only_so_many_pixels_are_sampled(
    monkeypatch: pytest.MonkeyPatch, sampled: list[tuple[int, int]]
) -> None:
    image, _, strokes = disks()
    monkeypatch.setattr(pseudo_labels, "MAX_SAMPLE", 40)
    made([image, image], [strokes, strokes])
    assert sampled == [(40, 40)]


def test_many_classes_are_predicted_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, _, strokes = disks()
    (whole,) = made([image], [strokes])
    sizes = []
    predict_proba = PixelForest.predict_proba

    def counting(self: PixelForest, rows: Any) -> Any:
        sizes.append(len(rows))
        return predict_proba(self, rows)

    monkeypatch.setattr(PixelForest, "predict_proba", counting)
    monkeypatch.setattr(pseudo_labels, "MAX_PROBABILITIES", 2 * 1000)
    (parts,) = made([image], [strokes])
    assert max(sizes) == 1000
    assert sum(sizes) == (strokes == VOID).sum()
    np.testing.assert_array_equal(parts, whole)


def test_many_classes_with_few_pixels_each_warn_of_nothing(
    recwarn: pytest.WarningsRecorder,
) -> None:
    image, _, strokes = disks()
    many = np.full(strokes.shape, VOID)
    many[5, ::2] = np.arange(32) % 25  # scikit-learn takes them for measurements
    made([image], [many])
    assert not [str(warning.message) for warning in recwarn]


def test_a_few_strokes_teach_more_than_without() -> None:
    image, mask, strokes = disks()
    noisy = mask + 2.5 * (image - mask)
    gains = []
    for seed in range(3):
        taught, alone = (
            segmenter(pseudo_labels=name, random_state=seed).fit([noisy], [strokes])
            for name in ("forest", None)
        )
        gains.append(taught.score([noisy], [mask]) - alone.score([noisy], [mask]))
    assert np.mean(gains) > 0.02


def test_where_all_is_labelled_nothing_changes() -> None:
    image, mask, _ = disks()
    taught, alone = (
        segmenter(pseudo_labels=name, max_epochs=2).fit([image], [mask])
        for name in ("forest", None)
    )
    np.testing.assert_array_equal(
        taught.predict_proba([image])[0], alone.predict_proba([image])[0]
    )


@pytest.mark.parametrize("kind", ["str", "bool", "paths", "classes"])
def test_all_kinds_of_masks(kind: str, tmp_path: Path) -> None:
    image, _, strokes = disks()
    X, y, options = [image], [strokes], {}
    if kind == "str":
        y = [np.array(["out", "inside", "?"])[np.minimum(strokes, 2)]]
        options["ignore_label"] = "?"
    elif kind == "bool":
        y = [np.where(strokes == 1, 1, np.where(strokes == 0, 0, -7))]
        options["ignore_label"] = -7
    elif kind == "paths":
        from skimage.io import imsave

        files = tmp_path / "image.tif", tmp_path / "mask.png"
        imsave(files[0], image.astype(np.float32), check_contrast=False)
        imsave(files[1], strokes, check_contrast=False)
        X, y = [files[0]], [files[1]]
    else:
        options["classes"] = [0, 1, 7]
    expected = segmenter(max_epochs=2).fit([image], [strokes])
    fitted = segmenter(max_epochs=2, **options).fit(X, y)
    labels = fitted.predict(X)[0]
    if kind in ("bool", "paths"):
        agreement = (labels == expected.predict([image])[0]).mean()
        assert agreement > 0.99
    assert set(np.unique(labels)) <= set(fitted.classes_.tolist())


def test_the_same_seed_learns_the_same_bits_after_an_interruption(
    tmp_path: Path,
) -> None:
    class PowerFailure(EpochTimer):  # type: ignore[misc]
        """As a timer, it does not make it another training."""

        def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
            if training and len(net.history) == 3:
                raise RuntimeError("power failure")

    image, _, strokes = disks()
    options = {"max_epochs": 4, "checkpoint_dir": tmp_path}
    expected = segmenter(max_epochs=4).fit([image], [strokes])
    with pytest.raises(RuntimeError, match="power failure"):
        segmenter(callbacks=[PowerFailure()], **options).fit([image], [strokes])
    resumed = segmenter(**options).fit([image], [strokes])
    np.testing.assert_array_equal(
        resumed.predict_proba([image])[0], expected.predict_proba([image])[0]
    )


def test_a_model_file_keeps_the_parameter(tmp_path: Path) -> None:
    from sksegment import load_model, save_model

    image, _, strokes = disks()
    fitted = segmenter(max_epochs=1).fit([image], [strokes])
    save_model(fitted, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.pseudo_labels == "forest"
    labels = loaded.predict([image])[0]
    np.testing.assert_array_equal(labels, fitted.predict([image])[0])


def test_partial_fit_and_one_class_alone_work() -> None:
    image, _, strokes = disks()
    model = segmenter(classes=[0, 1])
    only_one = np.where(strokes == 1, strokes, VOID)
    model.partial_fit([image], [only_one]).partial_fit([image], [strokes])
    assert np.isfinite(model.predict_proba([image])[0]).all()


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"pseudo_labels": "trees"}, "pseudo_labels is 'trees'.*'forest'"),
        ({"ignore_label": None}, "are for the pixels of ignore_label, which is None"),
    ],
)
def test_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    image, _, strokes = disks()
    with pytest.raises(ValueError, match=message):
        segmenter(**parameters).fit([image], [strokes])
