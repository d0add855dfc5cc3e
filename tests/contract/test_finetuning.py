"""Few-label transfer against its float64 definitions, on awkward inputs, and what is chosen from held-out outputs."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs torch")

from oneglance import InvalidInput, StoreError  # noqa: E402
from oneglance.evaluation.intervals import t_quantile  # noqa: E402
from oneglance.finetuning import layers, penalties  # noqa: E402
from oneglance.finetuning.cells import read_outputs, write_outputs  # noqa: E402
from oneglance.finetuning.choosing import choose, default_variant  # noqa: E402
from oneglance.finetuning.copies import copy_remarks, with_copies  # noqa: E402
from oneglance.finetuning.folds import check_counts, group_numbers, make_cells, nested_order, remarks  # noqa: E402
from oneglance.finetuning.judging import Outputs, Variant, corrected_interval, failed, score, winner  # noqa: E402
from oneglance.finetuning.labelled import as_labels, usable  # noqa: E402
from oneglance.finetuning.recipes import choose_recipes, parse_recipe  # noqa: E402
from oneglance.finetuning.settings import choose_tuning  # noqa: E402
from oneglance.finetuning.tunable import interpolate  # noqa: E402
from oneglance.reference import finetuning as reference  # noqa: E402

RNG = np.random.default_rng(0)
SHAPES = [(1,), (3, 4), (2, 3, 3, 3), ()]


def close(got, wanted, tol=1e-6):
    error = np.abs(np.asarray(got, dtype=np.float64) - wanted).max()
    assert error <= tol * max(1.0, np.abs(wanted).max())  # NaN fails


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_l2_sp_and_its_gradient(scale):
    start = {str(i): scale * RNG.standard_normal(shape) for i, shape in enumerate(SHAPES)}
    weights = {name: value + scale * RNG.standard_normal(np.shape(value)) for name, value in start.items()}
    own = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    found = penalties.l2_sp(own, {name: torch.tensor(value) for name, value in start.items()}, 0.3)
    found.backward()
    close(found.item(), reference.l2_sp(weights, start, 0.3), 1e-12)
    for name, value in own.items():
        close(value.grad, reference.l2_sp_gradient(weights[name], start[name], 0.3), 1e-12)
        step = np.zeros_like(np.atleast_1d(weights[name]))
        step.flat[0] = 1e-3 * scale  # the gradient is that of the value: central differences of a square are exact
        ends = [
            reference.l2_sp(weights | {name: weights[name] + sign * step.reshape(np.shape(weights[name]))}, start, 0.3)
            for sign in (1, -1)
        ]
        assert (ends[0] - ends[1]) / (2e-3 * scale) == pytest.approx(float(value.grad.flatten()[0]), rel=1e-6, abs=1e-9)


def test_only_what_the_start_has_is_pulled():
    own = {"a": torch.ones(2), "lora": torch.full((3,), 9.0)}
    assert penalties.l2_sp(own, {"a": torch.zeros(2)}, 2.0).item() == 2.0


def test_distortion_takes_rows_of_zeros_and_any_size():
    features = RNG.standard_normal((6, 5))
    start = RNG.standard_normal((6, 5))
    features[0] = 0.0
    start[1] = 0.0
    features[2], start[2] = 1e-9 * features[2], 1e6 * start[2]
    features[3] = start[3]
    found = penalties.distortion(torch.tensor(features), torch.tensor(start))
    close(found.item(), reference.distortion(features, start), 1e-12)
    assert penalties.distortion(torch.tensor(start), torch.tensor(7.0 * start)).item() <= 1e-12


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_interpolation_and_its_exact_ends(alpha):
    ends = [{str(i): RNG.standard_normal(shape).astype(np.float32) for i, shape in enumerate(SHAPES)} for _ in "ab"]
    start, end = ({name: torch.from_numpy(np.array(v)) for name, v in one.items()} for one in ends)
    start["n"], end["n"] = torch.tensor(3), torch.tensor(7)
    found = interpolate(start, end, alpha)
    for name in ends[0]:
        close(found[name], reference.interpolate(ends[0][name].astype(float), ends[1][name].astype(float), alpha))
        if alpha in (0.0, 1.0):
            assert torch.equal(found[name], (start, end)[int(alpha)][name])
    assert int(found["n"]) == (3 if alpha == 0 else 7)  # a counter is not averaged


@pytest.mark.parametrize("side", [1, 3])
def test_merged_adapters_are_the_adapters_beside_the_weight(side):
    """W x + s B (A x) as two maps one after the other, linear and convolution."""
    weight, a = RNG.standard_normal((5, 4, side, side)), RNG.standard_normal((2, 4, side, side))
    b = RNG.standard_normal((5, 2, 1, 1))
    x = torch.tensor(RNG.standard_normal((3, 4, 6, 6)))
    conv = torch.nn.functional.conv2d
    beside = conv(x, torch.tensor(weight)) + 0.7 * conv(conv(x, torch.tensor(a)), torch.tensor(b))
    close(conv(x, torch.tensor(reference.merge_lora(weight, a, b, 0.7))), beside.numpy(), 1e-12)
    flat = [part[..., 0, 0] for part in (weight, a, b)]
    close(reference.merge_lora(*flat, 0.7), flat[0] + 0.7 * flat[2] @ flat[1], 1e-15)


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer1.0.downsample.0.weight"], [0, 0, 1, 1]),
        (["layer1.1.conv1.weight", "layer1.10.conv1.weight", "layer2.0.conv1.weight"], [0, 1, 2]),
        (["cls_token", "patch_embed.proj.bias", "blocks.0.norm1.weight", "blocks.11.mlp.fc2.bias"], [0, 0, 1, 2]),
        (["blocks.0.a", "blocks.1.a", "norm.weight"], [0, 1, 1]),
        (["encoder.layers.encoder_layer_0.ln_1.weight", "encoder.layers.encoder_layer_1.ln_1.weight"], [0, 1]),
        (["features.0.0.weight", "features.1.0.block.3.weight", "features.1.1.block.3.weight"], [0, 1, 2]),
        (["0.weight", "0.bias", "1.weight", "10.weight"], [0, 0, 1, 2]),
        (["base_model.model.blocks.0.fc.lora_A.default.weight", "base_model.model.blocks.1.fc.weight"], [0, 1]),
        (["weight", "bias"], [0, 0]),
        ([], []),
    ],
)
def test_layers_by_name(names, numbers):
    assert layers.layer_numbers(names) == numbers


@pytest.mark.parametrize("decay", [1.0, 0.75, 0.1])
def test_rates_by_layer(decay):
    numbers = [0, 0, 1, 3, 2]
    close(layers.layer_factors(numbers, decay), reference.layer_factors(4, decay)[numbers], 1e-15)
    assert layers.layer_factors([], decay) == []


@pytest.mark.parametrize("least", [0.0, 5.0])
def test_the_interval_is_the_corrected_one_and_has_a_floor(least):
    differences = RNG.standard_normal(10)
    found = corrected_interval(differences, 80, 20, 100, 0.95, least=least)
    wanted = reference.corrected_interval(differences, 80, 20, t_quantile(0.975, 99), least)
    assert (found.low, found.high) == pytest.approx(wanted, rel=1e-12)
    few = corrected_interval(differences[:3], 80, 20, 100, 0.95, least=least)  # so few tell their own variance badly
    ends = [
        reference.corrected_interval(differences[:3], 80, 20, t_quantile(0.975, 2), 0.0),
        reference.corrected_interval(differences[:3], 80, 20, t_quantile(0.975, 99), least),
    ]
    assert (few.low, few.high) == pytest.approx(min(ends), rel=1e-12)
    same = corrected_interval(np.full(3, 0.25), 8, 4, 12, least=0.25 * 0.75 / 4)
    assert same.low < 0 < same.high  # three cells that agree by luck are not certain
    nothing = corrected_interval(np.zeros(3), 8, 4, 12, least=0.0)
    assert (nothing.low, nothing.high) == (0.0, 0.0)


def named(rows, codes, asked):
    """Classes of the nearest class means."""
    means = np.stack([rows[codes == code].mean(axis=0) for code in np.unique(codes)])
    return ((asked[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)


def test_two_equal_recipes_are_seldom_told_apart():
    """Two sets of features, drawn alike: neither is better. Cells as finetune makes them, from outputs to the verdict;
    and what a plain t interval over the cells would have said."""
    codes = np.arange(40) % 4
    cells = make_cells(codes, 5, 2, (), 0)
    wrong = plain = 0
    for draw in range(100):
        rng = np.random.default_rng(draw)
        centres = 0.5 * rng.standard_normal((4, 10))
        hits = []
        for _ in range(2):
            rows = centres[codes] + rng.standard_normal((40, 10))
            guesses = [named(rows[cell.train], codes[cell.train], rows[cell.held]) for cell in cells]
            logits = [Outputs((Variant(),), np.eye(4, dtype=np.float32)[guess][None]) for guess in guesses]
            hits.append(logits)
        _, baseline = score(parse_recipe("probe"), cells, hits[0], codes, None)
        found, own = score(parse_recipe("mask"), cells, hits[1], codes, baseline, 0.95)
        wrong += found.verdict != "no difference found"
        change = np.array([mine.mean() - its.mean() for mine, its in zip(own, baseline, strict=True)])
        plain += abs(change.mean()) > t_quantile(0.975, 9) * change.std(ddof=1) / np.sqrt(10)
    assert wrong <= 5
    assert plain >= 10


def test_nested_parts_have_even_classes():
    codes = np.array([0] * 20 + [1] * 5 + [2] * 1 + [3] * 2)
    order = nested_order(codes, 0)
    assert sorted(order.tolist()) == list(range(28))
    for count in range(1, 29):
        sizes = np.bincount(codes[order[:count]], minlength=4)
        whole = np.bincount(codes, minlength=4)
        rounds = sizes.max()
        assert all(size >= min(rounds - 1, full) for size, full in zip(sizes, whole, strict=True))
    assert nested_order(codes, 1).tolist() != order.tolist()
    assert nested_order(np.zeros(1, dtype=int), 0).tolist() == [0]


def test_cells_hold_out_everything_but_single_labels():
    codes = np.repeat([0, 1, 2], [12, 9, 1])
    cells = make_cells(codes, 5, 2, (4, 10, 99), 0)
    whole = [cell for cell in cells if cell.count is None]
    assert len(whole) == 10
    assert {cell.count for cell in cells} == {None, 4, 10}  # 99 is more than a fold leaves
    for repeat in range(2):
        held = np.concatenate([cell.held for cell in whole if cell.repeat == repeat])
        assert sorted(held.tolist()) == list(range(21))  # 21 has one label
    for cell in cells:
        assert not set(cell.train) & set(cell.held)
        assert cell.count is None or cell.train.size == cell.count
        larger = next(other for other in whole if (other.repeat, other.fold) == (cell.repeat, cell.fold))
        assert cell.held.tolist() == larger.held.tolist()
        assert cell.train.tolist() == larger.train[: cell.train.size].tolist()  # nested
        assert cell.n_left == larger.train.size


def test_groups_are_held_out_as_wholes_and_count_once():
    """Frames of scenes: a picture is never judged by a network that has seen its scene, and 5 frames are no 5 draws."""
    scenes = np.repeat(np.arange(16), 5)
    codes = (np.random.default_rng(0).random(16) < 0.5).astype(np.int64)[scenes]
    cells = make_cells(codes, 4, 2, (8,), 0, scenes)
    assert len(cells) == 16
    for cell in cells:
        assert not set(scenes[cell.train]) & set(scenes[cell.held])
        assert cell.units.tolist() == scenes[cell.held].tolist()
    widths = []
    for groups in (None, scenes):
        some = make_cells(codes, 4, 2, (), 0, groups)
        found, _ = score(parse_recipe("probe"), some, outputs_of(some, codes, [Variant()], [0.8]), codes, None)
        widths.append(found.accuracy.high - found.accuracy.low)
    assert widths[1] > 1.2 * widths[0]
    names = np.array(["a", "b", "c"], dtype=object)
    codes = np.where(scenes == 3, 2, codes)
    words = list(remarks(codes, names, make_cells(codes, 4, 2, (), 0, scenes), scenes))
    assert words == [
        "80 labels are of 16 groups, which are held out as wholes.",
        "1 of 3 classes are in one group only (c): it is never held out.",
    ]
    two = np.array([0] * 6 + [1] * 6 + [2] * 2)
    words = list(remarks(two, names, [], np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6])))
    assert not [text for text in words if "two labels" in text], "of one group, which is never held out"
    _, other = scored([0.1, 0.9], ["probe", "mask"], n=10)
    assert -1.0 <= other.gain.low <= other.gain.high <= 1.0


def test_a_class_that_may_mean_unknown_is_told():
    known = as_labels([-1, 0, 1, None, -1, 0, 1, 0])
    assert known.names.tolist() == [-1, 0, 1]
    words = list(remarks(known.codes, known.names, []))
    assert words[0] == "-1 is a class like the others, with 2 labels. Give None where it stands for unknown."
    text = as_labels(["-1", "0", "-1", "0"])
    assert "-1 is" not in next(remarks(text.codes, text.names, []))


def test_counts_that_a_fold_does_not_leave_are_named():
    codes = np.arange(32) % 2
    cells = make_cells(codes, 3, 1, (8, 21, 25), 0)
    assert {cell.count for cell in cells} == {8, None}
    assert len([cell for cell in cells if cell.count == 8]) == 3
    names = np.array(["a", "?"], dtype=object)
    words = list(remarks(codes, names, cells, counts=(8, 21, 25)))
    assert words == [
        "'?' is a class like the others. Leave the label out where it stands for unknown.",
        "counts 21, 25: not tried, a fold leaves 21 labels to train on.",
    ]


def test_rows_without_a_group_are_their_own():
    rows = np.array([1, 2, 4, 5])
    assert group_numbers(rows, None) is None
    assert group_numbers(rows, ["x", "a", "a", "x", None, ""]).tolist() == [0, 0, 1, 2]
    assert group_numbers(rows, ["x", "a", "b", "x", None, "row 4"]) is None


def test_copies_join_groups():
    alone = np.arange(6)
    groups = np.array([0, 0, 1, 2, 3, 2])
    assert with_copies(None, alone) is None
    assert with_copies(groups, alone) is groups
    assert with_copies(None, np.array([0, 1, 0, 3, 3, 0])).tolist() == [0, 1, 0, 3, 3, 0]
    assert with_copies(groups, np.array([0, 1, 2, 3, 1, 2])).tolist() == [0, 0, 1, 1, 0, 1]  # 3 joins 0, and 2 joins 1


def test_copies_of_another_class_are_named():
    known = as_labels(["cat", None, "dog", "cat", "dog", "cat"])
    ids = [f"{row}.png" for row in range(6)]
    assert copy_remarks(known, np.arange(5), ids) == []
    one = copy_remarks(known, np.array([0, 1, 0, 3, 4]), ids)
    assert one == ["1 labelled picture shows the same as another one; copies are held out together."]
    two = copy_remarks(known, np.array([0, 0, 0, 1, 4]), ids)
    assert two[1] == "1 label is of another class than its copy: 0.png (cat) and 2.png (dog). Mend them."


@pytest.mark.parametrize("sizes", [[1, 1, 1], [9, 1], [4, 5], [1] * 30, [20], [2, 2, 2]])
def test_too_few_labels_give_no_cells_and_say_so(sizes):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    cells = make_cells(codes, 5, 2, (), 0)
    assert cells == []
    names = np.array([f"c{code}" for code in range(len(sizes))], dtype=object)
    words = list(remarks(codes, names, cells))
    assert words[-1].startswith("Too few labels to judge by")
    if 1 in sizes:
        n = sizes.count(1)
        assert words[0].startswith(f"{n} of {len(sizes)} classes have one label (c")
        assert "never held out" in words[0]


def test_counts_are_checked():
    assert check_counts((3, 5), 5) == (3, 5)
    for wrong in ((1,), (6,), (True,), (2.5,)):
        with pytest.raises(InvalidInput, match="counts must be numbers of labels from 2 to 5"):
            check_counts(wrong, 5)


def cells_of(n=60, n_classes=2, repeats=2):
    codes = np.arange(n) % n_classes
    return codes, make_cells(codes, 5, repeats, (), 0)


def outputs_of(cells, codes, variants, rights, seed=0):
    """Logits that name the true class with the given chance per variant; one draw per picture and variant."""
    draws = np.random.default_rng(seed).random((len(variants), codes.size))
    found = []
    for cell in cells:
        logits = np.zeros((len(variants), cell.held.size, int(codes.max()) + 1), dtype=np.float32)
        for v, chance in enumerate(rights):
            hit = draws[v, cell.held] < chance
            guess = np.where(hit, codes[cell.held], 1 - codes[cell.held])
            logits[v, np.arange(cell.held.size), guess] = 1.0
        found.append(Outputs(tuple(variants), logits))
    return found


def scored(rights, names, variants=None, n=60):
    codes, cells = cells_of(n)
    baseline, found = None, []
    for number, (name, right) in enumerate(zip(names, rights, strict=True)):
        own = [Variant()] if variants is None or name == "probe" else variants
        chances = [right] if np.ndim(right) == 0 else right
        one, hits = score(
            parse_recipe(name), cells, outputs_of(cells, codes, own, chances, number), codes, baseline, 0.975
        )
        baseline = hits if baseline is None else baseline
        found.append(one)
    return found


def test_a_clear_gain_wins_and_chance_does_not():
    probe, mask = scored([0.5, 1.0], ["probe", "mask"])
    assert probe.verdict == "baseline"
    assert probe.gain is None
    assert mask.verdict == "better"
    assert mask.gain.level == 0.975
    assert winner([probe, mask]) is mask
    probe, other = scored([0.7, 0.72], ["probe", "mask"])
    assert other.verdict == "no difference found"
    probe, worse = scored([1.0, 0.4], ["probe", "mask"])
    assert worse.verdict == "worse"
    assert winner([probe, worse, failed(parse_recipe("lora"), None, "why")]) is None


@pytest.mark.parametrize(("n", "least", "most"), [(10, 0.6, 0.9), (60, 0.9, 0.98)])
def test_all_right_is_not_certain(n, least, most):
    """Ten of ten, and sixty of sixty: Wilson's intervals begin at 0.72 and 0.94."""
    for right, ends in ((1.0, (least, most, 1.0, 1.0)), (0.0, (0.0, 0.0, 1 - most, 1 - least))):
        (probe,) = scored([right], ["probe"], n=n)
        assert probe.accuracy.mean == right
        assert ends[0] <= probe.accuracy.low <= ends[1]
        assert ends[2] <= probe.accuracy.high <= ends[3]


def test_variants_are_judged_by_pictures_that_did_not_choose_them():
    """Sixty useless variants: the best of them looks good on the pictures that chose it, and must not be believed."""
    codes, cells = cells_of(60)
    variants = [Variant(None, steps) for steps in range(1, 61)]
    outputs = outputs_of(cells, codes, variants, [0.5] * 60)
    found, _ = score(parse_recipe("bitfit"), cells, outputs, codes, None)
    assert max(found.tried.values()) > 0.6
    assert found.accuracy.mean < max(found.tried.values()) - 0.05
    good, _ = score(parse_recipe("bitfit"), cells, outputs_of(cells, codes, variants[:2], [0.5, 0.95]), codes, None)
    assert good.variant == Variant(None, 2)
    assert good.accuracy.mean == pytest.approx(good.tried["2 steps"])


def test_equal_variants_go_to_the_more_careful_one():
    codes, cells = cells_of(30)
    same = outputs_of(cells, codes, [Variant(0.0, 0), Variant(0.5, 9), Variant(1.0, 9)], [1.0] * 3)
    assert score(parse_recipe("wise_ft"), cells, same, codes, None)[0].variant == Variant(0.0, 0)
    found, _ = score(parse_recipe("lp_ft"), cells, same, codes, None)  # its training's end alone
    assert found.variant == Variant(1.0, 9)
    assert list(found.tried) == ["9 steps, alpha 1"]


def test_classes_that_a_head_never_saw_are_misses_with_finite_loss():
    codes, cells = cells_of(40)
    outputs = outputs_of(cells, codes, [Variant()], [1.0])
    for found in outputs:
        found.logits[:, :, 1] = -np.inf
    result, _ = score(parse_recipe("mask"), cells, outputs, codes, None)
    assert result.accuracy.mean == pytest.approx(0.5)
    assert result.log_loss is None  # infinite: not a number of JSON
    assert 0 <= result.accuracy.low <= result.accuracy.high <= 1


def recipes(*names):
    return [parse_recipe(name) for name in names]


def test_choice_rolls_back_and_says_why():
    plan = choose_tuning(40)
    found = scored([0.6, 1.0], ["probe", "mask"])
    used, words = choose(found, recipes("probe", "mask"), plan, True)
    assert used.recipe.name == "mask"
    assert words.startswith("mask is better than the plain probe, by +0.")
    found = scored([0.7, 0.72], ["probe", "mask"])
    used, words = choose(found, recipes("probe", "mask"), plan, True)
    assert used.recipe.name == "probe"
    assert "no difference found" in words
    used, words = choose(found, recipes("probe", "mask"), plan, False)
    assert used.recipe.name == "mask"
    assert words.startswith("Kept as asked for")
    used, words = choose([], recipes("probe", "wise_ft"), plan, True)
    assert (used.recipe.name, words) == ("probe", "Nothing could be judged, so the plain probe is used.")
    used, _ = choose([], recipes("probe", "wise_ft"), plan, False)
    assert used.variant == Variant(0.5, plan.steps, plan.lr[0])
    broken = [found[0], failed(parse_recipe("mask"), None, "the loss is nan")]
    assert choose(broken, recipes("probe", "mask"), plan, False)[0].recipe.name == "probe"
    assert choose(found[:1], recipes("probe"), plan, True)[0].recipe.name == "probe"
    assert default_variant(parse_recipe("mask"), plan) == Variant()
    assert default_variant(parse_recipe("lora"), plan).alpha is None


def auto(n_labels, n_classes, n_pictures, batch_norm=True):
    found, why = choose_recipes(
        "auto", n_labels=n_labels, n_classes=n_classes, n_pictures=n_pictures, batch_norm=batch_norm
    )
    return [recipe.name for recipe in found], why


def test_the_rule_by_number_of_labels():
    names, why = auto(100, 10, 50_000)
    assert names == ["probe", "adabn", "self_mask"]
    assert why.startswith("100 labels, 10 per class and 0.2% of 50000 pictures: few labels")
    assert auto(1000, 10, 1000)[0] == ["probe", "adabn", "self_mask", "wise_ft", "self_mask+wise_ft"]
    assert auto(1000, 10, 100_000)[0] == ["probe", "adabn", "self_mask"]  # 1 % of the pool
    assert auto(5000, 10, 20_000)[0] == ["probe", "lp_ft", "wise_ft", "mask"]
    assert auto(20, 2, 40)[0] == ["probe", "adabn", "wise_ft"]  # too few pictures to adapt to
    assert auto(20, 2, 40, batch_norm=False)[0] == ["probe", "wise_ft"]
    assert auto(100, 10, 50_000, batch_norm=False)[0] == ["probe", "self_mask"]


def test_recipes_by_name():
    names = [
        recipe.name for recipe in choose_recipes("all", n_labels=9, n_classes=2, n_pictures=9, batch_norm=False)[0]
    ]
    assert names[0] == "probe"
    assert "adabn" not in names
    found, why = choose_recipes(["lora", "probe", "lora"], n_labels=9, n_classes=2, n_pictures=9, batch_norm=True)
    assert [recipe.name for recipe in found] == ["probe", "lora"]
    assert why == "as asked for: lora, probe, lora."
    same = choose_recipes(["adabn+probe", "adabn"], n_labels=9, n_classes=2, n_pictures=9, batch_norm=True)[0]
    assert [recipe.name for recipe in same] == ["probe", "adabn"]
    for word in ("auto", "all"):
        with pytest.raises(InvalidInput, match=f"recipe '{word}' stands alone"):
            choose_recipes(["lora", word], n_labels=9, n_classes=2, n_pictures=9, batch_norm=True)
    one = choose_recipes(["all"], n_labels=9, n_classes=2, n_pictures=9, batch_norm=False)[0]
    assert [recipe.name for recipe in one] == names
    assert parse_recipe("adabn+lora").start == "adabn"
    assert parse_recipe("self_mask+probe").name == "self_mask"
    with pytest.raises(InvalidInput, match="recipe 'wise-ft' is unknown. Did you mean 'wise_ft'"):
        parse_recipe("wise-ft")
    for wrong in ([], [3], "base+lora", ""):
        with pytest.raises(InvalidInput, match="recipe"):
            choose_recipes(wrong, n_labels=9, n_classes=2, n_pictures=9, batch_norm=True)


def test_settings_are_chosen_and_checked():
    assert (choose_tuning(3).batch_size, choose_tuning(3).steps) == (3, 40)
    assert choose_tuning(10_000).steps == 400
    assert choose_tuning(9, "vit").lr[0] < choose_tuning(9, "resnet").lr[0]
    plan = choose_tuning(200, given={"lr": 0.1, "stops": [1, 0.001], "steps": 50, "alphas": 0.3})
    assert (plan.lr, plan.stop_steps(), plan.alphas) == ((0.1,), [1, 50], (0.3,))
    assert [plan.rate(step) for step in (0, 5)] == pytest.approx([1 / 6, 1.0])
    assert plan.rate(49) < 0.01
    for given, words in [
        ({"stepps": 3}, "unknown setting 'stepps'; there are"),
        ({"lr": "fast"}, "lr must be a number or a list of numbers"),
        ({"lr": []}, "lr must hold at least one number"),
        ({"lr": -1.0}, "lr must be"),
        ({"layer_decay": 0}, r"layer_decay must lie in \(0, 1\], got 0"),
        ({"alphas": [2]}, r"alphas must lie in \[0, 1\]"),
        ({"stops": [0.0]}, "stops must be shares"),
        ({"bn": "adabn"}, "bn must be one of"),
        ({"steps": 0}, "steps must be"),
        ({"warm_up": 1}, "warm_up must lie in"),
        ({"l2_sp": float("nan")}, "l2_sp must be"),
    ]:
        with pytest.raises(InvalidInput, match=words):
            choose_tuning(20, "vit", given)


def test_labels_of_every_sort():
    found = as_labels([3, None, 10, float("nan"), "", 3.0])
    assert found.rows.tolist() == [0, 2, 5]
    assert found.names.tolist() == [3, 10]  # numbers by value, not by text
    assert found.codes.tolist() == [0, 1, 0]
    mixed = as_labels(["b", 1, "a"])
    assert mixed.names.tolist() == ["1", "a", "b"]
    assert as_labels([True, False]).names.tolist() == ["False", "True"]
    with pytest.raises(InvalidInput, match=r"one class only \('a', 2 pictures\), at least two"):
        as_labels(["a", None, "a"])
    with pytest.raises(InvalidInput, match="none of the 2 pictures has a label"):
        as_labels([None, ""])
    with pytest.raises(InvalidInput, match=r"labels must be classes.*got 0.5"):
        as_labels([0.5, 1.0])


def test_labels_of_unreadable_pictures_are_left_out_by_name():
    labels = as_labels(["a", "b", "c", "a"])
    ids = ["p", "q", "r", "s"]
    every = np.arange(4)
    assert usable(labels, every, {}, ids)[1:] != ()
    kept, numbers, words = usable(labels, np.array([0, 1, 3]), {2: "empty file (0 bytes)"}, ids)
    assert kept.names.tolist() == ["a", "b"]
    assert numbers.tolist() == [0, 1, 2]
    assert kept.codes.tolist() == [0, 1, 0]
    assert words == (
        "1 labelled pictures cannot be used: r (empty file (0 bytes)). No usable picture is left of c, which the head "
        "will not know."
    )
    with pytest.raises(InvalidInput, match="The rest holds fewer than two classes"):
        usable(labels, np.array([0, 3]), {1: "x", 2: "y"}, ids)


def test_outputs_on_disk(tmp_path):
    variants = (Variant(0.0, 0), Variant(0.5, 20, 1e-3), Variant(None, 20, 1e-3), Variant())
    logits = RNG.standard_normal((4, 3, 2)).astype(np.float32)
    logits[0, 0, 1] = -np.inf
    write_outputs(tmp_path / "a" / "x.npz", Outputs(variants, logits))
    found = read_outputs(tmp_path / "a" / "x.npz")
    assert found.variants == variants
    assert np.array_equal(found.logits, logits)
    content = (tmp_path / "a" / "x.npz").read_bytes()
    for damaged in (b"", content[: len(content) // 2], b"PK" + content[2:50]):
        (tmp_path / "bad.npz").write_bytes(damaged)
        with pytest.raises(StoreError, match=r"bad.npz cannot be read.*Remove it"):
            read_outputs(tmp_path / "bad.npz")
