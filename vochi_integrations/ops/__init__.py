"""What operators and administrators look at."""
