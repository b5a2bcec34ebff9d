"""Checks of an agent: what it answers in a task, and that its other abilities agree with its actions.

With several players it is asked as the first of them, and learns as `inscape train` lets it learn there.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from inscape.agents.adapters import AdaptedAgent, as_agent
from inscape.agents.interface import can_learn, can_remember, can_resume, can_score
from inscape.agents.rollout import for_player
from inscape.agents.vector_actor import check_actions
from inscape.envs.tasks.shared_policy import one_player
from inscape.errors import UsageError
from inscape.experiments.checks.report import DEVIATIONS, CheckReport, Failed, Skipped, chi_square_deviation, require
from inscape.experiments.runs.storage.checkpoints import load_checkpoint, require_storable, save_checkpoint

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

USUAL_TASKS = ("FrozenLake", "CartPole", "Pendulum-v1", "TicTacToe")
ROWS = 12
SAMPLES = 2000
SECONDS = 3.0
"""Time a check that repeats itself may take."""

LEARNING_STEPS = 500

LOG_TOLERANCE = 1e-4

Factory = Callable[[int], Any]


def check_agent_spec(spec: str, *, task: Task | None = None, settings: Any = None, trust: bool = False) -> CheckReport:
    """Checks an agent by name; without a task, in the first usual world in which it can act at all.

    Raises:
        UsageError: it cannot be made in any of them (the message is that of the last one tried).
    """
    from inscape.envs.tasks.resolve import resolve_task

    if task is not None:
        return _check_in(spec, task, settings)
    reports: list[CheckReport] = []
    refused: UsageError | None = None
    for name in USUAL_TASKS:
        try:
            report = _check_in(spec, resolve_task(name), settings)
        except UsageError as error:
            refused = error
            continue
        if any(check.name == "acts" and check.passed for check in report.checks):
            return report
        reports.append(report)
    if reports:  # it can act in none: what it does in the first is the finding
        return reports[0]
    assert refused is not None
    raise refused


def _check_in(spec: str, task: Task, settings: Any) -> CheckReport:
    _make(spec, task, settings, seed=0)  # refusals are the user's to read, and no findings
    return check_agent(partial(_make, spec, task, settings), task, spec)


def _make(spec: str, task: Task, settings: Any, seed: int) -> Any:
    from inscape.agents.registry import make_agent

    return make_agent(spec, task, seed=seed, settings=settings)


def check_agent(make: Factory, task: Task, name: str = "agent") -> CheckReport:
    """Checks an agent in a task.

    Args:
        make: returns a new agent for a seed.
        task: what it acts in; its observations are those of random play, with several players the first one's.
        name: what to call it in the report.
    """
    report = CheckReport(f"{name} in {task.name}")
    subject = _Subject(make, task, name)
    if not report.run("acts", subject.check_acts):
        return report
    report.run("observations unchanged", subject.check_observations_unchanged)
    report.run("legal actions", subject.check_legal)
    report.run("same seed, same actions", subject.check_same_seed)
    report.run("log-probabilities", subject.check_log_probs)
    report.run("rows independent", subject.check_rows)
    if can_remember(subject.agent()):
        report.run("memory", subject.check_memory)
    report.run("acts as it says", subject.check_frequencies)
    report.run("learns", subject.check_learns)
    report.run("state round trip", subject.check_state)
    return report


class _Subject:
    """One agent under test, and the observations it is asked about."""

    def __init__(self, make: Factory, task: Task, name: str) -> None:
        self.make, self.task, self.name = make, task, name
        self.space = task.action_space
        self.observations, self.masks = _random_play(task)

    def agent(self, seed: int = 0) -> Any:
        """Returns the acting agents."""
        return self.acting(self.whole(seed))

    def whole(self, seed: int = 0) -> Any:
        """Returns who learns and is saved; with several players it may act through one agent for each."""
        agent = as_agent(self.make(seed), self.name)
        if isinstance(agent, AdaptedAgent) and agent._batched is None:
            agent._batched = True  # the contract, and not what a first call finds out
        return agent

    def acting(self, whole: Any) -> Any:
        return for_player(whole, 0) if self.task.players > 1 else whole

    def act(self, agent: Any, observations: np.ndarray, masks: np.ndarray | None) -> np.ndarray:
        """Acts, and holds the answer to the action space and the mask."""
        answer, rows = agent.act(observations, masks), np.arange(len(observations))
        try:
            return check_actions(answer, self.space, rows, agent=self.name, step=0, action_mask=masks)
        except UsageError as error:
            raise Failed(f"{error.found}\n  expected: {error.expected}") from error

    def check_acts(self) -> None:
        agent = self.agent()
        self.act(agent, self.observations, self.masks)
        one = slice(0, 1)
        self.act(agent, self.observations[one], None if self.masks is None else self.masks[one])

    def check_observations_unchanged(self) -> None:
        seen = self.observations.copy()
        masks = None if self.masks is None else self.masks.copy()
        self.agent().act(seen, masks)
        require(
            np.array_equal(seen, self.observations, equal_nan=seen.dtype.kind == "f"), "act changed the observations"
        )
        if self.masks is not None and masks is not None:
            require(np.array_equal(masks, self.masks), "act changed the action mask")

    def check_legal(self) -> None:
        """With one legal action left, it is taken, whatever the agent prefers."""
        if self.masks is None or not isinstance(self.space, gymnasium.spaces.Discrete):
            raise Skipped(f"{self.task.name} does not restrict actions")
        agent = self.agent()
        for action in range(int(self.space.n)):
            possible = self.masks[:, action]
            if possible.any():
                only = np.zeros_like(self.masks[possible])
                only[:, action] = True
                self.act(agent, self.observations[possible], only)

    def check_same_seed(self) -> None:
        answers = []
        for _ in range(2):
            agent = self.agent(seed=7)
            answers.append([self.act(agent, self.observations, self.masks) for _ in range(4)])
        require(np.array_equal(answers[0], answers[1]), "two agents made with one seed chose different actions")

    def check_log_probs(self) -> None:
        log_probs = self._log_probs(self.agent())
        require(not np.isnan(log_probs).any(), "a log-probability is NaN")
        require((log_probs <= LOG_TOLERANCE).all(), f"a log-probability is {log_probs.max():.4g}; none is above 0")
        total = np.exp(log_probs).sum(axis=1)
        row = int(np.abs(total - 1).argmax())
        require(
            abs(total[row] - 1) <= LOG_TOLERANCE,
            f"the probabilities for observation {_short(self.observations[row])} sum to {total[row]:.6g}",
        )
        if self.masks is not None:
            require(np.isneginf(log_probs[~self.masks]).all(), "an illegal action has a log-probability above -inf")

    def _log_probs(self, agent: Any) -> np.ndarray:
        if not can_score(agent) or not isinstance(self.space, gymnasium.spaces.Discrete):
            raise Skipped("the agent does not say its probabilities (no action_log_probs)")
        try:
            log_probs = np.asarray(agent.action_log_probs(self.observations, self.masks), np.float64)
        except UsageError as error:  # an agent may say that it cannot, with the settings it has
            raise Skipped(str(error).splitlines()[0]) from error
        shape = (len(self.observations), int(self.space.n))
        require(log_probs.shape == shape, f"action_log_probs has shape {log_probs.shape}; expected {shape}")
        return log_probs

    def check_rows(self) -> None:
        """A row's probabilities do not depend on the rows around it (planners would need equal random numbers)."""
        agent = self.agent()
        if getattr(agent, "stochastic_log_probs", False):
            raise Skipped("its probabilities come from a search that is random itself")
        together = self._log_probs(agent)
        if not np.allclose(together, self._log_probs(agent), atol=LOG_TOLERANCE):
            raise Skipped("its probabilities change from call to call")
        order = np.random.default_rng(0).permutation(len(together))
        masks = None if self.masks is None else self.masks[order]
        shuffled = np.asarray(agent.action_log_probs(self.observations[order], masks))
        require(_close(shuffled, together[order]), "a row's probabilities depend on the order of the rows")
        for row in range(3):
            one = slice(row, row + 1)
            mask = None if self.masks is None else self.masks[one]
            alone = np.asarray(agent.action_log_probs(self.observations[one], mask))
            require(_close(alone, together[one]), f"row {row} of a batch differs from the same row alone")

    def check_memory(self) -> None:
        """What is remembered is handed on and not kept, depends on its row alone, and begins as `act` does."""
        agent = self.agent(seed=7)
        began, memory = self._recalled(agent, ROWS)
        first = self.act(self.agent(seed=7), self.observations, self.masks)
        require(np.array_equal(began, first), "at the first step act_with_memory chooses otherwise than act")
        again, same = self._recalled(agent, ROWS)
        if np.array_equal(began, again):  # randomness of its actions may be remembered with them
            require(_same(memory, same), "it remembers what it was not given: the same row came out otherwise")
            alone = self._recalled(agent, 1)
            require(_same(memory[:1], alone[1]), "what it remembers of a row depends on the rows around it")

    def _recalled(self, agent: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the answer to some rows at the first step: checked actions, and what is remembered from then on."""
        memory, reward = np.asarray(agent.initial_memory(rows)), np.zeros(rows)
        before = copy.deepcopy(memory)
        masks = None if self.masks is None else self.masks[:rows]
        actions, after = agent.act_with_memory(self.observations[:rows], memory, reward, action_mask=masks)
        require(_same(before, memory), "act_with_memory changed the memory it was given")
        return check_actions(
            actions, self.space, np.arange(rows), agent=self.name, step=0, action_mask=masks
        ), np.asarray(after)

    def check_frequencies(self) -> None:
        """How often each action is taken agrees with the stated probabilities."""
        agent = self.agent()
        log_probs = self._log_probs(agent)
        if not np.allclose(log_probs, self._log_probs(agent), atol=LOG_TOLERANCE):
            raise Skipped("its probabilities change from call to call")
        least_sure = int(log_probs.max(axis=1).argmin())
        for row in {0, least_sure}:
            counts = self._counts(agent, row)
            probabilities = np.exp(log_probs[row])
            probabilities[probabilities < 1e-12] = 0.0
            deviation = chi_square_deviation(counts, probabilities / probabilities.sum())
            require(
                deviation < DEVIATIONS,
                f"at observation {_short(self.observations[row])} actions came with frequencies "
                f"{np.round(counts / counts.sum(), 3).tolist()}, said {np.round(probabilities, 3).tolist()}",
            )

    def _counts(self, agent: Any, row: int) -> np.ndarray:
        assert isinstance(self.space, gymnasium.spaces.Discrete)
        counts, batch, began = np.zeros(int(self.space.n)), 16, time.monotonic()
        while counts.sum() < SAMPLES and time.monotonic() - began < SECONDS:
            masks = None if self.masks is None else np.repeat(self.masks[row : row + 1], batch, axis=0)
            actions = self.act(agent, np.repeat(self.observations[row : row + 1], batch, axis=0), masks)
            counts += np.bincount(actions - int(self.space.start), minlength=len(counts))
            batch = min(batch * 2, 512)
        return counts

    def check_learns(self) -> None:
        """The first metrics say how many steps were taken, and the count grows."""
        agent = self.whole()
        if not can_learn(agent):
            raise Skipped("the agent does not learn")
        task, before, began = self._learned_in(agent), 0.0, time.monotonic()
        for metrics in agent.learn(task, LEARNING_STEPS):
            require(
                isinstance(metrics, dict) and "steps" in metrics, f"learn yielded {metrics!r}; expected 'steps' in it"
            )
            require(metrics["steps"] >= before, f"steps went from {before} to {metrics['steps']}")
            before = metrics["steps"]
            if time.monotonic() - began > SECONDS:
                return
        if before == 0:  # a planner on a known law, say
            raise Skipped("learn took no steps: there is nothing to learn with these settings")

    def _learned_in(self, agent: Any) -> Task:
        if self.task.players == 1 or getattr(agent, "learns_with_players", False):
            return self.task
        try:
            return one_player(self.task)
        except UsageError as error:
            raise Skipped(f"{error.found}: it would need {error.expected}") from error

    def check_state(self) -> None:
        """What it has learned in some steps, saved in a checkpoint and loaded by an agent of another seed, acts on as
        it did, and learns on from there."""
        first, second = self.whole(seed=1), self.whole(seed=2)
        if not can_resume(first):
            raise Skipped("the agent has no state_dict and load_state_dict")
        require_storable(first.state_dict(), self.name)
        taken = self._learn(first, LEARNING_STEPS)
        self.act(self.acting(first), self.observations, self.masks)
        with tempfile.TemporaryDirectory() as folder:
            state, _ = load_checkpoint(save_checkpoint(Path(folder) / "state", first.state_dict()))
        try:
            second.load_state_dict(state)
        except Exception as error:
            raise Failed(
                f"load_state_dict raised {type(error).__name__}: {error}; it is given what state_dict returned, as a "
                "checkpoint kept it"
            ) from error
        for _ in range(4):
            one, other = (self.act(self.acting(agent), self.observations, self.masks) for agent in (first, second))
            require(np.array_equal(one, other), "after load_state_dict an agent acts differently from the one saved")
        self._learn(second, taken + 1)  # a state that acts may lack what learning needs

    def _learn(self, agent: Any, steps: float) -> float:
        """Has an agent learn until so many steps in total or for SECONDS; returns the steps, 0 if it does not learn."""
        taken, began = 0.0, time.monotonic()
        try:
            task = self._learned_in(agent) if can_learn(agent) else None
        except Skipped:
            task = None
        if task is not None:
            learning = agent.learn(task, int(steps))
            for metrics in learning:
                taken = max(taken, float(metrics["steps"]))
                if time.monotonic() - began > SECONDS:
                    learning.close()
                    break
        return taken


def _random_play(task: Task) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns `[ROWS, ...]` observations of random play and their masks, where the task restricts actions."""
    if task.players > 1:
        return _random_play_of_several(task)
    env, rng = task.env(), np.random.default_rng(0)
    env.action_space.seed(0)
    seen, info = env.reset(seed=0)
    observations, masks = [np.asarray(seen)], [info.get("action_mask", ())]
    while len(observations) < ROWS:
        mask = info.get("action_mask")
        action = env.action_space.sample() if mask is None else rng.choice(np.flatnonzero(mask))
        seen, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            seen, info = env.reset()
        observations.append(np.asarray(seen))
        masks.append(info.get("action_mask", ()))
    env.close()
    return np.stack(observations), np.stack(masks).astype(bool) if len(masks[0]) else None


def _random_play_of_several(task: Task) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the same of the first player, whenever it acts."""
    envs, rng = task.vector_env(1), np.random.default_rng(0)
    envs.action_space.seed(0)
    seen, info = envs.reset(seed=0)
    observations: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    own: Any = (0, 0) if task.simultaneous else 0
    while len(observations) < ROWS:
        mask = info.get("action_mask")
        if task.simultaneous or info["mover"][0] == 0:
            observations.append(np.array(seen[own]))
            masks.extend([] if mask is None else [np.array(mask[own], bool)])
        actions = envs.action_space.sample()
        if mask is not None:
            actions = np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=-1)
        seen, _, _, _, info = envs.step(actions)
    envs.close()
    return np.stack(observations), np.stack(masks) if masks else None


def _close(left: np.ndarray, right: np.ndarray) -> bool:
    return bool(np.allclose(np.exp(left), np.exp(right), atol=LOG_TOLERANCE))


def _same(left: np.ndarray, right: np.ndarray) -> bool:
    if left.dtype.kind == "O":
        return repr(left.tolist()) == repr(right.tolist())
    return left.shape == right.shape and bool(np.allclose(left, right, atol=LOG_TOLERANCE, equal_nan=True))


def _short(row: np.ndarray) -> str:
    return np.array2string(np.asarray(row), precision=3, threshold=8)
