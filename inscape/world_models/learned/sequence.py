"""Next-token prediction as a world model: a small causal transformer over actions and observations.

It is shown whole histories, so that it can learn a world whose state is hidden; what it knows after a history is its
model state. Trained by maximum likelihood; scored by code length, which a hidden Markov world's exact filter bounds
from below.

Sources: Radford et al. (2018), "Improving language understanding by generative pre-training"; as a world model,
Janner, Li & Levine (2021), "Offline reinforcement learning as one big sequence modeling problem"; belief states in its
activations, Shai et al. (2024). Averaged weights: Polyak & Juditsky (1992), SIAM Journal on Control 30(4).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional

from inscape.errors import UsageError, whole_number
from inscape.world_models.interface import Batch, FitReport, ModelStep, as_numpy
from inscape.world_models.learned.tokens import Vocabulary
from inscape.world_models.networks.decoder import Decoder, DecoderConfig, optimizer_groups
from inscape.world_models.networks.device import resolve_device

if TYPE_CHECKING:
    from inscape.envs.data.trajectory import Trajectory
    from inscape.envs.tasks.task import Task

FLOOR = 1e-12


@dataclass(frozen=True)
class SequenceSettings:
    """How the model is made and trained.

    Attributes:
        width, layers, heads: of the transformer.
        context: tokens it looks back at most.
        updates: gradient steps of one `learn`.
        batch_size: windows in each.
        learning_rate: at its highest; it rises over the first twentieth and falls to 0 as a cosine.
        weight_decay: of matrices, by AdamW.
        average: decay of the average of the weights that is used afterwards; 0 for the last weights.
        held_out: share of the episodes that is never learned from, for the report.
        report_every: gradient steps between reports.
    """

    width: int = 64
    layers: int = 2
    heads: int = 4
    context: int = 64
    updates: int = 2000
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    average: float = 0.998
    held_out: float = 0.1
    report_every: int = 200

    def __post_init__(self) -> None:
        for name in ("updates", "batch_size", "report_every", "context"):
            whole_number(f"{name} =", getattr(self, name), 1)
        for name, low, high in (("learning_rate", 0.0, 10.0), ("weight_decay", 0.0, 10.0)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected=f"a number from {low:g} to {high:g}")
        for name in ("average", "held_out"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise UsageError(f"{name} = {getattr(self, name)!r}", expected="a number from 0 to below 1")


@dataclass(frozen=True, eq=False)
class Histories:
    """Model states: what was seen so far, as tokens, the newest last; B of them.

    Attributes:
        tokens: B arrays.
    """

    tokens: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Any) -> Histories:
        rows = np.atleast_1d(np.arange(len(self.tokens))[index])
        return Histories(tuple(self.tokens[int(row)] for row in rows))

    @classmethod
    def concatenate(cls, parts: Sequence[Histories]) -> Histories:
        """Returns the histories of all parts, in order."""
        return cls(tuple(tokens for part in parts for tokens in part.tokens))


class SequenceModel:
    """A transformer that predicts what is observed next, from all that was seen and done.

        model = SequenceModel.for_task("CheeseMaze")
        fit_model(model, trajectories)
        model.log_prob(trajectory)           # nats, of what was observed and whether it ended, given the actions
        model.activations(trajectory)        # what it knows after each step: for probes

    Args:
        observation_space: Discrete, MultiDiscrete, MultiBinary, or a Box of whole numbers.
        action_space: Discrete.
        settings: see `SequenceSettings`.
        seed: of the first weights and the order of training.
        device: `"auto"`, `"cpu"` or `"cuda"`.
        ends: whether the task can end by itself; None: found out from the first episodes.

    Attributes:
        filters: True: one observation in mid-episode does not make a state.

    Raises:
        UsageError: spaces it cannot take, or settings out of range.
    """

    filters = True
    num_players = 1

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        settings: SequenceSettings | None = None,
        seed: int = 0,
        device: str = "cpu",
        ends: bool = True,
    ) -> None:
        self.settings = settings or SequenceSettings()
        self.action_space = action_space
        self.vocabulary = Vocabulary.of_spaces(observation_space, action_space, ends)
        self.seed, self.device = whole_number("seed", seed), resolve_device(device)
        if self.settings.context < self.vocabulary.head() + 2 * self.vocabulary.step:
            raise UsageError(
                f"context = {self.settings.context} tokens",
                expected=f"at least {self.vocabulary.head() + 2 * self.vocabulary.step}: two steps of this world",
            )
        made = DecoderConfig(
            self.vocabulary.size, self.settings.width, self.settings.layers, self.settings.heads,
            context=self.settings.context,
        )  # fmt: skip
        self.decoder = Decoder(made, self.seed).to(self.device)
        self._reward_of: dict[bytes, list[float]] = {}
        self.learned = 0

    @classmethod
    def for_task(
        cls, task: Any, settings: SequenceSettings | None = None, seed: int = 0, device: str = "cpu", ends: bool = True
    ) -> SequenceModel:
        """Returns a model of a task, a world, or what stands for one.

        Raises:
            UsageError: its observations or actions are not finitely many; several players.
        """
        from inscape.envs.tasks.resolve import as_task

        given: Task = as_task(task)
        if given.players != 1:
            raise UsageError(f"{given.name} has {given.players} players", expected="a world of one player")
        return cls(given.observation_space, given.action_space, settings, seed, device, ends)

    # ---------------------------------------------------------------------------------------------------- learning

    def learn(self, trajectories: Iterable[Trajectory]) -> Iterator[FitReport]:
        """Learns from episodes, on top of what was learned, and reports every `report_every` gradient steps.

        Raises:
            UsageError: no episode with a step; observations that the space does not have (episode and step named).
        """
        episodes = self._tokens([t for t in trajectories if len(t)])
        if not episodes:
            raise UsageError("no episode with a step to learn from", expected="recorded episodes")
        settings, rng = self.settings, np.random.default_rng((self.seed, self.learned))
        order = rng.permutation(len(episodes))
        aside = int(settings.held_out * len(episodes))
        held_out, kept = [episodes[k] for k in order[:aside]], [episodes[k] for k in order[aside:]]
        steps = sum((len(e) - self.vocabulary.head()) // self.vocabulary.step for e in kept)
        windows = _Windows(kept, self.vocabulary, settings.context, rng)
        averaged = copy.deepcopy(self.decoder) if settings.average else None
        optimizer = torch.optim.AdamW(
            optimizer_groups(self.decoder, settings.weight_decay), settings.learning_rate, betas=(0.9, 0.99)
        )
        warm = max(1, settings.updates // 20)
        for update in range(1, settings.updates + 1):
            share = update / warm if update < warm else 0.5 + 0.5 * math.cos(
                math.pi * (update - warm) / max(1, settings.updates - warm)
            )  # fmt: skip
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * share
            tokens, targets = windows.draw(settings.batch_size)
            loss = self._loss(torch.from_numpy(tokens).to(self.device), torch.from_numpy(targets).to(self.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.decoder.parameters(), 1.0)
            optimizer.step()
            if averaged is not None:
                decay = min(settings.average, update / (update + 10))
                with torch.no_grad():
                    for mean, now in zip(averaged.parameters(), self.decoder.parameters(), strict=True):
                        mean.lerp_(now, 1 - decay)
            if update == settings.updates and averaged is not None:
                self.decoder.load_state_dict(averaged.state_dict())
            if update % settings.report_every == 0 or update == settings.updates:
                bits = self._bits(held_out) if held_out else math.nan
                yield FitReport(steps, bits, metrics={"updates": float(update), "loss_bits": loss.item() / math.log(2)})
        self.learned += 1

    def _tokens(self, trajectories: Sequence[Trajectory]) -> list[np.ndarray]:
        episodes = []
        for number, trajectory in enumerate(trajectories):
            if trajectory.terminated and not self.vocabulary.ends:
                raise UsageError(f"episode {number} ended by itself", expected="a model made with ends=True")
            try:
                episodes.append(self.vocabulary.episode(trajectory))
            except UsageError as error:
                raise UsageError(f"episode {number}: {error.found}", expected=error.expected) from error
            for action, observation, reward in zip(
                trajectory.actions, trajectory.observations[1:], trajectory.rewards, strict=True
            ):
                kept = self._reward_of.setdefault(_key(action, observation), [0.0, 0.0])
                kept[0] += float(reward)
                kept[1] += 1.0
        return episodes

    def _loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean −log P of the targets that count (−1 does not), each among the tokens of its own block."""
        logits = self.decoder(tokens).log_softmax(-1)
        return functional.nll_loss(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)

    # ----------------------------------------------------------------------------------------------------- scoring

    def log_prob(self, trajectory: Trajectory) -> float:
        """Returns Σ log P(next observation, ended | all before, actions), in nats."""
        return float(self.step_log_probs(trajectory).sum())

    def step_log_probs(self, trajectory: Trajectory) -> np.ndarray:
        """Returns `[T]` log P(observation t + 1, ended | all before, actions), in nats."""
        tokens = self.vocabulary.episode(trajectory)
        each = self._token_log_probs(tokens)
        marks = self.vocabulary.scored(len(tokens))
        body = np.where(marks, each, 0.0)[self.vocabulary.head() :]
        return np.asarray(body.reshape(len(trajectory), self.vocabulary.step).sum(axis=1))

    def _bits(self, episodes: Sequence[np.ndarray]) -> float:
        """Returns bits a step of tokenised episodes."""
        total, steps = 0.0, 0
        for tokens in episodes:
            marks = self.vocabulary.scored(len(tokens))
            total -= float(self._token_log_probs(tokens)[marks].sum())
            steps += (len(tokens) - self.vocabulary.head()) // self.vocabulary.step
        return total / steps / math.log(2)

    @torch.no_grad()
    def _token_log_probs(self, tokens: np.ndarray) -> np.ndarray:
        """Returns `[N]` log P(token | those before), each normalised within its block; what is chosen by nobody, 0."""
        found = np.zeros(len(tokens))
        for rows, starts in self._reading(tokens):
            logits = self.decoder(rows.to(self.device)).float().cpu()
            for row, (begin, first, end) in enumerate(starts):
                places = np.arange(first, end)
                found[places] = self._within_blocks(logits[row, places - 1 - begin], tokens, places)
        return found

    def _within_blocks(self, logits: Tensor, tokens: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Returns log P of the tokens at `places` under the logits before them, among those that can stand there."""
        can = torch.from_numpy(self._possible(places))
        logits = logits.masked_fill(~can, -math.inf).double()
        chosen = torch.from_numpy(tokens[places])
        return np.asarray(logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0].numpy())

    def _possible(self, places: np.ndarray) -> np.ndarray:
        """Returns `[N, V]` bool: which tokens can stand at these places of an episode."""
        vocabulary = self.vocabulary
        can = np.zeros((vocabulary.step, vocabulary.size), np.bool_)
        for k, (start, count) in enumerate(vocabulary.blocks):
            can[k, start : start + count] = True
        beginning = places < vocabulary.head()
        part = np.where(beginning, places - 1 + vocabulary.acts, (places - vocabulary.head()) % vocabulary.step)
        return np.asarray(can[np.maximum(part, 0)])

    def _reading(self, tokens: np.ndarray) -> Iterator[tuple[Tensor, list[tuple[int, int, int]]]]:
        """Yields windows over an episode, so that every token is predicted from at least half a context.

        Yields `(rows [B, L], [(begin, first, end)])`: a row is `tokens[begin:end]`, of which those from `first` on are
        to be predicted.
        """
        context, length = self.settings.context, len(tokens)
        first_end = min(length, context)
        yield torch.from_numpy(tokens[None, :first_end]), [(0, 1, first_end)]
        stride = max(1, context // 2)
        spans = []
        first = first_end
        while first < length:
            end = min(length, first + stride)
            spans.append((end - context, first, end))
            first = end
        for begin in range(0, len(spans), 64):
            part = spans[begin : begin + 64]
            yield torch.from_numpy(np.stack([tokens[b:e] for b, _, e in part])), part

    @torch.no_grad()
    def activations(self, trajectory: Trajectory, layer: int | None = None) -> np.ndarray:
        """Returns `[T + 1, D]` what the network holds after the first observation and after each step.

        Args:
            trajectory: T steps.
            layer: after that many blocks; None: after the last, normalised.
        """
        tokens = self.vocabulary.episode(trajectory)
        width = self.settings.width
        held = np.zeros((len(tokens), width), np.float32)
        for rows, starts in self._reading(tokens):
            hidden = self.decoder.hidden(rows.to(self.device), upto=layer).float().cpu().numpy()
            for row, (begin, first, end) in enumerate(starts):
                low = 0 if first == 1 else first
                held[low:end] = hidden[row, low - begin : end - begin]
        return held[self.vocabulary.head() - 1 :: self.vocabulary.step]

    # --------------------------------------------------------------------------------------------------- simulating

    def init(self, observations: Batch) -> Histories:
        """Returns the histories that begin with `[B, ...]` observations."""
        return Histories(tuple(self.vocabulary.first(as_numpy(observations))))

    def update(self, states: Histories, actions: Batch, observations: Batch) -> Histories:
        """Returns the histories after `[B]` actions and `[B, ...]` observations."""
        return self._longer(states, as_numpy(actions), as_numpy(observations), np.zeros(len(states), np.int64))

    def _longer(self, states: Histories, actions: np.ndarray, seen: np.ndarray, ended: np.ndarray) -> Histories:
        rows = self.vocabulary.steps(actions, seen, ended)
        cut = self.settings.context
        return Histories(
            tuple(np.concatenate([t, row])[-2 * cut :] for t, row in zip(states.tokens, rows, strict=True))
        )

    @torch.no_grad()
    def step(self, states: Histories, actions: Batch, rng: np.random.Generator) -> ModelStep:
        """Returns a sampled next observation for each of B histories, as longer histories.

        The reward is the mean of what was seen with the same action and observation; 0 where that never was. The
        continuation is the probability that the task goes on, not a draw.
        """
        taken = np.asarray(as_numpy(actions), np.int64)
        vocabulary = self.vocabulary
        rows = [t[-(self.settings.context - vocabulary.step) :] for t in states.tokens]
        if vocabulary.acts:
            rows = [np.append(row, vocabulary.blocks[0][0] + a) for row, a in zip(rows, taken, strict=True)]
        values = []
        for start, count in vocabulary.blocks[vocabulary.acts : vocabulary.acts + len(vocabulary.fields)]:
            probs = self._next(rows, start, count)
            drawn = start + (probs.cumsum(axis=1) < rng.random((len(rows), 1))).sum(axis=1).clip(0, count - 1)
            rows = [np.append(row, token) for row, token in zip(rows, drawn, strict=True)]
            values.append(drawn)
        seen = vocabulary.decoded(np.stack(values, axis=1))
        goes_on = np.ones(len(rows))
        if vocabulary.ends:
            start, count = vocabulary.blocks[-1]
            goes_on = self._next(rows, start, count)[:, 0]
        reward = np.array([self._mean_reward(a, o) for a, o in zip(taken, seen, strict=True)])
        return ModelStep(self._longer(states, taken, seen, np.zeros(len(rows), np.int64)), reward, goes_on)

    @torch.no_grad()
    def _next(self, rows: Sequence[np.ndarray], start: int, count: int) -> np.ndarray:
        """Returns `[B, count]` probabilities of the next token of each row among a block's."""
        found = np.empty((len(rows), count))
        lengths = np.array([len(row) for row in rows])
        for length in np.unique(lengths):
            same = np.flatnonzero(lengths == length)
            batch = torch.from_numpy(np.stack([rows[int(k)] for k in same])).to(self.device)
            logits = self.decoder.lm_head(self.decoder.hidden(batch)[:, -1])[:, start : start + count]
            found[same] = logits.double().softmax(-1).cpu().numpy()
        return found

    def _mean_reward(self, action: Any, observation: Any) -> float:
        kept = self._reward_of.get(_key(action, observation))
        return 0.0 if kept is None else kept[0] / kept[1]

    # ------------------------------------------------------------------------------------------------------ storing

    def state_dict(self) -> dict[str, Any]:
        """Returns weights, rewards seen, and how often it learned."""
        weights = {name: value.detach().cpu().numpy() for name, value in self.decoder.state_dict().items()}
        keys = [list(key) for key in self._reward_of]
        return {
            "weights": weights,
            "reward_keys": keys,
            "rewards": np.array(list(self._reward_of.values())).reshape(-1, 2),
            "learned": self.learned,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replaces everything learned.

        Raises:
            UsageError: the state of a model of another shape, the field named.
        """
        own = self.decoder.state_dict()
        given = state.get("weights", {})
        for name, value in own.items():
            if name not in given or np.shape(given[name]) != tuple(value.shape):
                found = np.shape(given[name]) if name in given else "nothing"
                raise UsageError(f"weights {name}: {found}", expected=str(tuple(value.shape)))
        self.decoder.load_state_dict({name: torch.from_numpy(np.array(given[name])) for name in own})
        rewards = np.asarray(state["rewards"], np.float64).reshape(-1, 2)
        self._reward_of = {bytes(key): list(row) for key, row in zip(state["reward_keys"], rewards, strict=True)}
        self.learned = int(state["learned"])


def _key(action: Any, observation: Any) -> bytes:
    return np.int64(action).tobytes() + np.ravel(np.asarray(observation, np.int64)).tobytes()


class _Windows:
    """Windows of `context` tokens out of episodes, drawn so that every step is as likely to be in one."""

    def __init__(
        self, episodes: Sequence[np.ndarray], vocabulary: Vocabulary, context: int, rng: np.random.Generator
    ) -> None:
        self.context, self.rng = context, rng
        marks = [vocabulary.scored(len(tokens)) for tokens in episodes]
        gap = np.zeros(context, np.int64)
        self.tokens = np.concatenate([np.concatenate([tokens, gap]) for tokens in episodes])
        self.marks = np.concatenate([np.concatenate([mark, gap.astype(np.bool_)]) for mark in marks])
        starts, at = [], 0
        for tokens in episodes:
            last = max(0, len(tokens) - context - 1)
            within = np.arange(vocabulary.head() - 1, last + vocabulary.step, vocabulary.step)
            within = within[within <= last]
            starts.append(at + np.concatenate([np.zeros(1 + len(within) // 50, np.int64), within]))
            at += len(tokens) + context
        self.starts = np.concatenate(starts)

    def draw(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns tokens `[B, context]` and the next ones, −1 where they do not count."""
        begin = self.rng.choice(self.starts, count)[:, None] + np.arange(self.context)
        begin = np.minimum(begin, len(self.tokens) - 2)
        targets = np.where(self.marks[begin + 1], self.tokens[begin + 1], -1)
        return self.tokens[begin], targets
