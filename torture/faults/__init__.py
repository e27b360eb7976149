"""What can break, one class each; `catalogue` has them all by their names."""
