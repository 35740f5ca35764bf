"""Life after promotion: judge a version on new labels, compare two, change the alert budget."""
