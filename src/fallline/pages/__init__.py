"""Pages to look at races and descents in: what is drawn, and the templates that it is drawn by."""
