"""AdaBN: a network's batch norms with the statistics of the target pool. The baseline of every adaptation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..features.backbones import Backbone
from .evaluate import measure_statistics
from .network import statistics_of
from .pool import opened


def estimate_statistics(model: Any, images: Any, *, device: Any = "auto") -> None:
    """Replaces means and variances of the model's batch norms by those over the pictures. Changes the model.

    model  an nn.Module or a Backbone       images  as for adapt_masks
    One pass. Without batch norms nothing happens. Source: AdaBN, arXiv 1603.04779. Raises InvalidInput, BadData.
    """
    backbone = model if isinstance(model, Backbone) else Backbone(model)
    module: nn.Module = backbone.module
    if not statistics_of(module):
        return
    with opened(backbone, images, device=device) as pool:
        found = measure_statistics(pool.net, pool.shelf, {}, pool.device)
    with torch.no_grad():
        for name, value in statistics_of(module).items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(found[name])
