"""Fits against sums written out, a search without gradients, and minds that were planted."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from inscape import make_world
from inscape.errors import UsageError
from inscape.theory_of_mind import (
    Best,
    Controller,
    Hyperbolic,
    ImpossibleEvidenceError,
    InTurn,
    Observer,
    Planning,
    PlanningMind,
    Softmax,
    Switching,
    compare_minds,
    fit_minds,
    grid,
    lesions,
    mixture_of_minds,
    refine_mind,
    simulate_choices,
)
from inscape.theory_of_mind.fitting.likelihood import MindLikelihood, log_likelihoods
from inscape.theory_of_mind.fitting.population import mixed, population_weights
from tests.theory_of_mind.worlds import Corridor

WORLD = Corridor(length=7, slip=0.1)
MINDS = grid(
    wants=["left end", "right end", InTurn(("left end", "right end")), Switching(("left end", "right end"), 0.2)],
    chooses=[Softmax(2.0, lapse=0.1), Softmax(8.0)],
    plans=Planning("hard"),
)
PLAIN = grid(
    wants=["left end", "right end"], chooses=[Softmax(1.0), Softmax(4.0), Softmax(16.0)], plans=Planning("hard")
)


def test_likelihoods_are_those_of_an_observer_of_each_mind() -> None:
    choices = simulate_choices(WORLD, MINDS, 2, 0)
    found = log_likelihoods(choices, MINDS)
    for (e, episode), (g, mind) in itertools.product(enumerate(choices.episodes), enumerate(MINDS)):
        watch = Observer(WORLD, [mind])
        watch.update_batch(episode.states, episode.actions, fresh=True)
        assert found[e, g] == pytest.approx(watch.log_evidence(), abs=1e-10)
    for g in (0, 3, 5):
        assert MindLikelihood(choices, MINDS[g])(MINDS[g]) == pytest.approx(found[:, g].sum(), abs=1e-9)


def test_simulated_actions_are_as_frequent_as_minds_say() -> None:
    mind = PlanningMind("right end", plans=Planning("hard"), chooses=Softmax(2.0, lapse=0.3))
    choices = simulate_choices(WORLD, [mind], 3_000, 1)
    probs = np.exp(mind.controller(WORLD).log_probs[:, 0])
    states, actions = (np.concatenate([getattr(e, n) for e in choices.episodes]) for n in ("states", "actions"))
    for s in np.unique(states):
        taken = actions[states == s]
        error = math.sqrt(probs[s, 1] * probs[s, 0] / len(taken))
        assert abs(taken.mean() - probs[s, 1]) < 4 * error


def test_the_population_is_where_a_search_without_derivatives_finds_it() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(40, 2)) * 2
    weights, trace = population_weights(table, np.array([0.5, 0.5]))
    best = minimize_scalar(
        lambda p: -mixed(table, np.array([p, 1 - p])).sum(), bounds=(0, 1), method="bounded", options={"xatol": 1e-9}
    )
    assert weights[0] == pytest.approx(best.x, abs=1e-4)
    assert trace[-1] == pytest.approx(-best.fun, abs=1e-6)
    assert (np.diff(trace) >= -1e-12).all()


def test_planted_minds_are_found() -> None:
    planted = [PLAIN[1]] * 6 + [PLAIN[5]] * 6
    choices = simulate_choices(WORLD, planted, 12, 2)
    fit = fit_minds(choices, PLAIN)
    assert [mind.wants for mind in fit.best_of_each] == ["left end"] * 6 + ["right end"] * 6
    assert fit.marginal("wants")["left end"] == pytest.approx(0.5, abs=0.05)
    assert fit.posteriors.sum(axis=1) == pytest.approx(1.0)
    assert fit.log_likelihood == pytest.approx(fit.episode_log_likelihoods.sum(axis=0).max())
    assert fit.population_bits_per_choice < fit.bits_per_choice < fit.uniform_bits_per_choice + 0.5
    assert fit.estimate("beta").shape == (12,)
    assert fit.posterior.argmax() == fit.minds.index(fit.best)


def test_refined_numbers_are_where_a_scan_finds_them() -> None:
    true = PlanningMind("right end", plans=Planning("hard"), chooses=Softmax(3.0))
    choices = simulate_choices(WORLD, [true] * 5, 10, 3)
    found = refine_mind(choices, PlanningMind("right end", 1.0, "hard"), ["beta"])
    beta = found.estimates["beta"]
    likelihood = MindLikelihood(choices, true)

    def at(value: float) -> float:
        return likelihood(PlanningMind("right end", float(value), "hard"))

    scan = np.linspace(beta.low, beta.high, 101)
    best = scan[np.argmax([at(value) for value in scan])]
    assert beta.value == pytest.approx(best, abs=2 * (scan[1] - scan[0]))
    for end in (beta.low, beta.high):  # the quantile of χ²₁ is 3.8415
        assert 2 * (found.log_likelihood - at(end)) == pytest.approx(3.8415, abs=0.01)
    step = 0.01
    curvature = -(at(beta.value + step) - 2 * at(beta.value) + at(beta.value - step)) / step**2
    assert beta.standard_error == pytest.approx(1 / math.sqrt(curvature), rel=0.01)
    wald = refine_mind(choices, true, ["beta"], intervals="wald").estimates["beta"]
    assert wald.low == pytest.approx(beta.low, abs=0.2)


def test_two_numbers_and_ends_of_ranges() -> None:
    true = PlanningMind("right end", plans=Planning("hard"), chooses=Softmax(6.0, lapse=0.2))
    choices = simulate_choices(WORLD, [true] * 10, 10, 4)
    found = refine_mind(
        choices, PlanningMind("right end", plans=Planning("hard"), chooses=Softmax(2.0)), ["beta", "lapse"]
    )
    assert found.estimates["lapse"].low < 0.2 < found.estimates["lapse"].high
    assert found.estimates["beta"].low < 6.0 < found.estimates["beta"].high
    always = simulate_choices(WORLD, [PlanningMind("right end", plans=Planning("hard"), chooses=Best())], 5, 5)
    consistent = refine_mind(always, PlanningMind("right end", 3.0, "hard")).estimates["beta"]
    assert consistent.high == math.inf
    assert consistent.low > 1.0
    nobody = refine_mind(choices, PlanningMind("left end", 3.0, "hard")).estimates["beta"]
    assert nobody.value == nobody.low == 0.0
    assert math.isnan(nobody.standard_error)


def test_fields_of_a_purpose_are_numbers_too() -> None:
    choices = simulate_choices(
        WORLD, [PlanningMind(WORLD.goals["right end"]._replace(cost=0.3), 3.0, "hard")] * 4, 10, 6
    )
    found = refine_mind(choices, PlanningMind("right end", 3.0, "hard"), ["wants.cost"])
    assert found.estimates["wants.cost"].low < 0.3 < found.estimates["wants.cost"].high


@dataclass(frozen=True)
class Coin:
    """Goes right with a probability."""

    right: float = field(default=0.5, metadata={"range": (0.0, 1.0)})

    def controller(self, world, player=0):
        with np.errstate(divide="ignore"):
            return Controller.memoryless(np.log(np.tile([1 - self.right, self.right], (len(world.dynamics()), 1))))


def test_minds_of_other_kinds_are_refined_too() -> None:
    world = Corridor(length=7)
    choices = simulate_choices(world, [Coin(0.3)], 20, 0, max_steps=10)
    actions = np.concatenate([episode.actions for episode in choices.episodes])
    found = refine_mind(choices, Coin(0.5), ["right"])
    assert found.estimates["right"].value == pytest.approx(actions.mean(), abs=1e-4)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (["k"], "no parameter 'k'"),
        (["bta"], "beta"),
        (["beta", "beta"], "each once"),
        (["wants"], "a number"),
        ([], "one or more"),
    ],
)
def test_parameters_that_are_none(parameters: list[str], words: str) -> None:
    choices = simulate_choices(WORLD, [PLAIN[0]], 1, 0)
    with pytest.raises(UsageError, match=words):
        refine_mind(choices, PLAIN[0], parameters)


def test_models_are_compared_on_choices_held_out() -> None:
    world = Corridor(length=7)
    hyperbolic = [
        PlanningMind("left end", plans=Planning("hard", horizon=5, discount=Hyperbolic(2.0)), chooses=Softmax(b))
        for b in (5.0, 15.0)
    ]
    choices = simulate_choices(world, [hyperbolic[1]] * 12, 6, 7)
    models = {"full": hyperbolic, **lesions(hyperbolic, world, ["planning"])}
    found = compare_minds(choices, models, folds=4)
    assert list(found.scores) == ["full", "planning", "frequency in each state", "frequency", "uniform"]
    assert found.best == "full"
    assert found["planning"].low > 0
    assert found["full"].difference == 0
    assert found["uniform"].bits_per_choice == pytest.approx(1.0)
    score = found["full"]
    assert score.aic == pytest.approx(2 * score.parameters - 2 * score.log_likelihood)
    for by, people in itertools.product(("participant", "episode"), ("differ", "alike")):
        other = compare_minds(choices, models, folds=3, by=by, people=people)
        assert other["full"].bits_per_choice < other["planning"].bits_per_choice
    again = compare_minds(choices, models, folds=4)
    assert (again["planning"].low, again["planning"].bits.tolist()) == (
        found["planning"].low,
        found["planning"].bits.tolist(),
    )


def test_held_out_bits_written_out() -> None:
    choices = simulate_choices(WORLD, [PLAIN[1], PLAIN[5], PLAIN[4]], 2, 8)
    found = compare_minds(choices, {"two": PLAIN}, folds=3)
    people = choices.by_participant(log_likelihoods(choices, PLAIN))
    total = 0.0
    for n in range(3):
        others = np.delete(people, n, axis=0)
        weights, _ = population_weights(others, np.full(6, 1 / 6), 1.0)
        total -= math.log2((weights * np.exp(people[n])).sum())
    assert found["two"].bits.sum() == pytest.approx(total, abs=1e-9)


def test_kinds_of_people_are_found_and_the_bound_rises() -> None:
    planted = [PLAIN[2]] * 10 + [PLAIN[4]] * 6
    choices = simulate_choices(WORLD, planted, 8, 9)
    found = mixture_of_minds(choices, PLAIN, (1, 2, 3))
    assert found.kinds == 2
    assert found.kind_of.tolist() == [0] * 10 + [1] * 6
    assert [mind.wants for mind in found.mind_of_kind] == ["left end", "right end"]
    assert found.shares == pytest.approx([0.625, 0.375], abs=0.01)
    assert found.held_out[1] > found.held_out[2]
    refined = mixture_of_minds(choices, PLAIN, 2, refine=["beta"])
    assert refined.bound[-1] >= found.bound[-1]
    for one in (found, refined, mixture_of_minds(choices, PLAIN, 3, each="distribution")):
        assert (np.diff(one.bound) >= -1e-9).all()


def test_kinds_whose_minds_change_from_episode_to_episode() -> None:
    rng = np.random.default_rng(0)
    made = []
    for share in (0.9, 0.2):  # how often it is the left end
        for _ in range(10):
            drawn = [PLAIN[2] if rng.random() < share else PLAIN[5] for _ in range(20)]
            made += [simulate_choices(WORLD, [mind], 1, rng).episodes[0] for mind in drawn]
    from dataclasses import replace

    from inscape.theory_of_mind import Choices

    named = [replace(episode, participant=f"p{n // 20}", label=str(n % 20)) for n, episode in enumerate(made)]
    found = mixture_of_minds(
        Choices((WORLD,), tuple(named)), PLAIN, (1, 2, 3), each="distribution", restarts=2, folds=3
    )
    assert found.kinds == 2
    left = found.components[:, :3].sum(axis=1)
    assert sorted(left) == pytest.approx([0.2, 0.9], abs=0.08)


def test_choices_nobody_would_make_are_named() -> None:
    choices = simulate_choices(WORLD, [PlanningMind("left end", 0.0, "hard")], 3, 0)
    rational = [PlanningMind("right end", plans=Planning("hard"), chooses=Best())]
    with pytest.raises(ImpossibleEvidenceError, match=r"p1, episode 1, choice \d+: 'left' in Corridor"):
        fit_minds(choices, rational)


def test_lesions_are_named_and_refused() -> None:
    assert set(lesions(MINDS, WORLD)) == {"costs", "planning", "switching", "lapses"}
    with pytest.raises(UsageError, match="did you mean 'beliefs'"):
        lesions(MINDS, WORLD, ["belief"])
    with pytest.raises(UsageError, match="changes none"):
        lesions(MINDS, WORLD, ["beliefs"])
    tiger = make_world("Tiger")
    from inscape.theory_of_mind import Filtering

    filtering = [PlanningMind(tiger.purpose, 1.0, "hard", believes=Filtering())]
    assert lesions(filtering, tiger)["beliefs"][0].sees


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"folds": 1}, "folds = 1"),
        ({"by": "day"}, "by = 'day'"),
        ({"people": "same"}, "'differ'"),
        ({"concentration": 0}, "positive"),
        ({"level": 2}, "level = 2"),
    ],
)
def test_comparisons_that_cannot_be(options: dict, words: str) -> None:
    choices = simulate_choices(WORLD, [PLAIN[0]] * 3, 2, 0)
    with pytest.raises(UsageError, match=words):
        compare_minds(choices, {"a": PLAIN}, **options)
    with pytest.raises(UsageError, match="to hold out"):
        compare_minds(choices.select([0]), {"a": PLAIN})
    with pytest.raises(UsageError, match="baseline"):
        compare_minds(choices, {"uniform": PLAIN})


def test_kinds_that_cannot_be() -> None:
    choices = simulate_choices(WORLD, [PLAIN[0]] * 3, 2, 0)
    for kinds, words in ((4, "kinds"), (0, "kinds"), ("2", "kinds"), ([], "kinds")):
        with pytest.raises(UsageError, match=words):
            mixture_of_minds(choices, PLAIN, kinds)
    with pytest.raises(UsageError, match="each"):
        mixture_of_minds(choices, PLAIN, 1, each="person")
