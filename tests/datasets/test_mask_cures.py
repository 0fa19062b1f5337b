"""The mask doctor: it finds what fit refuses, and its cures cure."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image, ImageOps

from sksegment import FCNSegmenter
from sksegment._inputs.image_files import read_mask
from sksegment._inputs.orientation import turn_upright
from sksegment.datasets import check_masks, colors_to_labels, load_stack, make_shapes
from sksegment.datasets._mask_orientation import AS_IT_IS, TURNS
from sksegment.datasets._voc_palette import voc_palette

ORIENTATIONS = pytest.mark.parametrize("orientation", range(1, 9))
# The orientation that undoes an orientation.
INVERSE = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
EXPRESSION = re.compile(r"(?:: |are )((?:mask|np\.|colors_to_labels).*?)\.(?: |$)")
# Where a file is read before.
READING = re.compile(r"Read the file by mask = (.*)\.$")
N_CLASSES = 4


def one_pair(n_classes: int = N_CLASSES) -> tuple[Any, Any]:
    X, y = make_shapes(1, size=(48, 64), n_classes=n_classes, random_state=3)
    return (X[0].clip(0, 1) * 255).astype(np.uint8), y[0].astype(np.uint8)


def stored(upright: Any, orientation: int) -> Any:
    """The pixels that an orientation tag turns upright."""
    return turn_upright(upright, INVERSE[orientation])


def save(path: Path, upright: Any, orientation: int, **options: Any) -> Path:
    """Save pixels turned, with the tag that tells so."""
    pixels = stored(upright, orientation)
    if path.suffix == ".tif":
        tag = (274, 3, 1, orientation, True)
        tifffile.imwrite(path, pixels, extratags=[tag], metadata=None, **options)
        return path
    exif = Image.Exif()
    exif[274] = orientation
    mode = {2: "LA"}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
    if mode:
        bands = [Image.fromarray(band) for band in np.moveaxis(pixels, -1, 0)]
        image = Image.merge(mode, bands)
    else:
        image = Image.fromarray(pixels)
    image.save(path, exif=exif, **options)
    return path


def carry_out(cure: str, mask: Any) -> Any:
    """Do what a cure says to one mask."""
    names = {"np": np, "Image": Image, "ImageOps": ImageOps, "load_stack": load_stack}
    names |= {"colors_to_labels": colors_to_labels, "mask": mask, "path": mask}
    reading = READING.search(cure)
    if reading:
        names["mask"] = eval(reading[1], names)
    return eval(EXPRESSION.search(cure)[1], names)  # type: ignore[index]


def cure_of(X: Any, y: Any, kind: str) -> str:
    (finding,) = [f for f in check_masks(X, y) if f.kind == kind]
    return finding.cure


def fit_refuses(X: Any, y: Any) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            FCNSegmenter(width=4, depth=1, max_epochs=1).fit(X, y)
    except (OSError, TypeError, ValueError):
        return True
    return False


# Files whose masks are not masks, however they are turned


def rgb(labels: Any) -> Any:
    return np.dstack([labels] * 3)


def with_alpha(labels: Any) -> Any:
    return np.dstack([labels, np.full_like(labels, 255)])


def one_hot(labels: Any) -> Any:
    return np.eye(N_CLASSES, dtype=np.uint8)[labels]


@ORIENTATIONS
@pytest.mark.parametrize(
    "form, suffix, kind",
    [
        (with_alpha, ".png", "alpha"),
        (with_alpha, ".tif", "alpha"),
        (rgb, ".png", "grey_rgb"),
        (rgb, ".tif", "grey_rgb"),
        (one_hot, ".tif", "one_hot"),
    ],
)
def test_cures_of_files_lead_to_upright_labels(
    tmp_path: Path, form: Any, suffix: str, kind: str, orientation: int
) -> None:
    image, labels = one_pair()
    planar = {"planarconfig": "contig", "photometric": "minisblack"}
    options = planar if suffix == ".tif" else {}
    path = save(tmp_path / f"mask{suffix}", form(labels), orientation, **options)
    assert fit_refuses([image], [path])
    cured = carry_out(cure_of([image], [path], kind), path)
    assert_array_equal(cured, labels)
    assert check_masks([image], [cured]) == []


@ORIENTATIONS
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
@pytest.mark.parametrize("form", [np.asarray, rgb], ids=["grey", "rgb"])
def test_two_labels_of_a_jpeg_are_recovered(
    tmp_path: Path, form: Any, suffix: str, orientation: int
) -> None:
    image, labels = one_pair(n_classes=2)
    options: Any = {"quality": 95}
    if suffix == ".tif":
        pytest.importorskip("imagecodecs")
        options = {"compression": "jpeg", "planarconfig": "contig"}
        options = options if form is rgb else {"compression": "jpeg"}
    pixels = form(labels * 255)
    path = save(tmp_path / f"mask{suffix}", pixels, orientation, **options)
    assert fit_refuses([image], [path])
    cured = carry_out(cure_of([image], [path], "jpeg"), path)
    assert_array_equal(cured, labels > 0)
    assert check_masks([image], [cured]) == []


@ORIENTATIONS
def test_colors_of_files_become_upright_labels(
    tmp_path: Path, orientation: int
) -> None:
    image, labels = one_pair()
    palette = voc_palette()
    path = save(tmp_path / "mask.png", palette[labels], orientation)
    assert "colors_to_labels(y, {label: " in cure_of([image], [path], "colors")
    table = {label: palette[label].tolist() for label in range(N_CLASSES)}
    assert_array_equal(colors_to_labels([path], table)[0], labels)


def write_png(path: Path, pixels: Any, bits: int) -> Path:
    """Write a PNG as its specification says: Pillow has no such modes."""
    height, width = pixels.shape[:2]
    kind = {1: 0, 2: 4, 3: 2}[pixels.size // (height * width)]  # grey, + alpha, RGB
    shifts = np.arange(bits - 1, -1, -1)
    planes = pixels.reshape(height, -1, 1).astype(np.int64) >> shifts & 1
    rows = np.packbits(planes.astype(np.uint8).reshape(height, -1), axis=1)
    lines = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())  # no filter
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", header), (b"IDAT", lines), (b"IEND", b"")):
        checksum = zlib.crc32(name + data)
        content += struct.pack(">I", len(data)) + name + data
        content += struct.pack(">I", checksum)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_cures_give_the_labels_that_fit_reads_of_any_bits(
    tmp_path: Path, bits: int
) -> None:
    image, labels = one_pair()
    photo = save(tmp_path / "photo.png", image, 6)
    path = write_png(tmp_path / "mask.png", stored(labels, 6), bits)
    assert_array_equal(read_mask(path), stored(labels, 6))
    cured = carry_out(cure_of([photo], [path], "transposed"), path)
    assert_array_equal(cured, labels)


@pytest.mark.parametrize("form", [with_alpha, rgb])
def test_masks_whose_lower_bits_are_not_read_are_found(
    tmp_path: Path, form: Any
) -> None:
    image, labels = one_pair()
    path = write_png(tmp_path / "mask.png", form(labels), bits=16)
    assert fit_refuses([image], [path])
    (finding,) = check_masks([image], [path])
    assert finding.kind == "unreadable"
    assert "channels of 16 bits, of which 8 are read" in finding.message


# Masks that were drawn on pixels as they are stored


@ORIENTATIONS
@pytest.mark.parametrize("form", ["array", "grey file", "palette file"])
def test_masks_without_the_tag_of_their_photo_are_turned(
    tmp_path: Path, form: str, orientation: int
) -> None:
    image, labels = one_pair()
    photo = save(tmp_path / "photo.png", image, orientation)
    mask: Any = stored(labels, orientation)
    if form != "array":
        picture = Image.fromarray(mask)
        if form == "palette file":
            picture.putpalette(voc_palette().tobytes())
        mask = tmp_path / "mask.png"
        picture.save(mask)
    if orientation == 1:
        assert check_masks([photo], [mask]) == []
        return
    kind = "turned" if orientation < 5 else "transposed"
    cured = carry_out(cure_of([photo], [mask], kind), mask)
    assert_array_equal(cured, labels)
    assert check_masks([photo], [cured]) == []


@ORIENTATIONS
def test_tags_of_photo_and_mask_that_agree_are_no_finding(
    tmp_path: Path, orientation: int
) -> None:
    image, labels = one_pair()
    photo = save(tmp_path / "photo.png", image, orientation)
    mask = save(tmp_path / "mask.png", labels, orientation)
    assert check_masks([photo], [mask]) == []


@pytest.mark.parametrize("size", [64, (48, 64)], ids=["square", "oblong"])
@pytest.mark.parametrize("cure", [name for name in TURNS if name != AS_IT_IS])
def test_turned_and_mirrored_masks_are_turned_back(cure: str, size: Any) -> None:
    X, y = make_shapes(4, size=size, random_state=0)
    undo = {
        "np.rot90(mask)": "np.rot90(mask, -1)",
        "np.rot90(mask, -1)": "np.rot90(mask)",
    }
    wrong = [TURNS[undo.get(cure, cure)](mask) for mask in y]
    is_swapped = wrong[0].shape != X.shape[1:3]
    found = cure_of(list(X), wrong, "transposed" if is_swapped else "turned")
    assert found == f"Turn these masks: {cure}."
    cured = [carry_out(found, mask) for mask in wrong]
    assert_array_equal(cured, y)
    assert check_masks(X, cured) == []


def test_each_mask_gets_the_cure_that_is_its_own() -> None:
    X, y = make_shapes(2, size=(48, 64), random_state=0)
    findings = check_masks(X, [y[0].T, np.rot90(y[1], -1)])
    assert [f.kind for f in findings] == ["transposed"]
    assert findings[0].cure == (
        "Of image 0: Turn these masks: mask.T. "
        "Of image 1: Turn these masks: np.rot90(mask)."
    )


def test_an_image_that_does_not_tell_how_its_mask_is_turned() -> None:
    image = np.random.default_rng(0).random((30, 40))
    cure = cure_of([image], [np.arange(1200).reshape(40, 30) % 2], "transposed")
    assert all(name in cure for name in ("mask.T", "np.rot90(mask), ", "mask, -1"))


def test_real_masks_are_not_said_to_be_turned(shared_data: Path) -> None:
    folder = shared_data / "voc_sample/VOCdevkit/VOC2012"
    masks = sorted((folder / "SegmentationClass").glob("*.png"))[:30]
    photos = [folder / "JPEGImages" / f"{mask.stem}.jpg" for mask in masks]
    assert "turned" not in {f.kind for f in check_masks(photos, masks)}
    mirrored = [np.fliplr(Image.open(mask)) for mask in masks]
    (finding,) = [f for f in check_masks(photos, mirrored) if f.kind == "turned"]
    assert finding.cure == "Turn these masks: np.fliplr(mask)."
    assert len(finding.images) > 10


# Axes of channels


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize(
    "form, kind", [(rgb, "grey_rgb"), (with_alpha, "alpha"), (one_hot, "one_hot")]
)
def test_channels_on_either_axis(form: Any, kind: str, axis: int) -> None:
    image, labels = one_pair()
    mask = np.moveaxis(form(labels), 2, axis)
    assert fit_refuses([image], [mask])
    assert_array_equal(carry_out(cure_of([image], [mask], kind), mask), labels)


def test_colors_with_channels_first() -> None:
    image, labels = one_pair()
    mask = np.moveaxis(voc_palette()[labels], -1, 0)
    cure = cure_of([image], [mask], "colors")
    table = "{0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0)}"
    cure = cure.replace("{label: (red, green, blue), ...}", table)
    assert_array_equal(carry_out(cure, mask)[0], labels)


def test_a_plane_on_the_first_axis() -> None:
    image, labels = one_pair()
    cure = cure_of([image], [labels[np.newaxis]], "axes")
    assert_array_equal(carry_out(cure, labels[np.newaxis]), labels)


# fit and the doctor


def odd_masks(labels: Any) -> dict[str, Any]:
    return {
        "grey + alpha": with_alpha(labels),
        "two channels": np.dstack([labels, labels[::-1]]),
        "rgba": np.dstack([voc_palette()[labels], np.full_like(labels, 255)]),
        "complex": labels.astype(complex),
        "dates": labels.astype("datetime64[s]"),
        "fractions": labels / 2,
        "infinity": np.where(labels == 1, np.inf, labels),
        "objects": np.where(labels == 1, None, labels),
        "records": labels.astype([("label", "u1")]),
        "too small": labels[1:],
        "one row": labels[0],
        "empty": labels[:0],
        "masked": np.ma.array(labels),
    }


@pytest.mark.parametrize("name", odd_masks(np.zeros((2, 2), np.uint8)))
def test_what_fit_refuses_is_a_finding(name: str) -> None:
    image, labels = one_pair()
    mask = odd_masks(labels)[name]
    assert fit_refuses([image], [mask])
    assert check_masks([image], [mask])


@pytest.mark.parametrize(
    "write",
    [
        lambda path, mask: tifffile.imwrite(path, mask.astype(np.complex64)),
        lambda path, mask: tifffile.imwrite(path, np.stack([mask] * 5)),
        lambda path, mask: tifffile.imwrite(path, mask, photometric="cielab"),
        lambda path, mask: Image.fromarray(mask).save(path, "GIF"),
        lambda path, mask: Image.fromarray(mask).convert("CMYK").save(path, "TIFF"),
    ],
    ids=["complex", "pages", "Lab", "GIF", "CMYK"],
)
def test_files_that_fit_refuses_are_a_finding(tmp_path: Path, write: Any) -> None:
    image, labels = one_pair()
    is_lab = "cielab" in write.__code__.co_consts
    write(tmp_path / "mask.tif", rgb(labels) if is_lab else labels)
    assert fit_refuses([image], [tmp_path / "mask.tif"])
    assert check_masks([image], [tmp_path / "mask.tif"])


# Two scales


def test_masks_on_two_scales() -> None:
    X, y = make_shapes(5, n_classes=2, random_state=0)
    mixed = [*y[:3], *(y[3:] * 255)]
    (finding,) = check_masks(X, mixed)
    assert (finding.kind, finding.images) == ("scaled", (3, 4))
    cured = [carry_out(finding.cure, mask) for mask in mixed]
    assert check_masks(X, cured) == []


def test_images_of_8_and_16_bits() -> None:
    X, y = make_shapes(4, random_state=0)
    images: Any = [(x.clip(0, 1) * 255).astype(np.uint8) for x in X]
    images[2] = images[2].astype(np.uint16) * 257
    findings = {finding.kind: finding for finding in check_masks(images, y)}
    assert findings["depths"].images == (2,)
    image = images[2]
    expression = findings["depths"].cure.split(": ")[1].rstrip(".")
    cured = [eval(expression, {"np": np, "image": image}) for image in images]
    assert np.ptp([image.max() for image in cured]) < 0.5
    assert "depths" not in {finding.kind for finding in check_masks(cured, y)}
    images[2] = image // 257  # 16 bits that hold no more than 8 do are no finding
    assert "depths" not in {finding.kind for finding in check_masks(images, y)}
