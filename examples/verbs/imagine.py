"""What would follow from pushing the cart either way, if somebody who leans with the pole acted from then on?"""

import inscape

world = inscape.make_world("CartPole")
state = world.State(x=0.0, x_dot=0.0, theta=0.1, theta_dot=0.4)
lean = lambda states: (world.observe(states)[:, 2] > 0).astype(int)  # noqa: E731
imagined = inscape.imagine(world, state, ["left", "right"], lean, horizon=60)
for name, trajectory in imagined.items():
    print(name, trajectory)
print("left earns more by", imagined.difference("left", "right")[0])
