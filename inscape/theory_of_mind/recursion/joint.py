"""What somebody believes about several things at once, and chooses by it: reasoning in games of few choices.

An influence diagram as one table: variables are added one after another, by chance or as a decision of somebody who
knows some of those before and maximises, more or less, an expected utility. What others think enters as the
probabilities of another table, so that recursion is a function that calls itself.

Sources: influence diagrams: Howard & Matheson (1984), "Readings on the principles and applications of decision
analysis"; of several agents: Koller & Milch (2003), Games and Economic Behavior 45(1); as a language for minds about
minds: Chandra, Chen, Tenenbaum & Ragan-Kelley (2025), "A domain-specific probabilistic programming language for
reasoning about reasoning (or: a memo on memo)", Proceedings of the ACM on Programming Languages 9 (OOPSLA2).
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from inscape.errors import UsageError, closest
from inscape.theory_of_mind.controllers import Array
from inscape.theory_of_mind.recursion.games import check_response
from inscape.world_models.tabular.arrays import require_memory

Condition = Callable[..., Any]
"""A function of variables, named as they are."""


class Joint:
    """The joint distribution of named variables, each with a few values.

        doors = Joint(prize=range(3)).chance("opened", range(3), lambda prize, opened: opened not in (0, prize))
        doors.given(opened=1).prob("prize")                                 [1/3, 0, 2/3]

    Functions that are given name the variables they read as their parameters (a parameter with a default is none).
    A `Joint` never changes: every method returns a new one.

    Args:
        variables: by name, the values a variable may take, each alike; or a mapping from values to weights.

    Attributes:
        values: the values of each variable, by name.
        table: `[V_1, …, V_n]` probabilities, an axis for each variable in order.

    Raises:
        UsageError: a variable without values, or with one twice; weights that are negative, not finite or all 0.
    """

    def __init__(self, /, **variables: Iterable[Any] | Mapping[Any, float]) -> None:
        self.values: dict[str, tuple[Any, ...]] = {}
        self.table: Array = np.ones(())
        for name, given in variables.items():
            added = self.chance(name, given)
            self.values, self.table = added.values, added.table

    def __repr__(self) -> str:
        return f"Joint({', '.join(f'{name}: {len(values)}' for name, values in self.values.items())})"

    # --------------------------------------------------------------------------------------------------- extending

    def chance(
        self,
        name: str,
        values: Iterable[Any] | Mapping[Any, float],
        weights: Condition | ArrayLike | None = None,
        given: str | Iterable[str] = (),
    ) -> Joint:
        """Returns the distribution with one variable more: P(name | those before) ∝ weights.

        Args:
            name: of the new variable.
            values: it may take; or a mapping from values to weights.
            weights: a function of it and any of those before; or an array `[*given, V]`; None: each value alike.
            given: the variables that an array of weights depends on, in the order of its axes.

        Raises:
            UsageError: as the constructor; a name that is taken; a function of an unknown variable; an array of another
                shape; nothing is possible where the variables before have values that are possible.
        """
        listed = self._new_values(name, values)
        if isinstance(values, Mapping):
            if weights is not None:
                raise UsageError(f"weights of {name!r} given twice", expected="a mapping of values, or weights")
            weights = list(values.values())
        extended = self._extended(name, listed)
        if weights is None:
            found: Array = np.ones(len(listed))
        elif callable(weights):
            found = extended._evaluated(weights, f"the weights of {name!r}")
        else:
            before = () if isinstance(values, Mapping) else self._names(given)
            array = _numbers(weights, f"weights of {name!r}")
            found = extended._aligned(array, (*before, name), f"the weights of {name!r}")
        return self._with(name, listed, _weights(found, f"weights of {name!r}"))

    def choice(
        self,
        name: str,
        options: Iterable[Any],
        utility: Condition | ArrayLike,
        chooses: Any = "best",
        knows: str | Iterable[str] = (),
    ) -> Joint:
        """Returns the distribution with a decision more, of somebody who believes in this one.

        P(name | known) follows from the expected utility of each option, given what is known.

        Args:
            name: of the decision.
            options: what there is to choose from.
            utility: a function of it and any of the variables before, or an array `[*knows, V]` of what is expected;
                −inf where an option is out of the question.
            chooses: `"best"`, `Best()`, `Softmax(beta)`, a number β, or `Proportional(prior)`.
            knows: the variables whose values are known to the one who decides.

        Raises:
            UsageError: as `chance`; a choice that is none; utility that is not a number; no option has a finite one.
        """
        listed = self._new_values(name, options)
        rule = check_response(chooses)
        known = self._names(knows)
        extended = self._extended(name, listed)
        if callable(utility):
            found = extended._evaluated(utility, f"the utility of {name!r}")
        else:
            array = _numbers(utility, f"the utility of {name!r}")
            found = extended._aligned(array, (*known, name), f"the utility of {name!r}")
        worth = np.broadcast_to(found, extended.table.shape)
        if np.isnan(worth).any() or np.isposinf(worth).any():
            raise UsageError(
                f"the utility of {name!r} is NaN or infinite somewhere", expected="finite numbers, or −inf"
            )
        unknown = tuple(axis for axis, variable in enumerate(self.values) if variable not in known)
        held = np.broadcast_to(self.table[..., None], worth.shape)
        total = held.sum(axis=unknown, keepdims=True)
        expected = np.where(held > 0, held * np.where(held > 0, worth, 0.0), 0.0).sum(axis=unknown, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.where(total > 0, expected / total, 0.0)
        legal = np.isfinite(expected)
        stuck = ~legal.any(axis=-1)
        if stuck.any():
            raise UsageError(f"no option of {name!r} has a finite utility somewhere", expected="at least one")
        chosen = np.exp(rule.log_probs(np.where(legal, expected, 0.0), legal))
        return self._with(name, listed, chosen)

    def given(self, /, *conditions: Condition, **values: Any) -> Joint:
        """Returns the distribution after evidence.

        Args:
            conditions: functions of variables that return how likely the evidence is (a truth value, or a number).
            values: of variables, by name.

        Raises:
            UsageError: no such variable or value; evidence that is impossible.
        """
        table = self.table * self._likelihood(conditions, values)
        total = table.sum()
        if not total > 0:
            raise UsageError(f"evidence that is impossible: {values or 'the conditions'}", expected="possible evidence")
        return self._made(self.values, table / total)

    # ----------------------------------------------------------------------------------------------------- asking

    def prob(self, *names: str, given: str | Iterable[str] = ()) -> Array:
        """Returns `[*given, *names]` P(names | given); rows of what cannot be given are 0.

        Raises:
            UsageError: no such variable, or one twice.
        """
        before = self._names(given)
        wanted = (*before, *self._names(names))
        if len(set(wanted)) < len(wanted):
            raise UsageError(f"variables {', '.join(wanted)}", expected="each of them once")
        table = self._marginal(wanted)
        total = table.sum(axis=tuple(range(len(before), table.ndim)), keepdims=True)
        return np.asarray(np.where(total > 0, table / np.where(total > 0, total, 1.0), 0.0))

    def p(self, /, *conditions: Condition, **values: Any) -> float:
        """Returns the probability that variables have these values and that conditions hold (see `given`)."""
        return float((self.table * self._likelihood(conditions, values)).sum())

    def expect(self, f: Condition) -> float:
        """Returns the expectation of a function of variables."""
        found = np.broadcast_to(self._evaluated(f, "the function"), self.table.shape)
        return float((self.table * np.where(self.table > 0, found, 0.0)).sum())

    def variance(self, f: Condition) -> float:
        """Returns the variance of a function of variables."""
        found = np.broadcast_to(self._evaluated(f, "the function"), self.table.shape)
        deviation = np.where(self.table > 0, found, 0.0) - self.expect(f)
        return float((self.table * deviation**2).sum())

    def entropy(self, *names: str, given: str | Iterable[str] = ()) -> float:
        """Returns H(names | given) in bits."""
        before = self._names(given)
        return _entropy(self._marginal((*before, *self._names(names)))) - _entropy(self._marginal(before))

    def information(self, name: str, about: str | Iterable[str]) -> float:
        """Returns how many bits a variable is expected to tell about others: I(name; about).

        Source: expected information gain: Lindley (1956), Annals of Mathematical Statistics 27(4).
        """
        return self.entropy(*self._names(about)) - self.entropy(*self._names(about), given=name)

    # ----------------------------------------------------------------------------------------------------- within

    @staticmethod
    def _made(values: dict[str, tuple[Any, ...]], table: Array) -> Joint:
        made = Joint()
        made.values, made.table = values, table
        return made

    def _new_values(self, name: str, values: Iterable[Any]) -> tuple[Any, ...]:
        if not isinstance(name, str) or not name.isidentifier():
            raise UsageError(f"a variable named {name!r}", expected="a name that a parameter may have")
        if name in self.values:
            raise UsageError(f"the variable {name!r} a second time", expected="another name")
        if isinstance(values, str) or not hasattr(values, "__iter__"):
            raise UsageError(f"values {values!r} of {name!r}", expected="a list or a range of values")
        listed = tuple(values)
        if not listed:
            raise UsageError(f"no value of {name!r}", expected="at least one")
        if len(set(map(_hashable, listed))) < len(listed):
            raise UsageError(f"values of {name!r} that are equal: {listed!r}", expected="each of them once")
        return listed

    def _extended(self, name: str, listed: tuple[Any, ...]) -> Joint:
        """Returns the variables with one more; its table is only a shape."""
        require_memory(16 * self.table.size * len(listed), f"a table of {', '.join((*self.values, name))}")
        shape = np.broadcast_to(self.table[..., None], (*self.table.shape, len(listed)))
        return self._made({**self.values, name: listed}, shape)

    def _with(self, name: str, listed: tuple[Any, ...], weights: Array) -> Joint:
        """Returns the distribution with a variable more, of `weights` that broadcast to `[*before, V]`."""
        weights = np.broadcast_to(weights, (*weights.shape[:-1], len(listed)))
        total = weights.sum(axis=-1, keepdims=True)
        stuck = (np.broadcast_to(total[..., 0], self.table.shape) <= 0) & (self.table > 0)
        if stuck.any():
            where = np.argwhere(stuck)[0]
            found = {variable: values[i] for (variable, values), i in zip(self.values.items(), where)}
            raise UsageError(f"no value of {name!r} is possible where {found}", expected="a weight above 0")
        share = weights / np.where(total > 0, total, 1.0)
        return self._made({**self.values, name: listed}, np.asarray(self.table[..., None] * share))

    def _names(self, given: str | Iterable[str]) -> tuple[str, ...]:
        names = (given,) if isinstance(given, str) else tuple(given)
        for name in names:
            if name not in self.values:
                raise UsageError(
                    f"no variable {name!r}", expected=", ".join(self.values) or "there is none",
                    hint=closest(str(name), self.values),
                )  # fmt: skip
        return names

    def _aligned(self, array: Array, names: tuple[str, ...], what: str) -> Array:
        """Returns an array over `names` as one that broadcasts to the table."""
        shape = tuple(len(self.values[name]) for name in names)
        if array.shape != shape:
            raise UsageError(f"{what} of shape {list(array.shape)}", expected=f"{list(shape)}: {', '.join(names)}")
        order = list(self.values)
        places = sorted(range(len(names)), key=lambda i: order.index(names[i]))
        array = array.transpose(places)
        return array.reshape([len(values) if name in names else 1 for name, values in self.values.items()])

    def _evaluated(self, f: Any, what: str) -> Array:
        """Returns what a function of variables returns, as an array that broadcasts to the table."""
        if not callable(f):
            raise UsageError(f"{what}: {f!r}", expected="a function of variables: lambda prize, opened: …")
        names = self._names([
            p.name for p in inspect.signature(f).parameters.values() if p.default is inspect.Parameter.empty
        ])  # fmt: skip
        lists = [self.values[name] for name in names]
        try:
            found = np.array([float(f(*each)) for each in itertools.product(*lists)])
        except (TypeError, ValueError) as error:
            raise UsageError(f"{what}: {error}", expected="a number for all values of its variables") from error
        return self._aligned(found.reshape([len(values) for values in lists]), names, what)

    def _likelihood(self, conditions: Iterable[Condition], values: Mapping[str, Any]) -> Array:
        found: Array = np.ones(())
        for condition in conditions:
            found = found * _weights(self._evaluated(condition, "the condition"), "evidence")
        for name, value in values.items():
            (name,) = self._names(name)
            same = np.array([_hashable(each) == _hashable(value) for each in self.values[name]], np.float64)
            if not same.any():
                raise UsageError(
                    f"{name} = {value!r}", expected=f"one of {', '.join(map(repr, self.values[name][:12]))}"
                )
            found = found * self._aligned(same, (name,), name)
        return found

    def _marginal(self, names: tuple[str, ...]) -> Array:
        order = list(self.values)
        kept = [order.index(name) for name in names]
        table = self.table.sum(axis=tuple(axis for axis in range(len(order)) if axis not in kept))
        return np.asarray(table.transpose([sorted(kept).index(axis) for axis in kept]))


def _numbers(given: Any, what: str) -> Array:
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{what} that are no numbers", expected="numbers",
            hint="a function of variables; an array; or, of values, a mapping to weights",
        ) from error  # fmt: skip


def _weights(found: Array, what: str) -> Array:
    if not np.isfinite(found).all() or (found < 0).any():
        raise UsageError(f"{what} that are negative or not finite", expected="weights, 0 or more")
    if not (found > 0).any():
        raise UsageError(f"{what} that are all 0", expected="a weight above 0")
    return found


def _hashable(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def _entropy(table: Array) -> float:
    held = table[table > 0]
    return float(-(held * np.log2(held)).sum())
