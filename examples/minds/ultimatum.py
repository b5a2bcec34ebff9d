"""The ultimatum game of two who choose softly for their own payoff: the offer is just above what is refused.

Source: Gueth, Schmittberger & Schwarze (1982), Journal of Economic Behavior & Organization 3(4); kach/memo,
demo-ultimatum (beta = 50 for both, 100 offers).
"""

import numpy as np

from inscape.theory_of_mind import Joint

offers = np.linspace(0, 1, 100)
answered = Joint(offer=offers).choice("accepts", (True, False), lambda offer, accepts: offer * accepts, 50.0, "offer")
accepted = answered.prob("accepts", given="offer")[:, 0]
believed = dict(zip(offers, accepted))
offered = Joint().choice("offer", offers, lambda offer: (1 - offer) * believed[offer], 50.0).prob("offer")
print(offers[offered.argmax()], offers @ offered)
