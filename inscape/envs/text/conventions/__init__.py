"""Text environments of other libraries, and ours in their conventions. One file each."""
