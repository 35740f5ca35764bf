"""What all rooms of the wiring share: settings, configuration, errors, records, progress."""
