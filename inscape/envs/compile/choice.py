"""Whether a kernel of a world runs as plain Python or compiled: the one place where that is decided.

Both give the same bits, so the choice is one of time alone. Compiling takes seconds, and a new world of a few hundred
states is enumerated, searched and stepped through in less. A kernel therefore runs as plain Python until what it has
taken, and is about to take, exceeds what it would take to have it compiled; from then on it runs compiled. It never
takes more than twice the time of the better choice. What a call takes is known from earlier calls, at first from one
step of the law; what compiling takes, from a table (`envs.compile.compile_time`), and it is next to nothing where the
machine code lies in the cache.

`compiled=True` or `False` asks for one of the two, and so does the environment variable `INSCAPE_KERNELS`
(`envs.compile.switch`).

Plain Python raises where machine code goes on with infinity, NaN or the lower 64 bits: what raises `ArithmeticError` or
`ValueError` ("math domain error") is run again, compiled.

Source: Karlin, Manasse, Rudolph & Sleator (1988), "Competitive snoopy caching", Algorithmica 3, section 3 (rent until
the rent paid equals the price, then buy).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from inscape.envs.compile import compile_time
from inscape.envs.compile import cpu as compiler
from inscape.envs.compile.cpu import Arithmetic, Constants
from inscape.envs.compile.kernel_cache import REACHED, entry_point, is_function_kept
from inscape.envs.compile.switch import kernels_mode
from inscape.errors import UsageError

if TYPE_CHECKING:
    from inscape.envs.law.law import Law
    from inscape.envs.law.states import States

BATCH = "inscape.envs.kernels.batch"
FEW = 16
"""Calls of the law that are made in plain Python without a look at what one takes."""
PLAIN_FAILURES = (ArithmeticError, ValueError)
"""What plain Python raises where machine code goes on."""


class Compilable(Protocol):
    """A world, as its readers have it."""

    @property
    def compiled_law(self) -> type[Law]: ...
    @property
    def packed(self) -> tuple[Any, ...]: ...
    def kernel(
        self,
        template: str,
        compiled: bool = True,
        arithmetic: Arithmetic = "exact",
        constants: Mapping[str, int | float | str | bool] | None = None,
    ) -> ModuleType: ...
    def empty_states(self, count: int) -> States: ...


class UsageOfFunction:
    """What a kernel function without a world has taken as plain Python, in this process.

    Attributes:
        seconds: in all.
        units: of work, as its callers count it: calls of the law, simulations, steps, sweeps.
        ready: whether it is to run compiled from now on.
    """

    def __init__(self, template: str, name: str) -> None:
        self.template, self.name = template, name
        self.seconds = self.units = 0.0
        self.ready = False
        self._kept: bool | None = None

    def is_to_compile(self) -> bool:
        """Returns whether it is to run compiled: as `INSCAPE_KERNELS` has it, else once that is worth it."""
        mode = kernels_mode()
        if mode != "auto":
            return mode == "compiled"
        self.ready = self.ready or self.is_worth_compiling()
        return self.ready

    def price(self) -> float:
        """Returns how many seconds it is likely to take until the function can run compiled."""
        if self._kept is None:  # looked at once: what another process compiles meanwhile is found at the next start
            self._kept = self._is_kept()
        compiling = compile_time.LOAD_SECONDS
        if not self._kept:
            compiling = compile_time.typical_seconds(self.template, self.name)
        return compile_time.import_seconds() + compiling

    def is_worth_compiling(self, seconds: float = 0.0) -> bool:
        """Returns whether what it has taken, and `seconds` more, exceed the price of compiling it."""
        return self.seconds + seconds > self.price()

    def charge(self, units: float, seconds: float) -> None:
        """Adds `seconds` that it has taken for `units` of work."""
        self.units += units
        self.seconds += seconds

    def _is_kept(self) -> bool:
        return is_function_kept(self.template, self.name)


class Usage(UsageOfFunction):
    """What a kernel function of a world has taken as plain Python, in this process."""

    def __init__(self, law: type[Law], template: str, name: str, constants: Constants = ()) -> None:
        super().__init__(template, name)
        self.law, self.constants = law, constants
        self.depends: Any = vars(compiler.kernel(law, template, False, constants=dict(constants)))[REACHED]

    def is_current(self) -> bool:
        """Returns whether the law and the template are what they were when this began."""
        return bool(self.depends.is_current())

    def _is_kept(self) -> bool:
        return compiler.is_kept(self.law, self.template, self.name, self.constants)


_usages: dict[tuple[type[Law], str, str, Constants], Usage] = {}
_seconds_of_law: dict[str, float] = {}


def usage(world: Compilable, template: str, name: str, constants: Constants = ()) -> Usage:
    """Returns the account of function `name` of a template for this world's law, as the law is now."""
    key = world.compiled_law, template, name, constants
    found = _usages.get(key)
    if found is None or not (found.ready or found.is_current()):  # what is ready stays so, whatever the law becomes
        found = _usages[key] = Usage(*key)
    return found


@cache
def usage_of_function(template: str, name: str) -> UsageOfFunction:
    """Returns the account of a kernel function that depends on no world.

    Args:
        template: the dotted name of the module that compiles it.
        name: of the function.
    """
    return UsageOfFunction(template, name)


def choose(
    world: Compilable,
    template: str,
    name: str,
    units: float,
    compiled: bool | None = None,
    constants: Constants = (),
) -> bool:
    """Returns whether function `name` of a kernel template is to run compiled, for so much work.

    Args:
        world: the world whose law it is bound to.
        template: the dotted name of the template.
        name: of the function.
        units: how much work it is, in calls of the law or, where the caller counts its work with `Usage.charge`, in
            the same units.
        compiled: True or False: as asked; None: what takes less time.
        constants: see `compile.cpu.kernel`, in the order of their names.
    """
    if compiled is not None:
        return compiled
    account = usage(world, template, name, constants)
    if not account.ready:
        account.ready = _choose(world, account, units)
    return account.ready


def _choose(world: Compilable, account: Usage, units: float) -> bool:
    mode = kernels_mode()
    if mode != "auto":
        return mode == "compiled"
    if account.units > 0:
        expected = units * account.seconds / account.units
    else:
        expected = 0.0 if units <= FEW else units * _seconds_of_a_call(world)
    return account.is_worth_compiling(expected)


def _seconds_of_a_call(world: Compilable) -> float:
    """Returns what one step of the law takes as plain Python, from one that is tried; known once tried."""
    digest = compiler.fingerprint(world.compiled_law)
    found = _seconds_of_law.get(digest)
    if found is None:
        law, states = compiler.law_module(world.compiled_law, False), world.empty_states(1)
        packed, floats, ints = world.packed, states.floats, states.ints
        began = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                params, purpose = law.load_params(packed), law.load_purpose(packed)
                law.store_state(floats, ints, 0, law.sample_initial(params, 0, 0))
                state = law.load_state(floats, ints, 0)
                action = law.random_action(packed, params, state, 0, 0)
                following = law.sample_transition(params, state, action, 0, 0)
                law.reward(params, purpose, state, action, following)
        except Exception:  # whatever is wrong with the law is said where it is run for its results
            pass
        found = _seconds_of_law[digest] = time.perf_counter() - began
    return found


def call(
    world: Compilable,
    template: str,
    name: str,
    units: float,
    *arguments: Any,
    compiled: bool | None = None,
    changed: Sequence[np.ndarray] = (),
) -> Any:
    """Calls function `name` of a kernel template, plain or compiled as `choose` says, and returns its result.

    Where plain Python fails in arithmetic it is called again. `changed` are the arrays that it both reads and writes.
    """
    if choose(world, template, name, units, compiled):
        return getattr(world.kernel(template), name)(*arguments)
    function = getattr(world.kernel(template, False), name)
    if compiled is not None:
        return function(*arguments)
    account = usage(world, template, name)
    before = [array.copy() for array in changed]
    began = time.perf_counter()
    try:
        with np.errstate(all="ignore"):
            result = function(*arguments)
    except PLAIN_FAILURES as error:
        refuse_unless_arithmetic(error)
    else:
        account.charge(units, time.perf_counter() - began)
        return result
    for array, old in zip(changed, before):
        array[...] = old
    account.ready = True
    return getattr(world.kernel(template), name)(*arguments)


def refuse_unless_arithmetic(error: Exception) -> None:
    """Raises `error` again unless it is one of arithmetic, or kernels are to run as plain Python."""
    if isinstance(error, UsageError) or kernels_mode() == "plain":
        raise error


def entry(
    world: Compilable,
    template: str,
    name: str,
    arguments: tuple[Any, ...],
    replace: Callable[[Callable[..., Any]], None],
    finish: Callable[[Any], Any] = lambda result: result,
    copies: int = 1,
    constants: Constants = (),
) -> Callable[..., Any]:
    """Returns function `name` of a kernel template for arguments of these types, called once a step of few copies.

    It is the compiled function itself, or plain Python that has itself replaced by the compiled one once that is worth
    it: the caller's steps cost nothing more from then on.

    Args:
        world: the world whose law it is bound to.
        template: the dotted name of the template.
        name: of the function. Its arguments are the packed world, floats and ints of the copies, and others that it
            writes only after it has computed everything.
        arguments: an example of them.
        replace: receives the compiled function, to be called from then on.
        finish: what makes the result of plain Python one of the types that compiled code returns.
        copies: how many are stepped.
        constants: see `compile.cpu.kernel`, in the order of their names.
    """

    def compiled() -> Callable[..., Any]:
        return entry_point(getattr(world.kernel(template, constants=dict(constants)), name), *arguments)

    if choose(world, template, name, copies, None, constants):
        return compiled()
    account = usage(world, template, name, constants)
    plain = getattr(world.kernel(template, False, constants=dict(constants)), name)

    def step(*given: Any) -> Any:
        floats, ints = given[1].copy(), given[2].copy()
        began = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                result = plain(*given)
        except PLAIN_FAILURES as error:
            refuse_unless_arithmetic(error)
            if not account.is_current():
                raise
            account.ready = True
            given[1][...], given[2][...] = floats, ints
            function = compiled()
            replace(function)
            return function(*given)
        account.charge(copies, time.perf_counter() - began)
        # a law that was defined again meanwhile is not the one this copy follows: it stays as it is
        if account.is_worth_compiling() and kernels_mode() == "auto" and account.is_current():
            account.ready = True
            replace(compiled())
        return finish(result)

    return step
