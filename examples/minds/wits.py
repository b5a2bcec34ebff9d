"""A battle of wits: which cup is poisoned, if he knows that I know that he knows?

Source: kach/memo, demo-vizzini (levels 0 to 4, which alternate); after Goldman (1973), "The Princess Bride".
"""

from inscape.theory_of_mind import level_k, quantal_response

cups = ("near Vizzini", "near Westley")
survives = [[0.0, 1.0], [1.0, 0.0]]  # Vizzini's cup by Westley's poison
kills = [[1.0, 0.0], [0.0, 1.0]]
levels = level_k([survives, kills], 10, base={0: 0, 1: "uniform"})
picks = [cups[levels[2 * level + 2][0].argmax()] for level in range(5)]
settled = quantal_response([survives, kills], 100.0)[0]
print(picks, settled)
