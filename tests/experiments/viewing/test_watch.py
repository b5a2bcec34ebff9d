import sys
import types

import numpy as np
import pytest

from inscape.agents.registry import make_agent
from inscape.agents.rollout import rollout
from inscape.envs.rendering.rasterizer import render_scene
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.runs.storage.episodes import save_trajectories
from inscape.experiments.viewing import watch as watching
from inscape.experiments.viewing.watch import HOLD_SECONDS, natural_fps, replay, watch


class Wanderer:
    """Draws its actions from the observations, so that watching and rolling out give the same ones."""

    name = "wanderer"

    def act(self, observation, action_mask=None):
        return np.asarray(observation).reshape(len(observation), -1)[:, 0].astype(np.int64) * 7 % 4


def read(path):
    import imageio.v3 as iio

    return iio.imread(path)


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def test_world_is_watched_as_it_was_rolled_out(tmp_path):
    task = resolve_task("FourGoals")
    path = watch(Wanderer(), task, seed=5, episodes=2, save=tmp_path / "a.gif", fps=10, size=90)
    frames = read(path)
    trajectories = rollout(Wanderer(), task, 2, 5, max_copies=1)
    hold = round(10 * HOLD_SECONDS)
    assert len(frames) == sum(len(t) + hold for t in trajectories)
    drawn = render_scene(task.world.scene(trajectories[0].states, 3), 90)
    assert np.abs(frames[3][:90].astype(int) - drawn).mean() < 2  # colours of a GIF are rounded


def test_copies_are_shown_side_by_side(tmp_path):
    task = resolve_task("FourGoals")
    one, four = (
        read(watch(Wanderer(), task, copies=n, episodes=n, save=tmp_path / f"{n}.gif", fps=50, size=128))
        for n in (1, 4)
    )
    assert one.shape[2] == 128
    assert four.shape[2] == 2 * 64 + 4
    assert four.shape[1] > 2 * 64


def test_the_last_round_may_have_fewer_episodes(tmp_path):
    task = resolve_task("FourGoals")
    frames = read(watch(Wanderer(), task, copies=2, episodes=3, save=tmp_path / "odd.gif", fps=10, size=128))
    assert frames[0][10, 64 + 4 + 10].max() > 30
    assert (frames[-1][:, 64 + 4 :] <= 40).all()  # nobody there


class Rising:
    """A picture of the moves so far: its upper rows are white, one more after each."""

    def __new__(cls, render_mode=None):
        from tests.envs.tasks.test_pettingzoo import Errand

        env = Errand()
        env.metadata = {**env.metadata, "render_fps": 5}
        assert render_mode in (None, "rgb_array")
        env.render = lambda: (
            np.where(np.arange(64)[:, None, None] < sum(env.moves.values()), 255, 0) * np.ones((64, 64, 3), np.uint8)
        )
        return env


def test_players_elsewhere_are_drawn_as_they_play_again(tmp_path, monkeypatch):
    """Three episodes of eight moves, two beside each other and then one; each picture has a row more than the last."""
    module = types.ModuleType("watched_for_tests")
    module.env = Rising
    monkeypatch.setitem(sys.modules, module.__name__, module)
    task = resolve_task(f"pettingzoo:{module.__name__}")
    folder = watch(make_agent("random", task), task, copies=2, episodes=3, save=tmp_path / "shots", size=128)
    shots = [read(path) for path in sorted(folder.iterdir())]
    hold = round(5 * HOLD_SECONDS)
    assert len(shots) == 2 * (9 + hold)
    white = [[int((shot[:64, column] == 255).all(axis=-1).sum()) for column in (10, 68 + 10)] for shot in shots]
    rising = [min(t, 8) for t in range(9 + hold)]
    assert white == [[rows, rows] for rows in rising] + [[rows, 0] for rows in rising]


@pytest.mark.parametrize("name", ["tictactoe_v3", "rps_v2"])
def test_environments_of_pettingzoo_are_watched(name, tmp_path):
    task = resolve_task(f"pettingzoo:pettingzoo.classic.{name}")
    path = watch(make_agent("random", task), task, save=tmp_path / "game.gif", size=64)
    assert len(read(path)) > 4


def test_ordinary_environments_draw_themselves(tmp_path):
    task = resolve_task("FrozenLake-v1", {"is_slippery": False})

    class Down:
        def act(self, observation):
            return np.full(len(observation), 1)

    path = watch(Down(), task, copies=2, save=tmp_path / "lake.mp4", size=200)
    assert natural_fps(task) == task.env().metadata["render_fps"]
    # down, down, down into the hole, then the end is held
    assert len(read(path)) == 3 + max(1, round(natural_fps(task) * HOLD_SECONDS))


def test_without_a_display_a_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = watch(Wanderer(), resolve_task("FourGoals"), size=64, fps=60)
    assert path.as_posix() == "runs/watch/FourGoals-wanderer.mp4"
    assert path.exists()


def test_with_a_display_a_window_is_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watching, "has_display", lambda: True)
    shown = []

    class Closing(watching.Window):
        def show_frame(self, frame):
            shown.append(frame.shape)
            return super().show_frame(frame) and len(shown) < 4  # the user closes it then

    monkeypatch.setattr(watching, "Window", Closing)
    assert watch(Wanderer(), resolve_task("FourGoals"), size=64, fps=200) is None
    assert len(shown) == 4
    assert not (tmp_path / "runs").exists()


def test_wrong_numbers_are_refused():
    task = resolve_task("FourGoals")
    for wrong in ({"copies": 0}, {"copies": 65}, {"episodes": 0}, {"size": 3}):
        with pytest.raises(UsageError, match="at least 1 episode"):
            watch(Wanderer(), task, **wrong)


def test_pace_suits_the_world():
    assert natural_fps(resolve_task("FourGoals")) < natural_fps(resolve_task("CartPole"))


def test_recorded_episodes_are_drawn_again(tmp_path, capsys):
    task = resolve_task("FourGoals")
    recorded = rollout(Wanderer(), task, 2, 5, max_copies=1)
    live, again = tmp_path / "live.gif", tmp_path / "again.gif"
    watch(Wanderer(), task, seed=5, episodes=2, save=live, fps=10, size=90)
    replay(recorded, again, fps=10, size=90)
    assert again.read_bytes() == live.read_bytes()
    file = save_trajectories(tmp_path / "two.npz", recorded)
    assert main(["watch", str(file), "--episodes", "1", "--save", str(tmp_path / "shots"), "--size", "64"]) == 0
    assert "Pictures in" in capsys.readouterr().out
    assert len(list((tmp_path / "shots").iterdir())) == len(recorded[0]) + round(5 * HOLD_SECONDS)
    assert main(["watch", str(file), "FourGoals"]) == 2
    assert "the file alone" in capsys.readouterr().err


def test_what_cannot_be_drawn_again_is_refused():
    lake = rollout(Wanderer(), resolve_task("FrozenLake-v1"), 1, 0)
    with pytest.raises(UsageError, match="hold no states to draw"):
        replay(lake)
    ours = rollout(Wanderer(), resolve_task("FourGoals"), 1, 0)
    with pytest.raises(UsageError, match="episodes of 2 tasks"):
        replay([*lake, *ours])


@pytest.mark.slow
def test_copies_by_the_command(tmp_path):
    path = tmp_path / "nine.gif"
    line = f"watch random FourGoals --copies 9 --size 192 --save {path}"
    assert main(line.split()) == 0
    assert read(path).shape[2] == 3 * 64 + 2 * 4


def test_captions_tell_the_players_apart():
    from tests.experiments.viewing.test_play import Rocks

    world = Rocks()
    task = Task("Rocks", world, {}, None)
    assert watching.action_text(task, np.array([0, 2])) == "rock + scissors"
    both, one = (
        watching.Tile(np.zeros((60, 400, 3), np.uint8), 1, "x", r, r, False).captioned() for r in ([1, -1], 1.0)
    )
    assert both.shape == one.shape
    assert (both != one).any()
