"""Files in messages: where they are kept, and under which paths. Only this package imports obstore."""
