"""The stages of a training, a plain function each, free of Prefect."""
