"""What FCNSegmenter has no parameter for, as users add it to a training."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from skorch.callbacks import Callback
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

SMOOTHING = 0.1
# Of the average, at each step: about the last 50 count.
DECAY = 0.98


def smoothed_cross_entropy(
    scores: Tensor, codes: Tensor, weights: Tensor | None
) -> Tensor:
    """Return the cross-entropy with a tenth of each pixel spread over all classes."""
    assert weights is None
    return F.cross_entropy(scores, codes, ignore_index=-1, label_smoothing=SMOOTHING)


class AveragedWeights(Callback):  # type: ignore[misc]
    """Leave a moving average of the weights of all steps, not those of the last."""

    def on_train_begin(self, net: Any, **_: Any) -> None:
        average = get_ema_multi_avg_fn(DECAY)
        self.averaged_ = AveragedModel(
            net.module_, multi_avg_fn=average, use_buffers=True
        )

    def on_batch_end(self, net: Any, training: bool = False, **_: Any) -> None:
        if training:
            self.averaged_.update_parameters(net.module_)

    def on_train_end(self, net: Any, **_: Any) -> None:
        net.module_.load_state_dict(self.averaged_.module.state_dict())
