"""Data to try segmentation on, and loaders of the usual folder layouts."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch, check_random_state

from sksegment._checks import check_integer, check_number, height_and_width
from sksegment._colors import colors_to_labels
from sksegment._files import LOSSY_SUFFIXES, SUFFIXES
from sksegment._mask_doctor import Finding, check_masks
from sksegment._mask_files import save_masks
from sksegment._palette import VOC_VOID

__all__ = [
    "Finding",
    "check_masks",
    "colors_to_labels",
    "load_image_pairs",
    "load_voc",
    "make_shapes",
    "save_masks",
]

Finding.__module__ = __name__

# How many names a message lists before it counts the rest.
LISTED = 5

# The smallest side in which the shapes still differ by a few pixels.
MIN_SIZE = 8

# Standard deviation of the hue of a class, in units of the distance between classes:
# after noise and light, the colour of a single pixel is still a poor guide.
HUE_SPREAD = 0.15

VOC_CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

Outline = Callable[[float, float, float, float, tuple[int, int]], NDArray[np.bool_]]


def _filled_disk(
    row: float, column: float, radius: float, angle: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    from skimage.draw import disk

    covered = np.zeros(size, dtype=np.bool_)
    covered[disk((row, column), radius, shape=size)] = True
    return covered


def _ring(
    row: float, column: float, radius: float, angle: float, size: tuple[int, int]
) -> NDArray[np.bool_]:
    hole = _filled_disk(row, column, 0.5 * radius, angle, size)
    return _filled_disk(row, column, radius, angle, size) & ~hole


def _polygon(corners: Iterable[tuple[float, float]]) -> Outline:
    """Return a function that draws the polygon of these (x, y) corners, turned."""
    points = np.array(list(corners))

    def fill(
        row: float, column: float, radius: float, angle: float, size: tuple[int, int]
    ) -> NDArray[np.bool_]:
        from skimage.draw import polygon

        cosine, sine = np.cos(angle), np.sin(angle)
        turned = points @ np.array([[cosine, sine], [-sine, cosine]]) * radius
        covered = np.zeros(size, dtype=np.bool_)
        covered[polygon(turned[:, 1] + row, turned[:, 0] + column, shape=size)] = True
        return covered

    return fill


def _around(radii: tuple[float, ...]) -> list[tuple[float, float]]:
    """Return corners at these distances from the centre, at equal angles."""
    turns = np.linspace(0.0, 2.0 * np.pi, len(radii), endpoint=False)
    return [
        (r * np.cos(turn), r * np.sin(turn))
        for r, turn in zip(radii, turns, strict=True)
    ]


def _plus(length: float, half_width: float) -> list[tuple[float, float]]:
    """Return the corners of a cross: those of one arm, turned four times."""
    arm = [(length, -half_width), (length, half_width), (half_width, half_width)]
    turns = ((1, 0), (0, 1), (-1, 0), (0, -1))
    return [(c * x - s * y, s * x + c * y) for c, s in turns for x, y in arm]


# The classes 1, 2, ... of make_shapes; radii are chosen for areas of one order.
OUTLINES: tuple[tuple[str, Outline], ...] = (
    ("disk", _filled_disk),
    ("square", _polygon(_around((1.2,) * 4))),
    ("triangle", _polygon(_around((1.35,) * 3))),
    ("ring", _ring),
    ("cross", _polygon(_plus(1.15, 0.38))),
    ("star", _polygon(_around((1.35, 0.5) * 5))),
    ("bar", _polygon([(1.4, -0.4), (1.4, 0.4), (-1.4, 0.4), (-1.4, -0.4)])),
)
MAX_CLASSES = 1 + len(OUTLINES)


def make_shapes(
    n_samples: int = 100,
    *,
    size: int | tuple[int, int] = 64,
    n_classes: int = 4,
    noise: float = 0.1,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw pictures of coloured shapes, and the masks that name each shape.

    One to four objects lie on a textured, unevenly lit background; they touch and hide
    one another a little. Each class has a typical hue, from which its objects depart:
    colour and form both tell the class. A small network learns the task in well under
    a minute; a classifier of single pixels stays far behind it.

    Parameters
    ----------
    n_samples : int, default=100
        The number of pictures.
    size : int or tuple of (int, int), default=64
        The side of the pictures, or their (height, width), in pixels; 8 or more. The
        objects have a radius of 1/8 to 1/4 of the shorter side.
    n_classes : int, default=4
        The number of classes with the background, 2 to 8: background, disk, square,
        triangle, ring, cross, star, bar.
    noise : float, default=0.1
        The standard deviation of the Gaussian noise added to each channel.
    random_state : int, RandomState instance or None, default=None
        With an integer the data are the same in each call, and picture `i` does not
        depend on `n_samples`. None draws fresh data; numpy's global generator is
        neither read nor moved.

    Returns
    -------
    X : ndarray of shape (n_samples, height, width, 3), dtype float32
        The pictures, values in 0 to 1.
    y : ndarray of shape (n_samples, height, width), dtype uint8
        The masks, values 0 (background) to `n_classes - 1`. Any `n_classes - 1`
        pictures in a row contain every class.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or outside of its range.

    See Also
    --------
    load_image_pairs : Images and masks from two folders.

    Examples
    --------
    Four classes, three of them shapes:

    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(10, size=(48, 64), random_state=0)
    >>> X.shape, y.shape
    ((10, 48, 64, 3), (10, 48, 64))
    >>> sorted(set(y.ravel().tolist()))
    [0, 1, 2, 3]
    """
    check_integer("n_samples", n_samples, 1)
    check_integer("n_classes", n_classes, 2, MAX_CLASSES)
    check_number("noise", noise, 0)
    height, width = height_and_width("size", size, MIN_SIZE)
    seed = _integer_seed(random_state)
    X = np.empty((n_samples, height, width, 3), dtype=np.float32)
    y = np.empty((n_samples, height, width), dtype=np.uint8)
    for i in range(n_samples):
        # A generator for each picture: picture i is the same in a longer series.
        rng = np.random.default_rng((seed, i))
        # Classes take turns, so that none is missing from a small set.
        first = 1 + i % (n_classes - 1)
        X[i], y[i] = _draw_sample(rng, (height, width), n_classes, first, noise)
    return X, y


def _integer_seed(random_state: Any) -> int:
    if random_state is None:
        # Not check_random_state(None): that would move the global generator.
        return int(np.random.SeedSequence().generate_state(1)[0])
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _draw_sample(
    rng: np.random.Generator,
    size: tuple[int, int],
    n_classes: int,
    first: int,
    noise: float,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return one picture and its mask; an object of class `first` lies on top."""
    places = _places(rng, size, n_objects=int(rng.integers(1, 5)))
    labels = [*rng.integers(1, n_classes, len(places) - 1).tolist(), first]
    mask = np.zeros(size, dtype=np.uint8)
    image = _background_colour(rng) + 0.06 * _smooth_field(rng, size, 6)
    image += 0.04 * _smooth_field(rng, size, 20)
    for place, label in zip(places, labels, strict=True):
        row, column, radius = place
        _, outline = OUTLINES[label - 1]
        covered = outline(row, column, radius, rng.uniform(0, 2 * np.pi), size)
        mask[covered] = label
        colour = _object_colour(rng, label, n_classes)
        image[covered] = (colour + 0.04 * _smooth_field(rng, size, 6))[covered]
    image *= 1.0 + 0.12 * _smooth_field(rng, size, 2, n_channels=1)
    image += rng.normal(0.0, noise, image.shape)
    return image.clip(0.0, 1.0).astype(np.float32), mask


def _places(
    rng: np.random.Generator, size: tuple[int, int], n_objects: int
) -> list[tuple[float, float, float]]:
    """Return (row, column, radius) of up to `n_objects` that hardly overlap."""
    short = min(size)
    found: list[tuple[float, float, float]] = []
    for _ in range(20 * n_objects):
        radius = rng.uniform(short / 8, short / 4)
        row, column = (rng.uniform(0.8 * radius, s - 0.8 * radius) for s in size)
        if all(
            np.hypot(row - r, column - c) > 0.9 * (radius + other)
            for r, c, other in found
        ):
            found.append((row, column, radius))
        if len(found) == n_objects:
            break
    return found


def _background_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a muted colour, as soil, tissue and sky mostly have."""
    return np.asarray(rng.uniform(0.25, 0.75) + rng.uniform(-0.1, 0.1, 3))


def _object_colour(
    rng: np.random.Generator, label: int, n_classes: int
) -> NDArray[np.float64]:
    """Draw a vivid colour, whose hue is near that of its class."""
    from skimage.color import hsv2rgb

    typical = (label - 1) / (n_classes - 1)
    hue = rng.normal(typical, HUE_SPREAD / (n_classes - 1)) % 1.0
    return np.asarray(hsv2rgb([hue, rng.uniform(0.6, 1.0), rng.uniform(0.6, 1.0)]))


def _smooth_field(
    rng: np.random.Generator,
    size: tuple[int, int],
    n_knots: int,
    n_channels: int = 3,
) -> NDArray[np.float64]:
    """Return random values that vary smoothly between `n_knots` knots a side."""
    knots = rng.normal(size=(n_knots, n_knots, n_channels))
    for axis, n_pixels in enumerate(size):
        position = np.linspace(0.0, n_knots - 1.0, n_pixels)
        below = np.minimum(position.astype(np.intp), n_knots - 2)
        share = position - below
        # An S-shaped blend leaves no creases at the knots.
        share = (share * share * (3.0 - 2.0 * share)).reshape(-1, *[1] * (2 - axis))
        low, high = knots.take(below, axis), knots.take(below + 1, axis)
        knots = low + share * (high - low)
    return knots


def load_image_pairs(
    images_dir: str | os.PathLike[str],
    masks_dir: str | os.PathLike[str],
    *,
    ignore_label: Any = None,
    return_X_y: bool = False,
) -> Bunch | tuple[list[Path], list[Path]]:
    """List the images of one folder and the masks of another, in pairs.

    An image and a mask belong together when their file names agree up to the suffix:
    `cat_1.jpg` and `cat_1.png`. Nothing is read here; pass the paths to `fit`, which
    reads the files when they are needed. Folders inside the folders, hidden files and
    files that are no PNG, JPEG, BMP or TIFF by their suffix are left out.

    Parameters
    ----------
    images_dir : str or path-like
        The folder of the images: PNG, JPEG, BMP or TIFF.
    masks_dir : str or path-like
        The folder of the masks: PNG, BMP or TIFF with one label value a pixel. JPEG is
        refused: its compression changes label values.
    ignore_label : object, default=None
        The label value that is no class, handed on in the result.
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    Bunch or tuple of (list of Path, list of Path)
        The Bunch has `data` and `target` (paths of images and of masks, sorted by
        name), `target_names` (None: folders hold no names of classes, and finding the
        label values would mean reading every mask), `ignore_label` and `DESCR`.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If a folder is missing or is no folder.
    ValueError
        If a folder holds no images, a file has no partner, two files of a folder share
        a name, or a mask is a JPEG file.

    See Also
    --------
    load_voc : Pairs in the layout of PASCAL VOC.

    Examples
    --------
    Two folders with a picture each:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sksegment.datasets import load_image_pairs
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("images", "masks"):
    ...     (folder / name).mkdir()
    ...     Image.new("L", (8, 8)).save(folder / name / "cell_1.png")
    >>> X, y = load_image_pairs(folder / "images", folder / "masks", return_X_y=True)
    >>> [Path(path).name for path in X + y]
    ['cell_1.png', 'cell_1.png']
    """
    images = _files_by_stem(Path(images_dir), "images_dir")
    masks = _files_by_stem(Path(masks_dir), "masks_dir")
    _check_partners(images, masks)
    stems = sorted(images)
    data, target = [images[stem] for stem in stems], [masks[stem] for stem in stems]
    _check_lossless(target)
    description = (
        f"{len(stems)} pairs of image and mask.\n\nImages: {images_dir}\n"
        f"Masks: {masks_dir}\n"
    )
    return _result(data, target, None, ignore_label, description, return_X_y)


def _files_by_stem(folder: Path, argument: str) -> dict[str, Path]:
    """Return the image files of a folder by their names without suffix."""
    _check_folder(folder, argument)
    visible = [p for p in folder.iterdir() if p.is_file() and p.name[0] != "."]
    files = sorted(p for p in visible if p.suffix.lower() in SUFFIXES)
    if not files:
        others = sorted({path.suffix or path.name for path in visible})
        holds = f" It holds {_listed(others)}." if others else ""
        raise ValueError(
            f"{argument} {str(folder)!r} holds no image; expected files that end in "
            f"{', '.join(SUFFIXES)}.{holds}"
        )
    counts = Counter(path.stem for path in files)
    _check_unique(
        [path.name for path in files if counts[path.stem] > 1], folder, argument
    )
    return {path.stem: path for path in files}


def _check_folder(folder: Path, argument: str) -> None:
    if not folder.exists():
        raise FileNotFoundError(
            f"{argument} {str(folder)!r} does not exist; expected a folder."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"{argument} {str(folder)!r} is no folder; expected a folder."
        )


def _check_unique(shared: list[str], folder: Path, argument: str) -> None:
    if shared:
        raise ValueError(
            f"{argument} {str(folder)!r} has files that share a name: "
            f"{_listed(shared)}. Expected one file a name."
        )


def _check_partners(images: dict[str, Path], masks: dict[str, Path]) -> None:
    no_mask = [images[stem].name for stem in sorted(set(images) - set(masks))]
    no_image = [masks[stem].name for stem in sorted(set(masks) - set(images))]
    if not no_mask and not no_image:
        return
    parts = [
        f"{kind} without {partner}: {_listed(names)}."
        for kind, partner, names in (
            ("Images", "a mask", no_mask),
            ("Masks", "an image", no_image),
        )
        if names
    ]
    raise ValueError(
        f"images_dir and masks_dir do not match. {' '.join(parts)} Expected the same "
        f"file names up to the suffix; move or rename these files."
    )


def _check_lossless(masks: list[Path]) -> None:
    lossy = [Path(m).name for m in masks if Path(m).suffix.lower() in LOSSY_SUFFIXES]
    if lossy:
        raise ValueError(
            f"masks_dir holds JPEG files: {_listed(lossy)}. Their compression changes "
            f"label values; expected PNG, BMP or TIFF. Export the masks again."
        )


def _listed(names: list[str]) -> str:
    """Write names for a message, a few of them, and count the rest."""
    shown = ", ".join(repr(name) for name in names[:LISTED])
    rest = len(names) - LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def _result(
    data: list[Path],
    target: list[Path],
    target_names: list[str] | None,
    ignore_label: Any,
    description: str,
    return_X_y: bool,
) -> Bunch | tuple[list[Path], list[Path]]:
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        target_names=target_names,
        ignore_label=ignore_label,
        DESCR=description,
    )


def load_voc(
    root: str | os.PathLike[str], split: str = "train", *, return_X_y: bool = False
) -> Bunch | tuple[list[Path], list[Path]]:
    """List the images and masks of PASCAL VOC 2012, or of data laid out like it.

    The layout is `JPEGImages/ID.jpg`, `SegmentationClass/ID.png` and
    `ImageSets/Segmentation/SPLIT.txt` with one ID a line. The masks are palette files
    whose pixel values are class ids; 255 marks pixels that are not scored.

    Parameters
    ----------
    root : str or path-like
        The folder `VOC2012`, the folder `VOCdevkit` around it, or the one around that.
    split : str, default="train"
        The name of a list in `ImageSets/Segmentation`: `"train"`, `"val"`, ...
    return_X_y : bool, default=False
        Whether to return `(data, target)` instead of a Bunch.

    Returns
    -------
    Bunch or tuple of (list of Path, list of Path)
        The Bunch has `data` and `target` (paths of images and of masks, in the order
        of the list), `target_names` (21 names; the position is the class id),
        `ignore_label` (255) and `DESCR`.

    Raises
    ------
    FileNotFoundError
        If the layout, or a file that the list names, is missing.
    ValueError
        If there is no such split, if its list is empty or no text in UTF-8, or if it
        names a file outside of the layout.

    See Also
    --------
    load_image_pairs : Images and masks from two folders.

    Examples
    --------
    The result goes into a segmenter as it is:

    >>> from sksegment.datasets import load_voc
    >>> train = load_voc("VOCdevkit", "train")  # doctest: +SKIP
    >>> FCNSegmenter(ignore_label=train.ignore_label).fit(
    ...     train.data, train.target
    ... )  # doctest: +SKIP
    """
    folder = _voc_folder(Path(root))
    ids = _split_ids(folder / "ImageSets" / "Segmentation", split)
    images = [folder / "JPEGImages" / f"{name}.jpg" for name in ids]
    masks = [folder / "SegmentationClass" / f"{name}.png" for name in ids]
    _check_files([*images, *masks], split)
    description = (
        f"PASCAL VOC, segmentation, split {split!r}: {len(ids)} pairs of image and "
        f"mask in {folder}.\n\nM. Everingham, L. Van Gool, C. K. I. Williams, J. Winn, "
        f"A. Zisserman. The PASCAL Visual Object Classes (VOC) Challenge. IJCV 88(2), "
        f"303-338, 2010.\n"
    )
    names = list(VOC_CLASSES)
    return _result(images, masks, names, VOC_VOID, description, return_X_y)


def _voc_folder(root: Path) -> Path:
    _check_folder(root, "root")
    candidates = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    for folder in candidates:
        if (folder / "JPEGImages").is_dir():
            return folder
    raise FileNotFoundError(
        f"root {str(root)!r} is not laid out as PASCAL VOC: no folder JPEGImages in it "
        f"nor in VOC2012 or VOCdevkit/VOC2012 under it."
    )


def _split_ids(lists: Path, split: str) -> list[str]:
    if not lists.is_dir():
        raise FileNotFoundError(
            f"{str(lists)!r} is missing; expected lists of ids in it: train.txt, ..."
        )
    splits = sorted(path.stem for path in lists.glob("*.txt"))
    if split not in splits:
        raise ValueError(
            f"split is {split!r}; expected one of the lists in {str(lists)!r}: "
            f"{', '.join(map(repr, splits)) or 'there is none'}."
        )
    lines = _text(lists / f"{split}.txt").splitlines()
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise ValueError(f"The list of split {split!r} in {str(lists)!r} is empty.")
    _check_inside(ids, split)
    return ids


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows puts a mark in front
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no text in UTF-8 ({error}); expected one ID a line. "
            f"Save it as UTF-8."
        ) from error


def _check_inside(ids: list[str], split: str) -> None:
    """Refuse ids that lead out of the folders: a list may come from anywhere."""
    outside = [name for name in ids if Path(name).anchor or ".." in Path(name).parts]
    if outside:
        raise ValueError(
            f"The list of split {split!r} names files outside of the layout: "
            f"{_listed(outside)}. Expected IDs of files in JPEGImages and "
            f"SegmentationClass."
        )


def _check_files(paths: list[Path], split: str) -> None:
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} files that the list of split {split!r} names are missing: "
            f"{_listed(missing)}. Expected each ID as JPEGImages/ID.jpg and "
            f"SegmentationClass/ID.png."
        )
