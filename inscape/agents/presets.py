"""Settings that are known to work, per agent and world: data, in one place.

`steps` is how long to train by default; `settings` replace the agent's defaults. A world is known by its name
here, by its Gymnasium id, or both.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from inscape.errors import UsageError
from inscape.trust import absolute_names, is_signed, secret_path, sign

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task


@dataclass(frozen=True)
class Preset:
    """Settings for one agent in one world.

    Attributes:
        steps: environment steps to train for.
        settings: the settings that differ from the agent's defaults.
        own: whether the user has saved it (`inscape sweep`).
    """

    steps: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False

    def describe(self, agent: str, task: str, steps: int, settings: Any) -> str:
        """Returns one line on what of the preset is in use with these steps and settings; empty if nothing is."""
        used = [f"{self.steps:,} steps"] if steps == self.steps else []
        used += [f"{name}={value}" for name, value in self.settings.items() if getattr(settings, name) == value]
        which = "your own preset (--no-preset for none)" if self.own else "preset"
        return f"{agent} on {task}: {which} of {', '.join(used)}" if used else ""


_DREAMER_CARTPOLE = {"learning_rate": 1e-3, "model_learning_rate": 2e-3, "train_freq": 5}
_MUZERO_CARTPOLE = {
    "num_simulations": 8, "gradient_steps": 2, "reanalyse": 32, "n_step": 10, "exploration": 0.0,
    "learning_starts": 100,
}  # fmt: skip
# found before rewards were normalised by default; their worlds pay about 1
_AS_PAID = {"normalize_rewards": False}
# 30 of 30 seeds end at 500; half of them are there after 10,000 steps
_PPO_CARTPOLE = {
    **_AS_PAID, "num_envs": 8, "num_steps": 128, "epochs": 6, "minibatches": 8, "learning_rate": 2.5e-3, "gamma": 0.98,
}  # fmt: skip
# Observations are one-hot and reward is rare: many copies, so that the first batches hold some; a wide step; entropy,
# because on ice the first path found is rarely the safest.
_PPO_GRID = {
    **_AS_PAID, "num_envs": 64, "num_steps": 64, "epochs": 4, "minibatches": 4, "learning_rate": 1e-2,
    "entropy_coef": 0.01, "hidden": (64,),
}  # fmt: skip
_PPO_LAKE = {**_PPO_GRID, "num_envs": 256, "entropy_coef": 0.03}
_SB3_CARTPOLE = {
    "num_envs": 32, "num_steps": 64, "batch_size": 512, "epochs": 10, "learning_rate": 3e-3, "anneal": "linear",
}  # fmt: skip
_SB3_GRID = {
    "num_envs": 64, "num_steps": 64, "batch_size": 1024, "epochs": 4, "learning_rate": 1e-2, "anneal": "linear",
    "entropy_coef": 0.01, "hidden": (64,),
}  # fmt: skip
_SB3_LAKE = {**_SB3_GRID, "num_envs": 256, "batch_size": 4096, "entropy_coef": 0.03, "clip": 0.3}
# as tuned in Stable-Baselines3's zoo
_DQN_CARTPOLE = {
    "learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000, "learning_starts": 1000, "gamma": 0.99,
    "target_update_interval": 10, "train_freq": 256, "gradient_steps": 128, "epsilon_fraction": 0.16,
    "epsilon_end": 0.04, "hidden": (256, 256),
}  # fmt: skip

# late steps of long episodes matter as much as early ones
_REINFORCE_CARTPOLE = {"learning_rate": 1e-2, "discount_states": False}
_SAC_SMALL = {
    "hidden": (64, 64), "batch_size": 128, "learning_rate": 1e-3, "learning_starts": 500, "gamma": 0.98, "tau": 0.01,
    "buffer_size": 100_000,
}  # fmt: skip

# entropy and opponents' random moves keep every position in sight: without them lines that lose stay unseen
_PPO_BOARD = {
    **_AS_PAID, "num_envs": 128, "num_steps": 32, "epochs": 4, "minibatches": 4, "learning_rate": 2e-3, "gamma": 1.0,
    "entropy_coef": 0.05, "hidden": (128, 128), "activation": "relu",
}  # fmt: skip
# 800,000 steps of self-play with one seed: lost 2 of 200 games as first player against a random one, won 156 of 200
# against mcts with 50 simulations
_PPO_CONNECT_FOUR = {**_PPO_BOARD, "num_envs": 256, "minibatches": 8}
_PPO_CONTROL = {
    "num_envs": 16, "epochs": 10, "learning_rate": 1e-3, "normalize_observations": True, "normalize_rewards": True,
}  # fmt: skip
# 30 of 30 seeds end above −200; of 40 that took 100,000 steps, 38 did
_PPO_PENDULUM = {**_PPO_CONTROL, "num_steps": 128, "minibatches": 16, "gamma": 0.95}
# 10 of 10 seeds end above 890 of at most 1,000; of 10 that took 400,000 steps, one ended at 832
_PPO_SWING_UP = {**_PPO_CONTROL, "num_steps": 256, "minibatches": 32, "gamma": 0.99}
# 20 of 20 seeds end above 92. The goal is rare and far: many copies find it, entropy keeps them looking.
_PPO_MOUNTAIN = {
    **_PPO_CONTROL, "num_envs": 64, "num_steps": 128, "epochs": 5, "minibatches": 32, "gamma": 0.999,
    "entropy_coef": 0.01,
}  # fmt: skip
_PPO_TEAM = {
    **_AS_PAID, "num_envs": 48, "num_steps": 64, "minibatches": 8, "learning_rate": 1e-3, "entropy_coef": 0.01,
}  # fmt: skip

# Ten rewards before an estimate, a target network that follows slowly, larger batches and a rate that falls: with
# Stable-Baselines3's settings the last network is often one that has just forgotten.
_OUR_DQN_CARTPOLE = {
    **_AS_PAID, "num_envs": 8, "train_freq": 1, "gradient_steps": 4, "target_update_interval": 8, "tau": 0.02,
    "batch_size": 128,
    "learning_rate": 2.3e-3, "anneal": "linear", "n_step": 10, "epsilon_fraction": 0.16, "epsilon_end": 0.04,
    "hidden": (64, 64),
}  # fmt: skip
# reward is rare: half of the training explores; a short horizon keeps the few values that spread from the goal apart
_DQN_PIXEL_LAKE = {
    **_AS_PAID, "num_envs": 16, "buffer_size": 20_000, "batch_size": 32, "train_freq": 1, "gradient_steps": 2,
    "target_update_interval": 512, "anneal": "linear", "n_step": 3, "double": True, "gamma": 0.9,
    "epsilon_fraction": 0.6, "hidden": (64,),
}  # fmt: skip

# Planners of action sequences, on the known law (benchmarks/control_planning.py). Pole and track of CartPole are lost
# within two seconds or not at all: 80 to 100 steps see both ends of the track. Where reward is far or rare (the cars,
# Acrobot), so must the horizon be, and pushes that last.
_CONTROL: Mapping[str, Mapping[str, Any]] = {
    "cartpole": {"horizon": 80, "population": 64, "noise_exponent": 0.0},
    "pendulum": {"horizon": 40, "population": 100, "iterations": 6, "noise_exponent": 2.0, "gamma": 1.0},
    "cartpoleswingup": {"horizon": 100, "population": 64, "noise_exponent": 2.0},
    "mountaincar": {"horizon": 120, "population": 100, "noise_exponent": 2.0},
    "mountaincarcontinuous": {"horizon": 100, "population": 100, "noise_exponent": 2.0},
    "acrobot": {"horizon": 100, "population": 64, "noise_exponent": 2.0},
}


_FEW = {"horizon": 120, "population": 48, "iterations": 2, "elites": 5}
"""Of the cross-entropy methods on Acrobot, whose law takes ten times as long: a decision stays below 5 ms."""


def _planning(changes: Mapping[str, Mapping[str, Any]], *without: str) -> dict[str, Preset]:
    """Returns the presets of a planner in the control worlds: the common ones without some settings, and changes."""
    return {
        world: Preset(
            100_000,
            {name: value for name, value in common.items() if name not in without} | dict(changes.get(world, {})),
        )
        for world, common in _CONTROL.items()
    }


PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "alphazero": {
        # the network alone loses no line with 6 of 6 seeds (benchmarks/results.md)
        "tictactoe": Preset(250_000, {"value_range": (-1.0, 1.0), "gradient_steps": 48, "random_moves": 0.3}),
        "connectfour": Preset(
            3_000_000,
            {
                "value_range": (-1.0, 1.0),
                "num_envs": 256,
                "num_simulations": 64,
                "hidden": (256, 256),
                "buffer_size": 200_000,
                "batch_size": 512,
                "random_moves": 0.1,
            },
        ),
    },
    "self-play": {
        "tictactoe": Preset(600_000, {"random_moves": 0.3}),
        "connectfour": Preset(800_000, {"random_moves": 0.3}),
        "kuhnpoker": Preset(100_000, {"random_moves": 0.0}),
    },
    "reinforce": {"cartpole": Preset(200_000, _REINFORCE_CARTPOLE)},
    "ppo": {
        "cartpole": Preset(50_000, _PPO_CARTPOLE),
        "frozenlake": Preset(200_000, _PPO_GRID),
        "frozenlake-firm": Preset(100_000, _PPO_GRID),
        "frozenlake8x8": Preset(800_000, _PPO_LAKE),
        "frozenlake8x8-firm": Preset(300_000, _PPO_LAKE),
        "fourgoals": Preset(100_000, _PPO_GRID),
        "pendulum": Preset(150_000, _PPO_PENDULUM),
        "cartpoleswingup": Preset(500_000, _PPO_SWING_UP),
        "mountaincarcontinuous": Preset(200_000, _PPO_MOUNTAIN),
        "tictactoe": Preset(600_000, _PPO_BOARD),
        "connectfour": Preset(800_000, _PPO_CONNECT_FOUR),
        # with less entropy self-play circles around the equilibrium: exploited for 0.2 instead of 0.08 chips a game
        "kuhnpoker": Preset(
            100_000,
            {
                **_PPO_BOARD,
                "num_steps": 16,
                "minibatches": 2,
                "learning_rate": 3e-3,
                "entropy_coef": 0.4,
                "hidden": (32,),
                "activation": "tanh",
            },
        ),
        "spread": Preset(500_000, _PPO_TEAM),
        "guesstwothirds": Preset(200_000, _PPO_TEAM),
    },
    "recurrent-ppo": {
        "tmaze": Preset(80_000, {**_AS_PAID, "learning_rate": 5e-3, "gamma": 0.98}),
        # rewards of −100 to 10; many copies, because the outcome of opening a door is mostly random
        "tiger": Preset(
            300_000,
            {"learning_rate": 3e-3, "gamma": 0.95, "normalize_rewards": True, "num_envs": 64, "num_steps": 32},
        ),
        "cheesemaze": Preset(200_000, {"learning_rate": 3e-3, "gamma": 0.95, "normalize_rewards": True}),
    },
    # 10 of 10 seeds end at 500; with λ = 1 one in ten does not
    "a2c": {
        "cartpole": Preset(
            500_000,
            {**_AS_PAID, "num_envs": 8, "num_steps": 8, "learning_rate": 7e-4, "gamma": 0.98, "gae_lambda": 0.95},
        )
    },
    "sb3:ppo": {
        "cartpole": Preset(100_000, _SB3_CARTPOLE),
        "frozenlake": Preset(200_000, _SB3_GRID),
        "frozenlake-firm": Preset(100_000, _SB3_GRID),
        "frozenlake8x8": Preset(800_000, _SB3_LAKE),
        "frozenlake8x8-firm": Preset(300_000, _SB3_LAKE),
        "fourgoals": Preset(100_000, _SB3_GRID),
    },
    "dqn": {"cartpole": Preset(100_000, _OUR_DQN_CARTPOLE), "pixels:frozenlake-firm": Preset(30_000, _DQN_PIXEL_LAKE)},
    # few steps in the environment, and a gradient step for every five of them
    "dreamer": {"cartpole": Preset(10_000, _DREAMER_CARTPOLE)},
    # greedy episodes get soonest to the ends of the track, which have to be learned from
    "muzero": {"cartpole": Preset(3_000, _MUZERO_CARTPOLE)},
    "sb3:dqn": {"cartpole": Preset(50_000, _DQN_CARTPOLE)},
    "q-learning": {
        "frozenlake": Preset(1_000_000),
        "frozenlake-firm": Preset(300_000),
        "frozenlake8x8-firm": Preset(300_000),
        "fourgoals": Preset(300_000),
    },
    "mcts": {"frozenlake8x8": Preset(30_000)},
    # the mean of the members, without noise: sequences of actions are compared over a second and a half
    "pets": {
        "cartpole": Preset(
            200,
            {
                "horizon": 80,
                "population": 80,
                "particles": 1,
                "gamma": 1.0,
                "model_settings": {"features": 32, "propagation": "mean"},
            },
        ),
        "pendulum": Preset(
            1000,
            {
                "horizon": 30,
                "population": 100,
                "iterations": 4,
                "noise_exponent": 2.0,
                "choose": "best",
                "particles": 1,
                "gamma": 1.0,
                "model_settings": {"propagation": "mean"},
            },
        ),
    },
    "cem": _planning({"pendulum": {"choose": "best"}, "acrobot": _FEW}),
    # a swing more or less is another kind of plan: in 20 starts near the bottom, 1 swing too many instead of 5
    "icem": _planning(
        {"acrobot": _FEW, "pendulum": {"horizon": 50, "population": 150, "fresh": 0.8, "initial_std": 1.0}},
    ),
    "mppi": _planning({"cartpole": {"horizon": 100, "population": 100}, "pendulum": {"noise_exponent": 1.0}}),
    "random-shooting": _planning({"acrobot": {"population": 100}}, "noise_exponent", "population", "iterations"),
    "sac": {
        "pendulum": Preset(10_000, _SAC_SMALL),
        # the goal is rarely reached by actions drawn independently at each step; 4 of 4 seeds end above 93
        "mountaincarcontinuous": Preset(
            15_000, {**_SAC_SMALL, "gamma": 0.99, "learning_starts": 4000, "hold_random": 30}
        ),
    },
}

ALIASES: Mapping[str, str] = {
    "cartpole-v1": "cartpole",
    "frozenlake-v1": "frozenlake",
    "pendulum-v1": "pendulum",
    "mountaincarcontinuous-v0": "mountaincarcontinuous",
    "mountaincar-v0": "mountaincar",
    "acrobot-v1": "acrobot",
    "pettingzoo:pettingzoo.classic.tictactoe_v3": "tictactoe",
    "pettingzoo:pettingzoo.classic.connect_four_v3": "connectfour",
}


def preset_for(agent: str, task_name: str) -> Preset | None:
    """Returns the preset of an agent (by its registered name) in a task, or None."""
    name = task_name.lower().removeprefix("inscape/")
    return PRESETS.get(agent.removeprefix("independent:"), {}).get(ALIASES.get(name, name))


# --- presets of the user's own ---------------------------------------------------------------------------------------

_IN_USE: ContextVar[str] = ContextVar("presets", default="all")


@contextmanager
def presets_in_use(which: Literal["all", "shipped", "none"]) -> Iterator[None]:
    """Within the block, agents get by default what all presets say, those that come with Inscape only, or none."""
    token = _IN_USE.set(which)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def preset_in_use(agent: str, task: Task) -> Preset | None:
    """Returns the preset that an agent gets in a task by default: the user's own, else the one that comes with Inscape,
    else None."""
    which = _IN_USE.get()
    if which == "none":
        return None
    own = own_preset(agent, task) if which == "all" else None
    return preset_for(agent, task.name) if own is None else own


def own_preset(agent: str, task: Task) -> Preset | None:
    """Returns the preset that this user has saved for an agent in this world with these settings, or None.

    What is stored is taken only with this user's signature, whole numbers of steps and plain values as settings; those
    are checked against the agent's settings class where they are used.
    """
    try:
        if not secret_path().with_name("presets").is_dir() or not may_have_own_preset(task):
            return None
        document = json.loads(own_preset_path(agent, task).read_bytes())
        body = document["preset"]
        signed = is_signed("preset", _signed_bytes(body), document.get("signature"))
        if not signed or body["agent"] != agent or body["world"] != _world_of(task):
            return None
        steps, settings = body["steps"], body["settings"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError, RuntimeError):
        return None
    if type(steps) is not int or steps < 1 or not isinstance(settings, dict):
        return None
    return Preset(steps, {name: _as_tuple(value) for name, value in settings.items()}, own=True)


def save_own_preset(agent: str, task: Task, preset: Preset) -> Path:
    """Stores a preset for an agent in a world, signed, in the user's configuration folder, and returns the file.

    Raises:
        UsageError: the folder cannot be written, or a setting is no plain value.
    """
    path = own_preset_path(agent, task)
    body = {"agent": agent, "world": _world_of(task), "steps": preset.steps, "settings": dict(preset.settings)}
    try:
        body = json.loads(json.dumps(body))
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = json.dumps({"preset": body, "signature": sign("preset", _signed_bytes(body))}, indent=1)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except (OSError, TypeError, ValueError) as error:
        raise UsageError(f"cannot save the preset in {path}: {error}", expected="a folder to write in") from error
    return path


def may_have_own_preset(task: Task) -> bool:
    """Returns whether a world is known again by its name: one in hand, of a script or a notebook, is not."""
    return not task.to_json().get("in_hand")


def own_preset_path(agent: str, task: Task) -> Path:
    """Returns where the user's preset for an agent in a world lies, whether there is one or not."""
    world = _world_of(task)
    digest = hashlib.sha256(json.dumps([agent, world], sort_keys=True).encode()).hexdigest()[:8]
    name = re.sub(r"[^\w.=-]+", "-", f"{task.name.rpartition('/')[2]}-{agent}").strip("-")[:80]
    return secret_path().with_name("presets") / f"{name}-{digest}.json"


def _world_of(task: Task) -> dict[str, Any]:
    """Returns what tells a world from others: its name (of a file, with its place) and its settings."""
    document: dict[str, Any] = json.loads(json.dumps(absolute_names(task.to_json()), default=repr))
    return {"name": document.get("name"), "settings": document.get("settings", {})}


def _signed_bytes(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True).encode()


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(one) for one in value) if isinstance(value, list) else value
