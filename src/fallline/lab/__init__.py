"""The lab: a page on this machine that walks optimizers over surfaces, and the server behind it."""
