"""Live location: positions of drivers, orders and anything else that moves, and who may publish and watch them."""
