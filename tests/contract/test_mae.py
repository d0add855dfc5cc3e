"""Masked reconstruction against its float64 definition."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from oneglance.errors import InvalidInput  # noqa: E402
from oneglance.features.encoders import SmallViT, sincos_positions  # noqa: E402
from oneglance.features.encoders.patches import rows_of, to_patches  # noqa: E402
from oneglance.pretraining.mae import (  # noqa: E402
    MaeObjective,
    random_masking,
    standardise,
    to_pictures,
)
from oneglance.pretraining.objective import Batch, Facts  # noqa: E402
from oneglance.pretraining.told import sheet_of, tell  # noqa: E402
from oneglance.reference import mae as reference  # noqa: E402


@pytest.mark.parametrize(("height", "width", "n_dims"), [(1, 1, 4), (2, 3, 8), (7, 5, 64), (1, 17, 12), (14, 14, 128)])
def test_positions_are_those_of_the_definition(height, width, n_dims):
    found = sincos_positions(height, width, n_dims).numpy()
    assert found.shape == (height * width, n_dims)
    assert np.abs(found - reference.sincos_positions(height, width, n_dims)).max() <= 1e-6
    assert len(np.unique(found.round(5), axis=0)) == height * width  # every place has its own


@pytest.mark.parametrize("n_dims", [0, 2, 6, 13])
def test_positions_need_a_multiple_of_four(n_dims):
    with pytest.raises(InvalidInput, match=f"multiple of 4, got {n_dims}"):
        sincos_positions(2, 2, n_dims)


@given(n=st.integers(1, 9), n_patches=st.integers(1, 70), share=st.floats(0, 1), seed=st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_masking_is_a_permutation(n, n_patches, share, seed):
    n_kept = int(share * n_patches)
    kept, hidden = random_masking(n, n_patches, n_kept, torch.Generator().manual_seed(seed))
    both = torch.cat([kept, hidden], dim=1)
    assert kept.shape == (n, n_kept)
    assert torch.equal(both.sort(dim=1).values, torch.arange(n_patches).expand(n, -1))
    noise = torch.rand(n, n_patches, generator=torch.Generator().manual_seed(seed)).numpy()
    for ours, theirs in zip((kept, hidden), reference.masking(noise, n_kept), strict=True):
        assert np.array_equal(ours.numpy(), theirs)


def test_every_patch_is_hidden_equally_often():
    kept, _ = random_masking(4000, 16, 4, torch.Generator().manual_seed(0))
    share = np.bincount(kept.flatten().numpy(), minlength=16) / 4000
    assert np.abs(share - 0.25).max() <= 5 * np.sqrt(0.25 * 0.75 / 4000)
    orders = {tuple(row) for row in kept.tolist()}
    assert len(orders) > 3000  # pictures do not share a mask


@pytest.mark.parametrize(
    ("channels", "size", "patch"), [(3, (8, 8), 2), (1, (6, 9), 3), (2, (4, 12), 4), (1, (5, 3), 1)]
)
def test_patches_there_and_back(channels, size, patch):
    pictures = torch.randn(4, channels, *size)
    rows, columns = size[0] // patch, size[1] // patch
    patches = to_patches(pictures, rows, columns)
    assert np.array_equal(patches.numpy(), reference.patches_of(pictures.numpy(), (patch, patch)).astype(np.float32))
    assert torch.equal(to_pictures(patches, rows, columns, channels, (patch, patch)), pictures)


class Told(torch.nn.Module):
    """A decoder that answers what it is told."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, seen, kept, hidden, grid):
        self.kept, self.hidden = kept, hidden
        return rows_of(self.answer, hidden)


def objective(size, patch, channels, **given):
    torch.manual_seed(0)
    encoder = SmallViT(16, 2, 2, patch, channels)
    facts = Facts(n_pictures=8, batch_size=4, per_epoch=2, n_steps=4, size=size, n_channels=channels)
    return MaeObjective(encoder, facts, given)


def batch_of(pictures, seed=1):
    return Batch(pictures, None, len(pictures), torch.Generator().manual_seed(seed))


CASES = {
    "plain": lambda x: x,
    "constant": lambda x: torch.full_like(x, 0.3),
    "huge": lambda x: x * 1e4,
    "tiny": lambda x: x * 1e-4,
    "twice the same": lambda x: x[:1].expand_as(x).contiguous(),
}


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("channels", "size", "patch"), [(3, (8, 8), 2), (1, (6, 9), 3)])
def test_loss_is_that_of_the_definition(case, norm, channels, size, patch):
    pictures = CASES[case](torch.rand(5, channels, *size, generator=torch.Generator().manual_seed(3)))
    ours = objective(size, patch, channels, norm_pix=norm)
    n_patches = (size[0] // patch) * (size[1] // patch)
    answer = torch.randn(5, n_patches, channels * patch * patch, generator=torch.Generator().manual_seed(4))
    ours.decoder = told = Told(answer)
    loss, _ = ours.loss(batch_of(pictures), 0)
    want = reference.mae_loss(pictures.double().numpy(), answer.numpy(), told.hidden.numpy(), (patch, patch), norm)
    assert abs(loss.item() - want) <= 1e-5 * (1 + want)


@pytest.mark.parametrize("ratio", [0.75, 0.5, 0.9])
def test_only_hidden_patches_are_compared_and_only_seen_ones_are_looked_at(ratio):
    ours = objective((8, 12), 2, 1, mask_ratio=ratio)
    pictures = torch.rand(3, 1, 8, 12, requires_grad=True)
    hidden = random_masking(3, 24, ours.n_kept, torch.Generator().manual_seed(1))[1]
    loss, _ = ours.loss(batch_of(pictures), 0)
    loss.backward()
    by_patch = to_patches(pictures.grad, 4, 6).abs().sum(dim=2)
    is_hidden = torch.zeros(3, 24, dtype=torch.bool).scatter_(1, hidden, True)
    assert is_hidden.sum(dim=1).tolist() == [24 - int(24 * (1 - ratio))] * 3
    assert by_patch[is_hidden].max() == 0  # the encoder never sees them, and targets carry no gradient
    assert by_patch[~is_hidden].min() > 0

    answer = torch.randn(3, 24, 4, requires_grad=True)
    ours.decoder = Told(answer)
    ours.loss(batch_of(pictures.detach()), 0)[0].backward()
    touched = answer.grad.abs().sum(dim=2) > 0
    assert torch.equal(touched, is_hidden)


def test_a_kept_patch_changes_what_is_told_and_a_hidden_one_only_the_target():
    ours = objective((8, 8), 2, 1).eval()
    kept, hidden = random_masking(1, 16, ours.n_kept, torch.Generator().manual_seed(1))
    pictures = torch.rand(1, 1, 8, 8)

    def told(changed):
        with torch.no_grad():
            patches = to_patches(pictures, 4, 4).clone()
            if changed is not None:
                patches[0, changed] += 1
            moved = to_pictures(patches, 4, 4, 1, (2, 2))
            return ours.decoder(ours.encoder.tokens(moved, kept), kept, hidden, (4, 4))

    assert torch.equal(told(None), told(hidden[0, 0]))
    assert not torch.equal(told(None), told(kept[0, 0]))


def test_the_order_of_kept_patches_is_no_matter():
    encoder = SmallViT(16, 2, 2, 2, 1)
    pictures = torch.rand(2, 1, 8, 8)
    keep = torch.tensor([[3, 0, 7], [15, 2, 9]])
    with torch.no_grad():
        one, other = encoder.tokens(pictures, keep), encoder.tokens(pictures, keep.flip(1))
        whole = encoder.tokens(pictures, torch.arange(16).expand(2, -1))
    assert torch.allclose(one[:, 1:], other[:, 1:].flip(1), atol=1e-6)
    assert torch.allclose(whole, encoder.tokens(pictures), atol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mask_ratio": 1.0}, "mask_ratio must lie between 0 and 1, got 1.0"),
        ({"norm_pix": "maybe"}, "norm_pix must be true or false, got 'maybe'"),
        ({"decoder_width": 10}, "decoder_width must be a multiple of 16"),
        ({"decoder_depth": "x"}, "decoder_depth must be an integer >= 1, got 'x'"),
        ({"mask_ration": 0.5}, "no option 'mask_ration'.*Did you mean 'mask_ratio'"),
    ],
)
def test_messages(given, words):
    with pytest.raises(InvalidInput, match=words):
        objective((8, 8), 2, 1, **given)


def test_one_patch_cannot_be_hidden():
    with pytest.raises(InvalidInput, match="mask_ratio must hide at least one of the 1 x 1 patches, got 0.75"):
        objective((2, 2), 2, 1)


def test_a_network_without_patches_is_refused():
    from oneglance.pretraining.methods import choose_method

    facts = Facts(n_pictures=8, batch_size=4, per_epoch=2, n_steps=4, size=(8, 8))
    with pytest.raises(InvalidInput, match="needs a vision transformer with tokens, got Identity.*encoder='vit'"):
        choose_method("mae").stages[0].build(torch.nn.Identity(), facts, {})


@pytest.mark.parametrize("n_last", [1, 4, 7])
def test_a_block_asked_for_its_last_tokens_gives_those_of_the_whole(n_last):
    block = SmallViT(16, 1, 2, 2, 1).blocks[0]
    tokens = torch.randn(3, 7, 16)
    with torch.no_grad():
        assert torch.allclose(block(tokens, n_last), block(tokens)[:, 7 - n_last :], atol=1e-6)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize(("channels", "size", "patch"), [(3, (8, 12), 2), (1, (6, 9), 3), (1, (4, 4), 1)])
def test_what_is_told_is_shown_in_its_place(channels, size, patch, norm):
    ours = objective(size, patch, channels, norm_pix=norm)
    pictures = torch.rand(3, channels, *size)
    rows, columns = size[0] // patch, size[1] // patch
    truth = to_patches(pictures, rows, columns)
    ours.decoder = told = Told(standardise(truth) if norm else truth)  # a decoder that knows
    shown = tell(ours, pictures, torch.Generator().manual_seed(5))
    assert torch.allclose(shown[:, 1], pictures, atol=1e-5)
    assert torch.equal(shown[:, 2], pictures)
    seen = to_patches(shown[:, 0], rows, columns)
    hidden = torch.zeros(3, rows * columns, dtype=torch.bool).scatter_(1, told.hidden, True)
    assert seen[hidden].abs().max() == 0
    assert torch.equal(seen[~hidden], truth[~hidden])
    sheet = sheet_of(shown)
    zoom = -(-64 // min(size))
    assert sheet.shape == (3 * (size[0] * zoom + 2) - 2, 3 * (size[1] * zoom + 2) - 2, 3)
    assert (sheet.amin(), sheet.amax()) == (0, 255)
    assert len(sheet_of(torch.zeros(1, 3, channels, *size))) == size[0] * zoom
