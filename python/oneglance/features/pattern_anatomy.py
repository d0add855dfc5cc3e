"""Where a network keeps its patches and its class token's attention, found by its parts and one traced picture."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from .backbones import Backbone
from .pattern_attention import kind_of
from .pattern_maps import Call, find_map, trace
from .pattern_spec import PatternSpec
from .pooling import has_channels_last, has_class_token, pick_output, prefix_tokens

CURE = (
    "Pass attention=False / --no-attention to keep all patches (uniform attention), name the modules with "
    "Backbone(..., hooks=PatternHooks(...)), or leave patterns out for this backbone."
)
_NORMS = ("norm", "layernorm", "ln", "ln_post", "post_layernorm", "layer_norm", "ln_f", "final_norm", "fc_norm")
_POSITIONS = ("pos_embed", "pos_embedding", "position_embeddings", "positional_embedding", "position_embedding")
_ATTENTION = re.compile(r"(?i)self_?attention|windowattention|multihead|^attention$")
_QUERIES = ("qkv", "to_qkv", "q_proj", "query", "in_proj_weight", "kv")


@dataclass(frozen=True)
class Anatomy:
    """Paths (as in named_modules()) of what to hook.

    patches    module whose output holds them, or whose input does (of_input); None: what the network returns
    is_map     (N, C, h, w) rather than tokens (N, T, d); channels_last: (N, h, w, C)
    norm       final norm to apply to tokens, None: as they are
    attention  attention module of the last block, None: none is looked at
    n_prefix   tokens to leave out
    """

    patches: str | None
    is_map: bool = False
    of_input: bool = False
    channels_last: bool = False
    norm: str | None = None
    attention: str | None = None
    n_prefix: int = 0

    def words(self) -> str:
        """For the manifest."""
        where = "the network's output"
        if self.patches is not None:
            where = f"{'input' if self.of_input else 'output'} of {self.patches or 'the network'}"
        if self.is_map:
            return f"positions of the map, {where}"
        through = f" through {self.norm}" if self.norm else ""
        without = f" without the first {self.n_prefix}" if self.n_prefix else ""
        seen = f"; attention of the class token in {self.attention}" if self.attention else "; no attention"
        return f"tokens, {where}{through}{without}{seen}"


def find_anatomy(backbone: Backbone, spec: PatternSpec, batch: Tensor, compute: str) -> Anatomy:
    """Looks at the module and at one traced forward pass. Raises InvalidInput with the cure."""
    module = backbone.module
    if backbone.hooks is not None:
        return _named(backbone, spec)
    calls, result = trace(backbone, batch, compute)
    with contextlib.suppress(InvalidInput):  # no tensor among the outputs: pooling will say so
        result = pick_output(result, backbone.name, backbone.output, backbone.pool)[0]
    shape = tuple(result.shape) if isinstance(result, Tensor) else ()
    stacks = [] if isinstance(module, torch.jit.ScriptModule) else list(block_stacks(module))
    if len(stacks) == 1:
        return _of_stack(backbone, spec, stacks[0], calls)
    unread = _unread_attention(module)
    if unread is not None and spec.attention:
        why = f"it has {len(stacks)} stacks of blocks" if stacks else f"nothing is known about its {unread}"
        raise unreachable(backbone, f"{why}, one stack of blocks with one self-attention each was looked for")
    channels_last = has_channels_last(module)
    if len(shape) == 4:
        return Anatomy(None, is_map=True, channels_last=channels_last)
    found = None if _has_tokens(module) else find_map(calls)
    if len(shape) == 3 and (unread is not None or found is None):
        if spec.attention:
            raise unreachable(backbone, f"it returns tokens {shape} and shows no blocks with self-attention")
        return Anatomy(None, n_prefix=prefix_tokens(module))
    if found is None:
        raise InvalidInput(
            f'patterns of backbone "{backbone.name}": {_class(module)} returns {shape or type(result).__name__} '
            "and no map (N, C, h, w) was seen near its end. Give a module that returns its map or its tokens, name "
            "the modules with Backbone(..., hooks=PatternHooks(...)), or leave patterns out for this backbone."
        )
    path, of_input = found
    return Anatomy(path, is_map=True, of_input=of_input, channels_last=channels_last)


def unreachable(backbone: Backbone, why: str) -> InvalidInput:
    """The error for a network whose attention cannot be had."""
    return InvalidInput(
        f'patterns of backbone "{backbone.name}": the attention of the class token of {_class(backbone.module)} '
        f"cannot be read: {why}. {CURE}"
    )


def _named(backbone: Backbone, spec: PatternSpec) -> Anatomy:
    hooks = backbone.hooks
    if hooks is None:
        raise RuntimeError("no hooks")
    known = dict(backbone.module.named_modules())
    for field, path in (("patches", hooks.patches), ("norm", hooks.norm), ("attention", hooks.attention)):
        if path is not None and path not in known:
            raise InvalidInput(
                f'hooks of backbone "{backbone.name}": {field}={path!r} is no path in '
                f"{_class(backbone.module)}. There are {[name for name in known if name][:6]}, ...; see "
                "module.named_modules()."
            )
    attention = hooks.attention if spec.attention else None
    if attention is not None and kind_of(known[attention]) is None:
        raise unreachable(backbone, f"hooks.attention={attention!r} is a {type(known[attention]).__name__}")
    return Anatomy(hooks.patches, norm=hooks.norm, attention=attention, n_prefix=hooks.n_prefix)


def block_stacks(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Lists of blocks with exactly one self-attention each, the innermost ones; of a picture-and-text model those
    of its picture half."""
    found = {}
    for path, part in module.named_modules():
        is_list = isinstance(part, (nn.ModuleList, nn.Sequential)) and len(part) > 0
        if is_list and all(sum(kind_of(inner) is not None for inner in block.modules()) == 1 for block in part):
            found[path] = part
    inner = [path for path in found if not any(_is_inside(other, path) for other in found)]
    visual = [path for path in inner if re.search(r"vis(ion|ual)|image", path)]
    for path in visual or inner:
        yield path, found[path]


def _is_inside(path: str, outer: str) -> bool:
    return path != outer and path.startswith(f"{outer}." if outer else "")


def _of_stack(backbone: Backbone, spec: PatternSpec, stack: tuple[str, nn.Module], calls: list[Call]) -> Anatomy:
    path, blocks = stack
    names = [name for name, _ in blocks.named_children()]
    dot = f"{path}." if path else ""
    if len(names) < 2:
        raise InvalidInput(
            f'patterns of backbone "{backbone.name}": {_class(backbone.module)} has {len(names)} block in '
            f"{path or 'itself'}; the patches come from the second-to-last, so at least 2 are needed. "
            "Take a deeper network, or name the modules with Backbone(..., hooks=PatternHooks(...))."
        )
    attention = None
    if spec.attention:
        if not has_class_token(backbone.module):
            raise unreachable(backbone, "it has no class token (a parameter like cls_token was looked for)")
        last = blocks.get_submodule(names[-1])
        inside = next(name for name, part in last.named_modules() if kind_of(part) is not None)
        attention = ".".join(filter(None, (f"{dot}{names[-1]}", inside)))
    n_prefix = _prefix(backbone, f"{dot}{names[-2]}", calls, attention is not None)
    return Anatomy(f"{dot}{names[-2]}", norm=final_norm(backbone, path), attention=attention, n_prefix=n_prefix)


def final_norm(backbone: Backbone, path: str) -> str | None:
    """The norm after the blocks, beside them or further out; None for a network that was built without one."""
    parts, identity = path.split("."), False
    for depth in range(len(parts) - 1, -1, -1):
        above = ".".join(parts[:depth])
        children = dict(backbone.module.get_submodule(above).named_children())
        for name in _NORMS:
            if isinstance(children.get(name), nn.Identity):
                identity = True
            elif name in children:
                return f"{above}.{name}" if above else name
        if identity:
            return None
    raise InvalidInput(
        f'patterns of backbone "{backbone.name}": no final norm was found beside {path!r} of '
        f"{_class(backbone.module)} ({', '.join(_NORMS)} were looked for). Name the modules with "
        "Backbone(..., hooks=PatternHooks(...))."
    )


def _prefix(backbone: Backbone, block: str, calls: list[Call], by_attention: bool) -> int:
    """Tokens before the patches: by the parameters' names, held against the positions of the patch embedding's
    convolution where there is one. Without attention a class token that joins only later (CaiT) is no matter."""
    n_prefix = prefix_tokens(backbone.module)
    before = next((call for call in calls if call.path == block), None)
    if before is None or len(before.shape) != 3:
        return n_prefix  # the reader will say that the block was not called
    grids = [call.shape for call in calls if call.is_convolution and len(call.shape) == 4 and call.ended < before.began]
    if not grids:
        return n_prefix
    n_patches, n_tokens = grids[-1][2] * grids[-1][3], max(before.shape[:2])  # one picture was traced
    if n_tokens == n_patches and not by_attention:
        return 0
    if n_tokens == n_patches + n_prefix:
        return n_prefix
    raise InvalidInput(
        f'patterns of backbone "{backbone.name}": {_class(backbone.module)} has {n_tokens} tokens, its patch '
        f"embedding {n_patches} positions, and {n_prefix} tokens before the patches are known. Name the modules and "
        "n_prefix with Backbone(..., hooks=PatternHooks(...))."
    )


def _unread_attention(module: nn.Module) -> str | None:
    """The class of some part that looks like self-attention, or like a network of tokens."""
    for part in module.modules():
        name = _class(part)
        holds = any(isinstance(getattr(part, query, None), (nn.Module, Tensor)) for query in _QUERIES)
        if holds or _ATTENTION.search(name):
            return name
    return _class(module) if _has_tokens(module) else None


def _class(module: nn.Module) -> str:
    """The class's name, of TorchScript the one it was made from."""
    return str(getattr(module, "original_name", type(module).__name__))


def _has_tokens(module: nn.Module) -> bool:
    """Class token or position embedding: the maps inside are then not the network's last word."""
    names = {name.rpartition(".")[2] for name, _ in module.named_parameters()}
    return has_class_token(module) or bool(names.intersection(_POSITIONS))
