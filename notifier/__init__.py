"""The notifier: appends each delivery to the inbox of every gateway node that has somebody for it."""
