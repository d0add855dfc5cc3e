"""Three small Torch backbones, trained from nothing on unlabelled pictures in seconds, for `quickstart`.

They need no download and no labels. They are toys, and are meant to be: small enough to be trained while one
watches, different enough in make and in training goal that a selection for all of them is a real question.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import InvalidInput

SIDE = 8
"""Side of the pictures in pixels. One grey channel, values in [0, 1]."""

N_DIMS = 32
"""Features per picture, the same for the three."""

_BATCH = 128
_PATCH = 2

Loss: TypeAlias = Callable[[Tensor, torch.Generator], Tensor]
Goal: TypeAlias = tuple[nn.Module, Loss]  # what is needed in training only, and the loss


class ConvEncoder(nn.Module):
    """(b, 1 or 3, 8, 8) grey pictures -> (b, 32) features: three convolutions and a linear map."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(32 * (SIDE // 4) ** 2, N_DIMS),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.layers(grey(pictures))
        return features


class PatchTransformer(nn.Module):
    """(b, 1 or 3, 8, 8) grey pictures -> (b, 32): 2 x 2 pixel patches, two blocks, mean over patches."""

    def __init__(self) -> None:
        super().__init__()
        n_patches = (SIDE // _PATCH) ** 2
        self.embed = nn.Linear(_PATCH**2, N_DIMS)
        self.position = nn.Parameter(0.2 * torch.randn(n_patches, N_DIMS))
        self.hidden = nn.Parameter(torch.zeros(N_DIMS))  # stands in for a masked patch during training
        # nn.TransformerEncoder is avoided: its fast path computes other bits in eval than in train mode.
        self.blocks = nn.ModuleList(_Block() for _ in range(2))

    def tokens(self, pictures: Tensor, masked: Tensor | None = None) -> Tensor:
        """(b, 16, 32) one vector per patch; patches with `masked` (b, 16) True are hidden."""
        tokens = self.embed(patches(pictures))
        if masked is not None:
            tokens = torch.where(masked[..., None], self.hidden, tokens)
        tokens = tokens + self.position
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = tokens
        return out

    def forward(self, pictures: Tensor) -> Tensor:
        return self.tokens(grey(pictures)).mean(dim=1)


class _Block(nn.Module):
    """Pre-norm attention (4 heads) and a two-layer perceptron, each added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(N_DIMS), nn.LayerNorm(N_DIMS)
        self.qkv, self.out = nn.Linear(N_DIMS, 3 * N_DIMS), nn.Linear(N_DIMS, N_DIMS)
        self.mlp = nn.Sequential(nn.Linear(N_DIMS, 2 * N_DIMS), nn.GELU(), nn.Linear(2 * N_DIMS, N_DIMS))

    def forward(self, tokens: Tensor) -> Tensor:
        b, t, d = tokens.shape
        q, k, v = self.qkv(self.norm1(tokens)).view(b, t, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d)
        tokens = tokens + self.out(mixed)
        summed: Tensor = tokens + self.mlp(self.norm2(tokens))
        return summed


def grey(pictures: Tensor) -> Tensor:
    """One channel of a grey picture that was read as three equal ones."""
    return pictures[:, :1]


def patches(pictures: Tensor) -> Tensor:
    """(b, 1, 8, 8) -> (b, 16, 4): the 2 x 2 pixel patches, row by row."""
    return functional.unfold(pictures, _PATCH, stride=_PATCH).transpose(1, 2)


def _denoise_goal(encoder: Any) -> Goal:
    decoder = nn.Sequential(nn.Linear(N_DIMS, 128), nn.GELU(), nn.Linear(128, SIDE**2))

    def loss(clean: Tensor, random: torch.Generator) -> Tensor:
        noisy = clean + 0.25 * torch.randn(clean.shape, generator=random)
        return functional.mse_loss(decoder(encoder(noisy)), clean.flatten(1))

    return decoder, loss


def _patch_goal(encoder: Any) -> Goal:
    decoder = nn.Linear(N_DIMS, _PATCH**2)

    def loss(pictures: Tensor, random: torch.Generator) -> Tensor:
        wanted = patches(pictures)
        masked = torch.rand(wanted.shape[:2], generator=random) < 0.5
        guess = decoder(encoder.tokens(pictures, masked))
        error: Tensor = ((guess - wanted).square().mean(dim=2) * masked).sum() / masked.sum().clamp(min=1)
        return error

    return decoder, loss


def _contrast_goal(encoder: Any) -> Goal:
    projector = nn.Sequential(nn.Linear(N_DIMS, 64), nn.GELU(), nn.Linear(64, 32))

    def loss(pictures: Tensor, random: torch.Generator) -> Tensor:
        views = torch.cat([_view(pictures, random), _view(pictures, random)])
        points = functional.normalize(projector(encoder(views)), dim=1)
        n_views = points.shape[0]
        likeness = (points @ points.T / 0.2).masked_fill(torch.eye(n_views, dtype=torch.bool), -1e9)
        other_view = torch.arange(n_views).roll(n_views // 2)
        return functional.cross_entropy(likeness, other_view)

    return projector, loss


def _view(pictures: Tensor, random: torch.Generator) -> Tensor:
    """A changed copy: moved by up to a pixel, brighter or darker by up to 30 %, with noise of 0.15."""
    n, wide = pictures.shape[0], SIDE + 2
    rows, columns = torch.randint(0, 3, (2, n, 1, 1), generator=random)
    steps = torch.arange(SIDE)
    place = ((rows + steps[:, None]) * wide + columns + steps).view(n, -1)
    moved = functional.pad(pictures, (1, 1, 1, 1)).view(n, -1).gather(1, place).view_as(pictures)
    light = 0.7 + 0.6 * torch.rand(n, 1, 1, 1, generator=random)
    return moved * light + 0.15 * torch.randn(pictures.shape, generator=random)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a small backbone is (`what`, one honest sentence), how it is made and what it is trained for."""

    what: str
    make: Callable[[], nn.Module]
    goal: Callable[[Any], Goal]


RECIPES: dict[str, Recipe] = {
    "denoiser": Recipe("convolutional encoder trained to take noise off the pictures", ConvEncoder, _denoise_goal),
    "patches": Recipe("two-block transformer trained to guess hidden 2 x 2 patches", PatchTransformer, _patch_goal),
    "contrast": Recipe(
        "convolutional encoder trained to match two changed copies (SimCLR)",
        ConvEncoder,
        _contrast_goal,
    ),
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A small backbone in eval mode, the last loss of its own goal, and its seconds."""

    module: nn.Module
    loss: float
    elapsed_s: float


def train_small_backbone(name: str, pictures: Any, *, epochs: int = 40, seed: int = 0) -> Trained:
    """Train one of `RECIPES` on pictures without labels.

    name      "denoiser", "patches" or "contrast"
    pictures  (n, 1, 8, 8) float32 in [0, 1], NumPy or torch CPU; labels are not even an argument
    epochs    readings of all pictures; 0 leaves the weights as they were drawn

    Runs on one thread from its own random numbers: the same seed gives the same weights on the same machine
    and torch build. Not promised across machines: last bits may differ there, and training amplifies them.
    The caller's torch random state and thread count are as before afterwards.
    Cost: 2 to 6 s for 1,200 pictures and 40 epochs on one slow core. Raises InvalidInput.
    """
    if name not in RECIPES:
        raise InvalidInput(f"name must be one of {', '.join(RECIPES)}; got {name!r}.")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 0:
        raise InvalidInput(f"epochs must be an integer >= 0, got {epochs!r}.")
    data = torch.as_tensor(pictures, dtype=torch.float32)
    if data.ndim != 4 or tuple(data.shape[1:]) != (1, SIDE, SIDE) or data.shape[0] < 2:
        raise InvalidInput(
            f"pictures must have shape (n >= 2, 1, {SIDE}, {SIDE}), got {tuple(data.shape)}. "
            "Resize them, or embed with a backbone made for their size."
        )
    recipe, started, n_threads = RECIPES[name], time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(1)  # sums are then added in one order
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            module = recipe.make()
            helper, loss_of = recipe.goal(module)
            loss = _train(nn.ModuleList([module, helper]), loss_of, data, epochs, seed)
    finally:
        torch.set_num_threads(n_threads)
    module.eval().requires_grad_(False)
    return Trained(module, loss, time.perf_counter() - started)


def _train(
    modules: nn.Module,
    loss_of: Loss,
    data: Tensor,
    epochs: int,
    seed: int,
) -> float:
    """AdamW with one learning-rate cycle; the loss of the last batch, NaN without training."""
    random = torch.Generator().manual_seed(seed)
    n_steps = epochs * -(-data.shape[0] // _BATCH)
    if n_steps == 0:
        return float("nan")
    optimizer = torch.optim.AdamW(modules.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=max(n_steps, 4))
    last = float("nan")
    for _ in range(epochs):
        order = torch.randperm(data.shape[0], generator=random)
        for start in range(0, data.shape[0], _BATCH):
            loss = loss_of(data[order[start : start + _BATCH]], random)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            last = float(loss.detach())
    return last
