"""One plain function for each arrow of the pipeline; none knows of Prefect."""
