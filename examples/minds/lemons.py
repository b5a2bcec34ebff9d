"""The market for lemons: who bids for a car knows that the seller sells only if the bid is above its worth.

Source: Akerlof (1970), Quarterly Journal of Economics 84(3); kach/memo, demo-lemons (prints a bid of 0).
"""

import numpy as np

from inscape.theory_of_mind import Joint

worth = np.linspace(0, 1, 101)
market = Joint(quality=worth)
bids = market.choice("bid", worth, lambda quality, bid: (1.5 * quality - bid) * (bid >= quality))
bid = bids.expect(lambda bid: bid)
print(bid)
