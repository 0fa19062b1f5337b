"""Label values to codes and back, for every kind of label."""

from __future__ import annotations

import numpy as np
import pytest

from sksegment._inputs.labels import (
    IGNORED,
    LabelEncoder,
    count_labels,
    distinct_labels,
    is_ignored,
    label_array,
    unique_labels,
)

# Classes, and a label value that is none of them.
KINDS = {
    "uint8": (np.array([0, 1, 7, 255], np.uint8), 3),
    "int8 from end to end": (np.array([-128, 0, 127], np.int8), 5),
    "int64 with gaps": (np.array([-(10**12), -1, 0, 10**15]), 10**13),
    "int64 near its end": (np.array([-(2**63), 2**63 - 2, 2**63 - 1]), 0),
    "neighbours beyond float64": (np.array([2**53, 2**53 + 1, 2**60]), 2**53 + 2),
    "bool": (np.array([False, True]), None),
    "huge uint64": (np.array([2**63 + 1, 2**63 + 2, 2**64 - 1], np.uint64), 2**63),
    "close huge uint64": (np.array([2**64 - 3, 2**64 - 1], np.uint64), 2**64 - 2),
    "strings": (np.array(["cell", "dirt", "water and ice"]), "void"),
    "bytes": (np.array([b"a", b"bc"]), b"b"),
    "whole floats": (np.array([-2.0, 0.0, 5.0]), 1.0),
    "big-endian": (np.array([1, 2, 300], ">i4"), 4),
    "big-endian floats": (np.array([1, 2, 300], ">f8"), 4),
    "one class": (np.array([9], np.uint16), 8),
}


# There is no third truth value.
WITH_OTHER = [name for name in KINDS if name != "bool"]


@pytest.fixture(params=list(KINDS))
def kind(request):
    classes, other = KINDS[request.param]
    codes = np.random.default_rng(0).integers(0, len(classes), (6, 7))
    codes.flat[: len(classes)] = range(len(classes))
    return classes, other, codes


def with_label(classes, codes, label):
    """Return the mask of codes, with a label at two pixels that is no class."""
    mask = classes[codes]
    if mask.dtype.kind in "US":
        mask = mask.astype(np.result_type(mask, np.array(label)))
    mask[0, 0] = mask[5, 6] = label
    return mask


def test_labels_that_the_user_lists_may_be_strings_of_any_length():
    named = label_array(np.array(["sky", "road"], np.dtypes.StringDType()), "classes")
    np.testing.assert_array_equal(named, np.array(["sky", "road"]), strict=True)


def test_codes_come_back_as_the_labels(kind):
    classes, _, codes = kind
    mask = classes[codes]
    encoder = LabelEncoder(classes)
    encoded = encoder.encode(mask)
    np.testing.assert_array_equal(encoded, codes)
    assert encoded.dtype == np.int32
    decoded = encoder.decode(encoded.astype(np.uint8))
    np.testing.assert_array_equal(decoded, mask)
    assert decoded.dtype == classes.dtype


@pytest.mark.parametrize("kind", WITH_OTHER, indirect=True)
def test_ignored_label_has_a_code_of_its_own(kind):
    classes, other, codes = kind
    mask = with_label(classes, codes, other)
    encoded = LabelEncoder(classes, other).encode(mask)
    expected = codes.copy()
    expected[0, 0] = expected[5, 6] = IGNORED
    np.testing.assert_array_equal(encoded, expected)
    np.testing.assert_array_equal(is_ignored(mask, other), expected == IGNORED)
    np.testing.assert_array_equal(unique_labels([mask], other), classes)


@pytest.mark.parametrize("kind", WITH_OTHER, indirect=True)
def test_unknown_label_is_named(kind):
    classes, other, codes = kind
    mask = with_label(classes, codes, other)
    text = repr(mask[0, 0].item())
    with pytest.raises(ValueError) as raised:
        LabelEncoder(classes).encode(mask, "mask 4")
    assert f"mask 4 holds the label {text}, expected the classes" in str(raised.value)
    assert "classes=" in str(raised.value)


INTEGERS = {
    "int8": [-128, -1, 0, 127],
    "uint8": [0, 1, 128, 255],
    "int64": [-(2**63), -1, 0, 1, 127, 2**53, 2**53 + 1, 2**63 - 1],
    "uint64": [0, 1, 128, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1],
    ">i2": [-32768, 0, 1, 32767],
}


@pytest.mark.parametrize("mask_type", INTEGERS)
@pytest.mark.parametrize("class_type", INTEGERS)
def test_integers_of_different_types_are_compared_by_value(class_type, mask_type):
    classes = INTEGERS[class_type]
    encoder = LabelEncoder(np.array(classes, class_type))
    for value in INTEGERS[mask_type]:
        mask = np.full((1, 2), value, mask_type)
        if value in classes:
            np.testing.assert_array_equal(encoder.encode(mask), classes.index(value))
        else:
            with pytest.raises(ValueError, match=f"label {value},"):
                encoder.encode(mask)


@pytest.mark.parametrize(
    "classes, mask",
    [
        (np.array([0, 1]), np.array([[True, False]])),
        (np.array([False, True]), np.array([[1, 0]])),
        (np.array([0.0, 1.0]), np.array([[1, 0]], np.uint8)),
        (np.array([0, 1]), np.array([[1.0, 0.0]], np.float32)),
        (np.array(["a", "bcd"]), np.array([["bcd", "a"]], "U9")),
    ],
)
def test_equal_values_of_other_types_are_the_same_label(classes, mask):
    np.testing.assert_array_equal(LabelEncoder(classes).encode(mask), [[1, 0]])


@pytest.mark.parametrize(
    "classes, mask",
    [
        (np.array(["0", "1"]), np.array([[0, 1]])),
        (np.array([0, 1]), np.array([["0", "1"]])),
        (np.array(["a"]), np.array([[b"a"]])),
        (np.array([0, 1]), np.array([[0, 255]], np.uint8)),
        (np.array([0, 1]), np.array([[-1, 0]])),
        (np.array([0.0, 1.0]), np.array([[0.0, 2.0]])),
    ],
)
def test_labels_that_are_no_classes_raise(classes, mask):
    with pytest.raises(ValueError, match="holds the label"):
        LabelEncoder(classes).encode(mask)


@pytest.mark.parametrize("ignore_label", [None, "0", b"0", -1, 256, 2**70, 0.5])
def test_ignored_label_that_does_not_occur_ignores_nothing(ignore_label):
    mask = np.array([[0, 255]], np.uint8)
    assert not is_ignored(mask, ignore_label).any()
    assert not is_ignored(np.array([True, False]), ignore_label).any()
    codes = LabelEncoder(np.array([0, 255]), ignore_label).encode(mask)
    np.testing.assert_array_equal(codes, [[0, 1]])


def test_message_names_the_ignored_label_and_few_of_many():
    encoder = LabelEncoder(np.array([0, 1]), 255)
    with pytest.raises(
        ValueError, match=r"label 2, .*, 9 and 3 more, expected"
    ) as raised:
        encoder.encode(np.arange(13).reshape(1, 13))
    assert "or the ignored label 255." in str(raised.value)


def test_encoding_leaves_the_mask_as_it_was():
    mask = np.array([[0, 1], [255, 0]], np.uint8)
    mask.flags.writeable = False
    LabelEncoder(np.array([0, 1]), 255).encode(mask[::-1])
    np.testing.assert_array_equal(mask, [[0, 1], [255, 0]])


def test_distinct_values_equal_numpy(kind):
    classes, _, codes = kind
    mask = classes[codes][::2, ::-1].T
    np.testing.assert_array_equal(distinct_labels(mask), np.unique(mask))
    assert distinct_labels(mask).dtype == np.unique(mask).dtype


@pytest.mark.parametrize("weight", [None, "image", "pixel"])
def test_counts_equal_sums_over_pixels(kind, weight):
    classes, _, codes = kind
    weights = np.random.default_rng(1).uniform(-1, 3, codes.shape).clip(min=0)
    given = {None: None, "image": np.array(2.5), "pixel": weights}[weight]
    counts = count_labels(classes[codes], given)
    pixels = np.broadcast_to(1.0 if given is None else given, codes.shape)
    of_class = [pixels[codes == code] for code in range(len(classes))]
    np.testing.assert_array_equal(counts.labels, classes)
    np.testing.assert_allclose(counts.weights, [part.sum() for part in of_class])
    np.testing.assert_array_equal(
        counts.pixels, [(part > 0).sum() for part in of_class]
    )


def test_labels_of_several_masks_are_joined():
    masks = [np.array([[3, 1]]), np.array([[255, 1]]), np.array([[7, 7]])]
    np.testing.assert_array_equal(unique_labels(masks, 255), [1, 3, 7])
    assert len(unique_labels([], None)) == 0


@pytest.mark.parametrize(
    "labels", [[0, 1, 255], [0, 2**53, 2**53 + 1], [2, 2**63, 2**64 - 1]]
)
def test_whole_numbers_of_several_masks_stay_whole(labels):
    masks = [np.array(labels[:1], np.int64), np.array(labels, np.uint64)]
    found = unique_labels(masks, None)
    assert found.dtype.kind in "iu"
    assert found.tolist() == labels


def test_labels_that_no_dtype_holds_together_are_refused():
    masks = [np.array([2**63, 2**63 + 1], np.uint64), np.array([-1, 0])]
    with pytest.raises(ValueError, match=r"labels -1 and 9223372036854775809 fit into"):
        unique_labels(masks, None)


def test_several_ignored_labels_are_refused():
    with pytest.raises(TypeError, match=r"ignore_label is \[0, 1\]; expected one"):
        is_ignored(np.arange(2), [0, 1])


@pytest.mark.parametrize("classes", [[10, 300], [10**9, 10**9 + 7]])
def test_bytes_against_classes_that_no_byte_has(classes):
    encoder = LabelEncoder(np.array(classes), ignore_label=255)
    mask = np.array([[255, 255]], np.uint8)
    assert (encoder.encode(mask) == IGNORED).all()
    with pytest.raises(ValueError, match="label 200"):
        encoder.encode(np.array([[200, 255]], np.uint8))
