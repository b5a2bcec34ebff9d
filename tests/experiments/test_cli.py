import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inscape.experiments.arguments import parsing as args
from inscape.experiments.arguments.train import TrainArguments
from inscape.experiments.cli import COMMANDS, main
from inscape.experiments.commands.evaluate import EvaluateArguments
from inscape.experiments.commands.observe import ObserveArguments
from inscape.experiments.commands.watch import WatchArguments
from inscape.experiments.runs.folders import open_run
from inscape.experiments.runs.storage.episodes import load_trajectories

AGENTS = """
import numpy as np

class Right:
    def act(self, observation):
        return np.full(len(observation), 2)

class TooFar:
    def act(self, observation):
        return np.full(len(observation), 9)

class Floats:
    def act(self, observation):
        return np.full(len(observation), 0.5)

class Clumsy:
    def __init__(self):
        self.table = {}["missing"]
    def act(self, observation):
        return np.zeros(len(observation), int)

class Silent(Right):
    def learn(self, task, steps):
        pass
    def state_dict(self):
        return {}
    def load_state_dict(self, state):
        pass

class Timeless(Silent):
    def learn(self, task, steps):
        yield {"loss": 1.0}

class Forgetful(Right):
    def learn(self, task, steps):
        yield {"steps": steps}

class Needy:
    def __init__(self, teacher):
        pass
    def act(self, observation):
        return np.zeros(len(observation), int)
"""


WORLDS = """
from typing import NamedTuple
from inscape import World

class State(NamedTuple):
    place: int

class Nothing(NamedTuple):
    pass

class Unpriced(World):
    State, Params, Purpose = State, Nothing, Nothing
    actions, branches, max_episode_steps = ("stay", "go"), 1, 5

    def initial(params, branch):
        return 1.0, State(0)
    def transition(params, state, action, branch):
        return 1.0, State(state.place + action)
    def reward(params, purpose, state, action, next_state):
        return float("nan")
    def observations(params):
        return 3

class Boundless(Unpriced):
    def reward(params, purpose, state, action, next_state):
        return 1.0
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with a file of agents in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents.py").write_text(AGENTS)
    (tmp_path / "worlds.py").write_text(WORLDS)
    (tmp_path / "broken.py").write_text("\nimport nonsense_that_does_not_exist")
    (tmp_path / "typo.py").write_text("class Agent:\n    def act(self, observation)\n")
    (tmp_path / "in-the-way").write_text("")
    (tmp_path / "model.zip").write_bytes(b"PK")
    return tmp_path


def run(line: str) -> int:
    return main(line.split())


TRAIN = "train q-learning FrozenLake --steps 30000 --steps-per-report 10000 --evaluate-episodes 2 --final-episodes 20"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian ppo CartPole", r"unknown command 'trian'.*did you mean 'train'"),
        ("list wrlds", "worlds"),
        ("train qlearning FrozenLake", r"no agent 'qlearning'.*did you mean 'q-learning'"),
        ("train q-learning FrozenLak", r"no world named 'FrozenLak'.*did you mean 'FrozenLake'"),
        ("evaluate random LunarLandr-v3", r"no world named.*did you mean 'LunarLander"),
        ("train q-learning FrozenLake --stesp 5", r"(?s)--stesp.*--steps"),
        ("train q-learning FrozenLake --learning-rat 0.1", r"(?s)--learning-rat.*--learning-rate"),
        ("train q-learning FrozenLake --world.slp 0.1", r"(?s)--world\.slp.*--world\.slip"),
        ("train q-learning FrozenLake --steps many", "--steps"),
        ("train q-learning FrozenLake --steps 0", "0 training steps"),
        ("train q-learning FrozenLake --learning-rate fast", "--learning-rate"),
        ("train q-learning FrozenLake --learning-rate 7", "learning_rate = 7"),
        ("train --steps 5 q-learning FrozenLake", "names first"),
        ("train q-learning", r"(?i)required"),
        ("train random FrozenLake", "does not learn"),
        ("train q-learning CartPole", "observations are Box"),
        ("train q-learning FrozenLake --out in-the-way/run --steps 100", "cannot write the run folder"),
        ("train q-learning FrozenLake --resume", "nothing to resume"),
        ("plan GridWorld --world.map S../.", "row"),
        ("plan GridWorld --world.map ../.G", "start"),
        ("plan GridWorld --world.map S?G", r"\?"),
        ("plan FrozenLake --world.slip 1.5", "slip"),
        ("plan FrozenLake --world.slip nan", "slip"),
        ("plan FrozenLake --simulations 0", "simulations"),
        ("plan FrozenLake --gamma 1.5", "gamma"),
        ("plan FrozenLake --planner utc", "did you mean 'uct'"),
        ("plan FrozenLake --planner value-iteration --simulations 5", "num_simulations"),
        ("plan FrozenLake --planner nothing.py:Planner", "nothing.py"),
        ("plan FrozenLake --planner uct --planner.exploration -1", "exploration"),
        ("plan CartPole-v1", "has no law to plan with.*--model tabular"),
        ("plan FrozenLake --model nothing-here", "no run at nothing-here"),
        ("observe random FourGoals --beta=-1", "beta"),
        ("observe random FourGoals --beta nan", "beta"),
        ("observe random FourGoals --beta much", "numbers with commas"),
        ("observe random FourGoals --goals A,B --prior 0.5,0.4", "0.9"),
        ("observe random FourGoals --goals A,B --prior 1", "1 prior probabilities for 2 goals"),
        ("observe random FourGoals --goals A,Z", "Z"),
        ("observe random FourGoals --backup soft", "soft-eval"),
        ("observe random CartPole-v1", "no law to observe with"),
        ("observe nothing.npz", r"nothing\.npz"),
        ("observe random FoodTrucks", r"look alike: FoodTrucks hides its state.*--minds-see"),
        ("evaluate random", r"no world for random"),
        ("evaluate runs/nothing FrozenLake", "no run at runs/nothing"),
        ("evaluate agents.py:TooFar FrozenLake", r"action 9 .* copy 0 at step 0"),
        ("evaluate agents.py:Floats FrozenLake", "dtype float64"),
        ("evaluate agents.py:Rigth FrozenLake", r"no class 'Rigth'.*Right"),
        ("evaluate agents.py:Needy FrozenLake", "teacher"),
        ("evaluate broken.py:Agent FrozenLake", r"broken\.py:2 failed to import"),
        ("evaluate typo.py:Agent FrozenLake", r"typo\.py:2 failed to import: SyntaxError"),
        ("evaluate agents.py:Clumsy FrozenLake", r"KeyError: 'missing' \(agents\.py:18\)"),
        ("train agents.py:Silent FrozenLake", "returned None.*a generator"),
        ("train agents.py:Timeless FrozenLake", "yielded .*steps"),
        ("train agents.py:Forgetful FrozenLake", "no state_dict .*would be lost"),
        ("plan worlds.py:Unpriced", "the reward nan"),
        ("evaluate random worlds.py:Unpriced", "Unpriced gave the reward nan for action"),
        ("train q-learning worlds.py:Boundless --steps 100", r"\[3\] has no row in the table of 3"),
        ("train q-learning FrozenLake --seed -1", "--seed -1"),
        ("train q-learning FrozenLake --final-episodes -1", "--final-episodes -1"),
        ("evaluate model.zip CartPole --trust", "--load model.zip --trust"),
        ("check FrozenLake CartPole", "after the world FrozenLake"),
        ("evaluate missing.py:Agent FrozenLake", r"no file 'missing\.py'"),
        ("evaluate random FrozenLake --episodes 0", "episodes"),
        ("evaluate random CartPole --exact-gamma 0.9", "can only be sampled"),
        ("evaluate model.zip CartPole", "--load model.zip --trust"),
        ("evaluate sb3:ppo CartPole --load model.zip", "--trust"),
        ("report nothing", "no run at nothing"),
        ("plan Tiger", r"does not see its state.*--full-information"),
        ("plan KuhnPoker", r"does not see its state.*--full-information"),
        ("plan KuhnPoker --model tabular", r"has 2 players.*--model known"),
        ("plan Tiger --model tabular --full-information", r"--full-information with --model tabular.*--model known"),
        ("plan RockPaperScissors", "act at once"),
        ("train ppo TicTacToe", r"has 2 players who act in turn.*inscape train self-play TicTacToe"),
        ("train self-play FrozenLake", r"FrozenLake has one player.*several"),
        ("train self-play TicTacToe --learner random", "random as an opponent of itself"),
        ("train sac TicTacToe", "act in turn"),
        ("train sac RockPaperScissors", "continuous actions"),
        ("train ppo Spread --num-envs 16", r"16 rows for the 3 players.*num_envs = 15"),
        ("train independent:random TicTacToe", "independent learners 'random'"),
        ("train independent:recurrent-ppo TicTacToe", r"recurrent-ppo remembers.*ppo or dqn"),
        ("evaluate random pettingzoo:nothing.here", "does not import"),
        ("check pettingzoo:pettingzoo.classic.rps_v2", r"has 2 players and no law.*inscape check ppo"),
        ("check pettingzoo:pettingzoo.classic.tictactoe_v3", r"test.api_test.*inscape check self-play"),
        ("train ppo pettingzoo:pettingzoo.classic.tictactoe_v3", r"has 2 players who act in turn.*train self-play"),
        ("train mcts Spread", "mcts on Spread, whose players act at once"),
        ("evaluate mcts,random pettingzoo:pettingzoo.classic.tictactoe_v3", "PettingZoo environment.*needs its law"),
        ("train q-learning RockPaperScissors", "has 2 players"),
        ("evaluate value-iteration Tiger", r"needs to see the state.*q-learning or ppo"),
        ("evaluate llm RockPaperScissors", r"act at once.*random"),
        ("evaluate mcts,random,random TicTacToe", r"3 players.*try: mcts,random"),
        ("evaluate mcts,nobody TicTacToe", "no agent 'nobody'"),
        ("evaluate mcts,random --episodes 2", r"no world for mcts,random.*AGENT,AGENT WORLD"),
        ("watch mcts,random --save x.gif", r"no world for mcts,random.*AGENT,AGENT WORLD"),
        ("evaluate random TicTacToe --exact-gamma 0.9", "2 players, and what one is worth depends on the others"),
        ("observe random DoorHelper", "has 2 players, and the observer watches one"),
        ("check nothing-like-it", "neither a world nor an agent"),
        ("check agents.py:TooFar", "TooFar"),
    ],
)
def test_wrong_input_is_told_in_words_with_exit_code_2(
    place: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    assert run(line) == 2
    captured = capsys.readouterr()
    message = captured.err + captured.out
    assert re.search(said, message, re.DOTALL), message
    assert "Traceback" not in message


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: inscape {command}" in text
    assert f"  inscape {command}" in text


def test_the_bare_command_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(text.count(f"\n  {command} ") == 2 for command in COMMANDS)
    assert main(["--version"]) == 0
    assert re.fullmatch(r"inscape \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_for_an_agent_and_a_world_lists_the_settings_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train q-learning FrozenLake --help") == 0
    text = capsys.readouterr().out
    assert "--learning-rate" in text
    assert "--world.slip" in text


@pytest.mark.parametrize("agent", ["random", "q-learning", "ppo", "mcts", "value-iteration", "llm", "sb3:dqn"])
@pytest.mark.parametrize(
    ("command", "kind"), [("train", TrainArguments), ("evaluate", EvaluateArguments),
                          ("watch", WatchArguments), ("observe", ObserveArguments)],
)  # fmt: skip
def test_settings_of_agents_do_not_collide_with_those_of_commands(agent: str, command: str, kind: type) -> None:
    from inscape.envs.tasks.resolve import resolve_task

    groups = {
        **args.agent_settings_group(agent, resolve_task("FrozenLake"), kind),
        **args.world_settings_group("FrozenLake"),
    }
    parsed = args.parse(command, kind, [agent, "FrozenLake", "--seed", "3", "--world.slip", "0.25"], groups)
    assert parsed.seed == 3
    assert args.changed_world_settings(parsed) == {"slip": 0.25}


def test_settings_of_gymnasium_environments_are_options_too() -> None:
    parsed = args.parse(
        "evaluate", EvaluateArguments, ["random", "FrozenLake-v1", "--world.no-is-slippery"],
        args.world_settings_group("FrozenLake-v1"),
    )  # fmt: skip
    assert args.changed_world_settings(parsed) == {"is_slippery": False}


def test_list_names_worlds_agents_models_and_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    text = capsys.readouterr().out
    for word in ("FrozenLake8x8", "CartPole", "q-learning", "sb3:ppo", "mcts", "known", "tabular", "none yet"):
        assert word in text
    assert run("list agents") == 0
    assert "CartPole" not in capsys.readouterr().out
    (place / "runs" / "damaged").mkdir(parents=True)
    (place / "runs" / "damaged" / "settings.json").write_text("{")
    assert run("list runs") == 0
    assert "cannot read runs/damaged/settings.json" in capsys.readouterr().out


@pytest.mark.compiled(all=False)
def test_a_world_too_large_to_solve_is_searched_all_the_same(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan worlds.py:Boundless --simulations 100") == 0
    text = capsys.readouterr().out
    assert "Best action" in text
    assert "optimal" not in text


def test_train_resume_evaluate_observe_list_a_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(TRAIN) == 0
    text = capsys.readouterr().out
    assert "mean return" in text
    last = text.strip().splitlines()[-1]
    assert (
        last
        == "Results in runs/FrozenLake-q-learning-seed0; show them: inscape report runs/FrozenLake-q-learning-seed0"
    )
    folder = "runs/FrozenLake-q-learning-seed0"
    stored = open_run(folder)
    assert stored.finished
    assert (place / folder / "evaluation.json").exists()
    assert len(stored.episodes("final")) == 4

    assert run(f"{TRAIN} --resume") == 0
    assert "is finished already" in capsys.readouterr().out
    assert run(f"{TRAIN} --resume --gamma 0.9") == 2
    assert "agent_settings.gamma: 0.99 -> 0.9" in capsys.readouterr().err

    assert run(f"evaluate {folder} --episodes 20 --save-episodes episodes.npz") == 0
    assert re.search(r"value 0\.\d+ \(its exact policy\), optimum 0\.542\d+ .* regret", capsys.readouterr().out)
    assert run(f"evaluate {folder} FrozenLake8x8") == 2
    assert "same spaces" in capsys.readouterr().err
    assert run(f"evaluate {folder} FrozenLake --world.slip 0.0 --episodes 5") == 0
    for source in (folder, "episodes.npz"):
        assert run(f"observe {source}") == 0
        assert "most probable mind: G" in capsys.readouterr().out
    assert run("list runs") == 0
    assert "30,000" in capsys.readouterr().out

    newest = next((place / folder / "checkpoints").iterdir())
    data = bytearray((newest / "tensors.safetensors").read_bytes())
    data[-1] ^= 1
    (newest / "tensors.safetensors").write_bytes(data)
    assert run(f"evaluate {folder}") == 2
    assert "SHA-256" in capsys.readouterr().err


@pytest.mark.compiled(all=False)
def test_plan_prints_action_values_beside_the_certified_optimum(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan FrozenLake8x8 --simulations 10000 --seed 1") == 0
    text = capsys.readouterr().out
    value = float(re.search(r"Best action: \w+, value (\S+)", text)[1])  # type: ignore[index]
    optimum = float(re.search(r"by value iteration: (\d\.\d+), certified", text)[1])  # type: ignore[index]
    assert optimum == pytest.approx(0.41464, abs=1e-4)
    assert abs(value - optimum) < 0.02
    assert all(word in text for word in ("left", "down", "right", "up", "visits", "simulations/s"))


def test_plan_with_a_planner_by_name_and_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan FrozenLake --planner value-iteration --planner.tolerance 1e-9") == 0
    assert "Best action: left, value 0.542026" in capsys.readouterr().out
    mine = Path(__file__).parents[2] / "examples" / "my_planner.py"
    assert run(f"plan FrozenLake --planner {mine}:RandomShooting --planner.samples 20 --planner.horizon=5") == 0
    assert "RandomShooting" in capsys.readouterr().out
    assert run("list planners") == 0
    assert "uct, mcts" in capsys.readouterr().out


def test_plan_with_full_information_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan Tiger --full-information --simulations 200") == 0
    text = " ".join(capsys.readouterr().out.split())
    side = re.search(r"Seen by the planner alone: tiger (\d), heard 2", text)
    assert side
    away = ("right", "left")[int(side[1])]
    assert f"Best action of one who sees the state: open {away}" in text
    assert "Optimum of one who sees the state, by value iteration: 200.000000" in text
    assert "this is no plan for them" in text
    assert "watch mcts" not in text  # it would refuse
    assert run("evaluate random Tiger --episodes 2") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "an agent that sees the state would reach 200.000000" in text
    assert "regret" not in text


def test_several_players_are_evaluated_recorded_and_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate mcts,random TicTacToe --episodes 6 --save-episodes games.npz") == 0
    text = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("player_")}
    assert [rows[name][0] for name in ("player_0", "player_1")] == ["mcts", "random"]
    first, second = (float(rows[name][1]) for name in ("player_0", "player_1"))
    assert first == -second > 0
    assert rows["player_0"][-3] == rows["player_1"][-1]  # what one won the other lost
    assert "inscape watch games.npz" in text
    games = load_trajectories("games.npz")
    assert [game.total_reward.shape for game in games] == [(2,)] * 6  # type: ignore[union-attr]
    assert np.mean([game.rewards.sum(0)[0] for game in games]) == pytest.approx(first, abs=1e-3)
    assert run("watch games.npz --episodes 1 --size 64 --save games.gif") == 0
    assert run("observe games.npz") == 2
    assert "has 2 players" in capsys.readouterr().err
    assert run("watch random RockPaperScissors --size 64 --save hands.gif") == 0
    assert run("evaluate random RockPaperScissors --episodes 30") == 0
    assert "drawn" in capsys.readouterr().out
    assert run("evaluate random MatrixStagHunt --episodes 30") == 0  # what one gains is not what the other loses
    assert "drawn" not in capsys.readouterr().out


@pytest.mark.slow
def test_several_players_are_trained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained, gone on with, evaluated alone and against others, watched, reported: self-play, and the other ways."""
    few = "--final-episodes 4 --evaluate-episodes 2 --evaluate-every 256"
    own = "--learner-settings num_envs 8 num_steps 16"
    assert run(f"train self-play TicTacToe --steps 512 --add-every 128 --games 4 {own} --out game {few}") == 0
    text = capsys.readouterr().out
    assert text.count("player_1") == 2  # from either seat, against a random player
    rows = open_run("game").metrics()
    curves = [row for row in rows if "elo" in row]
    assert [row["steps"] for row in curves] == [128, 256, 384, 512]
    assert {"win_rate/random", "win_rate/pool"} <= curves[-1].keys()
    assert all(
        f"evaluation/return_mean/player_{m}" in row for m in (0, 1) for row in rows if "evaluation/episodes" in row
    )
    assert run(f"train self-play TicTacToe --steps 512 --add-every 128 --games 4 {own} --out game {few} --resume") == 0
    assert "finished already" in capsys.readouterr().out
    assert run("evaluate game,random TicTacToe --episodes 4") == 0
    assert run("evaluate game --episodes 4") == 0
    text = capsys.readouterr().out
    assert [line.split()[1] for line in text.splitlines() if line.startswith("player_")] == [
        "self-play", "random", "self-play", "self-play",
    ]  # fmt: skip
    assert run("watch game,random TicTacToe --size 64 --save game.gif") == 0
    assert run("report game") == 0
    page = Path("game/report.html").read_text()
    assert "Elo rating" in page and "Share won against past selves" in page
    for agent in ("ppo", "independent:ppo"):
        settings = "--steps 256 --num-envs 8 --num-steps 16 --hidden 8"
        assert run(f"train {agent} RockPaperScissors {settings} --out {agent[:5]} {few}") == 0
        assert run(f"evaluate {agent[:5]} --episodes 3") == 0
        text = capsys.readouterr().out
        assert text.count(f"player_1  {agent}") == 2


def test_resuming_says_where_it_restarts_the_episode(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = "--steps 64 --num-envs 2 --num-steps 16 --minibatches 2 --evaluate-every 0 --final-episodes 1"
    for world, told in (("CartPole-v1", True), ("CartPole", False)):
        assert run(f"train ppo {world} {small} --out {world}") == 0
        assert "restarts the episode" not in capsys.readouterr().out
        assert run(f"train --resume {world}") == 0
        assert ("restarts the episode" in capsys.readouterr().out) == told


@pytest.mark.compiled(all=False)
def test_plan_on_a_model_learned_from_random_steps(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan FrozenLake --model tabular --model-steps 50000 --simulations 5000") == 0
    text = capsys.readouterr().out
    value = float(re.search(r"Best action: \w+, value (\S+)", text)[1])  # type: ignore[index]
    assert value == pytest.approx(0.542, abs=0.1)  # the optimum in the model learned: seven seeds gave .460 to .541
    assert 0.5 < float(re.search(r"(\S+) bits per held-out step", text)[1]) < 2.5  # type: ignore[index]
    assert run("plan FrozenLake-v1 --model tabular --model-steps 2000 --simulations 500") == 0
    assert "certified" not in capsys.readouterr().out


@pytest.mark.compiled(all=False)
def test_a_planner_is_trained_evaluated_and_its_model_searched(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train mcts FrozenLake --final-episodes 0 --out known") == 0
    assert "nothing to learn" in capsys.readouterr().out
    learn = "train mcts FrozenLake --model tabular --num-simulations 200 --steps 2000 --evaluate-every 0"
    assert run(f"{learn} --final-episodes 5 --out learned") == 0
    assert run("plan FrozenLake --model learned --simulations 1000") == 0
    assert "model learned" in capsys.readouterr().out
    assert run("plan FrozenLake8x8 --model learned") == 2
    assert run("evaluate mcts FrozenLake --num-simulations 2000 --episodes 5") == 0
    regret = float(re.search(r"regret (\S+)", capsys.readouterr().out)[1])  # type: ignore[index]
    assert regret < 0.05


def test_a_file_of_ones_own_is_evaluated_observed_and_checked(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("evaluate agents.py:Right FourGoals --episodes 5") == 0
    assert "its exact policy" in capsys.readouterr().out
    assert run("observe agents.py:Right FourGoals --goals A,B --beta 1,5 --prior 0.75,0.25") == 0
    text = capsys.readouterr().out
    assert re.search(r"before\s+0\.750\s+0\.250", text)
    assert "log evidence" in text
    assert run("check agents.py:Right") == 0
    assert "all passed" in capsys.readouterr().out


def test_minds_may_be_said_to_see_what_a_world_hides(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("observe random FoodTrucks --minds-see --beta 2") == 0
    text = capsys.readouterr().out
    assert "The minds considered see the state of FoodTrucks" in text
    assert re.search(r"most probable mind: .*seeing the state", text)


def test_a_trajectory_shown_is_numbered_once(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from inscape.theory_of_mind import ExactObserver

    numbered: list[int] = []
    original = ExactObserver.state_indices
    monkeypatch.setattr(
        ExactObserver, "state_indices", lambda self, trajectory: numbered.append(0) or original(self, trajectory)
    )
    assert run("observe agents.py:Right FourGoals --goals A,B --beta 1 --episodes 2") == 0
    assert len(numbered) == 2


@pytest.mark.slow
def test_check_shows_a_table_and_fails_with_exit_code_2(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check FrozenLake-firm") == 0
    text = capsys.readouterr().out
    assert "probabilities" in text
    assert run("check agents.py:Floats") == 2
    assert "FAIL" in capsys.readouterr().out


@pytest.mark.slow
def test_the_elevator_is_planned_trained_and_observed_untouched(
    place: Path, elevator_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(f"plan {elevator_file} --simulations 200") == 0
    assert "certified" in capsys.readouterr().out
    assert run(f"train q-learning {elevator_file} --steps 5000 --evaluate-every 0 --final-episodes 5 --out r") == 0
    assert run("observe r --beta 2") == 0
    assert "floor 0" in capsys.readouterr().out
    assert np.isfinite(open_run("r").metrics()[-1]["steps"])


def test_ctrl_c_exits_with_130(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "slow.py").write_text(
        "import signal\nimport numpy as np\n"
        "class Slow:\n"
        "    def act(self, observation):\n        return np.zeros(len(observation), int)\n"
        "    def learn(self, task, steps):\n"
        "        for done in range(1, steps + 1):\n"
        "            if done == 10:\n                signal.raise_signal(signal.SIGINT)\n"
        "            yield {'steps': float(done)}\n"
        "    def state_dict(self):\n        return {}\n"
        "    def load_state_dict(self, state):\n        pass\n"
    )
    assert run("train slow.py:Slow FrozenLake --steps 100 --evaluate-every 0 --out r") == 130
    said = capsys.readouterr().err
    assert "10 of 100 steps" in said
    assert re.search(r"^Go on with: inscape (.*)$", said, re.MULTILINE)[1] == "train --resume r"  # type: ignore[index]


def in_a_process(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "inscape", *line.split()], capture_output=True, text=True, check=False)


def test_wrong_input_in_a_process_of_its_own() -> None:
    done = in_a_process("evaluate random NoSuchWorld")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("inscape: no world named 'NoSuchWorld'")


def test_list_and_plan_import_nothing_heavy() -> None:
    heavy = ("torch", "stable_baselines3", "transformers", "matplotlib", "pygame", "tensorboard")
    for line in ("list", "plan FrozenLake --simulations 100"):
        code = (
            f"import sys; from inscape.experiments.cli import main; code = main({line.split()!r}); "
            f"sys.stderr.write(' '.join(m for m in {heavy!r} if m in sys.modules)); sys.exit(code)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
