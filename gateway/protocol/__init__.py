"""What goes over the wire to clients, without I/O: opcodes, frames, the dialogue of one connection."""
