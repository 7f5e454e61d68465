"""The tables of cases: every layer, function, loss, optimizer and schedule with its settings."""
