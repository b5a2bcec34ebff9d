"""An observer that does not see the whole state: it sums over minds, their memories, and the states that look alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.minds import Mind
from inscape.theory_of_mind.observers.endings import Ends
from inscape.theory_of_mind.observers.exact import ExactObserver
from inscape.theory_of_mind.observers.interface import ImpossibleEvidenceError, Prediction
from inscape.world_models.tabular.arrays import require_memory

if TYPE_CHECKING:
    from inscape.envs.world import World


class PartialObserver(ExactObserver):
    """Exact posterior over minds, and over what is hidden of the state.

    `update` takes what was seen of a state, a value of `sees`, wherever the state itself would stand. Episodes begin as
    the world begins. `log_evidence` is that of all that was seen, of states as well as of actions. Besides `posterior`,
    `marginal` and `expect` (over minds), `state_posterior` says what is hidden.

        Observer(world, minds, sees=lambda state: state.cell)
            .update(3, "east", 4)                                  cells 3 and 4; which truck is where was not seen

    Args:
        world, minds, prior, gamma, player, ends: as in `ExactObserver`.
        sees: a function of a `State` that returns a hashable value.

    Source: the forward algorithm over (mind, memory, state): Rabiner (1989), Eqs. 19–21; Baker et al. (2017), Nature
        Human Behaviour 1, where actions, too, are not always seen.
    """

    def __init__(
        self,
        world: World,
        minds: Sequence[Mind],
        prior: ArrayLike | None = None,
        gamma: float | None = None,
        player: int | None = None,
        sees: Callable[[Any], Any] | None = None,
        ends: Ends | bool | None = None,
    ) -> None:
        if not callable(sees):
            raise UsageError(f"sees = {sees!r}", expected="a function of a State: what is seen of it")
        super().__init__(world, minds, prior, gamma, player, ends)
        states = [self._numbering.unpacked(s) for s in range(len(self.dynamics))]
        looks = [sees(state) for state in states]
        try:
            self._number = {look: n for n, look in enumerate(dict.fromkeys(looks))}
        except TypeError as error:
            raise UsageError(
                f"sees returns {looks[0]!r}, which cannot be looked up",
                expected="a hashable value, as a number or a tuple",
            ) from error
        self._look = np.array([self._number[look] for look in looks])
        rows = len(self.policies.mind_of)
        require_memory(16 * rows * len(states) * self.world.num_actions, f"an observer of {rows} × {len(states)}")
        self._probs = np.exp(self.policies.log_probs)
        self._all_steps = self._steps_among(np.arange(rows))
        self._nowhere = np.zeros(self.policies.arrived.shape, np.bool_)
        self._joint: Array | None = None
        self._scale = 0.0
        self._pending: int | str | None = "begin"

    def reset(self) -> None:
        """Forgets all evidence: the posterior is the prior again."""
        super().reset()
        self._joint, self._scale, self._pending = None, 0.0, "begin"

    # --------------------------------------------------------------------------------------------------- evidence

    def update(
        self, state: Any, action: int | str | None = None, next_state: Any = None, *, fresh: bool = False
    ) -> Array:
        """Takes in one step and returns the posterior, `[G]`.

        Args:
            state: what was seen where the agent was.
            action: what it did; None: that was not seen, and is summed over.
            next_state: what was seen where that led; None: the next call says it.
            fresh: the state begins an episode.

        Raises:
            ImpossibleEvidenceError: this cannot happen under any mind; the observer is left as it was.
            UsageError: nothing of the world looks like that; not an action.
        """
        a = None if action is None else self._numbering.one_action(action)
        joint, scale = self._arrived(self._seen(state), fresh)
        pending: int | str | None = "here"
        if a is not None or next_state is not None:
            joint = joint * ~self._over  # who acts is in no state in which the episode is over
            if self._ends is not None:
                joint = joint * np.exp(self._ends.going_on)
        if a is not None:
            joint = joint * self._probs[:, :, a]
            pending = a
        elif next_state is not None:
            pending = None
        joint, scale = self._checked(
            joint, scale, f"took {'an action that was not seen' if a is None else self.world.action_names[a]!r}"
        )
        if next_state is not None:
            joint = self._moved(joint, pending)
            joint, scale = self._checked(
                joint * (self._look == self._seen(next_state)), scale, f"came to what looks like {next_state!r}"
            )
            pending = "here"
        elif a is None:
            pending = None
        self._joint, self._scale, self._pending = joint, scale, pending
        self._log_joint = self._log_rows()
        self.steps += 1
        return self.posterior()

    def end(self, state: Any = None) -> Array:
        """Takes in that the episode ended, and returns the posterior, `[G]`; the next state begins another one.

        Args:
            state: what was seen where it ended; None: where the last update led.

        Raises:
            UsageError: the observer counts no ends (`ends`).
            ImpossibleEvidenceError: no mind would end it there; the observer is left as it was.
        """
        ended = np.exp(self._counted_ends().ended)
        joint, scale = (self._now(None), self._scale) if state is None else self._arrived(self._seen(state), False)
        self._joint, self._scale = self._checked(joint * ended, scale, "ended its episode")
        self._pending = "begin"
        self._log_joint = self._log_rows()
        return self.posterior()

    def state_posterior(self) -> Array:
        """Returns `[S]` P(state | all that was observed): of the last state that was updated with, or led to."""
        joint = self._begun() if self._joint is None else self._joint
        return np.asarray(joint.sum(axis=0) / joint.sum())

    def predict(self, state: Any = None, horizon: int = 1) -> Prediction:
        """Returns what the agent will do next, and where it will be up to `horizon` steps later.

        Args:
            state: what is seen of where it is now; None: where the last update left it.
            horizon: steps, 0 or more.

        Raises:
            ImpossibleEvidenceError: it cannot be where that is seen.
        """
        if isinstance(horizon, bool) or not isinstance(horizon, (int, np.integer)) or horizon < 0:
            raise UsageError(f"horizon = {horizon!r}", expected="a number of steps, 0 or more")
        joint = self._now(state)
        occupancy = joint / joint.sum()
        acting = self._still_there(joint)
        probs = np.einsum("rs,rsa->a", acting / acting.sum(), self._probs)
        path = [occupancy.sum(axis=0)]
        for _ in range(horizon):
            occupancy = self._push(occupancy, self._probs, self.policies.arrived, self._all_steps)
            path.append(occupancy.sum(axis=0))
        return Prediction(probs, np.array(path))

    def action_log_probs(self, states: Any) -> Array:
        """Refused: what is seen does not tell the state. `predict` says what is done next."""
        raise UsageError(
            "action_log_probs of an observer that does not see the state", expected="predict().action_probs"
        )

    def action_log_probs_by_mind(self, state: Any = None) -> Array:
        """Returns `[G, A]` log P(next action | mind, what was observed), where `state` is seen (None: as `predict`)."""
        first = self.policies.first_row
        joint = self._still_there(self._now(state))
        acting = np.add.reduceat(np.einsum("rs,rsa->ra", joint, self._probs), first, axis=0)
        weight = np.add.reduceat(joint.sum(axis=1), first)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):  # a mind that is ruled out has no weight to share
            return np.log(np.where(weight > 0, acting / weight, 1 / acting.shape[1]))

    def update_batch(self, states: Any, actions: ArrayLike, fresh: bool | ArrayLike = False) -> Array:
        """Takes in T steps: `states` is a list of T things seen, `actions` `[T]`; the same as T times `update`."""
        seen, taken = list(states), list(np.atleast_1d(np.asarray(actions, object)))
        begins = np.broadcast_to(np.asarray(fresh, np.bool_), (len(seen),)) if np.ndim(fresh) else None
        if len(seen) != len(taken):
            raise UsageError(f"{len(seen)} states with {len(taken)} actions", expected="one action per state")
        for t, (look, action) in enumerate(zip(seen, taken)):
            self.update(look, action, fresh=bool(begins[t]) if begins is not None else bool(fresh) and t == 0)
        return self.posterior()

    # ------------------------------------------------------------------------------------------------------ within

    def _numbered(self, trajectory: Any) -> NoReturn:
        raise UsageError(
            "a whole trajectory for an observer that does not see the state", expected="update(seen, action, next_seen)"
        )

    def _seen(self, value: Any) -> int:
        number: int | None = None
        with contextlib.suppress(TypeError):  # it cannot be looked up: perhaps a State
            number = self._number.get(value)
        if number is None and isinstance(value, self.world.State):
            s = self._numbering.one_state(value, self.steps)
            number = int(self._look[s])
        if number is None:
            known = ", ".join(repr(look) for look in list(self._number)[:6])
            raise UsageError(f"{value!r} seen in {self.world.name}", expected=f"what `sees` returns: {known}, …")
        return number

    def _begun(self) -> Array:
        """Returns `[R, S]` P(mind, memory, first state), from what is known of the minds."""
        by_mind = np.exp(self.policies.by_mind(self._log_joint) - self._log_joint.max())
        by_mind = by_mind / by_mind.sum()
        rows = by_mind[self.policies.mind_of][:, None] * np.asarray(self.dynamics.initial)[None]
        if self.policies.log_start is not None:
            rows = rows * np.exp(self.policies.log_start)
        return np.asarray(rows)

    def _arrived(self, look: int, fresh: bool) -> tuple[Array, float]:
        if fresh or self._joint is None or self._pending == "begin":
            joint = self._begun()
        else:
            joint = self._joint if self._pending == "here" else self._moved(self._joint, self._pending)
        return self._checked(joint * (self._look == look), self._scale, "is there")

    def _now(self, state: Any) -> Array:
        """Returns `[R, S]` with the agent where `state` is seen; None: where the last update left it."""
        if state is not None:
            return self._arrived(self._seen(state), False)[0]
        if self._joint is None or self._pending == "begin":
            return self._begun()
        return self._joint if self._pending == "here" else self._moved(self._joint, self._pending)

    def _still_there(self, joint: Array) -> Array:
        """Returns `[R, S]` knowing that the episode goes on; as it is where ends are no evidence, or nobody goes on."""
        if self._ends is None:
            return joint
        going_on = joint * np.exp(self._ends.going_on)
        return going_on if going_on.any() else joint

    def _moved(self, joint: Array, action: Any) -> Array:
        """Returns `[R, S]` after `action` was taken (its probability is in already); None: whichever."""
        if action is None:
            return self._push(joint, self._probs, self._nowhere, self._all_steps)
        one = np.zeros(self._probs.shape)
        one[:, :, action] = 1.0
        return self._push(joint, one, self._nowhere, self._all_steps)

    def _checked(self, joint: Array, scale: float, what: str) -> tuple[Array, float]:
        """Returns `[R, S]` that sums to one and the log of what it was divided by, or refuses what cannot be."""
        total = float(joint.sum())
        if not total > 0:
            raise ImpossibleEvidenceError(
                f"step {self.steps}: the agent {what}, which none of the {len(self.minds)} minds still held possible "
                "explains, in no state that looks like what was seen",
                expected="evidence that some mind makes possible",
                hint="fresh=True where an episode begins; more minds, or check what `sees` returns",
            )
        return joint / total, scale + float(np.log(total))

    def _log_rows(self) -> Array:
        assert self._joint is not None
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self._joint.sum(axis=1)) + self._scale)
