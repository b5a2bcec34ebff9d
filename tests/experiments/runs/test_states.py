"""States of custom agents: what a checkpoint keeps, gives back and refuses."""

from __future__ import annotations

import random
from collections import OrderedDict, defaultdict, deque, namedtuple
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
import torch

from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.checks.check import check
from inscape.experiments.runs.resuming import load_agent
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, require_storable, save_checkpoint
from inscape.experiments.runs.training import train

Pair = namedtuple("Pair", "left right")


def optimizer_after(steps: int, kind=torch.optim.Adam) -> dict:
    layer = torch.nn.Linear(2, 1)
    optimizer = kind(layer.parameters(), lr=0.1)
    for _ in range(steps):
        layer(torch.ones(3, 2)).sum().backward()
        optimizer.step()
    return optimizer.state_dict()


def equal(left, right) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and left.dtype == right.dtype and torch.equal(left.cpu(), right)
    if isinstance(left, np.ndarray):
        return isinstance(right, np.ndarray) and left.dtype == right.dtype and np.array_equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple | deque):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right or (left != left and right != right)


KEPT = {
    "an optimiser's state, a dict of tensors by number": lambda: optimizer_after(2),
    "one that has not stepped": lambda: optimizer_after(0),
    "SGD without momentum, whose state holds None": lambda: optimizer_after(1, torch.optim.SGD),
    "a module's OrderedDict": lambda: torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3)).state_dict(),
    "half precisions": lambda: {"b": torch.ones(3, dtype=torch.bfloat16) / 3, "h": torch.ones(2, dtype=torch.float16)},
    "complex and boolean tensors": lambda: {"c": torch.tensor([1 + 2j]), "m": torch.tensor([True, False]), "z": 1 - 2j},
    "tensors that need a gradient, and views": lambda: {
        "w": torch.nn.Parameter(torch.ones(2)), "t": torch.arange(6).reshape(2, 3).T, "c": torch.tensor([1j]).conj(),
    },
    "scalars and empty ones": lambda: {
        "s": torch.tensor(3.5), "e": torch.empty(0, 4), "a": np.zeros((0, 2)), "n": None,
    },
    "random states": lambda: {
        "numpy": np.random.default_rng(1).bit_generator.state, "torch": torch.Generator().manual_seed(2).get_state(),
        "python": random.Random(3).getstate(), "old": np.random.RandomState(4).get_state(),
    },
    "counts by state": lambda: defaultdict(int, {(0, 1): 3, "s": 4, 5: 6, None: 7}),
    "queues, sets, bytes": lambda: {"q": deque([np.ones(2), 3], maxlen=5), "s": {1, "a", (2, 3)}, "b": b"\x00\xff"},
    "numbers at the edges": lambda: {
        "i": 2**200, "f": float("inf"), "n": float("nan"), "m": -0.0, "s": np.float32(0.1),
    },
    "named pairs and nested lists": lambda: {
        "p": [Pair(torch.ones(1), [None, (True, "x")])], "o": OrderedDict(b=1, a=2),
    },
    "keys like the file's own": lambda: {"__tensor__": [1, "float32"], "__array__": "0:x", "a.b": {"c": np.arange(3)}},
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_it_comes_back_as_it_was(name, tmp_path):
    state = KEPT[name]()
    require_storable({"mine": state}, "mine.py:Mine")
    loaded, _ = load_checkpoint(save_checkpoint(tmp_path / "state", {"mine": state}))
    assert equal(state, loaded["mine"])


class Colour(Enum):
    RED = object()


def held_by_itself() -> dict:
    state: dict = {}
    state["again"] = state
    return state


REFUSED = {
    "a module": (lambda: {"net": torch.nn.Linear(1, 1)}, r"state\.net: Linear; store its state_dict\(\)"),
    "an optimiser": (
        lambda: {"a": [torch.optim.SGD([torch.ones(1)], 0.1)]},
        r"state\.a\.0: SGD; store its state_dict\(\)",
    ),
    "a NumPy generator": (lambda: {"rng": np.random.default_rng()}, r"state\.rng: Generator; store its get_state"),
    "a torch generator": (lambda: {"rng": torch.Generator()}, r"state\.rng: Generator; store its get_state\(\)"),
    "Python's": (lambda: {"rng": random.Random()}, r"state\.rng: Random; store its getstate\(\)"),
    "a path": (lambda: {"at": Path("x")}, r"state\.at: \w*Path; store str of it"),
    "a device": (lambda: {"d": {"e": torch.device("cpu")}}, r"state\.d\.e: device; store str of it"),
    "an enumeration": (lambda: {"c": Colour.RED}, r"state\.c: Colour; store its value"),
    "a function": (lambda: {"f": {3: max, 4: equal}}, r"state\.f\.3: builtin_function_or_method"),
    "an array of objects": (lambda: {"o": np.array([None, {}])}, r"state\.o: an array of Python objects"),
    "a sparse tensor": (lambda: {"s": torch.eye(2).to_sparse()}, r"state\.s: a tensor of .*sparse"),
    "itself": (held_by_itself, "holds itself"),
    "no dictionary": (lambda: [1, 2], "returned list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_kept_is_named(name):
    make, message = REFUSED[name]
    with pytest.raises(UsageError, match=message):
        require_storable(make(), "mine.py:Mine")


TORCH_AGENT = '''
import numpy as np
import torch


class Mine:
    """A layer and its optimiser, saved as torch gives their states."""

    def __init__(self, seed=0):
        torch.manual_seed(seed)
        self.layer = torch.nn.Linear(1, 2)
        self.optimizer = torch.optim.Adam(self.layer.parameters())
        self.steps = 0

    def act(self, observation):
        with torch.no_grad():
            seen = torch.as_tensor(np.asarray(observation), dtype=torch.float32).reshape(len(observation), -1)
            return self.layer(seen[:, :1]).argmax(1).numpy()

    def learn(self, task, steps):
        while self.steps < steps:
            self.optimizer.zero_grad()
            self.layer(torch.ones(4, 1)).square().sum().backward()
            self.optimizer.step()
            self.steps += 50
            yield {"steps": self.steps}

    def state_dict(self):
        return {"layer": self.layer.state_dict(), "optimizer": self.optimizer.state_dict(), "steps": self.steps}

    def load_state_dict(self, state):
        self.layer.load_state_dict(state["layer"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.steps = state["steps"]
'''


RETURNED = '"steps": self.steps}\n\n    def load'


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"

    def write(before: str = "", after: str = "") -> str:
        assert before in TORCH_AGENT
        path.write_text(TORCH_AGENT.replace(before, after) if before else TORCH_AGENT)
        return f"{path}:Mine"

    return write


def test_a_torch_agent_is_trained_resumed_and_loaded(mine, tmp_path):
    spec, task = mine(), resolve_task("CartPole")
    run = train(spec, task, 200, out=tmp_path / "run", progress=False, evaluate_every=0)
    agent, _ = load_agent(run)
    state = agent.state_dict()
    assert equal(state, run.load_latest()[0])
    assert state["optimizer"]["state"][0]["step"] == 4
    report = check(spec, task=task)
    assert {item.name: item.passed for item in report.checks}["state round trip"] is True, report


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (RETURNED, RETURNED.replace("}", ', "net": self.layer}'), r"state\.net: Linear"),
        ("self.optimizer.state_dict()", "self.optimizer", r"state\.optimizer: Adam; store its state_dict"),
    ],
)  # fmt: skip
def test_refused_before_anything_is_learned(mine, tmp_path, before, after, message):
    spec = mine(before, after)
    with pytest.raises(UsageError, match=message):
        train(spec, resolve_task("CartPole"), 200, out=tmp_path / "run", progress=False, evaluate_every=0)
    assert not (tmp_path / "run").exists()


def test_what_comes_later_is_refused_when_it_is_saved(mine, tmp_path):
    """The first state is sound; what learning adds to it is not: named, and the run stays."""
    spec = mine("            self.steps += 50\n", "            self.steps += 50\n            self.layer.extra = max\n")
    path = Path(spec.rpartition(":")[0])
    with_extra = RETURNED.replace("}", ', "extra": getattr(self.layer, "extra", 0)}')
    path.write_text(path.read_text().replace(RETURNED, with_extra))
    with pytest.raises(UsageError, match=r"state\.extra: builtin_function_or_method"):
        train(spec, resolve_task("CartPole"), 200, out=tmp_path / "run", progress=False, evaluate_every=0)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('self.layer.load_state_dict(state["layer"])', "pass", "acts differently"),
        ('state["steps"]', 'state["step"]', "load_state_dict raised KeyError"),
        ("self.optimizer.state_dict()", "repr(self.optimizer)", "load_state_dict raised"),
        ("self.layer.state_dict()", "dict(self.layer.named_modules())", "Linear; store its state_dict"),
    ],
)  # fmt: skip
def test_check_finds_a_state_that_does_not_come_back(mine, before, after, message):
    report = check(mine(before, after), task=resolve_task("FrozenLake"))
    found = next(item for item in report.checks if item.name == "state round trip")
    assert found.passed is False
    assert message in found.message
