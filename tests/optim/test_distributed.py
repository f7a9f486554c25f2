"""What an optimizer does where it is shown a part of the model: two processes, on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available() or sys.platform != "linux", reason="this torch has no gloo"
)

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import torch, torch.distributed as dist, torch.multiprocessing as mp
from torch.distributed.fsdp import FullyShardedDataParallel as Sharded, ShardingStrategy
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.nn.parallel import DistributedDataParallel as Whole
import fallline as fl
from fallline import optim, rules

FOLDER = sys.argv[1]
CPU = torch.device("cpu")

def model(wrap):
    torch.manual_seed(0)
    return wrap(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)))

def whole(make):
    return make

def dealt(make):
    return lambda params: ZeroRedundancyOptimizer(params, optimizer_class=make)

WRAPS = {
    "whole": (Whole, whole),
    "sharded": (lambda m: Sharded(m, use_orig_params=True, device_id=CPU), whole),
    "flat": (lambda m: Sharded(m, use_orig_params=False, device_id=CPU), whole),
    "not sharded": (
        lambda m: Sharded(m, use_orig_params=True, device_id=CPU, sharding_strategy=ShardingStrategy.NO_SHARD), whole
    ),
    "dealt out": (Whole, dealt),
}
FORMULA = {
    "clip_norm(adam)": lambda params: fl.Optimizer(params, rules.clip_norm(rules.adam), lr=0.1, max_norm=0.5),
    "Newton": lambda params: fl.Newton(params),
}

def end(name, way):
    wrap, give = WRAPS[way]
    net = model(wrap)
    make = FORMULA.get(name) or getattr(optim, name)
    try:
        optimizer = give(make)(list(net.parameters()))
        x = torch.linspace(-1, 1, 20).reshape(5, 4)
        for _ in range(3):
            optimizer.zero_grad()
            if name == "Newton":
                optimizer.step(lambda: (net(x) ** 2).mean())
                continue
            (net(x) ** 2).mean().backward()
            optimizer.step()
        if way in ("sharded", "flat"):
            if name == "SGD":
                Sharded.optim_state_dict(net, optimizer)
            with Sharded.summon_full_params(net, writeback=False):
                return [float(p.sum()) for p in net.parameters()]
        return [float(p.sum()) for p in net.parameters()]
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def main(rank):
    dist.init_process_group("gloo", init_method=f"file://{FOLDER}/meet", rank=rank, world_size=2)
    found = {}
    for name, way in json.loads(sys.argv[2]):
        found[f"{name}, {way}"] = end(name, way)
    with open(f"{FOLDER}/{rank}.json", "w") as file:
        json.dump(found, file)
    dist.destroy_process_group()

mp.start_processes(main, nprocs=2, start_method="fork")
"""

ELEMENTWISE = ("SGD", "AdamW", "NAdam")
OF_TENSORS = ("SOAP", "FullMatrixAdagrad", "Adafactor", "LAMB", "LARS", "AdamP")
OF_ALL = ("Prodigy", "clip_norm(adam)", "Newton")
#: How a part of the model is shown, and what is right then.
STEPPED = [
    *((name, way) for name in ELEMENTWISE for way in ("sharded", "dealt out")),
    *((name, way) for name in ("LAMB", "SOAP") for way in ("not sharded", "dealt out")),
    ("AdamW", "flat"),
]
REFUSED = [
    *((name, "sharded") for name in (*OF_TENSORS, *OF_ALL)),
    *((name, "flat") for name in ("LAMB", "SOAP")),
    *((name, "dealt out") for name in ("Prodigy", "clip_norm(adam)")),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[float] | str]]:
    """What each process found, for each case."""
    folder = tmp_path_factory.mktemp("distributed")
    cases = [*((name, "whole") for name, _ in STEPPED), *STEPPED, *REFUSED]
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), json.dumps(sorted(set(cases)))]
    subprocess.run(command, check=True, timeout=300, cwd=Path(__file__).parents[2])
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize(("name", "way"), STEPPED)
def test_what_needs_no_more_takes_the_whole_models_path(
    name: str, way: str, found: list[dict[str, list[float] | str]]
) -> None:
    for one in found:
        assert one[f"{name}, {way}"] == pytest.approx(one[f"{name}, whole"], abs=1e-5)


@pytest.mark.parametrize(("name", "way"), REFUSED)
def test_what_needs_more_is_refused_in_every_process(
    name: str, way: str, found: list[dict[str, list[float] | str]]
) -> None:
    subject = name if name in OF_TENSORS[:3] or name == "Newton" else f"the rule '{name.lower()}'"
    needs = "sums over all tensors" if way == "dealt out" else "needs whole tensors"
    for one in found:
        assert str(one[f"{name}, {way}"]).startswith(f"RuntimeError: {subject} {needs}")
