"""The compiled modules: a folder for each layer of the C core in csrc/."""
