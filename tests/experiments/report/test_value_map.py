"""Maps of values: what is drawn, and that names are escaped."""

from __future__ import annotations

import numpy as np

from inscape import make_world, solve
from inscape.envs.rendering.scene import Circle, Line, Polygon, Rect, Scene, Text
from inscape.experiments.report import MapCell, MapSection, render_report
from inscape.experiments.report.solved import value_map
from inscape.experiments.report.value_map import map_html, shape_svg


def test_every_state_has_its_value_and_every_optimal_action_an_arrow():
    world = make_world("FrozenLake")
    solution, states = solve(world), world.dynamics().states
    terminal, best = world.terminal_of(states), solution.optimal_actions()
    section = value_map(world, states, solution.values, best, terminal)
    assert section is not None
    assert len(section.cells) == (~terminal).sum()
    assert section.side == 1.0
    drawn = map_html(section)
    assert drawn.count('class="tint"') == len(section.cells)
    arrows = sum(len(cell.directions) for cell in section.cells)
    assert arrows == best[~terminal].sum()
    assert drawn.count("<polygon") >= arrows
    assert "0.54" in drawn


def test_states_without_a_place_have_no_map():
    world = make_world("Taxi")
    states = world.dynamics().states
    nothing = np.zeros((len(states), 6), bool)
    assert value_map(world, states, np.zeros(len(states)), nothing, nothing[:, 0]) is None


def test_shapes_and_names_are_escaped():
    shapes = (
        Rect(0, 0, 2, 2, fill="paper", stroke="line"), Circle(1, 1, 0.5, fill="#ff0000"), Line(0, 0, 1, 1),
        Polygon(((0, 0), (1, 0), (0, 1)), fill="wall"), Text(1, 1, "<b>"),
    )  # fmt: skip
    drawn = "".join(shape_svg(shape) for shape in shapes)
    assert "var(--p-paper)" in drawn and "#ff0000" in drawn and "&lt;b&gt;" in drawn
    cells = (MapCell(1, 1, -0.5, (), ("<go>",), '"state"'),)
    page = render_report([MapSection("A <map>", Scene(2, 2, shapes), cells)])
    assert "&lt;go&gt;" in page and "<go>" not in page and "−0.50" in page
