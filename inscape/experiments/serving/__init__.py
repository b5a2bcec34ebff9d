"""`inscape view`: runs, episodes, agents to step and worlds to play, served to this machine's browser only."""
