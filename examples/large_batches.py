"""Large batches: a rate in proportion to the batch, reached gradually, by the recipe of Goyal et al. (2017).

η = 0.1 · B/256, climbing from 0.1 over five epochs; momentum 0.9, decay 1e-4; a tenth at the epochs 30, 60 and 80.
"""

from __future__ import annotations

import fallline as fl
from fallline import optim
from fallline.schedules import large_minibatch, linear_scaling


def main(batch: int = 512, epochs: int = 8) -> dict[str, list[float | None]]:
    """Follow the recipe on a small network, and tabulate it as it was published, for a batch of 8,192."""
    problem = fl.problems.digits()
    steps_per_epoch = -(-len(problem.train) // batch)
    result = fl.fit(
        problem,
        lambda params: optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=1e-4),
        batch=batch,
        epochs=epochs,
        schedule=large_minibatch(batch, steps_per_epoch),
    )
    print(f"batch {batch}: {linear_scaling(batch):g} times the rate of a batch of 256\n{result}")
    published = large_minibatch(8192, steps_per_epoch=156)
    epochs_shown = (0, 5, 29, 30, 60, 80)
    rates: list[float | None] = [0.1 * published(156 * epoch) for epoch in epochs_shown]
    print(f"batch 8192: at the epochs {epochs_shown} the rates are {rates}")
    return {"published": rates, "followed": [point.learning_rate for point in result.curves[1:]]}


if __name__ == "__main__":
    main()
