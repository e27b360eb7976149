"""The cases from the field, by their numbers, against running systems; what is pure of them is in tests/unit."""
