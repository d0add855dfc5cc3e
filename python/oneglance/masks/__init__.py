"""Self-masking networks: one bit per frozen weight says whether it is kept."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependency
from .bits import BitMask, apply_mask, pack_mask, pack_scores, unpack_mask, xor_masks
from .codec import decode_masks, encode_masks
from .hashes import masks_hash, weights_hash
from .mask_file import MaskState, read_mask_file, write_mask_file
from .sizes import MaskSizes
from .stack import MaskStack

if TYPE_CHECKING:
    from .adabn import estimate_statistics
    from .adapting import adapt_masks
    from .bank import MaskBank
    from .cascade import Cascade, adapt_cascade, load_cascade
    from .crops import Crops
    from .guard import Verdict
    from .rules import choose_tensors
    from .self_mask import SelfMask, load_mask
    from .settings import Settings, choose_settings

__all__ = [
    "BitMask",
    "Cascade",
    "Crops",
    "MaskBank",
    "MaskSizes",
    "MaskStack",
    "MaskState",
    "SelfMask",
    "Settings",
    "Verdict",
    "adapt_cascade",
    "adapt_masks",
    "apply_mask",
    "choose_settings",
    "choose_tensors",
    "decode_masks",
    "encode_masks",
    "estimate_statistics",
    "load_cascade",
    "load_mask",
    "masks_hash",
    "pack_mask",
    "pack_scores",
    "read_mask_file",
    "unpack_mask",
    "weights_hash",
    "write_mask_file",
    "xor_masks",
]

# Loaded at first use: bits and files need no torch.
_TORCH = {
    "Cascade": "cascade",
    "Crops": "crops",
    "MaskBank": "bank",
    "SelfMask": "self_mask",
    "Settings": "settings",
    "Verdict": "guard",
    "adapt_cascade": "cascade",
    "adapt_masks": "adapting",
    "choose_settings": "settings",
    "choose_tensors": "rules",
    "estimate_statistics": "adabn",
    "load_cascade": "cascade",
    "load_mask": "self_mask",
}


def __getattr__(name: str) -> Any:
    if name not in _TORCH:
        raise AttributeError(f"module 'oneglance.masks' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(f".{_TORCH[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependency(f'oneglance.masks.{name} needs torch: pip install "oneglance[torch]"') from None
    globals()[name] = value
    return value
