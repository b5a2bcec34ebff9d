"""An observer beside the picture says what `inscape.observe` says, live as well as recorded."""

import numpy as np
import pytest

import inscape
from inscape.agents.rollout import rollout
from inscape.envs.rendering.window import BAR_LEFT, PANEL, Line, panel_picture
from inscape.envs.tasks.resolve import resolve_task
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.report.observed import observed_sections
from inscape.experiments.verbs.observe import observer_for, posterior_of
from inscape.experiments.viewing.beliefs import LiveBelief, belief_lines, lines_along
from inscape.experiments.viewing.play import Session
from inscape.experiments.viewing.watch import replay
from inscape.theory_of_mind import Best, PlanningMind, Uniform


@pytest.fixture(scope="module")
def watched():
    task = resolve_task("FourGoals")
    trajectory = rollout("value-iteration", task, 1, 3)[0]
    observer = observer_for(task, betas=5.0)
    return task, trajectory, observer, posterior_of(observer, trajectory, task)


def shares(lines):
    return {line.text: line.share for line in lines if line.share is not None}


def test_bars_along_an_episode_are_the_posterior(watched):
    task, trajectory, observer, posterior = watched
    panels = lines_along(observer, trajectory, task)
    assert len(panels) == len(trajectory) + 1
    for t, lines in enumerate(panels):
        assert {name: shares(lines)[name] for name in posterior.goals} == pytest.approx(
            {name: path[t] for name, path in posterior.goals.items()}
        )
    assert not set(task.action_names) & set(shares(panels[-1]))  # nothing comes next


def test_live_bars_equal_the_recorded_ones(watched):
    task, trajectory, observer, _ = watched
    live = LiveBelief(observer_for(task, betas=5.0))
    recorded = lines_along(observer, trajectory, task)
    for _ in range(2):  # the second episode begins anew
        live.begin()
        for t, action in enumerate(trajectory.actions):
            assert shares(live.lines(trajectory.states[t : t + 1], False)) == pytest.approx(shares(recorded[t]))
            live.saw(trajectory.states[t : t + 1], int(action), trajectory.states[t + 1 : t + 2])
        assert shares(live.lines(trajectory.states[-1:], True)) == pytest.approx(shares(recorded[-1]))


def test_a_person_is_observed_at_the_keyboard():
    task = resolve_task("FourGoals")
    session = Session(task, [None], 0, observer=observer_for(task, betas=5.0))
    before = shares(session.lines())
    assert before["A"] == pytest.approx(0.25)
    for key in ("left", "left", "up", "up"):
        session.press(key)
    after = shares(session.lines())
    session.press("r")
    assert shares(session.lines()) == pytest.approx(before)
    recorded = inscape.observe(session.finish(), task, betas=5.0).goals
    assert after["A"] == pytest.approx(recorded["A"][-1])
    assert after["A"] > 0.5


def test_what_no_mind_would_do_is_said_and_changes_nothing():
    task = resolve_task("FourGoals")
    minds = [PlanningMind(goal, backup="hard", chooses=Best()) for goal in ("A", "C")]
    session = Session(task, [None], 0, observer=observer_for(task, minds))
    session.press("left")
    believed = shares(session.lines())
    session.press("right")
    assert "none of these would do that" in [line.text for line in session.lines()]
    assert shares(session.lines())["A"] == pytest.approx(believed["A"])
    session.press("left")
    assert "none of these would do that" not in [line.text for line in session.lines()]


@pytest.mark.slow
def test_one_player_of_two_is_observed_while_others_move():
    task = resolve_task("TicTacToe")
    minds = [PlanningMind(task.world.purpose, beta, "hard", others=Uniform()) for beta in (0.0, 20.0)]
    session = Session(task, [None, None], 0, observer=observer_for(task, minds, player=0))
    for key in ("1", "4", "2", "5", "3"):
        session.press(key)
    assert session.stage.ended
    held = shares(session.lines())
    assert sum(held.values()) == pytest.approx(1.0)
    assert len(held) == 2
    assert max(held.values()) > 0.55


def test_many_hypotheses_show_the_most_probable():
    held = {f"goal {k}": (k + 1) / 78 for k in range(12)}
    lines = belief_lines(held)
    assert list(shares(lines)) == [f"goal {k}" for k in range(4, 12)]
    assert Line("4 more", dim=True) in lines


def test_a_full_bar_is_longer_than_an_empty_one():
    empty, full = (panel_picture([Line("A", color="blue", share=share)], 48) for share in (0.0, 1.0))
    assert empty.shape == (48, PANEL, 3)
    assert (empty != full)[:, BAR_LEFT : BAR_LEFT + 80].any(axis=2).sum() > 80 * 10


def test_pictures_have_the_panel_at_the_right(watched, tmp_path):
    _, trajectory, observer, _ = watched
    from PIL import Image

    replay([trajectory], tmp_path / "bare", size=240)
    replay([trajectory], tmp_path / "observed", size=240, observer=observer)
    names = sorted(path.name for path in (tmp_path / "observed").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "bare").iterdir())
    sizes = [Image.open(tmp_path / folder / names[0]).size for folder in ("bare", "observed")]
    assert sizes[1][0] == sizes[0][0] + PANEL
    with pytest.raises(UsageError, match="an observer beside 2 copies"):
        replay([trajectory, trajectory], tmp_path / "two", copies=2, observer=observer)


def test_the_page_says_what_was_expected_and_what_came(watched):
    task, trajectory, observer, posterior = watched
    sections = {section.title.split(",")[0]: section for section in observed_sections(observer, [posterior])}
    table = sections["Expected and actual"]
    states = observer.state_indices(trajectory).states
    given = []
    alone = observer_for(task, betas=5.0)
    for t in range(len(trajectory)):
        given.append(alone.predict(trajectory.states[t : t + 1], 1).state_probs[1][states[t + 1]])
        alone.update(trajectory.states[t : t + 1], int(trajectory.actions[t]), trajectory.states[t + 1 : t + 2])
    assert table.rows[0][:2] == (1, len(trajectory))
    assert table.rows[0][2] == pytest.approx(np.mean(given))
    evidence = sections[f"What each step told about {posterior.goal}"]
    told = sum(float(row[2].replace("−", "-")) for row in evidence.rows)
    path = posterior.goals[posterior.goal]
    odds = np.log2(path / (1 - path))
    assert told == pytest.approx(odds[-1] - odds[0], abs=0.01 * len(trajectory))
    expected = sections["Episodes"].episodes[0].frames[0].posterior.expected
    assert sum(steps for _, _, steps in expected) == pytest.approx(8.0, abs=0.3)


def test_the_commands(tmp_path, capsys):
    page, pictures = tmp_path / "observed.html", tmp_path / "pictures"
    assert main(["observe", "value-iteration", "FourGoals", "--beta", "5", "--save", str(page)]) == 0
    assert "Saved in" in capsys.readouterr().out
    assert "Expected and actual" in page.read_text(encoding="utf-8")
    assert main(["watch", "random", "FourGoals", "--observe", "--save", str(pictures), "--size", "64"]) == 0
    assert len(list(pictures.iterdir())) > 1
    assert main(["observe", "value-iteration", "FourGoals", "--save", "observed.txt"]) == 2
    assert "a file that ends in .html" in capsys.readouterr().err.replace("\n", " ")
    assert main(["watch", "random", "CartPole-v1", "--observe"]) == 2
    assert "has no law to observe with" in capsys.readouterr().err


def test_predictions_along_an_episode_equal_predict_after_updates(watched):
    task, trajectory, observer, _ = watched
    alone = observer_for(task, betas=5.0)
    for t, prediction in enumerate(observer.predictions_over(trajectory, 3)):
        expected = alone.predict(trajectory.states[t : t + 1], 3)
        np.testing.assert_allclose(prediction.state_probs, expected.state_probs)
        np.testing.assert_allclose(prediction.action_probs, expected.action_probs)
        if t < len(trajectory):
            alone.update(trajectory.states[t : t + 1], int(trajectory.actions[t]), trajectory.states[t + 1 : t + 2])
    assert inscape.observe([trajectory], task, betas=5.0).goal
