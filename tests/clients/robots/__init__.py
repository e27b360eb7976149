"""One robot for each library: it does what it is told on standard input, and tells what it hears on standard output.

Each line is a JSON object. A robot is started with FANFARE_API (with `/api/v10`), FANFARE_GATEWAY and FANFARE_TOKEN. It
uses its library as the library's documentation shows it, and knows nothing of Fanfare but the addresses.
"""
