"""Self-play: one policy learns in every seat, against itself and against a pool of its past selves.

Any learner with action probabilities will do (`ppo`, `dqn`); it learns in a task of one player (`OpponentsTask`), in
which the others' moves happen inside a step. Every `add_every` steps a frozen copy of it joins the pool and plays
everybody in it and a random player, which gives the curves: share of games won and drawn, Elo.

Nothing here makes the policy converge to an equilibrium: against opponents drawn from the past it learns a best
response to a mixture, which in games that need mixed strategies (poker) may circle.

Sources: Heinrich, Lanctot & Silver (2015), "Fictitious self-play in extensive-form games", ICML, on averaging over
past selves; OpenAI et al. (2019), "Dota 2 with large scale deep reinforcement learning", arXiv:1912.06680, appendix N
(a share of games against past selves, the rest against the present one); Elo: `inscape.agents.multi_agent.ratings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np

from inscape.agents.acting import sample_actions
from inscape.agents.batches import count_of, rows_of
from inscape.agents.interface import Agent, Metrics, can_learn, can_remember, can_resume, learning_task
from inscape.agents.learning.settings_checks import require_counts, require_shares, require_weights
from inscape.agents.multi_agent.ratings import fitted
from inscape.agents.rollout import evaluate_players
from inscape.envs.law.states import States
from inscape.envs.tasks.opponents_task import OpponentsTask
from inscape.envs.world import World
from inscape.errors import UsageError
from inscape.world_models.networks.types import Array, State

if TYPE_CHECKING:
    from inscape.envs.tasks.task import Task

PRESENT = -1
"""Number of the learner as it is now, among opponents."""
MATCH_COPIES = 32
"""Games side by side in environments without a law."""
LEARNING_ONLY = ("copies", "memory")
"""Parts of a learner's state that acting does not need, and that a past self goes without."""


@dataclass(frozen=True)
class SelfPlaySettings:
    """Settings of self-play."""

    learner: str = "ppo"
    """Name of the learner: an agent that learns and has action probabilities, `ppo` or `dqn`."""
    learner_settings: dict[str, int | float | bool | str] = field(default_factory=dict)
    """The learner's settings by name and value, over its preset in this world."""
    pool_size: int = 16
    """Past selves kept; when one more comes, one of those closest in time goes."""
    add_every: int = 20_000
    """Steps of the learner between two past selves."""
    present: float = 0.5
    """Share of episodes against the learner as it is now; the others are against past selves, each as often."""
    random_moves: float = 0.1
    """Share of opponents' moves drawn uniformly from the legal ones, so that every position comes up now and then."""
    games: int = 200
    """Games that a new past self plays against a random player and against each of the pool, half from either seat, by
    the probabilities it learns with (`dqn`: greedily, so that two of them have few games to play); 0 leaves out the
    curves."""

    def __post_init__(self) -> None:
        require_counts(self, "pool_size", "add_every")
        require_weights(self, "games")
        require_shares(self, "present", "random_moves")


class SelfPlay(Agent):
    """Learns by playing itself and its past selves, in worlds of several players, in turn or all at once.

    Outside `learn` it acts as its learner does. In a world whose players observe from their own side, it acts for any
    of them.

    Args:
        task: a world of several players or a PettingZoo environment.
        seed: seed of everything random.
        device: `"auto"`, `"cpu"` or `"cuda"`, for the learner.
        settings: see `SelfPlaySettings`.

    Raises:
        UsageError: a world of one player, actions that are not `Discrete`, or a learner that cannot be an opponent.
    """

    name = "self-play"
    learns_with_players = True

    def __init__(
        self, task: Task, seed: int = 0, device: str = "cpu", settings: SelfPlaySettings | None = None
    ) -> None:
        self.settings = settings or SelfPlaySettings()
        self.seed, self.device = seed, device
        self.pool = Pool(self.settings.present, self.settings.random_moves)
        self._whole, self._task = task, OpponentsTask.against(task, self.pool)
        self._own: Mapping[str, Any] = self.settings.learner_settings
        self.learner = self._make_learner()
        self.pool.present = self.learner
        self.table = GameTable()
        self._learning: Metrics = {}

    def _make_learner(self) -> Agent:
        """Returns a new learner, the same at each call."""
        s = self.settings
        return make_opponent(s.learner, self._task, self.seed, self.device, self._own, "--learner ppo or dqn")

    # ------------------------------------------------------------------------------------------------ acting

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        return self.learner.act(observation, action_mask)

    def action_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it acts."""
        return np.asarray(cast(Any, self.learner).action_log_probs(observation, action_mask))

    def policy_log_probs(self, observation: Array, action_mask: Array | None = None) -> Array:
        """Returns `[B, A]` log-probabilities as it plays while it learns, those of exploration aside."""
        return policy_log_probs(self.learner, observation, action_mask)

    # ------------------------------------------------------------------------------------------------ learning

    def learn(self, task: Task, steps: int) -> Iterator[Metrics]:
        """Learns until the learner has taken `steps` steps; yields whenever it does.

        A step is one action of the learner with the answers to it. Metrics are the learner's, and after each new past
        self `elo` (a random player has 0), `win_rate/random`, `draw_rate/random`, `win_rate/pool`, `draw_rate/pool`.

        Raises:
            UsageError: it was made for another task.
        """
        self._whole = learning_task(self, self._whole, task)
        if not self.pool.members:
            self._add(0)
        for metrics in cast(Any, self.learner).learn(self._task, steps):
            now = int(metrics["steps"])
            report = dict(metrics)
            if now // self.settings.add_every > self.pool.members[-1].steps // self.settings.add_every:
                report |= self._add(now)
            yield report

    def _add(self, steps: int) -> Metrics:
        """Takes a frozen copy of the learner into the pool; returns how it did against the others."""
        s = self.settings
        frozen = self._make_learner()
        fresh, state = cast(Any, frozen).state_dict(), cast(Any, self.learner).state_dict()
        # without the environments and the memory it learns from
        cast(Any, frozen).load_state_dict({**state, **{name: fresh[name] for name in LEARNING_ONLY if name in fresh}})
        member = Member(self.table.join(), steps, frozen)
        report: Metrics = {}
        if s.games:
            rng = np.random.default_rng([self.seed, steps])
            against_random = match(self._whole, frozen, None, s.games, rng)
            self.table.record(member.number, 0, against_random)
            report = _shares("random", against_random)
            total = np.zeros(3, np.int64)
            for other in self.pool.members:
                counts = match(self._whole, frozen, other.agent, s.games, rng)
                self.table.record(member.number, other.number, counts)
                total += counts
            report |= _shares("pool", total)
            report["elo"] = float(self.table.ratings()[member.number])
        self.pool.add(member, s.pool_size)
        return report | {"pool": float(len(self.pool.members))}

    # ------------------------------------------------------------------------------------------------ saving

    def state_dict(self) -> State:
        settings = getattr(self.learner, "settings", None)
        return {
            # all of them: the preset they come from may be another when the state is loaded
            "learner_settings": asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else {},
            "learner": cast(Any, self.learner).state_dict(),
            "pool": [
                {"number": m.number, "steps": m.steps, "state": cast(Any, m.agent).state_dict()}
                for m in self.pool.members
            ],
            "scores": self.table.scores.copy(),
        }

    def load_state_dict(self, state: State) -> None:
        if state.get("learner_settings"):
            self._own = {**state["learner_settings"], **self.settings.learner_settings}
            self.learner = self.pool.present = self._make_learner()
        self.pool.members.clear()
        for entry in state["pool"]:
            agent = self._make_learner()
            cast(Any, agent).load_state_dict(entry["state"])
            self.pool.members.append(Member(int(entry["number"]), int(entry["steps"]), agent))
        self.table.scores = np.array(state["scores"], np.float64)
        # last, so that the copies it makes meet the pool they were left with
        cast(Any, self.learner).load_state_dict(state["learner"])


# ---------------------------------------------------------------------------------------------------- past selves


@dataclass(frozen=True)
class Member:
    """A past self.

    Attributes:
        number: its place in the table of games; they grow.
        steps: steps it had learned for.
        agent: frozen.
    """

    number: int
    steps: int
    agent: Agent


class Pool:
    """The learner as it is now and its past selves, as opponents.

    Args:
        share: of episodes against the present self.
        random_moves: share of moves drawn uniformly from the legal ones.
    """

    def __init__(self, share: float, random_moves: float) -> None:
        self.share, self.random_moves = share, random_moves
        self.members: list[Member] = []
        self.present: Agent | None = None

    def add(self, member: Member, size: int) -> None:
        """Adds a member; if there are more than `size` then, removes the one with the closest neighbours in time, but
        never the first and the newest."""
        self.members.append(member)
        if len(self.members) <= size:
            return
        steps = [m.steps for m in self.members]
        gaps = [after - before for before, after in zip(steps, steps[2:], strict=False)]
        del self.members[1 + int(np.argmin(gaps)) if gaps else 0]

    def drawn(self, numbers: Array) -> Array:
        """Returns `[n]` whom new episodes are against: numbers of members, or `PRESENT`."""
        if not self.members or self.share == 1:
            return np.full(len(numbers), PRESENT)
        past = (numbers - self.share) / (1 - self.share)
        known = np.array([m.number for m in self.members])
        chosen = known[np.clip((past * len(known)).astype(np.int64), 0, len(known) - 1)]
        return np.where(numbers < self.share, PRESENT, chosen)

    def probabilities(self, opponent: Array, player: Array, observation: Array, mask: Array | None) -> Array:
        """Returns `[n, A]` what the opponents do, each asked once for all its games."""
        chosen: Array | None = None
        for number in np.unique(opponent):
            rows = np.flatnonzero(opponent == number)
            own = None if mask is None else mask[rows]
            probability = np.exp(policy_log_probs(self._agent(int(number)), rows_of(observation, rows), own))
            if self.random_moves:
                legal = np.ones_like(probability) if own is None else own
                uniform = legal / legal.sum(axis=1, keepdims=True)
                probability = (1 - self.random_moves) * probability + self.random_moves * uniform
            if chosen is None:
                chosen = np.zeros((len(opponent), probability.shape[1]))
            chosen[rows] = probability
        assert chosen is not None
        return chosen

    def _agent(self, number: int) -> Agent:
        """Returns who plays as this number; for one that has left, the next one after it."""
        if number != PRESENT:
            for member in self.members:
                if member.number >= number:
                    return member.agent
        if self.present is None:
            raise UsageError(
                "a learner of self-play that plays while it is made, when it has no opponent yet",
                expected="a learner that first acts in its task when it learns",
                hint="--learner ppo or dqn",
            )
        return self.present


def make_opponent(spec: str, task: Task, seed: int, device: str, settings: Any, instead: str) -> Agent:
    """Returns a new learner that can be an opponent.

    Args:
        spec, task, seed, device, settings: as `make_agent` takes them.
        instead: what to try where it does not act in such a task.

    Raises:
        UsageError: as `make_agent`; or it cannot be an opponent.
    """
    from inscape.agents.registry import make_agent

    try:
        learner = make_agent(spec, task, seed, device, settings)
    except UsageError as error:
        if "inscape train" not in error.hint:
            raise
        # a learner names who would learn here in its place, as if it were to learn alone
        raise UsageError(error.found, expected=error.expected, hint=instead) from error
    require_opponent(learner, spec)
    return learner


def require_opponent(learner: Agent, spec: str) -> None:
    """Refuses a learner that cannot be saved or cannot say its probabilities, or that remembers: opponents are asked
    without a past, and would act as at an episode's first step."""
    if can_remember(learner):
        raise UsageError(
            f"{spec} remembers, and opponents are asked what they do now, without what they saw before",
            expected="an agent without memory",
            hint="ppo or dqn",
        )
    says = any(callable(getattr(learner, name, None)) for name in ("policy_log_probs", "action_log_probs"))
    if not (can_learn(learner) and can_resume(learner) and says):
        raise UsageError(
            f"{spec} as an opponent of itself",
            expected="an agent that learns, has state_dict and load_state_dict, and action_log_probs",
            hint="ppo or dqn",
        )


def policy_log_probs(agent: Agent, observation: Array, mask: Array | None) -> Array:
    """Returns `[B, A]` log π(a|s) of an agent as it learns, where it says so, else as it acts."""
    says = getattr(agent, "policy_log_probs", None) or cast(Any, agent).action_log_probs
    return np.asarray(says(observation, mask))


# ---------------------------------------------------------------------------------------------------------- games


class GameTable:
    """Who scored how much against whom, by number; number 0 is a random player."""

    def __init__(self) -> None:
        self.scores = np.zeros((1, 1))

    def join(self) -> int:
        """Returns the number of one more player."""
        self.scores = np.pad(self.scores, (0, 1))
        return len(self.scores) - 1

    def record(self, one: int, other: int, counts: Array) -> None:
        """Adds `[3]` games that `one` won, drew and lost against `other`."""
        won, drawn, lost = (float(n) for n in counts)
        self.scores[one, other] += won + 0.5 * drawn
        self.scores[other, one] += lost + 0.5 * drawn

    def ratings(self) -> Array:
        """Returns `[N]` Elo ratings, the random player's 0; a draw is added to every pair that met."""
        return fitted(self.scores, anchor=0, prior_draws=1)


def match(task: Task, one: Agent, other: Agent | None, games: int, rng: np.random.Generator) -> Array:
    """Returns `[3]` how many games `one` won, drew and lost; from each seat about as many.

    Both play as they learn (`policy_log_probs`), the other seats all as `other`; None plays at random. A game is won by
    the player whose return exceeds the best of the others.

    Args:
        task: of several players, with Discrete actions.
        one, other: agents that say their probabilities.
        games: how many.
        rng: of everything that happens.
    """
    seat = np.arange(games) % task.players
    if task.world is not None:
        returns = _returns_by_law(task.world, one, other, seat, rng)
    else:
        returns = _returns_elsewhere(task, one, other, seat, rng)
    rows = np.arange(games)
    own = returns[rows, seat]
    returns[rows, seat] = -np.inf
    ahead = np.sign(own - returns.max(axis=1))
    return np.array([(ahead > 0).sum(), (ahead == 0).sum(), (ahead < 0).sum()])


def _returns_by_law(world: World, one: Agent, other: Agent | None, seat: Array, rng: np.random.Generator) -> Array:
    """Returns `[G, M]` what the players gain, all games side by side."""
    returns = np.zeros((len(seat), world.players))
    states, going = world.sample_initial(len(seat), rng), np.arange(len(seat))
    elapsed, limit = 0, world.max_episode_steps
    while len(going) and (limit is None or elapsed < limit):
        if world.simultaneous:
            actions = _joint(world, states, seat[going], one, other, rng)
        else:
            mine = world.mover_of(states) == seat[going]
            mask = world.legal_actions(states)
            actions = _chosen(world.observe(states), mask, mine, one, other, rng)
        states, rewards, ended = world.step(states, actions, rng)
        returns[going] += rewards
        states, going = states[~ended], going[~ended]
        elapsed += 1
    return returns


def _returns_elsewhere(task: Task, one: Agent, other: Agent | None, seat: Array, rng: np.random.Generator) -> Array:
    """Returns `[G, M]` what the players gain in an environment without a law, in a few copies at a time."""
    returns = np.zeros((len(seat), task.players))
    for place in range(task.players):
        rows = np.flatnonzero(seat == place)
        if len(rows):
            agents = [_Playing(task, one if k == place else other, rng) for k in range(task.players)]
            found = evaluate_players(agents, task, len(rows), seed=int(rng.integers(2**31)), max_copies=MATCH_COPIES)
            returns[rows] = np.stack([evaluation.returns for evaluation in found], axis=1)
    return returns


class _Playing(Agent):
    """An agent as it plays while it learns; None plays at random."""

    def __init__(self, task: Task, agent: Agent | None, rng: np.random.Generator) -> None:
        self._space = cast(gymnasium.spaces.Discrete, task.action_space)
        self._agent, self._rng = agent, rng

    def act(self, observation: Array, action_mask: Array | None = None) -> Array:
        count = count_of(observation)
        mask = np.ones((count, int(self._space.n)), np.bool_) if action_mask is None else action_mask
        everybody = np.ones(count, np.bool_)
        chosen = _chosen(observation, mask, everybody, self._agent, None, self._rng)
        return chosen + int(self._space.start)


def _joint(
    world: World, states: States, seat: Array, one: Agent, other: Agent | None, rng: np.random.Generator
) -> Array:
    observation, masks = world.observe(states), world.legal_actions(states)
    columns = [_chosen(observation[:, m], masks[:, m], seat == m, one, other, rng) for m in range(world.players)]
    return np.stack(columns, axis=1)


def _chosen(
    observation: Array, mask: Array, mine: Array, one: Agent | None, other: Agent | None, rng: np.random.Generator
) -> Array:
    """Returns `[n]` indices of actions: of `one` where `mine`, else of `other`; None plays at random."""
    actions = np.empty(len(mine), np.int64)
    for agent, rows in ((one, np.flatnonzero(mine)), (other, np.flatnonzero(~mine))):
        if len(rows):
            log_probs = (
                np.where(mask[rows], 0.0, -np.inf)
                if agent is None
                else policy_log_probs(agent, rows_of(observation, rows), mask[rows])
            )
            actions[rows] = sample_actions(log_probs, rng)
    return actions


def _shares(against: str, counts: Array) -> Metrics:
    """Returns the shares won and drawn; nothing where nothing was played."""
    total = int(counts.sum())
    if not total:
        return {}
    return {f"win_rate/{against}": float(counts[0] / total), f"draw_rate/{against}": float(counts[1] / total)}
