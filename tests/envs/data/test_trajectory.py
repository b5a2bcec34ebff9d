import numpy as np

from inscape.envs.data.trajectory import Trajectory


def test_the_return_of_one_player_is_a_number_and_of_several_one_for_each() -> None:
    alone = Trajectory(np.zeros(4), np.zeros(3, int), np.array([0.5, -1.0, 2.0]), True, False)
    assert (alone.total_reward, type(alone.total_reward)) == (1.5, float)
    together = Trajectory(np.zeros(3), np.zeros(2, int), np.array([[0.0, 1.0, 2.0], [1.0, 1.0, -5.0]]), True, False)
    assert isinstance(together.total_reward, np.ndarray)
    assert together.total_reward.tolist() == [1.0, 2.0, -3.0]
