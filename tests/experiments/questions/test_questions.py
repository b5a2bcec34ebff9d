"""The questions that come with Inscape, and what experiments may name: measures and analyses."""

import tomllib

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.tasks.resolve import as_task
from inscape.errors import UsageError
from inscape.experiments import AgentSpec, Experiment, exact_value
from inscape.experiments.cli import main
from inscape.experiments.commands.run import QUESTIONS, questions
from inscape.experiments.questions import compression, no_free_lunch
from inscape.experiments.questions.families import family_sections
from inscape.experiments.questions.helping import helped_sections
from inscape.experiments.questions.observed import observed_sections
from inscape.experiments.report.sections import TableSection, TextSection
from inscape.experiments.trials import execute
from inscape.experiments.trials.named import load_analysis, measured
from inscape.experiments.trials.results import Results
from inscape.experiments.trials.trial import TrialResult
from inscape.experiments.trials.worker import perform


def here(due, jobs):
    for job in due:
        yield perform(job.trial, job.payload, job.root)


def ran(experiment, out=None):
    return execute.run_trials(experiment.trials(), out, verbose=False, engine=here)


@pytest.mark.parametrize("name", sorted(questions()))
def test_every_question_can_be_run_and_says_what_is_expected(name):
    document = tomllib.loads(questions()[name].read_text())
    assert document["question"].endswith("?") and document["expected"]
    assert f"`{name}`" in (QUESTIONS / "README.md").read_text()
    experiment = Experiment.from_toml(questions()[name])  # worlds, agents, settings, measures: all are there
    assert callable(load_analysis(experiment.analysis))


def test_questions_are_listed(capsys):
    assert main(["list", "questions"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in questions())
    assert main(["run", "no-free-lunhc"]) == 2
    assert "did you mean 'no-free-lunch'?" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------- no free lunch


def test_over_all_functions_every_searcher_without_repetition_sees_the_same():
    found = no_free_lunch.theorem(5, 3)
    assert found["functions"] == 243
    assert found["difference"] <= 1e-12
    assert found["same_sequences"]
    # E max of k independent uniform values: Σ_v P(max ≥ v)
    expected = [sum(1 - (v / 3) ** k for v in (1, 2)) for k in range(1, 6)]
    for means in found["means"].values():
        np.testing.assert_allclose(means, expected, atol=1e-12)
    assert (found["forgetful"] < np.array(expected) - 0.1)[1:].all()
    smooth = np.array(list(found["smooth"].values()))
    assert np.ptp(smooth, axis=0).max() > 0.05  # there it matters how one searches
    assert np.ptp(smooth[:, -1]) == 0.0  # at the end all have seen everything


def test_searchers_and_functions_that_are_none():
    functions = no_free_lunch.all_functions(3, 2)
    assert functions.shape == (8, 3) and len(np.unique(functions, axis=0)) == 8
    with pytest.raises(UsageError, match="point 7"):
        no_free_lunch.values_seen(lambda points, values, count: 7, functions)
    with pytest.raises(UsageError, match="functions"):
        no_free_lunch.all_functions(30, 4)


def result(agent, world, seed, score=0.0, regret=None, **measures):
    exact = None if regret is None else {"value": 0.0, "optimum": regret, "regret": regret, "gamma": 0.9}
    return TrialResult(f"{agent}{world}{seed}", agent, world, seed, score, exact=exact, steps=100, measures=measures)


def tables(sections):
    return {section.title: section for section in sections if isinstance(section, TableSection)}


def test_who_is_best_where():
    scores = {("a", "x"): 1.0, ("b", "x"): 2.0, ("c", "x"): 2.0, ("a", "y"): 5.0, ("b", "y"): 4.0, ("c", "y"): 3.0}
    results = Results([result(a, w, seed, score) for (a, w), score in scores.items() for seed in range(3)])
    sections = no_free_lunch.no_free_lunch_sections(results)
    rows = {row[0].text: row for row in tables(sections)["Agents over all worlds"].rows}
    assert {agent: row[2] for agent, row in rows.items()} == {"a": 1, "b": 1, "c": 1}
    assert {agent: row[3] for agent, row in rows.items()} == {"a": 2.0, "b": 1.75, "c": 2.25}
    assert rows["b"][1].estimate == pytest.approx(0.75)
    assert isinstance(sections[0], TextSection) and "No agent is best everywhere" in sections[0].text


# ---------------------------------------------------------------------------------------------------- compression


def learned(steps, world="FrozenLake"):
    task = as_task(world)
    agent = make_agent("mcts", task, seed=1, settings={"model": "tabular", "epsilon": 1.0, "episodes_per_round": 1})
    list(agent.learn(task, steps))
    return agent, task


def test_bits_are_those_of_played_episodes_and_fall_with_data():
    few, task = learned(50)
    many, _ = learned(800)
    first, then = (compression.model_measures(agent, task, 0) for agent in (few, many))
    assert first["bits"] > then["bits"] > 0 and first["regret"] >= then["regret"] >= 0
    # by sampling: the code length of random play, per step, is cross-entropy along what random play meets
    episodes = rollout(make_agent("random", task, seed=0), task, 80, 0)
    model, law = many.model, task.world
    sampled = [-model.log_prob(e) / np.log(2) for e in episodes]
    pairs = [
        model.transition_log_probs(
            e.observations[:-1], e.actions, e.observations[1:], np.arange(len(e)) == len(e) * e.terminated - 1
        )
        for e in episodes
    ]
    np.testing.assert_allclose([-p.sum() / np.log(2) for p in pairs], sampled, atol=1e-9)
    wasted, entropy = compression._bits(law_table(law), model, law.observe(law.dynamics().states))
    met = np.concatenate([law.dynamics().index_of(e.states)[:-1] for e in episodes])
    taken = np.concatenate([e.actions for e in episodes])
    exact = (wasted + entropy)[met, taken]
    draws = np.concatenate([-p / np.log(2) for p in pairs])
    error = (draws - exact).std() / np.sqrt(len(draws))
    assert abs(draws.mean() - exact.mean()) < 4 * error


def law_table(world):
    from inscape.world_models import TabularModel

    return TabularModel.from_world(world)


def test_what_planning_in_the_model_is_worth_is_what_its_policy_is_worth():
    agent, task = learned(600)
    found = compression.model_measures(agent, task, 0)
    policy = make_agent("value-iteration", task)
    assert found["score"] + found["regret"] == pytest.approx(exact_value(policy, task, 0.99).value, abs=1e-6)
    with pytest.raises(UsageError, match="has learned no table"):
        compression.model_measures(policy, task, 0)


def test_rank_correlations_of_bits_and_regret():
    results = Results(
        [
            result(f"m{k}", "w", seed, bits=seed + 10.0 * k, bits_on_path=-float(seed), regret=None)
            for k in range(2)
            for seed in range(8)
        ]
    )
    for one in results:
        one.measures["regret"] = one.seed + 5.0 * (one.agent == "m1")
        one.measures["relative_regret"] = one.measures["regret"] / 20
    row = tables(compression.compression_sections(results))["Rank correlations"].rows[0]
    assert row[4].estimate == pytest.approx(1.0)  # equal steps
    assert row[5].estimate == pytest.approx(-1.0)


# ------------------------------------------------------------------------------------------- the other three, small


def test_families_at_equal_steps():
    results = Results(
        [result(f"{f}: x, {n}", "w", seed, regret=value) for f, n, value in
         (("free", 1, 4.0), ("based", 1, 2.0)) for seed in range(4)]
    )  # fmt: skip
    row = tables(family_sections(results))["Regret by family"].rows[0]
    assert row[2].estimate == 4.0 and row[3].estimate == 2.0 and row[4].estimate == 1.0


def test_the_goal_of_an_optimal_agent_is_known_and_that_of_a_random_one_is_not():
    results = ran(
        Experiment(["FourGoals"], ["random", "value-iteration"], seeds=1, final_episodes=0, measures=["observed"])
    )
    rows = {row[0].text: row for row in tables(observed_sections(results))["By agent"].rows}
    assert rows["value-iteration"][1].estimate > 0.95 and rows["random"][1].estimate < 0.5
    assert rows["value-iteration"][5].estimate > 10 > 2 > rows["random"][5].estimate
    assert results[1].score == pytest.approx(0.68)  # eight steps of 0.04, and the goal


@pytest.mark.slow
def test_a_helper_saves_steps():
    agents = [AgentSpec("helper", {"beta": 40.0, "max_trials": 20})]
    results = ran(Experiment(["HouseholdHelper"], agents, seeds=1, final_episodes=0, measures=["helped"]))
    found = results[0].measures
    assert found["steps_knowing"] <= found["steps"] < found["steps_without"]
    assert found["return_without"] < results[0].score <= found["return_knowing"] + 1e-9
    assert "saved" in tables(helped_sections(results))["Helpers"].columns


# -------------------------------------------------------------------------------------------------- what is named


OWN = """
def halves(agent, task, seed):
    return {"half": seed / 2, "score": 7.0}


def counted(results):
    from inscape.experiments import TextSection
    return [TextSection("Counted", str(sorted(results.measured("half").values())))]


def words(agent, task, seed):
    return {"half": "much"}
"""


def test_measures_and_analyses_of_a_file_beside_the_experiment(tmp_path, capsys):
    (tmp_path / "own.py").write_text(OWN)
    file = tmp_path / "own.toml"
    text = (
        'question = "How many halves?"\nworlds = ["FrozenLake"]\nagents = ["random"]\nseeds = 2\nfinal_episodes = 0\n'
    )
    file.write_text(text + 'measures = ["own.py:halves"]\nanalysis = "own.py:counted"\n')
    page = tmp_path / "page.html"
    assert main(["run", str(file), "--out", str(tmp_path / "out"), "--save", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "How many halves?" in printed and "[0.0, 0.5]" in printed
    assert "Counted" in page.read_text()
    experiment = Experiment.from_toml(file)
    before = [trial.id for trial, _ in experiment.trials()]
    (tmp_path / "own.py").write_text(OWN + "\n# edited\n")
    assert [trial.id for trial, _ in Experiment.from_toml(file).trials()] != before  # an edited measure counts anew


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('measures = ["modle"]', "no measure 'modle'"),
        ('analysis = "no-lunch"', "no analysis 'no-lunch'"),
        ('measures = "model"', "measures = 'model'"),
        ('measures = ["nowhere.py:f"]', "nowhere.py"),
        ("question = 3", "question = 3"),
    ],
)
def test_names_that_are_none_are_refused_with_their_line(tmp_path, line, said):
    file = tmp_path / "wrong.toml"
    file.write_text(f'worlds = ["FrozenLake"]\nagents = ["random"]\n{line}\n')
    with pytest.raises(UsageError, match=said):
        Experiment.from_toml(file)


def test_a_measure_that_returns_no_numbers_fails_its_trial(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    name = f"{tmp_path / 'own.py'}:words"
    results = ran(Experiment(["FrozenLake"], ["random"], seeds=1, final_episodes=2, measures=[name]))
    assert "half = 'much'" in results[0].error
    with pytest.raises(UsageError, match="which another measure returns too"):
        measured([f"{tmp_path / 'own.py'}:halves"] * 2, None, as_task("FrozenLake"), 1)
