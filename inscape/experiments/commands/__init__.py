"""What each command takes, what it does, and what it prints: one module for each, named for it.

Heavy modules are imported by the command that needs them.
"""
