"""What MuZero remembers: targets against the recursion written out, at ends, cuts, and in a ring written over."""

from __future__ import annotations

import numpy as np
import pytest

from inscape.agents.muzero.memory import GOING, LAST, TERMINATED, SearchMemory, Sequences

GAMMA, UNROLL, N_STEP = 0.9, 3, 4


def filled(size: int, steps: int, sign: float, seed: int = 0) -> tuple[SearchMemory, list[list[dict[str, float]]]]:
    """Returns a memory of two copies, and the rows given to each, newest last."""
    rng = np.random.default_rng(seed)
    memory = SearchMemory(size, 2, np.zeros((2, 1), np.float32), 2, GAMMA, sign < 0, 0.6)
    rows: list[list[dict[str, float]]] = [[], []]
    for _ in range(steps):
        for copy in (0, 1):
            kind = int(rng.choice([GOING, TERMINATED, LAST], p=[0.8, 0.1, 0.1]))
            if rows[copy] and kind == LAST and rows[copy][-1]["kind"] != GOING:
                kind = GOING
            row = {"kind": kind, "reward": rng.normal() * (kind != LAST), "value": rng.normal(), "at": len(rows[copy])}
            rows[copy].append(row)
            memory.add(
                np.array([copy]), np.array([kind]), rewards=np.array([row["reward"]]), values=np.array([row["value"]]),
                observations=np.array([[row["at"]]], np.float32), policy=np.array([[0.5, 0.5]]),
            )  # fmt: skip
    return memory, rows


def n_step_return(rows: list[dict[str, float]], at: int, steps: int, factor: float) -> float:
    """Returns the return by the recursion: G = r + factor·G′, with the value of a row where no step is known."""
    row = rows[at]
    unknown = row["kind"] == LAST or (row["kind"] == GOING and at == len(rows) - 1)
    if steps == 0 or unknown:
        return row["value"]
    following = 0.0 if row["kind"] == TERMINATED else n_step_return(rows, at + 1, steps - 1, factor)
    return row["reward"] + factor * following


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(("size", "steps"), [(64, 40), (16, 53), (9, 30)])
def test_targets_are_those_of_the_recursion(size: int, steps: int, sign: float) -> None:
    memory, rows = filled(size, steps, sign)
    drawn = memory.draw(64, UNROLL, N_STEP, 1.0, np.random.default_rng(1))
    checked = 0
    for n, place in enumerate(drawn.places):
        copy = int(place) // size
        at = int(drawn.observations[n, 0, 0])
        episode = rows[copy]
        assert episode[at]["kind"] != LAST and at >= len(episode) - size
        for k in range(UNROLL + 1):
            here = at + k
            same = here < len(episode) and all(episode[j]["kind"] == GOING for j in range(at, here))
            assert drawn.seen[n, k] == same
            assert drawn.acts[n, k] == (same and episode[here]["kind"] != LAST)
            if not same:
                continue
            assert drawn.observations[n, k, 0] == here
            assert drawn.values[n, k] == pytest.approx(n_step_return(episode, here, N_STEP, sign * GAMMA), abs=1e-12)
            checked += 1
            if k < UNROLL:
                known = episode[here]["kind"] == TERMINATED or (
                    episode[here]["kind"] == GOING and here + 1 < len(episode)
                )
                assert drawn.taken[n, k] == known
                if known:
                    assert drawn.rewards[n, k] == episode[here]["reward"]
                    assert drawn.going[n, k] == (episode[here]["kind"] == GOING)
    assert checked > 100


def test_steps_are_drawn_by_their_errors() -> None:
    memory, _ = filled(64, 40, 1.0)
    first = memory.draw(256, UNROLL, N_STEP, 1.0, np.random.default_rng(0))
    known = np.unique(first.places)
    assert (first.weight == 1.0).all()
    errors = np.zeros(len(known))
    errors[3] = 100.0
    memory.update_priorities(known, errors)
    drawn = memory.draw(256, UNROLL, N_STEP, 1.0, np.random.default_rng(0))
    priority = (errors + 1e-3) ** 0.6
    share = (drawn.places == known[3]).mean()
    assert share == pytest.approx(priority[3] / priority.sum(), abs=0.02)
    # weighed, every step counts alike: weight · probability is the same for all
    by_place = {int(place): weight for place, weight in zip(drawn.places, drawn.weight, strict=True)}
    products = [weight * priority[np.searchsorted(known, place)] for place, weight in by_place.items()]
    assert np.allclose(products, products[0])


def test_a_memory_goes_on_from_its_state() -> None:
    memory, _ = filled(16, 23, 1.0)
    memory.update_priorities(memory.draw(8, UNROLL, N_STEP, 1.0, np.random.default_rng(0)).places, np.arange(8.0))
    other, _ = filled(16, 5, 1.0, seed=9)
    other.load_state_dict(memory.state_dict())
    one, two = (m.draw(32, UNROLL, N_STEP, 0.5, np.random.default_rng(2)) for m in (memory, other))
    for name in Sequences._fields:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name


def test_after_a_cut_nothing_is_taken_for_what_followed() -> None:
    memory, rows = filled(64, 40, 1.0)
    memory.cut_off()
    newest = [copy * 64 + len(rows[copy]) - 1 for copy in (0, 1)]
    for copy in (0, 1):
        assert memory.arrays["kinds"][newest[copy]] != GOING
        memory.add(np.array([copy]), np.array([GOING]), values=np.array([7.0]), observations=np.array([[99.0]]))
    drawn = memory.take(np.array(newest) - 1, np.ones(2), UNROLL, N_STEP)
    assert not (drawn.observations[..., 0] == 99.0)[drawn.seen].any()
