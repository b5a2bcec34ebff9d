"""A scripted person: key presses come in as pygame events through SDL's dummy driver, or by name into a Session."""

from typing import NamedTuple

import gymnasium as gym
import numpy as np
import pytest

from inscape.agents.rollout import rollout
from inscape.envs.rendering import rasterizer as rendering
from inscape.envs.rendering.window import Line, PlayWindow
from inscape.envs.tasks.resolve import resolve_task
from inscape.envs.tasks.task import Task
from inscape.envs.world import World
from inscape.envs.worlds.multi_agent.kuhn_poker import KuhnPoker
from inscape.errors import UsageError
from inscape.experiments.cli import main
from inscape.experiments.runs.evaluation import looks_alike
from inscape.experiments.runs.storage.episodes import load_trajectories
from inscape.experiments.viewing import play as playing
from inscape.experiments.viewing.play import Session, direction_of, idle_action, keys_for, play, push_of
from inscape.experiments.viewing.stage import agents_by_player, make_session, perceived_scene
from tests.world_models.games import TicTacToe


class Scripted(PlayWindow):
    """Presses one key a frame: a name is pressed and released, `+name` goes down, `-name` up, "" waits a frame."""

    def __init__(self, script, **options):
        super().__init__("test", **options)
        self.script, self.shown, self.pictures = list(script), [], []

    def show(self, picture, lines):
        super().show(picture, lines)
        self.shown.append([line.text for line in lines])
        self.pictures.append(picture)

    def presses(self):
        pygame = rendering.load_pygame()
        word = self.script.pop(0) if self.script else "escape"
        if word == "quit":
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        elif word:
            code = pygame.key.key_code(word.lstrip("+-"))
            if not word.startswith("-"):
                pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code))
            if not word.startswith("+"):
                pygame.event.post(pygame.event.Event(pygame.KEYUP, key=code))
        return super().presses()

    def tick(self, fps):
        """No waiting."""


def keyed(task, script, tmp_path, **options):
    window = Scripted(script, size=96)
    played = play(task, save=tmp_path / "played.npz", window=window, **options)
    return played, window


def task_of(cls, limit=None):
    return Task(cls.__name__, cls(), {}, limit)


class Hands(NamedTuple):
    last: tuple[int, int]
    rounds: int


class Rocks(World):
    """Rock, paper, scissors, three rounds; scissors may not be shown first."""

    State = Hands
    players, simultaneous = 2, True
    actions = ("rock", "paper", "scissors")

    @staticmethod
    def initial(params, branch):
        return 1.0, Hands((-1, -1), 3)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Hands(action, state.rounds - 1)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        won = (action[0] - action[1] + 3) % 3
        return (1.0, -1.0) if won == 1 else (-1.0, 1.0) if won == 2 else (0.0, 0.0)

    @staticmethod
    def terminal(params, purpose, state):
        return state.rounds == 0

    @staticmethod
    def legal(params, state, player, action):
        return action != 2 or state.rounds < 3


class Point(NamedTuple):
    x: float
    hidden: int


class Slider(World):
    """A point pushed along a line; `hidden` is not observed."""

    State = Point
    initial_branches = 2
    action_low, action_high = (-2.0,), (1.0,)

    @staticmethod
    def initial(params, branch):
        return 0.5, Point(0.0, 7 + branch)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Point(state.x + action[0], state.hidden)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return next_state.x

    @staticmethod
    def observation(params, state):
        return (state.x,)

    @staticmethod
    def observations(params):
        return gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)


class Coaster(Slider):
    """The same by three named pushes, in real time, one of them doing nothing."""

    action_low, action_high = (), ()
    actions = ("push left", "coast", "push right")

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Point(state.x + action - 1, state.hidden)


class Many(World):
    """Thirty-five actions, of which those above the last may be taken."""

    class State(NamedTuple):
        last: int

    actions = tuple(f"say {k}" for k in range(35))

    @staticmethod
    def initial(params, branch):
        return 1.0, Many.State(2)

    @staticmethod
    def transition(params, state, action, branch):
        return 1.0, Many.State(action)

    @staticmethod
    def reward(params, purpose, state, action, next_state):
        return float(action)

    @staticmethod
    def legal(params, state, action):
        return action > state.last

    @staticmethod
    def terminal(params, purpose, state):
        return state.last == 34


# ---------------------------------------------------------------------------------------------------------- key maps


@pytest.mark.parametrize(
    ("action", "arrow"),
    [
        ("left", "left"), ("North", "up"), ("move-down", "down"), ("push right", "right"), ("forward", "up"),
        ("open left", ""), ("pickup", ""), ("up-left", ""), ("east_ferry", ""), ("turn left", "left"),
    ],
)  # fmt: skip
def test_directions_are_read_from_names(action, arrow):
    assert direction_of(action) == arrow


def test_keys_of_one_human():
    assert keys_for(("left", "down", "right", "up")) == {"left": 0, "down": 1, "right": 2, "up": 3}
    assert keys_for(("left", "turn left", "pickup")) == {"left": 0, "1": 1, "2": 2}
    assert keys_for(tuple("012")) == {"0": 0, "1": 1, "2": 2}  # a digit's own key
    assert keys_for(("go", "1")) == {"2": 0, "1": 1}
    many = keys_for(tuple(f"a{k}" for k in range(len(playing.ALONE))))
    assert len(many) == len(playing.ALONE)
    assert not {"q", "r", "p"} & many.keys()
    assert keys_for(tuple(f"a{k}" for k in range(len(playing.ALONE) + 1))) is None


def test_humans_who_act_at_once_share_no_key():
    names = ("stay", "left", "right", "up", "down", "pickup")
    maps = [keys_for(names, seat, 4) for seat in range(4)]
    keys = [key for one in maps for key in one]
    assert len(keys) == len(set(keys)) == 4 * len(names)
    assert not {"q", "r", "p", "space", "escape"} & set(keys)
    assert maps[1]["w"] == names.index("up")


def test_doing_nothing_is_recognised():
    assert idle_action(("left", "No-op", "right")) == 1
    assert idle_action(("left", "no push")) == 1
    assert idle_action(("left", "right")) is None


def test_continuous_pushes():
    space = gym.spaces.Box(np.array([-2.0, 0.5], np.float32), np.array([1.0, 3.0], np.float32))
    np.testing.assert_array_equal(push_of(frozenset(), space), [0.0, 0.5])  # 0, as near as the range allows
    np.testing.assert_array_equal(push_of(frozenset({"left", "up"}), space), [-2.0, 3.0])
    np.testing.assert_array_equal(push_of(frozenset({"right", "shift"}), space), [0.5, 0.5])
    np.testing.assert_array_equal(push_of(frozenset({"left", "right"}), space), [0.0, 0.5])


# ------------------------------------------------------------------------------------------------------------ window


def test_episodes_are_recorded_as_keyed_and_an_observer_reads_them(tmp_path, capsys):
    task = resolve_task("FourGoals")
    played, window = keyed(task, ["left", "x", "up", "up", "r", "right", "quit", "right"], tmp_path, seed=4)
    left, right, up = (task.action_names.index(name) for name in ("left", "right", "up"))
    assert [t.actions.tolist() for t in played.trajectories] == [[left, up, up], [right]]
    assert [(t.seed, t.agent, t.terminated, t.truncated) for t in played.trajectories] == [
        (4, "human", False, True), (5, "human", False, True),
    ]  # fmt: skip
    first = played.trajectories[0]
    for t in range(3):
        here, there = (task.world.unpack(first.states, k) for k in (t, t + 1))
        assert task.world.transition(task.world.params, here, int(first.actions[t]), 0) == (1.0, there)
    np.testing.assert_array_equal(first.observations, first.states.ints[0])
    np.testing.assert_allclose(first.rewards, -0.04)
    stored = load_trajectories(played.path)
    np.testing.assert_array_equal(stored[0].states.ints, first.states.ints)
    assert window.shown[0][3:] != window.shown[-1][1:]
    assert main(["observe", str(played.path), "--episodes", "2"]) == 0
    said = capsys.readouterr().out
    assert "Episode 2: human in FourGoals" in said
    assert main(["watch", str(played.path), "--save", str(tmp_path / "a.gif"), "--size", "64", "--fps", "20"]) == 0


def test_the_end_is_recorded_and_waits_for_a_restart(tmp_path):
    task = resolve_task("FrozenLake-firm")
    played, window = keyed(task, ["down", "down", "right", "down", "right", "right", "left", "r", "escape"], tmp_path)
    (only,) = played.trajectories
    assert (only.terminated, only.truncated, only.total_reward, len(only)) == (True, False, 1.0, 6)
    assert any("the end" in lines for lines in window.shown)


def test_the_time_limit_truncates(tmp_path):
    task = resolve_task("FourGoals")
    played, _ = keyed(Task("FourGoals", task.world, {}, 2), ["left", "right", "left"], tmp_path)
    assert [(len(t), t.terminated, t.truncated) for t in played.trajectories] == [(2, False, True)]


def test_nothing_played_nothing_kept(tmp_path):
    played, _ = keyed(resolve_task("FourGoals"), ["x", "escape"], tmp_path)
    assert played.trajectories == []
    assert played.path is None
    assert not (tmp_path / "played.npz").exists()


def test_real_time_begins_with_a_key_and_goes_on_with_the_last(tmp_path):
    task = resolve_task("CartPole")
    script = ["", "", "right", "", "", "left", "", "p", "", "", "space", "p", "", "escape"]
    played, window = keyed(task, script, tmp_path)
    (only,) = played.trajectories
    # two frames of waiting; right ×3; left ×2; paused, one single step; then one step before and one after going on
    assert only.actions.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert any("press a key to begin" in lines for lines in window.shown)
    assert any("paused" in lines for lines in window.shown)


def test_no_key_means_the_action_that_does_nothing(tmp_path):
    script = ["x", "", "right", "", "+left", "", "-left", "", "escape"]
    played, _ = keyed(task_of(Coaster, 50), script, tmp_path)
    (only,) = played.trajectories
    assert only.actions.tolist() == [1, 1, 2, 1, 0, 0, 1, 1]


def test_continuous_actions_by_arrows(tmp_path):
    script = ["+right", "+left shift", "-left shift", "-right", "+left", "escape"]
    played, window = keyed(task_of(Slider, 50), script, tmp_path)
    (only,) = played.trajectories
    assert only.actions.shape == (5, 1)
    assert only.actions[:, 0].tolist() == [1.0, 0.5, 1.0, 0.0, -2.0]
    np.testing.assert_allclose(only.states.floats[0], [0, 1, 1.5, 2.5, 2.5, 0.5])
    assert any("with it: half" in lines for lines in window.shown)


def test_more_actions_than_keys_are_picked_from_pages(tmp_path):
    played, window = keyed(task_of(Many), ["1", "2", "page down", "3", "escape"], tmp_path)
    (only,) = played.trajectories
    # of 3…34 the first; of 4…34 the second; of 6…34 the third on the second page: 6 + 9 + 2
    assert only.actions.tolist() == [3, 5, 17]
    assert "page 1 of 4" in window.shown[0]


# ------------------------------------------------------------------------------------------------------ several players


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(playing, "AGENT_PAUSE", 0.0)


def test_two_humans_in_turn(tmp_path):
    # crosses 0 1 2 and noughts 3 4; a taken cell is illegal and ignored
    played, window = keyed(task_of(TicTacToe), ["0", "3", "0", "3", "1", "4", "2"], tmp_path, players=["human"])
    (only,) = played.trajectories
    assert only.actions.tolist() == [0, 3, 1, 4, 2]
    assert only.terminated
    assert only.rewards.tolist()[-1] == [1.0, -1.0]
    assert only.action_masks.shape == (5, 9)
    assert not only.action_masks[1, 0]
    assert any("player_1 decides" in lines for lines in window.shown)
    assert load_trajectories(tmp_path / "played.npz")[0].rewards.shape == (5, 2)


def test_illegal_actions_are_dim():
    session = Session(task_of(TicTacToe), [None, None], 0)
    session.press("4")
    dim = [line.key for line in session.lines() if line.dim]
    assert dim == ["4"]


def test_a_human_against_agents(tmp_path, hurried):
    task = task_of(TicTacToe)
    script = ["0", "", "1", "", "2", "", "3", "", "4", "", "5", "", "6", "", "7", "", "8", "", "escape"]
    played, _ = keyed(task, script, tmp_path, players=["random", "human"], seed=3)
    (only,) = played.trajectories
    assert only.agent == "random,human"
    movers = [int(only.states[t].ints[2, 0]) for t in range(len(only))]
    assert movers == [t % 2 for t in range(len(only))]
    again, _ = keyed(task, script, tmp_path, players=["random", "human"], seed=3)
    assert again.trajectories[0].actions.tolist() == only.actions.tolist()


def test_agents_wait_while_paused():
    session = Session(task_of(TicTacToe), agents_by_player(["human", "random"], task_of(TicTacToe), 0, humans=True), 0)
    session._acted = -np.inf
    session.press("p")
    session.press("0")
    for _ in range(5):
        session.tick(frozenset())
    assert len(session.stage.actions) == 1
    session.press("space")
    assert len(session.stage.actions) == 2


def test_a_searching_opponent_takes_its_win():
    task = task_of(TicTacToe)
    agents = agents_by_player(["mcts", "random"], task, 1, humans=True)
    stage = make_session(task)
    stage.reset(0)
    for action in (0, 3, 1, 4):  # crosses to move, the line 0 1 2 open
        stage.step({stage.movers[0]: action})
    from inscape.agents.vector_actor import VectorActor
    from inscape.experiments.viewing.stage import choose

    assert choose(VectorActor(agents[0], 1), stage, 0) == 2


def test_two_humans_at_once(tmp_path):
    # seat 0: 7 8 9; seat 1: 1 2 3. Scissors are illegal in the first round; a second choice is not taken
    script = ["9", "7", "8", "3", "2", "8", "1", "7", "1"]
    played, window = keyed(task_of(Rocks), script, tmp_path, players=["human"])
    (only,) = played.trajectories
    assert only.actions.tolist() == [[0, 1], [1, 0], [0, 0]]
    assert only.rewards.tolist() == [[-1, 1], [1, -1], [0, 0]]
    assert only.action_masks.shape == (3, 2, 3)
    assert any("player_1 decides" in lines for lines in window.shown)


def test_agents_play_out_and_are_watched(tmp_path):
    task = task_of(Rocks)
    agents = agents_by_player(["random"], task, 7, humans=False)
    first, second = (
        rollout(agents, task, 2, seed=3) for agents in (agents, agents_by_player(["random"], task, 7, humans=False))
    )
    assert [t.actions.tolist() for t in first] == [t.actions.tolist() for t in second]
    assert all(t.terminated and len(t) == 3 for t in first)
    from inscape.experiments.viewing.watch import watch

    path = watch(agents, task, copies=2, save=tmp_path / "two.gif", size=128, fps=10)
    assert path.stat().st_size > 1000


def test_players_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"3 players[\s\S]*expected: 2[\s\S]*try: human,mcts"):
        agents_by_player(["human", "mcts", "random"], task_of(TicTacToe), 0, humans=True)
    with pytest.raises(UsageError, match="nobody among random,random is human|nobody among random, random is human"):
        play(task_of(TicTacToe), ["random", "random"])
    with pytest.raises(UsageError, match="no agent 'mtcs'"):
        agents_by_player(["human", "mtcs"], task_of(TicTacToe), 0, humans=True)
    with pytest.raises(UsageError, match="act at once"):
        agents_by_player(["mcts", "human"], task_of(Rocks), 0, humans=True)
    with pytest.raises(UsageError, match="no agent 'human'"):
        agents_by_player(["human", "random"], task_of(TicTacToe), 0, humans=False)


# -------------------------------------------------------------------------------------------------- what is perceived


def test_hidden_states_are_shown_only_on_request():
    session, open_session = (Session(task_of(Slider, 5), [None], 0, reveal=reveal) for reveal in (False, True))
    texts = [{shape.text for shape in s.picture().shapes if hasattr(shape, "text")} for s in (session, open_session)]
    assert "hidden" not in texts[0]
    assert "hidden" in texts[1]


def test_what_is_hidden_is_found_out():
    assert looks_alike(Slider())
    assert looks_alike(resolve_task("Tiger").world)
    assert looks_alike(resolve_task("KuhnPoker").world)
    assert not looks_alike(TicTacToe())
    assert not looks_alike(resolve_task("CartPole").world)
    assert not looks_alike(resolve_task("Taxi").world)


def test_an_agents_card_stays_covered():
    """Where the drawing opens the card of whoever acts, a human against an agent keeps the picture of their turn."""

    class Undrawn(KuhnPoker):
        draw_view = None

    task = task_of(Undrawn)
    agents = agents_by_player(["human", "random"], task, 0, humans=True)
    session, open_session = (Session(task, agents, 0, reveal=reveal) for reveal in (False, True))
    mine = session.picture()
    for s in (session, open_session):
        s.press("p")
        s.press("1")
        assert s.stage.movers == (1,)
    assert session.picture() == mine
    assert open_session.picture() != mine
    second = Session(task, agents[::-1], 0)  # the agent begins: there is no picture of one's own turn yet
    assert [shape.text for shape in second.picture().shapes if hasattr(shape, "text")] == ["player_0 is thinking"]


def test_a_player_sees_their_own_card_and_no_other():
    task = resolve_task("KuhnPoker")
    for seat in (0, 1):
        agents = agents_by_player(["human", "random"], task, 0, humans=True)
        session = Session(task, agents if seat == 0 else agents[::-1], 0)
        state = task.world.unpack(session.stage.state)
        own, other = (state.first, state.second) if seat == 0 else (state.second, state.first)
        for _ in range(2):
            letters = [shape.text for shape in session.picture().shapes if hasattr(shape, "text")]
            assert letters == ["JQK"[own]] != ["JQK"[other]]
            session.press("space")  # the agent acts, or nobody: there is no key that does nothing


def test_a_world_can_say_how_a_view_looks():
    from inscape.envs.rendering.scene import Circle, Scene

    class Seen(Slider):
        @staticmethod
        def draw_view(params, purpose, state):
            return Scene(2, 2, (Circle(1, 1, state.x + 0.5, "agent"),))

    world = Seen()
    scene = perceived_scene(world, world.pack([Point(0.25, 3)]), 0)
    assert scene.shapes[0].radius == 0.75


def test_words_are_shown_where_that_is_what_is_perceived():
    world = resolve_task("Tiger").world
    states = world.sample_initial(1, np.random.default_rng(0), compiled=False)
    texts = [shape.text for shape in perceived_scene(world, states, 0).shapes if hasattr(shape, "text")]
    assert any("nothing heard yet" in text for text in texts)


# -------------------------------------------------------------------------------------------------------- other tasks


def test_any_gymnasium_environment(tmp_path):
    task = resolve_task("FrozenLake-v1", {"is_slippery": False})
    played, _ = keyed(task, ["1", "2", "escape"], tmp_path)
    assert played.trajectories[0].actions.tolist() == [1, 2]  # actions without names are called by their number
    assert played.trajectories[0].states is None


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    windows = []

    def scripted(title, size):
        windows.append(Scripted(["left", "up", "escape"], size=size))
        return windows[-1]

    monkeypatch.setattr(playing, "PlayWindow", scripted)
    assert main(["play", "FourGoals", "--size", "100"]) == 0
    said = capsys.readouterr().out
    assert "Recorded in runs/play/FourGoals-1.npz" in said
    assert said.strip().splitlines()[-1].endswith("inscape observe runs/play/FourGoals-1.npz")
    assert main(["play", "FourGoals", "--size", "100"]) == 0
    assert (tmp_path / "runs/play/FourGoals-2.npz").exists()


def test_no_display_is_said_in_words(monkeypatch, capsys):
    monkeypatch.delenv("SDL_VIDEODRIVER")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    assert main(["play", "FourGoals"]) == 2
    said = capsys.readouterr().err
    assert "needs a display" in said
    assert "xvfb-run" in said
    assert "inscape watch" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("play FourGoals --players random", "nobody among random is human"),
        ("play FourGoals --save here.mp4", r"a name ending in \.npz"),
        ("play FourGoals --fps 0", "0.0 steps per second"),
        ("play FourGoal", "did you mean 'FourGoals'"),
        ("play FourGoals --size 5", "5 pixels"),
    ],
)
def test_wrong_lines(line, said, tmp_path, monkeypatch, capsys):
    import re

    monkeypatch.chdir(tmp_path)
    assert main(line.split()) == 2
    assert re.search(said, capsys.readouterr().err)


def test_the_panel_lists_keys_and_the_window_stays_as_large():
    window = PlayWindow("t", 100)
    few = [Line("left", "left"), Line("dim", "1", dim=True)]
    frame = window.compose(np.zeros((50, 100, 3), np.uint8), few)
    assert (frame[:, :100] == 0).all(axis=-1).sum() == 50 * 100  # the picture, in the middle
    assert frame[:, 100:].std() > 3  # something is written there
    grown = window.compose(np.zeros((50, 100, 3), np.uint8), [Line("a", "1")] * 7)
    assert grown.shape[0] > frame.shape[0]
    assert window.compose(np.zeros((50, 100, 3), np.uint8), few).shape == grown.shape
