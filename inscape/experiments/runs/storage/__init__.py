"""What lies in a run folder, a file for each kind of thing; nothing here knows what a run is."""
