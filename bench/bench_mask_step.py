"""A training step with masks against the same step on the weights themselves: same views, loss and optimiser."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from mask_scenes import CifarResNet  # noqa: E402
from masks_on_real_data import Weights  # noqa: E402
from oneglance.features import Backbone, Preprocess  # noqa: E402
from oneglance.features.backbones import running  # noqa: E402
from oneglance.masks.crops import Crops  # noqa: E402
from oneglance.masks.goals import SwavGoal  # noqa: E402
from oneglance.masks.network import Network  # noqa: E402
from oneglance.masks.rules import choose_tensors  # noqa: E402
from oneglance.masks.settings import choose_settings  # noqa: E402
from oneglance.masks.shelf import Levels, Shelf  # noqa: E402
from oneglance.masks.train import MaskTrainee, seeded  # noqa: E402

CPU = torch.device("cpu")


def pool(side, n):
    """Pictures in memory, without files."""
    import numpy as np

    levels = Levels((0.0,) * 3, (255.0,) * 3, (0.5,) * 3, (0.5,) * 3)
    kept = torch.randint(0, 256, (n, 3, side, side), dtype=torch.uint8, generator=seeded(0, "pictures"))
    return Shelf(levels, (side, side), np.arange(n), "", (3, side, side), {}, kept)


def step_of(net, shelf, trainee, batch):
    """A whole step: views, forward passes, loss, backward, optimiser."""
    settings = choose_settings(len(shelf), 64, "resnet", given={"batch_size": batch})
    side = shelf.size[0]
    goal = SwavGoal(64, settings, Crops(shelf.size, (side // 2, side // 2)), CPU, seeded(0, "head"))
    statistics = net.copy_statistics()
    optimiser = torch.optim.SGD([*trainee.tensors().values(), *goal.tensors().values()], lr=1e-3, momentum=0.9)
    numbers = torch.arange(batch)

    def step():
        replaced = trainee.materialise()
        loss = goal.loss(lambda x: net.features(x, replaced, statistics), shelf, numbers, seeded(0, "views"), 0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        goal.after()

    return step


@pytest.mark.parametrize(("n", "batch"), [(3, 16), (9, 8)], ids=["ResNet-20", "ResNet-56"])
def test_step(versus, n, batch):
    torch.manual_seed(0)
    backbone = Backbone(CifarResNet(n).eval(), Preprocess(size=32))
    shelf = pool(32, 4 * batch)
    with running([backbone], CPU):
        net = Network(backbone)
        chosen = choose_tensors(backbone.module)
        weights = {name: net.tensors[name] for name in chosen.names}
        masked = step_of(net, shelf, MaskTrainee(weights), batch)
        plain = step_of(net, shelf, Weights(weights), batch)
        with net.norms_in_training():
            case = f"training step, ResNet-{6 * n + 2}, {batch} pictures of 32 x 32 in six views"
            versus(f"{case}, without masks", masked, plain, rounds=9, at_most=1.25)
