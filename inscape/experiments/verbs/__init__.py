"""What users do, one verb a file: `inscape.evaluate`, `plan`, `observe` (and `train`, in `runs.training`). The command
line's commands are shells over them. What is in hand is taken wherever a name is."""
