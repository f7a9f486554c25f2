"""How points of an arm's space are drawn or proposed, and which of them go on to longer runs."""
