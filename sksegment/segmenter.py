"""The estimator: a fully-convolutional network with scikit-learn's interface."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from inspect import signature
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from sksegment._inputs.channel_scale import Scale
from sksegment._inputs.classes import check_classes, check_passed_classes
from sksegment._inputs.documentation_link import DocumentationLinkMixin
from sksegment._inputs.image_list import ImageList, as_images
from sksegment._inputs.labels import format_labels, is_ignored
from sksegment._inputs.nodata import NoData, nodata_of
from sksegment._inputs.progress import in_worker, with_progress
from sksegment._inputs.random import MAX_SEED
from sksegment._inputs.samples import as_samples
from sksegment._inputs.training_set import TrainingSet, held_out_samples, training_set
from sksegment._prediction.collect import collect
from sksegment._prediction.predictor import Predictor
from sksegment._segmenter.components import Components
from sksegment._segmenter.model import Model, warn_of_newer
from sksegment._segmenter.parameters import (
    check_network_options,
    check_parameters,
    filled_in,
)
from sksegment._segmenter.portable import check_portable
from sksegment._segmenter.pretrained import unwrap_frozen
from sksegment._torch.gradients import enable_gradients
from sksegment._training.callbacks import check_watched, reset_callbacks
from sksegment._training.checkpoint import load_progress
from sksegment._training.epoch_log import print_summary
from sksegment._training.epoch_scoring import check_scorings
from sksegment._training.interruption import interruption_named
from sksegment._training.train import TrainingResult, train
from sksegment._version import __version__
from sksegment.augmentation._plan import without_plan
from sksegment.losses._class_weight import check_fixed_weights
from sksegment.metrics import iou_scorer
from sksegment.networks._state import arrays_to_save, restored_network
from sksegment.networks._timm_encoder import timm_version

__all__ = ["FCNSegmenter"]

# Fitted state without a trailing underscore.
PRIVATE_STATE = ("_architecture", "_optimizer_state", "_seed", "_timm_version")
VERSION_KEY = "_sksegment_version"


class FCNSegmenter(DocumentationLinkMixin, ClassifierMixin, BaseEstimator):
    """Segment images with a fully-convolutional network.

    The network is trained on images and integer masks, on a GPU if there is one.
    Masks come back in the user's own label values and at the size of the image.

    Parameters
    ----------
    network : {"fcn", "fcn32s", "fcn16s", "fcn8s", "filter_bank"} or callable, \
            default="fcn"
        The network: :class:`~sksegment.networks.FCN`; one from the original paper [1]_,
        :class:`~sksegment.networks.FCN32s`, :class:`~sksegment.networks.FCN16s` or
        :class:`~sksegment.networks.FCN8s`, for which only `dropout` can be chosen; or
        :class:`~sksegment.networks.FilterBankFCN`, a small one on fixed filters, which
        learns from a few strokes within seconds (`depth`, `width` and `dropout`); or a
        function ``(n_channels, n_classes) -> torch.nn.Module`` that makes one from
        images ``(n, n_channels, height, width)`` to scores ``(n, n_classes, height,
        width)``; scores of a lower resolution are upsampled. To be saved, it must be a
        function defined in a module, not a lambda.
    depth : int, default=None
        How often the network halves the resolution; its stride is ``2**depth`` pixels.
        None is 3, or as often as the `encoder` does.
    width : int, default=None
        Channels of the first stage; each deeper one has twice as many, up to 8 times
        `width`. None is 16, or 8 for the decoder behind an `encoder`.
    encoder : str, default=None
        The name of a model of timm [3]_, such as "resnet34" or "convnext_tiny", that
        takes the place of the encoder of "fcn"; see Notes. With pretrained weights it
        learns from few photos what a network from scratch does not. Needs the extra
        ``timm``.
    encoder_learning_rate : float, default=None
        What `learning_rate` is multiplied by for the weights of the `encoder`; None is
        0.3 with `pretrained` weights, and 1 with new ones. With 0 the encoder is
        frozen: its batch statistics stay, too, it needs no gradient, and where nothing
        is augmented or cropped, the maps of an image are computed only once. Best with
        few photos; other channels than RGB or gray need an encoder that learns.
    skip : {None, "concat", "add"}, default="concat"
        How encoder outputs join the decoder; None for the plain network.
    norm : {None, "batch", "group"}, default="batch"
        Normalisation after each convolution.
    dropout : float, default=0.5
        Probability of dropping a value of the deepest stage in training.
    pretrained : {"imagenet"}, path-like or FCNSegmenter, default=None
        Weights to start from. With an `encoder`, "imagenet" takes timm's weights, by
        default or by a tag in the name ("resnet34.a1_in1k"), and a path names a file of
        that model: a state dict, as safetensors or from ``torch.save``. Without,
        "imagenet" is VGG16 (528 MB), and a path names a state dict of torchvision's
        VGG16. Both work for the networks of the paper, and for "fcn" with ``width=64``
        and ``norm`` None or "batch", whose encoder is that of VGG16. Weights are
        downloaded once, when `fit` is called; the decoder starts from new ones. A
        fitted segmenter passes all its weights on to one with the same network, or to a
        finer one of the paper. See Notes.
    classes : array-like of shape (n_classes,), default=None
        All label values of the task. By default, those that occur in `y`; name them
        where a cross-validation fold may miss one.
    ignore_label : int, float, str or bool, default=None
        A label value that is not a class: its pixels are left out of the loss, the
        class weights and the scores, and it is not in `classes_`. Elsewhere called
        ``ignore_index``.
    nodata : float or int, default=None
        The value that marks a pixel without data, in any of its channels: -9999, the
        smallest float32 or NaN for example. Give a whole number beyond 2**53 as an int:
        a float rounds it. Such pixels take no part in training: not in the scale of the
        channels, the classes or the loss. They are predicted as `nodata_label`, their
        probabilities are NaN, and `score` and the scorers of :mod:`sksegment.metrics`
        leave them out. To its neighbours, such a pixel looks like the mean of the
        training images.
    nodata_label : int, float, str or bool, default=None
        The label that is predicted where there is no data. None is the `ignore_label`.
        It must not be a class.
    class_weight : None, "balanced", "median_frequency" or dict, default=None
        Weight of each class in the loss, by label value. "balanced" is inversely
        proportional to its number of pixels, "median_frequency" to its share of the
        pixels in the images that show it [2]_, the median share getting 1. A class that
        does not occur is weighted like the rarest that does. `partial_fit`, which sees
        a part of the masks at a time, takes a dict only.
    pseudo_labels : None or "forest", default=None
        What the pixels of `ignore_label` are taken for in training. None leaves them
        out. With "forest", a random forest of scikit-learn first learns from the
        labelled pixels, on the filters of ``network="filter_bank"``; what it says of
        the others is trained on as well [4]_: for strokes. These show as much of a rare
        class as of a frequent one; the forest is adjusted to the shares that the
        classes probably have [5]_. It takes about eight seconds a megapixel of one
        channel, and labels 67 million pixels at most.
    loss : str or callable, default="cross_entropy"
        "cross_entropy", "dice", "lovasz", "focal", "cross_entropy+dice" or
        "cross_entropy+lovasz" (see :mod:`sksegment.losses`), or a function ``(scores,
        codes, weights)`` that returns one number: scores are a tensor ``(n, n_classes,
        height, width)``, codes one ``(n, height, width)`` with -1 where ignored,
        weights one ``(n, height, width)`` or None.
    optimizer : {"adam", "adamw", "sgd"}, default="adam"
        The optimizer; "sgd" has Nesterov momentum 0.9.
    learning_rate : float, default=3e-3
        Learning rate at the start. Without normalisation, wide and deep networks need
        less, say 1e-4.
    weight_decay : float, default=0.0
        Weight decay of the optimizer.
    learning_rate_schedule : {"constant", "cosine", "poly"}, default="cosine"
        How the learning rate falls, step by step, to 0 at `max_epochs`: not at all, as
        half a cosine, or as ``(1 - progress)**0.9``. The falling schedules begin with a
        rise, over a twentieth of the steps.
    max_epochs : int, default=100
        Passes over the training images.
    batch_size : int or "auto", default="auto"
        Images per training step; at prediction, the most that are predicted at once.
        "auto" is 8, but in training at most a quarter of the images of an epoch,
        rounded up, so that even few images make several steps, and in `fit` so few that
        all epochs together have about 40 steps, if there are as many images.
    crop_size : int or (int, int), default=None
        Train on random parts of the images, of this height and width in pixels. An
        epoch takes as many crops of an image as would cover it. None trains on whole
        images.
    crop_sampling : {"uniform", "balanced"}, default="uniform"
        Where the crops lie: anywhere, or around a pixel of a class drawn from those in
        the image, so that rare classes are seen as often as frequent ones.
    random_state : int, RandomState instance or None, default=None
        Initial weights, order of the images, crops, augmentation, dropout and
        validation split all follow from it. On a CPU, an integer gives the same bits
        with the same number of threads.
    warm_start : bool, default=False
        Whether `fit` continues from the fitted network, with its seed. With
        `early_stopping`, that network is kept if no later epoch is better.
    early_stopping : bool, default=False
        Whether to hold out validation images, end training when their mean IoU no
        longer grows, and keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Share of the images that is held out; at least one image. Not used if `fit` is
        given `X_val`.
    n_iter_no_change : int, default=10
        Epochs without a better IoU after which training ends.
    tol : float, default=1e-4
        By how much an IoU must improve to count as better.
    device : str or torch.device, default="auto"
        "cpu", "cuda", "cuda:1", "mps"; "auto" takes CUDA, else MPS, else the CPU.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        "auto" trains in bfloat16 where the hardware supports it, and predicts in
        float32; the others are used for both.
    tile_size : int or "auto", default="auto"
        Side, in pixels, of the square tiles in which a large image is predicted. The
        result does not depend on it, unless the network looks at the whole image
        (`margin_` is None): then tiles overlap and are blended, with a warning. "auto"
        tiles images that do not fit into half of scikit-learn's ``working_memory``, or
        of the free memory of a CUDA device.
    test_time_augmentation : bool, default=False
        Whether to average the probabilities over quarter turns and mirror images of the
        image: eight predictions instead of one. It suits images that may lie any way
        up, which photos do not.
    checkpoint_dir : str or path-like, default=None
        A folder in which `fit` saves its progress after each epoch. If the process is
        interrupted, the same `fit` on the same data resumes from there and ends with
        the same weights. Each training run has its own folder inside, which it removes
        when it ends: all fits of a search may share one `checkpoint_dir`.
    callbacks : list of skorch.callbacks.Callback, default=None
        Callbacks for the training loop. They may watch "train_loss" and, with
        validation images, "valid_loss" and "valid_iou"; a callback that schedules the
        learning rate needs ``learning_rate_schedule="constant"``. ``EpochScoring(
        iou_scorer, lower_is_better=False)`` scores the validation images after each
        epoch, or the training images with ``on_train=True``; a function ``(net, X, y)``
        will do, too. Whatever callbacks freeze is unfrozen after training. A checkpoint
        treats them like parameters, unless they only print or log, like skorch's
        `EpochTimer` and its subclasses; what they remember is not kept in it.
    verbose : int, default=0
        With 1, a line is printed after each epoch; in a worker process of joblib, one
        after each `fit`, which names it. With 2, there are also progress bars: of the
        batches of an epoch, and of the images, tiles or blocks that are read, predicted
        or scored. They are shown on a terminal or in a notebook only.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The label values of the classes, sorted.
    n_features_in_ : int
        Channels of the images.
    network_ : torch.nn.Module
        The trained network, from standardised images to scores before softmax.
    history_ : list of dict
        For each epoch "epoch", "train_loss", "dur" (seconds) and, with validation
        images, "valid_loss" and "valid_iou".
    n_iter_ : int
        Number of epochs that the network was trained for.
    best_epoch_ : int or None
        The epoch, counted from 1, whose weights were kept; None without early
        stopping.
    channel_mean_, channel_std_ : ndarray of shape (n_channels,)
        Mean and standard deviation of the training pixels that have a class and a
        weight; the standard deviation of a constant channel is set to 1.
    channel_min_, channel_max_ : ndarray of shape (n_channels,)
        Smallest and largest value of these pixels. Images are clipped where they lie
        further outside this range than it is wide.
    stride_ : int
        Spacing, in pixels, of the grid on which the network treats all positions alike.
    margin_ : int or None
        Radius of the receptive field in pixels, measured for a network of your own and
        for an encoder;
        None if it is the whole image, or if scores depend on where in it a pixel lies.

    See Also
    --------
    sksegment.augmentation : Augmentation as steps of a Pipeline.
    sksegment.metrics : Scores and scorers.

    Notes
    -----
    Images of different sizes are batched with others of about their size and extended
    by reflection to the largest; the loss ignores what the reflection adds.

    Any model of timm that takes images of any size and gives maps of features
    (``features_only=True``) can be the `encoder`. The decoder is that of "fcn", with a
    stage for each halving, also where the encoder begins with a quarter of the
    resolution. Plain transformers, such as DINOv2, have maps of one resolution: a
    convolution follows, and bilinear upsampling; `depth` and `skip` have no meaning.
    Without `pretrained`, the encoder starts from new weights.

    What `pretrained` does: ImageNet weights bring their own standardisation for RGB
    images whose values start at 0, with white taken to be 1 or the largest number of 8,
    10, 12, 14 or 16 bits; other images are standardised by their own mean and standard
    deviation. A fitted segmenter brings its `channel_mean_` and `channel_std_`, and its
    last layers only if `classes_` are the same (for a network of your own, all
    weights). For a different number of channels, each channel gets the mean kernel of
    the first layer, scaled so that identical channels give the same answer. Layers that
    stay new are printed with ``verbose=1``; weights that do not fit raise an error.
    Cloning keeps the fitted segmenter; in a ``param_grid``, wrap it in
    :class:`sklearn.frozen.FrozenEstimator`. It is pickled along with this segmenter,
    unless ``set_params(pretrained=None)`` follows `fit`.

    The plain network in the style of [1]_ with VGG blocks, as in many tutorials, is
    ``FCNSegmenter(width=64, skip=None, norm=None, learning_rate=1e-4)``.

    References
    ----------
    .. [1] J. Long, E. Shelhamer and T. Darrell, "Fully Convolutional Networks for
       Semantic Segmentation", CVPR 2015.
    .. [2] D. Eigen and R. Fergus, "Predicting Depth, Surface Normals and Semantic
       Labels with a Common Multi-Scale Convolutional Architecture", ICCV 2015.
    .. [3] R. Wightman, "PyTorch Image Models",
       https://github.com/huggingface/pytorch-image-models
    .. [4] D.-H. Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning
       Method for Deep Neural Networks", ICML Workshop on Challenges in Representation
       Learning, 2013.
    .. [5] G. Forman, "Quantifying Counts and Costs via Classification", Data Mining and
       Knowledge Discovery 17(2), 2008.

    Examples
    --------
    >>> from sksegment import FCNSegmenter
    >>> from sksegment.datasets import make_shapes
    >>> X, y = make_shapes(n_samples=8, size=32, n_classes=3, random_state=0)
    >>> segmenter = FCNSegmenter(depth=2, width=8, max_epochs=2, random_state=0)
    >>> segmenter.fit(X, y).predict(X).shape
    (8, 32, 32)
    """

    _architecture: dict[str, Any]
    margin_: int | None

    def __init__(
        self,
        *,
        network: Any = "fcn",
        depth: int | None = None,
        width: int | None = None,
        encoder: str | None = None,
        encoder_learning_rate: float | None = None,
        skip: str | None = "concat",
        norm: str | None = "batch",
        dropout: float = 0.5,
        pretrained: Any = None,
        classes: Any = None,
        ignore_label: Any = None,
        nodata: float | None = None,
        nodata_label: Any = None,
        class_weight: Any = None,
        pseudo_labels: str | None = None,
        loss: Any = "cross_entropy",
        optimizer: str = "adam",
        learning_rate: float = 3e-3,
        weight_decay: float = 0.0,
        learning_rate_schedule: str = "cosine",
        max_epochs: int = 100,
        batch_size: int | str = "auto",
        crop_size: Any = None,
        crop_sampling: str = "uniform",
        random_state: Any = None,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        tol: float = 1e-4,
        device: Any = "auto",
        precision: str = "auto",
        tile_size: Any = "auto",
        test_time_augmentation: bool = False,
        checkpoint_dir: Any = None,
        callbacks: Any = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.depth = depth
        self.width = width
        self.encoder = encoder
        self.encoder_learning_rate = encoder_learning_rate
        self.skip = skip
        self.norm = norm
        self.dropout = dropout
        self.pretrained = pretrained
        self.classes = classes
        self.ignore_label = ignore_label
        self.nodata = nodata
        self.nodata_label = nodata_label
        self.class_weight = class_weight
        self.pseudo_labels = pseudo_labels
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.learning_rate_schedule = learning_rate_schedule
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.crop_size = crop_size
        self.crop_sampling = crop_sampling
        self.random_state = random_state
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.device = device
        self.precision = precision
        self.tile_size = tile_size
        self.test_time_augmentation = test_time_augmentation
        self.checkpoint_dir = checkpoint_dir
        self.callbacks = callbacks
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays ``(height, width[, n_channels])``
            of any sizes, or of paths. In a Pipeline, the output of the augmenters.
        y : array-like of shape (n, height, width), or sequence
            Masks: label values, one per pixel, or paths.
        sample_weight : array-like of shape (n,) or (n, height, width), or sequence, \
                default=None
            Weights, one per image or one per pixel. An image of weight 0 is left out.
        X_val, y_val : array-like or sequence, default=None
            Validation images and masks, not augmented. Their loss and mean IoU are
            recorded after each epoch; `early_stopping` watches the mean IoU.
        sample_weight_val : array-like or sequence, default=None
            Weights of the validation images.

        Returns
        -------
        FCNSegmenter
            The fitted segmenter itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or an input is invalid; the fitted state is then left as it
            was. If the loss becomes NaN or infinite; the segmenter then has the weights
            of the last finite epoch, or is not fitted.
        OSError
            If an image file cannot be read, or a checkpoint cannot be written.
        MemoryError
            If there is not enough memory; `batch_size` is never lowered automatically,
            because it changes what is learned. The fitted state is left as it was.
        """
        self._check_parameters()
        validates = self.early_stopping or X_val is not None
        self._check_callbacks(validates)
        continues = self.warm_start and hasattr(self, "network_")
        images, steps = without_plan(X)
        training = training_set(
            as_samples(images, y, sample_weight, self._nodata),
            self._known_classes(continues),
            self._ignored,
            self.verbose,
        )
        held_out = held_out_samples(X_val, y_val, sample_weight_val, training)
        make = self._components(continues)
        seed = make.agree_on(self._draw_seed(continues))
        data = (training, held_out)
        with enable_gradients(), make.open_checkpoint(data, steps, seed) as checkpoint:
            seed = load_progress(checkpoint).get("seed", seed)
            training, held_out = make.split_validation(training, held_out, seed)
            model = make.model_to_train(training, seed)
            plan = replace(
                make.plan_fit(training),
                segmenter=self._in_training(model, training, seed),
                kept_epoch=self.best_epoch_ or self.n_iter_ if continues else None,
            )
            batches = make.batches(training, steps, seed, model, plan.n_epochs)
            validation = make.validation(held_out, training, model, plan)
            with interruption_named(checkpoint):
                result = train(
                    model.network, batches, validation, plan, checkpoint=checkpoint
                )
        self._adopt(model, training, seed, result)
        if plan.verbose and in_worker():
            print_summary(self, training, seed, result.history)
        _warn_of_missing(training, result)
        return self

    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> Self:
        """Train for one more epoch, at a constant learning rate.

        The classes and the mean and standard deviation of the channels stay those of
        the first call; the range of the channels grows.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images, as in `fit`.
        y : array-like of shape (n, height, width), or sequence
            Masks, as in `fit`.
        classes : array-like of shape (n_classes,), default=None
            All label values of the task; needed on the first call unless the parameter
            `classes` names them. The `ignore_label` is dropped from them.
        sample_weight : array-like of shape (n,) or (n, height, width), default=None
            Weights, as in `fit`.

        Returns
        -------
        FCNSegmenter
            The fitted segmenter itself.

        Raises
        ------
        ValueError, TypeError
            As in `fit`, and if `classes` are missing or differ from the earlier ones.
        OSError, MemoryError
            As in `fit`.
        """
        self._check_parameters()
        if self.early_stopping:
            raise ValueError(
                "early_stopping=True has no meaning for single epochs: partial_fit "
                "expects early_stopping=False."
            )
        self._check_callbacks(validates=False)
        check_fixed_weights(self.class_weight)
        continues = hasattr(self, "network_")
        images, steps = without_plan(X)
        training = training_set(
            as_samples(images, y, sample_weight, self._nodata),
            self._classes_of_partial_fit(classes, continues),
            self._ignored,
            self.verbose,
        )
        make = self._components(continues)
        seed = make.agree_on(self._draw_seed(continues))
        learned = self._learned_by_optimizer() if continues else None
        with enable_gradients():
            model = make.model_to_train(training, seed)
            plan = replace(
                make.plan_partial_fit(training),
                segmenter=self._in_training(model, training, seed),
            )
            batches = make.batches(training, steps, seed, model)
            result = train(model.network, batches, None, plan, learned)
        return self._adopt(model, training, seed, result)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable label of each pixel.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.

        Returns
        -------
        ndarray
            Masks with the values and the dtype of `classes_` (with `nodata`, one that
            also holds its label): for an array, one array ``(n, height, width)``;
            otherwise a 1-D object array of arrays ``(height, width)``.

        Raises
        ------
        NotFittedError
            If the segmenter is not fitted.
        ValueError, TypeError
            If `X` is invalid, or its number of channels is not that of training.
        OSError
            If an image file cannot be read.
        MemoryError
            If there is not enough memory for the smallest tiles, finally on the CPU, or
            for the result. Each step down is logged by the logger "sksegment".
        """
        images = self._images(X)
        predictor = self._predictor()
        masks = self._shown(predictor.labels(images, self.classes_), len(images))
        return collect(masks, len(images), images.is_array)

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class at each pixel.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.

        Returns
        -------
        ndarray
            Probabilities, float32, classes in the order of `classes_`, NaN where there
            is no data: for an array, one array ``(n, n_classes, height, width)``;
            otherwise a 1-D object array of arrays ``(n_classes, height, width)``.

        Raises
        ------
        NotFittedError
            If the segmenter is not fitted.
        ValueError, TypeError
            If `X` is invalid, or its number of channels is not that of training.
        OSError
            If an image file cannot be read.
        MemoryError
            If there is not enough memory for the smallest tiles, finally on the CPU, or
            for the result. Each step down is logged by the logger "sksegment".
        """
        images = self._images(X)
        predictor = self._predictor()
        probabilities = self._shown(predictor.probabilities(images), len(images))
        return collect(probabilities, len(images), images.is_array)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the mean IoU over all pixels of all images.

        It comes from one pooled confusion matrix, over the classes that occur in `y` or
        in the prediction. Pixel accuracy, the score of other classifiers, says little
        where one class covers most of an image.

        Parameters
        ----------
        X : array-like of shape (n, height, width[, n_channels]), or sequence
            Images: one array, or a sequence of arrays or of paths.
        y : array-like of shape (n, height, width), or sequence
            Their masks.
        sample_weight : array-like of shape (n,) or (n, height, width), default=None
            Weights, one per image or one per pixel.

        Returns
        -------
        float
            Between 0 and 1; equal to ``iou_scorer(self, X, y, sample_weight)``.

        Raises
        ------
        NotFittedError
            If the segmenter is not fitted.
        ValueError, TypeError
            If an input is invalid, or `y` holds a label outside `classes_`.
        OSError
            If an image file cannot be read.
        MemoryError
            As in `predict`.
        """
        images = self._images(X)  # an invalid X raises before y is looked at
        return float(iou_scorer(self, images.items, y, sample_weight=sample_weight))

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters.

        The parameters of a segmenter given as `pretrained` are not included: it is
        fitted, and changing them would have no effect.

        Parameters
        ----------
        deep : bool, default=True
            Has no effect.

        Returns
        -------
        dict
            Values by name.
        """
        return dict(super().get_params(deep=False))

    def set_params(self, **params: Any) -> Self:
        """Set parameters.

        Parameters
        ----------
        **params : dict
            Values by name.

        Returns
        -------
        FCNSegmenter
            The segmenter itself.

        Raises
        ------
        ValueError
            If a name is not that of a parameter.
        """
        for name in params:
            if name.startswith("pretrained__"):
                raise ValueError(
                    f"{name} would change nothing: pretrained already has its "
                    f"weights; expected another pretrained."
                )
        super().set_params(**params)
        return self

    def __sklearn_clone__(self) -> Self:
        # scikit-learn would also clone the segmenter in `pretrained`, and so unfit it.
        cloned = super().__sklearn_clone__()
        cloned.pretrained = self.pretrained
        return cloned

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # Images have three or four axes. check_estimator then skips its checks
        # (scikit-learn issue 14057): the tests of this package replace them.
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.non_deterministic = self.random_state is None
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return parameters, fitted numpy attributes and the weights as arrays."""
        state = dict(super().__getstate__())
        state.pop("_optimizer_state", None)
        check_portable(state)
        if "network_" in state:
            state["callbacks"] = reset_callbacks(self.callbacks)
            state["network_"] = arrays_to_save(self.network_, self._architecture)
        return {**state, VERSION_KEY: __version__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        warn_of_newer(state.pop(VERSION_KEY, None))
        arrays = state.pop("network_", None)
        super().__setstate__(filled_in(state, self._defaults()))
        if arrays is not None:
            version = getattr(self, "_timm_version", None)
            self.network_ = restored_network(
                self._architecture, arrays, self.margin_, version
            )

    def _check_parameters(self) -> None:
        parameters = self.get_params(deep=False)
        check_parameters(parameters)
        check_network_options(self.network, parameters, self._defaults())
        if unwrap_frozen(self.pretrained) is self:
            raise ValueError(
                "pretrained is the segmenter itself; expected another one, or "
                "warm_start=True, which continues from its own weights."
            )

    def _defaults(self) -> dict[str, Any]:
        declared = signature(type(self)).parameters
        return {name: declared[name].default for name in self._get_param_names()}

    def _check_callbacks(self, validates: bool) -> None:
        check_watched(self.callbacks, validates)
        check_scorings(self.callbacks, validates)

    def _components(self, continues: bool) -> Components:
        """Return what makes the parts of training and prediction."""
        fitted = self._fitted_model() if continues else None
        # A subclass may have other parameters, and fewer of them.
        own = {name: getattr(self, name) for name in signature(FCNSegmenter).parameters}
        return Components({**own, **self.get_params(deep=False)}, fitted)

    def _predictor(self) -> Predictor:
        """Return how the fitted network is run, according to the current parameters."""
        return self._components(continues=False).predictor(self._fitted_model())

    def _fitted_model(self) -> Model:
        """Return the network itself, no copy, with all that belongs to it."""
        scale = Scale(
            self.channel_mean_,
            self.channel_std_,
            self.channel_min_,
            self.channel_max_,
            None if self._nodata is None else self._nodata.value,
        )
        return Model(self.network_, self._architecture, scale, self.history_)

    def _known_classes(self, continues: bool) -> NDArray[Any] | None:
        """Return the classes that are fixed before `y` is looked at."""
        classes = check_classes(self.classes, self.ignore_label)
        if not continues:
            return classes
        if classes is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"classes is {self.classes!r}, but the network to continue from has "
                f"classes {self.classes_.tolist()}; expected the same, or "
                f"warm_start=False."
            )
        if is_ignored(self.classes_, self.ignore_label).any():
            raise ValueError(
                f"ignore_label={self.ignore_label!r} is one of the classes of the "
                f"network to continue from, {self.classes_.tolist()}; expected a label "
                f"that is not a class, or warm_start=False."
            )
        return self.classes_

    def _classes_of_partial_fit(
        self, classes: Any, continues: bool
    ) -> NDArray[Any] | None:
        own = self._known_classes(continues)
        known = check_passed_classes(classes, self.ignore_label)
        if own is None and known is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if own is not None and known is not None and not np.array_equal(known, own):
            raise ValueError(
                f"classes={classes!r} is not the same as before: {own.tolist()}, from "
                f"the parameter classes or the last call to partial_fit."
            )
        return known if own is None else own

    def _draw_seed(self, continues: bool) -> int:
        # Continuing keeps the seed: the same images stay held out.
        if continues:
            return self._seed
        return int(check_random_state(self.random_state).randint(MAX_SEED))

    def _learned_by_optimizer(self) -> dict[str, Any] | None:
        """Return the optimizer's state; None if of another one or not saved."""
        name, state = getattr(self, "_optimizer_state", (None, None))
        return state if name == self.optimizer else None

    def _adopt(
        self, model: Model, training: TrainingSet, seed: int, result: TrainingResult
    ) -> Self:
        """Take over what training learned; nothing has been changed until here."""
        history = [*model.history, *result.history]
        if result.history:
            self._set_fitted(replace(model, history=history), training, seed, result)
        elif not history and hasattr(self, "network_"):
            self._forget()
        if result.diverged_at is not None:
            kept = f"has the weights of epoch {result.best_epoch or len(history)}"
            raise ValueError(
                f"The loss became NaN or infinite in epoch {len(history) + 1} at "
                f"learning_rate={self.learning_rate}; expected a finite loss. Lower "
                f"learning_rate, or try precision='float32'. The segmenter "
                f"{kept if history else 'is not fitted'}."
            )
        return self

    def _in_training(self, model: Model, training: TrainingSet, seed: int) -> Self:
        """Return a segmenter with the network in training, for callbacks that score."""
        view = type(self)(**self.get_params(deep=False))
        view._set_fitted(model, training, seed, TrainingResult([], None, {}, None))
        return view

    def _set_fitted(
        self, model: Model, training: TrainingSet, seed: int, result: TrainingResult
    ) -> None:
        self.network_ = model.network.eval()
        self._architecture = model.architecture
        self.__dict__.pop("_timm_version", None)  # of an earlier fit
        if self._architecture.get("encoder") is not None:
            self._timm_version = timm_version(model.architecture)
        self._optimizer_state = (self.optimizer, result.optimizer_state)
        self._seed = seed
        self.classes_ = training.encoder.classes
        self.n_features_in_ = training.n_channels
        self.channel_mean_, self.channel_std_ = model.scale.mean, model.scale.std
        self.channel_min_, self.channel_max_ = model.scale.low, model.scale.high
        self.history_ = model.history
        self.n_iter_ = len(model.history)
        self.best_epoch_ = result.best_epoch
        self.stride_ = model.stride
        self.margin_ = model.margin

    def _forget(self) -> None:
        for name in [*vars(self)]:
            if name.endswith("_") or name in PRIVATE_STATE:
                delattr(self, name)

    def _images(self, X: Any) -> ImageList:
        check_is_fitted(self)
        nodata = None if self._nodata is None else self._nodata.value
        return as_images(X, self.n_features_in_, nodata)

    def _shown(
        self, answers: Iterator[NDArray[Any]], n_images: int
    ) -> Iterator[NDArray[Any]]:
        """Yield answers for images, and show how many there are."""
        return with_progress(answers, n_images, "predicting", "images", self.verbose)

    @property
    def _nodata(self) -> NoData | None:
        """What marks pixels without data, and their labels."""
        return nodata_of(self.nodata, self.ignore_label, self.nodata_label)

    @property
    def _ignored(self) -> Any:
        """The label of masks that is ignored in training."""
        return self.ignore_label if self._nodata is None else self._nodata.ignored

    @property
    def _result_labels(self) -> NDArray[Any]:
        """All labels that are predicted, with that of pixels without data last."""
        nodata = self._nodata
        return self.classes_ if nodata is None else nodata.extended(self.classes_)


def _warn_of_missing(training: TrainingSet, result: TrainingResult) -> None:
    """Warn about classes in the masks that the trained network never predicts."""
    if result.predicted is None:
        return
    missing = (training.pixels.sum(axis=0) > 0) & ~result.predicted
    if missing.any():
        labels = training.encoder.classes
        warnings.warn(
            f"In its last epoch the network predicted {result.predicted.sum()} of the "
            f"{len(labels)} classes; it never predicted "
            f"{format_labels(labels[missing])}. Train longer (max_epochs), or try "
            f"another learning_rate, class_weight='balanced', loss='dice', or "
            f"crop_sampling='balanced' with crop_size.",
            ConvergenceWarning,
            stacklevel=3,
        )
