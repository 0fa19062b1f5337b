"""Names of files: which agree, which only look so, and masks beside their images."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from sksegment import FCNSegmenter
from sksegment.datasets import load_image_pairs, load_voc

SAME_LOOKS = {
    "decomposed": ("Zürich", unicodedata.normalize("NFD", "Zürich")),
    "case": ("Cell_1", "cell_1"),
    "case without a simple partner": ("STRASSE", "straße"),
    "a trailing blank": ("cell", "cell "),
    "two blanks": ("cell 1", "cell  1"),
    "a blank that does not break": ("cell 1", "cell\u00a01"),
    "all of it": ("Zürich 1", unicodedata.normalize("NFD", "zürich  1 ")),
}


@pytest.fixture
def folders(tmp_path):
    """Return a function that makes two folders with files of these names."""

    def make(images, masks, kind=".png"):
        for folder, names in (("images", images), ("masks", masks)):
            (tmp_path / folder).mkdir()
            for name in names:
                write(tmp_path / folder / f"{name}{kind}")
        return tmp_path / "images", tmp_path / "masks"

    return make


def write(path):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


def names(paths):
    return [path.stem for path in paths]


@pytest.mark.parametrize("looks", SAME_LOOKS)
@pytest.mark.parametrize("turned", [False, True])
def test_names_that_look_equal_are_pairs(folders, looks, turned):
    image, mask = SAME_LOOKS[looks][:: -1 if turned else 1]
    images, masks = load_image_pairs(
        *folders([image, "other"], ["other", mask]), return_X_y=True
    )
    found = dict(zip(names(images), names(masks), strict=True))
    assert found == {image: mask, "other": "other"}


def test_equal_names_come_before_those_that_look_so(folders):
    images, masks = load_image_pairs(
        *folders(["cat", "Cat"], ["Cat", "cat"]), return_X_y=True
    )
    assert names(images) == names(masks)


@pytest.mark.parametrize("looks", SAME_LOOKS)
def test_names_that_look_equal_to_several_are_shown_apart(folders, looks):
    one, other = SAME_LOOKS[looks]
    third = unicodedata.normalize("NFC", other).upper() + " "
    with pytest.raises(ValueError, match=r"NFC or NFD") as error:
        load_image_pairs(*folders([one], [other, third]))
    for name in (one, other, third):
        assert ascii(name) in str(error.value)


def test_names_without_a_partner_are_listed(folders):
    with pytest.raises(ValueError, match=r"without a mask: 'b\.png'\. Masks.*'c\.png'"):
        load_image_pairs(*folders(["a", "b"], ["a", "c"]))


def test_lists_of_voc_find_files_whose_names_look_equal(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    decomposed = unicodedata.normalize("NFD", "Zürich")
    write(tmp_path / "JPEGImages" / f"{decomposed}.JPG")
    write(tmp_path / "SegmentationClass" / "Zürich.png")
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("Zürich", "utf-8")
    X, y = load_voc(tmp_path, "train", return_X_y=True)
    assert X[0].name == f"{decomposed}.JPG"
    assert y[0].is_file()


def one_folder(tmp_path, ending="_mask"):
    for name in ("scan (1)", "scan (2)"):
        write(tmp_path / f"{name}.png")
        write(tmp_path / f"{name}{ending}.png")
    return tmp_path


@pytest.mark.parametrize("ending", ["_mask", "-labels", "_Zü"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_masks_beside_their_images_are_found_by_their_ending(tmp_path, ending, form):
    folder = one_folder(tmp_path, unicodedata.normalize(form, ending))
    X, y = load_image_pairs(folder, folder, mask_suffix=ending, return_X_y=True)
    assert names(X) == ["scan (1)", "scan (2)"]
    assert [len(path.stem) > len("scan (1)") for path in y] == [True, True]
    assert not set(X) & set(y)


@pytest.mark.parametrize("way", ["path", "str", "relative", "link", "dotted"])
def test_one_folder_twice_is_refused_and_the_cure_works(tmp_path, monkeypatch, way):
    folder = one_folder(tmp_path / "data" if (tmp_path / "data").mkdir() else tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path.parent / "link").unlink(missing_ok=True)
    (tmp_path.parent / "link").symlink_to(folder)
    other = {
        "path": folder,
        "str": str(folder),
        "relative": ".",
        "link": tmp_path.parent / "link",
        "dotted": folder / ".." / folder.name,
    }[way]
    with pytest.raises(ValueError, match=r"same folder.*mask_suffix='_mask'"):
        load_image_pairs(folder, other)
    X, y = load_image_pairs(folder, other, mask_suffix="_mask", return_X_y=True)
    assert [path.stem for path in y] == [f"{path.stem}_mask" for path in X]


def test_the_ending_applies_to_two_folders(folders):
    images, masks = folders(["a", "b"], ["a_mask", "b_mask", "a_overlay"])
    X, y = load_image_pairs(images, masks, mask_suffix="_mask", return_X_y=True)
    assert names(y) == ["a_mask", "b_mask"]
    assert names(X) == ["a", "b"]


def test_an_image_without_a_mask_beside_it_is_named(tmp_path):
    folder = one_folder(tmp_path)
    write(folder / "scan (3).png")
    with pytest.raises(ValueError, match=r"Images without a mask: 'scan \(3\)\.png'"):
        load_image_pairs(folder, folder, mask_suffix="_mask")


@pytest.mark.parametrize("ending, error", [(3, TypeError), ("_mask.png", ValueError)])
def test_an_ending_that_is_none_is_refused(tmp_path, ending, error):
    with pytest.raises(error, match="mask_suffix is"):
        load_image_pairs(one_folder(tmp_path), tmp_path, mask_suffix=ending)


def test_an_ending_that_no_file_has_is_refused(tmp_path):
    folder = one_folder(tmp_path)
    with pytest.raises(ValueError, match=r"ends in mask_suffix='_seg'.*'scan \(1\)'"):
        load_image_pairs(folder, folder, mask_suffix="_seg")


def test_labels_that_look_equal_are_shown_apart():
    y = np.full((2, 8, 8), "Wald", "U9")
    y[:, :4] = unicodedata.normalize("NFD", "Fluß é")
    model = FCNSegmenter(classes=["Wald", "Fluß é"], max_epochs=1)
    with pytest.raises(ValueError, match=r"'Flu\\xdf e\\u0301'.*'Fluß é'"):
        model.fit(np.zeros((2, 8, 8)), y)
