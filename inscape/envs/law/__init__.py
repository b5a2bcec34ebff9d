"""What a law declares: fields, layouts, states, spaces, random streams. No compiler, no reader."""
