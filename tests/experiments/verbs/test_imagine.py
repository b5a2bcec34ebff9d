"""`inscape.imagine` and `inscape imagine`: what would follow from other actions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inscape import imagine, make_agent, make_world, train
from inscape.errors import MissingLawError, UsageError
from inscape.experiments.cli import main
from inscape.experiments.report.imagined import imagined_picture, imagined_sections, tinted
from inscape.world_models import LearnedTabularModel, TabularModel, policy_evaluation

CARTPOLE = make_world("CartPole")
UPRIGHT = CARTPOLE.State(0.0, 0.0, 0.02, 0.0)


def test_each_alternative_is_what_stepping_the_law_gives():
    imagined = imagine(CARTPOLE, UPRIGHT, {"go": ["right", "left"], "stay": 0}, horizon=4)
    assert list(imagined) == ["go", "stay"]
    states = CARTPOLE.pack([UPRIGHT])
    for action in (1, 0, 0, 0):  # the last one is repeated
        states, _, _ = CARTPOLE.step(states, np.array([action]), np.random.default_rng(0))
    end = imagined["go"]
    assert end.actions.tolist() == [1, 0, 0, 0]
    assert np.array_equal(end.states[[4]].floats, states.floats)
    assert end.observations.shape == (5, 4) and end.truncated and not end.terminated
    falls = imagine(CARTPOLE, UPRIGHT, ["left"], horizon=50)["left"]
    assert falls.terminated and len(falls) == falls.total_reward < 50


def test_alternatives_meet_the_same_random_numbers():
    lake = make_world("FrozenLake")
    start = lake.sample_initial(1, np.random.default_rng(0))
    agent = make_agent("random", "FrozenLake", seed=5)
    imagined = imagine(lake, start, {"one": "down", "two": 1, "other": "right"}, agent, 20, seed=3, samples=30)
    assert np.array_equal(imagined["one"].states.ints, imagined["two"].states.ints)
    assert np.array_equal(imagined.returns["one"], imagined.returns["two"])
    assert not np.array_equal(imagined.lengths["one"], imagined.lengths["other"])
    assert imagined.difference("one", "two") == (0.0, 0.0)
    again = imagine(lake, start, ["down"], agent, 20, seed=3, samples=30)
    assert np.array_equal(again.returns["down"], imagined.returns["one"])
    other = imagine(lake, start, ["down"], agent, 20, seed=4, samples=30)
    assert not np.array_equal(other.lengths["down"], again.lengths["down"])


def test_mean_returns_are_the_exact_values():
    model = TabularModel.from_world(make_world("FrozenLake"))
    values = policy_evaluation(model, np.full((model.num_states, 4), 0.25), 1.0)
    draws = np.random.default_rng(1)
    imagined = imagine(model, 9, [0, 1, 2], lambda at: draws.integers(4, size=len(at)), 200, samples=1500)
    for action in range(3):
        p, reward = model.probability[9, action], model.reward[9, action]
        exact = float((p * (reward + model.continuation[9, action] * values[model.next_state[9, action]])).sum())
        error = np.sqrt(exact * (1 - exact) / 1500)
        assert imagined.returns[str(action)].mean() == pytest.approx(exact, abs=4 * error)


def test_learned_models_and_continuous_actions():
    lake = make_world("FrozenLake-firm")
    learned = LearnedTabularModel.for_task("FrozenLake-firm")
    from inscape import rollout

    learned.fit(rollout(make_agent("random", "FrozenLake-firm"), "FrozenLake-firm", 40, seed=0))
    start = learned.init(lake.observe(lake.sample_initial(1, np.random.default_rng(0))))
    assert imagine(learned, start, [1, 2], horizon=3)["1"].actions.tolist() == [1, 1, 1]
    pendulum = imagine("Pendulum", {"theta": 1.0, "theta_dot": 0.0}, [-2.0, [1.5]], "random", 4)
    assert [len(trajectory) for trajectory in pendulum.values()] == [4, 4]
    assert pendulum["1.5"].actions[0].tolist() == [1.5]
    assert np.array_equal(pendulum["1.5"].actions[1:], pendulum["-2.0"].actions[1:])  # the policy draws alike


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CARTPOLE, UPRIGHT, ["lft"]), "no action 'lft'"),
        ((CARTPOLE, UPRIGHT, [2]), "no action 2"),
        ((CARTPOLE, UPRIGHT, [True]), "no action True"),
        ((CARTPOLE, UPRIGHT, []), "no alternatives"),
        ((CARTPOLE, UPRIGHT, ["left", "left"]), "two alternatives named left"),
        ((CARTPOLE, UPRIGHT, {"none": []}), "without an action"),
        ((CARTPOLE, UPRIGHT, ["left"], None, 0), "horizon"),
        ((CARTPOLE, UPRIGHT, {"long": [0, 1, 0]}, None, 2), "at most 2 steps"),
        ((CARTPOLE, CARTPOLE.State(9.0, 0.0, 0.0, 0.0), ["left"]), "terminal"),
        ((CARTPOLE, [UPRIGHT, UPRIGHT], ["left"]), "2 states to imagine from"),
        (("Pendulum", {"theta": 1.0, "theta_dot": 0.0}, [3.0]), "no action 3.0"),
        (("TicTacToe", None, [0]), "2 players"),
    ],
)
def test_what_cannot_be_imagined_is_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        imagine(*arguments)


def test_an_environment_without_a_law_is_refused():
    with pytest.raises(MissingLawError):
        imagine("Blackjack-v1", None, [0])


def test_ghosts_have_the_colour_of_their_alternative():
    imagined = imagine(CARTPOLE, UPRIGHT, ["left", "right"], horizon=12)
    picture = imagined_picture(CARTPOLE, imagined, width=300)
    assert picture.shape[1] == 300 and picture.dtype == np.uint8
    only_left = imagined_picture(CARTPOLE, imagine(CARTPOLE, UPRIGHT, ["left"], horizon=12), width=300)
    orange = np.abs(picture[:150].astype(int) - [0xF5, 0x85, 0x18]).sum(axis=2) < 12  # the path of the second
    assert orange.any() and not (np.abs(only_left[:150].astype(int) - [0xF5, 0x85, 0x18]).sum(axis=2) < 12).any()
    shapes = CARTPOLE.scene(CARTPOLE.pack([UPRIGHT])).layer("moving")
    assert {shape.fill for shape in tinted(shapes, "green")} == {"green"}
    table, player = imagined_sections(CARTPOLE, imagined)
    assert [row[0] for row in table.rows] == ["left", "right"]
    assert all(len(frame.imagination.futures) == 1 for episode in player.episodes for frame in episode.frames)


def run_of(folder: Path) -> Path:
    return Path(str(train("q-learning", "FrozenLake", steps=300, seed=0, out=folder / "run").path))


def test_the_command_imagines_from_a_run_and_from_a_start(tmp_path: Path, monkeypatch: Any, capsys: Any):
    monkeypatch.chdir(tmp_path)
    run = str(run_of(tmp_path))
    assert main(["imagine", "FrozenLake", "--from", run, "--step", "1", "--alternatives", "left,down+right"]) == 0
    printed = capsys.readouterr().out
    assert "step 1 of episode 0" in printed and "down+right" in printed and "q-learning" in printed
    assert "<html" in (tmp_path / "imagined.html").read_text()
    line = ["imagine", "CartPole", "--agent", "random", "--samples", "3", "--horizon", "8", "--save", "ghosts.png"]
    assert main(line) == 0
    assert (tmp_path / "ghosts.png").read_bytes().startswith(b"\x89PNG")
    assert "3 futures each" in capsys.readouterr().out
    for words, message in (
        (["FrozenLake", "--from", run, "--step", "5000"], "--step 5000 of an episode of"),
        (["CartPole", "--from", run], "is of FrozenLake"),
        (["FrozenLake", "--step", "3"], "without an episode"),
        (["FrozenLake", "--alternatives", "jump"], "no action 'jump'"),
        (["FrozenLake", "--save", "ghosts.pdf"], "ghosts.pdf"),
        (["FrozenLake", "--horizon", "0"], "horizon"),
        (["Pendulum"], "no --alternatives"),
        (["FrozenLake", "--step", "-1"], "--step -1"),
        (["Blackjack-v1"], "no law"),
    ):
        assert main(["imagine", *words]) == 2, words
        assert message in capsys.readouterr().err, words
