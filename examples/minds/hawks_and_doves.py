"""Hawks and doves: what share of hawks is stable?

Source: Maynard Smith & Price (1973), Nature 246; the numbers of Dawkins (1976), "The Selfish Gene", chapter 5: 50 for
winning, -100 for an injury, -10 for time: 7/12 hawks, and everybody earns 6 1/4.
"""

import numpy as np

from inscape.theory_of_mind import quantal_response
from inscape.world_models import nash_equilibria

hawk_dove = np.array([[(50 - 100) / 2, 50.0], [0.0, 50 / 2 - 10]])
mixed = next(e for e in nash_equilibria(hawk_dove, hawk_dove.T) if e.strategies[0].max() < 1)
hawks, earned = mixed.strategies[0][0], mixed.values[0]
noisy = quantal_response([hawk_dove, hawk_dove.T], 0.1)[0][0]
print(hawks, earned, noisy)
