"""Training an observing network on what simulated minds do, and storing it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from inscape.errors import UsageError, whole_number
from inscape.theory_of_mind.controllers import Controller, check_world
from inscape.theory_of_mind.minds import Mind, name_of
from inscape.theory_of_mind.neural.network import ObservingNetwork, masked_log_probs
from inscape.theory_of_mind.neural.population import Behaviour, DrawMind, Population
from inscape.theory_of_mind.parts.numbers import probability
from inscape.theory_of_mind.player_view import view_of

if TYPE_CHECKING:
    from torch import Tensor

    from inscape.envs.world import World

MOST_KINDS = 512
FORMAT = "inscape observing network 1"


@dataclass(frozen=True)
class KnownByName:
    """A mind of which a stored network knows the name alone."""

    name: str

    def controller(self, world: World, player: int = 0) -> Controller:
        """Refused: nothing but a name was stored.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"the mind ({self.name}), known by name alone", expected="load(path, world, minds=[…])")


@dataclass(frozen=True, eq=False)
class NeuralModel:
    """A trained observing network, with what is needed to observe with it.

    Attributes:
        world: the world it was trained in.
        minds: K minds, one of each kind that its posterior tells apart.
        network: the weights.
        past: how many past episodes it was trained to take into account, at most; an observer keeps the last of them.
        length: how many steps of an episode it was trained on.
        player: whose minds they are, where there are several players.
        loss: bits per action, of the last training steps: the cross-entropy of its predictions and the true policies.
        steps: training steps made.
    """

    world: World
    minds: tuple[Mind, ...]
    network: ObservingNetwork
    past: int
    length: int
    player: int | None = None
    loss: float = math.nan
    steps: int = 0

    def save(self, path: str | Path) -> Path:
        """Writes weights and settings as one safetensors file; of minds, their names. Nothing is pickled.

        Raises:
            UsageError: the file cannot be written.
        """
        return _write(Path(path), self, {})

    @staticmethod
    def load(path: str | Path, world: World, minds: Sequence[Mind] | None = None) -> NeuralModel:
        """Returns a stored model.

        Args:
            path: where `save` wrote it.
            world: the world it was trained in.
            minds: those its posterior is over, in the order of `model.minds`; None: they are known by name alone.

        Raises:
            UsageError: there is no such file, or it is no observing network; it is of another world, or of other minds.
        """
        return _read(Path(path), world, minds)[0]


def train_neural_observer(
    world: World,
    draw_mind: DrawMind | Sequence[Mind],
    steps: int = 3000,
    *,
    by: str | Callable[[Mind], Hashable] | None = None,
    past: int = 4,
    length: int = 30,
    minds: int = 1000,
    batch: int = 64,
    width: int = 64,
    beyond_end: float = 0.0,
    learning_rate: float = 2e-3,
    gamma: float | None = None,
    player: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
    checkpoint_steps: int = 500,
    progress: Callable[[int, float], None] | None = None,
) -> NeuralModel:
    """Trains a network to predict minds drawn from a prior, and to tell kinds of them apart.

        model = train_neural_observer(world, lambda rng: PlanningMind(rng.choice(["A", "B"]), rng.gamma(4.0), "hard"),
                                      by="goal")
        watch = NeuralObserver(model)

    In every step, `batch` minds act in 0 to `past` episodes that are past and in one that is not, and the network is
    moved along the gradient of the cross-entropy between their true policies and its predictions at every step of the
    present episode, plus that of their kinds. What the minds do in every state is worked out once, before.

    Args:
        world: one that can be enumerated.
        draw_mind: draws a mind from the prior: a function of a `numpy.random.Generator`; or a list of minds, equally
            likely.
        steps: training steps.
        by: what makes minds of one kind: the name of an attribute, or a function of a mind; None: each is its own kind.
        past: most past episodes.
        length: longest episode.
        minds: how many are drawn to train on, where `draw_mind` is a function.
        batch, width, learning_rate: of the network and of Adam, whose rate falls to zero along a cosine.
        beyond_end: share of episodes in which minds go on, as their controllers say, where their own episode is over:
            above 0 if agents are to be observed in a world that ends elsewhere.
        gamma, player: as in `ExactObserver`.
        seed: of minds, their episodes, and the first weights.
        device: `"cpu"` or `"cuda"`: where the network is trained; minds are simulated on the CPU.
        checkpoint: a file that is written every `checkpoint_steps` steps and at the end; if it is there already, the
            same training goes on from it, with the same result as one never stopped.
        progress: called every `checkpoint_steps` steps with the step and the bits per action, averaged over some fifty.

    Raises:
        UsageError: more than `MOST_KINDS` kinds (say `by`); numbers out of range; a checkpoint of another training; or
            as `ExactObserver`.

    Source: Rabinowitz et al. (2018), "Machine Theory of Mind", ICML; Adam: Kingma & Ba (2015), ICLR.
    """
    check_world(world)
    sizes = {"steps": steps, "length": length, "batch": batch, "width": width, "checkpoint_steps": checkpoint_steps}
    sizes = {name: whole_number(f"{name} =", value, 1) for name, value in sizes.items()}
    past, seed = whole_number("past =", past), whole_number("seed =", seed)
    beyond_end = probability("beyond_end", beyond_end)
    number = isinstance(learning_rate, (int, float)) and not isinstance(learning_rate, bool)
    if not number or not 0 < learning_rate < 1:
        raise UsageError(f"learning_rate = {learning_rate!r}", expected="a number between 0 and 1")
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise UsageError(f"device = {device!r}", expected="'cpu', or 'cuda' where there is a GPU")
    population = Population(world, draw_mind, minds, seed, gamma, player)
    kinds, kind_of = population.kinds(by, MOST_KINDS)
    states, actions = population.dynamics.legal.shape
    network = ObservingNetwork(states, actions, len(kinds), sizes["width"], seed).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate)
    made, loss = 0, math.nan
    settings = {**sizes, "past": past, "seed": seed, "learning_rate": learning_rate, "beyond_end": beyond_end}
    file = None if checkpoint is None else Path(checkpoint)
    if file is not None and file.exists():
        made, loss = _resume(file, world, kinds, network, optimizer, settings)
    legal = torch.from_numpy(population.dynamics.legal.copy()).to(device)
    kind_numbers = torch.from_numpy(kind_of).to(device)

    def model() -> NeuralModel:
        return NeuralModel(world, kinds, network, past, sizes["length"], player, loss, made)

    for step in range(made, sizes["steps"]):
        rng = np.random.default_rng([seed, 1, step])
        did = population.simulate(sizes["batch"], past + 1, sizes["length"], rng, beyond_end)
        seen = rng.integers(0, past + 1, len(did.minds))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / sizes["steps"]))
        bits, total = _loss(network, did, seen, legal, kind_numbers, device)
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        made = step + 1
        loss = bits if math.isnan(loss) else 0.98 * loss + 0.02 * bits
        if made % sizes["checkpoint_steps"] == 0 or made == sizes["steps"]:
            if file is not None:
                _write(file, model(), {"training": settings}, optimizer)
            if progress is not None:
                progress(made, loss)
    network.cpu().eval()
    return model()


def _loss(
    network: ObservingNetwork, did: Behaviour, seen: Any, legal: Tensor, kind_of: Tensor, device: str
) -> tuple[float, Tensor]:
    """Returns bits per action, and the loss: nats per action plus nats per kind."""

    def given(array: Any) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    episodes = did.states.shape[1] - 1
    shown = did.acting[:, :episodes] & (np.arange(episodes) < seen[:, None])[..., None]
    character = network.characters(given(did.states[:, :episodes]), given(did.actions[:, :episodes]), given(shown))
    states, acting = given(did.states[:, -1]), given(did.acting[:, -1])
    minds = network.minds(character, states, given(did.actions[:, -1]), acting)
    now = minds[:, :-1]
    log_probs = masked_log_probs(network.action_logits(now, states), legal[states])
    wanted = given(did.probs[:, -1])
    each = -(wanted * torch.where(wanted > 0, log_probs, 0.0)).sum(dim=-1)
    count = acting.sum().clamp(min=1)
    nats = (each * acting).sum() / count
    kinds = torch.log_softmax(network.kind_logits(now), dim=-1)
    true = kind_of[given(did.minds)][:, None, None].expand(*kinds.shape[:2], 1)
    of_kinds = -(kinds.gather(-1, true)[..., 0] * acting).sum() / count
    return float(nats.detach()) / math.log(2), nats + 0.3 * of_kinds


# ----------------------------------------------------------------------------------------------------------- files


def _described(world: World) -> str:
    return repr(world)


def _write(path: Path, model: NeuralModel, more: dict[str, Any], optimizer: Any = None) -> Path:
    from safetensors.torch import save_file

    tensors = {f"network.{name}": value.cpu().contiguous() for name, value in model.network.state_dict().items()}
    if optimizer is not None:
        for number, moments in optimizer.state_dict()["state"].items():
            for name, value in moments.items():
                tensors[f"adam.{number}.{name}"] = value.cpu().contiguous()
    about = {
        "format": FORMAT,
        "world": _described(model.world),
        "states": model.network.places.num_embeddings,
        "actions": model.network.actions,
        "width": model.network.places.embedding_dim,
        "minds": [name_of(mind) for mind in model.minds],
        "past": model.past,
        "length": model.length,
        "player": model.player,
        "loss": model.loss if math.isfinite(model.loss) else None,
        "steps": model.steps,
        **more,
    }
    temporary = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={"inscape": json.dumps(about)})
        temporary.replace(path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}", expected="a file that can be written"
        ) from error
    return path


def _read(path: Path, world: World, minds: Sequence[Mind] | None) -> tuple[NeuralModel, dict[str, Any], dict[str, Any]]:
    """Returns a model, what is said about it, and the tensors of its optimiser."""
    from safetensors import SafetensorError, safe_open

    check_world(world)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("inscape", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dictionary
    except (OSError, SafetensorError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: {str(error)[:200]}", expected="a file written by NeuralModel.save"
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UsageError(f"{path} is no observing network", expected="a file written by NeuralModel.save")
    states, actions = view_of(world, about["player"]).dynamics().legal.shape
    if about["world"] != _described(world) or (about["states"], about["actions"]) != (states, actions):
        raise UsageError(
            f"{path} was trained in {about['world']} ({about['states']} states)",
            expected=f"{_described(world)} ({states} states)",
        )
    known: tuple[Mind, ...] = tuple(KnownByName(name) for name in about["minds"])
    if minds is not None:
        known = tuple(minds)
        if [name_of(mind) for mind in known] != about["minds"]:
            raise UsageError(
                f"the minds {', '.join(map(name_of, known))[:200]}", expected=", ".join(about["minds"])[:200]
            )
    network = ObservingNetwork(states, actions, len(known), about["width"], 0)
    prefix = "network."
    own = {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}
    try:
        network.load_state_dict(own)
    except RuntimeError as error:
        raise UsageError(f"{path} holds other weights: {str(error)[:200]}", expected="an observing network") from error
    network.eval()
    loss = math.nan if about["loss"] is None else about["loss"]
    model = NeuralModel(world, known, network, about["past"], about["length"], about["player"], loss, about["steps"])
    return model, about, {name: value for name, value in tensors.items() if name.startswith("adam.")}


def _resume(
    file: Path,
    world: World,
    kinds: tuple[Mind, ...],
    network: ObservingNetwork,
    optimizer: Any,
    settings: dict[str, Any],
) -> tuple[int, float]:
    """Gives network and optimiser what a checkpoint holds; returns the steps made and the loss."""
    model, about, moments = _read(file, world, kinds)
    if about.get("training") != settings:
        raise UsageError(
            f"{file} is of a training with {about.get('training')}",
            expected=f"the same training: {settings}",
            hint="another file for another training",
        )
    network.load_state_dict(model.network.state_dict())
    state = optimizer.state_dict()
    for name, value in moments.items():
        _, number, moment = name.split(".")
        state["state"].setdefault(int(number), {})[moment] = value
    optimizer.load_state_dict(state)
    return model.steps, model.loss
