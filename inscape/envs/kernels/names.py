"""The names a kernel template may use: the law of one world, and the compiler.

A template imports them from here so that it reads, lints and type-checks as ordinary Python. When a world instantiates
the template, `inscape.envs.compile.cpu` binds these names to that world's law, compiled or plain. This module itself
holds no law: of a template imported directly, what needs none runs, as plain Python.

    State, Params, Purpose                   the named tuples
    load_params(P), load_purpose(P)          from the packed world `P`, the first argument of every kernel
    with_purpose(P, goals, g)                the packed world with purpose g of `goals`, (floats [G, ·], ints [G, ·])
    load_state(F, I, i), store_state(F, I, i, state)    column i of packed states
    is_out_of_range(P, A, i)                 is the action of copy i none at all
    load_action(A, i)                        action of copy i: an int, or a tuple (continuous; simultaneous players)
    num_choices(P), action_of_index(P, a)    the actions by number; where all players act at once, the joint actions
    observe_into(params, state, out, i)      writes what is observed: one player; the mover; where all act at once, all
    observe_as(params, state, player, out, i)    writes what that player observes
    as_batch(obs)                            an observation of one copy, as an array of a batch of one
    view_of(params, state), store_view(F, I, i, view), load_view(F, I, i), write_view(params, view, out, i)    the same
                                             in two parts, where SEPARATE_VIEWS says that views are named tuples
    write_reward(out, i, reward)             into an array with the batch axis last; add_reward adds to it;
    move_reward(gained, i, returns)          adds what copy i gained to `returns [M]` and forgets it
    copy_reward(gained, i, to)               what copy i gained becomes what copy `to` has
    random_action(P, params, state, key, counter)    uniform among the legal ones; takes CHOICE_SLOTS random numbers
    legal_for(params, state, player, a)      is action number a legal for the player (one, or in turn: the mover)
    write_mask(mask, i, player, a, legal)    into `[B, A]`; where all players act at once `[B, M, A]`
    initial, transition, reward, terminal, legal, mover    the law itself
    sample_initial(params, key, counter), sample_transition(params, state, action, key, counter) -> State
    initial_outcome(params, b), transition_outcome(params, state, action, b) -> (probability, State)  (enumerable laws)
    num_actions(P), branches(params), initial_branches(params)    ints
    uniform(key, counter)                    a double in [0, 1)
    NUM_FLOATS, NUM_INTS                     rows of a packed state; three more rows of ints for each copy:
    KEY, CLOCK, ELAPSED                      stream key, steps in all, steps of this episode (−1: over, reset next)
    TRANSITION_SLOTS, SLOTS                  random numbers a transition (a step) may consume
    TAKES_TURNS                              several players, one acting at a time
    NUM_PLAYERS, HAS_LEGAL, ZERO_REWARD      0.0, or a tuple of zeros; MASK_PLAYERS: players a mask has an axis for
    jit, parallel_jit, prange                the compiler; identity and range when run as plain Python. Kernels under
                                             `jit` are cached on disk and take arrays and numbers only;
    inner                                    compiles a helper of kernels that takes named tuples: never cached, since
                                             the cache would name the user's module
    inline_jit                               compiles a helper of kernels into its callers, whole, however large: for
                                             what takes many arrays, whose passing on at every call would cost more
"""

from __future__ import annotations

from typing import Any

from inscape.envs.law.streams import uniform as uniform

State: Any = None
Params: Any = None
Purpose: Any = None
load_params: Any = None
load_purpose: Any = None
with_purpose: Any = None
load_state: Any = None
store_state: Any = None
load_action: Any = None
is_out_of_range: Any = None
num_choices: Any = None
action_of_index: Any = None
observe_into: Any = None
observe_as: Any = None
view_of: Any = None
store_view: Any = None
load_view: Any = None
write_view: Any = None
as_batch: Any = None
add_reward: Any = None
move_reward: Any = None
copy_reward: Any = None
random_action: Any = None
legal_for: Any = None
write_mask: Any = None
write_reward: Any = None
initial: Any = None
transition: Any = None
reward: Any = None
terminal: Any = None
legal: Any = None
mover: Any = None
sample_initial: Any = None
sample_transition: Any = None
initial_outcome: Any = None
transition_outcome: Any = None
num_actions: Any = None
branches: Any = None
initial_branches: Any = None
NUM_FLOATS: int = 0
NUM_INTS: int = 0
KEY: int = 0
CLOCK: int = 0
ELAPSED: int = 0
TRANSITION_SLOTS: int = 0
SLOTS: int = 0
CHOICE_SLOTS: int = 1
NUM_PLAYERS: int = 1
MASK_PLAYERS: int = 1
HAS_LEGAL: bool = False
SEPARATE_VIEWS: bool = False
TAKES_TURNS: bool = False
ZERO_REWARD: Any = 0.0


def jit(function: Any) -> Any:
    """Compiles a kernel (bound at instantiation); the template itself keeps the plain function."""
    return function


inner = inline_jit = jit
parallel_jit = jit
prange = range
