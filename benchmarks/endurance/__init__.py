"""What is asked for minutes and not for a number: does anything get lost, or grow."""
