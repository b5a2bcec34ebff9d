"""An agent for CartPole. Try: inscape evaluate examples/balance.py:Balance CartPole"""

import numpy as np


class Balance:
    """Pushes the cart towards the side to which the pole is falling."""

    def act(self, observation):
        """Takes a batch of observations `[B, 4]`, returns an action for each, `[B]`: 0 pushes left, 1 pushes right."""
        angle, angular_velocity = observation[:, 2], observation[:, 3]
        return (angle + 0.5 * angular_velocity > 0).astype(np.int64)
