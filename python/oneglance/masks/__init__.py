"""Self-masking networks: one bit per frozen weight says whether it is kept."""

from .bits import BitMask, apply_mask, pack_mask, pack_scores, unpack_mask, xor_masks
from .codec import decode_masks, encode_masks
from .hashes import masks_hash, weights_hash
from .mask_file import MaskState, read_mask_file, write_mask_file
from .sizes import MaskSizes

__all__ = [
    "BitMask",
    "MaskSizes",
    "MaskState",
    "apply_mask",
    "decode_masks",
    "encode_masks",
    "masks_hash",
    "pack_mask",
    "pack_scores",
    "read_mask_file",
    "unpack_mask",
    "weights_hash",
    "write_mask_file",
    "xor_masks",
]
