"""Reading single files: every format as its pixels are meant, every bad file named."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from sksegment._inputs.image_files import MAX_PIXELS, read_image, read_mask

GREY = np.arange(6, dtype=np.uint8).reshape(2, 3)
COLOR = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
BANDS = np.arange(4 * 5 * 13, dtype=np.uint16).reshape(4, 5, 13) * 250
READERS = pytest.mark.parametrize("read", [read_image, read_mask])


def png_bytes(
    width: int, height: int, depth: int, color_type: int, pixels: bytes
) -> bytes:
    """A PNG with any header, whether the pixels suit it or not."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels))
        + chunk(b"IEND", b"")
    )


def palette_picture() -> Image.Image:
    image = Image.frombytes("P", (3, 2), GREY.tobytes())
    image.putpalette([40 * i % 256 for i in range(768)])
    return image


# What is read from good files


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("pixels", [GREY, COLOR], ids=["grey", "color"])
def test_lossless_formats_give_the_pixels_back(
    tmp_path: Path, suffix: str, pixels: Any
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(pixels).save(path)
    read = read_image(path)
    assert read.dtype == np.uint8
    assert_array_equal(read, pixels)


def test_str_and_path_are_alike(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert_array_equal(read_image(str(tmp_path / "a.png")), GREY)


def test_jpeg_photo_has_its_shape(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5, 3), 90, np.uint8)).save(tmp_path / "a.jpg")
    assert_array_equal(read_image(tmp_path / "a.jpg"), np.full((4, 5, 3), 90))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_kept(tmp_path: Path, suffix: str) -> None:
    pixels = BANDS[..., 0] + 300
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    for read in (read_image, read_mask):
        assert read(tmp_path / f"a{suffix}").dtype.str.endswith("u2")
        assert_array_equal(read(tmp_path / f"a{suffix}"), pixels)


def test_color_png_of_sixteen_bits_warns_of_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(1, 1, 16, 2, b"\0" + bytes([1, 2, 3, 4, 5, 6])))
    with pytest.warns(UserWarning, match=r"a\.png.*16 bits.*TIFF"):
        assert_array_equal(read_image(path), [[[1, 3, 5]]])


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_palette_file_is_ids_as_a_mask_and_colors_as_a_photo(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    palette_picture().save(path)
    assert_array_equal(read_mask(path), GREY)
    expected = np.asarray(palette_picture().convert("RGB"))
    assert_array_equal(read_image(path), expected)


def bmp_bytes(pixels: Any, levels: Any, n_bits: int, header_size: int = 40) -> bytes:
    """A BMP of places in a palette of greys, its rows from the lowest up."""
    height, width = pixels.shape
    entry = 3 if header_size == 12 else 4
    palette = b"".join(bytes([v] * 3 + [0] * (entry - 3)) for v in levels)
    shifts = np.arange(n_bits)[::-1]
    rows = (pixels[::-1, :, np.newaxis] >> shifts & 1).reshape(height, -1)
    rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 32)))
    start = 14 + header_size + len(palette)
    if header_size == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, n_bits)
    else:
        header = struct.pack("<IiiHH", 40, width, height, 1, n_bits)
        header += struct.pack("<IIiiII", 0, 0, 0, 0, len(levels), 0)
    data = np.packbits(rows, axis=1).tobytes()
    first = struct.pack("<2sIHHI", b"BM", start + len(data), 0, 0, start)
    return first + header + palette + data


@pytest.mark.parametrize("header_size", [40, 12])
@pytest.mark.parametrize("n_bits", [1, 4, 8])
@pytest.mark.parametrize(
    "levels", [(0, 255), (0, 1, 2), range(16), (0, 85, 170), (255, 0)]
)
def test_bmp_with_a_palette_of_greys(
    tmp_path: Path, n_bits: int, levels: Any, header_size: int
) -> None:
    if header_size == 12:  # has a place for each value of a pixel
        levels = [*levels, *[9] * 256][: 2**n_bits]
    n_levels = min(len(levels), 2**n_bits)
    indices = np.random.default_rng(0).integers(0, n_levels, (7, 13))
    path = tmp_path / "a.bmp"
    path.write_bytes(bmp_bytes(indices, levels, n_bits, header_size))
    assert_array_equal(read_mask(path), indices)
    seen = read_image(path)
    seen = 255 * seen if seen.dtype == np.bool_ else seen
    expected = np.array(levels)[indices]
    assert_array_equal(seen, expected if seen.ndim == 2 else np.dstack([expected] * 3))


def test_two_colors_of_pillow_at_8_bits(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (20, 30), dtype=np.uint8)
    image = Image.fromarray(labels)
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(tmp_path / "a.bmp")
    assert_array_equal(read_mask(tmp_path / "a.bmp"), labels)
    assert_array_equal(read_image(tmp_path / "a.bmp"), np.dstack([255 * labels] * 3))


def test_two_colors_of_a_run_length_coded_bmp(tmp_path: Path) -> None:
    content = bytearray(bmp_bytes(np.zeros((1, 5), int), (0, 255), 8))
    content[30] = 1  # run-length coded
    path = tmp_path / "a.bmp"
    path.write_bytes(content[:-8] + bytes([2, 1, 3, 0, 0, 1]))
    assert_array_equal(read_mask(path), [[1, 1, 0, 0, 0]])


@pytest.mark.parametrize(
    "depth, row, labels",
    [(1, 0b01100000, [0, 1, 1]), (2, 0b00011110, [0, 1, 3]), (4, 0x3C, [3, 12])],
)
def test_grey_masks_of_few_bits_are_not_stretched(
    tmp_path: Path, depth: int, row: int, labels: list[int]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(len(labels), 1, depth, 0, bytes([0, row])))
    assert_array_equal(read_mask(path), [labels])


# Pillow's names for what each orientation needs to be seen upright.
UPRIGHT: dict[int, Callable[[Any], Any]] = {
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a.T, 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_photos_are_turned_upright(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tag = (274, 3, 1, orientation, True)
        tifffile.imwrite(path, GREY, extratags=[tag])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(GREY).save(path, exif=exif)
    assert_array_equal(read_image(path), UPRIGHT[orientation](GREY))
    assert_array_equal(read_mask(path), UPRIGHT[orientation](GREY))


def test_a_damaged_exif_block_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(GREY).save(path, exif=b"Exif\0\0garbage!!")
    assert_array_equal(read_image(path), GREY)
    assert_array_equal(read_mask(path), GREY)


def test_orientation_in_a_jpeg(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    left_dark = np.zeros((16, 32), np.uint8)
    left_dark[:, 16:] = 255
    Image.fromarray(left_dark).save(tmp_path / "a.jpg", exif=exif)
    read = read_image(tmp_path / "a.jpg")
    assert read.shape == (32, 16)
    assert read[:14].max() < 50
    assert read[18:].min() > 200


@pytest.mark.parametrize("mode, channels", [("RGBA", 3), ("LA", 1)])
def test_alpha_is_dropped_with_a_warning(
    tmp_path: Path, mode: str, channels: int
) -> None:
    path = tmp_path / "a.png"
    Image.new(mode, (3, 2), 77).save(path)
    with pytest.warns(UserWarning, match="alpha channel"):
        read = read_image(path)
    assert read.shape == ((2, 3) if channels == 1 else (2, 3, channels))


def test_alpha_is_an_error_by_choice(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGBA", (3, 2)).save(path)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The alpha channel")
        with pytest.raises(ValueError, match=r"a\.png' has an alpha channel"):
            read_image(path)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (3, 2)).save(tmp_path / "a.jpg")
    assert_array_equal(read_image(tmp_path / "a.jpg"), np.full((2, 3, 3), 255))


def test_second_picture_of_a_camera_jpeg_is_a_preview(tmp_path: Path) -> None:
    path = tmp_path / "drone.jpg"
    large, small = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (8, 6))
    large.save(path, format="MPO", save_all=True, append_images=[small])
    assert_array_equal(read_image(path), np.full((30, 40, 3), 255))


@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_tiff_with_many_channels(tmp_path: Path, layout: Any) -> None:
    stored = np.moveaxis(BANDS, -1, 0) if layout == "separate" else BANDS
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=layout
    )
    read = read_image(tmp_path / "a.tif")
    assert read.dtype == np.uint16
    assert_array_equal(read, BANDS)


def test_all_four_channels_of_a_tiff_are_kept(tmp_path: Path) -> None:
    # tifffile marks the fourth as alpha, which may well be infrared.
    tifffile.imwrite(tmp_path / "a.tif", BANDS[..., :4], photometric="rgb")
    assert_array_equal(read_image(tmp_path / "a.tif"), BANDS[..., :4])


@READERS
@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 1, 1), (1, 4, 5), (20, 1, 1)])
def test_axes_of_length_one_in_a_tiff_tell_nothing(
    tmp_path: Path, read: Any, shape: tuple[int, ...]
) -> None:
    pixels = np.arange(20, dtype=np.uint8)
    stored = pixels.reshape(shape)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack")
    expected = pixels.reshape((20, 1) if shape[0] == 20 else (4, 5))
    assert_array_equal(read(tmp_path / "a.tif"), expected, strict=True)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f4", "f8", ">u2"])
def test_tiff_dtypes(tmp_path: Path, dtype: str) -> None:
    pixels = GREY.astype(dtype)
    byteorder: Any = ">" if dtype[0] == ">" else "<"
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=byteorder)
    read = read_image(tmp_path / "a.tif")
    assert (read.dtype.kind, read.dtype.itemsize) == (
        pixels.dtype.kind,
        pixels.dtype.itemsize,
    )
    assert_array_equal(read, pixels)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize(
    "pixels", [GREY, COLOR, BANDS[..., 0]], ids=["grey", "color", "uint16"]
)
def test_compressed_tiff(tmp_path: Path, pixels: Any, compression: str) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).save(path, compression=compression)
    assert_array_equal(read_image(path), pixels)


def test_compressed_palette_tiff_keeps_its_ids(tmp_path: Path) -> None:
    palette_picture().save(tmp_path / "a.tif", compression="tiff_lzw")
    assert_array_equal(read_mask(tmp_path / "a.tif"), GREY)


def test_preview_page_of_a_tiff_is_passed_over(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(COLOR, photometric="rgb")
        tiff.write(COLOR[::2, ::2], photometric="rgb", subfiletype=1)
    assert_array_equal(read_image(tmp_path / "a.tif"), COLOR)


@pytest.mark.parametrize("file_format, suffix", [("PNG", ".tif"), ("TIFF", ".png")])
def test_content_counts_not_the_suffix(
    tmp_path: Path, file_format: str, suffix: str
) -> None:
    Image.fromarray(GREY).save(tmp_path / f"a{suffix}", format=file_format)
    assert_array_equal(read_image(tmp_path / f"a{suffix}"), GREY)


# What is refused


@READERS
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("content", [b"", b"hello, I am text\n" * 9, b"\0" * 99])
def test_file_that_is_no_image(
    tmp_path: Path, read: Any, suffix: str, content: bytes
) -> None:
    path = tmp_path / f"odd{suffix}"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"odd.*expected one of PNG"):
        read(path)


@READERS
@pytest.mark.parametrize("name", ["none.png", "none.tif"])
def test_missing_file(tmp_path: Path, read: Any, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=name):
        read(tmp_path / name)


@READERS
def test_a_path_with_a_nul_character_is_named(read: Any) -> None:
    with pytest.raises(ValueError, match=r"'a\\x00\.png' holds a NUL character"):
        read("a\0.png")


@READERS
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_truncated_file_is_named(tmp_path: Path, read: Any, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 30), dtype=np.uint8)
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(OSError, match="cut"):
        read(path)


@pytest.mark.filterwarnings("ignore")  # Pillow's and numpy's, over nonsense
@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_damaged_files_are_read_or_named(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"hit{suffix}"
    Image.fromarray(rng.integers(0, 255, (9, 11), dtype=np.uint8)).save(path)
    whole, n_refused = path.read_bytes(), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, min(len(whole), 200), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(whole) // 2, len(whole) + 1)])
        try:
            read_image(path)
        except (OSError, ValueError) as error:
            assert "hit" in str(error)  # noqa: PT017 (one file in many is good)
            n_refused += 1
    assert n_refused > 50


@READERS
def test_declared_size_is_refused_before_decoding(tmp_path: Path, read: Any) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bytes(60_000, 60_000, 8, 0, b"\0"))
    with pytest.raises(ValueError, match=r"bomb\.png.*too large.*pass an array"):
        read(path)


@READERS
def test_large_pictures_are_read_with_the_warning_of_pillow(
    tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.png"
    Image.fromarray(GREY).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.warns(Image.DecompressionBombWarning, match="exceeds limit of 5"):
        assert_array_equal(read(path), GREY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"large\.png' is too large: Image size"):
            read(path)


@READERS
def test_the_filters_of_warnings_belong_to_other_threads_as_well(
    tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    before, seen, really_open = list(warnings.filters), [], Image.open

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(list(warnings.filters))
        return really_open(*args, **kwargs)

    monkeypatch.setattr(Image, "open", watched)
    read(tmp_path / "a.png")
    assert seen == [before]


def test_tiff_that_declares_too_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, GREY)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages[0].tags
        side = int(MAX_PIXELS**0.5) + 1
        for name in ("ImageWidth", "ImageLength"):
            tags[name].overwrite(side)
    with pytest.raises(ValueError, match=r"bomb\.tif.*too large.*declares 20001 x"):
        read_image(path)


@READERS
def test_animation(tmp_path: Path, read: Any) -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(GREY + 9)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match=r"a\.png.*holds 2 pictures"):
        read(tmp_path / "a.png")


@READERS
def test_stack_of_pages_says_how_to_store_channels(tmp_path: Path, read: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 9), np.uint8))
    with pytest.raises(ValueError, match=r"\(5, 8, 9\).*planarconfig='contig'"):
        read(tmp_path / "a.tif")


def test_tiff_with_two_pictures(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(np.zeros((8, 9), np.uint8))
        tiff.write(np.zeros((5, 4), np.uint8))
    with pytest.raises(ValueError, match="holds 2 pictures"):
        read_image(tmp_path / "a.tif")


def test_color_mask(tmp_path: Path) -> None:
    Image.fromarray(COLOR).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png.*3 channels.*colors_to_labels"):
        read_mask(tmp_path / "a.png")


def test_jpeg_mask(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg.*compression changes label values"):
        read_mask(tmp_path / "a.jpg")


def test_other_formats_of_pillow(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.gif")
    with pytest.raises(OSError, match=r"a\.gif.*expected one of PNG, JPEG, BMP, TIFF"):
        read_image(tmp_path / "a.gif")


def test_no_file_stays_open(tmp_path: Path) -> None:
    # An open file cannot be renamed on Windows; here Python warns when it is dropped.
    Image.fromarray(GREY).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 9), np.uint8))
    read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match="planarconfig"):
        read_image(tmp_path / "a.tif")
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("no list of open files on this system")
    names = [str(entry.resolve()) for entry in open_files.iterdir()]
    assert not [name for name in names if name.startswith(str(tmp_path))]


@READERS
def test_refused_files_are_closed(
    tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, really_open = [], Image.open

    def watched(*args: Any, **kwargs: Any) -> Any:
        opened.append(really_open(*args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(Image, "open", watched)
    frames = [Image.fromarray(GREY), Image.fromarray(GREY + 9)]
    frames[0].save(tmp_path / "two.png", save_all=True, append_images=frames[1:])
    with pytest.raises(ValueError, match="holds 2 pictures"):
        read(tmp_path / "two.png")
    monkeypatch.setattr("sksegment._inputs.image_files.MAX_PIXELS", 5)
    frames[0].save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="too large"):
        read(tmp_path / "large.png")
    assert [image.fp for image in opened] == [None, None]


# Real files


def test_voc_masks_are_class_ids(shared_data: Path) -> None:
    folder = shared_data / "voc_sample/VOCdevkit/VOC2012"
    masks = sorted((folder / "SegmentationClass").glob("*.png"))[:3]
    for path in masks:
        labels = set(np.unique(read_mask(path)).tolist())
        assert labels <= {*range(21), 255}
        photo = read_image(folder / "JPEGImages" / f"{path.stem}.jpg")
        assert photo.shape == (*read_mask(path).shape, 3)


def test_thirteen_bands(shared_data: Path) -> None:
    for path in (shared_data / "sentinel2_13band/images").glob("*.tif"):
        assert read_image(path).shape == (101, 100, 13)
        assert read_image(path).dtype == np.uint16
