"""Whole episodes of groups that start alike: what the methods without a value head learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inscape.agents.acting import sample_actions
from inscape.agents.llm.policy import Scorebook
from inscape.agents.llm.reinforcement.reference import Reference
from inscape.agents.llm.reinforcement.rollouts import charges
from inscape.agents.llm.scoring import log_softmax
from inscape.agents.llm.trainer import LanguageLearner

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

MAX_STEPS = 10_000
"""Steps after which an episode is cut in a task without a time limit."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """One episode in each of B copies, flat: N samples in the order of time.

    Attributes:
        prompts: the U distinct prompts; scores: `[U, A]` of their answers when the actions were drawn.
        rows, actions, masks: `[N]`, `[N]`, `[N, A]`.
        time, copy: `[N]` step and copy of each sample.
        anchors: `[N]` a number for the state it was taken in; equal where the states are.
        rewards: `[T, B]` of the environment; charged: `[T, B]` the penalty on divergence, to be taken from them.
        lengths: `[B]`.
        truncated: `[B]` bool, True where a time limit ended the episode.
    """

    prompts: list[str]
    scores: NDArray[np.float32]
    rows: NDArray[np.int64]
    actions: NDArray[np.int64]
    masks: NDArray[np.bool_]
    time: NDArray[np.int64]
    copy: NDArray[np.int64]
    anchors: NDArray[np.int64]
    rewards: NDArray[np.float64]
    charged: NDArray[np.float64]
    lengths: NDArray[np.int64]
    truncated: NDArray[np.bool_]


class GroupPlay:
    """Plays one episode in each of `num_envs` copies, `group_size` of them from the same state.

    A world's copies are put into the state of their group's first; environments without a law are reset with its seed,
    and then share its random numbers too.

    Args:
        learner: whose policy acts.
        task: what it acts in.
        reference: π₀, from which KL is charged where the settings say "reward".
    """

    def __init__(self, learner: LanguageLearner, task: Task, reference: Reference | None) -> None:
        s = learner.settings
        self._learner, self._task = learner, task
        self._reference = reference if s.kl_in == "reward" else None
        self._envs = task.vector_env(s.num_envs, autoreset="same-step")
        self.groups = np.arange(s.num_envs) // s.group_size

    def close(self) -> None:
        self._envs.close()

    def _start(self, number: int) -> tuple[Any, dict[str, Any]]:
        """Begins round `number`: the same for the same number, whatever was played before."""
        envs, size = self._envs, self._learner.settings.group_size
        if hasattr(envs, "states"):
            envs.reset(seed=int(np.random.default_rng([self._learner.seed, 4, number]).integers(2**31)))
            states = envs.states
            envs.states = states[(self.groups * size).tolist()]
            world = self._task.world
            assert world is not None
            return world.observe(envs.states), {"action_mask": world.legal_actions(envs.states)}
        seeds = np.random.default_rng([self._learner.seed, 4, number]).integers(2**31, size=self.groups[-1] + 1)
        return envs.reset(seed=seeds[self.groups].tolist())

    def collect(self, number: int) -> Episodes:
        """Plays round `number` to the end of every episode."""
        learner = self._learner
        count, actions_count = len(self.groups), len(learner.actions)
        observation, infos = self._start(number)
        book = Scorebook(learner.policy, learner.settings.prompts_per_batch, values=False)
        live = np.arange(count)
        lengths, cut = np.zeros(count, np.int64), np.zeros(count, bool)
        rows: list[NDArray[np.int64]] = []
        taken: list[NDArray[np.int64]] = []
        masks: list[NDArray[np.bool_]] = []
        copies: list[NDArray[np.int64]] = []
        keys: list[NDArray[Any]] = []
        rewards: list[NDArray[np.float64]] = []
        every = np.zeros(count, np.int64)
        while len(live) and len(rewards) < MAX_STEPS:
            mask = np.array(infos["action_mask"], bool) if "action_mask" in infos else None
            legal = np.ones((len(live), actions_count), bool) if mask is None else mask[live]
            row = learner.prompter.rows(np.asarray(observation)[live], book)
            keys.append(self._keys(live, observation))
            choice = sample_actions(log_softmax(book.scores[row], legal), learner.rng)
            # finished copies go on with episodes of their own, which nobody looks at
            every[:] = 0 if mask is None else mask.argmax(1)
            every[live] = choice
            observation, reward, terminated, truncated, infos = self._envs.step(every + learner.first_action)
            rows.append(row)
            taken.append(choice)
            masks.append(legal)
            copies.append(live)
            step = np.zeros(count)
            step[live] = np.asarray(reward, np.float64)[live]
            rewards.append(step)
            lengths[live] += 1
            ended = np.asarray(terminated, bool) | np.asarray(truncated, bool)
            cut[live] |= (np.asarray(truncated, bool) & ~np.asarray(terminated, bool))[live]
            live = live[~ended[live]]
        cut[live] = True
        time = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        flat_rows, flat_taken, flat_masks = np.concatenate(rows), np.concatenate(taken), np.concatenate(masks)
        copy = np.concatenate(copies)
        reward_table = np.array(rewards)
        charged = np.zeros(reward_table.shape)
        if self._reference is not None:
            charged[time, copy] = charges(learner.settings, self._reference, book, flat_rows, flat_masks, flat_taken)
        return Episodes(
            prompts=book.prompts,
            scores=book.scores,
            rows=flat_rows,
            actions=flat_taken,
            masks=flat_masks,
            time=time,
            copy=copy,
            anchors=_numbered(keys),
            rewards=reward_table,
            charged=charged,
            lengths=lengths,
            truncated=cut,
        )

    def _keys(self, live: NDArray[np.int64], observation: Any) -> NDArray[Any]:
        """Returns `[n]` bytes that say in which state each copy is: the state of a world, else what is observed."""
        if hasattr(self._envs, "states"):
            states = self._envs.states[live.tolist()]
            table = np.concatenate([states.floats.view(np.int64), states.ints]).T
        else:
            table = np.asarray(observation)[live].reshape(len(live), -1)
        table = np.ascontiguousarray(table)
        return table.view(np.dtype((np.void, table.dtype.itemsize * table.shape[1])))[:, 0]


def _numbered(keys: list[NDArray[Any]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate(keys), return_inverse=True)[1].reshape(-1).astype(np.int64)
