"""Checks of what is read from a world's law: compiled batches, environments, and the checkers of other libraries."""

from __future__ import annotations

import contextlib
import copy
import io
import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np

from inscape.envs.compile.switch import is_plain
from inscape.experiments.checks.law import Law
from inscape.experiments.checks.report import DEVIATIONS, Failed, Skipped, chi_square_deviation, require, same

if TYPE_CHECKING:
    from inscape.envs.law.states import States
    from inscape.envs.world import World

SAMPLES = 4000
COMPARED = 256  # (state, action) pairs on which plain and compiled law are compared
LIMIT = 12  # steps of an episode, where one has to end soon
# Random play: groups of copies whose mean returns are compared by Welch's test. With some 60 degrees of freedom and
# `DEVIATIONS`, a false alarm in 10⁷ checks; the seeds are fixed.
GROUPS, COPIES, PLAY_STEPS = 32, 64, 40


def require_compiled() -> None:
    """Skips a check of what is compiled in a process where nothing is."""
    if is_plain():
        raise Skipped("kernels run as plain Python in this process: INSCAPE_KERNELS or NUMBA_DISABLE_JIT is set")


class Batches:
    """Batches of states through the compiled law, against the same law in plain Python."""

    def __init__(self, world: World, law: Law) -> None:
        self.world, self.law = world, law

    def batch(self) -> tuple[States, np.ndarray]:
        pairs = self.law.steps()
        if not pairs:
            raise Skipped("no state was reached in which an action can be taken")
        chosen = np.random.default_rng(0).permutation(len(pairs))[:COMPARED]
        states = self.world.pack([pairs[i][0] for i in chosen])
        kind = np.float64 if self.world.continuous else np.int64
        return states, np.array([pairs[i][1] for i in chosen], kind)

    def check_compiles(self) -> None:
        require_compiled()
        states, actions = self.batch()
        self.world.step(states, actions, np.random.default_rng(0), compiled=True)

    def check_plain_equals_compiled(self) -> None:
        """The compiled law gives what the functions give on Python's own numbers, and draws what they draw."""
        require_compiled()
        states, actions = self.batch()
        compiled, plain = self._compiled_answers(states, actions), self._plain_answers(states, actions)
        keys = np.arange(len(states), dtype=np.int64) * 7919
        for answers, fast in ((compiled, True), (plain, False)):
            following, rewards, ended = self.world.step_with_keys(states, actions, keys, compiled=fast)
            answers |= {"floats drawn": following.floats.T, "ints drawn": following.ints.T}
            answers |= {"reward drawn": rewards, "end drawn": ended}
        for name, expected in plain.items():
            _require_equal_rows(name, expected, compiled[name], self.world, states, actions)
        self._require_equal_starts()

    def _require_equal_starts(self) -> None:
        """The initial states, or those drawn where they can only be drawn."""
        (one, starts), (other, others) = (self._starts(compiled) for compiled in (False, True))
        for name, plain, fast in (("floats", starts.floats, others.floats), ("ints", starts.ints, others.ints)):
            require(_as_near(plain, fast).all(), f"initial: plain Python and compiled differ in the {name} of states")
        require(_as_near(one, other).all(), "initial: plain Python and compiled differ in probabilities")

    def _starts(self, compiled: bool) -> tuple[np.ndarray, States]:
        if self.world.initial_noise:
            return np.ones(1), self.world.sample_initial(40, np.random.default_rng(0), compiled=compiled)
        return self.world.initial_outcomes(compiled=compiled)

    def _compiled_answers(self, states: States, actions: np.ndarray) -> dict[str, np.ndarray]:
        world, count = self.world, len(states)
        answers = {
            "terminal": world.terminal_of(states, compiled=True),
            "observation": world.observe(states, compiled=True),
        }
        if world.players > 1 and not world.simultaneous:
            answers["mover"] = world.mover_of(states, compiled=True)
            for player, name in enumerate(world.agents):
                answers[f"observation by {name}"] = world.observe(states, player, compiled=True)
        if not world.continuous:
            answers["legal"] = world.legal_actions(states, compiled=True)
        if not world.noise:
            probability, outcomes = world.outcomes(states, actions, compiled=True)
            width = probability.shape[1]
            again = np.repeat(np.arange(count), width)
            answers["probability"] = probability
            answers["next states"] = np.concatenate([outcomes.floats, outcomes.ints]).T.reshape(count, -1)
            rewards = world.reward_of(states[again], actions[again], outcomes, compiled=True)
            answers["reward"] = rewards.reshape(count, -1)
        return answers

    def _plain_answers(self, states: States, actions: np.ndarray) -> dict[str, np.ndarray]:
        """The same from the law's functions, called one by one on the states as Python values."""
        law, world = self.law, self.world
        rows = [world.unpack(states, i) for i in range(len(states))]
        chosen = [tuple(a) if np.ndim(a) else a for a in actions.tolist()]
        seen = [[law.observed(state, player) for player in range(world.players)] for state in rows]
        movers = [law.mover(state) for state in rows]
        answers = {"terminal": np.array([law.is_terminal(state) for state in rows])}
        if world.simultaneous:
            answers["observation"] = self._as_stored(seen, world.players)
        else:
            answers["observation"] = self._as_stored([row[mover] for row, mover in zip(seen, movers)])
        if world.players > 1 and not world.simultaneous:
            answers["mover"] = np.array(movers)
            for player, name in enumerate(world.agents):
                answers[f"observation by {name}"] = self._as_stored([row[player] for row in seen])
        if not world.continuous:
            masks = np.array([[law.legal(state, player) for player in law.deciders()] for state in rows], bool)
            answers["legal"] = masks if world.simultaneous else masks[:, 0]
        if not world.noise:
            outcomes = [law.outcomes(state, action) for state, action in zip(rows, chosen)]
            packed = [world.pack([following for _, following in row]) for row in outcomes]
            answers["probability"] = np.array([[p for p, _ in row] for row in outcomes])
            answers["next states"] = np.array([np.concatenate([b.floats, b.ints]).T.ravel() for b in packed])
            reward = law.function("reward")
            rewards = [
                [reward(law.params, law.purpose, s, a, following) for _, following in row]
                for s, a, row in zip(rows, chosen, outcomes)
            ]
            answers["reward"] = np.array(rewards, float).reshape(len(rows), -1)
        return answers

    def _as_stored(self, seen: list[Any], *players: int) -> np.ndarray:
        space = self.world.observation_space
        return np.array(seen).astype(space.dtype).reshape(len(seen), *players, *(space.shape or ()))

    def check_absorbing(self) -> None:
        ended = [state for state in self.law.states if self.law.is_terminal(state)]
        if not ended:
            raise Skipped("no terminal state was reached")
        world, states = self.world, self.world.pack(ended)
        if world.continuous:
            actions = np.tile(np.array(world.action_low), (len(ended), 1))
        else:
            actions = np.zeros((len(ended), world.players) if world.simultaneous else len(ended), np.int64)
        following, rewards, flags = world.step(states, actions, np.random.default_rng(0))
        require(following.keys() == states.keys(), "a terminal state was left")
        require(not rewards.any(), "a terminal state gave reward")
        require(flags.all(), "a step from a terminal state did not terminate")

    def check_frequencies(self) -> None:
        if self.world.noise:
            raise Skipped("the law takes noise and states no probabilities")
        states, actions = self.batch()
        rng = np.random.default_rng(2)
        probability, outcomes = self.world.outcomes(states[np.arange(min(8, len(states)))], actions[:8])
        for row in range(len(probability)):
            width = probability.shape[1]
            keys = outcomes[np.arange(row * width, (row + 1) * width)].keys()
            again = np.full(SAMPLES, row)
            drawn = self.world.step(states[again], actions[again], rng)[0].keys()
            name = f"{self.world.unpack(states, row)}, action {self.law.action_name(actions[row])}"
            _require_frequencies(keys, probability[row], drawn, f"next states of {name}")
        if not self.world.initial_noise and self.law.count("initial_branches") > 1:
            p, starts = self.world.initial_outcomes()
            _require_frequencies(starts.keys(), p, self.world.sample_initial(SAMPLES, rng).keys(), "initial states")

    def check_rows(self) -> None:
        states, actions = self.batch()
        keys = np.arange(len(states), dtype=np.int64)
        following, rewards, ended = self.world.step_with_keys(states, actions, keys)
        for row in range(min(10, len(states))):
            one = [row]
            single, reward, end = self.world.step_with_keys(states[one], actions[one], keys[one])
            alike = (
                single.keys() == following[one].keys() and np.array_equal(reward, rewards[one]) and end[0] == ended[row]
            )
            require(alike, f"row {row} of a batch differs from the same row alone")


class Environments:
    """The environments a world is read as; each is compiled for itself."""

    def __init__(self, world: World) -> None:
        self.world = world

    def check_vector(self) -> None:
        """What the vector environment shows is what the law says of the states its copies are in."""
        world, rng = self.world, np.random.default_rng(6)
        env = world.vector_env(16, "same-step", max_episode_steps=LIMIT)
        seen, infos = env.reset(seed=0)
        for _ in range(40):
            states = env.states
            shown = np.ascontiguousarray(seen)
            require(_as_near(shown, world.observe(states)).all(), "observations are not those of the copies' states")
            require(env.observation_space.contains(shown), f"observations outside {env.observation_space}: {shown}")
            if "action_mask" in infos:
                masks = np.array_equal(infos["action_mask"], world.legal_actions(states))
                require(masks, "infos['action_mask'] is not what `legal` says of the copies' states")
            if "mover" in infos:
                movers = np.array_equal(infos["mover"], world.mover_of(states))
                require(movers, "infos['mover'] is not what `mover` says of the copies' states")
            seen, rewards, _, _, infos = env.step(world.random_actions(states, rng))
            expected = (16,) if world.players == 1 else (16, world.players)
            good = rewards.shape == expected and np.isfinite(rewards).all()
            require(good, f"rewards {rewards} of shape {rewards.shape}; expected finite numbers of shape {expected}")

    def check_random_play(self) -> None:
        """Uniform play in compiled code earns what uniform play in the vector environment earns, on average."""
        world = self.world
        compiled = np.array(
            [world.random_play(COPIES, PLAY_STEPS, seed, LIMIT).mean_return for seed in range(GROUPS)]
        )  # fmt: skip
        stepped = _mean_returns(world)
        for player in range(world.players):
            compiled_returns, stepped_returns = compiled[:, player], stepped[:, player]
            deviation = welch_deviation(compiled_returns, stepped_returns)
            require(
                deviation < DEVIATIONS,
                f"random play{_whose(world, player)} earns {compiled_returns.mean():.6g} an episode in compiled code "
                f"and {stepped_returns.mean():.6g} in the vector environment",
            )

    def check_same_trajectory(self) -> None:
        if self.world.players == 1:
            first, second = (trajectory_of(self.world.env(), seed) for seed in (5, 5))
        else:
            first, second = (_trajectory_at_the_table(self.world, seed) for seed in (5, 5))
        require(
            same(first, second),
            "two environments reset with one seed produced different trajectories",
        )

    def check_copies(self) -> None:
        many, few = (self._copies(count) for count in (9, 4))
        require(same([row[:4] for row in many], few), "the first 4 of 9 copies differ from 4 copies of the same seed")

    def _copies(self, count: int) -> list[Any]:
        world, env = self.world, self.world.vector_env(count)
        rng = np.random.default_rng(3)
        seen, infos = env.reset(seed=11)
        rows = [np.array(seen)]
        for _ in range(40):
            if world.continuous:
                low, high = np.array(world.action_low), np.array(world.action_high)
                actions = rng.uniform(low, high, (9, len(low)))[:count]  # the same for copy i whatever the count
            else:
                masks = infos.get("action_mask", world.mask_array(count))
                actions = np.where(masks, rng.random((9, *masks.shape[1:]))[:count], -1.0).argmax(-1)
            seen, rewards, terminated, truncated, infos = env.step(actions)
            rows += [np.array(part) for part in (seen, rewards, terminated, truncated)]
        return rows

    def check_gymnasium(self) -> None:
        self._require_one_player()
        check_gymnasium_env(self.world.env())
        if self.world.continuous:  # an environment takes the bounds of its own action space, which are single precision
            env, copies = self.world.env(), self.world.vector_env(2)
            for name in ("low", "high"):
                env.reset(seed=0)
                env.step(getattr(env.action_space, name))
                copies.reset(seed=0)
                copies.step(getattr(copies.action_space, name))

    def check_sb3(self) -> None:
        self._require_one_player()
        spaces = gym.spaces
        for space in (self.world.observation_space, self.world.action_space):
            if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
                raise Skipped(f"Stable-Baselines3 does not take {space}")
        from stable_baselines3.common.env_checker import check_env

        with _quietly():
            check_env(self.world.env(), warn=False, skip_render_check=True)

    def _require_one_player(self) -> None:
        if self.world.players > 1:
            raise Skipped("several players")

    def check_aec(self) -> None:
        self._require_several_players()
        with _quietly():  # importing it warns too
            from pettingzoo.test import api_test

            api_test(self.world.aec_env(), num_cycles=60)

    def check_parallel(self) -> None:
        self._require_several_players()
        if not self.world.simultaneous:
            raise Skipped("players act in turn")
        with _quietly():  # importing it warns too
            from pettingzoo.test import parallel_api_test

            parallel_api_test(self.world.parallel_env(), num_cycles=60)

    def _require_several_players(self) -> None:
        if self.world.players == 1:
            raise Skipped("one player")


def trajectory_of(env: gym.Env[Any, Any], seed: int, steps: int = 100) -> list[Any]:
    """Returns what is seen, earned and ended in `steps` steps under actions that depend on the seed alone."""
    rng = np.random.default_rng(4)
    env.action_space.seed(0)
    seen, info = env.reset(seed=seed)
    record: list[Any] = [copy.deepcopy(seen)]  # environments may change what they gave
    for _ in range(steps):
        action = _choose(env.action_space, rng, info.get("action_mask"))
        seen, reward, terminated, truncated, info = env.step(action)
        require(math.isfinite(reward), f"reward {reward} is not finite")
        record += [copy.deepcopy(seen), reward, terminated, truncated]
        if terminated or truncated:
            seen, info = env.reset()
            record.append(copy.deepcopy(seen))
    env.close()
    return record


def check_gymnasium_env(env: gym.Env[Any, Any]) -> None:
    """Runs Gymnasium's own checker; its advice on style is left out, what breaks the API raises."""
    from gymnasium.utils.env_checker import check_env

    with _quietly():
        check_env(env.unwrapped, skip_render_check=True)


def welch_deviation(one: np.ndarray, other: np.ndarray) -> float:
    """Returns how many standard errors the means of two samples lie apart; 0 where both are the same constant.

    Source: Welch (1947), Biometrika 34.

    Args:
        one: `[N]`.
        other: `[N']`.
    """
    apart = abs(float(one.mean() - other.mean()))
    if apart <= 1e-9 * max(1.0, abs(float(one.mean()))):
        return 0.0
    error = math.sqrt(one.var(ddof=1) / len(one) + other.var(ddof=1) / len(other))
    return apart / error if error > 0 else math.inf


def _mean_returns(world: World) -> np.ndarray:
    """Returns `[GROUPS, M]`: what episodes in groups of copies of the vector environment earn under random play."""
    env, rng = world.vector_env(GROUPS * COPIES, "same-step", max_episode_steps=LIMIT), np.random.default_rng(9)
    env.reset(seed=GROUPS)
    gained = np.zeros((GROUPS * COPIES, world.players))
    totals, episodes = np.zeros((GROUPS, world.players)), np.zeros((GROUPS, 1))
    for _ in range(PLAY_STEPS):
        _, rewards, terminated, truncated, _ = env.step(world.random_actions(env.states, rng))
        gained += rewards.reshape(gained.shape)
        over = (terminated | truncated)[:, None]
        totals += np.where(over, gained, 0.0).reshape(GROUPS, COPIES, -1).sum(1)
        episodes += over.reshape(GROUPS, COPIES, 1).sum(1)
        gained = np.where(over, 0.0, gained)
    return totals / episodes


def _trajectory_at_the_table(world: World, seed: int) -> list[Any]:
    """The trajectory of a PettingZoo environment whose players choose what depends on the seed alone."""
    env, rng = world.aec_env(), np.random.default_rng(4)
    env.reset(seed=seed)
    record: list[Any] = []
    for _ in range(60 * world.players):
        if not env.agents:
            env.reset()
        seen, reward, terminated, truncated, info = env.last()
        record += [env.agent_selection, env.state(), reward, terminated, truncated]
        record += [np.array(seen["observation"] if isinstance(seen, dict) else seen)]
        over = terminated or truncated
        env.step(None if over else _choose(env.action_space(env.agent_selection), rng, info.get("action_mask")))
    return record


def _choose(space: gym.Space[Any], rng: np.random.Generator, mask: Any) -> Any:
    """Returns an action, legal where a mask is given."""
    if not isinstance(space, gym.spaces.Discrete):
        return space.sample()
    allowed = np.arange(space.n) if mask is None else np.flatnonzero(mask)
    return int(space.start + rng.choice(allowed))


def _whose(world: World, player: int) -> str:
    return f" of {world.agents[player]}" if world.players > 1 else ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without the advice on style that other libraries' checkers warn of and print; what breaks their API raises."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _as_near(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Where two arrays are equal, to the last digits of their dtype."""
    if expected.dtype.kind != "f":
        return np.asarray(expected == found)
    # both run the same operations on doubles; a last-digit difference can only come from the maths library
    digits = max(1e-12, 2.0 * float(np.finfo(expected.dtype).eps))
    return np.asarray(np.isclose(expected, found, rtol=digits, atol=digits, equal_nan=True))


def _require_equal_rows(
    what: str, expected: np.ndarray, found: np.ndarray, world: World, states: States, actions: np.ndarray
) -> None:
    require(expected.shape == found.shape, f"{what}: compiled gives shape {found.shape}, plain Python {expected.shape}")
    rows = _as_near(expected, found).reshape(len(expected), -1).all(axis=1)
    if not rows.all():
        row = int(np.argmin(rows))
        raise Failed(
            f"{what}: plain Python and compiled differ at {world.unpack(states, row)}, action {actions[row]}: "
            f"{expected[row]} and {found[row]}; "
            "does the law read something other than its arguments?"
        )


def _require_frequencies(keys: list[bytes], probability: np.ndarray, drawn: list[bytes], where: str) -> None:
    merged: dict[bytes, float] = {}
    for key, p in zip(keys, probability):
        merged[key] = merged.get(key, 0.0) + float(p)
    index = {key: i for i, key in enumerate(merged)}
    counts = np.zeros(len(merged))
    for key in drawn:
        require(key in index, f"{where}: a state was drawn that is none of the outcomes")
        counts[index[key]] += 1
    p = np.array(list(merged.values()))
    deviation = chi_square_deviation(counts, p)
    require(
        deviation < DEVIATIONS,
        f"{where}: frequencies {np.round(counts / counts.sum(), 3).tolist()}, probabilities {np.round(p, 3).tolist()}",
    )
