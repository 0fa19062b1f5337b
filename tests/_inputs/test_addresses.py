"""Addresses of fsspec in the place of paths."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tifffile
from skimage.io import imsave

from sksegment import FCNSegmenter
from sksegment._inputs.addresses import checksum_at, is_address
from sksegment._inputs.image_files import read_image, read_mask
from sksegment._inputs.samples import as_samples
from sksegment._training.fingerprint import fingerprint
from sksegment.datasets import check_masks, make_shapes


@pytest.fixture(scope="module")
def shapes() -> tuple[np.ndarray, np.ndarray]:
    X, y = make_shapes(n_samples=3, size=32, n_classes=3, random_state=0)
    return (255 * X).astype(np.uint8), y.astype(np.uint8)


@pytest.fixture(params=["memory", "file", "zip"])
def places(
    request: pytest.FixtureRequest,
    shapes: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
) -> tuple[list[str], list[str]]:
    """Write images and masks somewhere; return their addresses."""
    X, y = shapes
    images, masks = [f"i{k}.png" for k in range(3)], [f"m{k}.tif" for k in range(3)]
    for name, image in zip(images, X, strict=True):
        imsave(tmp_path / name, image, check_contrast=False)
    for name, mask in zip(masks, y, strict=True):
        tifffile.imwrite(tmp_path / name, mask)
    prefix = {
        "file": f"file://{tmp_path}/",
        "memory": f"memory://{tmp_path.name}/",
        "zip": "zip://",
    }[request.param]
    suffix = f"::file://{tmp_path}/all.zip" if request.param == "zip" else ""
    if request.param == "zip":
        archive = fsspec.filesystem("zip", fo=str(tmp_path / "all.zip"), mode="w")
        for name in (*images, *masks):
            archive.pipe(name, (tmp_path / name).read_bytes())
        archive.close()
    if request.param == "memory":
        memory = fsspec.filesystem("memory")
        for name in (*images, *masks):
            memory.pipe(f"/{tmp_path.name}/{name}", (tmp_path / name).read_bytes())
    return tuple(
        [f"{prefix}{name}{suffix}" for name in names] for names in (images, masks)
    )  # type: ignore[return-value]


def segmenter(**parameters: Any) -> FCNSegmenter:
    return FCNSegmenter(depth=1, width=2, max_epochs=2, random_state=0, **parameters)


def test_addresses_learn_and_predict_as_arrays(
    places: tuple[list[str], list[str]], shapes: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = shapes
    images, masks = places
    model, plain = segmenter(), segmenter()
    model.fit(images, masks)
    plain.fit([*X], [*y])
    for found, expected in zip(model.predict(images), plain.predict(X), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert model.score(images, masks) == plain.score(X, y)
    assert check_masks(images, masks) == check_masks([*X], [*y])


def test_each_file_is_read_once_for_its_crops(
    shapes: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sksegment._inputs.image_files as module

    memory = fsspec.filesystem("memory")
    _, y = shapes
    addresses = []
    for index, mask in enumerate(y):
        place = Path("/tmp") / f"unused{index}.tif"
        memory.pipe(f"/crops/{place.name}", b"")
        with memory.open(f"/crops/{place.name}", "wb") as file:
            tifffile.imwrite(file, mask)
        addresses.append(f"memory://crops/{place.name}")
    reads: list[Any] = []
    read = module.read_label_channels

    def counted(path: Any) -> np.ndarray:
        reads.append(path)
        return read(path)

    monkeypatch.setattr(module, "read_label_channels", counted)
    segmenter(crop_size=8).fit([*shapes[0]], addresses)
    # Once for the survey, once for 2 epochs of 16 crops each.
    assert len(reads) <= 2 * len(addresses)


def test_what_is_an_address_and_what_a_path() -> None:
    for address in ("s3://b/a.png", "memory://a", "zip://a.png::s3://b/c.zip"):
        assert is_address(address)
    for path in ("a.png", "/data/a.png", r"C:\a.png", "C:/a.png", Path("s3://a")):
        assert not is_address(path)


def test_a_missing_file_and_an_unknown_protocol_are_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"memory://nowhere/a\.png"):
        read_image("memory://nowhere/a.png")
    with pytest.raises(OSError, match=r"Protocol not known.*foo://a\.png"):
        read_mask("foo://a.png")


def test_a_damaged_file_is_named() -> None:
    fsspec.filesystem("memory").pipe("/damaged.png", b"\x89PNG half")
    with pytest.raises(OSError, match=r"memory://damaged\.png"):
        read_image("memory://damaged.png")


def test_a_truncated_tiff_is_named() -> None:
    content = BytesIO()
    photo = np.zeros((32, 32), np.uint8)
    tifffile.imwrite(content, photo, compression="jpeg", metadata=None)
    fsspec.filesystem("memory").pipe("/cut.tif", content.getvalue()[:-9])
    with pytest.raises(OSError, match=r"memory:.* is truncated: .*'cut\.tif' ends"):
        read_image("memory://cut.tif")


def test_without_fsspec_the_line_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ImportError, match=r'pip install "sksegment\[remote\]"'):
        read_image("s3://bucket/a.png")


def test_a_changed_file_has_another_checksum(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/changing.png", b"one")
    before = checksum_at("memory://changing.png")
    assert checksum_at("memory://changing.png") == before
    memory.pipe("/changing.png", b"two")
    assert checksum_at("memory://changing.png") != before
    (tmp_path / "a.png").write_bytes(b"one")
    before = checksum_at(f"file://{tmp_path}/a.png")
    (tmp_path / "a.png").write_bytes(b"three")
    assert checksum_at(f"file://{tmp_path}/a.png") != before


def test_a_checkpoint_of_addresses_is_found_again_until_a_file_changes(
    shapes: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = shapes
    address = f"file://{tmp_path}/m.png"

    def name() -> str:
        samples = as_samples([X[0]], [address], None)
        return fingerprint({"callbacks": []}, 0, [samples], [], {})

    imsave(tmp_path / "m.png", y[0], check_contrast=False)
    before = name()
    assert name() == before
    imsave(tmp_path / "m.png", y[1], check_contrast=False)
    assert name() != before


def test_an_address_as_its_own_mask_is_refused(
    places: tuple[list[str], list[str]],
) -> None:
    _, masks = places
    with pytest.raises(ValueError, match="the same file"):
        segmenter().fit(masks, masks)
