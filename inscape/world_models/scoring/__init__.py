"""How good a learned model is: code length in bits a step, and the regret of planning in it."""
