"""Where the runs of a race are kept, so that it can be taken up again and looked at later."""
