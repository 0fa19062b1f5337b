"""TIFFs of tifffile and GDAL, whatever their codec: the arrays they were made from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from numpy.testing import assert_array_equal
from rasterio.errors import RasterioError

from sksegment._inputs.image_files import read_image, read_mask
from sksegment._inputs.tiff_segments import has_zstd

HEIGHT, WIDTH = 37, 45  # no whole number of strips or tiles
LOSSLESS_CODECS = {
    "tifffile": "NONE LZW DEFLATE PACKBITS ZSTD LZMA JPEG2000 JPEGXL LERC WEBP PNG",
    "gdal": (
        "NONE LZW DEFLATE PACKBITS ZSTD LZMA LERC WEBP LERC_ZSTD LERC_DEFLATE "
        "CCITTRLE CCITTFAX3 CCITTFAX4"
    ),
}
WITH_PREDICTOR = ("LZW", "DEFLATE", "ZSTD")
# What only imagecodecs decodes: without it, these are refused, and no others.
NEED_IMAGECODECS = ["JPEG2000", "JPEGXL", "LERC", "WEBP", "PNG"]
if not has_zstd():  # the libtiff of Pillow 11
    NEED_IMAGECODECS.append("ZSTD")
FULL_BITS = ["bool", "u1", "i1", "u2", "i2", "u4", "i4", "f2", "f4", "f8"]
FEW_BITS = [
    *(("u1", n_bits) for n_bits in range(1, 8)),
    *(("u2", n_bits) for n_bits in range(9, 16)),
    *(("u4", n_bits) for n_bits in (17, 20, 31)),
]

# The writer, dtype, bits, bands, codec, predictor, planar?, tiles?
Kind = tuple[str, str, int | None, int, str, int, bool, bool]

READ_ALL = """
import sys
from pathlib import Path
sys.modules["imagecodecs"] = None
import numpy as np
from sksegment._inputs.image_files import read_image
for path in Path(sys.argv[1]).glob("*.tif"):
    try:
        np.save(path.with_suffix(".npy"), read_image(path))
    except OSError as error:
        path.with_suffix(".txt").write_text(str(error))
"""


def kinds_of_files() -> Iterator[Kind]:
    depths = {"tifffile": [(dtype, None) for dtype in FULL_BITS]}
    depths["gdal"] = [*depths["tifffile"], *FEW_BITS]
    no_yes = (False, True)
    for writer, codecs in LOSSLESS_CODECS.items():
        for (dtype, n_bits), n_bands, codec, has_predictor, planar, tiles in product(
            depths[writer], range(1, 6), codecs.split(), no_yes, no_yes, no_yes
        ):
            can_predict = codec in WITH_PREDICTOR and n_bits is None and dtype != "bool"
            if has_predictor > can_predict or planar > (n_bands > 1):
                continue
            predictor = (3 if dtype[0] == "f" else 2) if has_predictor else 1
            yield writer, dtype, n_bits, n_bands, codec, predictor, planar, tiles


def pixels_of(dtype: str, n_bits: int | None, n_bands: int) -> Any:
    """Noise beside one even area, over all values that the bits can hold."""
    rng = np.random.default_rng(n_bands)
    shape = (HEIGHT, WIDTH, n_bands)
    if dtype == "bool":
        pixels = rng.random(shape) > 0.7
    elif dtype[0] == "f":
        pixels = rng.normal(size=shape) * 1000
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        high = high if n_bits is None else 2**n_bits - 1
        pixels = rng.integers(low, high, shape, dtype=np.int64, endpoint=True)
    pixels[: HEIGHT // 2, : WIDTH // 2] = pixels[0, 0]
    return pixels.astype(dtype)


def write(path: Path, kind: Kind) -> Any:
    """Write a file; return its pixels, or None if the writer does not make it."""
    writer, dtype, n_bits, n_bands, *_ = kind
    pixels = pixels_of(dtype, n_bits, n_bands)
    made = (write_gdal if writer == "gdal" else write_tifffile)(path, pixels, kind)
    if not made:
        path.unlink(missing_ok=True)
        return None
    return pixels[..., 0] if n_bands == 1 else pixels


def write_tifffile(path: Path, pixels: Any, kind: Kind) -> bool:
    _, dtype, _, n_bands, codec, predictor, planar, tiles = kind
    is_big = n_bands % 2 == 1
    # imagecodecs, or tifffile, writes other numbers than it was given.
    if codec == "JPEG2000" and (is_big or dtype in ("u4", "i4")):
        return False
    if dtype == "bool" and n_bands > 1 and not planar:
        return False
    options: dict[str, Any] = {"tile": (16, 32)} if tiles else {"rowsperstrip": 10}
    if n_bands > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    stored = np.moveaxis(pixels, -1, 0) if planar else pixels
    try:
        tifffile.imwrite(
            path,
            pixels[..., 0] if n_bands == 1 else stored,
            photometric="rgb" if n_bands == 3 and dtype == "u1" else "minisblack",
            compression=None if codec == "NONE" else codec,
            predictor=predictor if predictor > 1 else None,
            byteorder=">" if is_big else "<",
            bigtiff=n_bands == 5,
            metadata=None,
            **options,
        )
    except (ValueError, KeyError, RuntimeError):
        return False  # the codec does not take these numbers or bands
    return True


def write_gdal(path: Path, pixels: Any, kind: Kind) -> bool:
    _, dtype, n_bits, n_bands, codec, predictor, planar, tiles = kind
    if dtype in ("bool", "f2") or (codec.startswith("CCITT") and n_bits != 1):
        return False
    options: dict[str, Any] = {
        "compress": codec,
        "interleave": "pixel",
        "blockysize": 10,
    }
    if tiles:
        options |= {"tiled": True, "blockxsize": 32, "blockysize": 16}
    if planar:
        options["interleave"] = "band"
    if n_bits is not None:
        options["nbits"] = n_bits
    if predictor > 1:
        options["predictor"] = predictor
    if codec == "WEBP":
        options["webp_lossless"] = "YES"
    options["bigtiff"] = "YES" if n_bands == 5 else "NO"
    options["endianness"] = "BIG" if n_bands % 2 else "LITTLE"
    bands = np.moveaxis(pixels, -1, 0)
    shape = {"height": HEIGHT, "width": WIDTH, "count": n_bands}
    try:
        with rasterio.open(
            path, "w", driver="GTiff", dtype=pixels.dtype.name, **shape, **options
        ) as file:
            file.write(bands)
        with rasterio.open(path) as file:
            # It packs few bits, and big-endian floats, wrongly under LERC and WebP.
            return bool(np.array_equal(file.read(), bands))
    except RasterioError:
        return False


def write_grid(folder: Path, step: int) -> dict[Path, tuple[Kind, Any]]:
    """Write every `step`-th kind of file."""
    files = {}
    for number, kind in enumerate(islice(kinds_of_files(), 0, None, step)):
        path = folder / f"{number}.tif"
        pixels = write(path, kind)
        if pixels is not None:
            files[path] = kind, pixels
    return files


def check_same(found: Any, expected: Any, kind: Kind) -> None:
    assert_array_equal(found, expected, err_msg=str(kind))
    if kind[1] != "bool" and kind[2] != 1:  # what has one bit is read as bool
        assert found.dtype == expected.dtype.newbyteorder("="), kind


def check_mask(path: Path, pixels: Any, kind: Kind) -> None:
    if "JPEGXL" in kind:  # nothing tells whether it is lossless
        with pytest.raises(ValueError, match=r"JPEG XL.*changes label values"):
            read_mask(path)
    else:
        check_same(read_mask(path), pixels, kind)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    "step, least",
    [(61, 60), pytest.param(5, 850, marks=pytest.mark.slow)],
    ids=["some", "all"],
)
def test_pixels_depend_neither_on_compression_nor_on_what_is_installed(
    tmp_path: Path, step: int, least: int
) -> None:
    pytest.importorskip("imagecodecs")
    files = write_grid(tmp_path, step)
    assert len(files) >= least
    subprocess.run([sys.executable, "-c", READ_ALL, tmp_path], check=True, timeout=300)
    for path, (kind, pixels) in files.items():
        check_same(read_image(path), pixels, kind)
        if pixels.ndim == 2:
            check_mask(path, pixels, kind)
        refusal = path.with_suffix(".txt")
        if refusal.exists():
            assert kind[4].split("_")[0] in NEED_IMAGECODECS, kind
            assert "pip install imagecodecs" in refusal.read_text()
        else:
            check_same(np.load(path.with_suffix(".npy")), pixels, kind)
