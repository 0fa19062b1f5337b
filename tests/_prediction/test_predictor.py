"""Tiles and batches against the whole image, and the memory that they take."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import sklearn
import torch
from torch import nn

from sksegment import FCNSegmenter
from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.image_list import as_images
from sksegment._prediction.activation_sizes import PEAK_LAYERS
from sksegment._prediction.predictor import Predictor, most_probable
from sksegment._prediction.tiles import spans
from sksegment.networks import FCN

CPU = torch.device("cpu")
SKIPS = (None, "concat", "add")


def trained(n_classes=3, norm=None, **options):
    """Return a network whose batch norms have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FCN(3, n_classes, norm=norm, **options)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return network


def predictor(network=None, batch_size=4, tile_size="auto", dtype=torch.float32):
    network = trained(depth=1, width=4) if network is None else network
    mean, std = np.array([90.0, 128.0, 140.0]), np.array([60.0, 70.0, 80.0])
    scale = Scale(mean, std, np.zeros(3), np.full(3, 255.0))
    return Predictor(network, scale, CPU, dtype, batch_size, tile_size)


def photos(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def probabilities(run, images):
    return list(run.probabilities(as_images(images)))


def labels(run, images):
    return list(run.labels(as_images(images), np.arange(12, dtype=np.uint8)))


def cuts(seed):
    rng = np.random.default_rng(seed)
    stride = 2 ** int(rng.integers(0, 6))
    size, tile = int(rng.integers(1, 500)), int(rng.integers(1, 200))
    return size, tile, int(rng.integers(0, 100)), stride


@pytest.mark.parametrize("seed", range(200))
def test_tiles_of_a_side_partition_it_and_see_enough(seed):
    size, tile, margin, stride = cuts(seed)
    found = spans(size, tile, margin, stride)
    covered = [pixel for span in found for pixel in range(*span.core)]
    assert covered == list(range(size))
    for span in found:
        (start, stop), (first, last) = span.core, span.window
        assert stop - start <= -(-tile // stride) * stride
        assert start % stride == first % stride == 0
        assert first == 0 or first <= start - margin
        assert last == size or (last >= stop + margin and last % stride == 0)
        assert first >= 0
        assert last <= size
        assert range(size)[slice(*span.window)][span.inner()] == range(start, stop)


@pytest.mark.parametrize("norm", [None, "batch"])
@pytest.mark.parametrize("skip", SKIPS)
@pytest.mark.parametrize(
    "depth, size, tiles", [(1, 31, (1, 7)), (2, 75, (16,)), (3, 149, (32, 70))]
)
def test_tiles_equal_the_whole_image(depth, size, tiles, skip, norm):
    network = trained(depth=depth, width=4, skip=skip, norm=norm)
    images = photos(1, size, size - 6)
    (whole,) = probabilities(predictor(network, tile_size=size), images)
    for tile in tiles:
        (tiled,) = probabilities(predictor(network, tile_size=tile), images)
        np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


def test_an_autocast_of_the_caller_does_not_reach_a_prediction_in_float32():
    network = trained(depth=1, width=4)
    images = photos(2, 24, 24)
    expected = probabilities(predictor(network), images)
    with torch.autocast("cpu", torch.bfloat16):
        found = probabilities(predictor(network), images)
    np.testing.assert_array_equal(found, expected)


def test_tiles_of_a_deep_network_equal_the_whole_image():
    network = trained(depth=4, width=2, skip="concat", norm="batch")
    images = photos(1, 461, 33)
    (whole,) = probabilities(predictor(network, tile_size=500), images)
    (tiled,) = probabilities(predictor(network, tile_size=100), images)
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


def test_whole_image_equals_the_standardised_forward_pass():
    network, images = trained(depth=2, width=4, norm="batch"), photos(1, 21, 30)
    run = predictor(network)
    inputs = (images - run.scale.mean) / run.scale.std
    inputs = torch.from_numpy(inputs.transpose(0, 3, 1, 2)).float()
    with torch.no_grad():
        expected = network.eval()(inputs).softmax(dim=1)
    np.testing.assert_allclose(
        probabilities(run, images), expected.numpy(), rtol=0, atol=1e-5
    )


def coarse_scores(n_channels, n_classes):
    """Score each block of 8x8 pixels: far fewer values than any layer convolves."""
    patches = nn.Conv2d(n_channels, 64, 8, stride=8)
    return nn.Sequential(patches, nn.ReLU(), nn.Conv2d(64, n_classes, 1))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("views", [1, 8])
def test_a_lone_image_is_run_once(views):
    X = np.random.default_rng(0).random((2, 200, 200, 3), np.float32)
    y = (X[..., 0] > 0.5).astype(int)
    model = FCNSegmenter(network=coarse_scores, max_epochs=1, random_state=0)
    model.set_params(test_time_augmentation=views > 1).fit(X, y)
    together = model.predict_proba(X)
    n_images = []
    hook = model.network_.register_forward_pre_hook(
        lambda module, inputs: n_images.append(len(inputs[0]))
    )
    alone = model.predict_proba(X[:1])
    hook.remove()
    assert n_images == [1] * views
    np.testing.assert_allclose(alone[0], together[0], atol=1e-5)


def test_a_network_is_probed_once_and_forgotten_with_it():
    network = trained(depth=1, width=4)
    image = photos(16, 16)
    n_images = []
    network.register_forward_pre_hook(
        lambda module, inputs: n_images.append(len(inputs[0]))
    )
    for _ in range(3):
        probabilities(predictor(network), [image])
    assert n_images == [1, 1, 1, 1]  # the probe, then the image
    kept = weakref.ref(network)
    del network
    gc.collect()
    assert kept() is None


def test_a_network_whose_layers_were_replaced_is_probed_again():
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1))
    before = predictor(network)._layer_sizes
    network[0] = nn.Conv2d(3, 64, 3, padding=1)
    network[1] = nn.Conv2d(64, 2, 1)
    assert (before, predictor(network)._layer_sizes) == ((4,), (64,))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("norm", [None, "batch", "group"])
@pytest.mark.parametrize("depth, width", [(2, 8), (3, 16), (4, 2)])
def test_neighbours_in_the_batch_do_not_matter(depth, width, norm):
    network = trained(depth=depth, width=width, skip="concat", norm=norm)
    images = [*photos(5, 20, 24), *photos(2, 20, 30), photos(9, 7), *photos(1, 40, 44)]
    alone = probabilities(predictor(network, batch_size=1), images)
    for batch_size in (2, 3, 100):
        together = probabilities(predictor(network, batch_size=batch_size), images)
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-5)


def test_order_of_the_images_does_not_matter():
    images = list(photos(6, 15, 15))
    forwards = probabilities(predictor(), images)
    backwards = probabilities(predictor(), images[::-1])
    np.testing.assert_allclose(backwards[::-1], forwards, rtol=0, atol=1e-5)


def passes(run, images):
    """Return the shape of each batch on its way through the network."""
    shapes = []

    def forward(batch):
        shapes.append((len(batch), *batch.shape[-2:]))
        return Predictor._probabilities(run, batch)

    object.__setattr__(run, "_probabilities", forward)  # the class is frozen
    labels(run, images)
    return shapes


def test_batches_hold_neighbours_of_one_size_up_to_the_batch_size():
    images = [*photos(4, 8, 8), *photos(1, 8, 9), *photos(2, 8, 8)]
    shapes = passes(predictor(batch_size=3), images)
    assert shapes == [(3, 8, 8), (1, 8, 8), (1, 8, 9), (2, 8, 8)]


@pytest.mark.parametrize("tile_size", ["auto", 16])
def test_labels_are_the_most_probable_classes(tile_size):
    run = predictor(tile_size=tile_size)
    images = [*photos(3, 40, 30), photos(17, 50)]
    pairs = zip(labels(run, images), probabilities(run, images), strict=True)
    for codes, shares in pairs:
        np.testing.assert_array_equal(codes, shares.argmax(axis=0))
        np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
        assert shares.dtype == np.float32


@pytest.mark.parametrize("n_classes, dtype", [(256, np.uint8), (257, np.int32)])
def test_codes_take_a_byte_where_that_is_enough(n_classes, dtype):
    last = torch.zeros(1, n_classes, 2, 2)
    last[:, -1] = 1
    codes = most_probable(last).numpy()
    assert codes.dtype == dtype
    assert (codes == n_classes - 1).all()


def test_prediction_turns_dropout_off_and_keeps_the_global_generator():
    run = predictor(trained(depth=1, width=8).train())
    state = torch.get_rng_state()
    first, second = (probabilities(run, photos(1, 20, 20)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


def test_bfloat16_is_near_and_still_sums_to_one():
    images = photos(1, 24, 24)
    exact, coarse = (
        probabilities(predictor(dtype=dtype), images)[0]
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse, exact, atol=0.1)
    np.testing.assert_allclose(coarse.sum(axis=0), 1, atol=1e-6)
    assert not np.array_equal(coarse, exact)


def test_image_with_other_channels_is_named():
    images = [photos(4, 4), np.zeros((4, 4, 2))]
    with pytest.raises(ValueError, match=r"has 2 features.*expecting 3.*image 1"):
        labels(predictor(), images)


def test_working_memory_sets_how_much_is_run_at_once():
    limits = []
    for mebibytes in (8, 64, 512):
        with sklearn.config_context(working_memory=mebibytes):
            limits.append(predictor()._pixel_limit)
    # Half of it, at four bytes for each value of the four channels of the first stage.
    per_pixel = 4 * 4 * PEAK_LAYERS
    assert limits == [2**19 * mebibytes // per_pixel for mebibytes in (8, 64, 512)]


def test_scores_that_are_wider_than_any_layer_count_as_well():
    class Upsampled(nn.Module):
        stride, margin = 4, None

        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 7, 4, stride=4)

        def forward(self, images):
            return nn.functional.interpolate(self.layer(images), images.shape[-2:])

    assert predictor(Upsampled())._layer_sizes == (7,)


@pytest.mark.parametrize("shape", [(200, 200), (90, 700)])
def test_auto_cuts_what_does_not_fit_and_leaves_whole_what_does(shape):
    network, images = trained(depth=1, width=4), photos(1, *shape)
    assert passes(predictor(network), images) == [(1, *shape)]
    whole = probabilities(predictor(network), images)
    with sklearn.config_context(working_memory=1):
        run = predictor(network)
        tiles = passes(run, images)
        tiled = probabilities(run, images)
    assert len(tiles) > 1
    # Tiles end on the stride grid, so may be a little larger.
    assert max(np.prod(tile) for tile in tiles) <= 1.1 * run._pixel_limit
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5)


def test_image_that_just_fits_is_not_cut():
    with sklearn.config_context(working_memory=1):
        run = predictor()
        side = int(run._pixel_limit**0.5)
        assert passes(run, photos(1, side, side)) == [(1, side, side)]
        assert len(passes(run, photos(1, side, side + 10))) > 1


def test_tiles_never_shrink_below_the_margin():
    network = trained(depth=2, width=4)
    with sklearn.config_context(working_memory=0.001):
        tiles = passes(predictor(network), photos(1, 100, 100))
    tile = -(-network.margin // 4) * 4
    assert len(tiles) == (-(-100 // tile)) ** 2


def test_batches_shrink_with_the_working_memory():
    with sklearn.config_context(working_memory=1):
        run = predictor(batch_size=1000)
        lengths = [shape[0] for shape in passes(run, photos(60, 16, 16))]
    assert sum(lengths) == 60
    assert max(lengths) == run._pixel_limit // 256


MEMORY = """
import numpy as np, torch
from sksegment._inputs.image_list import as_images
from sksegment._prediction.predictor import Predictor
from sksegment._inputs.channel_scale import Scale
from sksegment.networks import FCN

torch.set_num_threads(1)
network = FCN(3, 12, width=32, skip="concat", norm="batch")
ones = np.ones(3)
scale = Scale(ones, ones, ones, ones)
run = Predictor(network, scale, torch.device("cpu"), torch.float32, 8, "auto")
X = np.ones((8, 1024, 1024, 3), np.uint8)
y = np.ones((8, 1024, 1024), np.uint8)
peaks = []
classes = np.arange(12, dtype=np.uint8)
for index, mask in enumerate(run.labels(as_images(X), classes)):
    y[index] = mask
    peaks.append(peak() - X.nbytes - y.nbytes)
print(peaks[1], peaks[-1])
"""


@pytest.mark.slow
def test_megapixels_are_predicted_in_constant_memory_below_a_gibibyte(measured):
    early, late = measured(MEMORY)
    assert late < 2**30
    # What was predicted before leaves nothing behind: no mask (1 MiB an image), no
    # image (3 MiB), no scores.
    assert late - early < 2**22
