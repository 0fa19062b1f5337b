"""TIFFs: what their own tags say is read, else the error names the cure."""

from __future__ import annotations

import struct
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from sksegment._inputs import image_files, tiff_files, tiff_segments
from sksegment._inputs.image_files import read_image, read_mask
from sksegment._inputs.tiff_segments import decode_series, has_zstd
from sksegment.datasets import load_stack

RNG = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings(
    "ignore::rasterio.errors.NotGeoreferencedWarning"
)
GREY = RNG.integers(0, 200, (37, 45), dtype=np.uint8)
RGB = RNG.integers(0, 250, (37, 45, 3), dtype=np.uint8)
FOUR = np.dstack([RGB, GREY])
LABELS = RNG.integers(0, 4, (37, 45), dtype=np.uint8)
# Pillow 11 brings a libtiff without Zstandard.
CODECS = pytest.mark.parametrize(
    "codec", ["NONE", "LZW", "DEFLATE", *(["ZSTD"] if has_zstd() else [])]
)
READERS = pytest.mark.parametrize("read", [read_image, read_mask])


@pytest.fixture(params=["imagecodecs", "libtiff"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read as with imagecodecs, and as where tifffile can decode nothing."""
    if request.param == "libtiff":
        monkeypatch.setattr(
            tifffile.TiffPageSeries, "asarray", lambda series: decode_series(series)
        )
    return str(request.param)


def write_gdal(path: Path, pixels: Any, **options: Any) -> None:
    bands = pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    count, height, width = bands.shape
    shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with rasterio.open(path, "w", driver="GTiff", **shape, **options) as file:
        file.write(bands)


# Photometric interpretation


@CODECS
@READERS
@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_white_is_zero_gives_the_stored_numbers(
    tmp_path: Path, decoder: str, read: Any, codec: str, dtype: str
) -> None:
    pixels = GREY.astype(dtype)
    write_gdal(tmp_path / "a.tif", pixels, compress=codec, photometric="MINISWHITE")
    assert_array_equal(read(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize("codec", ["group3", "group4", "tiff_ccitt", "tiff_lzw", None])
@pytest.mark.parametrize("photometric", [0, 1])
def test_fax_codecs_of_pillow(
    tmp_path: Path, decoder: str, codec: Any, photometric: int
) -> None:
    tags = {262: photometric}
    Image.fromarray(GREY > 100).save(
        tmp_path / "a.tif", compression=codec, tiffinfo=tags
    )
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        is_white_zero = tiff.pages[0].photometric == 0
    # Pillow stores what suits the tag; the stored bits are what is read.
    expected = (GREY > 100) != is_white_zero
    assert_array_equal(read_mask(tmp_path / "a.tif"), expected)


@CODECS
def test_cmyk_keeps_its_four_channels(tmp_path: Path, decoder: str, codec: str) -> None:
    write_gdal(tmp_path / "a.tif", FOUR, compress=codec, photometric="CMYK")
    assert_array_equal(read_image(tmp_path / "a.tif"), FOUR)


@pytest.mark.parametrize("scale", [1, 257], ids=["8 bits", "16 bits"])
@pytest.mark.parametrize("codec", [None, "lzw"])
def test_palettes_of_8_and_16_bits(
    tmp_path: Path, decoder: str, codec: Any, scale: int
) -> None:
    colors = RNG.integers(1, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", GREY, colormap=colors * scale, compression=codec
    )
    assert_array_equal(read_image(tmp_path / "a.tif"), colors.T[GREY])
    assert_array_equal(read_mask(tmp_path / "a.tif"), GREY)


@pytest.mark.parametrize(
    "read, axes", [(read_image, "CYX"), (load_stack, "ZCYX")], ids=["photo", "stack"]
)
def test_palette_colors_of_several_channels_are_refused_by_name(
    tmp_path: Path, read: Any, axes: str
) -> None:
    pages = np.stack([GREY, 199 - GREY])
    pages = pages if axes == "CYX" else np.stack([pages] * 3)
    colors = RNG.integers(0, 65_536, (3, 256)).astype(np.uint16)
    options: Any = {"photometric": "palette", "colormap": colors}
    tifffile.imwrite(tmp_path / "odd.tif", pages, metadata={"axes": axes}, **options)
    with pytest.raises(OSError, match=r"odd\.tif' holds palette colors with further"):
        read(tmp_path / "odd.tif")


@pytest.mark.parametrize("n_bits", [1, 2, 4])
def test_palettes_of_few_colors(tmp_path: Path, decoder: str, n_bits: int) -> None:
    few = GREY % 2**n_bits
    colors = {value: (15 * value + 9, value, 250 - value, 255) for value in range(16)}
    profile = {"count": 1, "height": 37, "width": 45, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", nbits=n_bits, photometric="PALETTE",
        compress="LZW", **profile,
    ) as file:  # fmt: skip
        file.write_colormap(1, {value: colors[value] for value in range(2**n_bits)})
        file.write(few[np.newaxis])
    assert_array_equal(read_mask(tmp_path / "a.tif"), few)
    expected = np.array([colors[value][:3] for value in range(16)])[few]
    assert_array_equal(read_image(tmp_path / "a.tif"), expected)


@pytest.mark.parametrize("name", ["ycbcr", "cielab"])
def test_colors_of_other_kinds_are_refused_by_name(tmp_path: Path, name: Any) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric=name)
    with pytest.raises(OSError, match=r"a\.tif' holds (YCbCr|CIE L\*a\*b\*) colors"):
        read_image(tmp_path / "a.tif")


def test_channels_of_different_bits_are_refused_by_name(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb")
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        tiff.pages[0].tags["BitsPerSample"].overwrite((5, 6, 5))
    with pytest.raises(OSError, match=r"different numbers of bits \(5, 6, 5\)"):
        read_image(tmp_path / "a.tif")


def test_whole_numbers_of_24_bits_are_refused_by_name(tmp_path: Path) -> None:
    write_gdal(tmp_path / "a.tif", GREY.astype(np.uint32), nbits=24)
    with pytest.raises(OSError, match="whole numbers of 24 bits"):
        read_image(tmp_path / "a.tif")


# Pages beside the picture


@CODECS
def test_overviews_and_mask_of_gdal_are_passed_over(
    tmp_path: Path, decoder: str, codec: str
) -> None:
    path = tmp_path / "a.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write_gdal(path, RGB, compress=codec, photometric="RGB")
        with rasterio.open(path, "r+") as file:
            file.write_mask(GREY > 100)
            file.build_overviews([2, 4])
    assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("codec", [None, "lzw", "deflate"])
def test_preview_page_is_passed_over(tmp_path: Path, decoder: str, codec: Any) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(RGB, photometric="rgb", compression=codec)
        tiff.write(RGB[::2, ::2], photometric="rgb", compression=codec, subfiletype=1)
    assert_array_equal(read_image(tmp_path / "a.tif"), RGB)


@CODECS
def test_tiles_that_were_never_written_are_nodata(
    tmp_path: Path, decoder: str, codec: str
) -> None:
    path = tmp_path / "a.tif"
    shape = {"count": 1, "height": 100, "width": 90, "dtype": "uint8"}
    tiles = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True}
    with rasterio.open(
        path, "w", driver="GTiff", compress=codec, nodata=7, **shape, **tiles
    ) as file:
        file.write(GREY[np.newaxis, :16, :16], window=((0, 16), (0, 16)))
    with rasterio.open(path) as file:
        assert_array_equal(read_image(path), file.read(1))


# Pictures in several pages and files


@pytest.mark.parametrize("codec", [None, "lzw", "zlib"])
@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_channels_of_ome_and_imagej(
    tmp_path: Path, decoder: str, kind: str, codec: Any
) -> None:
    bands = RNG.integers(0, 60_000, (3, 37, 45)).astype(np.uint16)
    options: Any = {kind: True, "metadata": {"axes": "CYX"}}
    tifffile.imwrite(tmp_path / "a.tif", bands, compression=codec, **options)
    assert_array_equal(read_image(tmp_path / "a.tif"), np.moveaxis(bands, 0, -1))


def two_file_picture(
    folder: Path,
    codec: Any = None,
    names: tuple[str, str] = ("red.ome.tif", "green.ome.tif"),
) -> Any:
    """Write an OME picture of two channels, each in a file of its own."""
    bands = np.stack([GREY, 199 - GREY])
    plane = (
        '<TiffData IFD="0" FirstC="{0}"><UUID FileName="{1}">urn:uuid:{2}</UUID>'
        "</TiffData>"
    )
    planes = "".join(plane.format(c, escape(name), c) for c, name in enumerate(names))
    for number, name in enumerate(names):
        text = (
            f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscop'
            f'y.org/Schemas/OME/2016-06" UUID="urn:uuid:{number}"><Image ID="Image:0">'
            f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="45" '
            f'SizeY="37" SizeC="2" SizeZ="1" SizeT="1">{planes}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            folder / name,
            bands[number],
            description=text,
            metadata=None,
            compression=codec,
        )
    return np.moveaxis(bands, 0, -1)


@pytest.mark.parametrize("codec", [None, "lzw"])
def test_channels_in_companion_files(tmp_path: Path, decoder: str, codec: Any) -> None:
    expected = two_file_picture(tmp_path, codec)
    for name in ("red", "green"):
        assert_array_equal(read_image(tmp_path / f"{name}.ome.tif"), expected)


def test_companion_files_with_names_that_xml_escapes(tmp_path: Path) -> None:
    names = ("John's A&B.ome.tif", "John's C&amp;D.ome.tif")
    expected = two_file_picture(tmp_path, names=names)
    for name in names:
        assert_array_equal(read_image(tmp_path / name), expected)
    (tmp_path / names[1]).unlink()
    with pytest.raises(OSError, match=r"parts in \"John's C&amp;D\.ome\.tif\" are"):
        read_image(tmp_path / names[0])


@READERS
def test_a_missing_companion_file_is_named(tmp_path: Path, read: Any) -> None:
    two_file_picture(tmp_path)
    (tmp_path / "green.ome.tif").unlink()
    with pytest.raises(OSError, match=r"red\.ome\.tif' is part.*'green\.ome\.tif' are"):
        read(tmp_path / "red.ome.tif")


def test_a_first_companion_file_that_is_missing_is_named(tmp_path: Path) -> None:
    two_file_picture(tmp_path)
    (tmp_path / "red.ome.tif").unlink()
    with pytest.raises(OSError, match=r"green\.ome\.tif' is part.*'red\.ome\.tif' are"):
        read_image(tmp_path / "green.ome.tif")


def test_a_renamed_ome_file_lacks_nothing(tmp_path: Path) -> None:
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:1"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder='
        '"XYCZT" Type="uint8" SizeX="45" SizeY="37" SizeC="1" SizeZ="1" SizeT="1">'
        '<TiffData IFD="0" PlaneCount="1"><UUID FileName="first_name.ome.tif">'
        "urn:uuid:1</UUID></TiffData></Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "b.ome.tif", GREY, description=text, metadata=None)
    assert_array_equal(read_image(tmp_path / "b.ome.tif"), GREY)


def test_binary_only_file_names_its_metadata(tmp_path: Path) -> None:
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        '<BinaryOnly MetadataFile="A&amp;B.companion.ome" UUID="urn:uuid:1"/></OME>'
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", GREY, description=text, metadata=None)
    with pytest.raises(OSError, match=r"'A&B\.companion\.ome'"):
        read_image(tmp_path / "a.ome.tif")


# Stacks


def stack_of_tifffile(path: Path, n: int = 4) -> Any:
    pages = RNG.integers(0, 250, (n, 37, 45)).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # tifffile's own guess
        tifffile.imwrite(path, pages)
    return pages


def test_four_grey_slices_that_the_tags_call_channels(tmp_path: Path) -> None:
    pages = stack_of_tifffile(tmp_path / "a.tif")
    with pytest.warns(
        UserWarning, match=r"a\.tif.*one picture of 4 channels.*load_stack"
    ):
        found = read_image(tmp_path / "a.tif")
    assert_array_equal(found, np.moveaxis(pages, 0, -1))
    assert_array_equal(load_stack(tmp_path / "a.tif"), pages)


@pytest.mark.parametrize("codec", [None, "lzw"])
@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "minisblack"},
        {"imagej": True},
        {"ome": True},
        {"imagej": True, "metadata": {"axes": "ZYX"}},
    ],
    ids=["plain", "imagej channels", "ome", "imagej slices"],
)
def test_pages_of_a_stack_are_images(
    tmp_path: Path, decoder: str, options: Any, codec: Any
) -> None:
    pages = RNG.integers(0, 60_000, (5, 37, 45)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, compression=codec, **options)
    found = load_stack(tmp_path / "a.tif")
    assert found.dtype == np.uint16
    assert_array_equal(found, pages)


def test_stack_of_colored_pages(tmp_path: Path) -> None:
    pages = np.stack([RGB, 255 - RGB])
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb")
    assert_array_equal(load_stack(tmp_path / "a.tif"), pages)


def test_channels_of_a_stack_of_slices_stay_channels(tmp_path: Path) -> None:
    pages = RNG.integers(0, 60_000, (3, 2, 37, 45)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True, metadata={"axes": "ZCYX"})
    assert_array_equal(load_stack(tmp_path / "a.tif"), np.moveaxis(pages, 1, -1))


def test_pages_that_were_written_one_by_one(tmp_path: Path) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(199 - GREY)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert_array_equal(load_stack(tmp_path / "a.tif"), np.stack([GREY, 199 - GREY]))
    assert_array_equal(load_stack(str(tmp_path / "a.tif")).shape, (2, 37, 45))


def test_stack_of_a_single_page(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    assert_array_equal(load_stack(tmp_path / "a.tif"), GREY[np.newaxis])


def test_pages_of_different_sizes_are_no_stack(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY)
        tiff.write(GREY[:9])
    with pytest.raises(
        ValueError, match=r"\(37, 45\) and \(9, 45\); expected one shape"
    ):
        load_stack(tmp_path / "a.tif")


def test_a_row_of_numbers_is_no_stack(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "row.tif", np.arange(50, dtype=np.uint8))
    message = r"row\.tif' holds an array of shape \(50,\) with axes 'X'; expected pages"
    with pytest.raises(ValueError, match=message):
        load_stack(tmp_path / "row.tif")


def test_stack_that_is_no_tiff(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png' is not a TIFF"):
        load_stack(tmp_path / "a.png")
    with pytest.raises(TypeError, match=r"path is \['a\.tif'\]; expected one path"):
        load_stack(["a.tif"])


def test_refused_stack_names_the_function_for_it(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 8, 9), np.uint8))
    with pytest.raises(ValueError, match=r"datasets\.load_stack"):
        read_image(tmp_path / "a.tif")


# Codecs


def test_jpeg_photos_are_the_same_without_imagecodecs(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    y, x = np.mgrid[:64, :96]
    photo = np.dstack([x + y, 2 * x, 255 - y]).astype(np.uint8)
    for number, (bands, options) in enumerate(
        [
            (photo, {"photometric": "YCBCR"}),
            (
                photo,
                {
                    "photometric": "RGB",
                    "tiled": True,
                    "blockxsize": 32,
                    "blockysize": 16,
                },
            ),
            (photo[..., 0], {}),
            (photo, {"interleave": "band"}),
        ]
    ):
        path = tmp_path / f"{number}.tif"
        write_gdal(path, bands, compress="JPEG", **options)
        found = read_image(path)
        with tifffile.TiffFile(path) as tiff:
            plain = decode_series(tiff.series[0])
        # Where its photometric tag is RGB, imagecodecs cannot read separate planes.
        planar = options.get("interleave") == "band"
        assert_array_equal(np.moveaxis(plain, 0, -1) if planar else plain, found)
        assert abs(found.astype(int) - bands).mean() < 3


WITHOUT = """
import sys
sys.modules["imagecodecs"] = None
from sksegment._inputs.image_files import read_mask
read_mask(sys.argv[1])
"""


def test_a_file_that_needs_a_codec_is_not_called_damaged(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="jpeg2000")
    assert_array_equal(read_mask(tmp_path / "a.tif"), GREY)
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, tmp_path / "a.tif"],
        capture_output=True,
        text=True,
    )
    last_line = ended.stderr.splitlines()[-1]
    assert last_line.startswith("OSError: ")
    assert "a.tif' needs a codec" in last_line
    assert "pip install imagecodecs" in last_line
    assert "damaged" not in last_line


def test_a_libtiff_without_zstandard_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gdal(tmp_path / "a.tif", GREY, compress="ZSTD")
    monkeypatch.setattr(tiff_segments, "has_zstd", lambda: False)
    with (
        tifffile.TiffFile(tmp_path / "a.tif") as tiff,
        pytest.raises(tiff_segments.MissingCodecError, match="ZSTD compression"),
    ):
        decode_series(tiff.series[0])


@pytest.mark.parametrize("codec", ["lzw", "deflate", "jpeg"])
def test_damaged_strips_are_named(tmp_path: Path, decoder: str, codec: Any) -> None:
    path = tmp_path / "hit.tif"
    tifffile.imwrite(path, GREY, compression=codec, metadata=None)
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages[0].dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = b"\x5a" * 40
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"hit\.tif' cannot be decoded; is it damaged"):
        read_image(path)


TRUNCATED = r"cut\.tif' is truncated: .* ends at byte \d+\. Copy or download it again"


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "jpeg", "rowsperstrip": 256},
        {"compression": "jpeg", "rowsperstrip": 8},
        {"compression": "jpeg", "tile": (16, 16)},
        {"compression": "lzw"},
        {"tile": (16, 16)},
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("read", [read_image, load_stack])
def test_truncated_files_are_named(tmp_path: Path, read: Any, options: Any) -> None:
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", metadata=None, **options)
    assert read(path).size == RGB.size
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OSError, match=TRUNCATED):
        read(path)


def test_a_truncated_later_page_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    with tifffile.TiffWriter(path) as tiff:
        for page in (RGB, 255 - RGB):
            tiff.write(page, photometric="rgb", compression="jpeg", metadata=None)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(OSError, match=TRUNCATED):
        load_stack(path)


def test_a_truncated_companion_file_is_named(tmp_path: Path) -> None:
    two_file_picture(tmp_path, "lzw")
    path = tmp_path / "green.ome.tif"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(OSError, match=r"red.*' is truncated: .*'green\.ome\.tif' ends"):
        read_image(tmp_path / "red.ome.tif")


# Lossy masks


def lossy_files() -> dict[str, Callable[[Path], None]]:
    colors = np.dstack([LABELS * 60] * 3)

    def by_tifffile(pixels: Any, **options: Any) -> Callable[[Path], None]:
        return lambda path: tifffile.imwrite(path, pixels, metadata=None, **options)

    return {
        "JPEG": by_tifffile(LABELS * 60, compression="jpeg"),
        "JPEG of Pillow": lambda path: Image.fromarray(LABELS * 60).save(
            path, compression="jpeg", quality=95
        ),
        "lossy JPEG 2000": by_tifffile(
            LABELS * 60, compression="jpeg2000", compressionargs={"level": 40}
        ),
        "lossy WebP": by_tifffile(
            colors, compression="webp", compressionargs={"level": 60, "lossless": False}
        ),
        "LERC": by_tifffile(
            LABELS * 60, compression="lerc", compressionargs={"level": 3.0}
        ),
        "JPEG XL": by_tifffile(
            LABELS * 60, compression="jpegxl", compressionargs={"distance": 2.0}
        ),
    }


@pytest.mark.parametrize("kind", lossy_files())
def test_lossy_masks_are_refused_by_name(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("imagecodecs")
    path = tmp_path / "mask.tif"
    lossy_files()[kind](path)
    named = kind.removesuffix(" of Pillow")
    with pytest.raises(ValueError, match=rf"mask\.tif.*{named}.*changes label values"):
        read_mask(path)
    assert read_image(path).shape[:2] == LABELS.shape  # as a photo it is fine


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "jpeg2000"},
        {"compression": "lerc"},
        {"compression": "lerc", "compressionargs": {"compression": "deflate"}},
        {"compression": "lerc", "compressionargs": {"compression": "zstd"}},
        {"compression": "png"},
    ],
    ids=["JPEG 2000", "LERC", "LERC in deflate", "LERC in Zstandard", "PNG"],
)
def test_lossless_masks_of_the_same_codecs_are_read(
    tmp_path: Path, options: Any
) -> None:
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(tmp_path / "a.tif", LABELS, metadata=None, **options)
    assert_array_equal(read_mask(tmp_path / "a.tif"), LABELS)


# Limits


def tampered(path: Path, **tags: int) -> Path:
    """Write a small file that declares other sizes."""
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(16, 16), metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name, value in tags.items():
            tiff.pages[0].tags[name].overwrite(value)
    return path


@pytest.mark.parametrize("tag", ["ImageWidth", "TileWidth"])
@pytest.mark.parametrize("read", [read_image, read_mask, load_stack])
def test_declared_sizes_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any, tag: str
) -> None:
    path = tampered(tmp_path / "bomb.tif", **{tag: 400_000_000})

    def no_decoding(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(tiff_files, "_pixels", no_decoding)
    with pytest.raises(ValueError, match=r"bomb\.tif' is too large.*the limit is"):
        read(path)


def test_many_large_pages_are_refused_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((80, 8, 9), np.uint8))
    monkeypatch.setattr(image_files, "MAX_PIXELS", 72)
    with pytest.raises(ValueError, match=r"a\.tif' is too large.*\(80, 8, 9\)"):
        load_stack(tmp_path / "a.tif")


@pytest.mark.parametrize("codec", ["deflate", "lzma"])
def test_strips_expand_to_no_more_than_their_tags_declare(
    tmp_path: Path, codec: Any
) -> None:
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, np.zeros((4000, 5000), np.uint8), compression=codec)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageLength", "RowsPerStrip"):
            tiff.pages[0].tags[name].overwrite(3)
    with tifffile.TiffFile(path) as tiff:
        tracemalloc.start()
        decode_series(tiff.series[0])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    # 20 million bytes are in the strip, and 8 million in the dictionary of LZMA.
    assert peak < 12_000_000


@READERS
def test_sizes_that_jpeg_data_declare_are_refused(tmp_path: Path, read: Any) -> None:
    pytest.importorskip("imagecodecs")
    path = tmp_path / "bomb.tif"
    tifffile.imwrite(path, GREY, compression="jpeg", metadata=None)
    content = path.read_bytes()
    frame = content.index(b"\xff\xc0")
    size = struct.pack(">HH", 40_000, 50_000)
    path.write_bytes(content[: frame + 5] + size + content[frame + 9 :])
    with pytest.raises(ValueError, match=r"bomb\.tif' is too large.*40000 x 50000"):
        read(path)


def test_a_file_without_pixels_is_named(tmp_path: Path) -> None:
    path = tmp_path / "empty.tif"
    tifffile.imwrite(path, GREY, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["ImageLength"].overwrite(0)
    for read in (read_image, read_mask, load_stack):
        with pytest.raises(OSError, match=r"empty\.tif"):
            read(path)


def test_tags_that_make_no_sense_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "MAX_PIXELS", 100_000)  # decoding zeros is slow
    rng = np.random.default_rng(0)
    path = tmp_path / "hit.tif"
    tifffile.imwrite(path, RGB, compression="lzw", photometric="rgb", tile=(16, 16))
    whole, n_refused = path.read_bytes(), 0
    for _ in range(100):
        damaged = bytearray(whole)
        for place in rng.integers(0, 300, 4):  # the tags lie first
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        for read in (read_image, read_mask, load_stack):
            try:
                read(path)
            except (OSError, ValueError) as error:
                assert "hit.tif" in str(error)  # noqa: PT017 (some are good)
                n_refused += 1
    assert n_refused > 50


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_planar_files_and_stacks(
    tmp_path: Path, decoder: str, orientation: int
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(FOUR, -1, 0),
        photometric="minisblack",
        planarconfig="separate",
        compression="lzw",
        extratags=[(274, 3, 1, orientation, True)],
        metadata=None,
    )
    exif = Image.Exif()
    exif[274] = orientation
    for channel, expected in enumerate(np.moveaxis(FOUR, -1, 0)):
        Image.fromarray(expected).save(tmp_path / "b.png", exif=exif)
        upright = read_image(tmp_path / "b.png")
        assert_array_equal(read_image(tmp_path / "a.tif")[..., channel], upright)
        assert_array_equal(load_stack(tmp_path / "a.tif")[channel], upright)
