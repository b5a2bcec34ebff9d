"""The boundary to third-party environments: every copy is wrapped in a copying, checking wrapper.

    env = CheckedEnv(gym.make("LunarLander-v3"), "LunarLander-v3")
    copies = checked_batch([lambda: gym.make("LunarLander-v3")] * 16, "LunarLander-v3")

What an environment hands over is copied (environments reuse buffers) and checked against its spaces (`contract`,
`bounds`); what raises, or exits, is reported with copy, step and seed (`place`), and so is what does not come back
(`hangs`). Masks are found wherever environments keep them (`one_copy`), and given in `info["action_mask"]`, flat and
bool. Reset and step of the old Gym interface are adapted (`old_gym`). Built-in worlds do not pass here.
"""
