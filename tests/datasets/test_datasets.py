"""The synthetic shapes, and the loaders of folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.metrics import jaccard_score
from sklearn.tree import DecisionTreeClassifier

from sksegment._inputs.image_files import read_image, read_mask
from sksegment.datasets import load_image_pairs, load_voc, make_shapes
from sksegment.datasets._shapes import MAX_CLASSES

# make_shapes


@pytest.mark.parametrize("size, shape", [(32, (32, 32)), ((24, 40), (24, 40))])
def test_shapes_have_the_promised_form(size: Any, shape: tuple[int, int]) -> None:
    X, y = make_shapes(5, size=size, random_state=0)
    assert (X.shape, X.dtype) == ((5, *shape, 3), np.float32)
    assert (y.shape, y.dtype) == ((5, *shape), np.uint8)
    assert X.min() >= 0
    assert X.max() <= 1
    assert X.std() > 0.1


@pytest.mark.parametrize("n_classes", range(2, MAX_CLASSES + 1))
def test_every_class_occurs_in_few_pictures(n_classes: int) -> None:
    _, y = make_shapes(n_classes - 1, n_classes=n_classes, random_state=0)
    assert_array_equal(np.unique(y), np.arange(n_classes))


def test_same_seed_same_data_other_seed_other_data() -> None:
    first, again, other = (make_shapes(3, random_state=s) for s in (1, 1, 2))
    assert_array_equal(first[0], again[0])
    assert_array_equal(first[1], again[1])
    assert (first[1] != other[1]).any()


def test_a_longer_series_begins_like_a_shorter_one() -> None:
    short, long = (make_shapes(n, random_state=3) for n in (2, 4))
    assert_array_equal(short[0], long[0][:2])
    assert_array_equal(short[1], long[1][:2])
    assert (long[1][2] != long[1][0]).any()


def test_random_state_instance_moves_on() -> None:
    rng = np.random.RandomState(0)
    _, first = make_shapes(2, random_state=rng)
    _, second = make_shapes(2, random_state=rng)
    assert (first != second).any()
    _, again = make_shapes(2, random_state=np.random.RandomState(0))
    assert_array_equal(first, again)


def test_global_generator_is_neither_read_nor_moved() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    _, first = make_shapes(2)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    _, second = make_shapes(2)
    assert (first != second).any()


def test_noise_is_the_standard_deviation() -> None:
    clean, y = make_shapes(4, noise=0.0, random_state=0)
    noisy, y_noisy = make_shapes(4, noise=0.1, random_state=0)
    assert_array_equal(y, y_noisy)
    # Where clipping to 0..1 can hardly reach.
    middle = (clean > 0.45) & (clean < 0.55)
    assert (noisy - clean)[middle].std() == pytest.approx(0.1, rel=0.05)


def test_objects_are_moderately_large() -> None:
    _, y = make_shapes(40, n_classes=8, random_state=0)
    covered = (y > 0).mean(axis=(1, 2))
    assert covered.min() > 0.01
    assert covered.max() < 0.6
    assert 0.1 < covered.mean() < 0.4


def test_objects_differ_from_the_background_next_to_them() -> None:
    X, y = make_shapes(20, noise=0.0, n_classes=2, random_state=0)
    for image, mask in zip(X, y, strict=True):
        background = np.median(image[mask == 0], axis=0)
        distance = np.linalg.norm(image[mask == 1] - background, axis=1)
        assert np.median(distance) > 0.25


def test_single_pixels_do_not_tell_the_class() -> None:
    X, y = make_shapes(80, random_state=0)
    tree = DecisionTreeClassifier(min_samples_leaf=50, random_state=0)
    tree.fit(X[:60].reshape(-1, 3), y[:60].ravel())
    predicted = tree.predict(X[60:].reshape(-1, 3))
    assert jaccard_score(y[60:].ravel(), predicted, average="macro") < 0.82


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        (
            {"n_classes": 9},
            ValueError,
            "n_classes is 9; .* 2 and at most 8",
        ),
        ({"n_classes": 1}, ValueError, "n_classes is 1"),
        ({"n_classes": 2.5}, TypeError, "n_classes is 2.5"),
        ({"n_samples": 0}, ValueError, "n_samples is 0; expected .* at least 1"),
        ({"n_samples": "3"}, TypeError, "n_samples is '3'"),
        ({"n_samples": True}, TypeError, "n_samples is True"),
        ({"size": 4}, ValueError, "size is 4; expected .* at least 8"),
        ({"size": (64, 3)}, ValueError, r"size is \(64, 3\)"),
        ({"size": (64, 64, 3)}, TypeError, r"size is \(64, 64, 3\); .*height, width"),
        ({"size": 64.0}, TypeError, "size is 64.0"),
        ({"noise": -0.1}, ValueError, "noise is -0.1"),
        ({"noise": np.nan}, ValueError, "noise is nan"),
        ({"noise": "much"}, TypeError, "noise is 'much'"),
        ({"random_state": "x"}, ValueError, "random_state is 'x'; expected an integer"),
    ],
)
def test_bad_parameters_are_named(
    parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_shapes(**{"n_samples": 2, **parameters})


# load_image_pairs


def save(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("L", (3, 2), color=len(name)).save(folder / name)
    return folder


def test_pairs_are_sorted_whatever_their_suffixes(tmp_path: Path) -> None:
    images = save(tmp_path / "images", "b.jpg", "a.png", "c.1.TIF", "d.jpeg")
    masks = save(tmp_path / "masks", "c.1.png", "d.tiff", "a.bmp", "b.PNG")
    X, y = load_image_pairs(images, str(masks), return_X_y=True)
    assert [Path(p).name for p in X] == ["a.png", "b.jpg", "c.1.TIF", "d.jpeg"]
    assert [Path(p).name for p in y] == ["a.bmp", "b.PNG", "c.1.png", "d.tiff"]
    # Not strings: an integer cv= would stratify the names of the masks.
    assert all(isinstance(path, Path) for path in X + y)
    assert read_mask(y[0]).shape == read_image(X[0]).shape == (2, 3)


def test_bunch_has_the_keys_of_scikit_learn(tmp_path: Path) -> None:
    images = save(tmp_path / "images", "a.png")
    masks = save(tmp_path / "masks", "a.png")
    bunch = load_image_pairs(images, masks, ignore_label=255)
    assert set(bunch) == {"data", "target", "target_names", "ignore_label", "DESCR"}
    assert bunch.data == [images / "a.png"]
    assert bunch.target == [masks / "a.png"]
    assert bunch.target_names is None
    assert bunch.ignore_label == 255
    assert "1 pairs" in bunch.DESCR


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    images = save(tmp_path / "images", "a.png", ".hidden.png")
    masks = save(tmp_path / "masks", "a.png")
    for name in ("notes.txt", "Thumbs.db", ".DS_Store"):
        (images / name).write_bytes(b"x")
    (images / "folder.png").mkdir()
    X, _ = load_image_pairs(images, masks, return_X_y=True)
    assert [Path(path).name for path in X] == ["a.png"]


@pytest.mark.parametrize(
    "image_names, mask_names, expected, absent",
    [
        (["a.png", "b.png"], ["a.png"], ["Images without a mask: 'b.png'"], "Masks"),
        (["a.png"], ["a.png", "c.png"], ["Masks without an image: 'c.png'"], "Images"),
        (
            ["a.png", "x.png"],
            ["a.png", "y.png"],
            ["Images without a mask: 'x.png'", "Masks without an image: 'y.png'"],
            "more",
        ),
        (
            [f"{i}.png" for i in range(9)],
            ["0.png"],
            ["'1.png', '2.png', '3.png', '4.png', '5.png' and 3 more"],
            "'6.png'",
        ),
        (["a.png"], ["Aa.png"], ["'a.png'", "'Aa.png'"], "more"),
        (["a.png", "a.jpg"], ["a.png"], ["images_dir", "'a.jpg', 'a.png'"], "mask"),
        (["a.png"], ["a.png", "a.tif"], ["masks_dir", "'a.png', 'a.tif'"], "images"),
        (["a.png"], ["a.jpg"], ["masks_dir", "JPEG", "'a.jpg'"], "images"),
    ],
)
def test_pairing_errors_list_the_files(
    tmp_path: Path,
    image_names: list[str],
    mask_names: list[str],
    expected: list[str],
    absent: str,
) -> None:
    images = save(tmp_path / "i", *image_names)
    masks = save(tmp_path / "m", *mask_names)
    with pytest.raises(ValueError, match="xpected") as caught:
        load_image_pairs(images, masks)
    message = str(caught.value).replace("images_dir and masks_dir do not match", "")
    assert [part for part in expected if part not in message] == []
    assert absent not in message.replace(str(tmp_path), "")


ARGUMENTS = ("images_dir", "masks_dir")


@pytest.mark.parametrize("missing", ARGUMENTS)
def test_missing_folder_is_named(tmp_path: Path, missing: str) -> None:
    folders = {name: save(tmp_path / name, "a.png") for name in ARGUMENTS}
    folders[missing] = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match=f"{missing} .*nowhere.*not exist"):
        load_image_pairs(**folders)


@pytest.mark.parametrize(
    "folder, error, expected",
    [
        (None, TypeError, "the path of a folder"),
        (["images"], TypeError, "the path of a folder"),
        (b"images", TypeError, "the path of a folder"),
        ("", ValueError, "the path of a folder"),
        ("memory://q", ValueError, "a local folder.*pass fit their addresses"),
    ],
)
def test_what_is_no_folder_is_named(
    tmp_path: Path, folder: Any, error: type[Exception], expected: str
) -> None:
    images = save(tmp_path / "images", "a.png")
    for argument, arguments in zip(
        ARGUMENTS, [(folder, images), (images, folder)], strict=True
    ):
        with pytest.raises(error, match=f"{argument} is .*; expected {expected}"):
            load_image_pairs(*arguments)
    with pytest.raises(error, match=f"root is .*; expected {expected}"):
        load_voc(folder)


def test_file_in_place_of_a_folder(tmp_path: Path) -> None:
    images = save(tmp_path / "images", "a.png")
    message = r"masks_dir .*a\.png.*is not a folder"
    with pytest.raises(NotADirectoryError, match=message):
        load_image_pairs(images, images / "a.png")


def test_empty_folder_says_what_it_holds(tmp_path: Path) -> None:
    images = save(tmp_path / "images")
    masks = save(tmp_path / "masks", "a.png")
    with pytest.raises(ValueError, match=r"images_dir .*holds no image.*\.png, \.bmp"):
        load_image_pairs(images, masks)
    (images / "a.webp").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"It holds '\.webp'"):
        load_image_pairs(images, masks)


def test_real_folder(shared_data: Path) -> None:
    folder = shared_data / "membrane" / "train"
    bunch = load_image_pairs(folder / "images", folder / "masks")
    assert len(bunch.data) == len(bunch.target) == 20
    assert [Path(p).stem for p in bunch.data] == [f"{i:02}" for i in range(20)]
    assert set(np.unique(read_mask(bunch.target[7]))) == {0, 255}


# load_voc


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """The folder around VOCdevkit, with two splits."""
    folder = tmp_path / "VOCdevkit" / "VOC2012"
    save(folder / "JPEGImages", "2007_2.jpg", "2007_1.jpg", "2007_3.jpg")
    save(folder / "SegmentationClass", "2007_2.png", "2007_1.png", "2007_3.png")
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_2\n2007_1\n")
    (lists / "val.txt").write_bytes(b"2007_3 \r\n\r\n")
    return tmp_path


@pytest.mark.parametrize("root", [".", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_is_found_from_three_folders(voc: Path, root: str) -> None:
    bunch = load_voc(voc / root)
    assert [Path(p).name for p in bunch.data] == ["2007_2.jpg", "2007_1.jpg"]
    assert [Path(p).name for p in bunch.target] == ["2007_2.png", "2007_1.png"]
    assert all(Path(path).is_file() for path in bunch.data + bunch.target)


def test_voc_names_and_void(voc: Path) -> None:
    bunch = load_voc(str(voc), "val")
    assert bunch.ignore_label == 255
    assert len(bunch.target_names) == 21
    assert bunch.target_names[0] == "background"
    assert bunch.target_names[15] == "person"
    assert bunch.target_names[20] == "tvmonitor"
    assert "'val'" in bunch.DESCR
    X, y = load_voc(voc, "val", return_X_y=True)
    assert (X, y) == (bunch.data, bunch.target)


@pytest.mark.parametrize("split", ["test", "../Main/train", "", None, ["train"]])
def test_unknown_split_lists_those_there_are(voc: Path, split: Any) -> None:
    with pytest.raises(ValueError, match=f"split is {re.escape(repr(split))};.*'val'"):
        load_voc(voc, split)


def test_empty_split(voc: Path) -> None:
    lists = voc / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (lists / "none.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"'none' .* is empty"):
        load_voc(voc, "none")


def test_lists_from_windows_are_read(voc: Path) -> None:
    lists = voc / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (lists / "marked.txt").write_bytes(b"\xef\xbb\xbf2007_2\r\n2007_1\r\n")
    assert load_voc(voc, "marked").data == load_voc(voc, "train").data


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_lists_that_are_not_utf8_are_named(voc: Path, encoding: str) -> None:
    lists = voc / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (lists / "odd.txt").write_bytes("2007_é\n".encode(encoding))
    message = r"odd\.txt' is not text in UTF-8.*Save it as"
    with pytest.raises(ValueError, match=message):
        load_voc(voc, "odd")


@pytest.mark.parametrize("name", ["{}/2007_1", "../JPEGImages/2007_1", "a/../../b"])
def test_ids_that_leave_the_folders_are_refused(voc: Path, name: str) -> None:
    folder = voc / "VOCdevkit" / "VOC2012"
    name = name.format(folder / "JPEGImages")
    (folder / "ImageSets" / "Segmentation" / "odd.txt").write_text(f"2007_2\n{name}\n")
    with pytest.raises(ValueError, match=r"'odd' names files outside .*(2007_1|b)'"):
        load_voc(voc, "odd")


def test_missing_files_are_listed(voc: Path) -> None:
    folder = voc / "VOCdevkit" / "VOC2012"
    (folder / "JPEGImages" / "2007_1.jpg").unlink()
    (folder / "SegmentationClass" / "2007_2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2 files .*2007_1\.jpg.*2007_2\.png"):
        load_voc(voc)


def test_folder_of_another_layout(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a folder JPEGImages"):
        load_voc(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"root .*nowhere.* does not exist"):
        load_voc(tmp_path / "nowhere")
    save(tmp_path / "JPEGImages")
    with pytest.raises(FileNotFoundError, match="Segmentation' is missing"):
        load_voc(tmp_path)


def test_voc_sample(shared_data: Path) -> None:
    root = shared_data / "voc_sample"
    train, val = load_voc(root), load_voc(root, "val")
    assert (len(train.data), len(val.data)) == (60, 30)
    assert not set(train.data) & set(val.data)
    labels = np.unique([label for p in val.target for label in np.unique(read_mask(p))])
    absent = set(val.target_names) - {val.target_names[i] for i in labels if i < 255}
    assert absent == {"aeroplane"}
    assert val.ignore_label in labels
