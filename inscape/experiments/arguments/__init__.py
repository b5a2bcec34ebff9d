"""What is typed: parsing it, and writing the command that makes a run again."""
