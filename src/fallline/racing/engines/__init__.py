"""Where the jobs of a race are trained: here, in processes of this machine, or on a Ray cluster."""
