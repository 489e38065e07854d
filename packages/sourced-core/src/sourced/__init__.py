"""Event sourcing as a programming model for ordinary Python apps."""
