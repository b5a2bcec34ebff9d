"""Built-in worlds, by name: data only, one table per family, read by `inscape.envs.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WorldSpec:
    """One registered world: data only.

    Attributes:
        name: what users type; the Gymnasium id is `inscape/<name>-v<version>`.
        entry: `module:Class` of the World.
        description: one line.
        settings: settings that differ from the class's defaults.
        max_episode_steps: time limit, known without importing the class; None takes the class's.
        players: how many act; known without importing the class, so that readers for one refuse early.
        simultaneous: whether several players act all at once; known without importing the class.
        version: raised when behaviour changes.
        reward_threshold: mean return at which the task counts as solved, where Gymnasium has one for it.
    """

    name: str
    entry: str
    description: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None
    players: int = 1
    version: int = 0
    simultaneous: bool = True
    reward_threshold: float | None = None

    @property
    def id(self) -> str:
        return f"inscape/{self.name}-v{self.version}"


RENDERING: dict[str, Any] = {"render_modes": ["human", "rgb_array", "ansi"], "render_fps": 30}
"""Metadata of an environment of one world, for Gymnasium."""

GRID = "inscape.envs.worlds.gridworld.grid:GridWorld"
_LAKE = {"ice": "SF", "slip": 2 / 3}

GRIDS = (
    WorldSpec("GridWorld", GRID, "grid from a text map: walls, ice, pits, one-way cells, goals", {}, 100),
    WorldSpec("FrozenLake", GRID, "Gymnasium's slippery 4×4 lake", {"map": "4x4", **_LAKE}, 100, reward_threshold=0.7),
    WorldSpec(
        "FrozenLake8x8", GRID, "Gymnasium's slippery 8×8 lake", {"map": "8x8", **_LAKE}, 200, reward_threshold=0.85
    ),
    WorldSpec("FrozenLake-firm", GRID, "the 4×4 lake, no slipping", {"map": "4x4", "ice": "SF", "slip": 0.0}, 100),
    WorldSpec(
        "FrozenLake8x8-firm", GRID, "the 8×8 lake without slipping", {"map": "8x8", "ice": "SF", "slip": 0.0}, 200
    ),
    WorldSpec(
        "FourGoals", GRID, "four goals in a room of pillars: for observers of goals",
        {"map": "four-goals", "goal": "A", "step_cost": 0.04}, 60,
    ),
    WorldSpec(
        "CliffWalking", "inscape.envs.worlds.gridworld.cliff_walking:CliffWalking",
        "along the edge of a cliff, or the safe way round", {}, 1000,
    ),
    WorldSpec(
        "Taxi", "inscape.envs.worlds.gridworld.taxi:Taxi",
        "fetch a passenger and take them where they want to go", {}, 200, reward_threshold=8.0
    ),
    WorldSpec(
        "WindyGrid", "inscape.envs.worlds.gridworld.windy_grid:WindyGrid", "cross a grid with wind in its middle",
        {}, 1000
    ),
    WorldSpec(
        "DynaMaze", GRID, "Sutton and Barto's maze; its blocking and shortcut mazes are other maps",
        {"map": "dyna-maze", "slip": 0.0}, 1000,
    ),
    WorldSpec(
        "FourRooms", "inscape.envs.worlds.gridworld.four_rooms:FourRooms", "four rooms joined by four hallways", {}, 500
    ),
    WorldSpec(
        "EmptyRoom", "inscape.envs.worlds.gridworld.empty_room:EmptyRoom",
        "MiniGrid's empty 8×8 room, seen in part", {}, 256
    ),
    WorldSpec(
        "DoorKey", "inscape.envs.worlds.gridworld.door_key:DoorKey",
        "MiniGrid's 8×8 house with key, locked door and goal, seen in part", {}, 640,
    ),
    WorldSpec(
        "DoorKey-5x5", "inscape.envs.worlds.gridworld.door_key:DoorKey", "the same, 5×5, its starts enumerable",
        {"size": 5, "reward": "constant"}, 250,
    ),
    WorldSpec(
        "Crafting", "inscape.envs.worlds.gridworld.crafting:Crafting",
        "wood, a bench, three pickaxes and a diamond: a tree of tools", {}, 200,
    ),
)  # fmt: skip

SMALL = (
    WorldSpec(
        "RiverSwim", "inscape.envs.worlds.mdp.river_swim:RiverSwim",
        "swim up a river for a large reward or drift down for a small one", {}, 100,
    ),
    WorldSpec("Chain", "inscape.envs.worlds.mdp.chain:Chain", "go on along a slippery chain, or back", {}, 1000),
    WorldSpec(
        "SkiResort", "inscape.envs.worlds.mdp.ski_resort:SkiResort",
        "lifts, pistes and a favourite area: for observers of goals", {}, 40,
    ),
    WorldSpec("Garnet", "inscape.envs.worlds.mdp.garnet:Garnet", "a random decision process, by seed", {}, 100),
)  # fmt: skip

PARTIAL = (
    WorldSpec("Tiger", "inscape.envs.worlds.pomdp.tiger:Tiger", "listen for the tiger, then open a door", {}, 100),
    WorldSpec(
        "ExtendedTiger", "inscape.envs.worlds.pomdp.tiger:ExtendedTiger",
        "listen on a chair, stand up, then open a door", {}, 100,
    ),
    WorldSpec(
        "CheeseMaze", "inscape.envs.worlds.pomdp.cheese_maze:CheeseMaze",
        "a mouse that feels only the walls around it", {}, 100,
    ),
    WorldSpec(
        "TMaze", "inscape.envs.worlds.pomdp.t_maze:TMaze",
        "a sign at the start tells where to turn at the far end", {}, 200
    ),
    WorldSpec(
        "RockSample", "inscape.envs.worlds.pomdp.rock_sample:RockSample",
        "a rover checks rocks from afar before it drives to them", {}, 200,
    ),
    WorldSpec(
        "Mess3", "inscape.envs.worlds.pomdp.mess3:Mess3",
        "a hidden source of three symbols, to be foreseen: nobody acts", {}, 1000,
    ),
    WorldSpec(
        "FoodTrucks", "inscape.envs.worlds.pomdp.food_trucks:FoodTrucks",
        "lunch at trucks seen only around a wall: for observers of beliefs and desires", {}, 100,
    ),
    WorldSpec(
        "Household", "inscape.envs.worlds.text.household:Household",
        "rooms and containers read as text: find an object and put it in its place", {}, 50,
    ),
)  # fmt: skip

CONTROL = (
    WorldSpec(
        "CartPole", "inscape.envs.worlds.control.cartpole:CartPole", "keep a pole upright on a cart", {}, 500,
        reward_threshold=475.0,
    ),
    WorldSpec(
        "CartPoleSwingUp", "inscape.envs.worlds.control.cartpole_swingup:CartPoleSwingUp",
        "swing a hanging pole up by pushing its cart, force continuous", {}, 1000,
    ),
    WorldSpec(
        "Pendulum", "inscape.envs.worlds.control.pendulum:Pendulum", "swing a pendulum up, torque continuous", {}, 200
    ),
    WorldSpec(
        "MountainCar", "inscape.envs.worlds.control.mountain_car:MountainCar", "rock a weak car out of a valley",
        {}, 200, reward_threshold=-110.0
    ),
    WorldSpec(
        "MountainCarContinuous", "inscape.envs.worlds.control.mountain_car:MountainCarContinuous",
        "the car in the valley, pedal continuous and costly", {}, 999, reward_threshold=90.0
    ),
    WorldSpec(
        "Acrobot", "inscape.envs.worlds.control.acrobot:Acrobot",
        "swing two links up from the joint between them", {}, 500, reward_threshold=-100.0
    ),
)  # fmt: skip

MATRIX = "inscape.envs.worlds.multi_agent.matrix_game:MatrixGame"

GAMES = (
    WorldSpec(
        "TicTacToe", "inscape.envs.worlds.multi_agent.tic_tac_toe:TicTacToe", "crosses and noughts, on any board",
        {}, None, 2, simultaneous=False,
    ),
    WorldSpec(
        "ConnectFour", "inscape.envs.worlds.multi_agent.connect_four:ConnectFour",
        "drop discs, four in a row win", {}, None, 2, simultaneous=False,
    ),
    WorldSpec(
        "KuhnPoker", "inscape.envs.worlds.multi_agent.kuhn_poker:KuhnPoker", "three cards, one bet, a hidden card each",
        {}, None, 2, simultaneous=False,
    ),
    WorldSpec(
        "LeducPoker", "inscape.envs.worlds.multi_agent.leduc_poker:LeducPoker",
        "six cards, two rounds of bets, a card on the table", {}, None, 2, simultaneous=False,
    ),
    WorldSpec(
        "RockPaperScissors", MATRIX, "both choose at once, one beats another", {"payoffs": "rock-paper-scissors"},
        None, 2,
    ),
    WorldSpec(
        "PrisonersDilemma", MATRIX, "cooperate or defect, ten rounds", {"payoffs": "prisoners-dilemma", "rounds": 10},
        None, 2,
    ),
    WorldSpec("MatrixStagHunt", MATRIX, "a stag together or a hare alone", {"payoffs": "stag-hunt"}, None, 2),
    WorldSpec("Schelling", MATRIX, "name the same side of a coin", {"payoffs": "schelling"}, None, 2),
    WorldSpec(
        "GuessTwoThirds", "inscape.envs.worlds.multi_agent.guess_two_thirds:GuessTwoThirds",
        "nearest to two thirds of the average wins", {}, None, 3,
    ),
    WorldSpec(
        "MoneyRequest", "inscape.envs.worlds.multi_agent.matrix_game:MoneyRequest",
        "ask for 11 to 20; a bonus for one less than the other", {}, None, 2,
    ),
)  # fmt: skip

TEAMS = (
    WorldSpec(
        "Spread", "inscape.envs.worlds.multi_agent.spread:Spread",
        "particles cover landmarks without running into each other (MPE's simple spread)", {}, 25, 3,
    ),
    WorldSpec(
        "SpreadForces", "inscape.envs.worlds.multi_agent.spread:SpreadForces",
        "Spread with continuous forces, all agents steered by one hand", {}, 25,
    ),
    WorldSpec(
        "StagHunt", "inscape.envs.worlds.multi_agent.stag_hunt:StagHunt",
        "a stag for hunters who stay together, hares for those who do not", {}, 50, 2,
    ),
    WorldSpec(
        "Foraging", "inscape.envs.worlds.multi_agent.foraging:Foraging",
        "foragers of different levels join to load food (level-based foraging)", {}, 50, 2,
    ),
    WorldSpec(
        "PredatorPrey", "inscape.envs.worlds.multi_agent.predator_prey:PredatorPrey",
        "four predators surround a prey on a torus", {}, 100, 4,
    ),
    WorldSpec(
        "DoorHelper", "inscape.envs.worlds.multi_agent.door_helper:DoorHelper",
        "a helper with the keys infers where the other one wants to go", {}, 60, 2,
    ),
    WorldSpec(
        "HouseholdHelper", "inscape.envs.worlds.text.household_helper:HouseholdHelper",
        "read as text: a helper fetches, waits, or asks what is wanted where", {}, 40, 2,
    ),
    WorldSpec(
        "Kitchen", "inscape.envs.worlds.multi_agent.kitchen:Kitchen",
        "two cooks on either side of a counter make and deliver soup", {}, 400, 2,
    ),
    WorldSpec(
        "KitchenOrders", "inscape.envs.worlds.multi_agent.kitchen_orders:KitchenOrders",
        "a kitchen in which one cook reads the orders, and the other infers them",
        {"map": "hatch-window", "cook_time": 1}, 400, 2,
    ),
    WorldSpec(
        "CrampedRoom", "inscape.envs.worlds.multi_agent.kitchen:Kitchen",
        "the kitchen of Overcooked's first map", {"map": "cramped-room"}, 400, 2,
    ),
    WorldSpec(
        "HelperHinderer", "inscape.envs.worlds.multi_agent.helper_hinderer:HelperHinderer",
        "one walks to one of four goals, the other helps or hinders it", {}, 60, 2,
    ),
    WorldSpec(
        "DecTiger", "inscape.envs.worlds.multi_agent.dec_tiger:DecTiger",
        "two listen for the tiger, and cannot speak", {}, 100, 2,
    ),
)  # fmt: skip

FAMILIES: dict[str, tuple[WorldSpec, ...]] = {
    "Grids": GRIDS,
    "Small decision processes": SMALL,
    "Partly observed": PARTIAL,
    "Control": CONTROL,
    "Games against others": GAMES,
    "Teams and mixed motives": TEAMS,
}
"""Family name → its worlds, in the order of the gallery."""
