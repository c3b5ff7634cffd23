"""Starting the processes of a run, and seeing to their end: what the launchers have in common."""
