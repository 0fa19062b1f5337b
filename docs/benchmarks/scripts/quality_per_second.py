"""Which quality is reached after how many seconds of training on one core?

    python docs/benchmarks/scripts/quality_per_second.py --data DATA [--sets SET ...]

SETs are membrane (whole slices), camvid (a quarter of the film's resolution), voc (60
photos, four classes) and shapes. Each contestant is trained from scratch with
ever larger budgets; the mean IoU of images that it has not seen is drawn over the
processor seconds of `fit`. Finished runs are kept in a record, and are not run again.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from few_photos import photos
from lib.image_sets import IMAGE_SETS, ImageSet
from lib.plain_torch import naive_epoch, standardize
from lib.plain_unet import PlainUNet
from lib.shared import (
    CAMVID_VOID,
    RECORDS,
    Record,
    all_reduced,
    data_folder,
    markdown_table,
    read_pairs,
    where_and_when,
)
from numpy.typing import NDArray
from skimage.feature import multiscale_basic_features
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from sksegment import FCNSegmenter

EPOCHS = (1, 2, 4, 8, 16)
# Pixels of each image that the forest learns from.
PIXELS = (100, 400, 1600)
# Budgets beyond this many seconds are not tried.
LONGEST = 60.0
# Of the axis of seconds.
TICKS = (1, 3, 10, 30, 100)
CROPS = {"crop_size": 128, "batch_size": 4, "dropout": 0.0}
SMALL = {"width": 8, "crop_size": 96, "batch_size": 4, "dropout": 0.0}

Predict = Callable[[ImageSet], Any]
Train = Callable[[ImageSet, int, int], Predict]


class Contestant(NamedTuple):
    """A name, what is trained, and the budgets that it is given."""

    name: str
    train: Train
    budgets: tuple[int, ...]
    smallest: int = 0  # side of an image that it can take


def membrane_slices(data: Path) -> ImageSet:
    """Train on the whole slices 00-13, score 14-19."""
    X, y = read_pairs(data / "membrane" / "train")
    return ImageSet(X[:14], y[:14], X[14:], y[14:], classes=(0, 255))


def camvid_frames(data: Path) -> ImageSet:
    """Every 6th training frame and every 4th of val, 180x240 pixels."""
    train = read_pairs(data / "camvid" / "train", slice(None, None, 6))
    test = read_pairs(data / "camvid" / "val", slice(None, None, 4))
    pairs = (*all_reduced(*train, 2), *all_reduced(*test, 2))
    return ImageSet(*pairs, tuple(range(CAMVID_VOID)), CAMVID_VOID)


SETS: dict[str, Callable[[Path], ImageSet]] = {
    "membrane": membrane_slices,
    "camvid": camvid_frames,
    "voc": photos,
    "shapes": IMAGE_SETS["shapes"],
}


def segmenter(images: ImageSet, n_epochs: int, seed: int, **parameters: Any) -> Predict:
    options = {**images.labels(), **parameters}
    fitted = FCNSegmenter(
        max_epochs=n_epochs, device="cpu", random_state=seed, **options
    ).fit(images.X, images.y)
    return lambda images: fitted.predict(images.X_test)


def forest(images: ImageSet, n_pixels: int, seed: int) -> Predict:
    """Fit 100 trees to the multiscale features of some pixels of each image."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for image, mask in zip(images.X, images.y, strict=True):
        known = np.flatnonzero(mask.ravel() != images.ignore_label)
        chosen = rng.choice(known, min(n_pixels, len(known)), replace=False)
        rows.append(features(image)[chosen])
        labels.append(mask.ravel()[chosen])
    trees = RandomForestClassifier(100, random_state=seed, n_jobs=1)
    trees.fit(np.concatenate(rows), np.concatenate(labels))
    return lambda images: [
        trees.predict(features(image)).reshape(image.shape[:2])
        for image in images.X_test
    ]


def features(image: NDArray[Any]) -> NDArray[Any]:
    axis = -1 if image.ndim == 3 else None
    found = multiscale_basic_features(image, channel_axis=axis)
    return found.reshape(-1, found.shape[-1])


def plain_loop(images: ImageSet, n_epochs: int, seed: int) -> Predict:
    """Train a U-Net in a loop as tutorials do: float32, whole images, Adam."""
    torch.manual_seed(seed)
    network = PlainUNet(images.n_channels, len(images.classes), width=16)
    X, y = np.stack([as_color(image) for image in images.X]), np.stack(images.y)
    scale = torch.tensor(X.mean(axis=(0, 1, 2))), torch.tensor(X.std(axis=(0, 1, 2)))
    scale = tuple(values.float() for values in scale)
    codes = torch.from_numpy(np.searchsorted(images.classes, y).astype(np.int64))
    epoch = naive_epoch(network, padded(standardize(X, *scale)), padded(codes))
    for _ in range(n_epochs):
        epoch()
    return partial(predict_plainly, network, scale)


def predict_plainly(
    network: PlainUNet, scale: tuple[Tensor, Tensor], images: ImageSet
) -> list[NDArray[Any]]:
    network.eval()
    masks = []
    for image in images.X_test:
        height, width = image.shape[:2]
        with torch.inference_mode():
            scores = network(padded(standardize(as_color(image)[None], *scale)))
        codes = scores[0, :, :height, :width].argmax(0).numpy()
        masks.append(np.asarray(images.classes)[codes])
    return masks


def as_color(image: NDArray[Any]) -> NDArray[Any]:
    return image if image.ndim == 3 else image[..., None]


def padded(tensor: Tensor) -> Tensor:
    """Repeat the border until the network, which halves three times, can take it."""
    rows = torch.arange(-(-tensor.shape[-2] // 8) * 8).clamp(max=tensor.shape[-2] - 1)
    columns = torch.arange(-(-tensor.shape[-1] // 8) * 8)
    return tensor[..., rows, :][..., columns.clamp(max=tensor.shape[-1] - 1)]


def described(parameters: dict[str, Any]) -> str:
    """Return a segmenter as one would write it."""
    words = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return f"FCNSegmenter({words})"


CONTESTANTS = (
    Contestant("FCNSegmenter()", segmenter, EPOCHS),
    Contestant(described(CROPS), partial(segmenter, **CROPS), EPOCHS, 128),
    Contestant(described(SMALL), partial(segmenter, **SMALL), EPOCHS, 96),
    Contestant("random forest", forest, PIXELS),
    Contestant("PyTorch, loop of the tutorials", plain_loop, EPOCHS),
)


def run(record: Record, name: str, data: Path, seed: int = 0) -> None:
    images = SETS[name](data)
    for contestant in CONTESTANTS:
        if not can_take(contestant, images):
            continue
        for budget in contestant.budgets:
            task = {
                "set": name,
                "contestant": contestant.name,
                "budget": budget,
                "seed": seed,
            }
            result = record.find(task)
            if result is None:
                result = outcome(contestant, images, budget, seed)
                record.add(task, result)
                print(task, result, flush=True)
            if result["seconds"] > LONGEST / 2:
                break


def can_take(contestant: Contestant, images: ImageSet) -> bool:
    """Tell whether a contestant can take the images.

    A plain loop needs one size, and no label to ignore; crops need room.
    """
    sizes = {image.shape[:2] for image in images.X}
    if contestant.train is plain_loop:
        return len(sizes) == 1 and images.ignore_label is None
    return min(map(min, sizes)) >= contestant.smallest


def outcome(
    contestant: Contestant, images: ImageSet, budget: int, seed: int
) -> dict[str, float]:
    start = time.process_time()
    predict = contestant.train(images, budget, seed)
    seconds = time.process_time() - start
    iou = images.mean_iou(predict(images))
    return {"seconds": round(seconds, 2), "iou": round(iou, 4)}


def page(rows: list[dict[str, Any]], record: str) -> str:
    parts = [
        "# Quality per second",
        "Mean IoU of images that were not trained on, after so many processor seconds "
        "of `fit` on one core, in ascending order. Each row is a training run of its "
        "own. One seed: differences below two points are noise.",
        "```console\npython docs/benchmarks/scripts/quality_per_second.py --data DATA"
        "\n```",
        where_and_when(rows),
        "bfloat16 in hardware: " + ("yes." if has_bfloat16() else "no."),
        f"Every run: `{record}`.",
        "![Mean IoU over seconds](quality_per_second.svg)",
    ]
    for name in dict.fromkeys(row["task"]["set"] for row in rows):
        parts += [f"## {name}", markdown_table(HEADER, table(rows, name))]
    return "\n\n".join(parts) + "\n"


HEADER = ("seconds", "mean IoU", "what was trained", "epochs, or pixels of an image")


def table(rows: list[dict[str, Any]], name: str) -> Iterator[tuple[str, ...]]:
    chosen = [row for row in rows if row["task"]["set"] == name]
    for row in sorted(chosen, key=lambda row: row["result"]["seconds"]):
        task, result = row["task"], row["result"]
        yield (
            f"{result['seconds']:.1f}",
            f"{result['iou']:.3f}",
            task["contestant"],
            str(task["budget"]),
        )


def has_bfloat16() -> bool:
    from sksegment._torch.precision import has_bfloat16

    return has_bfloat16(torch.device("cpu"))


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw the mean IoU over the seconds of `fit`, one panel for each set."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row["task"]["set"] for row in rows))
    figure = Figure(figsize=(9, 1 + 3 * ((len(names) + 1) // 2)), layout="constrained")
    panels = figure.subplots((len(names) + 1) // 2, 2, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        for index, contestant in enumerate(CONTESTANTS):
            seconds, iou = curve(rows, name, contestant.name)
            if seconds:
                style = {"color": f"C{index}", "label": contestant.name}
                panel.plot(seconds, iou, "o-", **style)
        panel.set(title=name, xlabel="processor seconds of fit", ylabel="mean IoU")
        panel.set_xscale("log")
        panel.set_xticks(TICKS, labels=map(str, TICKS))
        panel.minorticks_off()
    for panel in panels[len(names) :]:
        panel.set_axis_off()
    # The contestants of a set need not be those of the others.
    handles = {line.get_label(): line for panel in panels for line in panel.lines}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center")
    figure.savefig(file, metadata={"Date": None})


def curve(
    rows: list[dict[str, Any]], name: str, contestant: str
) -> tuple[list[float], list[float]]:
    results = sorted(
        (row["result"]["seconds"], row["result"]["iou"])
        for row in rows
        if (row["task"]["set"], row["task"]["contestant"]) == (name, contestant)
    )
    return [seconds for seconds, _ in results], [iou for _, iou in results]


def main() -> None:
    parser = ArgumentParser(
        description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument(
        "--results", type=Path, default=RECORDS / "quality_per_second.jsonl"
    )
    parser.add_argument("--table", action="store_true", help="write the page alone")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    record = Record(asked.results)
    for name in () if asked.table else asked.sets:
        run(record, name, asked.data)
    record.write_page(page)
    draw(record.rows(), asked.results.parent.parent / "quality_per_second.svg")


if __name__ == "__main__":
    main()
