"""How do applications answer their users? Commands, buttons, menus and dialogues."""
