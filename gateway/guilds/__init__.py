"""What this node knows of guilds, and who may see what in them."""
