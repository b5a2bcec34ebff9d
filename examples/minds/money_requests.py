"""The 11-20 game: ask for 11 to 20 shekels, and get 20 more for asking for exactly one less than the other.

Source: Arad & Rubinstein (2012), American Economic Review 102(7) (levels 20, 19, 18, 17; the equilibrium of table 1;
tau = 2.36, by which levels 3 and 4 both ask for 17); kach/memo, demo-11-20.
"""

from inscape.theory_of_mind import cognitive_hierarchy, level_k, quantal_response

levels, hierarchy = level_k("MoneyRequest", 4, base="20"), cognitive_hierarchy("MoneyRequest", 4, 2.36, base="20")
asked = [int(levels.choices(k)[0]) for k in range(5)]
expected = [int(hierarchy.choices(k)[0]) for k in range(5)]
equilibrium = quantal_response("MoneyRequest", 1e6)[0]  # where noise vanishes
conv = levels.game.nash_conv((equilibrium, equilibrium))
print(asked, expected, equilibrium.round(6), conv)
