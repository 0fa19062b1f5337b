"""The order of examples on their page: from first pictures to other programs."""

from __future__ import annotations

ORDER = [
    # Begin
    "quickstart",
    "own_folder",
    "two_slices",
    "strokes",
    # Labels and images that need care
    "class_imbalance",
    "ignored_pixels",
    "mask_errors",
    "nodata",
    "nuclei",
    # Training
    "augmentation",
    "history",
    "pretrained_encoder",
    "own_network",
    # Choosing and judging
    "scores",
    "grid_search",
    "epoch_curve",
    "learning_curve",
    "spatial_folds",
    "compare_models",
    "uncertainty",
    "calibration",
    "ensemble",
    # Large images, other programs
    "giant_image",
    "dask_to_zarr",
    "onnx",
]


class LessonOrder:
    """Sort examples as `ORDER` does; those that it lacks come last, by their names."""

    def __init__(self, folder: str) -> None:
        self.folder = folder  # sphinx-gallery names it; one order holds for all

    def __call__(self, filename: str) -> tuple[int, str]:
        """Return the key of an example by which it is sorted."""
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER)), name

    def __repr__(self) -> str:  # settings that change make Sphinx build anew
        return "LessonOrder"
