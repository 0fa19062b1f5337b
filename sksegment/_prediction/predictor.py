"""Prediction in constant memory: batches of small images, exact tiles of large ones."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import product
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.image_list import CHANNELS_FIRST_HINT, ImageList
from sksegment._inputs.nodata import NoData
from sksegment._inputs.progress import with_progress
from sksegment._prediction.activation_sizes import LayerSizes, layer_sizes
from sksegment._prediction.blending import blend_tiles
from sksegment._prediction.lone_image import ConvolvedAsInBatch
from sksegment._prediction.tiles import Interval, Tiling, overlapping, spans
from sksegment._torch.devices import free_bytes
from sksegment._torch.heap import keep_freed_memory
from sksegment._torch.out_of_memory import (
    OutOfMemory,
    attempt,
    copy_network,
    empty_predictions,
    move_network,
)
from sksegment._torch.own_tensors import own_tensors
from sksegment._torch.precision import full_float32
from sksegment._torch.tensors import images_to_tensor, pad_to_multiple

# A position of a square: quarter turns, and whether it is mirrored.
View = tuple[int, bool]
AS_IT_IS: View = (0, False)
VIEWS: tuple[View, ...] = tuple(product(range(4), (False, True)))
CPU = torch.device("cpu")
# The largest output of a layer, in bytes, when several images are run at once on a CPU.
# glibc maps blocks of 32 MiB and more anew each time, and clearing their pages takes as
# long as a third of the arithmetic.
MAX_ACTIVATION = 16 * 2**20

logger = logging.getLogger("sksegment")

Reduce = Callable[[Tensor], NDArray[Any]]
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Predictor:
    """A trained network, and how it is run.

    Parameters
    ----------
    network : nn.Module
        With the attributes `stride` and `margin`, in pixels.
    scale : Scale
        How its images are standardised.
    device : torch.device
        Where it runs.
    dtype : torch.dtype
        torch.float32, or torch.bfloat16 for faster and coarser scores.
    batch_size : int
        Largest number of images in one forward pass.
    tile_size : int or "auto"
        Side in pixels of the squares that a large image is cut into; "auto" cuts what
        does not fit into the working memory.
    views : sequence of (int, bool), default=((0, False),)
        The positions of a square over which probabilities are averaged.
    fuse : callable or None, default=None
        Takes the network and `dtype`; returns a function that computes the same scores
        faster, or None. It is called anew for each prediction, as the weights may have
        changed.
    nodata : NoData or None, default=None
        What marks pixels without data, which get its label, or NaN as probabilities.
    verbose : int, default=0
        With 2, progress over the tiles of a large image is shown.
    """

    network: nn.Module
    scale: Scale
    device: torch.device
    dtype: torch.dtype
    batch_size: int
    tile_size: int | str
    views: Sequence[View] = (AS_IT_IS,)
    fuse: Callable[[nn.Module, torch.dtype], Forward | None] | None = None
    nodata: NoData | None = None
    verbose: int = 0

    def labels(
        self, images: ImageList, classes: NDArray[Any]
    ) -> Iterator[NDArray[Any]]:
        """Yield the most probable of `classes`, (height, width), of each image."""
        checked = self.check_images(images, images.name)
        return self._run(checked, *self._labelling(classes))

    def probabilities(self, images: ImageList) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities, (n_classes, height, width), of each image."""
        return self.parts(self.check_images(images, images.name))

    def given(self, images: ImageList) -> Predictor:
        """Return the predictor itself: all forms of images are alike to it."""
        return self

    def check_images(
        self, images: Iterable[NDArray[Any]], name: Callable[[int], str]
    ) -> Iterator[NDArray[Any]]:
        """Yield images with the channels of training; warn if in other units."""
        largest = 0.0
        for index, image in enumerate(images):
            self._check_channels(image, name(index))
            largest = max(largest, magnitude(image, self.nodata))
            yield image
        self.warn_of_other_units(largest)

    def parts(self, parts: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities of checked images, or of parts of them.

        A part may be darker than any image: its units are not judged.
        """
        return self._run(parts, as_array)

    def members(self) -> tuple[Sequence[Predictor], NDArray[np.float64]]:
        """Return a predictor for each position of a square, and equal weights."""
        views = [replace(self, views=(view,)) for view in VIEWS]
        return views, np.full(len(views), 1 / len(views))

    def part(
        self, pixels: NDArray[Any], classes: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Return the labels of a part of an image; without `classes`, probabilities.

        A part may be darker than any image: its units are not judged.
        """
        wanted = (as_array,) if classes is None else self._labelling(classes)
        return next(self._run(iter([pixels]), *wanted))

    def _labelling(self, classes: NDArray[Any]) -> tuple[Reduce, Any]:
        """Return what makes labels of probabilities, and the label without data."""
        if self.nodata is None:
            return partial(labels_of, classes=classes), None
        labels = self.nodata.extended(classes)
        return partial(labels_of, classes=labels), labels[-1]

    def _run(
        self, images: Iterable[NDArray[Any]], reduce: Reduce, missing: Any = np.nan
    ) -> Iterator[NDArray[Any]]:
        """Yield the answers; if memory runs out, run less at once."""
        # A look is faster than `eval`, which sets an attribute of each layer.
        if any(module.training for module in self.network.modules()):
            self.network.eval()
        vars(self).pop("_fused", None)  # of the weights at an earlier prediction
        keep_freed_memory()
        run = self
        for group in self._groups(images):
            while group:
                part = run._part(group)
                answers = attempt(
                    partial(run._answers, part, reduce, missing), run.device
                )
                if isinstance(answers, OutOfMemory):
                    run = self._below(run, part, answers.reason)
                    continue
                yield from answers
                # The caller may have dropped them: so must this loop.
                del answers
                group = group[len(part) :]

    def _part(self, group: list[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return what is run at once: several whole images, or one that is cut."""
        is_cut = self._tiling.is_cut(*group[0].shape[:2])
        return group[: 1 if is_cut else self.batch_size]

    def _answers(
        self, part: list[NDArray[Any]], reduce: Reduce, missing: Any
    ) -> Sequence[NDArray[Any]] | NDArray[Any]:
        answers = self._answers_everywhere(part, reduce)
        if self.nodata is not None:
            for image, answer in zip(part, answers, strict=True):
                answer[..., self.nodata.missing(image)] = missing
        return answers

    def _answers_everywhere(
        self, part: list[NDArray[Any]], reduce: Reduce
    ) -> Sequence[NDArray[Any]] | NDArray[Any]:
        if not self._tiling.is_cut(*part[0].shape[:2]):
            batch = images_to_tensor(part, self.scale, self.device)
            return reduce(self._probabilities(batch))
        if self.margin is None:
            return [self._blended(image, reduce) for image in part]
        return [self._tiled(image, self.margin, reduce) for image in part]

    def _below(
        self, run: Predictor, part: list[NDArray[Any]], reason: str
    ) -> Predictor:
        """Return what to try after a predictor ran out of memory, and log it.

        After a batch come single images, then smaller and smaller tiles, then the CPU
        with the tiles that were asked for.

        Raises
        ------
        MemoryError
            If nothing is left to try.
        """
        height, width = part[0].shape[:2]
        tried = f"{run._pass(len(part), height, width)} on {run.device}"
        below = run._smaller(len(part), height, width)
        if below is None and run.device.type != "cpu":
            # A copy: other predictions continue with the network where it is.
            network = copy_network(self.network, CPU)
            below = replace(self, network=network, device=CPU, batch_size=1)
        if below is None:
            raise MemoryError(
                f"Prediction ran out of memory with {tried}: {reason} Got tile_size="
                f"{self.tile_size!r} and device={str(self.device)!r}; expected a "
                f"tile_size below {run._tiling.side(height, width)}, or a device with "
                f"more memory."
            )
        following = below._pass(1, height, width)
        logger.warning(
            "Out of memory with %s: continuing with %s on %s.",
            tried,
            following,
            below.device,
        )
        return below

    def _smaller(self, n_images: int, height: int, width: int) -> Predictor | None:
        """Return a predictor that runs less at once on this device, if there is one."""
        if n_images > 1:
            return replace(self, batch_size=1)
        tiling = self._tiling.smaller(height, width)
        return None if tiling is None else replace(self, tile_size=tiling.tile_size)

    def _pass(self, n_images: int, height: int, width: int) -> str:
        """Describe the largest forward pass over images of one size."""
        noun = "tile" if self._tiling.is_cut(height, width) else "image"
        rows, columns = self._tiling.window(height, width)
        plural = "s" if n_images > 1 else ""
        return f"{n_images} {noun}{plural} of {rows}x{columns} pixels"

    def _groups(self, images: Iterable[NDArray[Any]]) -> Iterator[list[NDArray[Any]]]:
        """Yield consecutive images of one size that fit into one forward pass."""
        group: list[NDArray[Any]] = []
        for image in images:
            if group and (
                image.shape != group[0].shape
                or len(group) >= min(self.batch_size, self._images_at_once(image))
            ):
                yield group
                group = []
            group.append(image)
        yield group

    def warn_of_other_units(self, largest: float) -> None:
        """Warn about images in other units than in training, say 0..1 for 0..255."""
        if self.scale.has_other_units(largest):
            low, high = self.scale.low.min(), self.scale.high.max()
            warnings.warn(
                f"The values of X go up to {largest:.4g}, but those of the training "
                f"images lay in {low:.4g} to {high:.4g}. Are they in other units? Pass "
                f"images as they were in training; they are standardised internally. "
                f"(Values far outside, such as marks of missing values, are clipped.)",
                UserWarning,
                stacklevel=2,
            )

    def _check_channels(self, image: NDArray[Any], name: str) -> None:
        n_channels = len(self.scale.mean)
        if image.shape[-1] != n_channels:
            raise ValueError(
                f"X has {image.shape[-1]} features, but FCNSegmenter is expecting "
                f"{n_channels} features as input: the channels of {name}, of shape "
                f"{image.shape}." + CHANNELS_FIRST_HINT * (image.shape[0] == n_channels)
            )

    def _images_at_once(self, image: NDArray[Any]) -> int:
        return max(1, self._batch_limit // (image.shape[0] * image.shape[1]))

    def _blended(self, image: NDArray[Any], reduce: Reduce) -> NDArray[Any]:
        """Predict one large image in overlapping tiles, approximately."""
        warnings.warn(
            "This network looks at the whole image, or at where in it a pixel lies: "
            "the tiles of a large one are blended, and the result depends on "
            "tile_size.",
            UserWarning,
            stacklevel=2,
        )

        def predict(rows: Interval, columns: Interval) -> Tensor:
            window = image[slice(*rows), slice(*columns)]
            batch = images_to_tensor([window], self.scale, self.device)
            return self._probabilities(batch)[0]

        tile = self._tiling.tile()
        rows, columns = (
            overlapping(size, tile, self.stride) for size in image.shape[:2]
        )
        parts = [
            reduce(probabilities[None])[0]
            for _, probabilities in with_progress(
                blend_tiles(predict, rows, columns),
                len(rows),
                "image",
                "rows of tiles",
                self.verbose,
            )
        ]
        return np.concatenate(parts, axis=-2)

    def _tiled(self, image: NDArray[Any], margin: int, reduce: Reduce) -> NDArray[Any]:
        """Predict one large image, tile by tile."""
        tile_size = self._tiling.tile()
        rows, columns = (
            spans(size, tile_size, margin, self.stride) for size in image.shape[:2]
        )
        answer: NDArray[Any] | None = None
        tiles = product(rows, columns)
        n_tiles = len(rows) * len(columns)
        shown = with_progress(tiles, n_tiles, "image", "tiles", self.verbose)
        for row, column in shown:
            window = image[slice(*row.window), slice(*column.window)]
            batch = images_to_tensor([window], self.scale, self.device)
            core = self._probabilities(batch)[..., row.inner(), column.inner()]
            tile = reduce(core)[0]
            if answer is None:
                answer = empty_predictions(
                    (*tile.shape[:-2], *image.shape[:2]), tile.dtype
                )
            answer[..., slice(*row.core), slice(*column.core)] = tile
        assert answer is not None  # an image has at least one tile
        return answer

    def _probabilities(self, batch: Tensor) -> Tensor:
        """Return the probabilities, averaged over several views if asked for."""
        if tuple(self.views) == (AS_IT_IS,):
            return self._softmax(batch)
        return average_views(self._softmax, batch, self.stride, self.views)

    def _softmax(self, batch: Tensor) -> Tensor:
        return self._scores(batch).softmax(dim=1)

    def _scores(self, batch: Tensor) -> Tensor:
        """Compute the scores, in float32 unless asked otherwise."""
        if self._fused is None:
            return self._run_network(batch)
        with torch.inference_mode():
            return self._fused(batch).float()

    @cached_property
    def _fused(self) -> Forward | None:
        return None if self.fuse is None else self.fuse(self.network, self.dtype)

    def _run_network(self, batch: Tensor) -> Tensor:
        """Run the network itself, with the kernels of a batch on a lone image, too."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            # Entered even if disabled: the caller may be inside their own autocast.
            enabled = self.dtype is not torch.float32
            dtype = self.dtype if enabled else None  # MPS would warn of float32
            autocast = torch.autocast(self.device.type, dtype, enabled=enabled)
            stack.enter_context(autocast)
            # Otherwise, tiles would no longer equal the whole image.
            stack.enter_context(full_float32(self.device))
            if self.device.type == "cpu" and len(batch) == 1:
                stack.enter_context(ConvolvedAsInBatch())
            scores: Tensor = self.network(batch).float()
            return scores

    @cached_property
    def _tiling(self) -> Tiling:
        return Tiling(self.tile_size, self.margin, self.stride, self._pixel_limit)

    @property
    def margin(self) -> int | None:
        """Radius of the receptive field in pixels; None if it is the whole image."""
        return getattr(self.network, "margin", None)

    @property
    def stride(self) -> int:
        """The grid, in pixels, on which the network sees all positions alike."""
        return int(getattr(self.network, "stride", 1))

    @cached_property
    def _batch_limit(self) -> int:
        """Pixels that one forward pass over several images may hold."""
        if self.device.type != "cpu":
            return self._pixel_limit
        below = self._probed(lambda: self._layer_sizes.pixels_below(MAX_ACTIVATION))
        return min(below, self._pixel_limit)

    @cached_property
    def _pixel_limit(self) -> int:
        """Pixels that one forward pass may hold in the working memory."""
        memory = working_memory(self.device)
        return self._probed(lambda: self._layer_sizes.pixels_in(memory))

    def _probed(self, n_pixels: Callable[[], int]) -> int:
        limit = attempt(n_pixels, self.device)
        # If the probe does not fit, neither does the first pass, which is reported.
        return 1 if isinstance(limit, OutOfMemory) else max(1, limit)

    @cached_property
    def _layer_sizes(self) -> LayerSizes:
        return layer_sizes(self.network, 2 * self.stride, self._run_blank)

    def _run_blank(self, side: int) -> Tensor:
        blank = np.zeros((side, side, len(self.scale.mean)), np.float32)
        return self._run_network(images_to_tensor([blank], self.scale, self.device))


def place_network(
    network: nn.Module, device: torch.device
) -> tuple[nn.Module, torch.device]:
    """Move a network to a device, or to the CPU if it does not fit; tell which."""
    devices = {
        tensor.device
        for module in network.modules()
        for tensor in own_tensors(module)
        if tensor is not None
    }
    if devices == {device}:
        return network, device  # torch would go through all layers, for milliseconds
    try:
        return move_network(network, device), device
    except MemoryError as error:
        if device.type == "cpu":
            raise
        logger.warning("%s Continuing on the CPU.", error)
    return move_network(network, CPU), CPU


def as_array(batch: Tensor) -> NDArray[np.float32]:
    """Return probabilities as they are."""
    return batch.cpu().numpy()


def labels_of(batch: Tensor, classes: NDArray[Any]) -> NDArray[Any]:
    """Return the most probable labels, tile by tile.

    Codes of a whole huge image would take as much memory again.
    """
    labels: NDArray[Any] = classes[most_probable(batch).cpu().numpy()]
    return labels


def magnitude(image: NDArray[Any], nodata: NoData | None = None) -> float:
    """Return the largest absolute value of an image, where it has data."""
    if nodata is not None:
        image = image[~nodata.missing(image)]
        if not len(image):
            return 0.0
    return max(abs(float(image.min())), abs(float(image.max())))


def average_views(
    classify: Callable[[Tensor], Tensor],
    images: Tensor,
    stride: int,
    views: Sequence[View] = VIEWS,
) -> Tensor:
    """Return the probabilities of images, averaged over the positions of a square.

    Parameters
    ----------
    classify : callable
        Maps images (n, n_channels, height, width) to probabilities.
    images : Tensor of shape (n, n_channels, height, width)
        The images.
    stride : int
        The grid on which the network sees all positions alike.
    views : sequence of (int, bool), default=VIEWS
        The positions.
    """
    # Padded before it is turned, so that all views lie on one stride grid: tiles then
    # have the same views as the whole image.
    padded = pad_to_multiple(images, stride)
    total = sum(turn_back(classify(turn(padded, *view)), *view) for view in views)
    height, width = images.shape[-2:]
    return torch.as_tensor(total)[..., :height, :width] / len(views)


def turn(images: Tensor, quarters: int, mirrored: bool) -> Tensor:
    """Turn images by quarters, and mirror them afterwards."""
    images = torch.rot90(images, quarters, dims=(2, 3))
    return images.flip(3) if mirrored else images


def turn_back(images: Tensor, quarters: int, mirrored: bool) -> Tensor:
    """Undo `turn`."""
    images = images.flip(3) if mirrored else images
    return torch.rot90(images, -quarters, dims=(2, 3))


def most_probable(probabilities: Tensor) -> Tensor:
    """Return the codes of the most probable classes, in one byte if that is enough."""
    dtype = torch.uint8 if probabilities.shape[1] <= 256 else torch.int32
    # Ten times as fast as argmax over an axis that is not the last in memory.
    return probabilities.max(dim=1).indices.to(dtype)


def working_memory(device: torch.device) -> float:
    """Return the bytes that a forward pass may take.

    Half of scikit-learn's ``working_memory`` setting (1024 MiB by default) on a CPU,
    half of the free memory on a CUDA device.
    """
    if device.type == "cuda":
        return free_bytes(device) / 2
    return float(sklearn.get_config()["working_memory"]) * 2**20 / 2
