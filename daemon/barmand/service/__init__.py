"""How the daemon lives: threads, schedule, socket, signals."""
