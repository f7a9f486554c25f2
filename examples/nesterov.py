"""Nesterov's momentum: the gradient where momentum is about to go, by a closure, and in the form that needs none.

The textbook evaluates at θ + μv. The usual code stores that point, φ = θ + μv, and so never evaluates twice. The two
take the same path, each in its own variable.
"""

from __future__ import annotations

import torch

from fallline import optim

CURVATURE = torch.tensor([1.0, 25.0], dtype=torch.float64)
MOMENTUM = 0.9


def start() -> torch.nn.Parameter:
    """Where both begin."""
    return torch.nn.Parameter(torch.tensor([10.0, 1.0], dtype=torch.float64))


def main(steps: int = 50, lr: float = 0.01) -> dict[str, float]:
    """The largest distance between φ and θ + μv on the way, and that between φ and θ themselves."""
    theta, phi = start(), start()
    textbook = optim.LookAheadNesterov([theta], lr=lr, momentum=MOMENTUM)
    usual = optim.SGD([phi], lr=lr, momentum=MOMENTUM, nesterov=True)

    def closure() -> torch.Tensor:
        textbook.zero_grad()
        loss = (CURVATURE * theta**2).sum() / 2
        loss.backward()
        return loss

    change_of_variables, plain = 0.0, 0.0
    for _ in range(steps):
        textbook.step(closure)
        usual.zero_grad()
        ((CURVATURE * phi**2).sum() / 2).backward()
        usual.step()
        ahead = theta.detach() + MOMENTUM * textbook.state[theta]["velocity"]
        change_of_variables = max(change_of_variables, float((phi.detach() - ahead).abs().max()))
        plain = max(plain, float((phi - theta).detach().abs().max()))
    print(f"φ and θ + μv differ by at most {change_of_variables:.1e}; φ and θ by {plain:.2f}")
    return {"φ and θ + μv": change_of_variables, "φ and θ": plain, "end": float(theta.detach().norm())}


if __name__ == "__main__":
    main()
