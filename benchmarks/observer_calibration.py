"""Are the observer's probabilities earned? Minds of mixed kinds are simulated, watched for a while, and asked about.

Half of them walk FourGoals: goals, goals in turn and switching ones, β, lapses, short horizons, hyperbolic discounts.
Half look for lunch on a small campus of FoodTrucks: they see everything, or filter what they see from two priors. Each
is watched for a random part of an episode; then the observer says what it wants, of what kind it is and what it will do
next. In every decile of stated probabilities, the share that came true must lie within the larger of 2 points and 3
standard errors (clustered by mind).

python benchmarks/observer_calibration.py [--minds 10000]
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import numpy as np

from inscape import make_world
from inscape.theory_of_mind import (
    Calibration,
    Filtering,
    Hyperbolic,
    InTurn,
    Observer,
    Planning,
    Sees,
    Softmax,
    Switching,
    calibration,
    grid,
    simulate_choices,
)

MOST_STEPS = 20
CAMPUS = "1.S../.###./....2"
QUESTIONS = ("what it wants", "what kind it is", "what it will do next")


def hopeful(state: Any) -> float:
    """A prior belief: the Mexican truck is there."""
    return 8.0 if state.second == 3 else 1.0


def populations() -> list[tuple[Any, list[Any], Any]]:
    """Returns worlds with their minds, and what a mind's kind is."""
    walking, lunch = make_world("FourGoals"), make_world("FoodTrucks", map=CAMPUS)
    walkers = [
        *grid(
            wants=["A", "B", "C", "D"],
            chooses=[Softmax(20.0), Softmax(100.0), Softmax(60.0, lapse=0.2)],
            plans=[
                Planning("hard"), Planning("hard", horizon=4), Planning("hard", horizon=12, discount=Hyperbolic(2.0)),
            ],
        ),
        *grid(
            wants=[InTurn(("A", "B")), InTurn(("C", "D")), Switching(("A", "B"), 0.1), Switching(("C", "D"), 0.1)],
            chooses=[Softmax(20.0), Softmax(100.0)],
            plans=Planning("hard"),
        ),
    ]  # fmt: skip
    eaters = grid(
        wants=list(lunch.goals),
        believes=[Sees(), Filtering(), Filtering(hopeful)],
        chooses=[Softmax(0.5), Softmax(3.0)],
        plans=Planning("hard"),
    )
    return [
        (walking, walkers, lambda mind: (str(mind.plans), str(mind.chooses))),
        (lunch, list(eaters), lambda mind: (str(mind.believes), str(mind.chooses))),
    ]


def statements(count: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns for each question `(probabilities [N, C], outcomes [N])`: of N minds, which of C answers was true.

    Minds are drawn until `count` have been asked about, half in each world; those whose lunch was over before are not.
    """
    rng = np.random.default_rng(seed)
    said: list[list[np.ndarray]] = [[], [], []]
    true: list[list[int]] = [[], [], []]
    for world, minds, kind_of in populations():
        observer, asked = Observer(world, minds), 0
        features: list[list[Any]] = [[str(mind.wants) for mind in minds], [kind_of(mind) for mind in minds]]
        answers = [list(dict.fromkeys(feature)) for feature in features]
        members = [np.array([[f == a for a in known] for f in own], float) for own, known in zip(features, answers)]
        while asked < count // 2:
            drawn = rng.integers(len(minds), size=min(1_000, count))
            choices = simulate_choices(world, [minds[g] for g in drawn], 1, rng, max_steps=MOST_STEPS, stops=False)
            for g, episode in zip(drawn, choices.episodes):
                watched = int(rng.integers(MOST_STEPS))  # drawn beforehand: how long an episode lasts tells of the mind
                if watched >= len(episode) or asked == count // 2:
                    continue
                asked += 1
                observer.reset()
                observer.update_batch(episode.states[:watched], episode.actions[:watched], fresh=True)
                for q in (0, 1):
                    said[q].append(observer.posterior() @ members[q])
                    true[q].append(answers[q].index(features[q][g]))
                said[2].append(np.exp(observer.action_log_probs(int(episode.states[watched]))))
                true[2].append(int(episode.actions[watched]))
    widest = [max(len(row) for row in rows) for rows in said]
    return [
        (np.array([np.pad(row, (0, width - len(row))) for row in rows]), np.array(outcomes))
        for rows, width, outcomes in zip(said, widest, true)
    ]


def measured(count: int, seed: int = 0) -> list[Calibration]:
    """Returns the calibration of each question."""
    return [calibration(probs, outcomes) for probs, outcomes in statements(count, seed)]


def main() -> None:
    """Prints a line for each decile of each question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minds", type=int, default=10_000)
    given, began = parser.parse_args(), time.process_time()
    found = measured(given.minds)
    print(
        f"load {os.getloadavg()[0]:.1f}; {given.minds:,} minds, {time.process_time() - began:.0f} s of processor time"
    )
    for question, one in zip(QUESTIONS, found):
        print(f"{question}: {'holds in every decile' if one.holds().all() else 'MISSED'}; mean gap {one.error:.4f}")
        for k in range(10):
            gap = 100 * (one.frequency[k] - one.confidence[k])
            print(
                f"  {one.confidence[k]:.3f} said, {one.frequency[k]:.3f} came true ({gap:+.1f} points, 3 s.e. "
                f"{300 * one.standard_error[k]:.1f}), {one.count[k]:,} statements"
            )


if __name__ == "__main__":
    main()
