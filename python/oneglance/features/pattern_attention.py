"""The class token's attention, computed from q and K by the attention module's own weights.

Fused kernels give no attention map, so its first row is recomputed from what goes into the module: one query per
picture against all keys, O(d) per token on top of the key projection. Which arithmetic a module does is read off
its parts; whether it was read right is measured (matches()), so an unknown kind is refused, not guessed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cuda.mask_bits import library_if_built
from ..cuda.patterns import class_attention

Parts: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
"""q of token 0 (N, 1, heads * d_head), K and V of all (N, T, ...)."""

_SEPARATE = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"))
_OUTPUTS = ("proj", "o_proj", "out_proj")
_TOLERANCE, _COARSE = 2e-3, 0.1  # of the largest output: float32 (also with TF32), and half precision


@dataclass(frozen=True)
class Row:
    """One query row of an attention: weights (N, heads, T) float32 that sum to 1, and values (N, heads, T, d_head),
    None where they were not asked for."""

    weights: Tensor
    values: Tensor | None


def kind_of(module: nn.Module) -> str | None:
    """How the module keeps its projections: "packed", "fused", "separate", or None if it is no attention we read."""
    if isinstance(module, nn.MultiheadAttention):
        return "packed"
    if _n_heads(module) is None:
        return None
    if isinstance(getattr(module, "qkv", None), nn.Module):
        return "fused"
    return "separate" if _separate(module) is not None else None


def tokens_in(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """The (N, T, d) tokens that an attention module was called with."""
    named = ("hidden_states", "query", "x", "input")
    found = args[0] if args else next((kwargs[name] for name in named if name in kwargs), None)
    if not isinstance(found, Tensor) or found.ndim != 3:
        what = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
        raise ValueError(f"its attention takes {what}, tokens (N, T, d) are needed")
    return batch_first(found, module)


def batch_first(tokens: Tensor, module: nn.Module) -> Tensor:
    """nn.MultiheadAttention may have its tokens before its pictures."""
    sideways = isinstance(module, nn.MultiheadAttention) and not module.batch_first
    return tokens.transpose(0, 1) if sideways else tokens


def class_row(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, values: bool = False) -> Row:
    """Attention of token 0: softmax over all tokens, per head. In float32 whatever autocast is on.

    values  also project the values, for matches()
    """
    q, k, v = _by_heads(module, args, kwargs, values)
    n_heads, d_head = q.shape[1], q.shape[3]
    with torch.autocast(q.device.type, enabled=False):
        logits = (q.float() @ _to_heads(k, n_heads).float().transpose(-2, -1))[:, :, 0] * _scale(module, d_head)
        return Row(logits.softmax(dim=-1), None if v is None else _to_heads(v, n_heads))


def mean_attention(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], n_prefix: int) -> Tensor:
    """(N, T - n_prefix) float32: the mean of class_row()'s weights over heads, without the first n_prefix tokens. On a
    CUDA device by one kernel."""
    q, k, _ = _by_heads(module, args, kwargs, values=False)
    library = library_if_built(q, "query")
    if library is not None:
        scale = _scale(module, q.shape[3])
        mean: Tensor | None = class_attention(q.float(), k.float(), scale, n_prefix, library)
        if mean is not None:
            return mean
    return class_row(module, args, kwargs).weights.mean(dim=1)[:, n_prefix:]


def matches(module: nn.Module, row: Row, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> bool:
    """True if attention times values, through the module's own output layers, is what the module returned for
    token 0. A bias, mask, rotation or temperature that class_row() does not know shows here."""
    if row.values is None:
        raise RuntimeError("matches() needs the values")
    with torch.autocast(row.values.device.type, enabled=False):
        dtype = row.values.dtype
        mixed = (row.weights.to(dtype)[:, :, None] @ row.values)[:, :, 0].flatten(1)
        norm, gate = getattr(module, "norm", None), getattr(module, "gate", None)
        if isinstance(norm, nn.Module):
            mixed = norm(mixed)
        if isinstance(gate, nn.Module):
            mixed = mixed * gate(tokens_in(module, args, kwargs)[:, 0].to(dtype)).sigmoid()
        last = next((part for name in _OUTPUTS if isinstance(part := getattr(module, name, None), nn.Module)), None)
        expected = mixed if last is None else last(mixed)
    returned = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(returned, Tensor) or returned.ndim != 3:
        return False
    given = batch_first(returned, module)[:, 0]
    if given.shape != expected.shape:
        return False
    error = (given.double() - expected.double()).abs().max()
    fine = given.dtype in (torch.float32, torch.float64) and dtype in (torch.float32, torch.float64)
    limit = (_TOLERANCE if fine else _COARSE) * expected.double().abs().max()
    return bool(error <= limit) or not bool(given.isfinite().all())


def _by_heads(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], values: bool) -> Parts:
    """q of token 0 (N, heads, 1, d_head), K and V of all (N, key heads, T, d_head), normalised and rotated."""
    tokens = tokens_in(module, args, kwargs)
    kind = kind_of(module)
    with torch.autocast(tokens.device.type, enabled=False):
        tokens = tokens.to(_weight_dtype(module, tokens.dtype))
        if kind == "packed":
            q, k, v = _packed(module, tokens, values)
        elif kind == "fused":
            q, k, v = _fused(module, tokens, values)
        else:
            q, k, v = _by_parts(module, tokens, values)
        d_head = q.shape[-1] // (_n_heads(module) or 1)
        q, k = _normalised(module, _split(q, d_head), _split(k, d_head))
        return q, _rotated(module, k, args, kwargs), None if v is None else _split(v, d_head)


def _n_heads(module: nn.Module) -> int | None:
    for name in ("num_heads", "num_attention_heads", "n_heads"):
        count = getattr(module, name, None)
        if isinstance(count, int) and not isinstance(count, bool) and count > 0:
            return count
    return None


def _separate(module: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module] | None:
    for names in _SEPARATE:
        parts = [getattr(module, name, None) for name in names]
        if all(isinstance(part, nn.Module) for part in parts):
            return parts[0], parts[1], parts[2]  # type: ignore[return-value]
    return None


def _weight_dtype(module: nn.Module, otherwise: torch.dtype) -> torch.dtype:
    weights = (weight.dtype for weight in module.parameters() if weight.dtype.is_floating_point and weight.ndim == 2)
    return next(weights, otherwise)


def _split(rows: Tensor, d_head: int) -> Tensor:
    """(N, T, heads * d_head) -> (N, heads, T, d_head)."""
    return rows.reshape(*rows.shape[:2], -1, d_head).transpose(1, 2)


def _to_heads(rows: Tensor, n_heads: int) -> Tensor:
    """Grouped queries: several heads share a key."""
    return rows if rows.shape[1] == n_heads else rows.repeat_interleave(n_heads // rows.shape[1], dim=1)


def _packed(module: nn.Module, tokens: Tensor, values: bool) -> Parts:
    weight, bias = module.in_proj_weight, module.in_proj_bias
    if not isinstance(weight, Tensor):
        raise ValueError("its nn.MultiheadAttention has keys of another width (kdim=)")
    return _thirds(tokens, weight, bias if isinstance(bias, Tensor) else None, values)


def _thirds(tokens: Tensor, weight: Tensor, bias: Tensor | None, values: bool) -> Parts:
    """One matrix for q, K and V, one under the other; only what is needed is multiplied."""
    biases = (None, None, None) if bias is None else bias.chunk(3)
    q, k, v = weight.chunk(3)
    return (
        functional.linear(tokens[:, :1], q, biases[0]),
        functional.linear(tokens, k, biases[1]),
        functional.linear(tokens, v, biases[2]) if values else None,
    )


def _fused(module: nn.Module, tokens: Tensor, values: bool) -> Parts:
    qkv: Any = module.qkv
    first, last = getattr(module, "q_bias", None), getattr(module, "v_bias", None)
    bias = None
    if isinstance(first, Tensor) and isinstance(last, Tensor):  # timm's EVA; keys have none
        bias = torch.cat([first, torch.zeros_like(first), last])
    if type(qkv) is nn.Linear:
        return _thirds(tokens, qkv.weight, qkv.bias if bias is None else bias, values)
    rows = qkv(tokens) if bias is None else qkv(tokens) + bias  # a wrapped layer, e.g. with an adapter
    q, k, v = rows.chunk(3, dim=-1)
    return q[:, :1], k, v


def _by_parts(module: nn.Module, tokens: Tensor, values: bool) -> Parts:
    parts = _separate(module)
    if parts is None:
        raise ValueError(f"its attention {type(module).__name__} has no projections that are known here")
    q, k, v = parts
    return q(tokens[:, :1]), k(tokens), v(tokens) if values else None


def _normalised(module: nn.Module, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    norms = [getattr(module, name, None) for name in ("q_norm", "k_norm")]
    q = norms[0](q) if isinstance(norms[0], nn.Module) else q
    return q, norms[1](k) if isinstance(norms[1], nn.Module) else k


def _scale(module: nn.Module, d_head: int) -> float:
    found = next((getattr(module, name) for name in ("scale", "scaling") if hasattr(module, name)), None)
    return float(found) if isinstance(found, (int, float)) else float(d_head**-0.5)


def _rotated(module: nn.Module, k: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """Keys with the rotary embedding that the module was called with. Prefix tokens, hence the query, have none."""
    pair = kwargs.get("position_embeddings")
    if pair is not None:  # transformers: (cos, sin), by the function beside the module's class
        apply: Any = getattr(sys.modules[type(module).__module__], "apply_rotary_pos_emb", None)
        if apply is None or not isinstance(pair, (tuple, list)) or k.shape[-2] <= pair[0].shape[-2]:
            raise ValueError("its rotary embedding is of a kind that is not known here")
        rotated: Tensor = apply(k, k, *(part.to(k.dtype) for part in pair))[1]
        return rotated
    rope = kwargs.get("rope", args[1] if len(args) > 1 and hasattr(module, "num_prefix_tokens") else None)
    if rope is None:
        return k
    if not isinstance(rope, Tensor):
        raise ValueError("its rotary embedding is of a kind that is not known here")
    import timm.layers

    layers: Any = timm.layers
    n_prefix = int(getattr(module, "num_prefix_tokens", 0))
    if n_prefix < 1:
        raise ValueError("its rotary embedding turns the class token as well")
    half = {"half": True} if getattr(module, "rotate_half", False) else {}
    turned = layers.apply_rot_embed_cat(k[:, :, n_prefix:], rope.to(k.dtype), **half)
    return torch.cat([k[:, :, :n_prefix], turned], dim=2)
