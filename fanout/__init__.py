"""The fan-out: makes a delivery out of each event that counts."""
