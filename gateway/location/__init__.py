"""Live location at the gateway: entities, positions on their way in, and watchers. docs/topics/location.md."""
