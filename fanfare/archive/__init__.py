"""The archive as files: where they lie, and what keeps them whole. The archiver writes them."""
