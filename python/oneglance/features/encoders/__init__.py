"""Compact encoders that `oneglance pretrain` trains from nothing, for pictures of any size and number of channels."""

from .make import SIZES, Shape, build_encoder
from .positions import sincos_positions
from .resnet import SmallResNet
from .vit import SmallViT

__all__ = ["SIZES", "Shape", "SmallResNet", "SmallViT", "build_encoder", "sincos_positions"]
