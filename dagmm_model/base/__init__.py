"""What every room stands on: settings that check themselves, processors, ranks, checkpoints."""
