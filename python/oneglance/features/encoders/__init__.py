"""Compact encoders that `oneglance pretrain` trains from nothing, for pictures of any size and number of channels."""

from .make import SIZES, build_encoder, choose_shape
from .positions import sincos_positions
from .resnet import SmallResNet
from .shape import Shape
from .vit import SmallViT

__all__ = ["SIZES", "Shape", "SmallResNet", "SmallViT", "build_encoder", "choose_shape", "sincos_positions"]
