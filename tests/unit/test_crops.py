"""Views: any channels and sides, each picture its own numbers, the same numbers for a seed."""

import pytest

torch = pytest.importorskip("torch", reason="masks need torch")

from oneglance import InvalidInput  # noqa: E402
from oneglance.masks.crops import Crops, gaussian_blur, make_views, random_crop  # noqa: E402


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(n, c, h, w):
    return torch.rand(n, c, h, w, generator=seeded(7))


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize(("sides", "big", "small"), [((16, 16), (16, 16), (8, 8)), ((9, 21), (10, 20), (5, 9))])
def test_shapes_and_range_for_any_channels_and_sides(channels, sides, big, small):
    given = pictures(3, channels, *sides)
    before = given.clone()
    found, little = make_views(given, Crops(big, small, n_small=4), seeded())
    assert found.shape == (6, channels, *big)
    assert little.shape == (12, channels, *small)
    for views in (found, little):
        assert 0 <= float(views.min()) <= float(views.max()) <= 1
    assert torch.equal(given, before)


def test_a_seed_says_all_and_pictures_differ_in_their_numbers():
    same = pictures(1, 3, 12, 12).expand(8, 3, 12, 12)
    crops = Crops((12, 12), (6, 6))
    a, a_small = make_views(same, crops, seeded(1))
    b, b_small = make_views(same, crops, seeded(1))
    assert torch.equal(a, b)
    assert torch.equal(a_small, b_small)
    assert len({view.numpy().tobytes() for view in a}) == len(a)
    assert not torch.equal(a, make_views(same, crops, seeded(2))[0])


def test_without_changes_the_whole_picture_comes_back():
    given = pictures(4, 3, 11, 7)
    found = random_crop(given, (11, 7), (1.0, 1.0), 0.0, seeded())
    # Sides are clamped to the picture, so a full area with another ratio is nearly the whole of it.
    plain = Crops((11, 7), (4, 4), n_big=1, n_small=0, scale_big=(1, 1), flip=0, jitter=0, grey=0, blur=0)
    views, none = make_views(given, plain, seeded())
    assert none is None
    assert torch.equal(views, found)
    assert float((views - given).abs().mean()) < 0.1


def test_mirror_images():
    given = pictures(200, 1, 6, 6)
    ramp = torch.linspace(0, 1, 6).expand(200, 1, 6, 6)
    found = random_crop(ramp, (6, 6), (0.5, 1.0), 0.5, seeded())
    rising = (found[:, 0, 0, -1] > found[:, 0, 0, 0]).float().mean()
    assert 0.35 < float(rising) < 0.65
    assert bool((random_crop(ramp, (6, 6), (0.5, 1.0), 0.0, seeded())[:, 0, 0, -1] >= 0.3).all())
    assert given.shape == (200, 1, 6, 6)


def test_cuts_have_the_areas_asked_for():
    columns = torch.linspace(0, 1, 100).expand(300, 1, 100, 100)
    wide = random_crop(columns, (20, 20), (0.25, 0.25), 0.0, seeded())
    high = random_crop(columns.transpose(2, 3), (20, 20), (0.25, 0.25), 0.0, seeded())
    reach = (wide[:, 0, 0, -1] - wide[:, 0, 0, 0]) / 0.95
    climb = (high[:, 0, -1, 0] - high[:, 0, 0, 0]) / 0.95
    assert float((reach * climb * 0.99**2).mean()) == pytest.approx(0.25, abs=0.01)
    assert float((reach / climb).min()) >= 0.74
    assert float((reach / climb).max()) <= 1.35


def test_grey_takes_the_colour_and_keeps_the_brightness():
    given = pictures(5, 3, 4, 4)
    crops = Crops((4, 4), (4, 4), n_big=1, n_small=0, scale_big=(1, 1), flip=0, jitter=0, grey=1.0, blur=0)
    views, _ = make_views(given, crops, seeded())
    assert float((views[:, 0] - views[:, 1]).abs().max()) < 3e-3
    assert float((views[:, 0] - views[:, 2]).abs().max()) < 3e-3


def test_blur_leaves_constants_and_sigma_zero_alone_and_keeps_means():
    given = pictures(3, 2, 15, 9)
    sigma = torch.tensor([0.0, 0.7, 2.0], dtype=torch.float64)
    found = gaussian_blur(given, sigma)
    assert torch.equal(found[0], given[0])
    assert float(found[2].std()) < float(found[1].std()) < float(given[1].std())
    even = torch.full((1, 1, 5, 5), 0.25)
    assert float((gaussian_blur(even, torch.tensor([3.0])) - even).abs().max()) < 1e-6
    assert torch.equal(gaussian_blur(given, torch.zeros(3)), given)


def test_impossible_crops_are_refused():
    with pytest.raises(InvalidInput, match="scale_big must be two shares of the area"):
        Crops((8, 8), (4, 4), scale_big=(0.5, 1.5))
    with pytest.raises(InvalidInput, match="flip must be a chance"):
        Crops((8, 8), (4, 4), flip=2)
    with pytest.raises(InvalidInput, match="sides >= 1"):
        Crops((0, 8), (4, 4))
