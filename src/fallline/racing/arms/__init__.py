"""What enters a race: arms, the spaces that are searched for them, and the names they are called by."""
