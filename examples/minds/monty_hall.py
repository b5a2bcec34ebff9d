"""Monty Hall: which door hides the prize, once Monty has opened one that does not?

Source: kach/memo, demo-monty (prints 1/3, 0, 2/3); agentmodels.org, chapter 3 (exercise).
"""

from inscape.theory_of_mind import Joint

believed = Joint(prize=range(3)).chance("opened", range(3), lambda prize, opened: opened not in (0, prize))
doors = believed.given(opened=1).prob("prize")
print(doors)
