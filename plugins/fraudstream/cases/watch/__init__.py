"""Cases on their way: who is reminded, and which cases people have to look at."""
