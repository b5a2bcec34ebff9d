"""The source that lets kernels call one world's law on packed arrays, generated from what the law declares.

`inscape.envs.compile.cpu` compiles it together with the law; `inscape.envs.kernels.names` says what its names mean.
"""

from __future__ import annotations

import inspect
import typing
from typing import TYPE_CHECKING, Any

from inscape.envs.law.layout import AS_STORED, Layout, Numbers

if TYPE_CHECKING:
    from inscape.envs.law.law import Law

UNROLLED = 8  # laws of at most so many outcomes are sampled without a loop
FIRST_TABLE = 5  # where the lookup tables begin in the packed world


def adapter_source(world: type[Law], numbers: Numbers = AS_STORED) -> str:
    """Returns the generated source that lets kernels call the law of `world` on packed arrays.

    `numbers` is how a float and an integer are taken from an array, where its type is not that of the law's arithmetic.
    """
    state, params, purpose = world.layouts()
    parts = [
        params.load_source("Params", "P[0]", "P[1]", FIRST_TABLE, "", "P", numbers),
        purpose.load_source("Purpose", "P[2]", "P[3]", FIRST_TABLE + params.num_tables, "", "P", numbers),
        state.load_source("State", "F", "I", 0, ", i", "F, I, i", numbers),
        state.store_source(),
        "def with_purpose(P, goals, g):\n    return (P[0], P[1], goals[0][g], goals[1][g]) + P[4:]\n",
    ]

    def has(name: str) -> bool:
        return world.law_function(name) is not None

    # what acts: one number, or several (dimensions of a continuous action; players who act at once)
    width = len(world.action_low) if world.continuous else world.players if world.simultaneous else 0
    number = numbers.real if world.continuous else numbers.whole
    entries = [number.format(f"A[i, {k}]") for k in range(width)] or [number.format("A[i]")]
    loaded = f"({', '.join(entries)},)" if width else entries[0]
    parts.append(f"def load_action(A, i):\n    return {loaded}\n")
    if world.continuous:
        bounds = zip(entries, world.action_low, world.action_high)
        inside = [f"({entry} >= {float(a)!r}) & ({entry} <= {float(b)!r})" for entry, a, b in bounds]
        outside = f"not ({' & '.join(inside)})"  # so written, because nothing holds of NaN
    else:
        outside = " | ".join(f"({entry} < 0) | ({entry} >= num_actions(P))" for entry in entries)
    parts.append(f"def is_out_of_range(P, A, i):\n    return {outside}\n")
    fixed = world.fixed_actions()
    parts.append(f"def num_actions(P):\n    return {'P[4][0]' if fixed is None else len(fixed)}\n")
    parts.append(_choices_source(world))

    # how many outcomes
    for name in ("branches", "initial_branches"):
        value = inspect.getattr_static(world, name)
        if isinstance(value, int):
            parts.append(f"def {name}(params):\n    return {value}\n")
        else:
            parts.append(f"{name} = law_{name}\n")

    # sampling
    for name, extra in (("initial", ""), ("transition", "state, action, ")):
        noise = world.initial_noise if name == "initial" else world.noise
        count = "initial_branches" if name == "initial" else "branches"
        parts.append(f"{name} = law_{name}\n")
        bound = world.max_branches if name == "transition" else None
        parts.append(_sampler_source(name, extra, count, noise, inspect.getattr_static(world, count), bound))

    # optional law functions
    parts.append("reward = law_reward\nterminal = law_terminal\n")
    parts.append("mover = law_mover\n" if has("mover") else "def mover(params, state):\n    return 0\n")
    parts.append(_legal_source(world))

    # what is written
    parts.append(_observation_source(world, numbers))
    parts.append(_write_source("write_reward", None if world.players == 1 else world.players))
    parts.append(_sum_source(None if world.players == 1 else world.players))
    parts.append(_random_action_source(world))
    transition_slots = world.noise or (0 if inspect.getattr_static(world, "branches") == 1 else 1)
    initial_slots = world.initial_noise or (0 if inspect.getattr_static(world, "initial_branches") == 1 else 1)
    zero = "0.0" if world.players == 1 else repr((0.0,) * world.players)
    parts.append(
        f"NUM_FLOATS = {state.num_floats}\nNUM_INTS = {state.num_ints}\n"
        f"KEY = {state.num_ints}\nCLOCK = {state.num_ints + 1}\nELAPSED = {state.num_ints + 2}\n"
        f"TRANSITION_SLOTS = {transition_slots}\nSLOTS = {max(1, transition_slots + initial_slots)}\n"
        f"NUM_PLAYERS = {world.players}\nHAS_LEGAL = {has('legal')}\nZERO_REWARD = {zero}\n"
        f"TAKES_TURNS = {world.players > 1 and not world.simultaneous}\n"
        f"MASK_PLAYERS = {world.players if world.simultaneous else 1}\n"
    )
    return "\n".join(parts)


def _choices_source(world: type[Law]) -> str:
    """Returns the source of `num_choices(P)` and `action_of_index(a)`: actions, or joint actions, by number."""
    if not world.simultaneous:
        return "def num_choices(P):\n    return num_actions(P)\n\ndef action_of_index(P, a):\n    return a\n"
    digits = [f"(a // n ** {world.players - 1 - k}) % n" for k in range(world.players)]
    return (
        f"def num_choices(P):\n    return num_actions(P) ** {world.players}\n\n"
        f"def action_of_index(P, a):\n    n = num_actions(P)\n    return ({', '.join(digits)},)\n"
    )


def _legal_source(world: type[Law]) -> str:
    """Returns the source of `legal(params, state, action)`, `legal_for(… player, a)` and `write_mask`."""
    has = world.law_function("legal") is not None
    if world.simultaneous:
        each = " and ".join(f"law_legal(params, state, {k}, action[{k}])" for k in range(world.players))
        own = "law_legal(params, state, player, a)"
        write = "mask[i, player, a] = value"
    else:
        each, own, write = "law_legal(params, state, action)", "law_legal(params, state, a)", "mask[i, a] = value"
    return (
        f"def legal(params, state, action):\n    return {each if has else 'True'}\n\n"
        f"def legal_for(params, state, player, a):\n    return {own if has else 'True'}\n\n"
        f"def write_mask(mask, i, player, a, value):\n    {write}\n"
    )


def _observation_source(world: type[Law], numbers: Numbers) -> str:
    """Returns the source of `observe_into(params, state, out, i)` and `observe_as(params, state, player, out, i)`.

    The first writes what is observed after a step: the mover's observation, or every player's where all act at once.
    """
    size = world.observation_size()
    several = world.players > 1
    given = ", player" if several else ""
    if world.is_wide():
        view = f"law_observation_view(params, state{given})" if world.law_function("observation_view") else "state"
        lines = ["view = " + view, *_entries_source(world)]
        one, all_at_once = "i, ", "i, {player}, "
    else:
        if world.law_function("observation") is not None:
            value = f"law_observation(params, state{given})"
        else:
            value = _whole_state(world)
        lines = ["value = " + value]
        if size is None:
            lines, one, all_at_once = [*lines, "out[{at}] = value"], "i", "{player}, i"
        else:
            lines += [f"out[{k}, {{at}}] = value[{k}]" for k in range(size)]
            one, all_at_once = "i", "{player}, i"

    def body(at: str) -> str:
        return "".join(f"    {line.replace('{at}', at)}\n" for line in lines)

    shape = f"(1, {size})" if world.is_wide() else f"({size}, 1)"
    source = (
        _views_source(world, numbers)
        + f"def as_batch(obs):\n    return {'obs' if size is None else f'obs.reshape({shape})'}\n\n"
    )
    source += f"def observe_as(params, state, player, out, i):\n{body(one)}\n"
    if not world.simultaneous:
        return source + (
            "def observe_into(params, state, out, i):\n    observe_as(params, state, mover(params, state), out, i)\n"
        )
    source += f"def observe_one(params, state, player, out, i):\n{body(all_at_once.format(player='player'))}\n"
    calls = "".join(f"    observe_one(params, state, {k}, out, i)\n" for k in range(world.players))
    return source + f"def observe_into(params, state, out, i):\n{calls}"


def _random_action_source(world: type[Law]) -> str:
    """Returns the source of `random_action(P, params, state, key, counter)`: uniform among what is legal."""
    if world.continuous:
        bounds = enumerate(zip(world.action_low, world.action_high))
        drawn = ", ".join(
            f"{float(a)!r} + {float(b) - float(a)!r} * uniform(key, counter + {k})" for k, (a, b) in bounds
        )
        body, slots = f"    return ({drawn},)\n", len(world.action_low)
    elif world.simultaneous:
        drawn = ", ".join(f"random_choice(P, params, state, {k}, key, counter + {k})" for k in range(world.players))
        body, slots = f"    return ({drawn},)\n", world.players
    else:
        body, slots = "    return random_choice(P, params, state, 0, key, counter)\n", 1
    source = f"CHOICE_SLOTS = {slots}\n\n"
    if not world.continuous:
        source += "def random_choice(P, params, state, player, key, counter):\n    u = uniform(key, counter)\n"
        if world.law_function("legal") is None:
            source += "    return int(u * num_actions(P))\n\n"
        else:  # number k of the legal ones, found without a branch
            source += (
                "    count = 0\n"
                "    for a in range(num_actions(P)):\n"
                "        count += legal_for(params, state, player, a)\n"
                "    k = int(u * count)\n"
                "    chosen, seen = 0, 0\n"
                "    for a in range(num_actions(P)):\n"
                "        allowed = legal_for(params, state, player, a)\n"
                "        chosen = a if allowed & (seen == k) else chosen\n"
                "        seen += allowed\n"
                "    return chosen\n\n"
            )
    return source + f"def random_action(P, params, state, key, counter):\n{body}"


def view_layout(world: type[Law]) -> Layout | None:
    """Returns the layout of what `observation_view` is annotated to return; None if that is no named tuple of scalars
    and of tuples of them.

    Where there is one, vector environments keep the views of a tile of copies and work out several at once.
    """
    function = world.law_function("observation_view")
    if function is None or not world.is_wide() or world.players > 1:
        return None
    declared: Any = typing.get_type_hints(function).get("return")
    if not Layout.holds(declared, world.lengths):  # a view that cannot be packed is worked out where it is needed
        return None
    return Layout.of(declared, owner=world.__name__, lengths=world.lengths)


def _entries_source(world: type[Law]) -> list[str]:
    """Returns the lines that write `view` entry by entry, or, where `observation_entry` is annotated to return a
    tuple, that many entries at a time."""
    size, function = world.observation_size(), world.law_function("observation_entry")
    assert size is not None
    assert function is not None
    declared = typing.get_type_hints(function).get("return")
    width = len(typing.get_args(declared)) if typing.get_origin(declared) is tuple else 0
    if not width:
        return [f"for k in range({size}):", "    out[{at}k] = law_observation_entry(params, view, k)"]
    lines = [f"for k in range({size // width}):", "    entries = law_observation_entry(params, view, k)"]
    return lines + [f"    out[{{at}}{width} * k + {n}] = entries[{n}]" for n in range(width)]


def _views_source(world: type[Law], numbers: Numbers) -> str:
    """Returns the source of `view_of`, `store_view`, `load_view`, `write_view`, of use where SEPARATE_VIEWS is True."""
    layout = view_layout(world)
    if layout is None:
        names = ("view_of(params, state)", "store_view(F, I, i, view)", "load_view(F, I, i)",
                 "write_view(params, view, out, i)")  # fmt: skip
        return "SEPARATE_VIEWS = False\n" + "".join(f"\ndef {name}:\n    return 0\n" for name in names) + "\n"
    write = "".join(f"    {line.replace('{at}', 'i, ')}\n" for line in _entries_source(world))
    return (
        "SEPARATE_VIEWS = True\nview_of = law_observation_view\n\n"
        + layout.load_source("View", "F", "I", 0, ", i", "F, I, i", numbers)
        + f"\n{layout.store_source('view')}\n"
        + f"def write_view(params, view, out, i):\n{write}\n"
    )


def _sampler_source(name: str, extra: str, count: str, noise: int, branches: Any, bound: int | None) -> str:
    call = f"law_{name}(params, {extra}"
    if noise:
        draws = ", ".join(f"uniform(key, counter + {k})" for k in range(noise))
        # a law that can only be sampled has no outcomes; readers that need them refuse before they call this
        missing = f"def {name}_outcome(params, {extra}b):\n    return 0.0, {call}({', '.join(['0.5'] * noise)},))\n\n"
        return missing + f"def sample_{name}(params, {extra}key, counter):\n    return {call}({draws},))\n"
    outcome = f"def {name}_outcome(params, {extra}b):\n    return {call}b)\n"
    if branches == 1:
        return outcome + f"\ndef sample_{name}(params, {extra}key, counter):\n    return {call}0)[1]\n"
    # rounding may leave the sum just below one: the last outcome of positive probability then stands
    if isinstance(branches, int) and branches <= UNROLLED:
        bound = branches
    if bound is not None:  # the same choice as below without a branch, so that several copies are stepped at once
        rest = "".join(
            f"    p = {call}{b})[0]\n    chosen = {b} if (u >= total) & (p > 0.0) else chosen\n    total += p\n"
            for b in range(1, bound)
        )
        return outcome + (
            f"\ndef sample_{name}(params, {extra}key, counter):\n"
            f"    u = uniform(key, counter)\n"
            f"    chosen, total = 0, {call}0)[0]\n{rest}"
            f"    return {call}chosen)[1]\n"
        )
    return outcome + (
        f"\ndef sample_{name}(params, {extra}key, counter):\n"
        f"    n = {count}(params)\n"
        f"    total, chosen = {call}0)\n"
        f"    if n == 1:\n"
        f"        return chosen\n"
        f"    u = uniform(key, counter)\n"
        f"    b = 1\n"
        f"    while u >= total and b < n:\n"
        f"        p, candidate = {call}b)\n"
        f"        if p > 0.0:\n"
        f"            chosen = candidate\n"
        f"            total += p\n"
        f"        b += 1\n"
        f"    return chosen\n"
    )


def _whole_state(world: type[Law]) -> str:
    """Returns the expression for an observation that shows every scalar of the state."""
    scalars = []
    for field in world.layouts()[0].fields:
        if field.length is None:
            scalars.append(f"state.{field.name}")
        else:
            scalars += [f"state.{field.name}[{k}]" for k in range(field.length)]
    return scalars[0] if world.observation_size() is None else "(" + ", ".join(scalars) + ",)"


def _write_source(function: str, size: int | None) -> str:
    if size is None:
        return f"def {function}(out, i, value):\n    out[i] = value\n"
    return f"def {function}(out, i, value):\n" + "".join(f"    out[{k}, i] = value[{k}]\n" for k in range(size))


def _sum_source(players: int | None) -> str:
    """Returns the source of `add_reward(out, i, value)`, of `move_reward(gained, i, returns)`, `returns [M]`, and of
    `copy_reward(gained, i, to)`."""
    add, move = "def add_reward(out, i, value):\n", "def move_reward(gained, i, returns):\n"
    copy = "def copy_reward(gained, i, to):\n"
    for k in range(players or 1):
        at, value = ("i", "value") if players is None else (f"{k}, i", f"value[{k}]")
        add += f"    out[{at}] += {value}\n"
        move += f"    returns[{k}] += gained[{at}]\n    gained[{at}] = 0.0\n"
        copy += f"    gained[{at.replace('i', 'to')}] = gained[{at}]\n"
    return f"{add}\n{move}\n{copy}"
