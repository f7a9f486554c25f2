"""Learning-rate decay: the laws, by epochs or by steps, and a run that follows one."""

from __future__ import annotations

import fallline as fl
from fallline.schedules import Schedule, exponential, inverse_square_root, inverse_time, staircase, table

LAWS: dict[str, Schedule] = {
    "1/(1+rate·epoch)": inverse_time(1.0),
    "0.95^epoch": exponential(0.95),
    "k/√epoch": inverse_square_root(k=0.5),  # epochs counted from 1
    "staircase": staircase(every=2, factor=0.5),
    "by hand": table({0: 1.0, 2: 0.3, 3: 0.1}),
}


def main(epochs: int = 4, lr: float = 0.5) -> dict[str, list[float | None]]:
    """Train with each law and return the rate of every epoch's last step; k/√t once more, by steps."""
    problem = fl.problems.digits()
    found = {}
    laws = {name: law.per_epoch(problem.steps_per_epoch) for name, law in LAWS.items()}
    for name, schedule in {**laws, "k/√t": inverse_square_root(k=1.0)}.items():
        result = fl.fit(problem, "sgd", lr=lr, epochs=epochs, schedule=schedule)
        found[name] = [point.learning_rate for point in result.curves[1:]]
        rates = ", ".join(f"{rate:.4f}" for rate in found[name] if rate is not None)
        print(f"{name:<18} {rates}   validation loss {result.curves[-1].validation_loss:.3f}")
    return found


if __name__ == "__main__":
    main()
