"""What becomes of a request: its route, its turn, its run, its outcome, and who is told of it."""
